"""Exercises as they stand in the lessons: every one is there once, and nothing depends on it."""
import ast
import re
from pathlib import Path

import fill_in
import nbformat
import pytest

from transfer_lessons.exercises import exercise_names
from transfer_lessons.exercises.checking import find, lessons

NBS = Path(__file__).parents[2] / "nbs"
FILES = {file.stem[3:]: file for file in sorted(NBS.glob("[01][0-9]_*.ipynb"))}


def read(lesson):
    return nbformat.read(FILES[lesson], 4)


def test_every_lesson_has_questions_and_all_but_three_have_exercises():
    assert set(lessons()) == set(FILES)
    with_exercises = {name.partition(".")[0] for name in exercise_names()}
    assert set(FILES) - with_exercises <= {"first_model", "pets", "many_gpus"}
    for lesson in with_exercises:
        assert 2 <= len(exercise_names(lesson)) <= 5


@pytest.mark.parametrize("lesson", FILES)
def test_a_lesson_has_its_exercises_questions_and_progress_in_order(lesson):
    notebook = read(lesson)
    assert [name for _, name in fill_in.exercise_cells(notebook)] == exercise_names(lesson)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(f'questions("{lesson}")' in source for source in code) == 1
    if exercise_names(lesson):
        assert f'progress("{lesson}")' in notebook.cells[-1].source


@pytest.mark.parametrize("lesson", sorted({name.partition(".")[0] for name in exercise_names()}))
def test_no_other_cell_uses_what_a_learner_writes(lesson):
    notebook = read(lesson)
    for cell, full_name in fill_in.exercise_cells(notebook):
        name = full_name.partition(".")[2]
        for other in notebook.cells:
            if other.cell_type == "code" and other is not cell:
                assert not re.search(rf"\b{name}\b", other.source), f"{name} in {other.source}"


@pytest.mark.parametrize("lesson", sorted({name.partition(".")[0] for name in exercise_names()}))
def test_solutions_filled_in_pass_with_what_the_lesson_imports(lesson):
    """But for decisions about what the lesson computed: `make solutions` runs those."""
    notebook = read(lesson)
    namespace = {}
    exec("from transfer_lessons.all import *", namespace)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            plain = re.sub(r"^(\s*)%.*", r"\1pass", cell.source, flags=re.M)  # %pip and the like
            for node in ast.parse(plain).body:
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    exec(ast.unparse(node), namespace)
    for cell, name in fill_in.exercise_cells(notebook):
        if getattr(find(name), "about", None) is None:
            exec(fill_in.filled(cell.source, name), namespace)
