"""Live loss curves, and a stop that costs nothing."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .explorers import Explorer
from .learner import Learner
from matplotlib.figure import Figure
from typing import Any
from typing import NamedTuple

__all__ = ['LossCurves']

class LossCurves(Explorer):
    """Live loss curves for what is trained in a `with` block; an interrupt ends it quietly.

    Args:
        learn: the learner that the block trains
    """
    show = Explorer.redraw
    epoch: int
    n_steps: int
    n_done: int
    progress_type_before: Any
    shown_at: Any
    n_epoch: int
    learn: Any
    status: str
    next_draw: float

    def __init__(self, learn: Learner):
        ...

    def begin(self, n_epoch: int) -> 'LossCurves':
        """A training of so many epochs begins; stands in for `Progress(n_epoch)`."""

    def draw(self, figure: Figure) -> str:
        """Draw all that the recorder has."""

    def start(self, epoch: int, n_steps: int) -> None:
        """An epoch begins."""

    def step(self) -> None:
        """A step is made: draw from time to time."""

    def row(self, row: NamedTuple) -> None:
        """An epoch ended: draw at once, and say its results."""

    def __enter__(self) -> 'LossCurves':
        ...

    def __exit__(self, error_type: type | None, error: BaseException | None, traceback: Any) -> bool:
        ...
