"""`transfer-lessons open` and `list`: lessons come and are renewed, and nobody's work is overwritten."""
import json
import sys
from pathlib import Path

import pytest

from transfer_lessons import cli
from transfer_lessons.commands import course_folder, lesson_files, open_lessons


def notebook(*sources: str, output: str = "") -> str:
    """A notebook of code cells; a cell's first letter is its id."""
    cells = [{"cell_type": "markdown", "id": "title", "source": ["# A lesson\n", "and more"]}]
    cells += [{"cell_type": "code", "id": source[0], "source": [source], "outputs": [output]} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


class Course:
    """A course of one lesson, and a learner who opens it."""
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture):
        self.shipped, self.own, self.capsys = folder / "shipped", folder / "own", capsys
        self.shipped.mkdir()
        self.copy = self.own / "09_lesson.ipynb"

    def release(self, text: str, name: str = "09_lesson.ipynb") -> None:
        (self.shipped / name).write_text(text)

    def open(self, *arguments: str) -> str:
        assert cli.main(["open", "--no-start", "--folder", str(self.own), *arguments]) == 0
        return self.capsys.readouterr().out


@pytest.fixture
def course(tmp_path, capsys, monkeypatch):
    course = Course(tmp_path, capsys)
    monkeypatch.setattr(lesson_files, "shipped_folder", lambda: course.shipped)
    course.release(notebook("a = 1", "b = 2"))
    return course


def test_lessons_are_copied_but_neither_the_projects_page_nor_other_files(course):
    course.release(notebook(), "index.ipynb")
    course.release("notes", "notes.txt")
    assert "1 notebook copied" in course.open("9")
    assert sorted(file.name for file in course.own.iterdir()) == [course_folder.RECORD, "09_lesson.ipynb"]
    assert course.copy.read_text() == notebook("a = 1", "b = 2")
    assert "Everything is up to date" in course.open()


def test_a_new_version_replaces_a_lesson_that_is_as_it_came_and_says_what_changed(course):
    course.open()
    course.release(notebook("a = 1", "b = 3", "c = 4"))
    said = course.open()
    assert "renewed, 1 cell added, 1 cell changed" in said
    assert "added    c = 4" in said and "changed  b = 3" in said and "removed" not in said
    assert course.copy.read_text() == notebook("a = 1", "b = 3", "c = 4")
    course.release(notebook("c = 4", output="new"))
    assert "2 cells removed" in course.open()
    course.release(notebook("c = 4", output="newer"))
    assert "only its outputs are new" in course.open()


@pytest.mark.case("open: the learner changed a lesson of which there is a new version",
                  "theirs stays; what is new is said, once")
def test_a_learners_work_stays_and_what_is_new_is_said_once(course):
    course.open()
    mine = notebook("a = 1", "b = 2", "m = 'mine'")
    course.copy.write_text(mine)
    said = course.open()
    assert "1 notebook with your changes" in said and "new version has" not in said
    course.release(notebook("a = 7", "b = 2"))
    said = course.open()
    assert "yours is kept; the course's new version has 1 cell changed" in said and "rename yours" in said
    assert "new version has" not in course.open()
    course.release(notebook("a = 7", "b = 2", "z = 0"))
    assert "new version has 1 cell added" in course.open()
    assert course.copy.read_text() == mine


def test_whoever_renames_their_lesson_gets_the_new_one_beside_it(course):
    course.open()
    course.copy.write_text("mine")
    course.copy.rename(course.own / "09_mine.ipynb")
    assert "1 notebook copied" in course.open()
    assert course.copy.read_text() == notebook("a = 1", "b = 2")
    assert (course.own / "09_mine.ipynb").read_text() == "mine"


def test_whoever_undoes_their_changes_gets_new_versions_again(course):
    course.open()
    original = course.copy.read_text()
    course.copy.write_text("mine")
    course.release(notebook("n = 0"))
    course.open()
    course.copy.write_text(original)
    course.open()
    assert course.copy.read_text() == notebook("n = 0")


@pytest.mark.case("open: the record of what was copied is lost or damaged",
                  "every lesson that differs from the course's counts as the learner's")
@pytest.mark.parametrize("record", [None, "", "{", "[]", '{"lessons": []}', '{"lessons": {"09_lesson.ipynb": 3}}',
                                    '{"lessons": {"09_lesson.ipynb": {"copied": "x"}}}',
                                    '{"lessons": {"09_lesson.ipynb": {"copied": "x", "seen": "x", "cells": {"a": 1}}}}'])
