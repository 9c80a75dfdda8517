"""The site as its readers see it: light, dark, on a phone, printed, searched, without a network.

It builds a few pages. To look at all of them: `make site`, then SITE=build/site/html pytest here.
"""
import functools
import http.server
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from test_pages import CONTRAST

ROOT = Path(__file__).parents[2]
BUILT = ["01_first_model", "03_cross_entropy", "13_lr_sweep", "u6_scrubber"]
WIDTHS = {"screen": 1300, "phone": 390}
# What has text of its own and too little contrast (WCAG 2.1: 4.5; 3 for what has a plot's colour).
FAINT = f"""() => {{
  const contrast = {CONTRAST};
  const own = node => [...node.childNodes].some(c => c.nodeType === 3 && c.textContent.trim());
  const all = [...document.querySelectorAll('.bd-article :is(p, li, td, th, h1, h2, h3, a, pre, span,'
    + ' code, button, label, legend, figcaption, dt, dd)')];
  return all.filter(node => own(node) && node.getClientRects().length
                    && getComputedStyle(node).visibility === 'visible' && !node.closest('svg, :disabled'))
    .map(node => [contrast(node), node.closest('.tl-legend') ? 3 : 4.5, node.outerHTML.slice(0, 120)])
    .filter(([ratio, wanted]) => ratio < wanted).slice(0, 5);
}}"""
# Printers leave backgrounds out.
WHITE = """() => document.head.insertAdjacentHTML('beforeend',
  '<style>*, *::before { background: none !important } html { background: white !important }</style>')"""
TOO_WIDE = """() => [...document.querySelectorAll('.bd-article pre')]
  .filter(pre => pre.scrollWidth > pre.clientWidth + 1).length"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The site's files: those of SITE, else a few pages built now."""
    if "SITE" in os.environ:
        return ROOT / os.environ["SITE"]
    if not all(importlib.util.find_spec(name) for name in ("myst_nb", "sphinx_book_theme")):
        pytest.skip("the extra [site] is not installed")
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "site/build_site.py", "--folder", folder, "--only", *BUILT],
                   cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return folder / "html"


@pytest.fixture(scope="module")
def address(folder):
    """The site on a web server of this machine."""
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def visit(browser, address):
    """Opens a page; it must put no error on the console and ask for nothing outside."""
    contexts, faults = [], []

    def visit(name: str, scheme: str = "light", width: int = WIDTHS["screen"]):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: said.type == "error" and faults.append((name, said.text)))
        page.on("pageerror", lambda error: faults.append((name, str(error))))
        page.on("request", lambda request: request.url.startswith((address, "data:", "blob:"))
                or faults.append((name, request.url)))
        page.goto(f"{address}/{name}", wait_until="load")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert faults == []


def pages(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.html") if file.stem not in ("genindex", "search"))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_can_be_read(visit, folder, scheme, width):
    for name in pages(folder):
        page = visit(name, scheme, WIDTHS[width])
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, name
        assert page.evaluate(FAINT) == [], name
        sizes = page.eval_on_selector_all(".bd-article img", "all => all.map(image => image.naturalWidth)")
        assert all(size > 0 for size in sizes), f"an image of {name} does not show"
        assert page.locator("h1").count() >= 1
        page.context.close()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_prints_dark_on_white_without_what_only_a_screen_needs(visit, folder, scheme):
    for name in pages(folder):
        page = visit(name, scheme)
        page.emulate_media(media="print")
        page.evaluate(WHITE)
        assert page.evaluate(FAINT) == [], name
        for part in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".header-article"):
            hidden = page.eval_on_selector_all(part, "all => all.every(node => !node.offsetParent)")
            assert hidden, f"{part} of {name}"
        assert page.evaluate(TOO_WIDE) == 0, f"{name}: code is cut off"
        page.context.close()


@pytest.mark.parametrize("name", ["13_lr_sweep.html", "u6_scrubber.html"])
def test_scrubbers_move(visit, name):
    page = visit(name)
    scrubbers = page.locator(".tl-scrubber")
    assert scrubbers.count() >= 1
    for i in range(scrubbers.count()):
        scrubber = scrubbers.nth(i)
        show = scrubber.get_by_role("checkbox")
        if show.is_checked():  # curves are hidden until somebody has answered
            show.uncheck()
        slider, curve = scrubber.locator("input[type=range]"), scrubber.locator(".tl-train")
        before = slider.get_attribute("aria-valuetext"), curve.get_attribute("d")
        for _ in range(4):
            slider.press("ArrowLeft")
        after = slider.get_attribute("aria-valuetext"), curve.get_attribute("d")
        assert before[0] != after[0] and before[1] != after[1]


def test_search_finds_learning_rate(visit):
    page = visit("index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("learning rate")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results ul.search li")
    page.wait_for_function("document.querySelector('#search-results p.search-summary')"
                           "?.textContent.match(/found/i)")
    found = page.locator("#search-results ul.search li a").evaluate_all(
        "all => all.map(link => link.getAttribute('href').split('?')[0].split('#')[0])")
    assert "13_lr_sweep.html" in found and "glossary.html" in found


def test_a_term_of_a_lesson_leads_to_its_place_in_the_glossary(visit):
    page = visit("03_cross_entropy.html")
    page.locator(".bd-article a[href='glossary.html#gradient']").first.click()
    page.wait_for_url("**/glossary.html#gradient")
    assert page.locator("#gradient > h3").inner_text().startswith("Gradient")


def test_light_or_dark_is_the_readers_own_until_they_choose(visit):
    page = visit("index.html", "dark")
    assert page.evaluate("document.documentElement.dataset.mode") == "auto"
    page.emulate_media(color_scheme="light")
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")


def test_the_site_opens_from_a_disk_too_and_is_searched_there(browser, folder):
    context = browser.new_context()
    faults = []
    page = context.new_page()
    page.on("console", lambda said: said.type == "error" and faults.append(said.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("file:", "data:"))
            or faults.append(request.url))
    page.goto((folder / "13_lr_sweep.html").as_uri())
    assert page.locator(".tl-scrubber input[type=range]").count() >= 1
    page.goto((folder / "search.html").as_uri() + "?q=learning+rate")
    page.wait_for_selector("#search-results li a[href='13_lr_sweep.html']")
    page.wait_for_timeout(500)  # an excerpt would be fetched now
    context.close()
    assert faults == []


def test_the_questions_of_a_lesson_open_by_keyboard_on_the_site(visit, folder):
    lessons = [name for name in pages(folder) if 'class="questions"' in (folder / name).read_text()]
    if not lessons:
        pytest.skip("no lesson's stored outputs have questions yet")
    for name in lessons:
        page = visit(name)
        summaries = page.locator("section.questions summary")
        assert summaries.count() >= 6, name
        summaries.first.focus()
        for i in range(summaries.count()):
            assert summaries.nth(i).evaluate("node => node === document.activeElement"), name
            page.keyboard.press("Enter")
            assert page.locator("section.questions details").nth(i).evaluate("node => node.open")
            page.keyboard.press("Tab")
        assert page.evaluate(FAINT) == [], name
        page.context.close()
