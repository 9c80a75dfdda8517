"""The photographs, splits and learners that several benchmarks share."""
from pathlib import Path

import torch

from transfer_lessons.image_files import get_image_files

PHOTOGRAPHS = Path(__file__).parents[1].parent / "shared" / "data" / "flowers"


def choose(train: int, valid: int) -> tuple[list[Path], list[bool]]:
    """The same photographs for both libraries, sampled over the classes."""
    files = get_image_files(PHOTOGRAPHS)
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(0)).tolist()
    return [files[i] for i in order[:train + valid]], [False] * train + [True] * valid


def fastai_loaders(files: list[Path], is_valid: list[bool], size: int, bs: int):
    """fastai's loaders over the same split, without augmentation."""
    from fastai.vision.all import CategoryBlock, DataBlock, ImageBlock, IndexSplitter, Resize
    valid_indices = [i for i, valid in enumerate(is_valid) if valid]
    block = DataBlock((ImageBlock, CategoryBlock), get_y=lambda file: Path(file).parent.name,
                      splitter=IndexSplitter(valid_indices), item_tfms=Resize(size))
    return block.dataloaders(files, bs=bs)
