"""The questions of every lesson, answered by keyboard alone in a page without a network."""
import pytest
from teachers_table import LESSONS, parts

from transfer_lessons.exercises import questions

HAVE_QUESTIONS = [name for file in LESSONS if parts(name := file.stem.split("_", 1)[1])[1]]
# The page as a screen reader has it: what has the focus, its name, and whether it is open.
FOCUS = """() => {
  const node = document.activeElement;
  return [node.tagName, node.innerText, node.parentElement.open ?? null];
}"""


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 390, "height": 800}, offline=True)
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: errors.append(request.url))
    yield page
    context.close()
    assert errors == []


@pytest.mark.skipif(not HAVE_QUESTIONS, reason="no lesson has questions yet")
@pytest.mark.parametrize("lesson", HAVE_QUESTIONS)
def test_questions_are_answered_by_keyboard_alone(page, lesson):
    page.set_content(f"<!doctype html><html lang=en><body>{questions(lesson)._repr_html_()}</body>")
    asked = parts(lesson)[1]
    right = 0
    for number in range(sum(len(question.choices) for question in asked)):
        page.keyboard.press("Tab")
        tag, name, is_open = page.evaluate(FOCUS)
        assert (tag, is_open) == ("SUMMARY", False) and name.strip()
        reason = page.locator("details").nth(number).locator("p")
        assert not reason.is_visible(), "the reason stands there before anybody has answered"
        page.keyboard.press("Enter" if number % 2 else "Space")
        assert page.evaluate(FOCUS)[2] is True
        assert reason.is_visible()
        said = reason.inner_text()
        assert said[0] in "✓✗" and len(said.split()) > 4, "a verdict and its reason"
        right += said[0] == "✓"
    assert right == len(asked), "one right answer to each question"
    page.keyboard.press("Enter")  # and closed again
    assert page.evaluate(FOCUS)[2] is False
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


@pytest.mark.skipif(not HAVE_QUESTIONS, reason="no lesson has questions yet")
@pytest.mark.parametrize("lesson", HAVE_QUESTIONS)
def test_a_screen_reader_finds_a_named_region_and_a_list(page, lesson):
    page.set_content(f"<!doctype html><body>{questions(lesson)._repr_html_()}</body>")
    region = page.get_by_role("region")
    assert region.count() == 1 and region.get_attribute("aria-label")
    assert region.get_by_role("listitem").count() == len(parts(lesson)[1])
