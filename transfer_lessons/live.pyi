"""Live loss curves and a stop button."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .explorers import Explorer
from .learner import Learner
from collections.abc import Callable
from matplotlib.figure import Figure
from typing import Any
from typing import NamedTuple
import contextlib
import ipywidgets as widgets

__all__ = ['LossCurves']

def _listening(button: widgets.Button) -> contextlib.AbstractContextManager[Callable]:
    """Gives a function that, called now and then, lets a button be heard while a cell runs."""

class LossCurves(Explorer):
    """Live loss curves and a stop button for what is trained in a `with` block."""
    button: Any

    def __init__(self, learn: Learner):
        ...

    def draw(self, figure: Figure) -> str:
        """Draw all that the recorder has."""

    def stop(self, button: Any=None) -> None:
        """End the training at the next batch as Ctrl-C does: weights and history are kept."""

    def begin(self, n_epoch: int) -> 'LossCurves':
        """A training of so many epochs begins; what follows is what a `Progress` is told."""
    show = Explorer.redraw

    def start(self, epoch: int, n_steps: int) -> None:
        """An epoch begins."""

    def step(self) -> None:
        """A step is made: draw from time to time, and end the training if told to."""

    def row(self, row: NamedTuple) -> None:
        """An epoch is through."""

    def __enter__(self) -> 'LossCurves':
        ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> bool:
        ...
