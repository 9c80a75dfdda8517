"""`transfer-lessons open`: copy the lessons, say what is new, and show them in JupyterLab."""
from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from transfer_lessons.commands.course_folder import Renewal, course_folder, renew_all
from transfer_lessons.commands.lesson_files import find_lesson, shipped_lessons

MOST_LINES = 12  # of what is new in one lesson


def open_lessons(word: str | None, folder: Path | None, start: bool) -> int:
    """Copy all lessons into the learner's folder and show one of them.

    Args:
        word: which one to show, such as "9"; None shows the folder
        folder: the learner's; None takes the usual one
        start: whether to start JupyterLab

    Returns:
        exit status
    """
    lesson = find_lesson(word) if word is not None else None
    folder = course_folder(folder).resolve()
    print("\n".join(report(renew_all(shipped_lessons(), folder), folder)), flush=True)
    target = folder / lesson.name if lesson else folder
    return start_jupyter(target) if start else 0


def report(renewals: Sequence[Renewal], folder: Path) -> list[str]:
    """What happened to the lessons, in lines."""
    n_copied = sum(one.state == "copied" for one in renewals)
    n_yours = sum(one.state in ("kept", "yours") for one in renewals)
    lines = [f"Lessons: {folder}"]
    if n_yours:
        lines += [f"{count(n_yours, 'notebook')} with your changes, left as you have them."]
    if n_copied:
        lines += [f"{count(n_copied, 'notebook')} copied."]
    if not n_copied and not any(one.state == "renewed" for one in renewals):
        lines += ["The others are up to date." if n_yours else "Everything is up to date."]
    for one in renewals:
        if one.state in ("renewed", "kept"):
            lines += ["", *news(one)]
    if any(one.state == "kept" for one in renewals):
        lines += ["", "To have a new version beside yours, rename yours and run this again."]
    return lines


def news(renewal: Renewal) -> list[str]:
    """What is new in a lesson, in lines."""
    assert renewal.differences is not None
    what = "yours is kept; the course's new version has" if renewal.state == "kept" else "renewed,"
    found = renewal.differences._asdict()
    cells = [(how, begins) for how, beginnings in found.items() for begins in beginnings]
    counts = [f"{count(len(beginnings), 'cell')} {how}"
              for how, beginnings in found.items() if beginnings]
    if not counts:
        return [f"{renewal.lesson}: renewed; only its outputs are new"]
    lines = [f"{renewal.lesson}: {what} {', '.join(counts)}"]
    lines += [f"   {how:<8} {begins}" for how, begins in cells[:MOST_LINES]]
    if len(cells) > MOST_LINES:
        lines += [f"   and {len(cells) - MOST_LINES} more"]
    return lines


def count(n: int, noun: str) -> str:
    """A number and what it counts: "1 cell", "2 cells"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def start_jupyter(target: Path) -> int:
    """Show a notebook or a folder in JupyterLab, or in Notebook where that is what there is.

    Args:
        target: the notebook or the folder

    Returns:
        Jupyter's exit status; 1 where it is not installed
    """
    program = next((name for name in ("jupyterlab", "notebook") if find_spec(name)), None)
    if program is None:
        print("transfer-lessons: JupyterLab is not installed here. Install it with\n"
              f"    {sys.executable} -m pip install jupyterlab\n"
              "and run this again, or open the folder in VS Code.", file=sys.stderr)
        return 1
    process = subprocess.Popen([sys.executable, "-m", program, str(target)])
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Jupyter itself asks what Ctrl-C means
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, usual)
