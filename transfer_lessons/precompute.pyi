"""Module precompute."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import Table
from .data import ImageDataLoaders
from .data import ImageLoader
from .freezing import LearningRate
from .learner import Learner
from collections.abc import Iterator
from collections.abc import Sequence
from timm.layers import SelectAdaptivePool2d
from torch import Tensor
from torch import nn
from torch.optim import Optimizer
from typing import Any

__all__ = ['DETERMINISTIC_LAYERS', 'split_frozen', 'weights_digest', 'FrozenBody', 'CachedLoader', 'PrecomputedLearner']
DETERMINISTIC_LAYERS = (nn.Identity, nn.Flatten, nn.ReLU, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, SelectAdaptivePool2d)

def _boundary(model: nn.Module, blocks: Sequence[nn.Module]) -> int:
    """Number of the first block that training would change, or that answers differently then."""

def _blocks(module: nn.Module, x: Tensor) -> list[nn.Module]:
    """A module's parts that, one after another, give what it gives for x; itself if it has none."""

def split_frozen(model: nn.Module, xb: Tensor) -> tuple[nn.Sequential, nn.Sequential]:
    """Cut a network before the first block that trains.

    Raises `ValueError` where nothing is frozen, nothing trains, or where the network is not blocks
    one after another.

    Args:
        model: a network as `layer_groups` takes it
        xb: some pictures [B, 3, H, W], to see that the parts make the whole

    Returns:
        what is frozen, and what comes after it: no copies
    """

def _state(module: nn.Module) -> list[Tensor]:
    ...

def weights_digest(module: nn.Module) -> str:
    """SHA-256 of what a module is: its layers, their weights and statistics.

    Returns:
        64 hexadecimal digits
    """

class FrozenBody:
    """The part of a network that does not train, and whether it is still what it was."""
    seen: Any
    body: Any
    digest: Any

    def __init__(self, body: nn.Sequential):
        ...

    @staticmethod
    def _versions(body: nn.Module) -> list[tuple[int, int]]:
        ...

    def check(self) -> None:
        """Raise `RuntimeError` where it trains, or its weights or statistics have changed."""

    def activations(self, loader: ImageLoader, views: int=1, seed: int=0) -> Iterator[Tensor]:
        """What it gives for all pictures of a loader, batch after batch in file order.

    Args:
        loader: of pictures
        views: passes over the pictures, each with other chances where it augments
        seed: of the chances

    Returns:
        [B, ...] float32, on the CPU
    """

class CachedLoader(ImageLoader):
    """Batches of kept activations: the pictures, their order and its chances are the live loader's.

    Args:
        live: the loader of the pictures
        kept: [views * pictures, ...], view after view
        frozen: what gave the activations
    """
    kept: Any
    frozen: Any

    def __init__(self, live: ImageLoader, kept: Tensor, frozen: FrozenBody):
        ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        ...

class PrecomputedLearner(Learner):
    """Trains the layers after the frozen ones on kept activations; they are the original's own.

    Args:
        original: the learner of the pictures
        dls: of activations
        model: activations [B, ...] -> logits [B, classes]; parts of the original's
    """
    original: Any
    n_groups: Any
    places: Any

    def __init__(self, original: Learner, dls: ImageDataLoaders, model: nn.Module):
        ...

    def create_opt(self) -> Optimizer:
        """A new optimizer with the original's layer groups, so that a slice means the same rates."""

    def get_logits(self, dl: ImageLoader | None=None) -> tuple[Tensor, Tensor]:
        """Kept activations go through the trained layers, pictures through the whole network.

    Args:
        dl: of notes, or of pictures; None takes the validation notes

    Returns:
        logits [N, classes] float32, targets [N] int64, both on the CPU
    """

    def freeze_to(self, n: int) -> None:
        """Freeze the original's groups; training says so where kept activations are of no use then."""

    def summary(self, lr: LearningRate | None=None) -> Table:
        """The layer groups of the original."""

    def precompute(self, **options: Any) -> PrecomputedLearner:
        """Run the original's frozen layers once more: those that are frozen now."""

def _check_views(views: int | None, augment: dict | None) -> None:
    ...
