"""Arguments that make no sense: refused by name, before anything changes.

`refusals.py` beside this file lists many more calls; `make refusals` prints what each is told.
"""
import math

import pytest
import torch
from small import small_model

from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.losses import cross_entropy


@pytest.fixture
def learn(small_learner, state_of, assert_same):
    """A learner that a test must leave as it was."""
    learn = small_learner()
    before = state_of(learn)
    yield learn
    assert_same(before, state_of(learn))


@pytest.mark.case("lr 0, negative, NaN, inf, a string", "`ValueError`; the learner is as before")
@pytest.mark.parametrize("lr", [0, -1e-3, math.nan, math.inf, "1e-3"])
def test_lr_0_negative_nan_inf_or_a_string(lr, learn):
    for train in (learn.fit, learn.fit_one_cycle, learn.fine_tune):
        with pytest.raises(ValueError, match="must be a (positive )?number"):
            train(1, lr)


@pytest.mark.case("slice(b, a) with b > a", "`ValueError`: did you mean slice(a, b)?")
def test_slice_the_wrong_way_round(learn):
    with pytest.raises(ValueError, match="Did you mean slice"):
        learn.fit(1, slice(1e-4, 1e-6))


@pytest.mark.case("epochs 0 or -1", "`ValueError`; the learner is as before")
@pytest.mark.parametrize("epochs", [0, -1])
def test_epochs_0_or_less(epochs, learn):
    for train in (learn.fit, learn.fit_one_cycle, learn.fine_tune):
        with pytest.raises(ValueError, match="must be a whole number, at least 1"):
            train(epochs)


@pytest.mark.case("head width differs from the number of classes", "`ValueError` naming both")
def test_head_width_differs_from_the_number_of_classes(small_learner):
    with pytest.raises(ValueError, match="3 .*5"):
        small_learner(small_model(n_classes=5)).fit(1)


@pytest.mark.case("label out of range", "names label, number of classes and file")
def test_label_out_of_range(drawings):
    with pytest.raises(ValueError, match="'vehicle'.* 2 classes"):
        ImageDataLoaders.from_files(*drawings, vocab=["animal", "building"], size=16, bs=4)
    with pytest.raises(ValueError, match="Label 2 .* 2 classes"):
        cross_entropy(torch.zeros(1, 2), torch.tensor([2]))


@pytest.mark.case("empty batch; all-zero class weights; a row of -inf logits",
                  "an explained error where torch gives nan")
@pytest.mark.parametrize(("logits", "targets", "options"), [
    (torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), {}),
    (torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64), {"weight": torch.zeros(2)}),
    (torch.full((2, 2), -math.inf), torch.zeros(2, dtype=torch.int64), {}),
])
def test_empty_batch_all_zero_weights_and_a_row_of_minus_infinity(logits, targets, options):
    assert torch.nn.functional.cross_entropy(logits, targets, **options).isnan()
    with pytest.raises(ValueError):
        cross_entropy(logits, targets, **options)
