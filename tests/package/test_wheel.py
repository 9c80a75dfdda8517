"""The package as others get it: one wheel, with the lessons inside."""
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from house import ROOT, copy_project


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of the working tree, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    copy_project(source)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
                    "--no-build-isolation", "--wheel-dir", folder, source], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> dict[str, str]:
    """An environment in which `transfer_lessons` is the wheel's, not this checkout's."""
    site = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
                    "--target", site, wheel], check=True)
    return {**os.environ, "PYTHONPATH": str(site)}


def test_the_wheel_holds_library_and_lessons(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    lessons = {f"transfer_lessons/lessons/{file.name}" for file in (ROOT / "nbs").glob("*.ipynb")}
    modules = {str(file.relative_to(ROOT)) for file in (ROOT / "transfer_lessons").rglob("*.py")}
    stubs = {f"transfer_lessons/{file.name}" for file in (ROOT / "transfer_lessons").glob("*.pyi")}
    others = {f"transfer_lessons/{name}" for name in ("icons.json", "scrubber.js", "py.typed")}
    assert stubs and lessons | modules | stubs | others <= names


def test_the_wheel_asks_for_no_upper_bounds(wheel):
    archive = zipfile.ZipFile(wheel)
    metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
    required = [line for line in archive.read(metadata).decode().splitlines()
                if line.startswith("Requires-Dist")]
    assert any("torch" in line for line in required)
    assert not [line for line in required if "<" in line or "==" in line.partition(";")[0]]


def test_importing_the_package_alone_loads_nothing(installed):
    code = "import sys, transfer_lessons; print(transfer_lessons.__file__, 'torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], env=installed, cwd="/", text=True,
                           capture_output=True, check=True).stdout
    assert shown.startswith(installed["PYTHONPATH"]) and shown.endswith("False\n")


def test_the_command_copies_the_lessons_and_keeps_those_already_there(installed, tmp_path):
    (tmp_path / "02_data.ipynb").write_text("my notes")
    subprocess.run([sys.executable, "-m", "transfer_lessons.cli", "open", "--no-start", "--folder", tmp_path],
                   env=installed, cwd=tmp_path, check=True, capture_output=True)
    lessons = {file.name for file in (ROOT / "nbs").glob("*.ipynb")} - {"index.ipynb"}
    assert {file.name for file in tmp_path.iterdir()} == lessons | {".transfer_lessons.json"}
    assert (tmp_path / "02_data.ipynb").read_text() == "my notes"


def test_a_lesson_alone_in_an_empty_folder_runs_with_the_wheel(installed, tmp_path):
    lesson = shutil.copy(ROOT / "nbs" / "03_cross_entropy.ipynb", tmp_path)
    subprocess.run([sys.executable, "-m", "nbconvert", "--log-level", "WARN", "--to", "notebook",
                    "--execute", "--output", "done", lesson],
                   env=installed, cwd=tmp_path, check=True)
    assert {file.name for file in tmp_path.iterdir()} == {"03_cross_entropy.ipynb", "done.ipynb"}
