"""Split batches and caches over processes so that together they do exactly what one process would."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .data import ImageLoader
from .frozen_body import FrozenBody
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from torch import Tensor
from torch import nn
from typing import Any
from typing import TypeVar

__all__ = ['Part', 'Result', 'check_rank', 'part_of_each_batch', 'run_of_batches', 'ShardedLoader', 'all_or_none', 'copy_from_first_rank', 'cache_in_shards']
Part = Callable[[int, int], slice]

def check_rank(rank: int, world_size: int) -> None:
    """Raise `ValueError` unless `rank` is one of `world_size`, counted from 0."""

def part_of_each_batch(rank: int, world_size: int) -> Part:
    """A part of every batch: for training, where all ranks work on the same batch.

    Args:
        rank: number of this process
        world_size: how many processes there are
    """

def run_of_batches(rank: int, world_size: int, n_batches: int) -> Part:
    """Whole batches, one behind the other: for caching, where no batch needs another.

    Args:
        rank: number of this process
        world_size: how many processes there are
        n_batches: batches in all
    """

class ShardedLoader(ImageLoader):
    """A rank's part of the batches of a loader; it draws the random numbers of whole batches.

    Args:
        whole: the loader to split; it keeps its generator, which this one shares
        part: which images of a batch are this rank's
    """
    decoded: Any
    part: Part

    def __init__(self, whole: ImageLoader, part: Part):
        ...

    def n_batches(self) -> int:
        """Batches of all ranks together."""

    def parts(self) -> list[range]:
        """Which images of each batch are this rank's, counted over the whole epoch."""

    def rows_in_order(self) -> list[int]:
        """Which images are this rank's in a pass over all of them, in order."""

    def __len__(self) -> int:
        """Batches of which this rank has a part."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        ...

    def _read(self, batches: Sequence[list[tuple[int, float]]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Read images, given their numbers and crops: bytes, and class numbers."""

    def _augmented(self, xb: Tensor, draws: Tensor | None) -> Tensor:
        """Floats from 0 to 1 of bytes, augmented as these random numbers say."""
Result = TypeVar('Result')

def all_or_none(accelerator: 'Accelerator', work: Callable[[], Result], only_first: bool=False) -> Result:
    """Do work on all ranks and wait for one another; where one fails, all raise.

    Args:
        accelerator: Accelerate's, which knows the ranks
        work: takes nothing; it must not wait for other ranks itself
        only_first: work on the first rank alone; the others get its result

    Returns:
        what the work returned: on this rank, or on the first one where only that works

    Raises:
        RuntimeError: where another rank failed; the rank that failed raises its own error
    """

def copy_from_first_rank(model: nn.Module) -> None:
    """Give every rank the weights and statistics of the first one.

    Args:
        model: of the same layers on every rank
    """

def cache_in_shards(body: FrozenBody, dl: ImageLoader, views: int, seed: int, folder: Path, accelerator: 'Accelerator') -> Path:
    """Let all ranks run the frozen body on the images of a loader, each on its own batches.

    Args:
        body: the frozen layers, the same on every rank
        dl: the whole loader
        views: augmented views of each image
        seed: of the augmentation
        folder: where the file goes; every rank must see it
        accelerator: Accelerate's, which knows the ranks

    Returns:
        the file that `Learner.precompute` looks for: rank by rank the same activations, in order
    """

def _shard(dl: ImageLoader, rank: int, world_size: int) -> ShardedLoader:
    """A rank's run of a loader's batches: all images, in order."""

def _join(files: Sequence[Path], n_rows: Sequence[int], views: int, file: Path) -> None:
    """Write shards into one file, view by view and rank by rank, and delete them."""
