"""Fills solutions into the lessons' exercises: `make solutions` runs every lesson so, top to bottom.

Every check must then say *passed*. `nbdev-test` runs the same lessons with their exercises blank.
"""
import ast
import inspect
import os
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from transfer_lessons.exercises.checking import find
from transfer_lessons.exercises.kit import Exercise

ROOT = Path(__file__).parents[2]


def checked_name(cell: nbformat.NotebookNode) -> str | None:
    """The exercise that a cell checks: its last line is check("lesson.name", name)."""
    if cell.cell_type != "code" or "check(" not in cell.source:
        return None
    source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check":
            return node.args[0].value
    return None


def exercise_cells(notebook: nbformat.NotebookNode) -> Iterator[tuple[nbformat.NotebookNode, str]]:
    """The cells that hold an exercise, and their names."""
    for cell in notebook.cells:
        name = checked_name(cell)
        if name is not None:
            yield cell, name


def blank_of(tree: ast.Module, name: str) -> ast.stmt:
    """The statement that a learner replaces: a function, or an assignment of None."""
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == name:
            return statement
        if isinstance(statement, ast.Assign) and ast.unparse(statement) == f"{name} = None":
            return statement
    raise ValueError(f"The cell has no blank called {name}.")


def filled(source: str, full_name: str) -> str:
    """A cell with the solution in place of the blank; it fails where the check does not pass."""
    exercise = find(full_name)
    tree = ast.parse(source)
    name = full_name.partition(".")[2]
    blank = blank_of(tree, name)
    checking = tree.body[-1]
    if isinstance(exercise, Exercise):
        solution = textwrap.dedent(inspect.getsource(exercise.solution)).splitlines()
    else:
        about = [ast.unparse(keyword.value) for keyword in checking.value.keywords]
        solution = ["from transfer_lessons.exercises.checking import find",
                    f"{name} = find({full_name!r}).solution({', '.join(about)})"]
    lines = source.splitlines()
    before, between = lines[:blank.lineno - 1], lines[blank.end_lineno:checking.lineno - 1]
    return "\n".join([*before, *solution, *between, f"report = {ast.unparse(checking)}",
                      'assert report.state == "passed", report'])


def fill_in(notebook: nbformat.NotebookNode) -> int:
    """Fill in all solutions of a lesson; returns how many."""
    cells = list(exercise_cells(notebook))
    for cell, name in cells:
        cell.source = filled(cell.source, name)
    return len(cells)


def run_solved(file: str) -> str:
    """Run a lesson with its exercises solved; returns what became of them."""
    notebook = nbformat.read(file, 4)
    n_filled = fill_in(notebook)
    if not n_filled:
        return f"== {file}: no exercises"
    began = time.monotonic()
    NotebookClient(notebook, timeout=900,
                   resources={"metadata": {"path": str(ROOT / "nbs")}}).execute()
    return f"== {file}: {n_filled} exercises passed, {time.monotonic() - began:.0f} s"


def main(files: list[str]) -> None:
    os.environ["TRANSFER_LESSONS_PROGRESS"] = f"{tempfile.mkdtemp()}/progress.json"  # of nobody
    with ProcessPoolExecutor(2) as pool:
        for line in pool.map(run_solved, files):
            print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
