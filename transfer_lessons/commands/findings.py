"""What a check of `transfer-lessons doctor` found, and commands that mend it."""
from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at.

    The state is "ok", "note" (the lessons run without it; somebody may want it) or "missing".
    """
    state: str
    says: str
    mend: str = ""  # a command, or what to do


def pip_install(*requirements: str) -> str:
    """The command that installs into the Python that runs this."""
    beside = shutil.which("pip")
    is_ours = beside is not None and Path(beside).parent == Path(sys.executable).parent
    pip = "pip" if is_ours else f"{sys.executable} -m pip"
    return " ".join([pip, "install", *(shell_word(one) for one in requirements)])


def shell_word(text: str) -> str:
    """A word as every system's shell takes it: in quotation marks where it has a < or a >."""
    return f'"{text}"' if set("<>*[]; ") & set(text) else text


def reinstall(package: str) -> str:
    """The command that brings a package that is here but damaged."""
    return pip_install("--force-reinstall", "--no-deps", package)


def set_variable(name: str, value: Path) -> str:
    """The command that sets a variable in this system's shell."""
    return f"set {name}={value}" if platform.system() == "Windows" else f'export {name}="{value}"'


def in_colab() -> bool:
    """Whether this is a machine of Google Colab."""
    return "COLAB_RELEASE_TAG" in os.environ


def first_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
