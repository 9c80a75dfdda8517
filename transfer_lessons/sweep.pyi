"""Train a head at many learning rates as one batched program, and compare the results."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import rng_states
from .learner import Learner
from .lr_finder import Suggestion
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from matplotlib.axes import Axes
from torch import Tensor
from torch import nn
from typing import Any
import numpy as np

__all__ = ['Curves', 'Schedule', 'head_losses', 'LinearHeads', 'SweepStart', 'Sweep', 'sweep_lrs']

def head_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of each of K heads [K], from logits [N, K, C] and class numbers [N]."""

class LinearHeads:
    """K copies of a linear layer that train together with AdamW, each at its own learning rate.

    Args:
        linear: where every copy starts; C classes, F features
        lrs: one learning rate per copy
        groups: an AdamW optimizer's `param_groups`; its other settings are taken from there
    """
    weights: Any
    exp_avg: Any
    exp_avg_sq: Any
    lrs: Any
    weight_decay: Any
    beta2: Any
    eps: Any
    n_steps: int

    def __init__(self, linear: nn.Linear, lrs: Sequence[float], groups: Sequence[dict]):
        ...

    def logits(self, xb: Tensor) -> Tensor:
        """Every head's logits [B, K, C] for features [B, F]."""

    def train_step(self, xb: Tensor, yb: Tensor, lr_factor: float, beta1: float) -> Tensor:
        """AdamW (Loshchilov and Hutter 2019, algorithm 2): each head's loss before the step [K]."""
Curves = tuple[Tensor, Tensor, Tensor]
Schedule = list[tuple[float, float]]

def _train_together(learn: Learner, lrs: list[float], schedule: Schedule, on_step: Callable[[], None]) -> Curves:
    """Train K linear heads as one program."""

def _only_linear(model: nn.Module) -> nn.Linear | None:
    """The linear layer that is all of a model; None for any other model."""

def _can_train_together(learn: Learner) -> bool:
    """Whether `LinearHeads` trains as this learner would: linear layer, cross-entropy, AdamW."""

def _train_alone(learn: Learner, lrs: list[float], schedule: Schedule, on_step: Callable[[], None]) -> Curves:
    """Train the learner itself at a single learning rate; once it diverges the curves are NaN."""

class SweepStart:
    """Where all trainings of a sweep start: a learner as it is now, its random states included."""
    schedule: Schedule
    rng_states: list[tuple[Callable, object]]
    together: bool
    learn: Any

    def __init__(self, learn: Learner, schedule: Schedule):
        ...

    def train(self, lrs: list[float]) -> Curves:
        """Train at each of these learning rates, from this start."""

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

def _sorted_lrs(lrs: float | Iterable[float] | np.ndarray | Tensor) -> list[float]:
    """Learning rates as plain numbers, in increasing order, each once."""

def sweep_lrs(learn: Learner, lrs: float | Iterable[float] | np.ndarray | Tensor, epochs: int, *, suggest_funcs: Suggestion | Iterable[Suggestion]=..., div: float=25.0, div_final: float=100000.0, pct_start: float=0.25, moms: tuple[float, float, float]=(0.95, 0.85, 0.95)) -> Sweep:
    """Train once per learning rate, as `fit_one_cycle` would; the learner stays as it is.

    Linear heads with cross-entropy and AdamW train together, anything else one after another.

    Args:
        learn: on cached activations; any other learner with a frozen body is precomputed first
        lrs: learning rates, in any order
        epochs: of each training
        suggest_funcs: functions that suggest a learning rate; () for none
        div: each training starts at its learning rate / div
        div_final: and ends at its learning rate / div_final
        pct_start: fraction of the steps that come before the peak
        moms: momentum at start, peak and end

    Returns:
        the curves, learning rates in increasing order, each once

    Raises:
        ValueError: for learning rates that are not positive numbers, and for epochs below 1
    """
