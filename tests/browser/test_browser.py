"""The explorers as a learner uses them: JupyterLab, Notebook 7 and static pages, in chromium.

One small notebook with every explorer is run once in each of the two applications; the tests then
use what stands there. They hold behaviour, no milliseconds: `make bench` measures those.
"""
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from helpers import (
    APPS,
    ask,
    blank_frames,
    controls,
    drag,
    export,
    interrupt,
    jupyter,
    offline,
    output,
    run,
    save,
    screencast,
    script,
    settled,
    start,
    wait_until,
    write_notebook,
)

LESSONS = Path(__file__).parents[2] / "nbs"
NASTY = """<img src=x onerror='window.hacked = 1'>$x$ &amp; "q" """
CELLS = {
    "setup": f"""
import time
import matplotlib.pyplot as plt
import torch
from transfer_lessons.all import *
from transfer_lessons.datasets import draw_icons

torch.manual_seed(0)
images, labels = draw_icons(64)
names = {{"animal": "animal", "vehicle": "vehicle", "building": {NASTY!r}}}
chosen = [(image, names[label]) for image, label in zip(images, labels) if label in names]
dls = ImageDataLoaders.from_files(*zip(*chosen), size=64, bs=16, augment=False, device="cpu")
learn = vision_learner(dls)
head = learn.precompute()
sweep = sweep_lrs(head, [10 ** (-5 + 6 * i / 63) for i in range(64)], 3)
interp = ClassificationInterpretation.from_learner(learn)
epochs, wait, steps = 2, 0, []

def slow_loss(logits, targets):
    time.sleep(wait)
    if torch.is_grad_enabled():
        steps.append(time.time())
    return cross_entropy(logits, targets)

slow = vision_learner(dls).precompute()
slow.loss_func = slow_loss
""",
    "LRScrubber": "LRScrubber(sweep)",
    "OneCycleExplorer": "explorer = OneCycleExplorer()\nexplorer",
    "CrossEntropyExplorer": "CrossEntropyExplorer(vocab=dls.vocab)",
    "FreezeExplorer": "FreezeExplorer(learn)",
    "AugmentExplorer": "AugmentExplorer(dls)",
    "LRStudyExplorer": "LRStudyExplorer()",
    "ConfusionExplorer": "ConfusionExplorer(interp)",
    "LossCurves": "with LossCurves(slow) as curves:\n    slow.fit(epochs)",
}
EXPLORERS = list(CELLS)[2:]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with jupyter(tmp_path_factory.mktemp("notebooks")) as server:
        yield server


def opened(server, browser, app):
    """The explorers' notebook, open, run and saved."""
    write_notebook(server.folder / f"{app}.ipynb", *CELLS.values())
    page = server.open(browser, app, f"{app}.ipynb")
    run(page)
    save(page)
    return page


@pytest.fixture(scope="module", params=APPS)
def page(request, browser, server):
    page = opened(server, browser, request.param)
    yield page
    server.close(page)


@pytest.fixture
def shown(page):
    """Finds the output of an explorer's cell on the page."""
    return lambda name: output(page, list(CELLS).index(name))


@pytest.fixture
def saved(browser, server):
    """The explorers' notebook as JupyterLab saves it, outputs and all."""
    if not (server.folder / "lab.ipynb").exists():
        server.close(opened(server, browser, "lab"))
    return server.folder / "lab.ipynb"


def parts(area):
    """A scrubber's slider and plot."""
    return area.locator(".tl-scrubber input[type=range]"), area.locator(".tl-scrubber svg").first


def assert_scrubs(area):
    """Every tick of a drag is painted, and no frame in between is blank."""
    slider, plot = parts(area)
    assert {change["value"] for change in drag(plot, slider)} >= set(map(str, range(1, 64)))
    with screencast(area.page) as frames:
        drag(plot, slider)
    assert len(frames) > 20
    assert blank_frames(frames, plot) == 0


def test_scrubbing_paints_every_tick_at_once(shown):
    assert_scrubs(shown("LRScrubber"))


def test_the_scrubber_draws_the_run_of_its_rate(shown):
    area = shown("LRScrubber")
    slider, plot = parts(area)
    data = json.loads(area.locator(".tl-scrubber").get_attribute("data-run"))
    plots, scales = [], []
    for tick in (5, 30, 45):
        slider.evaluate("(slider, tick) => { slider.value = tick; "
                        "slider.dispatchEvent(new Event('input', {bubbles: true})) }", tick)
        plots.append(plot.screenshot())
        drawn = re.findall(r"[ML]\S+ (\S+?)(?=L|$)", area.locator(".tl-train").get_attribute("d"))
        assert len(drawn) == len(data["losses"][tick])
        heights = np.array(drawn, float)
        losses = np.log(np.maximum(data["losses"][tick], 1e-30))  # the axis is logarithmic
        scales.append(np.polyfit(losses, heights, 1))
        assert np.abs(np.polyval(scales[-1], losses) - heights).max() < 0.1
    assert len(set(plots)) == 3
    np.testing.assert_allclose(scales, scales[:1] * 3, rtol=1e-2)


