"""`transfer-lessons run N`: a lesson runs from top to bottom, or the cell is named that failed."""
import os
from pathlib import Path

import pytest

from transfer_lessons import cli
from transfer_lessons.commands import lesson_files, run_lessons

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")


def write(file: Path, *cells: str) -> None:
    """A notebook; cells that begin with # are markdown."""
    make = nbformat.v4
    notebook = make.new_notebook(cells=[make.new_markdown_cell(cell) if cell.startswith("#") else make.new_code_cell(cell)
                                        for cell in cells])
    nbformat.write(notebook, file)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Three lessons: one that runs, one that fails, one whose kernel is killed."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    write(folder / "01_good.ipynb", "# Good", "x = 1", "assert x == 1")
    write(folder / "02_bad.ipynb", "# Bad", "x = 1", "## Here it breaks", "y = 0\nx / y", "x = 2")
    write(folder / "03_killed.ipynb", "import os, signal\nos.kill(os.getpid(), 9)")
    monkeypatch.setattr(lesson_files, "shipped_folder", lambda: folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_lesson_that_runs_and_one_that_fails_are_told(shipped, capsys):
    assert cli.main(["run", "1", "2"]) == 1
    said = capsys.readouterr().out
    assert "01_good: ok" in said and "02_bad: failed" in said
    assert 'code cell 2 of 3 below "Here it breaks"' in said
    assert "    y = 0\n    x / y\n  ZeroDivisionError: division by zero" in said
    assert "1 of 2 lessons ran to the end; these did not: 02_bad" in said


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.case("run: the kernel is killed, as where memory is full", "the cell is named, in a sentence")
def test_a_kernel_that_is_killed_is_said(shipped, capsys):
    assert cli.main(["run", "3"]) == 1
    said = capsys.readouterr().out
    assert "code cell 1 of 1" in said and "memory" in said


def test_the_learners_copy_is_run_where_it_lies_and_not_changed(shipped, capsys):
    own = Path("transfer_lessons_course")
    own.mkdir()
    write(own / "02_bad.ipynb", "from pathlib import Path\nassert Path.cwd().name == 'transfer_lessons_course'")
    before = (own / "02_bad.ipynb").read_bytes()
    assert cli.main(["run", "2"]) == 0
    assert "02_bad (your copy): ok" in capsys.readouterr().out
    assert (own / "02_bad.ipynb").read_bytes() == before


def test_a_lesson_without_a_copy_leaves_no_file_and_no_progress(shipped, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFER_LESSONS_PROGRESS", str(tmp_path / "mine.json"))
    write(shipped / "01_good.ipynb", "import os\nfrom pathlib import Path\nPath('left').write_text('x')",
          "Path(os.environ['TRANSFER_LESSONS_PROGRESS']).write_text('x')")
    assert cli.main(["run", "1"]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["shipped"]


@pytest.mark.case("run: a copy that is no notebook any more", "said, and the others run")
@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"cells": 3}', b'{"cells": []}'])
def test_a_copy_that_is_no_notebook_is_said(content, tmp_path):
    failure = run_lessons.execute("name", content, tmp_path, os.environ)
    assert content == b'{"cells": []}' or "not a notebook" in failure.reason


@pytest.mark.case("run: nothing is installed that runs notebooks", "how to install it; exit status 1")
def test_without_nbclient_it_says_what_to_install(shipped, capsys, monkeypatch):
    monkeypatch.setattr(run_lessons, "find_spec", lambda name: None)
    assert cli.main(["run", "1"]) == 1
    assert "pip install nbclient ipykernel" in capsys.readouterr().err


def test_all_is_every_lesson_with_a_number(shipped, monkeypatch):
    write(shipped / "u1_tools.ipynb", "1")
    ran = []
    monkeypatch.setattr(run_lessons, "run_lesson", lambda lesson, folder: ran.append(lesson.name) or True)
    assert cli.main(["run", "all"]) == 0
    assert ran == ["01_good.ipynb", "02_bad.ipynb", "03_killed.ipynb"]
