"""Module explorers."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import short_name
from .data import ImageDataLoaders
from .freezing import LearningRate
from .learner import Learner
from PIL import Image
from PIL import ImageFont
from collections.abc import Sequence
from functools import partial
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from typing import Any
import ipywidgets as widgets
import numpy as np
import threading

__all__ = ['Explorer', 'few_ticks', 'cycle_curves', 'OneCycleExplorer', 'cross_entropy_parts', 'CrossEntropyExplorer', 'measure_steps', 'FreezeExplorer', 'augmented_views', 'AugmentExplorer', 'confusion_cell', 'ConfusionExplorer']
_drawing = threading.RLock()
_KEYS = '<img src="data:," alt="" hidden onerror="window.tlKeys ??=\ndocument.addEventListener(\'focusin\',\n({target}) => target.closest(\'.tl-explorer\') &&\ntarget.setAttribute(\'data-lm-suppress-shortcuts\', \'true\')) ?? true">'

class Explorer:
    """Controls and a picture that follows them: `frame` draws what stays, `draw` the rest."""
    figsize = (7.2, 3.0)
    format = 'png'
    figure: Any
    places: Any
    stays: Any
    canvas: Any
    background: Any
    image: Any
    words: Any
    box: Any

    def __init__(self, **controls: widgets.Widget):
        ...

    def frame(self, figure: Figure) -> None:
        """Draw what stays for all values: axes, titles, limits; what is animated moves."""

    def draw(self, figure: Figure, **values: Any) -> str:
        """Add what belongs to the controls' values; return in words what the picture shows."""

    def paint(self, **values: Any) -> tuple[Image.Image, str]:
        """Make the picture for these values: the frame, and over it what `draw` adds.

    Args:
        **values: of the controls

    Returns:
        the picture, RGB, and what it shows in words
    """

    def redraw(self) -> None:
        """Make the picture for the values that the controls have now, and show it."""

    def changed(self, change: Any=None) -> None:
        """A control moved: draw soon, and once for all moves that have come in by then."""

    def _repr_mimebundle_(self, include: Sequence[str] | None=None, exclude: Sequence[str] | None=None) -> tuple[dict, dict]:
        ...

def few_ticks(figure: Figure, n: int, left: float=0.09) -> list[Axes]:
    """Axes that are quick to draw: placed by hand, with few ticks.

    Args:
        figure: where to place them
        n: how many
        left: margin for labels, as a share of the width

    Returns:
        n of them, side by side
    """
_label = partial(short_name, longest=16)

def _slider(text: str, value: float, low: float, high: float, step: float=0.05, log: bool=False) -> widgets.Widget:
    ...

def cycle_curves(kind: str, lr_max: float, pct_start: float=0.25, div: float=25.0, div_final: float=100000.0, moms: tuple[float, float]=(0.85, 0.95), n_cycles: int=3, cycle_mult: int=2) -> np.ndarray:
    """A schedule as curves; SGDR leaves the momentum alone.

    Args:
        kind: "one cycle" or "SGDR"
        lr_max: the highest rate
        pct_start: as for `one_cycle`
        div: as for `one_cycle`
        div_final: as for `one_cycle`
        moms: lowest and highest momentum
        n_cycles: as for `sgdr`
        cycle_mult: as for `sgdr`

    Returns:
        [3, 241]: share of the training that is done, learning rate, momentum
    """

class OneCycleExplorer(Explorer):
    """Shape the learning rate and the momentum of a training: one cycle, or SGDR's restarts."""

    def __init__(self, lr_max: float=0.01):
        ...

    def frame(self, figure: Figure) -> None:
        """Two axes with the schedule that one starts with; those of the rates follow its peak."""

    def draw(self, figure: Figure, kind: str, **values: Any) -> str:
        """Draw rate and momentum over the schedule that one starts with."""

def cross_entropy_parts(logits: Sequence[float], target: int) -> tuple[np.ndarray, float, np.ndarray]:
    """What cross-entropy makes of the scores of one picture.

    Args:
        logits: one a class
        target: the right class

    Returns:
        probabilities, loss, gradient of the loss by logit
    """

