"""A training step that never waits: bad steps are left out on the device, losses are read later."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from torch import Tensor
from torch import nn
from torch.optim import Optimizer
from typing import Any
import torch

__all__ = ['STEPS_PER_READ', 'batchnorm_statistics', 'by_type', 'joined', 'copy_back', 'StepGuard', 'LossReader']

def batchnorm_statistics(model: nn.Module) -> list[Tensor]:
    """What BatchNorm layers in training mode update as a batch passes.

    Args:
        model: any network
    """

def by_type(values: list[Tensor]) -> list[list[Tensor]]:
    """Tensors in groups that can be joined: of one dtype, and all single numbers or none."""

def joined(values: list[Tensor]) -> Tensor:
    """A copy of all values in one flat tensor; one operator."""

def copy_back(values: list[Tensor], saved: Tensor) -> None:
    """Give tensors the values that `joined` has copied."""

class StepGuard:
    """Keeps what is not finite out of weights, optimizer and statistics, and asks nothing.

    A step is bad where its loss, a gradient or a BatchNorm statistic is not finite. From the first
    bad step on nothing moves, until `restore`. Fused Adam, AdamW and SGD decide on the device, on
    CUDA and on the CPU; with any other optimizer, or elsewhere, a step waits for one number.

    Args:
        opt: makes the steps
        scaler: of float16's gradients; its own skipped steps are not bad
    """
    model: nn.Module
    groups: list[list[Tensor]]
    kept: list[Tensor]
    opt: Optimizer
    scaler: torch.amp.GradScaler | None
    report: Tensor | None
    worst: Tensor | None
    bad: Tensor | None
    batch: tuple[Tensor, Tensor] | None

    def __init__(self, opt: Optimizer, scaler: torch.amp.GradScaler | None=None):
        ...

    def before_batch(self, model: nn.Module) -> None:
        """Save the statistics, unless a bad step has changed them.

        Args:
            model: the network that is about to see a batch, in training mode
        """

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss to call `backward` on; with a scaler a multiple of it, or NaN for a bad step."""

    def step(self, loss: Tensor) -> None:
        """Make the optimizer's step, unless this or an earlier step was bad.

    Args:
        loss: whose gradients the model has
    """

    def _look(self, loss: Tensor, largest_gradient: Tensor) -> None:
        """Note what this step's numbers are, and whether one of them is not finite."""

    def restore(self) -> None:
        """Where a step was bad, put the statistics back; steps move the weights again. It waits."""

def _skips_by_itself(opt: Optimizer, device: torch.device) -> bool:
    """Whether an optimizer leaves out a step where its `found_inf` is 1."""

def _begin_momentum(opt: Optimizer) -> None:
    """Start SGD's momentum at 0; fused, a first step left out would leave it undefined."""
STEPS_PER_READ = 4

class LossReader:
    """Reads the losses of guarded steps a few steps later, into a list.

    Args:
        losses: they are appended here, in order
    """
    losses: list[float]
    steps: list[tuple[Tensor, StepGuard | None, Any, Any]]
    sent: list[tuple[Tensor, Any, list]]

    def __init__(self, losses: list[float]):
        ...

    def add(self, loss: Tensor | float, guard: StepGuard | None) -> None:
        """Take a step's loss, and append those losses that have arrived.

        Args:
            loss: what the step returned
            guard: of the step; None where it had none

        Raises:
            FloatingPointError: where the next step in line was bad: its number is how many losses
                were read. Its guard is restored
            ValueError: where a label out of range was the reason
        """

    def finish(self) -> None:
        """Wait for all losses that were added. Raises as `add`."""

    def close(self) -> None:
        """Wait for what can still be read, and raise nothing: something else ended the steps."""

    def _send(self) -> None:
        """Send the numbers of some steps to the CPU, without waiting for them."""

    def _has_arrived(self) -> bool:
        """Whether the oldest numbers that were sent can be read without waiting."""

    def _read(self) -> None:
        """Append the oldest losses that were sent, up to a bad step."""

def _what_is_not_finite(loss: float, guarded: float, statistic: float, gradient: float) -> str:
    """Which of a step's numbers is NaN or infinite."""
