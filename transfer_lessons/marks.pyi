"""Marks on images, kept by content in a small file: this one gets another label, that one is removed."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import Table
from .image_files import ImageSource
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import NamedTuple
import os

__all__ = ['FORMAT', 'Mark', 'read_marks', 'Marks', 'apply_marks']
FORMAT = 'transfer_lessons marks 1'

class Mark(NamedTuple):
    """What was decided about an image: "relabel" it with a class, or "remove" it.

    The name of the image only helps people who read the file.
    """
    action: str
    label: str | None = None
    image: str = ''

def read_marks(file: Path) -> dict[str, Mark]:
    """Read the marks in a file, if it is one and undamaged.

    Args:
        file: need not exist

    Returns:
        marks by the SHA-256 of an image's content, in hexadecimal digits; none without a file

    Raises:
        ValueError: for a damaged file, and for another one
    """

def _read_mark(file: Path, key: str, entry: Any) -> Mark:
    """One mark from JSON, or `ValueError`."""

def _not_marks(file: Path, reason: str) -> str:
    """What to say about a file that holds no marks."""

class Marks:
    """Marks on images in a file. Nothing is kept here: every process sees the others' marks.

    Args:
        file: JSON; it need not exist yet
    """
    file: Path

    def __init__(self, file: str | os.PathLike):
        ...

    def relabel(self, source: ImageSource, label: str) -> None:
        """Give an image, and all copies of it, another class.

        Args:
            source: an image file, or an image in memory
            label: class name, or the number of a class
        """

    def remove(self, source: ImageSource) -> None:
        """Leave an image, and all copies of it, out of every loader that honours the file."""

    def clear(self, source: ImageSource) -> None:
        """Take the mark of an image back."""

    def get(self, source: ImageSource) -> Mark | None:
        """The mark of an image; None where it has none."""

    def table(self) -> Table:
        """All marks, as a table."""

    def rename(self, old: str, new: str) -> None:
        """Follow a class that got another name.

    Args:
        old: the name of the class in the marks
        new: what it is called now
    """

    def _set(self, source: ImageSource, mark: Mark | None) -> None:
        """Give an image this mark, or none, in the file."""

    def _change(self, change: Callable[[dict[str, Mark]], None]) -> None:
        """Read the marks, change them and write them, while all others wait."""

def _class_name(name: str, value: Any) -> str:
    """A class name as loaders read it, or `ValueError`."""

def apply_marks(file: str | os.PathLike, sources: Sequence[ImageSource], labels: Sequence[Any], digests: Sequence[bytes], vocab: Sequence[str] | None=None) -> tuple[list[Any], list[bool]]:
    """Change the labels of images as the marks in a file say.

    Args:
        file: of `Marks`
        sources: image files, or images in memory
        labels: class of each image, text or a whole number
        digests: of the images' contents, one each
        vocab: class names; None allows any

    Returns:
        a label for each image, and whether it stays

    Raises:
        ValueError: for a damaged file, for a class that is not in `vocab`, and where no image stays
    """

def _say_what_is_odd(path: Path, n_marks: int, n_found: int, new: set[str]) -> None:
    """Warn of marks that cannot be what somebody meant."""
