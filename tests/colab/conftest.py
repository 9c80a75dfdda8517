"""Colab's environment for the tests of this folder, and a browser."""
from pathlib import Path

import pytest
from helpers import CLASSIC, chromium, classic_notebook


@pytest.fixture(scope="session")
def colab_python() -> Path:
    """The Python of an environment with Colab's versions, in which the course is installed."""
    if not CLASSIC.exists():
        pytest.skip("no .venv-colab: `make colab` builds it")
    return CLASSIC


@pytest.fixture(scope="module")
def browser():
    """The system's chromium, one a module: while it is open an event loop runs in this thread."""
    with chromium() as browser:
        if browser is None:
            pytest.skip("no chromium on this machine")
        yield browser


@pytest.fixture(scope="module")
def classic_server(colab_python, tmp_path_factory):
    """Classic Notebook 6.5.7, ipywidgets 7.7.1 and ipykernel 6.17.1, serving an empty folder."""
    with classic_notebook(tmp_path_factory.mktemp("notebooks")) as server:
        yield server