def test_without_a_record_nothing_that_differs_is_replaced(record, course):
    course.open()
    file = course.own / course_folder.RECORD
    file.unlink()
    if record is not None:
        file.write_text(record)
    course.release(notebook("n = 0"))
    course.open()
    assert course.copy.read_text() == notebook("a = 1", "b = 2")


def test_a_lesson_that_was_there_before_is_left_alone(course):
    course.own.mkdir()
    course.copy.write_text("mine, from somewhere else")
    assert "1 notebook with your changes" in course.open()
    assert course.copy.read_text() == "mine, from somewhere else"


def test_what_was_copied_before_an_error_is_remembered(course, monkeypatch):
    course.release(notebook("x = 1"), "10_other.ipynb")
    write_whole = course_folder.write_whole

    def full_disk(file, data):
        if file.name == "10_other.ipynb":
            raise OSError(28, "No space left on device")
        write_whole(file, data)

    monkeypatch.setattr(course_folder, "write_whole", full_disk)
    assert cli.main(["open", "--no-start", "--folder", str(course.own)]) == 1
    monkeypatch.setattr(course_folder, "write_whole", write_whole)
    course.release(notebook("n = 0"))
    assert "renewed" in course.open()


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    file = tmp_path / "lesson.ipynb"
    file.write_text("old")

    def fail(*_):
        raise OSError("no")
    monkeypatch.setattr(course_folder.os, "replace", fail)
    with pytest.raises(OSError, match="no"):
        course_folder.write_whole(file, b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["lesson.ipynb"] and file.read_text() == "old"


def test_a_folder_that_holds_lessons_is_the_learners_wherever_it_is(course, monkeypatch):
    course.open()
    monkeypatch.chdir(course.own)
    assert course_folder.course_folder().resolve() == course.own.resolve()
    monkeypatch.chdir(course.own.parent)
    assert course_folder.course_folder() == Path(course_folder.DEFAULT)


def test_jupyterlab_is_started_with_the_lesson(course, monkeypatch):
    started = []

    class Process:
        def __init__(self, command):
            started.append(command)

        def wait(self):
            return 7

    monkeypatch.setattr(open_lessons, "find_spec", lambda name: name == "jupyterlab")
    monkeypatch.setattr(open_lessons.subprocess, "Popen", Process)
    for arguments in (["9"], []):
        assert cli.main(["open", *arguments, "--folder", str(course.own)]) == 7
    folder = course.own.resolve()
    assert started == [[sys.executable, "-m", "jupyterlab", str(folder / "09_lesson.ipynb")],
                       [sys.executable, "-m", "jupyterlab", str(folder)]]


@pytest.mark.case("open: JupyterLab is not installed", "lessons are copied; how to install it; exit status 1")
def test_without_jupyterlab_it_copies_and_says_what_to_install(course, monkeypatch):
    monkeypatch.setattr(open_lessons, "find_spec", lambda name: None)
    assert cli.main(["open", "9", "--folder", str(course.own)]) == 1
    assert "pip install jupyterlab" in course.capsys.readouterr().err and course.copy.exists()


def test_list_shows_titles_minutes_and_what_became_of_the_copies(course, capsys):
    for name in ("02_old.ipynb", "03_new.ipynb", "u1_tools.ipynb"):
        course.release(notebook("a = 1"), name)
    assert cli.main(["list", "--folder", str(course.own)]) == 0
    assert "none yet" in capsys.readouterr().out
    course.open()
    course.copy.write_text("mine")
    course.release(notebook("a = 2"), "02_old.ipynb")
    assert cli.main(["list", "--folder", str(course.own)]) == 0
    said = capsys.readouterr().out
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in said.splitlines() if line}
    assert rows["2"] == "A lesson 0 an older version"
    assert rows["3"] == "A lesson 0 as it came" and rows["9"] == "A lesson 0 with your changes"
    assert "tools" not in said


@pytest.mark.parametrize("word", ["9", "09", "09_lr_finder", "09_lr_finder.ipynb", "lr_finder"])
def test_a_lesson_goes_by_its_number_or_its_name(word):
    assert lesson_files.find_lesson(word).name == "09_lr_finder.ipynb"
    assert lesson_files.find_lesson("u5a").name == "u5a_frozen_body.ipynb"
