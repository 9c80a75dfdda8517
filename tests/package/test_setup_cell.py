"""The set-up cell where it matters: in an environment that has never seen the course."""
import os
import shutil
import subprocess
import sysconfig
import threading
import venv
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from house import copy_project, settings
from setup_cell import install_source, setup_cell

ASK = "\nimport transfer_lessons\nprint('from', transfer_lessons.__file__)\nprint(len(icons().vocab))\n"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """Serves this repository as GitHub does, as a ZIP file of the branch; gives its address."""
    folder = tmp_path_factory.mktemp("host")
    chosen = settings()
    copy = folder / "copy" / f"{chosen['repo']}-{chosen['branch']}"
    copy_project(copy)
    place = folder / chosen["user"] / chosen["repo"] / "archive" / chosen["branch"]
    shutil.make_archive(str(place), "zip", copy.parent, copy.name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory) -> Path:
    """The Python of an environment with every requirement but the course itself.

    A path file lends it this environment's packages; lent so, an editable install is not seen.
    """
    folder = tmp_path_factory.mktemp("newcomer")
    venv.create(folder, with_pip=True)
    scheme = sysconfig.get_preferred_scheme("prefix")
    site = Path(sysconfig.get_path("purelib", scheme, {"base": folder, "platbase": folder}))
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    # Python 3.11 puts an old setuptools there, in front of the one that is lent.
    subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools"], check=True)
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))
    return python


@pytest.fixture(scope="module")
def pip_settings() -> dict[str, str]:
    """Has pip build the wheel with what is lent too, so that the test needs no network."""
    return {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1"}


def run_cell(python: Path, host: str, folder: Path,
             settings: dict[str, str]) -> subprocess.CompletedProcess:
    """Run the set-up cell, and a line that uses the course, as IPython runs a cell."""
    file = folder / "cell.ipy"
    file.write_text(setup_cell().replace("https://github.com", host) + ASK)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"NO_COLOR": "1"} | settings
    return subprocess.run([python, "-m", "IPython", "--colors=NoColor", file], cwd=folder,
                          env=environment, capture_output=True, text=True, check=False)


def installed(python: Path) -> set[str]:
    """Names and versions of what an environment holds."""
    shown = subprocess.run([python, "-m", "pip", "list", "--format=freeze"], check=True,
                           capture_output=True, text=True).stdout
    return {line for line in shown.splitlines() if "transfer" not in line.lower()}


pytestmark = pytest.mark.skipif(settings().getboolean("on_pypi"), reason="installs from the index")


def test_where_it_cannot_install_it_says_what_to_do(newcomer, host, pip_settings, tmp_path):
    done = run_cell(newcomer, f"{host}/nowhere", tmp_path, pip_settings)
    assert "No module named 'transfer_lessons'. Connect to the internet" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_it_installs_the_course_from_its_repository_and_changes_nothing_else(newcomer, host,
                                                                             pip_settings, tmp_path):
    before = installed(newcomer)
    done = run_cell(newcomer, host, tmp_path, pip_settings)
    assert f"from {newcomer.parents[1]}" in done.stdout, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("11")
    assert installed(newcomer) == before


def test_library_and_notebook_are_of_one_version():
    chosen = settings()
    place = f"{chosen['user']}/{chosen['repo']}/archive/{chosen['branch']}.zip"
    assert install_source() == f"https://github.com/{place}"
