"""The command line: what is wrong is said in one line, before anything is loaded."""
import subprocess
import sys

import pytest

from transfer_lessons import cli


@pytest.mark.case("command line: a folder that is a file", "one line, exit status 1")
@pytest.mark.parametrize("command", [["run", "--folder"], ["lessons"]])
@pytest.mark.parametrize("below", [False, True])
def test_a_folder_that_is_a_file_is_said_in_one_line(command, below, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "files", lambda name: tmp_path)
    taken = tmp_path / "taken"
    taken.write_text("a file")
    assert cli.main([*command, str(taken / "in" if below else taken)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1 and str(taken) in said.err
    assert said.err.startswith("transfer-lessons: folder must be one where files can be written")
    assert taken.read_text() == "a file"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--seed", "many"], ["run", "runs"], ["run", "--epochs"]])
def test_unknown_arguments_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "usage: transfer-lessons" in capsys.readouterr().err


def test_a_seed_below_0_is_refused(tmp_path, capsys):
    assert cli.main(["run", "--folder", str(tmp_path), "--seed", "-1"]) == 1
    assert "seed must be a whole number" in capsys.readouterr().err


def test_ctrl_c_ends_with_status_130(monkeypatch, tmp_path, capsys):
    def stop(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(cli, "run", stop)
    assert cli.main(["run", "--folder", str(tmp_path)]) == 130
    assert capsys.readouterr().out == "Stopped.\n"


def test_lessons_are_copied_and_those_there_already_are_kept(tmp_path, monkeypatch, capsys):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    for name in ("01.ipynb", "02.ipynb", "notes.txt"):
        (source / name).write_text("new")
    (target / "01.ipynb").write_text("mine")
    monkeypatch.setattr(cli, "files", lambda name: source)
    assert cli.main(["lessons", str(target)]) == 0
    assert sorted(file.name for file in target.iterdir()) == ["01.ipynb", "02.ipynb"]
    assert (target / "01.ipynb").read_text() == "mine" and (target / "02.ipynb").read_text() == "new"


def test_the_command_itself_ends_with_its_status(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    command = [sys.executable, "-m", "transfer_lessons.cli", "run", "--folder", str(taken)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
