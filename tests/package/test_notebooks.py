"""The notebooks: one set-up cell, the question at the top, nothing left behind by a run."""
import json
import re

import nbformat
import pytest
from house import NOTEBOOKS
from setup_cell import MARK, setup_cell

each_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
each_lesson = pytest.mark.parametrize(
    "file", [file for file in NOTEBOOKS if file.stem[0] != "u"], ids=lambda file: file.stem)


def code_cells(file):
    return [cell for cell in nbformat.read(file, 4).cells if cell.cell_type == "code"]


def directive(cell, name):
    return re.match(rf"#\| *{name}", cell.source)


@each_notebook
def test_the_set_up_cell_is_that_of_all_and_comes_first(file):
    cells = [cell for cell in code_cells(file) if not directive(cell, "default_exp")]
    assert [cell.source for cell in cells if MARK in cell.source] == [setup_cell()]
    assert MARK in cells[0].source


def test_the_set_up_cell_is_short():
    assert len(setup_cell().splitlines()) <= 8


@each_notebook
def test_the_first_cell_is_the_title(file):
    first = nbformat.read(file, 4).cells[0].source
    assert re.match(r"# \S", first)
    if any(directive(cell, "export") for cell in code_cells(file)):
        assert re.search(r"^> \S", first, re.M), "no sentence that says what the module holds"


@each_lesson
def test_the_question_stands_on_the_first_screen(file):
    cells = nbformat.read(file, 4).cells
    number = next(i for i, cell in enumerate(cells) if MARK in cell.source)
    before = [cell.source for cell in cells[:number + 2] if cell.cell_type == "markdown"]
    assert number <= 4, "the set-up cell comes too late"
    assert "?" in "".join(before), "no question before the set-up cell or right after it"


@each_notebook
def test_a_notebook_is_clean(file):
    cells = nbformat.read(file, 4).cells
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        output.get("data", {}).pop("image/png", None)  # its letters may spell anything
    text = json.dumps(cells)
    assert not re.search(r"/(root|work|tmp|home|Users)/", text), "a path of some machine"
    assert not re.search(r"\d+it/s|\d%\|", text), "what a progress bar left: run `make lessons`"
    assert all(cell.get("execution_count") is None for cell in cells), "run nbdev-clean"
    assert all(cell.get("id") for cell in cells)
    assert len({cell.id for cell in cells}) == len(cells)


@each_notebook
def test_stored_outputs_are_those_of_a_good_run(file):
    outputs = [output for cell in code_cells(file) for output in cell.outputs]
    assert outputs, "no outputs stored: run `make lessons`"
    assert not [o for o in outputs if o.output_type == "error"], "an error is stored"
    assert not [o for o in outputs if o.get("name") == "stderr"], "a warning is stored"
    empty = [o for o in outputs
             if not any(str(shown).strip() for shown in o.get("data", {"text": o.get("text")}).values())]
    assert not empty, "an empty output: run `make lessons`"


@each_notebook
def test_a_cell_fits_on_a_screen(file):
    assert max(len(cell.source.splitlines()) for cell in code_cells(file)) <= 65
