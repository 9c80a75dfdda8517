"""`distribute`: a learner whose batches are split over several devices, and which trains as if there were one."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import Progress
from .learner import Learner
from .precompute import PrecomputedLearner
from .sharding import ShardedLoader
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from torch import Tensor
from torch import nn
from typing import Any
from typing import NamedTuple
import argparse
import contextlib
import os
import torch

__all__ = ['average_gradients', 'SilentProgress', 'DistributedLearner', 'distribute', 'start_accelerator', 'run', 'main']

def average_gradients(model: nn.Module, accelerator: 'Accelerator') -> None:
    """Replace each gradient by its mean over all ranks.

    Args:
        model: the same on every rank, after `backward`
        accelerator: Accelerate's, which knows the ranks
    """

class SilentProgress(Progress):
    """Shows nothing: the first rank's display is enough."""

    def row(self, row: NamedTuple) -> None:
        """An epoch is over."""

    def _draw(self, bar: str) -> None:
        """Draw nothing."""

class DistributedLearner(Learner):
    """A learner on several devices: each process, a rank, takes its part of every batch.

    Every rank makes the same calls, and together they do what one process would do. `distribute`
    makes one.

    Args:
        whole: the learner of one process
        accelerator: Accelerate's, which knows the ranks
    """
    accelerator: 'Accelerator'
    whole: Learner
    dls: Any
    part: Part
    valid_shard: ShardedLoader
    progress_type: Any

    def __init__(self, whole: Learner, accelerator: 'Accelerator'):
        ...

    def train_step(self, xb: Tensor, yb: Tensor) -> Tensor:
        """Train on this rank's part of a batch; `Learner.train_step` says the rest.

        Returns:
            the loss of the whole batch, the mean over the ranks
        """

    def fit(self, *args: Any, **options: Any) -> None:
        """Train as `Learner.fit` does, on every rank from the weights of the first one."""

    def get_logits(self, dl: Any=None) -> tuple[Tensor, Any]:
        """As `Learner.get_logits`; each rank runs the network on its part and gets the others' logits.

    Args:
        dl: a loader, the training loader too; None takes the validation images
    """

    def _gather_rows(self, values: Tensor, rows: list[int], n: int) -> Tensor:
        """All n rows, of which this rank has some: each rank adds its own to zeros."""

    def save(self, name: str | os.PathLike, epoch: int | None=None) -> Path:
        """Save as `Learner.save` does, on the first rank; the others wait.

    Args:
        name: as for `Learner.save`
        epoch: as for `Learner.save`
    """

    def precompute(self, views: int | None=None, max_memory: int=0, folder: str | os.PathLike | None=None) -> PrecomputedLearner:
        """Run the frozen layers once, each rank on its images; all ranks read what all have written.

    Args:
        views: as for `Learner.precompute`
        max_memory: not used: activations are in files, of which a machine keeps one copy in memory
        folder: of these files, which every rank must see; None takes `cache_folder()`

    Returns:
        a learner that trains the other layers, on every rank in the same way: with activations
        there is too little to compute to be worth an exchange
    """

@contextlib.contextmanager
def _random_numbers_of(accelerator: 'Accelerator') -> Iterator[None]:
    """Let dropout draw other numbers on every rank; afterwards all are in the same state again."""

def distribute(learn: Learner, accelerator: 'Accelerator | None'=None) -> DistributedLearner:
    """Make a learner that trains on all devices together; call it in every process.

    Args:
        learn: a learner of images; its batch size is that of all ranks together
        accelerator: Accelerate's; None makes one

    Raises:
        ImportError: without the extra [many]
        ValueError: where a batch cannot be split into equal parts; nothing was changed
    """

def start_accelerator(device: torch.device | str | None=None) -> 'Accelerator':
    """Join the other processes; each gets a device of its own.

    Args:
        device: "cpu", or where Accelerate finds one; None lets it choose

    Raises:
        ImportError: without the extra [many]
    """

def run(given: argparse.Namespace, accelerator: 'Accelerator') -> None:
    """Fine-tune on all ranks, say how well, and save the model."""

def main(arguments: Sequence[str] | None=None) -> int:
    """Entry point of `accelerate launch -m transfer_lessons.distributed`.

    Args:
        arguments: words of the command line; None takes those the program was started with

    Returns:
        exit status: 0, or 1 after an error
    """
