"""What a recipe is given: images of a data set to learn from, and test images it never sees."""
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from fastai.vision.all import (
    CategoryBlock,
    DataBlock,
    ImageBlock,
    IndexSplitter,
    Resize,
    aug_transforms,
)
from measure import QUICK
from PIL import Image
from sides import PHOTOGRAPHS
from torch import nn

from transfer_lessons.backbones import DEFAULT_ARCH, vision_model
from transfer_lessons.copies import content_digest, content_position
from transfer_lessons.data import split_by_content
from transfer_lessons.datasets import draw_icons, solar
from transfer_lessons.image_files import get_image_files, load_image
from transfer_lessons.loaders import ImageDataLoaders

SIZE = 32 if QUICK else 96
PRESIZE = 1.25  # training images are cut out of images so much larger, here and in fastai
TEST_PART, MAX_TEST, VALID_PART = 0.25, 600, 0.25


class Collection(NamedTuple):
    """A data set in memory: decoded, so that both sides begin with the same images."""
    images: list[Image.Image]
    labels: list[str]
    digests: list[bytes]
    bs: int  # batch size where there are images enough


def read_icons() -> tuple[list[Image.Image], list[str]]:
    """The drawings of 11 classes that come with the library."""
    images, labels = draw_icons()
    if not QUICK:
        return images, labels
    few = [i for name in ("animal", "food", "vehicle") for i in
           [number for number, label in enumerate(labels) if label == name][:16]]
    return [images[i] for i in few], [labels[i] for i in few]


def read_solar() -> tuple[list[Image.Image], list[str]]:
    """Photographs of solar cells, functional or defective."""
    dls = solar(augment=False, device="cpu")
    datasets = (dls.train.dataset, dls.valid.dataset)
    images = [image.convert("RGB") for dataset in datasets for image in dataset.sources]
    return images, [dls.vocab[target] for dataset in datasets for target in dataset.targets]


def read_flowers() -> tuple[list[Image.Image], list[str]]:
    """Photographs of five flowers, which do not come with the library."""
    files = get_image_files(PHOTOGRAPHS)
    return [load_image(file) for file in files], [file.parent.name for file in files]


READERS = {"icons": read_icons, "solar": read_solar, "flowers": read_flowers}
# Images per class to train with; None takes all. No class of the icons has 128 of them.
SIZES: dict[str, tuple[int | None, ...]] = {
    "icons": (8, 32, None), "solar": (8, 32, 128, None), "flowers": (8, 32, 128, None)}
if QUICK:
    SIZES = {"icons": (5, None)}


@lru_cache
def collection(name: str) -> Collection:
    """Read a data set once in a process."""
    images, labels = READERS[name]()
    bs = 16 if name == "icons" else 32  # icons() takes batches of 16 too
    return Collection(images, labels, [content_digest(image) for image in images], bs)


class Split(NamedTuple):
    """Numbers of images; no image, nor a copy of it, is in two of the lists."""
    train: list[int]
    valid: list[int]
    test: list[int]


def split(labels: Sequence[str], digests: Sequence[bytes], per_class: int | None,
          seed: int) -> Split:
    """Hold out test images, then validation images; take from each class as many as asked.

    The test images are the same for every size, and a smaller training set is part of a larger.

    Args:
        labels: class name of each image
        digests: hash of each image's content
        per_class: training images per class, and a third as many for validation; fewer where a
            class has fewer; None takes all
        seed: another seed splits otherwise
    """
    is_test = split_by_content(digests, labels, min(TEST_PART, MAX_TEST / len(labels)), seed)
    test = [i for i, flag in enumerate(is_test) if flag]
    # In the order of their contents' hashes: shuffled, but the same wherever they are stored.
    pool = sorted((i for i, flag in enumerate(is_test) if not flag),
                  key=lambda i: content_position(digests[i], seed))
    is_valid = split_by_content([digests[i] for i in pool], [labels[i] for i in pool],
                                VALID_PART, seed)
    train = [i for i, flag in zip(pool, is_valid, strict=True) if not flag]
    valid = [i for i, flag in zip(pool, is_valid, strict=True) if flag]
    if per_class is None:
        return Split(train, valid, test)
    n_valid = round(per_class * VALID_PART / (1 - VALID_PART))
    return Split(first_of_each_class(train, labels, per_class),
                 first_of_each_class(valid, labels, n_valid), test)


