"""The promises of the loop on the pretrained network, with all its layers."""
import pytest
import torch

from transfer_lessons.datasets import draw_icons
from transfer_lessons.learner import vision_learner
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.optim import adamw


@pytest.fixture(scope="module")
def icons_and_classes():
    """A part of the icons, small, and their classes."""
    icons, classes = draw_icons(32)
    return icons[::8], classes[::8]


@pytest.fixture
def pretrained_learner(icons_and_classes, tmp_path):
    """Makes learners that differ in nothing but the seed of the head."""
    def make(seed=0, **options):
        torch.manual_seed(seed)
        dls = ImageDataLoaders.from_files(*icons_and_classes, size=32, bs=16, device="cpu")
        return vision_learner(dls, path=tmp_path, **options)
    return make


def test_an_epoch_with_a_frozen_body_changes_not_one_bit_of_it(pretrained_learner):
    learn = pretrained_learner()
    before = {key: value.clone() for key, value in learn.model.state_dict().items()}
    learn.fit_one_cycle(1, 1e-2)
    changed = [key for key, value in learn.model.state_dict().items()
               if not torch.equal(value, before[key])]
    assert len(before) > 200 and changed and all(key.startswith("1.") for key in changed)


@pytest.mark.parametrize("opt_func", [adamw, torch.optim.SGD], ids=["adamw", "sgd"])
def test_it_survives_a_learning_rate_of_a_million(pretrained_learner, opt_func):
    learn = pretrained_learner(opt_func=opt_func)
    learn.unfreeze()
    with pytest.raises(FloatingPointError, match="learning rate 1e[+]06"):
        learn.fit(2, 1e6)
    assert all(value.isfinite().all() for value in learn.model.state_dict().values())


def test_it_resumes_bit_for_bit(pretrained_learner, state_of, assert_same):
    whole, broken, resumed = (pretrained_learner(seed, hidden=512)  # its dropout draws numbers
                              for seed in (0, 0, 1))
    for learn in (whole, broken, resumed):
        learn.freeze_to(-2)
    torch.manual_seed(2)
    whole.fit_one_cycle(2, slice(1e-3))
    save = broken.save
    def save_and_press_ctrl_c(*arguments):
        save(*arguments)
        raise KeyboardInterrupt
    broken.save = save_and_press_ctrl_c
    torch.manual_seed(2)
    with pytest.raises(KeyboardInterrupt):
        broken.fit_one_cycle(2, slice(1e-3), checkpoint="run")
    resumed.load("run").fit_one_cycle(2, slice(1e-3), start_epoch=1)
    assert_same(state_of(whole), state_of(resumed))
