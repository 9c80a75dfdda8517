"""fine_tune: four calls, nothing more, and nothing at all where an argument is wrong."""
import numpy as np
import pytest
import torch

from transfer_lessons import fine_tuning, precompute  # noqa: F401  they add methods to Learner

pytestmark = pytest.mark.usefixtures("one_thread")


def trainable(learn) -> list[bool]:
    return [parameter.requires_grad for parameter in learn.model.parameters()]


def test_it_is_the_four_calls_it_stands_for(small_learner, state_of, assert_same):
    together = small_learner(augment=True)
    together.fine_tune(2, base_lr=4e-3, freeze_epochs=1, lr_mult=50, pct_start=0.4, div=3)

    apart = small_learner(augment=True)
    apart.freeze()
    apart.fit_one_cycle(1, slice(4e-3), pct_start=0.99)
    apart.unfreeze()
    apart.fit_one_cycle(2, slice(2e-3 / 50, 2e-3), pct_start=0.4, div=3)

    assert_same(state_of(together), state_of(apart))
    assert together.recorder.lrs == apart.recorder.lrs


def test_its_defaults_are_fastais(small_learner):
    learn = small_learner()
    learn.fine_tune(10, freeze_epochs=10)
    n_frozen = 10 * len(learn.dls.train)
    frozen, unfrozen = learn.recorder.lrs[:n_frozen], learn.recorder.lrs[n_frozen:]
    assert max(lrs[-1] for lrs in frozen) == pytest.approx(2e-3, rel=0.02)
    assert max(lrs[0] for lrs in unfrozen) == pytest.approx(1e-5)
    assert max(lrs[-1] for lrs in unfrozen) == pytest.approx(1e-3), "half, in all unfrozen epochs"
    assert unfrozen[0][-1] == pytest.approx(1e-3 / 5)


def test_the_body_is_frozen_first_and_trains_afterwards(small_learner, monkeypatch):
    learn = small_learner()
    start = {key: value.clone() for key, value in learn.model[0].state_dict().items()}
    after_head = {}
    unfreeze = type(learn).unfreeze

    def note_and_unfreeze(learner):
        after_head.update({k: v.clone() for k, v in learner.model[0].state_dict().items()})
        unfreeze(learner)

    monkeypatch.setattr(type(learn), "unfreeze", note_and_unfreeze)
    learn.fine_tune(1)
    assert all(torch.equal(after_head[key], start[key]) for key in start)
    assert not any(torch.equal(value, start[key])
                   for key, value in learn.model[0].state_dict().items()), "BatchNorm's too"
    assert all(trainable(learn))


def test_without_frozen_epochs_everything_trains_from_the_first_step(small_learner):
    learn = small_learner()
    learn.fine_tune(10, freeze_epochs=0)
    assert len(learn.recorder.history) == 10
    assert max(lrs[-1] for lrs in learn.recorder.lrs) == pytest.approx(1e-3)


@pytest.mark.case("arguments of training: numpy and torch numbers in fine_tune", "the same training")
def test_numbers_of_numpy_and_torch_are_taken(small_learner, state_of, assert_same):
    plain, other = small_learner(), small_learner()
    torch.manual_seed(1)
    plain.fine_tune(1, 3e-3, 2, 50)
    torch.manual_seed(1)
    other.fine_tune(np.int64(1), torch.tensor(3e-3, dtype=torch.float64), np.uint8(2), np.float64(50))
    assert_same(state_of(plain), state_of(other))


def refuse(*_, **__):
    raise ValueError("not these")


@pytest.mark.case("arguments of training: a refused fine_tune", "what trained before trains still")
@pytest.mark.parametrize("options", [{"opt_func": refuse}, {"loss_func": refuse}])
@pytest.mark.parametrize("freeze_epochs", [0, 1])
def test_a_training_refused_before_its_first_step_leaves_what_trains(small_learner, options, freeze_epochs):
    learn = small_learner(**options)
    for layer in learn.model[0]:
        layer.requires_grad_(isinstance(layer, torch.nn.BatchNorm2d))
    flags = trainable(learn)
    with pytest.raises(ValueError):
        learn.fine_tune(1, freeze_epochs=freeze_epochs)
    assert trainable(learn) == flags


@pytest.mark.case("arguments of training: fine_tune on cached activations", "refused before its first epoch")
def test_a_learner_on_cached_activations_refuses_at_once(small_learner, state_of, assert_same):
    learn = small_learner()
    learn.freeze()
    cached = learn.precompute()
    before, flags = state_of(learn), trainable(learn)
    with pytest.raises(RuntimeError, match="original.fine_tune"):
        cached.fine_tune(2, freeze_epochs=1)
    assert_same(state_of(learn), before)
    assert trainable(learn) == flags and not cached.recorder.losses


@pytest.mark.case("arguments of training: fine_tune(freeze_epochs=0), base_lr=slice(...)", "taken; refused by name")
@pytest.mark.parametrize(("name", "value"), [
    ("epochs", 0), ("epochs", 1.5), ("epochs", "2"), ("freeze_epochs", -1), ("freeze_epochs", 0.5),
    ("base_lr", 0), ("base_lr", -1e-3), ("base_lr", float("nan")), ("base_lr", slice(1e-5, 1e-3)),
    ("lr_mult", -1), ("lr_mult", 0.5), ("pct_start", 30), ("pct_start", -0.1), ("div", 0)])
def test_a_wrong_argument_is_named_and_changes_nothing(
        small_learner, state_of, assert_same, name, value):
    learn = small_learner()
    learn.freeze_to(-2)
    before, flags = state_of(learn), trainable(learn)
    with pytest.raises(ValueError, match=f"^{name} must be .*; got"):
        learn.fine_tune(**{"epochs": 1, name: value})
    assert_same(state_of(learn), before)
    assert trainable(learn) == flags
    assert learn.opt is None
    assert not learn.recorder.losses