def first_of_each_class(indices: Sequence[int], labels: Sequence[str], n: int) -> list[int]:
    """The first n indices of each class."""
    taken: dict[str, int] = {}
    chosen = []
    for i in indices:
        taken[labels[i]] = taken.get(labels[i], 0) + 1
        if taken[labels[i]] <= n:
            chosen.append(i)
    return chosen


def seed_everything(seed: int) -> None:
    """Weights, order and augmentation follow from the seed, on every side."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  fastai draws from it
    torch.manual_seed(seed)


@dataclass(frozen=True)
class Task:
    """Images to learn from, as loaders of this library or of fastai, and the test images."""
    data: Collection
    split: Split
    seed: int
    device: str = "cpu"

    @property
    def vocab(self) -> list[str]:
        return sorted(set(self.data.labels))

    @property
    def bs(self) -> int:
        """Batch size: a handful of images needs small batches to make any steps."""
        n_train = len(self.split.train)
        return min(16, n_train) if n_train < 128 else self.data.bs

    def _images(self, indices: Sequence[int]) -> tuple[list[Image.Image], list[str]]:
        return [self.data.images[i] for i in indices], [self.data.labels[i] for i in indices]

    def loaders(self, **options) -> ImageDataLoaders:
        """Loaders of this library, augmenting unless told otherwise."""
        images, labels = self._images(self.split.train + self.split.valid)
        is_valid = [False] * len(self.split.train) + [True] * len(self.split.valid)
        options = {"bs": self.bs, "presize": PRESIZE, **options}
        options["bs"] = min(options["bs"], len(self.split.train))
        return ImageDataLoaders(images, labels, is_valid, vocab=self.vocab, size=SIZE,
                                seed=self.seed, num_workers=0, device=self.device, **options)

    def fastai_loaders(self, presize: float = PRESIZE):
        """fastai's loaders of the same images, augmented as its book does; no worker processes."""
        def image(i: int) -> Image.Image:
            return self.data.images[i].copy()  # fastai changes the class of what it is given

        def label(i: int) -> str:
            return self.data.labels[i]

        n_train, n_valid = len(self.split.train), len(self.split.valid)
        block = DataBlock((ImageBlock, CategoryBlock(vocab=self.vocab)),
                          get_x=image, get_y=label,
                          splitter=IndexSplitter(range(n_train, n_train + n_valid)),
                          item_tfms=Resize(round(SIZE * presize)),
                          batch_tfms=aug_transforms(size=SIZE))
        return block.dataloaders(self.split.train + self.split.valid, bs=self.bs, num_workers=0,
                                 device=torch.device(self.device))

    def network(self, hidden: int | None) -> nn.Sequential:
        """The pretrained network with a new head, initialised by the seed."""
        torch.manual_seed(self.seed)
        return vision_model(DEFAULT_ARCH, len(self.vocab), hidden=hidden)

    def test_loader(self, learn):
        """The test images for a learner of either side."""
        if isinstance(learn.dls, ImageDataLoaders):
            return learn.dls.test_dl(*self._images(self.split.test))
        return learn.dls.test_dl(self.split.test, with_labels=True, num_workers=0)


def make_task(data: str, per_class: int | None, seed: int, device: str = "cpu") -> Task:
    """The task of a data set, a number of images per class and a seed."""
    found = collection(data)
    return Task(found, split(found.labels, found.digests, per_class, seed), seed, device)
