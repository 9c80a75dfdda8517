"""The command line of the course: open and run lessons, see progress, check this computer."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = """\
  transfer-lessons open 9          copy the lessons into a folder of yours and open lesson 9
  transfer-lessons doctor          see whether anything is missing on this computer
"""


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    main_parser = argparse.ArgumentParser(
        prog="transfer-lessons", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    show = commands.add_parser("open", help="copy the lessons, say what is new, start JupyterLab")
    show.add_argument("lesson", nargs="?", metavar="N", help="which one to show, such as 9")
    add_folder(show)
    show.add_argument("--no-start", action="store_true", help="copy, but do not start JupyterLab")

    add_folder(commands.add_parser("list", help="the lessons, and how long each takes"))

    run = commands.add_parser("run", help="run lesson N; without N, train on the built-in images")
    run.add_argument("lessons", nargs="*", metavar="N", help="such as 9, or all")
    run.add_argument("--folder", type=Path,
                     help="your folder of lessons; without N where plots go, by default runs")
    run.add_argument("--seed", type=int, help="without N: of the split and of the training")

    progress = commands.add_parser("progress", help="which exercises are passed")
    progress.add_argument("files", nargs="*", type=Path, metavar="FILE",
                          help="learners' progress files: a table for a teacher")

    commands.add_parser("doctor", help="what is missing on this computer, and what mends it")

    serve = commands.add_parser("serve", help="let people at this computer try an exported model")
    serve.add_argument("file", type=Path, help="as learn.export(file) wrote it")
    serve.add_argument("--port", type=int, help="1 to 65535; by default the first free one")
    return main_parser


def add_folder(command: argparse.ArgumentParser) -> None:
    """Let a command be told where the learner's copies of the lessons are."""
    command.add_argument("--folder", type=Path, help="your folder of lessons, by default "
                         "transfer_lessons_course, or the current folder if they are in it")


def run(given: argparse.Namespace) -> int:
    """Run lessons, or the training that needs no notebook."""
    if given.lessons:
        if given.seed is not None:
            raise ValueError("--seed is for the training, which is `run` without a lesson.")
        from transfer_lessons.commands.run_lessons import run_lessons
        return run_lessons(given.lessons, given.folder)
    from transfer_lessons.commands.train import train
    train(given.folder or Path("runs"), 42 if given.seed is None else given.seed)
    return 0


def do(given: argparse.Namespace) -> int:
    """Do what a command asks for; each loads only what it needs. Returns the exit status."""
    if given.command == "open":
        from transfer_lessons.commands.open_lessons import open_lessons
        return open_lessons(given.lesson, given.folder, start=not given.no_start)
    if given.command == "list":
        from transfer_lessons.commands.list_lessons import list_lessons
        return list_lessons(given.folder)
    if given.command == "run":
        return run(given)
    if given.command == "progress":
        from transfer_lessons.commands.progress import show_progress
        return show_progress(given.files)
    if given.command == "doctor":
        from transfer_lessons.commands.doctor import doctor
        return doctor()
    from transfer_lessons.serve import serve
    serve(given.file, given.port)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command `transfer-lessons`.

    Args:
        arguments: words of the command line; None takes those the program was started with

    Returns:
        exit status: 0, 1 after an error, 130 after Ctrl-C (and 2 for unknown arguments)
    """
    given = parser().parse_args(arguments)
    try:
        return do(given)
    except KeyboardInterrupt:
        print("Stopped.")
        return 130
    except (ValueError, OSError, ImportError) as error:
        print(f"transfer-lessons: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
