"""The record of a training, a number per step and a row per epoch, and its plots."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import Table
from collections.abc import Sequence
from matplotlib.axes import Axes
from torch.optim import Optimizer
from typing import Any
from typing import NamedTuple

__all__ = ['Recorder']

class Recorder:
    """What happened in a training, step by step and epoch by epoch."""
    history: Table
    losses: list[float]
    lrs: list[list[float]]
    moms: list[float]
    ends: list[int]

    def __init__(self) -> None:
        ...

    def begin_step(self, opt: Optimizer) -> None:
        """Record a step's learning rates and momentum; its loss comes later, into `losses`.

        Args:
            opt: the optimizer that makes the step
        """

    def end_step(self, loss: float, opt: Optimizer) -> None:
        """Record a step whose loss is known at once.

        Args:
            loss: of the batch, before the step
            opt: the optimizer that made the step
        """

    def drop_unfinished(self) -> None:
        """Forget steps that have no loss: all lists are of one length again."""

    def end_epoch(self, names: Sequence[str], values: Sequence[Any]) -> NamedTuple:
        """Record an epoch's results.

        Args:
            names: of the columns; one that cannot name a column, such as "<lambda>", is replaced
            values: in the same order

        Returns:
            the new row of the history
        """

    def state(self) -> dict[str, Any]:
        """Everything recorded, as JSON can hold it.

    Returns:
        a list per attribute; the history as a list of dicts
    """

    def set_state(self, state: dict[str, Any]) -> None:
        """Become the recorder that `state` described.

    Args:
        state: what `state` returned, perhaps after a trip through JSON
    """

    def plot_loss(self, ax: Axes | None=None, skip_start: int=0) -> None:
        """Draw the training loss of every step and the validation loss of every epoch.

    Args:
        ax: where to draw; None makes a new figure
        skip_start: leave out this many steps at the start
    """

    def plot_sched(self, axes: Sequence[Axes] | None=None) -> None:
        """Draw the learning rate of every layer group, and the momentum, step by step.

    Args:
        axes: two to draw on; None makes a new figure
    """
