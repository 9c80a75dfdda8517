"""`progress`: which exercises are solved, as a table."""
from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from .checking import exercise_names
from .progress_file import DRIVE, PASSED, Record, in_colab, progress_file, read_progress
from .report import MARKS, html_table, marked_up, text_table


class Progress:
    """What a learner has solved of some exercises, and of all.

    Attributes:
        records: by the exercise's name, in the lessons' order
        total: a sentence on the whole course
        note: where the file is, and whether it lasts
    """
    HEADS = ("", "exercise", "state", "attempts", "hints")

    def __init__(self, names: Sequence[str], records: Mapping[str, Record], total: str,
                 note: str = "") -> None:
        self.records = {name: records.get(name, Record()) for name in names}
        self.total = total
        self.note = note

    def _cells(self) -> list[tuple[str, ...]]:
        return [(MARKS.get(record.state, "?"), name, record.state, str(record.attempts),
                 str(record.hints)) for name, record in self.records.items()]

    def _repr_html_(self) -> str:
        return (html_table(self.HEADS, self._cells()) + f"<p>{html.escape(self.total)}</p>"
                + (f"<p>{marked_up(self.note)}</p>" if self.note else ""))

    def __repr__(self) -> str:
        parts = [text_table(self.HEADS, self._cells()), self.total, self.note]
        return "\n".join(part for part in parts if part)


def progress(lesson: str | None = None) -> Progress:
    """What you have solved of a lesson's exercises, or of all.

    Args:
        lesson: the notebook's name without its number, such as "cross_entropy"; None: all lessons
    """
    records = read_progress()
    everything = exercise_names()
    names = everything if lesson is None else [name for name in everything
                                               if name.startswith(f"{lesson}.")]
    n_passed = sum(records.get(name, Record()).state == PASSED for name in everything)
    note = ""
    if in_colab() and not progress_file().is_relative_to(DRIVE):
        note = ("Colab forgets this when the session ends. To keep it, run `from google.colab import "
                "drive` and `drive.mount(\"/content/drive\")` before your first check.")
    return Progress(names, records, f"In the whole course: {n_passed} of {len(everything)} exercises "
                    "passed.", note)
