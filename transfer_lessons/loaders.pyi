"""Make a training and a validation loader from folders, names, lists or tables, and a loader for testing."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .data import ImageLoader
from .decoded import MemoryBudget
from .image_files import ImageSource
from collections.abc import Sequence
from torch import Tensor
from typing import Any
import os
import torch

__all__ = ['ImageDataLoaders']

def _masks(sources: Sequence[ImageSource], digests: Sequence[bytes], labels: Sequence[str], is_valid: Sequence[bool] | None, valid_pct: float, seed: int, near_copies: bool) -> tuple[list[bool], list[bool]]:
    """For each image, whether it is trained on and whether it is for validation; never both."""

def _near_groups(sources: Sequence[ImageSource]) -> list[int]:
    """The group of near copies of each image; says how many there are."""

def _check_augment(augment: bool | dict | None, size: int) -> dict | None:
    """Arguments of `augment_batch` as a loader wants them; None changes nothing."""

def _sort_images(sources: Any, labels: Any, is_valid: Any, vocab: Any, valid_pct: float, seed: int, near_copies: bool, marks: Any) -> tuple[list, list[str], list[str], list, list]:
    """Images, the class of each, all classes, and masks of those to train and to validate on."""

class ImageDataLoaders:
    """A training and a validation loader over labelled images.

    Args:
        sources: image files, or Pillow images
        labels: class of each image, text or a whole number
        is_valid: for each image, whether it is for validation; None splits by content
        vocab: class names in order; None takes the labels, sorted; numbers as numbers
        size: pixels per side of what the network sees
        bs: batch size, images per batch
        valid_pct: fraction of each class to hold out for validation, 0 to 1
        seed: of split, order and augmentation
        augment: `rotate`, `zoom`, `flip`, `lighting` of `augment_batch`; True takes its defaults,
            False changes nothing
        presize: training images are read larger by this factor before they are augmented
        num_workers: processes that read images; None: up to 8 for a CUDA device, else 0
        device: None takes the fastest present
        near_copies: keep images that look nearly the same on one side of the split
        max_memory: bytes for decoded images, which are read once and kept; 0 reads them in every
            epoch, and None takes a quarter of what is free
        marks: file of `Marks` that relabels or removes single images, after the split
    """
    size: int
    bs: int
    seed: int
    budget: MemoryBudget
    device: torch.device
    vocab: list[str]
    train: ImageLoader
    valid: ImageLoader

    def __init__(self, sources: Sequence[ImageSource], labels: Sequence[str], is_valid: Sequence[bool] | None=None, *, vocab: Sequence[str] | None=None, size: int=128, bs: int=64, valid_pct: float=0.2, seed: int=42, augment: bool | dict=True, presize: float=1.25, num_workers: int | None=None, device: str | torch.device | None=None, near_copies: bool=False, max_memory: float | None=None, marks: str | os.PathLike | None=None):
        ...

    @property
    def c(self) -> int:
        """How many classes there are; fastai's name for it."""

    def new(self, size: int | None=None, bs: int | None=None) -> ImageDataLoaders:
        """Make loaders of the same images, on the same sides of the split, of another size.

    Args:
        size: pixels per side of what the network sees; None keeps it
        bs: batch size; None keeps it

    Returns:
        new loaders; these ones stay as they are

    Raises:
        ValueError: for a batch size beyond the number of training images, and for another size of
            cached activations
    """

    def one_batch(self) -> tuple[Tensor, Tensor]:
        """Get the next training batch, [B, 3, size, size] and [B]; looking does not change it."""

    def show_batch(self, max_n: int=8, nrows: int | None=None, ncols: int=4) -> None:
        """Draw training images as the network sees them: `max_n`, or `nrows` times `ncols` of them."""

    @classmethod
    def from_files(cls, sources: Sequence[ImageSource], labels: Sequence[str], **options: Any) -> ImageDataLoaders:
        """Make loaders over images whose labels are given one by one.

    Args:
        sources: image files, or Pillow images
        labels: class of each image, text or a whole number
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

    @classmethod
    def from_df(cls, df: Any, path: str | os.PathLike='.', fn_col: int | str=0, label_col: int | str=1, valid_col: int | str | None=None, folder: str | None=None, suff: str='', **options: Any) -> ImageDataLoaders:
        """Make loaders over the rows of a table, such as a pandas `DataFrame` or a dictionary of lists.

    Args:
        df: the table
        path: where the files are, unless the table gives their full paths
        fn_col: column of the file names, by name or number
        label_col: column of the labels
        valid_col: column that is True where an image is for validation; None splits by content
        folder: a folder in `path` where the files are
        suff: added to each file name, such as ".jpg"
        **options: of `ImageDataLoaders`
    """

    def test_dl(self, files: str | os.PathLike | Sequence[ImageSource], labels: Sequence[str] | None=None) -> ImageLoader:
        """Make a loader of other images, in order and not augmented.

    Args:
        files: image files, Pillow images, or a folder of image files
        labels: class of each image; None where it is not known

    Returns:
        a loader whose targets are -1 without labels

    Raises:
        ValueError: for a label that is none of the classes
    """

def _column(df: Any, argument: str, column: Any) -> list:
    """A column of a table, by name or by number."""
