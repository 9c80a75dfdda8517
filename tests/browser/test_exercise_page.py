"""An exercise with an explorer, solved in the page as a learner does: by keyboard, while it trains."""
import re
from pathlib import Path

import nbformat
from helpers import controls, jupyter, output, run, start, wait_until, write_notebook

IMPORTS = """
from torch import nn
from transfer_lessons.exercises import check
from transfer_lessons.network_checks import fastest_format
"""
LESSON = Path(__file__).parents[2] / "nbs" / "08_training_loop.ipynb"
# At which step to turn by how many ticks of the slider: up threefold until it bursts, and far back.
TURNS = {20: 10, 28: 10, 36: 10, 44: -30}


def lesson_cells() -> list[str]:
    """The cells of the lesson that the exercise needs, the last one with an answer."""
    sources = [cell.source for cell in nbformat.read(LESSON, 4).cells if cell.cell_type == "code"]
    def cell_with(text: str) -> str:
        return next(source for source in sources if text in source)
    fresh_model, _, _ = cell_with("def fresh_model").partition("\nfirst, second")
    drive = cell_with("def drive").replace("my_drive = None", "my_drive = (0.1, drive())")
    return [cell_with("from transfer_lessons.all import"), cell_with("dls = icons("),
            IMPORTS + fresh_model, drive]


def test_the_learning_rate_is_driven_to_the_brink_and_back_in_the_page(browser, tmp_path):
    *preparation, drive = lesson_cells()
    write_notebook(tmp_path / "drive.ipynb", *preparation, drive)
    with jupyter(tmp_path) as server:
        page = server.open(browser, "lab", "drive.ipynb")
        for cell in range(len(preparation)):
            run(page, cell)
        start(page, len(preparation))
        area = output(page, len(preparation))
        said = area.locator("[role=status]")

        def steps() -> int:
            if said.count() and (found := re.search(r"Epoch (\d) of 4, step (\d+) of (\d+)", said.inner_text())):
                epoch, done, of = map(int, found.groups())
                return (epoch - 1) * of + done
            return 0

        for step, ticks in TURNS.items():
            wait_until(page, lambda step=step: steps() >= step)
            controls(area, "LossCurves")[1].focus()
            for _ in range(abs(ticks)):
                page.keyboard.press("ArrowRight" if ticks > 0 else "ArrowLeft")
        page.evaluate("window.tlDone")
        wait_until(page, lambda: "training_loop.my_drive" in area.inner_text())
        assert "training_loop.my_drive passed" in area.inner_text(), area.inner_text()
