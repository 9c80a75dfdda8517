"""What a learner types, for the type checker alone: each line holds only if the stubs know it."""
from pathlib import Path

from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import assert_type

from transfer_lessons.all import *
from transfer_lessons.lr_finder import LRFind
from transfer_lessons.precompute import PrecomputedLearner


def methods_added_by_later_modules(folder: Path) -> None:
    dls = ImageDataLoaders.from_folder(folder, size=96)
    assert_type(dls, ImageDataLoaders)
    assert_type(dls.vocab, list[str])
    assert_type(dls.one_batch(), tuple[Tensor, Tensor])
    learn = vision_learner(dls)
    assert_type(learn, Learner)
    assert_type(learn.lr_find(), LRFind)
    assert_type(learn.validate(), tuple[float, ...])
    assert_type(learn.model, nn.Module)
    assert_type(learn.opt, Optimizer | None)
    assert_type(learn.precompute(), PrecomputedLearner)
    learn.fine_tune(1, base_lr=2e-3)
    learn.recorder.plot_loss()
    learn.fine_tune(epoch=1)  # type: ignore[call-arg]
