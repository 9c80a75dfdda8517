"""Module interpretation."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import Table
from .data import ImageDataset
from .data import ImageLoader
from .learner import Learner
from collections import namedtuple
from collections.abc import Sequence
from torch import Tensor
from typing import Any
import matplotlib.pyplot as plt
import numpy as np

__all__ = ['Confusion', 'ClassificationInterpretation']

class ClassificationInterpretation:
    """A model's answers to some pictures, and the questions one asks of them.

    Args:
        logits: [N, classes]
        targets: [N], int64
        pictures: N, in the same order
        vocab: class names
    """
    losses: Any

    def __init__(self, logits: Tensor, targets: Tensor, pictures: ImageDataset, vocab: Sequence[str]):
        ...

    @classmethod
    def from_learner(cls, learn: Learner, loader: ImageLoader | None=None) -> ClassificationInterpretation:
        """Ask the model once about all pictures of a loader, in order, as they are; keep its answers.

    Args:
        learn: a trained model and its data
        loader: None takes the validation pictures
    """

    def confusion_matrix(self) -> np.ndarray:
        """Count every pair of actual and predicted class.

    Returns:
        [classes, classes], counts; rows are what it is, columns what it was taken for
    """

    def most_confused(self, min_val: int=1) -> Table:
        """The pairs of classes that are mistaken for each other most often.

    Args:
        min_val: pairs seen less often are left out

    Returns:
        a `Confusion` for each, most frequent first
    """

    def plot_confusion_matrix(self, normalize: bool=False, figsize: tuple[float, float] | None=None, ax: plt.Axes | None=None) -> None:
        """Draw the confusion matrix; mistakes stand off the diagonal.

    Args:
        normalize: shares of each row instead of counts
        figsize: inches
        ax: where to draw; None makes a new figure
    """

    def top_losses(self, k: int | None=None) -> tuple[Tensor, Tensor]:
        """The pictures to whose right class the model gave the least probability.

    Args:
        k: how many; None for all

    Returns:
        losses [k], largest first, and the pictures' numbers [k]
    """

    def plot_top_losses(self, k: int=9, figsize: tuple[float, float] | None=None) -> None:
        """Draw the pictures with the largest losses: what it is, what it was taken for, how surely.

    Args:
        k: pictures
        figsize: inches
    """
Confusion = namedtuple('Confusion', 'actual predicted count')
