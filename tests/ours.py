"""What a property of the whole library asks: it works, or the error is one of ours."""
import contextlib
import linecache
import traceback
from collections.abc import Iterator
from pathlib import Path

import transfer_lessons

LIBRARY = Path(transfer_lessons.__file__).parent


@contextlib.contextmanager
def ours() -> Iterator[None]:
    """Let pass what the library refuses on purpose: the last line of its traceback raises."""
    try:
        yield
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        line = linecache.getline(last.filename, last.lineno).strip()
        on_purpose = Path(last.filename).parent == LIBRARY and line.startswith("raise ")
        if not on_purpose or not str(error):
            raise
