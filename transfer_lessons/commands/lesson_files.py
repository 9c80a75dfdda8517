"""The notebooks that came with the package: which there are, and what they hold."""
from __future__ import annotations

import difflib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import transfer_lessons

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable  # Python 3.11

PAGE = "index.ipynb"  # the project's page, not a lesson


class Cell(NamedTuple):
    """A cell of a notebook, without what it printed."""
    id: str
    kind: str  # "markdown", "code" or "raw"
    source: str

    def begins(self) -> str:
        """Its first line that a reader would notice."""
        lines = [line.strip() for line in self.source.splitlines()]
        shown = [line for line in lines if line and not line.startswith("#|")]
        text = shown[0] if shown else "(empty)"
        return text if len(text) <= 70 else text[:69] + "…"


class Lesson(NamedTuple):
    """A notebook of the course."""
    name: str  # of its file
    data: bytes

    @property
    def number(self) -> int | None:
        """Its place in the course; None for a notebook under the hood."""
        found = re.match(r"\d+", self.name)
        return int(found[0]) if found else None

    @property
    def subject(self) -> str:
        """Its name without number, as its exercises have it: "lr_finder"."""
        return re.sub(r"^\d+_", "", Path(self.name).stem)

    @property
    def title(self) -> str:
        """What its first heading says."""
        first = read_cells(self.data)[0].source
        return first.partition("\n")[0].lstrip("# ").strip()

    @property
    def minutes(self) -> int:
        """How long it takes to read: 200 words or 15 lines of code a minute."""
        n_words, n_lines = 0, 0
        for cell in read_cells(self.data):
            if cell.kind == "markdown":
                n_words += len(cell.source.split())
            elif cell.kind == "code":
                code = [line.strip() for line in cell.source.splitlines()]
                n_lines += sum(1 for line in code if line and not line.startswith("#"))
        return round(n_words / 200 + n_lines / 15)


def read_cells(data: bytes) -> list[Cell]:
    """The cells of a notebook.

    Args:
        data: the file's content

    Raises:
        ValueError: where it is no notebook
    """
    try:
        found = json.loads(data)["cells"]
        return [Cell(cell.get("id", str(number)), cell["cell_type"], "".join(cell["source"]))
                for number, cell in enumerate(found)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is not a notebook ({type(error).__name__}: {error})") from error


def shipped_folder() -> Traversable:
    """Where this installation has its notebooks: in a clone nbs/, elsewhere inside the package."""
    of_the_clone = Path(transfer_lessons.__file__).parents[1] / "nbs"
    if (of_the_clone / "01_first_model.ipynb").exists():
        return of_the_clone
    try:
        return files("transfer_lessons.lessons")
    except ModuleNotFoundError:
        raise FileNotFoundError("This installation came without its lessons. Install "
                                "transfer_lessons again.") from None


def shipped_lessons() -> list[Lesson]:
    """All notebooks of the course: the numbered ones in order, then those under the hood."""
    found = [Lesson(file.name, file.read_bytes()) for file in shipped_folder().iterdir()
             if file.name.endswith(".ipynb") and file.name != PAGE]
    return sorted(found, key=lambda lesson: (lesson.number is None, lesson.name))


def find_lesson(word: str) -> Lesson:
    """The lesson that is meant.

    Args:
        word: its number, its name, or how its name begins: "9", "09_lr_finder", "u5a"

    Raises:
        ValueError: where there is none
    """
    lessons = shipped_lessons()
    stem = word.removesuffix(".ipynb")
    for lesson in lessons:
        is_number = stem.isdecimal() and int(stem) == lesson.number
        own = Path(lesson.name).stem
        if is_number or stem in (own, own.partition("_")[0], lesson.subject):
            return lesson
    known = [Path(lesson.name).stem for lesson in lessons]
    numbers = [lesson.number for lesson in lessons if lesson.number is not None]
    near = difflib.get_close_matches(stem, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else "`transfer-lessons list` shows all."
    raise ValueError(f"There is no lesson {word!r}; there are {min(numbers)} to {max(numbers)}"
                     f"{_gaps(numbers)}. {hint}")


def _gaps(numbers: list[int]) -> str:
    """Which numbers between the first and the last are missing, in words."""
    missing = sorted(set(range(min(numbers), max(numbers))) - set(numbers))
    return f" without {', '.join(map(str, missing))}" if missing else ""
