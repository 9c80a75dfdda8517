"""A browser for the tests of this folder."""
import pytest
from helpers import chromium


@pytest.fixture(scope="module")
def browser():
    """The system's chromium, one a module: while it is open an event loop runs in this thread."""
    with chromium() as browser:
        if browser is None:
            pytest.skip("no chromium on this machine")
        yield browser
