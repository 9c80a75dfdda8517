"""The learning-rate range test, four suggestion functions that read its curve, and `lr_find`, which leaves no trace."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import Progress
from .curves import Suggestion
from .learner import Learner
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from matplotlib.axes import Axes
from typing import Any
import contextlib
import torch

__all__ = ['SUGGEST_FUNCS', 'minimum', 'steep', 'valley', 'slide', 'LRFind', 'temporary_copy', 'suggest']

def minimum(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """Suggest one tenth of the learning rate with the lowest loss (Howard and Gugger 2020, ch. 5).

    Args:
        lrs: learning rates tried, in increasing order
        losses: smoothed training loss at each learning rate
    """

def steep(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """Suggest the learning rate at which the loss falls fastest per unit of ln(lr), as in fastai.

    Args:
        lrs: learning rates tried, in increasing order
        losses: smoothed training loss at each learning rate
    """

def _fall_lengths(losses: Sequence[float]) -> list[int]:
    """For each point, the length of the longest decreasing subsequence that ends there."""

def valley(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """Suggest a learning rate halfway down the longest decreasing subsequence, as fastai does.

    Args:
        lrs: learning rates tried, in increasing order
        losses: smoothed training loss at each learning rate
    """

def slide(lrs: Sequence[float], losses: Sequence[float], gap: int=15, threshold: float=0.005) -> float:
    """Suggest, coming from the right, the last learning rate before the curve evens out (fastai).

    Args:
        lrs: learning rates tried, in increasing order
        losses: smoothed training loss at each learning rate
        gap: points between the two gradients that are compared
        threshold: closer than this, the gradients count as equal
    """

@dataclass(repr=False)
class LRFind:
    """The result of a range test; it unpacks into its suggestions."""
    lrs: list[float]
    losses: list[float]
    suggestions: dict[str, float | None]
    note: str = ''

    @property
    def valley(self) -> float | None:
        """What `valley` suggests, under fastai's name for it."""

    @property
    def found(self) -> dict[str, float]:
        """The suggestions that there are."""

    def __iter__(self) -> Iterator[float | None]:
        ...

    def __repr__(self) -> str:
        ...

    def plot(self, ax: Axes | None=None) -> None:
        """Draw the loss against the learning rate, and every suggestion on the curve.

    Args:
        ax: where to draw; None makes a new figure
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        ...

def _copy_model(model: torch.nn.Module) -> torch.nn.Module:
    """A deep copy; intermediate results that modules keep cannot be copied, so those are shared."""

@contextlib.contextmanager
def temporary_copy(learn: Learner) -> Iterator[Learner]:
    """Lend a copy to train at will: learner and random states stay as they are, bit for bit.

    Args:
        learn: the learner to copy; the copy shares its data
    """
SUGGEST_FUNCS: tuple[Suggestion, ...] = (valley, slide, minimum)

def suggest(lrs: Sequence[float], losses: Sequence[float], suggest_funcs: Sequence[Suggestion]) -> dict[str, float]:
    """Ask every suggestion function, without the first 10 points and the last 5.

    Args:
        lrs: learning rates tried, in increasing order
        losses: smoothed training loss at each of them; the curve ends at the first NaN
        suggest_funcs: such as `minimum`

    Returns:
        suggested learning rate by the name of the function

    Raises:
        ValueError: where fewer than two points are left, or where the curve is flat
    """

class _Curve:
    """The losses of a range test as they arrive, raw and smoothed, until they explode."""
    average: float
    best: Any
    has_ended: bool
    raw: list[float]
    losses: list[float]

    def __init__(self) -> None:
        ...

    def smooth(self) -> bool:
        """Smooth the losses that have arrived; returns whether the curve has ended."""

def _range_test(learn: Learner, lrs: Iterable[float], curve: _Curve, progress: Progress) -> None:
    """Train a temporary copy, one batch per learning rate; the losses go into the curve."""

def _check_first_loss(end: BaseException, losses: list[float], lr: float) -> None:
    """Raise `FloatingPointError` where not even the first loss was finite."""
