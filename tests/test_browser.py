"""The explorers as a learner uses them: JupyterLab, Notebook 7 and static pages, in chromium.

One small notebook with every explorer is run once in each of the two applications; the tests then
use what stands there. Limits of time are three times those that `make bench` holds.
"""
import json
import re

import nbformat
import numpy as np
import pytest
from browser import (
    APPS,
    ask,
    blank_frames,
    drag,
    export,
    jupyter,
    key_to_paint,
    offline,
    output,
    run,
    screencast,
    write_notebook,
)

SLACK = 3  # other programs may be using the machine
SWEEP = """
import matplotlib.pyplot as plt
import torch
from transfer_lessons.all import *
from transfer_lessons.sweep import *
from transfer_lessons.widgets import *
torch.manual_seed(0)
dls = icons(size=64, augment=False, device="cpu")
learn = vision_learner(dls, hidden=None).precompute()
sweep = sweep_lrs(learn, [10 ** (-5 + 6 * i / 63) for i in range(64)], 3)
"""
CELLS = {"setup": SWEEP, "LRScrubber": "LRScrubber(sweep)"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with jupyter(tmp_path_factory.mktemp("notebooks")) as server:
        write_notebook(server.folder / "explorers.ipynb", *CELLS.values())
        yield server


@pytest.fixture(scope="module", params=APPS)
def page(request, browser, server):
    "The explorers' notebook, open and run."
    page = server.open(browser, request.param, "explorers.ipynb")
    run(page)
    yield page
    server.close(page)


@pytest.fixture
def shown(page):
    "Finds the output of an explorer's cell on the page."
    return lambda name: output(page, list(CELLS).index(name))


@pytest.fixture(scope="module")
def saved(browser, server, tmp_path_factory):
    "The explorers' notebook as JupyterLab saves it, outputs and all."
    write_notebook(server.folder / "saved.ipynb", *CELLS.values())
    page = server.open(browser, "lab", "saved.ipynb")
    run(page)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    server.close(page)
    return server.folder / "saved.ipynb"


def parts(area):
    "A scrubber's slider and plot."
    return area.locator(".tl-scrubber input[type=range]"), area.locator(".tl-scrubber svg").first


def assert_scrubs(area):
    "Every tick of a drag is painted, soon, and no frame in between is blank."
    slider, plot = parts(area)
    assert np.percentile(key_to_paint(plot, slider), 95) <= 20 * SLACK
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
    pictures, scales = [], []
    for tick in (5, 30, 45):
        slider.evaluate("(slider, tick) => { slider.value = tick; "
                        "slider.dispatchEvent(new Event('input', {bubbles: true})) }", tick)
        pictures.append(plot.screenshot())
        drawn = re.findall(r"[ML]\S+ (\S+?)(?=L|$)", area.locator(".tl-train").get_attribute("d"))
        assert len(drawn) == len(data["losses"][tick])
        heights, losses = np.array(drawn, float), np.array(data["losses"][tick])
        scales.append(np.polyfit(losses, heights, 1))
        assert np.abs(np.polyval(scales[-1], losses) - heights).max() < 0.1
    assert len(set(pictures)) == 3
    np.testing.assert_allclose(scales, scales[:1] * 3, rtol=1e-2)


def test_the_scrubber_has_the_keys_and_says_the_rate(page, shown):
    slider, _ = parts(shown("LRScrubber"))
    assert slider.get_attribute("aria-label") == "learning rate"
    active = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
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


def test_the_scrubber_without_a_network(browser, saved, tmp_path):
    refused = []
    page = offline(browser, export(saved, tmp_path / "page.html"), refused)
    area = page.locator("body")
    assert area.locator(".tl-scrubber img").count() == 0
    assert_scrubs(area)
    assert not [url for url in refused if not re.search("require|mathjax|widgets", url, re.I)]
    page.context.close()


@pytest.mark.parametrize("app", APPS)
def test_an_untrusted_notebook_shows_pictures(browser, server, saved, app):
    notebook = nbformat.read(saved, 4)
    notebook.metadata["title"] = app  # no longer what was signed
    nbformat.write(notebook, server.folder / "untrusted.ipynb")
    page = server.open(browser, app, "untrusted.ipynb")
    for index in range(1, len(CELLS)):
        area = output(page, index)
        area.locator("img").first.wait_for(state="visible", timeout=10_000)
        assert area.locator("img").first.evaluate("image => image.naturalWidth") > 300
        assert area.locator("input[type=range]").count() == 0
    server.close(page)


def test_running_a_cell_again_leaves_nothing_open(page):
    count = ("import ipywidgets.widgets.widget as module\n"
             "print(len(module._instances), plt.get_fignums())")
    index = list(CELLS).index("LRScrubber")
    before = ask(page, count)
    for _ in range(3):
        run(page, index)
    assert ask(page, count) == before
    assert before.endswith("[]")