class CrossEntropyExplorer(Explorer):
    """Move the logits of one picture and its target: probabilities, loss and gradient follow.

    Args:
        logits: one a class
        target: the right class
        vocab: class names; None numbers them
    """
    vocab: Any
    most: Any

    def __init__(self, logits: Sequence[float]=(2.0, 1.0, -1.0), target: int=0, vocab: Sequence[str] | None=None):
        ...

    def frame(self, figure: Figure) -> None:
        """Axes for logits, probabilities and gradient, a row a class."""

    def draw(self, figure: Figure, target: int, **logits: float) -> str:
        """Draw logits, probabilities and gradient as bars, the right class in another colour."""

def measure_steps(learn: Learner) -> list[float]:
    """Let a twin make three steps for every boundary, and take the quickest; the learner stays.

    Returns:
        seconds a training step takes after freeze_to(0), freeze_to(1), ...
    """

class FreezeExplorer(Explorer):
    """Slide the freeze boundary: what trains, how fast it learns, and what a step costs.

    Args:
        learn: its groups are shown, and their steps timed
        lr: spread over the layer groups
    """
    times: Any
    sizes: Any

    def __init__(self, learn: Learner, lr: LearningRate=...):
        ...

    def frame(self, figure: Figure) -> None:
        """Axes for the sizes of the groups and for the times of a step."""

    def draw(self, figure: Figure, n: int) -> str:
        """Draw the groups, in colour where they train, and the time of a step for every n."""

def augmented_views(picture: Tensor, n: int=8, seed: int=0, **changes: Any) -> Tensor:
    """Augment one picture n times, the same way for the same seed.

    Args:
        picture: [3, S, S], uint8
        n: how many views
        seed: of the chances
        **changes: of `augment_batch`

    Returns:
        [n, 3, size, size], float, 0 to 1
    """

def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font of Matplotlib's plots, in pixels."""

def _sheet(size: tuple[int, int], tiles: Sequence[tuple[Tensor, str, tuple[int, int, int, int]]], text: int, title: str='') -> Image.Image:
    """ImageDataset [3, H, W], uint8 or 0 to 1, on white, each at its place with its name above it.

    Args:
        size: pixels, width and height
        tiles: each picture, its name, and its left, top, width and height
        text: size of what is written above every picture, in pixels
        title: what stands above all of them
    """

class AugmentExplorer(Explorer):
    """One training picture and what augmentation makes of it; a slider a transform."""
    figsize, format = ((7.2, 2.7), 'jpeg')

    def __init__(self, dls: ImageDataLoaders):
        ...

    def paint(self, number: int, seed: int, **changes: Any) -> tuple[Image.Image, str]:
        """The picture large, and eight views of it in two rows."""

def confusion_cell(targets: Tensor, predicted: Tensor, losses: Tensor, cell: tuple[int, int]) -> list[int]:
    """Which pictures of one class were taken for another, or for what they are.

    Args:
        targets: [N], class numbers: what pictures are
        predicted: [N], class numbers: what they are taken for
        losses: [N]
        cell: class numbers: row and column of the confusion matrix

    Returns:
        numbers of the pictures in it, largest loss first
    """

class ConfusionExplorer(Explorer):
    """Click a cell of the confusion matrix, or choose two classes, and see its pictures.

    Args:
        interp: a `ClassificationInterpretation`, which lesson 13 builds
    """
    figsize, format = ((7.2, 2.0), 'jpeg')

    def __init__(self, interp: Any):
        ...

    def choose(self, actual: int, predicted: int, button: Any=None) -> None:
        """Show the pictures of a cell, given by the numbers of its classes."""

    def paint(self, actual: int, predicted: int) -> tuple[Image.Image, str]:
        """Up to six pictures of the cell, the worst first."""

    def _matrix(self) -> widgets.Widget:
        """The confusion matrix as buttons: mistakes in one colour, what was right in another."""
