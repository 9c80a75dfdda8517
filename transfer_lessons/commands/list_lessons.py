"""`transfer-lessons list`: the lessons, how long each takes, and where the learner's copies are."""
from __future__ import annotations

from pathlib import Path

from transfer_lessons.commands.course_folder import course_folder, digest, read_record
from transfer_lessons.commands.lesson_files import Lesson, shipped_lessons


def list_lessons(folder: Path | None) -> int:
    """Print one line per lesson.

    Args:
        folder: the learner's; None takes the usual one

    Returns:
        exit status
    """
    folder = course_folder(folder)
    record = read_record(folder)
    lessons = [lesson for lesson in shipped_lessons() if lesson.number is not None]
    width = max(len(lesson.title) for lesson in lessons)
    print(f" N  {'lesson':<{width}}  minutes  your copy")
    for lesson in lessons:
        state = state_of_copy(lesson, folder, record)
        print(f"{lesson.number:>2}  {lesson.title:<{width}}  {lesson.minutes:>7}  {state}".rstrip())
    where = folder.resolve() if folder.is_dir() else "none yet"
    print(f"\nYour copies: {where}\n"
          "`transfer-lessons open 1` brings them up to date and opens lesson 1.")
    return 0


def state_of_copy(lesson: Lesson, folder: Path, record: dict) -> str:
    """What the learner's folder holds of a lesson, in two words; nothing where it holds none."""
    file = folder / lesson.name
    if not file.is_file():
        return ""
    current = digest(file.read_bytes())
    if current == digest(lesson.data):
        return "as it came"
    if current == record.get(lesson.name, {}).get("copied"):
        return "an older version"
    return "with your changes"
