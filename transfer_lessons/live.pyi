"""Live loss curves, a slider that turns the learning rate of the next step, and a stop that costs nothing."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .explorers import Explorer
from .learner import Learner
from .recorder import Recorder
from .widget_messages import WidgetMessages
from collections.abc import Sequence
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from typing import Any
from typing import NamedTuple

__all__ = ['LOWEST_LR', 'HIGHEST_LR', 'LossCurves', 'say_lr', 'draw_turns']
LOWEST_LR = 1e-06
HIGHEST_LR = 10.0

class LossCurves(Explorer):
    """Live loss curves for what is trained in a `with` block, and a slider for its learning rate.

    The slider follows the schedule until it is touched; an interrupt ends the block quietly.

    Args:
        learn: the learner that the block trains; or the recorder of a loop of your own, which calls
            `start`, then `steer` before and `step` after each step
        pace: seconds that a step takes at least, so that a hand can follow
    """
    show = Explorer.redraw
    epoch: int
    n_steps: int
    n_done: int
    shown_at: Any
    progress_type_before: Any
    n_epoch: int
    learn: Learner | Recorder
    recorder: Any
    pace: float
    status: str
    lr_now: float
    next_draw: float
    step_began: float
    turned_at: float
    followed: Any
    messages: WidgetMessages
    turns: list[tuple[int, float | None]]

    def __init__(self, learn: Learner | Recorder, pace: float=0.0):
        ...

    def begin(self, n_epoch: int) -> 'LossCurves':
        """A training of so many epochs begins; stands in for `Progress(n_epoch)`."""

    def draw(self, figure: Figure, lr: float, by_hand: bool) -> str:
        """Draw all that the recorder has, and where the learning rate was turned."""

    def changed(self, change: Any=None) -> None:
        """A control has a new value: if the slider was moved, it is by hand from now on."""

    def turn(self, lr: float | None) -> None:
        """Turn the learning rate as a hand would: the next step takes it.

    Args:
        lr: between 1e-6 and 10, the ends of the slider; None goes back to the schedule
    """

    def by_hand(self) -> float | None:
        """The learning rate that is set by hand; None while the schedule decides."""

    def steer(self, lrs: Sequence[float]) -> list[float]:
        """The learning rates of the next step.

    Args:
        lrs: what the schedule says, one per layer group

    Returns:
        the same, unless the slider was touched
    """

    def note_turn(self, lr: float | None) -> None:
        """Remember that the next step has another learning rate; within a second it is one move."""

    def start(self, epoch: int, n_steps: int) -> None:
        """An epoch begins."""

    def step(self) -> None:
        """A step is made: wait until its time is over, and draw from time to time."""

    def describe(self) -> str:
        """In words, where the training is."""

    def follow(self) -> None:
        """Move the slider to the schedule's learning rate, unless it is set by hand."""

    def row(self, row: NamedTuple) -> None:
        """An epoch ended: draw at once, and say its results."""

    def __enter__(self) -> 'LossCurves':
        ...

    def __exit__(self, error_type: type | None, error: BaseException | None, traceback: Any) -> bool:
        ...

def say_lr(lr: float | None) -> str:
    """A learning rate set by hand, or None, the schedule, in one word."""

def draw_turns(ax: Axes, turns: Sequence[tuple[int, float | None]]) -> None:
    """Mark where the learning rate was turned.

    Args:
        ax: with the loss of each step
        turns: the step, counted from 1, and the learning rate set by hand; None for the schedule's
    """
