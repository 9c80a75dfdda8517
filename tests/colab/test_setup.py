"""The set-up cell with Colab's Python, pip, IPython and packages, where the course is not installed."""
import subprocess
from pathlib import Path

import pytest
from house import settings
from test_setup_cell import (  # noqa: F401  the same tests, in the environment of this file
    host,
    test_it_installs_the_course_from_its_repository_and_changes_nothing_else,
    test_where_it_cannot_install_it_says_what_to_do,
)

pytestmark = pytest.mark.skipif(settings().getboolean("on_pypi"), reason="installs from the index")


@pytest.fixture
def newcomer(colab_python, tmp_path_factory) -> Path:
    """The Python of an environment that holds links to all of Colab's packages but the course."""
    folder = tmp_path_factory.mktemp("newcomer")
    subprocess.run([colab_python, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(colab_python.parents[1].glob("lib/python*/site-packages"))
    site = next(folder.glob("lib/python*/site-packages"))
    for entry in packages.iterdir():
        if not entry.name.startswith("transfer_lessons"):
            (site / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def pip_settings(colab_python, tmp_path_factory) -> dict[str, str]:
    """Gives pip what it builds the wheel with, newer than what Colab holds; the rest is there."""
    folder = tmp_path_factory.mktemp("builders")
    asked = subprocess.run([colab_python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder,
                            "setuptools>=77"], capture_output=True, text=True)
    if asked.returncode:
        pytest.skip("no package index within reach, and Colab's own setuptools is too old to build")
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
