"""`transfer-lessons progress`: which exercises are passed; of many files, a table for a teacher."""
from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_lessons.commands.lesson_files import shipped_lessons

if TYPE_CHECKING:
    from transfer_lessons.exercises import Record


def show_progress(files: Sequence[Path]) -> int:
    """Print the progress of this learner, or that in files of others.

    Args:
        files: as the exercises write them; none takes the learner's own, of several each is a row

    Returns:
        exit status: 1 where one of the files cannot be read
    """
    from transfer_lessons.exercises import exercise_names, progress_file, read_progress

    exercises = by_lesson(exercise_names())
    found = {} if files else {str(progress_file()): read_progress()}
    failed = 0
    for file in files:
        try:
            if not file.is_file():
                raise FileNotFoundError("there is no such file")
            found[str(file)] = read_progress(file)
        except (OSError, ValueError) as error:
            failed += 1
            print(f"transfer-lessons: {file}: {error}", file=sys.stderr)
    if len(files) > 1:
        print("\n".join(class_table(found, exercises)))
    else:
        for name, records in found.items():
            print("\n".join(learner_table(name, records, exercises)))
    return 1 if failed else 0


def by_lesson(names: Sequence[str]) -> dict[str, list[str]]:
    """Exercises of each lesson, the lessons in the course's order, by their two-digit numbers.

    Args:
        names: such as "cross_entropy.my_loss"

    Returns:
        keys such as "03 cross_entropy", with full names of exercises
    """
    found: dict[str, list[str]] = {}
    for lesson in shipped_lessons():
        if lesson.number is not None:
            own = [name for name in names if name.partition(".")[0] == lesson.subject]
            if own:
                found[f"{lesson.number:02} {lesson.subject}"] = own
    return found


def n_passed(names: Sequence[str], records: Mapping[str, Record]) -> int:
    """How many of some exercises are passed."""
    return sum(name in records and records[name].state == "passed" for name in names)


def learner_table(file: str, records: Mapping[str, Record],
                  exercises: Mapping[str, Sequence[str]]) -> list[str]:
    """One learner's progress: a line for each lesson, and a sum."""
    width = max(map(len, exercises), default=6)
    lines = [f"{'lesson':<{width}}  passed  still to do"]
    for lesson, names in exercises.items():
        to_do = ", ".join(described(name, records) for name in names
                          if name not in records or records[name].state != "passed")
        done = f"{n_passed(names, records)} of {len(names)}"
        lines.append(f"{lesson:<{width}}  {done:<6}  {to_do}".rstrip())
    names = [name for own in exercises.values() for name in own]
    after_solution = sum(records[name].state == "passed" and records[name].solution_seen
                         for name in names if name in records)
    seen = f", {after_solution} of them with the solution seen" if after_solution else ""
    passed = f"{n_passed(names, records)} of {len(names)} exercises passed{seen}."
    return [*lines, "", passed, f"File: {file}"]


def described(name: str, records: Mapping[str, Record]) -> str:
    """An exercise that is not passed, and what was tried: "tags (2 attempts, 1 hint)"."""
    short = name.partition(".")[2]
    record = records.get(name)
    if record is None:
        return short
    tried = [f"{n} {noun}{'' if n == 1 else 's'}"
             for n, noun in ((record.attempts, "attempt"), (record.hints, "hint")) if n]
    return f"{short} ({', '.join(tried)})" if tried else short


def class_table(learners: Mapping[str, Mapping[str, Record]],
                exercises: Mapping[str, Sequence[str]]) -> list[str]:
    """Many learners' progress: a row each, a column for each lesson's number, exercises passed.

    Args:
        learners: what their files hold
        exercises: of each lesson, as `by_lesson` gives them
    """
    width = max(len(name) for name in [*learners, "of"])
    total = sum(map(len, exercises.values()))
    lines = [f"{'':<{width}}  " + " ".join(f"{lesson[:2]:>2}" for lesson in exercises) + "  all",
             f"{'of':<{width}}  " + " ".join(f"{len(names):>2}" for names in exercises.values())
             + f"  {total:>3}"]
    for learner, records in learners.items():
        passed = [n_passed(names, records) for names in exercises.values()]
        cells = " ".join(f"{n or '-':>2}" for n in passed)
        lines.append(f"{learner:<{width}}  {cells}  {sum(passed):>3}")
    return lines
