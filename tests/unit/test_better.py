"""Mixup and test-time augmentation: what they compute, and that they leave no trace."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from transfer_lessons import tta  # noqa: F401  it adds tta
from transfer_lessons.better import MixupLoader, mixup
from transfer_lessons.data import augment_batch
from transfer_lessons.learner import error_rate

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def images():
    return torch.rand(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def test_images_are_blended_in_the_proportion_of_their_targets(images):
    numbers = torch.arange(12)  # a class each: the targets say who was blended with whom
    blended, targets = mixup(images, numbers, 12, alpha=1.0)
    expected = (targets @ images.flatten(1)).view_as(images)
    torch.testing.assert_close(blended, expected)
    torch.testing.assert_close(targets.sum(1), torch.ones(12))
    assert (targets.diagonal() >= 0.5).all(), "most of an image stays its own"
    assert (targets > 0).sum() > 12, "some are blended"


def test_two_of_one_class_give_that_class(images):
    _, targets = mixup(images, torch.zeros(12, dtype=torch.long), 3)
    torch.testing.assert_close(targets, F.one_hot(torch.zeros(12, dtype=torch.long), 3).float())


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_weights_are_drawn_from_a_beta_distribution(alpha):
    n = 4000
    _, targets = mixup(torch.zeros(n, 1), torch.arange(n), n, alpha)
    weight = targets.diagonal()[targets.diagonal() < 1]
    drawn = torch.distributions.Beta(alpha, alpha).sample((20000,))
    expected = torch.maximum(drawn, 1 - drawn)
    torch.testing.assert_close(weight.mean(), expected.mean(), atol=0.02, rtol=0)
    torch.testing.assert_close(weight.std(), expected.std(), atol=0.02, rtol=0)


def test_the_generator_alone_decides(images):
    numbers = torch.arange(12)
    first = mixup(images, numbers, 12, generator=torch.Generator().manual_seed(3))
    torch.rand(5)
    second = mixup(images, numbers, 12, generator=torch.Generator().manual_seed(3))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


@pytest.mark.parametrize("wrong", [{"alpha": 0}, {"alpha": "much"}, {"n_classes": 0}, {"xb": [1]}])
def test_bad_arguments_of_mixup_are_refused(wrong, images):
    arguments = {"xb": images, "yb": torch.arange(12), "n_classes": 12, **wrong}
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        mixup(**arguments)


def test_a_learner_trains_on_blended_batches_and_validates_on_plain_ones(small_learner):
    learn = small_learner(augment=True)
    plain = [yb for _, yb in learn.dls.train.in_order()]
    learn.dls.train = MixupLoader(learn.dls.train, alpha=1)
    _, targets = next(iter(learn.dls.train))
    assert targets.shape == (8, 3) and targets.is_floating_point()
    learn.fit(2, 1e-2)
    assert len(learn.recorder.history) == 2 and np.isfinite(learn.recorder.losses).all()
    _, found = learn.get_preds(dl=learn.dls.train)
    assert torch.equal(found, torch.cat(plain)), "in order and unblended"
    learn.dls.show_batch()


def test_what_is_cached_is_not_blended(small_learner, assert_same, state_of):
    states = []
    for wrap in (False, True):
        learn = small_learner()
        learn.freeze()
        if wrap:
            learn.dls.train = MixupLoader(learn.dls.train)
        learn.precompute().fit(1, 1e-2)
        states.append(state_of(learn))
    assert_same(*states)


def test_mixup_needs_a_loader_that_shuffles_images(small_learner):
    learn = small_learner()
    learn.freeze()
    for wrong in (learn.dls.valid, learn.precompute().dls.train):
        with pytest.raises(ValueError, match=r"MixupLoader\(dls.train\)"):
            MixupLoader(wrong)
    with pytest.raises(ValueError, match="alpha must be"):
        MixupLoader(learn.dls.train, alpha=-1)


def test_tta_is_the_average_over_augmented_views(small_learner):
    learn = small_learner(augment=True)
    found, targets = learn.tta(n=3, beta=0.4)
    valid = learn.dls.valid.dataset
    learn.model.eval()
    views = []
    for view in range(3):  # the same images, read larger, augmented by hand in the same batches
        torch.manual_seed(learn.dls.seed + view)
        positions = torch.full((len(valid),), 0.5).uniform_()
        read = [load(valid, i, float(position)) for i, position in enumerate(positions)]
        batches = torch.stack(read).float().div(255).split(8)
        logits = [learn.model(augment_batch(xb, size=16)).detach() for xb in batches]
        views.append(torch.cat(logits).softmax(1))
    plain, expected_targets = learn.get_preds()
    torch.testing.assert_close(found, 0.6 * sum(views) / 3 + 0.4 * plain, atol=1e-5, rtol=1e-4)
    assert torch.equal(targets, expected_targets)


def load(valid, i, position):
    """One image as training reads it: larger by a quarter."""
    larger = type(valid)(valid.sources, valid.targets, round(1.25 * valid.size))
    return larger[i, position][0]


def test_tta_leaves_no_trace_and_repeats(small_learner, state_of, assert_same):
    learn = small_learner(augment=True)
    before = state_of(learn)
    first, _ = learn.tta()
    second, _ = learn.tta()
    assert_same(state_of(learn), before)
    assert torch.equal(first, second)


def test_tta_takes_a_loader_and_a_cached_learner(small_learner, drawings):
    learn = small_learner(augment=True)
    learn.freeze()
    other = learn.test_dl(drawings[0][:5])
    probabilities, _ = learn.tta(other, n=2)
    assert probabilities.shape == (5, 3)
    cached = learn.precompute(views=2)
    torch.testing.assert_close(cached.tta()[0], learn.tta()[0])


def test_tta_needs_augmentation_and_good_arguments(small_learner):
    with pytest.raises(ValueError, match="augment=True"):
        small_learner().tta()
    learn = small_learner(augment=True)
    for wrong in {"n": 0}, {"beta": 2}, {"dl": [1, 2]}:
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
            learn.tta(**wrong)
    assert 0 <= error_rate(*learn.tta()) <= 1
