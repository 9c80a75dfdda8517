"""Carry what a machine without a network lacks: `wheels.py fill` here, gpu.py installs it there.

The machine has torch, torchvision and timm. Everything else that the library and the comparison
with fastai need is taken from a folder of wheels, runs/wheels unless WHEELS names another.
"""
import importlib.metadata as metadata
import os
import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
WHEELS = Path(os.environ.get("WHEELS", ROOT / "runs" / "wheels"))
SITE = ROOT / "runs" / "wheels-installed"
THERE = {"torch", "torchvision", "timm"}
# fastai asks for them, and its images need none of them.
LEFT_OUT = {"spacy", "pip", "packaging", "setuptools"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def with_dependencies(names: set[str], without: set[str] = frozenset()) -> set[str]:
    """Packages that are installed here, and all that they require."""
    found, waiting = set(), set(names)
    while waiting:
        name = canonical(waiting.pop())
        if name in found or name in without:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        for text in required:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.add(requirement.name)
    return found


def fill(*options: str) -> None:
    """Download the wheels; options go to pip, such as --python-version 3.12."""
    needed = with_dependencies({"transfer_lessons", "fastai"}, LEFT_OUT)
    needed -= with_dependencies(THERE) | {"transfer-lessons"}
    pinned = [f"{name}=={metadata.version(name)}" for name in sorted(needed)]
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                    "--only-binary", ":all:", "--dest", WHEELS, *options, *pinned], check=True)
    (WHEELS / "names.txt").write_text("\n".join(sorted(needed)) + "\n")
    size = sum(file.stat().st_size for file in WHEELS.iterdir()) / 1e6
    print(f"{len(needed)} packages, {size:.0f} MB, in {WHEELS}")


def install() -> list[str]:
    """Install what is missing here from the folder; returns what is neither here nor there."""
    names = WHEELS / "names.txt"
    wanted = names.read_text().split() if names.exists() else []
    missing = []
    for name in wanted:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if not missing or not _install(*missing):
        return []
    return [name for name in missing if _install(name)]  # the folder lacks some of them


def _install(*names: str) -> int:
    """Install packages from the folder alone; 0 where all of them are there."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
               "--find-links", WHEELS, "--target", SITE, *names]
    return subprocess.run(command, capture_output=True).returncode


if __name__ == "__main__":
    if sys.argv[1:2] != ["fill"]:
        sys.exit("Try python benchmarks/wheels.py fill")
    fill(*sys.argv[2:])
