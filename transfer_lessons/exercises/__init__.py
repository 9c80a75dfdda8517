"""Exercises: `check` an answer, ask for a `hint` or the `solution`, and see your `progress`."""
from __future__ import annotations

from .checking import check, exercise_names, hint, solution
from .overview import progress
from .progress_file import Record, progress_file, read_progress
from .questions import questions

__all__ = ["Record", "check", "exercise_names", "hint", "progress", "progress_file", "questions",
           "read_progress", "solution"]
