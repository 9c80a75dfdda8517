"""Module lr_finder."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import Progress
from .learner import Learner
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
import contextlib
import matplotlib.pyplot as plt
import torch

__all__ = ['Suggestion', 'RULES', 'minimum', 'steep', 'valley', 'slide', 'LRFind', 'temporary_copy', 'suggest']
Suggestion = Callable[[Sequence[float], Sequence[float]], float]

def minimum(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """A tenth of the rate at the lowest loss.

    Args:
        lrs: the rates that were tried, rising
        losses: smoothed, one a rate
    """

def steep(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """The rate at which the loss falls fastest, per step of ln(rate)."""

def _longest_fall(losses: Sequence[float]) -> tuple[int, int]:
    """Where the longest run of ever lower losses starts, and how many points it has."""

def valley(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """The rate half way down the longest fall: in the middle of its middle third."""

def slide(lrs: Sequence[float], losses: Sequence[float], gap: int=15, threshold: float=0.005) -> float:
    """Coming from the right, the last rate before two slopes `gap` points apart become equal.

    Args:
        lrs: the rates that were tried, rising
        losses: smoothed, one a rate
        gap: points between the two slopes that are compared
        threshold: closer than this, the slopes count as equal
    """

@dataclass(repr=False)
class LRFind:
    """A range test: rates, losses, and what the rules suggest. It unpacks into the suggestions."""
    lrs: list[float]
    losses: list[float]
    suggestions: dict[str, float]

    def __iter__(self) -> Iterator[float]:
        ...

    def __repr__(self) -> str:
        ...

    def plot(self, ax: plt.Axes | None=None) -> None:
        """Draw loss against rate, with every rule's suggestion on the curve."""

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        ...

def _copied(model: torch.nn.Module) -> torch.nn.Module:
    """A copy of the model; results of a step that modules keep cannot be copied: shared."""

@contextlib.contextmanager
def temporary_copy(learn: Learner) -> Iterator[Learner]:
    """Lend a twin to train at will: learner and random states stay bit for bit as they are."""
RULES = (minimum, steep, valley, slide)

def suggest(lrs: list[float], losses: list[float], suggest_funcs: Sequence[Suggestion]) -> dict[str, float]:
    """Ask every rule, leaving out 10 points at the start, unsettled, and 5 at the end, exploding.

    Args:
        lrs: the rates that were tried, rising
        losses: smoothed; the first that is no number ends the curve
        suggest_funcs: rules, such as `minimum`

    Returns:
        rate by name of the rule
    """

def _range_test(learn: Learner, lrs: list[float], losses: list[float], progress: Progress) -> None:
    """Train a twin, a batch a rate; append smoothed losses until one passes 4 times the best."""

def _check(start_lr: float, end_lr: float, num_it: int, rules: list[Suggestion]) -> None:
    ...
