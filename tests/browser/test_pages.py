"""Self-contained pages in the ways that hosts show them: sandboxed, copied, dark, two on one page."""
import json
import math
import os
import re
from pathlib import Path

import pytest
import torch

from transfer_lessons.scrubber import LRScrubber
from transfer_lessons.sweep_result import Sweep

PICTURES = os.environ.get("PAGE_PICTURES")  # a folder, to look at what the tests see
HOSTS = {"light": "background: white; color: black", "dark": "background: #111; color: #eee",
         "dark without a text colour": "background: #111"}
# Contrast of two colours as WCAG 2.1 has it, what lies behind being found by going up the page.
CONTRAST = """element => {
  const channels = colour => colour.match(/[0-9.]+/g).map(Number);
  const light = colour => {
    const [r, g, b] = channels(colour).map(c => (c / 255 <= 0.03928 ? c / 255 / 12.92
      : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let behind = element;
  const isClear = () => { const all = channels(getComputedStyle(behind).backgroundColor);
                          return all.length === 4 && all[3] === 0; };
  while (isClear() && behind.parentElement) behind = behind.parentElement;
  const [a, b] = [light(getComputedStyle(element).color),
                  light(getComputedStyle(behind).backgroundColor)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def sweep(n: int = 9) -> Sweep:
    """Curves as of real runs, the last of them diverged."""
    lrs = torch.logspace(-5, 1, n).tolist()
    steps = torch.arange(1, 61) / 60
    speed = torch.tensor([min(lr * 100, 3.0) for lr in lrs])[:, None]
    losses = 2.3 * torch.exp(-speed * steps) + 0.05 * torch.rand(n, 60) + 0.1
    losses[-1] = torch.where(steps > 0.5, math.nan, 2.3 * torch.exp(6 * steps))
    valid_losses = losses[:, 19::20]
    errors = (valid_losses / 2.6).clamp(0.1, 0.9)
    return Sweep(lrs, losses, valid_losses, errors, {"valley": 2e-3, "slide": 3e-2}, None, 163, 2.31)


@pytest.fixture(scope="module")
def scrubber():
    torch.manual_seed(0)
    return LRScrubber(sweep())._repr_html_()


@pytest.fixture
def shown(browser, tmp_path, request):
    """Opens a page's HTML from a file, without a network; it must raise no error."""
    context = browser.new_context(viewport={"width": 800, "height": 620})
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:")
               else route.abort())

    def show(html: str, style: str = HOSTS["light"]):
        file = tmp_path / "page.html"
        file.write_text(f"<!doctype html><meta charset=utf-8><body style='{style}'>{html}</body>")
        page.goto(file.as_uri())
        return page

    yield show
    if PICTURES:
        name = re.sub(r"\W+", "-", request.node.name).strip("-")
        page.screenshot(path=Path(PICTURES) / f"page-{name}.png")
    context.close()
    assert errors == []


def assert_lives(area, number: int = 0) -> None:
    """An arrow key moves the slider, and the curve with it."""
    scrubber = area.locator(".tl-scrubber").nth(number)
    slider = scrubber.locator("input[type=range]")
    curve = scrubber.locator(".tl-train")
    slider.focus()
    slider = scrubber.locator("input[type=range]")
    slider.press("Home")
    before = slider.get_attribute("aria-valuetext"), curve.get_attribute("d")
    for _ in range(4):
        slider.press("ArrowRight")
    after = slider.get_attribute("aria-valuetext"), curve.get_attribute("d")
    assert before[0] != after[0] and before[1] != after[1]
    assert "1e-5" in before[0]


def test_with_its_script_inline(shown, scrubber):
    assert_lives(shown(scrubber))


def test_in_a_sandboxed_iframe(shown, scrubber):
    page = shown('<iframe sandbox="allow-scripts" style="width: 780px; height: 600px"></iframe>')
    page.evaluate("html => { document.querySelector('iframe').srcdoc = html; }", scrubber)
    frame = page.frame_locator("iframe")
    frame.locator(".tl-scrubber input[type=range]").wait_for()
    assert_lives(frame)


def test_with_its_script_run_from_head(shown, scrubber):
    markup, script = re.fullmatch(r"(.*)<script>(.*)</script>", scrubber, re.S).groups()
    page = shown(markup)
    assert page.locator("input[type=range]").count() == 0
    page.evaluate("""source => {
        const script = document.createElement('script');
        script.textContent = source;
        document.head.append(script);
    }""", script)
    assert_lives(page)


def test_after_being_cloned(shown, scrubber):
    page = shown(f"<main>{scrubber}</main>")
    page.evaluate("() => { const old = document.querySelector('main');"
                  "old.replaceWith(old.cloneNode(true)); }")
    assert_lives(page)


@pytest.mark.parametrize("host", HOSTS)
def test_its_text_can_be_read_on_any_background(shown, scrubber, host):
    page = shown(scrubber, HOSTS[host])
    for part in (".tl-says", ".tl-verdict", "button", "label"):
        assert page.locator(f".tl-scrubber {part}").first.evaluate(CONTRAST) > 4.5
    assert_lives(page)


def test_two_on_one_page_do_not_disturb_each_other(shown, scrubber):
    page = shown(scrubber + scrubber)
    page.set_viewport_size({"width": 800, "height": 1100})
    assert_lives(page, 0)
    still = page.locator(".tl-scrubber").nth(1).locator("input[type=range]").input_value()
    assert_lives(page, 1)
    first = page.locator(".tl-scrubber").nth(0).locator("input[type=range]")
    assert first.input_value() == "4" and still != "4"


def test_an_exercise_hides_the_curves_until_they_are_shown(shown):
    data = LRScrubber(sweep(), quiz=True)
    page = shown(data._repr_html_())
    area = page.locator(".tl-scrubber")
    curve, arrows = area.locator(".tl-train"), area.locator("svg g").last
    assert not curve.get_attribute("d")
    assert "error rate" not in area.locator(".tl-says").inner_text()
    assert arrows.evaluate("node => getComputedStyle(node).visibility") == "hidden"
    area.get_by_role("button", name="show").click()
    assert curve.get_attribute("d")
    assert "validation loss" in area.locator(".tl-says").inner_text()
    assert arrows.evaluate("node => getComputedStyle(node).visibility") == "visible"
    area.locator("input[type=range]").press("ArrowLeft")
    assert not curve.get_attribute("d"), "the next learning rate is a question again"


def test_the_exercise_opens_anywhere(shown):
    page = shown(LRScrubber(sweep(), quiz=True)._repr_html_())
    places = set()
    for _ in range(12):
        page.reload()
        places.add(page.locator("input[type=range]").input_value())
    assert len(places) > 3


def test_an_answer_is_compared_with_both_verdicts(shown):
    runs = sweep()
    runs.error_rates[6, -1] = runs.error_rates[:, -1].nan_to_num(nan=1).min()
    runs.valid_losses[6, -1] = 2.0
    page = shown(LRScrubber(runs, start=runs.lrs[6], quiz=True)._repr_html_())
    data = json.loads(page.locator(".tl-scrubber").get_attribute("data-run"))
    assert data["verdicts"][6][:2] == ["too high", "good"]
    verdict = page.locator(".tl-verdict")
    page.get_by_role("button", name="good").click()
    assert verdict.inner_text().startswith("Right by error rate only: too high by loss, but good by")
    page.get_by_role("button", name="too high").click()
    assert verdict.inner_text().startswith("Right: too high by loss, but good by error rate. They dis")
    assert "95 % interval" in verdict.inner_text()
