"""The promises that run through all modules, each kept by the real network.

tests/unit/ has the same promises in detail, on networks that train in a fraction of a second.
"""
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from transfer_lessons.all import *

PHOTOGRAPHS = Path(__file__).parents[2].parent / "shared" / "data" / "flowers"


def small_learner(**options):
    torch.manual_seed(0)
    return vision_learner(icons(size=32, valid_pct=0.25, bs=64), **options)


def everything(learn) -> list[torch.Tensor]:
    """All that a later training depends on, as tensors."""
    return [*(value.clone() for value in learn.model.state_dict().values()),
            torch.get_rng_state(), learn.dls.train.generator.get_state(),
            torch.tensor([module.training for module in learn.model.modules()]),
            torch.tensor(np.random.get_state()[1].astype(np.int64)),  # noqa: NPY002
            torch.tensor(random.getstate()[1])]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("first_group", [-1, -2])
def test_frozen_groups_do_not_change_by_one_bit_in_an_epoch(first_group):
    learn = small_learner()
    learn.freeze_to(first_group)
    frozen = [block for group in layer_groups(learn.model)[:first_group] for block in group]
    before = [value.clone() for block in frozen for value in block.state_dict().values()]
    learn.fit_one_cycle(1, 1e-2)
    after = [value for block in frozen for value in block.state_dict().values()]
    assert before and same(before, after)


def test_lr_find_leaves_no_trace():
    learn = small_learner()
    before = everything(learn)
    found = learn.lr_find(num_it=30)
    assert same(before, everything(learn)) and len(found.lrs) <= 30
    learn.fit(1, 1e-3)
    temporary_copy = small_learner()
    temporary_copy.fit(1, 1e-3)
    assert same(everything(learn), everything(temporary_copy))


def test_a_notebook_written_for_fastai_runs_unchanged(tmp_path):
    torch.manual_seed(0)
    dls = icons(size=32, bs=64)
    learn = cnn_learner(dls, resnet18, metrics=error_rate, pretrained=False, path=tmp_path)
    lr_min, lr_steep = learn.lr_find(num_it=30, suggest_funcs=(minimum, steep))
    assert 0 < lr_min < 10 and 0 < lr_steep < 10
    learn.fit_one_cycle(1, 3e-3)
    learn.unfreeze()
    learn.fit_one_cycle(1, lr_max=slice(1e-6, 1e-4))
    learn.recorder.plot_loss()
    learn.save("name")
    learn.load("name")
    interp = ClassificationInterpretation.from_learner(learn)
    interp.plot_top_losses(9, figsize=(15, 11))
    assert all(row.count >= 2 for row in interp.most_confused(min_val=2))


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason=f"no photographs in {PHOTOGRAPHS}")
def test_fine_tuning_photographs_beats_the_frozen_body():
    folders = sorted(folder for folder in PHOTOGRAPHS.iterdir() if folder.is_dir())
    files = [file for folder in folders for file in get_image_files(folder)[:120]]
    labels = [file.parent.name for file in files]
    frozen, tuned = 0.0, 0.0  # losses: the error rate of 150 images is too coarse to tell
    for seed in range(3):  # of the split: one alone can go either way
        dls = ImageDataLoaders.from_files(files, labels, size=96, bs=16, valid_pct=0.25, seed=seed)
        torch.manual_seed(0)
        learn = vision_learner(dls)
        learn.fit_one_cycle(2, 5e-3)
        frozen += learn.validate()[0]
        learn.freeze_to(-2)
        learn.fit_one_cycle(4, slice(5e-4, 2e-3))
        tuned += learn.validate()[0]
    assert tuned < 0.95 * frozen
