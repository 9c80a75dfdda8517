"""The learner's folder: lessons come into it and are renewed there, and no work is overwritten."""
# Beside the lessons lies a small record of what was copied. A lesson whose content still has the
# hash in the record is as it came, so a new version may replace it. Any other is the learner's.
from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from transfer_lessons import __version__
from transfer_lessons.commands.lesson_files import Cell, Lesson, read_cells

RECORD = ".transfer_lessons.json"
DEFAULT = "transfer_lessons_course"


class Differences(NamedTuple):
    """What is new in a version of a lesson: how the cells begin."""
    added: list[str]
    changed: list[str]
    removed: list[str]


class Renewal(NamedTuple):
    """What happened to one lesson in the learner's folder.

    The state is "copied" (it was not there), "current", "renewed" (the old version was as it came),
    "kept" (it is the learner's, and there is a new version), or "yours" (and there is none).
    """
    lesson: str
    state: str
    differences: Differences | None = None


def usable_folder(folder: str | os.PathLike) -> Path:
    """A folder in which files can be written, made where it is missing.

    Args:
        folder: its path

    Raises:
        ValueError: where it is a file, or cannot be written
    """
    path = Path(folder).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(f"folder must be one where files can be written; got {path} "
                         f"({error.strerror}). Try another folder.") from error
    return path


def course_folder(given: str | os.PathLike | None = None) -> Path:
    """The learner's folder: the one given, this one if lessons were copied here, or the default."""
    if given is not None:
        return Path(given).expanduser()
    return Path() if Path(RECORD).is_file() else Path(DEFAULT)


def digest(data: bytes) -> str:
    """SHA-256 of a content."""
    return hashlib.sha256(data).hexdigest()


def write_whole(file: Path, data: bytes) -> None:
    """Write a file whole or not at all: a power cut leaves the old one."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def read_record(folder: Path) -> dict[str, Any]:
    """What was copied into a folder, by lesson; nothing where no record can be read.

    Without a record every lesson that differs from the course's counts as the learner's.
    """
    try:
        lessons = json.loads((folder / RECORD).read_bytes())["lessons"]
        return {name: entry for name, entry in lessons.items() if is_entry(entry)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def is_entry(entry: Any) -> bool:
    """Whether this is what `renew` puts into a record for one lesson."""
    if not isinstance(entry, dict) or not {"copied", "seen", "cells"} <= entry.keys():
        return False
    cells = entry["cells"]
    return isinstance(cells, dict) and all(
        isinstance(cell, list) and len(cell) == 2 for cell in cells.values())


def summary(cells: list[Cell]) -> dict[str, list[str]]:
    """What the record keeps of cells: by id, the hash of the source and how it begins."""
    return {cell.id: [digest(cell.source.encode()), cell.begins()] for cell in cells}


def compare(old: Mapping[str, list[str]], new: Mapping[str, list[str]]) -> Differences:
    """Compare two versions of a lesson, cell by cell.

    Args:
        old: as `summary` gives it
        new: the same of the other version
    """
    return Differences(
        added=[begins for key, (_, begins) in new.items() if key not in old],
        changed=[begins for key, (source, begins) in new.items()
                 if key in old and source != old[key][0]],
        removed=[begins for key, (_, begins) in old.items() if key not in new])


def renew(lesson: Lesson, folder: Path, record: dict[str, Any]) -> Renewal:
    """Bring one lesson into the learner's folder, unless something of theirs is in its place.

    Args:
        lesson: as it came with the package
        folder: the learner's
        record: what was copied before; it is brought up to date
    """
    target = folder / lesson.name
    new = digest(lesson.data)
    cells = summary(read_cells(lesson.data))
    before = record.get(lesson.name)
    current = digest(target.read_bytes()) if target.exists() else None
    as_it_came = {"copied": new, "seen": new, "cells": cells}

    if current is None:
        write_whole(target, lesson.data)
        record[lesson.name] = as_it_came
        return Renewal(lesson.name, "copied")
    if current == new:
        record[lesson.name] = as_it_came
        return Renewal(lesson.name, "current")
    if before is None:
        return Renewal(lesson.name, "yours")
    differences = compare(before["cells"], cells)
    if current == before["copied"]:
        write_whole(target, lesson.data)
        record[lesson.name] = as_it_came
        return Renewal(lesson.name, "renewed", differences)
    is_news = before["seen"] != new and any(differences)
    record[lesson.name] = {"copied": before["copied"], "seen": new, "cells": cells}
    return Renewal(lesson.name, "kept" if is_news else "yours", differences)


def renew_all(lessons: list[Lesson], folder: Path) -> list[Renewal]:
    """Bring lessons into the learner's folder, never over their work.

    Args:
        lessons: as they came with the package
        folder: the learner's; it is made where it is missing

    Raises:
        ValueError: for a folder that cannot be written
    """
    folder = usable_folder(folder)
    record = read_record(folder)
    try:
        return [renew(lesson, folder, record) for lesson in lessons]
    finally:  # also of those that were copied before something went wrong
        content = {"version": __version__, "lessons": record}
        write_whole(folder / RECORD, json.dumps(content, indent=1).encode())
