"""The curves of a sweep: which learning rate was best, how sure that is, a plot, and one training more."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from matplotlib.axes import Axes
from torch import Tensor
import math

__all__ = ['Curves', 'Sweep', 'classify_lrs']
Curves = tuple[Tensor, Tensor, Tensor]

@dataclass(repr=False, eq=False)
class Sweep:
    """Trainings that differ only in their learning rate: K learning rates, T steps, E epochs."""
    lrs: list[float]
    losses: Tensor
    valid_losses: Tensor
    error_rates: Tensor
    suggestions: dict[str, float]
    runner: Callable[[list[float]], Curves]
    n_valid: int
    start_loss: float = math.nan

    @property
    def n_epoch(self) -> int:
        """How many epochs each training took."""

    @property
    def valid_loss(self) -> Tensor:
        """Validation loss of each learning rate after the last epoch, [K]."""

    @property
    def error_rate(self) -> Tensor:
        """Error rate of each learning rate after the last epoch, [K]."""

    @property
    def best(self) -> float:
        """The learning rate with the lowest validation loss; NaN where no loss is finite."""

    def error_intervals(self) -> Tensor:
        """95 % interval of each final error rate [K, 2]; NaN where the training diverged."""

    def __repr__(self) -> str:
        ...

    def plot(self, axes: Sequence[Axes] | None=None) -> None:
        """Draw final validation loss and error rate against the learning rate, with the suggestions.

    Args:
        axes: the first is for the loss, the second for the error rate; None makes a new figure
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        ...

    def train(self, lr: float) -> Sweep:
        """Train at one more learning rate from the same start, and return a sweep that has it too."""

def classify_lrs(lrs: Sequence[float], start_loss: float, final_losses: Sequence[float], threshold: float=0.9) -> list[tuple[str, float]]:
    """Say of each learning rate whether it was too low, good or too high.

    A diverged run (NaN), and one that ends worse than it started, is too high.

    Args:
        lrs: learning rates, in increasing order
        start_loss: the loss before training
        final_losses: the validation loss at each learning rate after training; NaN if it diverged
        threshold: a good learning rate gets at least this fraction of the best one's gain

    Returns:
        for each learning rate the verdict, and its gain as a fraction of the best one's
    """
