"""Turn labelled images into batches: split, crop, augment, normalise, load."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .decoded import DecodedImages
from .decoded import MemoryBudget
from .image_files import ImageSource
from PIL import Image
from collections.abc import Iterator
from collections.abc import Sequence
from torch import Tensor
from torch import nn
from torch.utils.data import Dataset
from typing import Any
import torch

__all__ = ['N_DRAWS', 'split_by_content', 'square', 'augment_batch', 'Normalize', 'ImageDataset', 'ImageLoader']

def split_by_content(digests: Sequence[bytes], labels: Sequence[str], valid_pct: float=0.2, seed: int=42, groups: Sequence[int] | None=None) -> list[bool]:
    """Flag validation images: the same fraction of every class, chosen by what the images hold.

    Args:
        digests: hash of each image's content; copies stay on one side
        labels: class name of each image
        valid_pct: fraction of each class to hold out; a class of two or more gets an image on
            either side
        seed: another seed holds out other images
        groups: number of each image's group; a group stays on one side
    """

def square(image: Image.Image, size: int, crop_position: float=0.5) -> Image.Image:
    """Scale the shorter side of an image to `size`, and crop a square along the longer one.

    Args:
        image: of any shape
        size: pixels per side of the result
        crop_position: where along the longer side: 0 start, 0.5 centre, 1 end
    """
N_DRAWS = 7

def augment_batch(x: Tensor, generator: torch.Generator | None=None, size: int | None=None, rotate: float=10.0, zoom: float=1.1, flip: bool=True, lighting: float=0.2, draws: Tensor | None=None) -> Tensor:
    """Rotate, zoom, crop, flip and resize every image of a batch in one interpolation.

    Args:
        x: [B, 3, S, S], float, 0 to 1; the result is [B, 3, size, size]
        generator: of random numbers; None takes torch's global one
        size: pixels per side of the result; None keeps the input's
        rotate: up to so many degrees, either way
        zoom: magnified up to this factor, about a random place: a random crop
        flip: mirror left and right half of the time
        lighting: brightness and contrast change by up to this fraction
        draws: random numbers [7, B] that decide it all, 0 to 1; None draws them
    """

class Normalize(nn.Module):
    """Scale pixels by a network's own mean and std per channel: the first layer of a body."""
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        ...

    def forward(self, x: Tensor) -> Tensor:
        """Scale [B, C, H, W]."""

class ImageDataset(Dataset):
    """Images and class numbers; `dataset[i]` and `dataset[i, crop_position]` are one of each.

    Args:
        sources: image files, or Pillow images
        targets: class number of each image; -1 where it has no label
        size: pixels per side
    """
    sources: list
    targets: Any
    size: int

    def __init__(self, sources: Sequence[ImageSource], targets: Sequence[int], size: int):
        ...

    def __len__(self) -> int:
        ...

    def __getitem__(self, item: int | tuple[int, float]) -> tuple[Tensor, int]:
        """Read one image: uint8 [3, size, size], and its class number."""

class ImageLoader:
    """Batches of images on the device; the same ones for any number of workers.

    Args:
        dataset: the images
        bs: batch size, images per batch
        device: where the batches go
        generator: of order and augmentation; None keeps the order of the dataset
        augment: arguments of `augment_batch`; None changes nothing
        num_workers: processes that read images
        vocab: class names in the order of the targets, where they are known
        budget: of memory for decoded images; None takes a quarter of what is free
    """
    dataset: ImageDataset
    bs: int
    device: torch.device
    generator: torch.Generator | None
    augment: dict | None
    num_workers: int
    vocab: Any
    decoded: DecodedImages

    def __init__(self, dataset: ImageDataset, bs: int, device: str | torch.device, generator: torch.Generator | None=None, augment: dict | None=None, num_workers: int=0, vocab: Sequence[str] | None=None, budget: MemoryBudget | None=None):
        ...

    def __len__(self) -> int:
        """Batches per epoch; a shuffled epoch leaves out a last batch that is not full."""

    def after_batch(self, xb: Tensor) -> Tensor:
        """Turn bytes [B, 3, S, S] into floats from 0 to 1, and augment them."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through the images once: pairs of [B, 3, size, size] in 0 to 1 and [B] int64."""

    def in_order(self, vocab: Sequence[str] | None=None) -> ImageLoader:
        """Make a loader of the same images: all of them, in order, not augmented.

    Args:
        vocab: class names in the order that the targets should have; None keeps the loader's own

    Returns:
        this loader itself, where it is one already

    Raises:
        ValueError: for an image whose class is none of `vocab`
    """
