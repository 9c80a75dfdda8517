"""What a learner has solved, in one small file that no update and no second notebook can lose."""
from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import platformdirs

PASSED, NOT_YET, NOT_ATTEMPTED = "passed", "not yet", "not attempted"
DRIVE = Path("/content/drive/MyDrive")  # where Colab shows a learner's Google Drive
_kept_here: dict[str, Record] = {}  # where no file can be written


class Record(NamedTuple):
    """What a learner has done with one exercise."""
    state: str = NOT_ATTEMPTED
    attempts: int = 0
    hints: int = 0
    solution_seen: bool = False


def in_colab() -> bool:
    """Whether this is Google Colab."""
    # A program that a cell starts, such as transfer-lessons, sees the variable alone.
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def progress_file() -> Path:
    """The learner's file: TRANSFER_LESSONS_PROGRESS names it, else it is among the user's data."""
    named = os.environ.get("TRANSFER_LESSONS_PROGRESS")
    if named:
        return Path(named).expanduser()
    if in_colab() and DRIVE.is_dir():
        return DRIVE / "transfer_lessons" / "progress.json"
    return Path(platformdirs.user_data_dir("transfer_lessons", appauthor=False)) / "progress.json"


def read_progress(file: str | os.PathLike | None = None) -> dict[str, Record]:
    """What a learner has done, by the name of the exercise.

    Args:
        file: somebody's progress file; None: the learner's own

    Raises:
        OSError: where the file of somebody else cannot be read
        ValueError: where it is no progress file
    """
    if file is not None:
        return _parsed(Path(file))
    path = progress_file()
    found = dict(_kept_here)
    try:
        if path.exists():
            found.update(_parsed(path))
    except (OSError, ValueError) as error:
        _say_once(f"Your progress could not be read: {error}")
    return found


def _parsed(path: Path) -> dict[str, Record]:
    """The records in a file."""
    return {name: _record(row) for name, row in _rows(path).items()}


def _rows(path: Path) -> dict[str, dict]:
    """The content of a file, checked; what a later version adds to a row is left alone."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["exercises"]
        for row in rows.values():
            _record(row)
        return rows
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is no progress file of transfer_lessons, or is damaged. Nothing "
                         "of it was changed.") from None


def _record(row: dict) -> Record:
    """A row as a record, with defaults for what it lacks."""
    return Record(str(row.get("state", NOT_ATTEMPTED)), int(row.get("attempts", 0)),
                  int(row.get("hints", 0)), bool(row.get("solution_seen", False)))


def update(name: str, change: Callable[[Record], Record]) -> Record:
    """Change one record in the learner's file; other processes that write to it wait.

    Where the file cannot be written, the record is kept until the end of this process, and the
    learner is told so once.

    Args:
        name: "lesson.name"
        change: from the record that is there to the new one
    """
    path = progress_file()
    try:
        return _update_file(path, name, change)
    except OSError as error:
        record = change(_kept_here.get(name, Record()))
        _kept_here[name] = record
        _say_once(f"Your progress is kept only until this notebook is closed: {error} Set the "
                  "environment variable TRANSFER_LESSONS_PROGRESS to a file that can be written.")
        return record


def _update_file(path: Path, name: str, change: Callable[[Record], Record]) -> Record:
    """Read, change and write under a lock."""
    from transfer_lessons.checkpoints import locked, write_atomically
    with locked(path, timeout=10.0):
        rows = _rows_to_change(path)
        row = rows.get(name, {})
        record = change(_record(row))
        rows[name] = {**row, **record._asdict()}
        content = {"about": "progress in transfer_lessons", "exercises": rows}
        text = json.dumps(content, indent=1, sort_keys=True)
        write_atomically(path, f"{text}\n".encode())
        return record


def _rows_to_change(path: Path) -> dict[str, dict]:
    """The rows of the learner's file; a damaged one is put aside, not overwritten."""
    try:
        return _rows(path) if path.exists() else {}
    except ValueError:
        aside = path.with_suffix(".damaged")
        path.replace(aside)
        _say_once(f"Your progress file was damaged; it is now {aside}, and a new one begins.")
        return {}


def add_attempt(name: str, state: str) -> None:
    """Count an attempt; what was passed once stays passed."""
    def change(record: Record) -> Record:
        better = PASSED if record.state == PASSED else state
        return record._replace(state=better, attempts=record.attempts + 1)
    update(name, change)


_said: set[str] = set()


def _say_once(message: str) -> None:
    """Warn, but not at every check of a notebook."""
    if message not in _said:
        _said.add(message)
        warnings.warn(message, stacklevel=4)
