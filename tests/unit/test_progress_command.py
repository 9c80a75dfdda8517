"""`transfer-lessons progress`: what a learner has passed, and many learners in one table."""
from pathlib import Path
from types import SimpleNamespace

import pytest

from transfer_lessons import cli, exercises
from transfer_lessons.commands import progress

NAMES = ["lr_finder.best_lr", "data.mirror", "data.in_valid", "cross_entropy.my_loss"]


def record(state: str = "passed", attempts: int = 1, hints: int = 0, solution_seen: bool = False) -> SimpleNamespace:
    return SimpleNamespace(state=state, attempts=attempts, hints=hints, solution_seen=solution_seen)


FILES = {"ada": {"data.mirror": record(), "data.in_valid": record("not yet", 2, 1),
                 "cross_entropy.my_loss": record(solution_seen=True), "data.gone": record()},
         "bob": {"lr_finder.best_lr": record("not attempted", 0, 3)}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files of two learners, and one that nobody can read."""
    def read(file=None):
        if Path(file or "ada").name == "eve":
            raise ValueError("this is no progress file")
        return FILES[Path(file or "ada").name]

    for name in ("ada", "bob", "eve"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(exercises, "exercise_names", lambda: NAMES)
    monkeypatch.setattr(exercises, "read_progress", read)
    monkeypatch.setattr(exercises, "progress_file", lambda: tmp_path / "ada")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_learner_sees_lessons_in_order_and_what_is_still_to_do(folder, capsys):
    assert cli.main(["progress"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said[1:4]] == ["02", "03", "09"]
    assert "1 of 2" in said[1] and said[1].endswith("in_valid (2 attempts, 1 hint)")
    assert said[2].endswith("1 of 1") and "0 of 1" in said[3]
    assert "2 of 4 exercises passed, 1 of them with the solution seen." in said
    assert str(folder / "ada") in said[-1]


def test_of_one_file_the_same_is_shown(folder, capsys):
    assert cli.main(["progress", "bob"]) == 0
    said = capsys.readouterr().out
    assert "best_lr (3 hints)" in said and "0 of 4 exercises passed." in said


def test_a_teacher_sees_a_row_for_each_file(folder, capsys):
    assert cli.main(["progress", "ada", "bob"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [["02", "03", "09", "all"], ["of", "2", "1", "1", "4"],
                    ["ada", "1", "1", "-", "2"], ["bob", "-", "-", "-", "0"]]


@pytest.mark.case("progress: a file that is missing or no progress file",
                  "said in a line, the others are shown, exit status 1")
def test_a_file_that_cannot_be_read_is_said_and_the_others_are_shown(folder, capsys):
    assert cli.main(["progress", "ada", "eve", "nobody"]) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 2 and "eve" in said.err and "nobody" in said.err
    assert said.out.splitlines()[-1].startswith("ada")


def test_every_exercise_belongs_to_a_lesson():
    names = exercises.exercise_names()
    assert sorted(name for own in progress.by_lesson(names).values() for name in own) == sorted(names)
