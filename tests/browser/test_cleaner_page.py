"""The cleaner as a learner uses it: marks chosen in the page, another class, a kernel that restarts."""
import json
from pathlib import Path

import pytest
from helpers import APPS, jupyter, output, run, wait_until, write_notebook

SETUP = """
import torch
from transfer_lessons.all import *
from transfer_lessons.data import ImageDataset
from transfer_lessons.datasets import draw_icons

images, _ = draw_icons(64)
names = ["animal", "<img src=x onerror='window.hacked = 1'>", "remove"]
targets = torch.tensor([i % 3 for i in range(30)])
data = ImageDataset(images[:30], targets.tolist(), 64)
logits = torch.eye(3)[targets.roll(1)]
interp = ClassificationInterpretation(logits, targets, data, names, torch.arange(30, 0, -1.0))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with jupyter(tmp_path_factory.mktemp("cleaner")) as server:
        yield server


def marks(file: Path) -> list[str]:
    """What the file says, in its own words."""
    if not file.exists():
        return []
    return sorted(f"{m['action']} {m['label']}" for m in json.loads(file.read_text())["marks"].values())


@pytest.mark.case("the cleaner: the kernel restarts", "the marks are in their file, and the page shows them again")
@pytest.mark.parametrize("app", APPS)
def test_marks_made_in_the_page_survive_another_class_and_a_restart(browser, server, app):
    file = server.folder / f"{app}.json"
    write_notebook(server.folder / f"{app}.ipynb", SETUP, f"ImageCleaner(interp, {file.name!r})")
    page = server.open(browser, app, f"{app}.ipynb")
    try:
        run(page)
        area = output(page, 1)
        status = area.locator("[role=status]")
        selects = area.locator("select").locator("visible=true")
        chosen, first, second = (selects.nth(i) for i in range(3))
        assert selects.count() == 6 and "0 of them marked" in status.inner_text()
        plot = area.locator("img.widget-image")
        before = plot.screenshot()
        first.select_option(label="remove")
        second.select_option(label="is: remove")
        wait_until(page, lambda: marks(file) == ["relabel remove", "remove None"])
        wait_until(page, lambda: "2 of them marked" in status.inner_text())
        assert plot.screenshot() != before
        chosen.select_option(index=3)  # another class
        wait_until(page, lambda: "Page 1 of 2" in status.inner_text())
        chosen.select_option(index=0)
        wait_until(page, lambda: "2 of them marked" in status.inner_text())
        page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session"
                      ".kernel.restart(); }")
        run(page)
        status = output(page, 1).locator("[role=status]")
        wait_until(page, lambda: "2 of them marked" in status.inner_text())
        output(page, 1).locator("select").locator("visible=true").nth(1).select_option(label="no mark")
        wait_until(page, lambda: marks(file) == ["relabel remove"])
        assert page.evaluate("window.hacked") is None
    finally:
        server.close(page)
