"""Run the frozen layers once, cache their activations, and train the rest of the network on those."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .core import Table
from .data import ImageLoader
from .freezing import LearningRate
from .frozen_body import FrozenBody
from .learner import Learner
from .loaders import ImageDataLoaders
from collections.abc import Iterator
from pathlib import Path
from torch import Tensor
from torch import nn
from torch.optim import Optimizer
from typing import Any
import os
import torch

__all__ = ['CachedLoader', 'PrecomputedLearner']

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

def _to_device(x: Tensor, device: torch.device) -> Tensor:
    """Copy to a device without waiting for what it is computing."""

class PrecomputedLearner(Learner):
    """Trains the layers behind the cut on cached activations; they are the original's own.

    Args:
        original: the learner of the images
        dls: loaders of activations
        model: activations [B, ...] -> logits [B, classes], made of the original's layers
    """
    original: Learner
    group_ids: Any
    n_groups: int

    def __init__(self, original: Learner, dls: ImageDataLoaders, model: nn.Module):
        ...

    def create_opt(self) -> Optimizer:
        """Make a new optimizer with the original's layer groups; the cached ones are empty."""

    def get_logits(self, dl: ImageLoader | None=None) -> tuple[Tensor, Tensor]:
        """Logits [N, classes] and targets [N], on the CPU, of cached activations or of images.

        Args:
            dl: None takes the cached validation images
        """

    def fine_tune(self, *args: Any, **options: Any) -> None:
        """Refuse at once: the layers that would train are those whose activations are cached."""

    def freeze_to(self, n: int) -> None:
        """Freeze the original's layer groups; training says where the cache is of no use then."""

    def summary(self, lr: LearningRate | None=None) -> Table:
        """The layer groups of the original, as its own `summary` shows them."""

    def export(self, file: str | os.PathLike='export.safetensors', title: str | None=None, threshold: float=0.5) -> Path:
        """Export the learner of the images, which has what this one has learned."""

    def precompute(self, *args: Any, **options: Any) -> PrecomputedLearner:
        """Run the original's frozen layers again: those that are frozen now."""

    def tta(self, dl: ImageLoader | None=None, n: int=4, beta: float=0.25) -> tuple[Tensor, Any]:
        """As `Learner.tta`, of the images themselves: cached activations cannot be augmented."""

def _checked_views(views: int | None, augment: dict | None) -> int:
    """How many views to cache; `ValueError` unless they are given where images are augmented."""

def _bytes_per_image(body: FrozenBody, xb: Tensor) -> int:
    """What an image's activations take in memory."""

def _roomy(device: torch.device, n_bytes: int) -> torch.device:
    """The device itself where half of its free memory is enough; else the CPU."""

def _cached(dl: ImageLoader, body: FrozenBody, views: int, seed: int, store: torch.device | Path) -> CachedLoader:
    """Cache a loader's activations in a device's memory, or in a folder."""
