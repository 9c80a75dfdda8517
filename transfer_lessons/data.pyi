"""Module data."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .image_files import ImageSource
from PIL import Image
from collections.abc import Iterator
from collections.abc import Sequence
from torch import Tensor
from torch import nn
from torch.utils.data import Dataset
from typing import Any
import os
import torch

__all__ = ['square', 'augment_batch', 'Normalize', 'ImageDataset', 'ImageLoader', 'split_by_content', 'ImageDataLoaders']

def square(image: Image.Image, size: int, crop_position: float=0.5) -> Image.Image:
    """Crop a square along the longer side and scale it, in one smoothing step.

    Args:
        image: a picture of any shape
        size: pixels a side of the result
        crop_position: place of the crop along the longer side: 0 start, 0.5 centre, 1 end

    Returns:
        a picture of size x size
    """

def augment_batch(x: Tensor, generator: torch.Generator | None=None, size: int | None=None, rotate: float=10.0, zoom: float=1.1, flip: bool=True, lighting: float=0.2) -> Tensor:
    """Rotate, zoom, crop, flip and resize every picture of a batch in one interpolation.

    Args:
        x: [B, 3, S, S], float, 0 to 1
        generator: source of chance; None takes torch's global one
        size: pixels a side of the result; None keeps the input's
        rotate: degrees, up to, either way
        zoom: magnified up to this factor, about a random place: a random crop
        flip: mirror left and right half of the time
        light: brightness and contrast change by up to this share

    Returns:
        [B, 3, size, size], float, 0 to 1
    """

class Normalize(nn.Module):
    """Scale pixels by a network's own statistics, one a channel: the first layer of a body."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        ...

    def forward(self, x: Tensor) -> Tensor:
        ...

class ImageDataset(Dataset):
    """ImageDataset and their class numbers; an item is (uint8 tensor [3, size, size], class number)."""

    def __init__(self, sources: Sequence[ImageSource], targets: Sequence[int], size: int):
        ...

    def __len__(self) -> int:
        ...

    def __getitem__(self, item: int | tuple[int, float]) -> tuple[Tensor, int]:
        ...

class ImageLoader:
    """Batches of pictures on the device; the same ones for any number of workers.

    Args:
        pictures: what to make batches of
        bs: pictures a batch
        device: where the batches go
        generator: order and augmentation; None keeps file order
        augment: arguments of `augment_batch`; None leaves pictures alone
        num_workers: processes that read pictures
    """

    def __init__(self, pictures: ImageDataset, bs: int, device: torch.device, generator: torch.Generator | None=None, augment: dict | None=None, num_workers: int=0):
        ...

    def __len__(self) -> int:
        ...

    def after_batch(self, xb: Tensor) -> Tensor:
        """What is done to a whole batch at once: bytes to floats from 0 to 1, augmentation."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        ...

def split_by_content(digests: Sequence[bytes], labels: Sequence[str], valid_pct: float=0.2, seed: int=42) -> list[bool]:
    """Choose validation pictures by what they hold: other files move none, copies stay together.

    Args:
        digests: what each picture holds
        labels: the class of each picture
        valid_pct: share for validation, 0 to 1
        seed: another seed draws another share

    Returns:
        True for each picture that is for validation
    """

def _check_labels(sources: Sequence[ImageSource], labels: Sequence[str], vocab: list[str]) -> None:
    ...

def _sides(sources: Sequence[ImageSource], labels: Sequence[str], is_valid: Sequence[bool] | None, valid_pct: float, seed: int) -> tuple[list[bool], list[bool]]:
    """Which pictures to train on, which to check with; those checked with are in no training."""

def _check_sides(dls: 'ImageDataLoaders') -> None:
    ...

class ImageDataLoaders:
    """A training and a validation loader over labelled pictures.

    Args:
        sources: picture files, or Pillow images
        labels: a class name a picture
        is_valid: None splits by content
        vocab: class names in order; None takes the labels, sorted
        size: pixels a side of what the network sees
        bs: pictures a batch
        valid_pct: share for validation, 0 to 1
        seed: of the split, the order and the augmentation
        augment: arguments of `augment_batch`, True for its defaults
        presize: pictures are read this much larger before they are augmented
        num_workers: None: 0 on the CPU, else up to 8
        device: None takes the fastest present
    """
    vocab: Any
    train: Any
    valid: Any

    def __init__(self, sources: Sequence[ImageSource], labels: Sequence[str], is_valid: Sequence[bool] | None=None, *, vocab: Sequence[str] | None=None, size: int=128, bs: int=64, valid_pct: float=0.2, seed: int=42, augment: bool | dict=True, presize: float=1.25, num_workers: int | None=None, device: str | torch.device | None=None):
        ...

    def one_batch(self) -> tuple[Tensor, Tensor]:
        """The batch that training would see next; looking does not change what it sees.

    Returns:
        [B, 3, H, W] in 0 to 1, [B] int64
    """

    def show_batch(self, max_n: int=8) -> None:
        """Draw pictures as the network will see them, with their class names."""

    @classmethod
    def from_files(cls, sources: Sequence[ImageSource], labels: Sequence[str], **options: Any) -> ImageDataLoaders:
        """Loaders over pictures whose labels are given one by one.

    Args:
        sources: picture files, or Pillow images
        labels: a class name a picture
        **options: of `ImageDataLoaders`
    """

    @classmethod
    def from_folder(cls, folder: str | os.PathLike, **options: Any) -> ImageDataLoaders:
        """Loaders over a folder of class folders.

    Args:
        folder: folder/<class>/*.jpg, or the same in folder/train, folder/valid
        **options: of `ImageDataLoaders`
    """

    @classmethod
    def from_name_re(cls, path: str | os.PathLike, fnames: Sequence[str | os.PathLike] | None, pat: str, **options: Any) -> ImageDataLoaders:
        """Loaders over files whose names tell their class.

    Args:
        path: where `fnames` are looked for if they are None
        fnames: the files; None takes all below `path`
        pat: regular expression whose first group, searched in the file name, is the class
        **options: of `ImageDataLoaders`
    """
