"""The cleaner: look at the images with the largest losses, and mark wrong labels and images to remove."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .explorers import Explorer
from .interpretation import ClassificationInterpretation
from .marks import Mark
from .marks import Marks
from PIL import Image
from typing import Any
import ipywidgets as widgets
import os

__all__ = ['PER_PAGE', 'ImageCleaner']
PER_PAGE = 5
_NO_MARK = -2
_REMOVE = -1

class ImageCleaner(Explorer):
    """Images with the largest losses first, and a menu to mark each: another class, or remove.

    Args:
        interp: predictions on the images to clean, such as
            `ClassificationInterpretation.from_learner(learn, learn.dls.train)`
        file: of `Marks`; the loaders take it as `marks=`
    """
    figsize = (7.2, 2.3)
    file_format = 'jpeg'
    on_page: list[int]
    interp: Any
    marks: Marks
    order: Any
    names: Any
    problem: str
    is_filling: bool
    menus: Any

    def __init__(self, interp: ClassificationInterpretation, file: str | os.PathLike):
        ...

    def paint(self, target: int, page: int) -> tuple[Image.Image, str]:
        """Five images, each with its class, what it was predicted as, and its mark."""

    def _menu(self, place: int) -> widgets.Dropdown:
        """The menu below one image of the page."""

    def _of_class(self, target: int) -> list[int]:
        """Indices of the images of a class, largest loss first; -1 for those of all classes."""

    def _n_pages(self, target: int) -> int:
        ...

    def _first_page(self, change: Any) -> None:
        """Another class was chosen: begin with its largest losses."""

    def _found(self) -> list[Mark | None]:
        """The mark of each image of the page, as the file has it now."""

    def _fill_menus(self, found: list[Mark | None]) -> None:
        """Let the menus show the marks of the images above them."""

    def _decided(self, place: int, change: Any) -> None:
        """A menu was used: write the mark, then show what the file has."""

    def _caption(self, place: int, i: int, mark: Mark | None) -> str:
        """What stands above an image."""
