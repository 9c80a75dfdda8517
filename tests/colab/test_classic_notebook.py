"""The explorers in classic Notebook with Colab's versions, in chromium."""
import numpy as np
import pytest
from helpers import ask, controls, drag, output, run, save, settled, wait_until, write_notebook
from test_browser import (  # noqa: F401  the same tests, with the page of this file
    CELLS,
    EXPLORERS,
    shown,
    test_a_click_shows_the_images_of_a_cell,
    test_a_flood_of_moves_leaves_no_queue,
    test_dragging_changes_the_image,
    test_names_are_text,
    test_scrubbing_paints_every_tick_at_once,
    test_the_learning_rate_is_turned_while_it_trains,
    test_the_notebooks_stop_button_ends_a_training_and_loses_nothing,
    test_the_scrubber_draws_the_run_of_its_rate,
)

COUNT = "print(len(get_ipython().kernel.comm_manager.comms), plt.get_fignums())"


@pytest.fixture(scope="module")
def server(classic_server):
    return classic_server


@pytest.fixture(scope="module")
def page(browser, server):
    write_notebook(server.folder / "explorers.ipynb", *CELLS.values())
    page = server.open(browser, "classic", "explorers.ipynb")
    run(page)
    save(page)
    yield page
    server.close(page)


@pytest.mark.parametrize("name", EXPLORERS)
def test_no_image_is_stretched(shown, name):  # noqa: F811
    image = shown(name).locator("img").first
    assert image.evaluate("image => [image.width, image.height]") == image.evaluate(
        "image => [image.naturalWidth, image.naturalHeight]")


def test_the_two_schedules_stand_side_by_side(shown):  # noqa: F811
    buttons = shown("OneCycleExplorer").locator(".widget-toggle-button")
    places = buttons.evaluate_all("all => all.map(button => button.getBoundingClientRect().top)")
    assert len(places) == 2 and len(set(places)) == 1


def test_running_a_cell_again_leaves_no_more_open_than_four_runs(page):
    index = list(CELLS).index("OneCycleExplorer")
    for _ in range(4):
        run(page, index)
    before = ask(page, COUNT)
    assert before.endswith("[]")
    for _ in range(3):
        run(page, index)
    assert ask(page, COUNT) == before


def test_train_here_adds_a_run_and_no_output(page, shown):  # noqa: F811
    area = shown("LRScrubber")
    runs = area.locator(".tl-scrubber input[type=range]")
    before = area.locator(".output_area").count()
    ask(page, "from transfer_lessons.core import Progress\n"
              "Progress.step = lambda self: self._draw('as slow as on a busy machine')")
    area.locator(".ui-slider-handle").focus()
    page.keyboard.press("ArrowRight")
    area.locator("button", has_text="Train here").click()
    wait_until(page, lambda: runs.get_attribute("max") == "64")
    page.wait_for_timeout(500)
    assert area.locator(".output_area").count() == before


def moves(page, cell):
    """Whether an explorer's image follows its slider."""
    plot, slider = controls(output(page, cell), "OneCycleExplorer")
    before = plot.screenshot()
    drag(plot, slider, ticks=8)
    settled(page)
    return plot.screenshot() != before


@pytest.mark.case("classic Notebook: two cells with the same source", "both explorers stay live")
def test_two_cells_with_the_same_source_both_follow_their_sliders(browser, server):
    write_notebook(server.folder / "twice.ipynb", "from transfer_lessons.all import *",
                   "OneCycleExplorer()", "OneCycleExplorer()")
    page = server.open(browser, "classic", "twice.ipynb")
    run(page)
    assert moves(page, 1) and moves(page, 2)
    server.close(page)


def test_in_colab_the_image_follows_the_slider(browser, server):
    write_notebook(server.folder / "colab.ipynb",
                   "import sys\nsys.modules['google.colab'] = sys\nfrom transfer_lessons.all import *",
                   "explorer = OneCycleExplorer()\nexplorer")
    page = server.open(browser, "classic", "colab.ipynb")
    run(page)
    plot, slider = controls(output(page, 1), "OneCycleExplorer")
    changes = drag(plot, slider, ticks=40)
    settled(page)
    assert len(changes) > 5
    assert ask(page, "print(explorer.controls['lr_max'].value)") == "1.0"
    drawn = "import numpy; print(explorer.lines[0].get_ydata().max())"
    wait_until(page, lambda: np.isclose(float(ask(page, drawn)), 1.0), 10)
    server.close(page)
