"""Turn labelled images into batches: split, crop, augment, normalise, load."""
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

__all__ = ['split_by_content', 'square', 'augment_batch', 'Normalize', 'ImageDataset', 'ImageLoader', 'ImageDataLoaders']

def split_by_content(digests: Sequence[bytes], labels: Sequence[str], valid_pct: float=0.2, seed: int=42) -> list[bool]:
    """Flag validation images by what they hold: new files move none, copies stay together.

    Args:
        digests: hash of each image's content
        labels: class name of each image
        valid_pct: fraction to hold out, about; 0 to 1
        seed: another seed holds out other images
    """

def square(image: Image.Image, size: int, crop_position: float=0.5) -> Image.Image:
    """Crop a square along the longer side and scale it, in one step.

    Args:
        image: of any shape
        size: pixels per side of the result
        crop_position: where along the longer side: 0 start, 0.5 centre, 1 end
    """

def augment_batch(x: Tensor, generator: torch.Generator | None=None, size: int | None=None, rotate: float=10.0, zoom: float=1.1, flip: bool=True, lighting: float=0.2) -> Tensor:
    """Rotate, zoom, crop, flip and resize every image of a batch in one interpolation.

    Args:
        x: [B, 3, S, S], float, 0 to 1; the result is [B, 3, size, size]
        generator: of random numbers; None takes torch's global one
        size: pixels per side of the result; None keeps the input's
        rotate: up to so many degrees, either way
        zoom: magnified up to this factor, about a random place: a random crop
        flip: mirror left and right half of the time
        lighting: brightness and contrast change by up to this fraction
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
        targets: class number of each image
        size: pixels per side
    """
    sources: list[ImageSource]
    targets: list[int]
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
    """
    dataset: ImageDataset
    bs: int
    device: torch.device
    generator: torch.Generator | None
    augment: dict | None
    num_workers: int

    def __init__(self, dataset: ImageDataset, bs: int, device: torch.device, generator: torch.Generator | None=None, augment: dict | None=None, num_workers: int=0):
        ...

    def __len__(self) -> int:
        """Batches per epoch; a shuffled epoch leaves out a last batch that is not full."""

    def after_batch(self, xb: Tensor) -> Tensor:
        """Turn bytes [B, 3, S, S] into floats from 0 to 1, and augment them."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through the images once: pairs of [B, 3, size, size] in 0 to 1 and [B] int64."""

def _train_valid_masks(sources: Sequence[ImageSource], labels: Sequence[str], is_valid: Sequence[bool] | None, valid_pct: float, seed: int) -> tuple[list[bool], list[bool]]:
    """For each image, whether it is trained on and whether it is for validation; never both."""

class ImageDataLoaders:
    """A training and a validation loader over labelled images.

    Args:
        sources: image files, or Pillow images
        labels: class name of each image
        is_valid: for each image, whether it is for validation; None splits by content
        vocab: class names in order; None takes the labels, sorted
        size: pixels per side of what the network sees
        bs: batch size, images per batch
        valid_pct: fraction to hold out for validation, about; 0 to 1
        seed: of split, order and augmentation
        augment: arguments of `augment_batch`; True takes its defaults, False changes nothing
        presize: training images are read larger by this factor before they are augmented
        num_workers: processes that read images; None: up to 8 for a CUDA device, else 0
        device: None takes the fastest present
    """
    device: torch.device
    size: int
    bs: int
    seed: int
    train: ImageLoader
    valid: ImageLoader
    vocab: list[str]

    def __init__(self, sources: Sequence[ImageSource], labels: Sequence[str], is_valid: Sequence[bool] | None=None, *, vocab: Sequence[str] | None=None, size: int=128, bs: int=64, valid_pct: float=0.2, seed: int=42, augment: bool | dict=True, presize: float=1.25, num_workers: int | None=None, device: str | torch.device | None=None):
        ...

    @property
    def c(self) -> int:
        """How many classes there are; fastai's name for it."""

    def one_batch(self) -> tuple[Tensor, Tensor]:
        """Get the next training batch, [B, 3, size, size] and [B]; looking does not change it."""

    def show_batch(self, max_n: int=8, nrows: int | None=None, ncols: int=4) -> None:
        """Draw training images as the network sees them: `max_n`, or `nrows` times `ncols` of them."""

    @classmethod
    def from_files(cls, sources: Sequence[ImageSource], labels: Sequence[str], **options: Any) -> ImageDataLoaders:
        """Make loaders over images whose labels are given one by one.

    Args:
        sources: image files, or Pillow images
        labels: class name of each image
        **options: of `ImageDataLoaders`
    """

    @classmethod
    def from_folder(cls, folder: str | os.PathLike, **options: Any) -> ImageDataLoaders:
        """Make loaders over a folder of class folders.

    Args:
        folder: folder/<class>/*.jpg, or the same in folder/train and folder/valid
        **options: of `ImageDataLoaders`
    """

    @classmethod
    def from_name_re(cls, path: str | os.PathLike, fnames: Sequence[str | os.PathLike] | None, pat: str, **options: Any) -> ImageDataLoaders:
        """Make loaders over files whose names tell their class.

    Args:
        path: where to look for files if `fnames` is None
        fnames: the files; None takes all below `path`
        pat: regular expression whose first group, searched in the file name, is the class
        **options: of `ImageDataLoaders`
    """
