"""Module sweep."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import Progress
from .learner import Learner
from .lr_finder import Suggestion
from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass
from torch import Tensor
import matplotlib.pyplot as plt

__all__ = ['Step', 'Answer', 'AT_ONCE', 'Curves', 'Sweep', 'sweep_lrs']
Step = Callable[[Tensor, Tensor, float, float], Tensor]
Answer = Callable[[Tensor], Tensor]

def _linear_heads(learn: Learner, lrs: list[float]) -> tuple[Step, Answer]:
    """K linear heads, one behind the other; sums in a learner's order, for equal bits."""

def _stacked(value: Tensor, copies: int) -> Tensor:
    """Copies one behind the other; a matrix lies turned in memory, as its slopes will."""

def _stacked_heads(learn: Learner, lrs: list[float]) -> tuple[Step, Answer]:
    """K copies of whatever trains, BatchNorm's statistics too; the optimizer has a group a rate."""

def _losses(loss_func: Callable, logits: Tensor, targets: Tensor) -> Tensor:
    """The loss of each head: logits [N, classes, K] and targets [N] -> [K]."""

def _is_linear(learn: Learner) -> bool:
    """Is what trains one linear layer, with cross-entropy and AdamW?"""
AT_ONCE = {'cpu': 2 ** 21, 'cuda': 2 ** 28}

def _one_head(learn: Learner, lrs: list[float]) -> tuple[Step, Answer]:
    """A head that is trained by itself."""
Curves = tuple[Tensor, Tensor, Tensor]

def _train(learn: Learner, lrs: list[float], plan: list[tuple[float, float]], progress: Progress) -> Curves:
    """Train at K rates at once; the plan is a factor on the rates, and a momentum, a step."""

def _runner(learn: Learner, plan: list[tuple[float, float]]) -> Callable[[list[float]], Curves]:
    """What trains at any rates from the learner's present state, now or later."""

@dataclass(repr=False, eq=False)
class Sweep:
    """Trainings that differ in nothing but their learning rate: K rates, T steps, E epochs."""
    lrs: list[float]
    losses: Tensor
    valid_losses: Tensor
    error_rates: Tensor
    suggestions: dict[str, float]
    runner: Callable[[list[float]], Curves]

    @property
    def n_epoch(self) -> int:
        ...

    @property
    def valid_loss(self) -> Tensor:
        """Validation loss of every rate after the last epoch, [K]."""

    @property
    def error_rate(self) -> Tensor:
        """Error rate of every rate after the last epoch, [K]."""

    @property
    def best(self) -> float:
        """The rate with the lowest validation loss; NaN where none left a number."""

    def __repr__(self) -> str:
        ...

    def plot(self, ax: plt.Axes | None=None) -> None:
        """Draw the final validation loss and error against the rate, with the finder's suggestions."""

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        ...

    def train(self, lr: float) -> Sweep:
        """Train at one rate more, from the same start and with the same settings.

    Returns:
        a sweep with one more rate; this one stays as it is
    """

def sweep_lrs(learn: Learner, lrs: Iterable[float] | float, epochs: int, *, suggest_funcs: Suggestion | Iterable[Suggestion]=..., div: float=25.0, div_final: float=100000.0, pct_start: float=0.25, moms: tuple[float, float, float]=(0.95, 0.85, 0.95)) -> Sweep:
    """Train the head once a rate, all in one program, as `fit_one_cycle` would train each alone.

    The learner stays as it is. A rate that is too high gives a curve that diverges, not an error.
    Raises `ValueError` for rates that are not positive numbers and for epochs below 1.

    Args:
        learn: on kept activations; any other with a frozen body is precomputed
        lrs: rates, or one
        epochs: of every run
        suggest_funcs: () asks none
        div: every run starts at its rate / div
        div_final: and ends at its rate / div_final
        pct_start: share of the steps that warm up
        moms: momentum at start, peak and end
    """
