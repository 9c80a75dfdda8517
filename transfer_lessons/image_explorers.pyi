"""Explorers of augmentation and of the confusion matrix: tiles of real images that follow the controls."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .explorers import Explorer
from .interpretation import ClassificationInterpretation
from .loaders import ImageDataLoaders
from PIL import Image
from collections.abc import Sequence
from torch import Tensor
from typing import Any
import ipywidgets as widgets

__all__ = ['augmented_views', 'tile_sheet', 'AugmentExplorer', 'confusion_cell', 'ConfusionExplorer']

def augmented_views(image: Tensor, n: int=8, seed: int=0, **options: Any) -> Tensor:
    """Augment one image n times, the same way for the same seed.

    Args:
        image: [3, S, S], uint8
        n: how many views
        seed: of the random numbers
        **options: of `augment_batch`

    Returns:
        [n, 3, size, size], float, 0 to 1
    """

def tile_sheet(size: tuple[int, int], tiles: Sequence[tuple[Tensor, str, tuple[int, int, int, int]]], text_size: int, title: str='') -> Image.Image:
    """Images on a white sheet, each at its place with its name above it.

    Args:
        size: width and height in pixels
        tiles: each image ([3, H, W], uint8 or 0 to 1), its name, its left, top, width and height
        text_size: of the names, in pixels
        title: stands above all of them
    """

class AugmentExplorer(Explorer):
    """One training image and what augmentation makes of it; one slider per transform.

    Args:
        dls: its training images are shown
    """
    figsize = (7.2, 2.7)
    file_format = 'jpeg'
    dls: Any

    def __init__(self, dls: ImageDataLoaders):
        ...

    def paint(self, number: int, seed: int, **options: Any) -> tuple[Image.Image, str]:
        """The image large, and eight views of it in two rows."""

def confusion_cell(targets: Tensor, predicted: Tensor, losses: Tensor, cell: tuple[int, int]) -> list[int]:
    """The images of one class that were predicted as another, or as their own.

    Args:
        targets: [N], indices of the target classes
        predicted: [N], indices of the predicted classes
        losses: [N]
        cell: target class and predicted class: row and column of the confusion matrix

    Returns:
        indices of the images, largest loss first
    """

class ConfusionExplorer(Explorer):
    """Click a cell of the confusion matrix, or choose two classes, and see its images.

    Args:
        interp: a `ClassificationInterpretation`, as lesson 11 builds it
    """
    figsize = (7.2, 2.3)
    file_format = 'jpeg'
    interp: Any
    counts: Any

    def __init__(self, interp: ClassificationInterpretation):
        ...

    def choose(self, actual: int, predicted: int, button: Any=None) -> None:
        """Show the images of a cell, given by the indices of its classes."""

    def paint(self, actual: int, predicted: int) -> tuple[Image.Image, str]:
        """Up to five images of the cell, the largest loss first."""

    def _matrix(self) -> widgets.Widget:
        """The confusion matrix as buttons."""

    def static_image(self) -> Image.Image:
        """The confusion matrix above the images of a cell, for a page without a kernel."""
