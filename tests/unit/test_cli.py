"""The command line: what is wrong is said in one line, before anything is loaded."""
import subprocess
import sys

import pytest

from transfer_lessons import cli
from transfer_lessons.commands import lesson_files, train


@pytest.mark.case("command line: a folder that is a file", "one line, exit status 1")
@pytest.mark.parametrize("command", [["run"], ["open", "--no-start"]])
@pytest.mark.parametrize("below", [False, True])
def test_a_folder_that_is_a_file_is_said_in_one_line(command, below, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lesson_files, "shipped_folder", lambda: tmp_path)
    taken = tmp_path / "taken"
    taken.write_text("a file")
    assert cli.main([*command, "--folder", str(taken / "in" if below else taken)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1 and str(taken) in said.err
    assert said.err.startswith("transfer-lessons: folder must be one where files can be written")
    assert taken.read_text() == "a file"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--seed", "many"], ["open", "1", "2"], ["run", "--epochs"]])
def test_unknown_arguments_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "usage: transfer-lessons" in capsys.readouterr().err


@pytest.mark.case("command line: a lesson that there is not", "says which there are, exit status 1")
@pytest.mark.parametrize("command", [["open", "--no-start"], ["run"]])
@pytest.mark.parametrize("word", ["0", "99", "-", "runs", "10_fine_tunig", ""])
def test_a_lesson_that_there_is_not_is_refused_before_anything_is_written(command, word, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*command, word]) == 1
    said = capsys.readouterr().err
    assert "There is no lesson" in said and said.count("\n") == 1
    assert ("10_fine_tuning" in said) == (word == "10_fine_tunig")
    assert not list(tmp_path.iterdir())


def test_a_seed_below_0_is_refused(tmp_path, capsys):
    assert cli.main(["run", "--folder", str(tmp_path), "--seed", "-1"]) == 1
    assert "seed must be a whole number" in capsys.readouterr().err


def test_a_seed_for_a_lesson_is_refused_and_not_ignored(capsys):
    assert cli.main(["run", "9", "--seed", "1"]) == 1
    assert "--seed" in capsys.readouterr().err


def test_ctrl_c_ends_with_status_130(monkeypatch, tmp_path, capsys):
    def stop(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(train, "train", stop)
    assert cli.main(["run", "--folder", str(tmp_path)]) == 130
    assert capsys.readouterr().out == "Stopped.\n"


def test_run_alone_trains_into_its_folder_with_its_seed(monkeypatch):
    called = []
    monkeypatch.setattr(train, "train", lambda folder, seed: called.append((str(folder), seed)))
    assert cli.main(["run"]) == cli.main(["run", "--folder", "plots", "--seed", "0"]) == 0
    assert called == [("runs", 42), ("plots", 0)]


def test_the_command_itself_ends_with_its_status(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    command = [sys.executable, "-m", "transfer_lessons.cli", "run", "--folder", str(taken)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr


def test_what_needs_no_training_loads_no_torch(tmp_path):
    code = ("import sys; from transfer_lessons.cli import main\n"
            "assert main(['list']) == main(['open', '--no-start', '--folder', sys.argv[1]]) == 0\n"
            "assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, timeout=60, cwd=tmp_path)
