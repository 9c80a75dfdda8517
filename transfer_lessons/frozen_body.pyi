"""Cut a network where its frozen layers end, run them, and notice when they change."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .data import ImageLoader
from .precision import Precision
from collections.abc import Generator
from collections.abc import Sequence
from timm.layers import SelectAdaptivePool2d
from torch import Tensor
from torch import nn
from typing import Any

__all__ = ['DETERMINISTIC_LAYERS', 'split_frozen', 'weights_digest', 'FrozenBody']
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

def _all_equal(before: Sequence[Tensor], now: Sequence[Tensor]) -> bool:
    """Whether all tensors hold the same numbers; an accelerator is waited for only once."""

def weights_digest(module: nn.Module) -> str:
    """Compute SHA-256 of a module: its layers, their weights and statistics.

    Returns:
        64 hexadecimal digits
    """

class FrozenBody:
    """The part of a network that does not train, and whether it is still what it was.

    Args:
        body: the frozen layers; they are copied, to be compared with later
        precision: of its forward passes; None is float32
    """
    body: nn.Sequential
    precision: Any
    digest: str
    before: Any

    def __init__(self, body: nn.Sequential, precision: Precision | None=None):
        ...

    def run(self, xb: Tensor) -> Tensor:
        """The body's activations for a batch, in its precision: in half of it, half the memory.

        Args:
            xb: images [B, 3, H, W], 0 to 1
        """

    def check(self) -> None:
        """Raise `RuntimeError` where the body trains, or its weights or statistics have changed."""

    def activations(self, dl: ImageLoader, views: int=1, seed: int=0) -> Generator[Tensor, None, None]:
        """Yield the body's activations for all images of a loader, batch by batch in file order.

    Args:
        dl: loader of images
        views: passes over the images, each augmented anew
        seed: of the augmentation

    Returns:
        [B, ...] each, in the body's precision and on the loader's device
    """
