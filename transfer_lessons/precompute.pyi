"""Run the frozen layers once, cache their activations, and train the rest of the network on those."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import Table
from .data import ImageDataLoaders
from .data import ImageLoader
from .freezing import LearningRate
from .learner import Learner
from .precompute import activations
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from timm.layers import SelectAdaptivePool2d
from torch import Tensor
from torch import nn
from torch.optim import Optimizer
from typing import Any

__all__ = ['DETERMINISTIC_LAYERS', 'split_frozen', 'weights_digest', 'FrozenBody', 'CachedLoader', 'PrecomputedLearner']
DETERMINISTIC_LAYERS = (nn.Identity, nn.Flatten, nn.ReLU, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, SelectAdaptivePool2d)

def _parts_in_order(module: nn.Module, x: Tensor) -> list[nn.Module]:
    """Parts that, one after another, give what the module gives for x; else the module alone."""

def _first_that_changes(model: nn.Module, blocks: Sequence[nn.Module]) -> int:
    """Number of the first block that trains, or whose output is random in training."""

def split_frozen(model: nn.Module, xb: Tensor) -> tuple[nn.Sequential, nn.Sequential]:
    """Cut a network before the first block that trains.

    Args:
        model: a network as `layer_groups` takes it
        xb: some images [B, 3, H, W], to try that the blocks one after another are the network

    Returns:
        what is frozen, and what comes after it: the model's own layers, no copies

    Raises:
        ValueError: where every layer trains or none does, and where the network cannot be cut there
    """

def _weights_and_statistics(module: nn.Module) -> list[Tensor]:
    ...

def weights_digest(module: nn.Module) -> str:
    """Compute SHA-256 of a module: its layers, their weights and statistics.

    Returns:
        64 hexadecimal digits
    """

class FrozenBody:
    """The part of a network that does not train, and whether it is still what it was.

    Args:
        body: the frozen layers; they are copied, to be compared with later
    """
    body: nn.Sequential
    digest: Any
    before: Any

    def __init__(self, body: nn.Sequential):
        ...

    def check(self) -> None:
        """Raise `RuntimeError` where the body trains, or its weights or statistics have changed."""

    def activations(self, dl: ImageLoader, views: int=1, seed: int=0) -> Iterator[Tensor]:
        """Yield the body's activations for all images of a loader, batch by batch in file order.

    Args:
        dl: loader of images
        views: passes over the images, each augmented anew
        seed: of the augmentation

    Returns:
        [B, ...] float32 each, on the CPU
    """

class CachedLoader(ImageLoader):
    """Batches of cached activations, for the images of a live loader and in its order.

    Args:
        live: the loader of the images
        activations: [views * images, ...]: all images of view 0, then all of view 1, ...
        frozen: what gave the activations; it is checked before every pass
    """
    activations: Tensor
    n_views: Any
    frozen: FrozenBody

    def __init__(self, live: ImageLoader, activations: Tensor, frozen: FrozenBody):
        ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        ...

class PrecomputedLearner(Learner):
    """Trains the layers behind the cut on cached activations; they are the original's own.

    Args:
        original: the learner of the images
        dls: loaders of activations
        model: activations [B, ...] -> logits [B, classes], made of the original's layers
    """
    original: Learner

    def __init__(self, original: Learner, dls: ImageDataLoaders, model: nn.Module):
        ...

    def create_opt(self) -> Optimizer:
        """Make a new optimizer with the original's layer groups; the cached ones are empty."""

    def get_logits(self, dl: ImageLoader | None=None) -> tuple[Tensor, Tensor]:
        """Logits [N, classes] and targets [N], on the CPU, of cached activations or of images.

        Args:
            dl: None takes the cached validation images
        """

    def freeze_to(self, n: int) -> None:
        """Freeze the original's layer groups; training says where the cache is of no use then."""

    def summary(self, lr: LearningRate | None=None) -> Table:
        """The layer groups of the original, as its own `summary` shows them."""

    def precompute(self, **options: Any) -> PrecomputedLearner:
        """Run the original's frozen layers again: those that are frozen now."""

def _check_views(views: int | None, augment: dict | None) -> None:
    """Raise `ValueError` unless views are given where images are augmented, and only there."""

def _bytes_per_image(body: FrozenBody, xb: Tensor) -> int:
    """What an image's activations take in memory."""

def _cached(dl: ImageLoader, body: FrozenBody, views: int, seed: int, folder: Path | None) -> CachedLoader:
    """Cache a loader's activations in a folder, or in its device's memory where that is None."""
