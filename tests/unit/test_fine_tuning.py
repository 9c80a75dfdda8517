"""fine_tune: four calls, nothing more, and nothing at all where an argument is wrong."""
import pytest
import torch

from transfer_lessons import fine_tuning  # noqa: F401  adds fine_tune to Learner

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
