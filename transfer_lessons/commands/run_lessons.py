"""`transfer-lessons run N`: run lessons from top to bottom, and say which cell fails."""
from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from transfer_lessons.commands.course_folder import course_folder
from transfer_lessons.commands.lesson_files import (
    Cell,
    Lesson,
    find_lesson,
    read_cells,
    shipped_lessons,
)

if TYPE_CHECKING:
    from nbclient import NotebookClient

SECONDS_PER_CELL = 3600


class Failure(NamedTuple):
    """Where and why a run ended before the notebook did."""
    where: str
    source: str  # of the cell
    reason: str

    def __str__(self) -> str:
        cell = "".join(f"    {line}\n" for line in self.source.splitlines())
        return f"{self.where}:\n{cell}  {self.reason}"


def run_lessons(words: Sequence[str], folder: Path | None) -> int:
    """Run lessons and print of each "ok" and the time, or the cell that failed.

    A learner's copy is run where there is one, as its file is; the file stays as it is.

    Args:
        words: which ones, such as "9"; "all" for every numbered one
        folder: the learner's; None takes the usual one

    Returns:
        exit status: 1 where one failed

    Raises:
        ValueError: for a lesson that there is not
        ImportError: where nothing is installed that runs notebooks
    """
    numbered = [lesson for lesson in shipped_lessons() if lesson.number is not None]
    lessons = numbered if list(words) == ["all"] else [find_lesson(word) for word in words]
    absent = [name for name in ("nbclient", "ipykernel") if find_spec(name) is None]
    if absent:
        raise ImportError("run needs what runs notebooks. Install it with "
                          f"{sys.executable} -m pip install {' '.join(absent)}")
    folder = course_folder(folder)
    failed = [Path(lesson.name).stem for lesson in lessons if not run_lesson(lesson, folder)]
    if len(lessons) > 1:
        which = f"; these did not: {', '.join(failed)}" if failed else ""
        print(f"{len(lessons) - len(failed)} of {len(lessons)} lessons ran to the end{which}.")
    return 1 if failed else 0


def run_lesson(lesson: Lesson, folder: Path) -> bool:
    """Run one lesson, print what came of it, and return whether it ran to its end.

    Args:
        lesson: as it came with the package
        folder: the learner's; a copy in it is run in the lesson's place
    """
    own = folder / lesson.name
    name = Path(lesson.name).stem
    began = time.monotonic()
    if own.is_file():
        name += " (your copy)"
        failure = execute(name, own.read_bytes(), folder, os.environ)
    else:  # nobody's copy leaves nothing behind, and its blank exercises are nobody's attempts
        with tempfile.TemporaryDirectory() as elsewhere:
            progress = str(Path(elsewhere, "progress.json"))
            failure = execute(name, lesson.data, Path(elsewhere),
                              {**os.environ, "TRANSFER_LESSONS_PROGRESS": progress})
    seconds = time.monotonic() - began
    tell(f"{name}: ok, {seconds:.0f} s" if failure is None
         else f"{name}: failed after {seconds:.0f} s, {failure}", end="\n")
    return failure is None


def tell(text: str, end: str = "") -> None:
    """Print over the line that is there; without `end`, only where a terminal can overwrite it."""
    is_terminal = sys.stdout.isatty()
    if is_terminal:
        print(f"\r\x1b[K{text}", end=end, flush=True)
    elif end:
        print(text, end=end, flush=True)


def execute(name: str, data: bytes, folder: Path,
            environment: Mapping[str, str]) -> Failure | None:
    """Run a notebook in a kernel of its own.

    Args:
        name: for the line that says which cell is running
        data: the notebook's file
        folder: where it runs
        environment: its variables

    Returns:
        None if it ran to its end, or where it failed
    """
    import nbformat
    from nbclient import NotebookClient

    try:
        cells = read_cells(data)
        notebook = nbformat.reads(data.decode("utf-8"), 4)
    except Exception as error:  # nbformat raises anything for a damaged file
        return Failure("before its first cell", "",
                       f"The file is not a notebook ({type(error).__name__}).")
    client = NotebookClient(notebook, timeout=SECONDS_PER_CELL, kernel_name="python3",
                            store_widget_state=False, resources={"metadata": {"path": str(folder)}})
    client.reset_execution_trackers()
    n_code = sum(cell.kind == "code" for cell in cells)
    with client.setup_kernel(env=dict(environment), stderr=subprocess.DEVNULL):
        number = 0
        for index, cell in enumerate(cells):
            if cell.kind != "code":
                continue
            number += 1
            tell(f"{name}: cell {number} of {n_code}")
            if reason := why_it_fails(client, index):
                return Failure(f"code cell {number} of {n_code}{below_heading(cells[:index])}",
                               cell.source, reason)
    return None


def why_it_fails(client: NotebookClient, index: int) -> str | None:
    """Run one cell; None if it ran, or what went wrong."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    try:
        client.execute_cell(client.nb.cells[index], index)
    except CellExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    except CellTimeoutError:
        return f"It did not end within {SECONDS_PER_CELL} s."
    except DeadKernelError:
        return "Python itself was ended, most often because memory ran out. Try smaller batches."
    return None


def below_heading(above: Sequence[Cell]) -> str:
    """The last heading of some cells, as a place: ' below "Why it fails"'; nothing without one."""
    text = "\n".join(cell.source for cell in above if cell.kind == "markdown")
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return f' below "{headings[-1]}"' if headings else ""
