"""A model's predictions on a set of images, and the questions to ask of them: confusion matrix, most confused pairs, top losses."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import Table
from .data import ImageDataset
from .data import ImageLoader
from .learner import Learner
from collections import namedtuple
from collections.abc import Sequence
from matplotlib.axes import Axes
from torch import Tensor
from typing import Any
from typing import NamedTuple
import numpy as np

__all__ = ['Confusion', 'ClassificationInterpretation', 'Proportion', 'ClassRow']

class ClassificationInterpretation:
    """A model's predictions on some images, and the questions to ask of them.

    Args:
        logits: [N, classes]
        targets: [N], int64
        dataset: the N images, in the same order
        vocab: class names
        losses: [N], the loss of each image; None takes cross-entropy

    Raises:
        ValueError: where they do not fit together
    """
    vocab: Any
    targets: Tensor
    dataset: ImageDataset
    probabilities: Tensor
    predicted: Any
    losses: Tensor

    def __init__(self, logits: Tensor, targets: Tensor, dataset: ImageDataset, vocab: Sequence[str], losses: Tensor | None=None):
        ...

    @classmethod
    def from_learner(cls, learn: Learner, dl: ImageLoader | None=None) -> ClassificationInterpretation:
        """Predict every image of a loader once, in order and without augmentation.

    Args:
        learn: a trained model and its data
        dl: None takes the validation images
    """

    def confusion_matrix(self) -> np.ndarray:
        """Count every pair of target class and predicted class.

    Returns:
        [classes, classes], counts; a row is a target class, a column a predicted class
    """

    def most_confused(self, min_val: int=1) -> Table:
        """List the pairs of classes that are confused most often.

    Args:
        min_val: pairs that occur less often are left out

    Returns:
        a `Confusion` per pair, most frequent first
    """

    def plot_confusion_matrix(self, normalize: bool=False, figsize: tuple[float, float] | None=None, dpi: float | None=None, ax: Axes | None=None) -> None:
        """Draw the confusion matrix; mistakes stand off the diagonal.

    Args:
        normalize: write fractions of each row instead of counts
        figsize: inches
        dpi: dots per inch
        ax: where to draw; None makes a new figure
    """

    def class_report(self) -> Table:
        """Recall and precision of every class with their 95 % intervals, lowest recall first.

    Returns:
        a `ClassRow` per class; classes without images come last
    """

    def top_losses(self, k: int | None=None) -> tuple[Tensor, Tensor]:
        """Find the images with the largest losses.

    Args:
        k: how many; None for all

    Returns:
        losses [k], largest first, and the indices of the images [k]

    Raises:
        ValueError: for a k below 1
    """

    def _describe(self, i: int) -> str:
        """What one image is, what it was predicted as, and with which probabilities."""

    def plot_top_losses(self, k: int=9, nrows: int | None=None, figsize: tuple[float, float] | None=None) -> None:
        """Draw the images with the largest losses, with target, prediction and their probabilities.

    Args:
        k: how many images
        nrows: rows of the grid; None chooses
        figsize: inches
    """
Confusion = namedtuple('Confusion', 'actual predicted count')

class Proportion(NamedTuple):
    """A fraction of some images; it shows itself with its 95 % interval."""
    n_correct: int
    n: int

    @property
    def value(self) -> float:
        """The fraction, 0 to 1; NaN of no images."""

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end (Wilson 1927); 0 and 1 of no images, which say nothing."""

    def __str__(self) -> str:
        ...

class ClassRow(NamedTuple):
    """A class in the report; f1 is the harmonic mean of recall and precision."""
    class_name: str
    images: int
    recall: Proportion
    precision: Proportion
    f1: float