def test_the_scrubber_has_the_keys_and_says_the_learning_rate(page, shown):
    slider, _ = parts(shown("LRScrubber"))
    assert slider.get_attribute("aria-label") == "learning rate"
    active = script(page, "CELL")
    slider.focus()
    cell = page.evaluate(active)
    page.keyboard.press("Home")
    for count, key in enumerate(["ArrowRight", "ArrowUp"], 1):
        page.keyboard.press(key)
        assert slider.input_value() == str(count)
        rate = 10 ** (-5 + 6 * count / 63)
        said = re.search(r"\d\S*$", slider.get_attribute("aria-valuetext"))[0]
        assert float(said) == pytest.approx(rate, rel=0.01)
    for key in ("ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
    assert slider.input_value() == "0"
    assert page.evaluate(active) == cell
    assert slider.evaluate("slider => slider === document.activeElement")


def test_train_here_adds_a_run_between_the_ticks(page, shown):
    area = shown("LRScrubber")
    thumb = area.locator(".noUi-handle").first
    thumb.focus()
    page.keyboard.press("ArrowRight")
    area.locator("button", has_text="Train here").click()
    area.locator("input[type=range][max='64']").wait_for(timeout=60_000)
    slider, plot = parts(area)
    data = json.loads(area.locator(".tl-scrubber").get_attribute("data-run"))
    tick = int(slider.input_value())
    assert len(data["lrs"]) == 65
    hundredths = 100 * np.log10(data["lrs"])  # of a power of ten, the steps of the other slider
    assert hundredths[tick] == pytest.approx(round(hundredths[tick]), abs=1e-6)
    assert np.diff(hundredths).min() > 0
    assert data["names"][tick] in slider.get_attribute("aria-valuetext")
    before = plot.screenshot()
    drag(plot, slider, ticks=8)
    assert plot.screenshot() != before
    run(page, list(CELLS).index("LRScrubber"))


def test_the_scrubber_without_a_network(browser, saved, tmp_path):
    refused = []
    page = offline(browser, export(saved, tmp_path / "page.html"), refused)
    area = page.locator("body")
    assert area.locator(".tl-scrubber img").count() == 0
    assert_scrubs(area)
    assert not [url for url in refused if not re.search("require|mathjax|widgets", url, re.I)]
    page.context.close()


@pytest.mark.parametrize("app", APPS)
def test_an_untrusted_notebook_shows_images(browser, server, saved, app):
    notebook = nbformat.read(saved, 4)
    notebook.metadata["title"] = app  # no longer what was signed
    nbformat.write(notebook, server.folder / "untrusted.ipynb")
    page = server.open(browser, app, "untrusted.ipynb")
    for index in range(1, len(CELLS)):
        area = output(page, index)
        area.locator("img").first.wait_for(state="visible", timeout=60_000)
        assert area.locator("img").first.evaluate("image => image.naturalWidth") > 300
        assert area.locator("input[type=range]").count() == 0
    server.close(page)


@pytest.mark.parametrize("name", list(CELLS)[1:])
def test_running_a_cell_again_leaves_nothing_open(page, name):
    count = "print(len(get_ipython().kernel.comm_manager.comms), plt.get_fignums())"
    before = ask(page, count)
    for _ in range(3):
        run(page, list(CELLS).index(name))
    assert ask(page, count) == before
    assert before.endswith("[]")


@pytest.mark.parametrize("name", EXPLORERS[:-3])
def test_dragging_changes_the_image(shown, name):
    area = shown(name)
    plot, slider = controls(area, name)
    with screencast(area.page) as frames:
        changes = drag(plot, slider, ticks=32)
    assert blank_frames(frames, plot) <= len(frames) // 10, "a busy machine drops one now and then"
    assert len({change["value"] for change in changes}) > 1


def test_a_click_shows_the_images_of_a_cell(page, shown):
    area = shown("ConfusionExplorer")
    plot = area.locator("img.widget-image")
    before, said = plot.screenshot(), area.locator("[role=status]").inner_text()
    cells = area.locator("button:enabled")
    assert cells.count() >= 3
    with screencast(page) as frames:
        for index in range(3):
            cells.nth(index).click()
            page.wait_for_timeout(500)
    assert len(frames) > 2
    assert plot.screenshot() != before
    assert area.locator("[role=status]").inner_text() != said


def test_another_case_of_the_study_shows_its_curves(page, shown):
    area = shown("LRStudyExplorer")
    plot = area.locator("img.widget-image")
    before, said = plot.screenshot(), area.locator("[role=status]").inner_text()
    area.locator("select").nth(2).select_option(index=1)  # another head
    page.wait_for_timeout(1000)
    assert plot.screenshot() != before
    assert area.locator("[role=status]").inner_text() != said


def test_names_are_text(page, shown):
    for name in ("CrossEntropyExplorer", "ConfusionExplorer", "AugmentExplorer"):
        area = shown(name)
        assert area.locator("img[src=x]").count() == 0
    assert "onerror" in shown("ConfusionExplorer").inner_text()
    assert page.evaluate("window.hacked") is None


def test_a_flood_of_moves_leaves_no_queue(page, server, shown):
    plot, slider = controls(shown("OneCycleExplorer"), "OneCycleExplorer")
    server.delay.seconds = 0.05
    try:
        drag(plot, slider, ticks=100, pace=0.015)
        settled(page)
    finally:
        server.delay.seconds = 0
    rest = "explorer.image.value, explorer.redraw(), explorer.image.value"
    assert ask(page, f"a, _, b = {rest}; print(explorer.controls['lr_max'].value, a == b)") == "1.0 True"


@pytest.mark.parametrize("page", ["lab"], indirect=True)
def test_a_thousand_events_take_no_memory(page, shown):
    plot, slider = controls(shown("OneCycleExplorer"), "OneCycleExplorer")
    memory = "import psutil; print(psutil.Process().memory_info().rss)"
    drag(plot, slider, ticks=200, pace=0.005)
    before = int(ask(page, memory))
    assert len(drag(plot, slider, ticks=1000, pace=0.005)) > 30
    assert int(ask(page, memory)) - before < 10e6


def test_the_notebooks_stop_button_ends_a_training_and_loses_nothing(page, shown):
    area = shown("LossCurves")
    ask(page, "epochs, wait, steps = 100, 0.3, []; before = len(slow.recorder.losses)")
    index = list(CELLS).index("LossCurves")
    start(page, index)
    plot = area.locator("img.widget-image")  # only while it trains
    plot.wait_for()
    first = plot.screenshot()
    wait_until(page, lambda: plot.screenshot() != first)
    interrupt(page)
    assert "KeyboardInterrupt" not in area.inner_text()
    kept, made = ask(page, "print(len(slow.recorder.losses) - before, len(steps))").split()
    # `fit` tries the loss once before it trains, and one step may have been under way.
    assert 0 < int(kept) <= int(made) <= int(kept) + 2
    ask(page, "epochs, wait, steps = 2, 0, []")


@pytest.mark.parametrize("app", APPS)
def test_the_scrubbers_notebook_runs_and_scrubs(browser, server, app):
    lesson = server.folder / "u6_scrubber.ipynb"
    notebook = nbformat.read(LESSONS / lesson.name, 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    nbformat.write(notebook, lesson)
    page = server.open(browser, app, lesson.name)
    run(page)
    index = next(i for i, cell in enumerate(notebook.cells) if cell.source.endswith("LRScrubber(sweep)"))
    slider, plot = parts(output(page, index))
    before = plot.screenshot()
    assert len({change["value"] for change in drag(plot, slider)}) >= 60
    assert plot.screenshot() != before
    server.close(page)


@pytest.mark.parametrize("lesson", ["13_lr_sweep", "u6_scrubber"])
def test_stored_lessons_without_a_network(browser, lesson, tmp_path):
    page = offline(browser, export(LESSONS / f"{lesson}.ipynb", tmp_path / "page.html"), [])
    images = page.locator(".jp-OutputArea-output img")
    widths = images.evaluate_all("all => all.map(image => image.naturalWidth)")
    assert all(width > 300 for width in widths)
    assert page.locator("script[type*='widget-view']").count() == 0
    if lesson == "u6_scrubber":
        slider, plot = parts(page.locator("body"))
        before = plot.screenshot()
        assert len({change["value"] for change in drag(plot, slider)}) >= 63
        assert plot.screenshot() != before
    page.context.close()


def test_the_learning_rate_is_turned_while_it_trains(page, shown):
    area = shown("LossCurves")
    ask(page, "epochs, wait, steps = 100, 0.1, []; before = len(slow.recorder.lrs)")
    start(page, list(CELLS).index("LossCurves"))
    said = area.locator("[role=status]")
    wait_until(page, lambda: said.count() and "as scheduled" in said.inner_text())
    thumb = controls(area, "LossCurves")[1]
    thumb.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    wait_until(page, lambda: "set by hand" in said.inner_text())
    assert thumb.get_attribute("role") == "slider"
    assert thumb.get_attribute("aria-label") == "learning rate"
    assert float(thumb.get_attribute("aria-valuetext")) == pytest.approx(1e-3 * 10**0.15, rel=0.01)
    area.locator("input[type=checkbox]").click()
    wait_until(page, lambda: "as scheduled" in said.inner_text())
    interrupt(page)
    rates = [float(rate) for rate in ask(
        page, "print(*[lrs[0] for lrs in slow.recorder.lrs[before:]])").split()]
    by_hand = [rate for rate in rates if rate != 1e-3]
    assert by_hand[-1] == pytest.approx(1e-3 * 10**0.15, rel=1e-6)
    assert rates[0] == rates[-1] == 1e-3
    assert "schedule" in ask(page, "print(curves.sentence)").split("Turned")[1]
    ask(page, "epochs, wait, steps = 2, 0, []")
