"""The lessons as a learner sees them: static pages in a browser, without the network."""
from pathlib import Path

import nbconvert
import pytest

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "nbs").glob("*.ipynb"))


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_lesson_shows_all_its_images_offline(browser, lesson, tmp_path):
    page_file = tmp_path / f"{lesson.stem}.html"
    text, _ = nbconvert.HTMLExporter().from_filename(str(lesson))
    page_file.write_text(text.replace("<head>", f'<head><base href="{lesson.as_uri()}">', 1))
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    context.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:")
                  else route.abort())
    page = context.new_page()
    page.goto(page_file.as_uri(), wait_until="load")
    widths = page.eval_on_selector_all("img:not([src^=http])",  # Colab's badge needs the network
                                       "all => all.map(image => image.naturalWidth)")
    assert all(width > 0 for width in widths), "an image does not show"
    assert widths or not lesson.stem[0].isdigit(), "a lesson without an image"
    assert page.locator(".jp-MarkdownCell h1").count() == 1  # a model card that is shown has its own
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0, f"the page is {overflow} pixels too wide"
    context.close()
