"""fine_tune: a few calls, nothing more, and nothing at all where an argument is wrong."""
import math

import numpy as np
import pytest
import torch
from small import small_model

from transfer_lessons import fine_tuning  # it adds fine_tune to Learner

pytestmark = pytest.mark.usefixtures("one_thread")


def trainable(learn) -> list[bool]:
    return [parameter.requires_grad for parameter in learn.model.parameters()]


def test_fastais_recipe_is_the_four_calls_it_stands_for(small_learner, state_of, assert_same):
    together = small_learner(augment=True)
    together.fine_tune(2, 4e-3, 1, lr_mult=50, pct_start=0.4, div=3, recipe="fastai")

    apart = small_learner(augment=True)
    apart.freeze()
    apart.fit_one_cycle(1, slice(4e-3), pct_start=0.99)
    apart.unfreeze()
    apart.fit_one_cycle(2, slice(2e-3 / 50, 2e-3), pct_start=0.4, div=3)

    assert_same(state_of(together), state_of(apart))
    assert together.recorder.lrs == apart.recorder.lrs


def test_its_constants_are_fastais(small_learner):
    learn = small_learner()
    learn.fine_tune(10, freeze_epochs=10, recipe="fastai")
    n_frozen = 10 * len(learn.dls.train)
    frozen, unfrozen = learn.recorder.lrs[:n_frozen], learn.recorder.lrs[n_frozen:]
    assert max(lrs[-1] for lrs in frozen) == pytest.approx(2e-3, rel=0.02)
    assert max(lrs[0] for lrs in unfrozen) == pytest.approx(1e-5)
    assert max(lrs[-1] for lrs in unfrozen) == pytest.approx(1e-3), "half, in all unfrozen epochs"
    assert unfrozen[0][-1] == pytest.approx(1e-3 / 5)


@pytest.mark.parametrize("augment", [False, True])
def test_the_default_recipe_is_a_cached_head_and_then_the_late_half(
        small_learner, state_of, assert_same, augment):
    together = small_learner(augment=augment)
    together.fine_tune(2, base_lr=4e-3, freeze_epochs=3, lr_mult=2, pct_start=0.4, div=3)

    apart = small_learner(augment=augment)
    apart.freeze()
    cached = apart.precompute(views=3 if augment else None)
    n_epochs = math.ceil(fine_tuning.N_STEPS / len(apart.dls.train))
    cached.fit_one_cycle(n_epochs, 4e-3)
    before, after = apart.validate(), together.recorder.history[n_epochs - 1]
    assert before[0] == pytest.approx(after.valid_loss)
    apart.freeze_to(-2)
    apart.fit_one_cycle(4, slice(1e-3, 2e-3), pct_start=0.4, div=3)
    assert apart.validate()[0] < before[0], "else the two would differ: it would be undone"

    assert_same(state_of(together), state_of(apart))
    assert together.recorder.lrs == cached.recorder.lrs + apart.recorder.lrs
    together.recorder.plot_sched()


@pytest.mark.parametrize(("recipe", "n_changed"), [("lp-ft", 1), ("fastai", 2)])
def test_the_body_is_frozen_first_and_trains_afterwards(small_learner, monkeypatch, recipe, n_changed):
    learn = small_learner()
    start = {key: value.clone() for key, value in learn.model[0].state_dict().items()}
    after_head = {}
    freeze_to = type(learn).freeze_to

    def note_and_unfreeze(learner, n):
        if n != -1:
            after_head.update({k: v.clone() for k, v in learner.model[0].state_dict().items()})
        freeze_to(learner, n)

    monkeypatch.setattr(type(learn), "freeze_to", note_and_unfreeze)
    monkeypatch.setattr(fine_tuning, "_loss_and_error", lambda _: (0.0, 0.0))  # nothing is undone
    learn.fine_tune(1, recipe=recipe)
    assert all(torch.equal(after_head[key], start[key]) for key in start)
    changed = [key for key, value in learn.model[0].state_dict().items()
               if not torch.equal(value, start[key])]
    layers = {key.partition(".")[0] for key in changed}
    assert layers == {"3", "4"} if n_changed == 1 else {"0", "1", "3", "4"}, "BatchNorm's too"


@pytest.mark.parametrize(("loss", "error", "undone"), [(2.0, 0.5, True), (2.0, 0.3, False),
                                                       (0.5, 0.5, False), (0.5, 0.3, False)])
def test_what_makes_loss_and_error_worse_is_undone_and_said_so(
        small_learner, monkeypatch, capsys, loss, error, undone):
    learn = small_learner()
    learn.freeze_to(-2)
    measured = iter([(1.0, 0.4), (loss, error)])
    monkeypatch.setattr(fine_tuning, "_loss_and_error", lambda _: next(measured))
    before = {key: value.clone() for key, value in learn.model.state_dict().items()}
    with fine_tuning._undo_if_worse(learn):
        learn.fit(1, 1e-2)
    same = all(torch.equal(before[key], value) for key, value in learn.model.state_dict().items())
    assert same == undone
    assert ("that was undone: this is the head alone" in capsys.readouterr().out) == undone
    frozen = [not any(p.requires_grad for p in part.parameters()) for part in learn.model]
    assert frozen == [undone, False]
    learn.fit(1, 1e-3)  # and it trains on


def test_a_network_that_cannot_be_cut_trains_its_head_on_the_images(small_learner):
    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = small_model()

        def forward(self, x):
            return self.head(self.body(x) + 1)

    learn = small_learner(model=Whole())
    learn.fine_tune(1, freeze_epochs=2)
    assert [row.epoch for row in learn.recorder.history] == [0, 1, 0, 1]


def test_only_the_last_epoch_on_cached_activations_is_shown(small_learner, capsys):
    learn = small_learner()
    learn.fine_tune(2)
    rows = [line for line in capsys.readouterr().out.splitlines() if line[:1].isdigit()]
    assert len(rows) == 1 + 4 and len(learn.recorder.history) > 5


@pytest.mark.parametrize(("recipe", "n_epochs"), [("lp-ft", 20), ("fastai", 10)])
def test_without_frozen_epochs_the_body_trains_from_the_first_step(small_learner, recipe, n_epochs):
    learn = small_learner()
    learn.fine_tune(10, freeze_epochs=0, recipe=recipe)
    assert len(learn.recorder.history) == n_epochs
    assert max(lrs[-1] for lrs in learn.recorder.lrs) == pytest.approx(1e-3)


@pytest.mark.parametrize(("n_steps", "n_epochs"), [(200, 6), (4, 4), (1, 3)])
def test_with_few_images_the_body_trains_for_up_to_twice_the_epochs(
        small_learner, monkeypatch, capsys, n_steps, n_epochs):
    learn = small_learner()
    monkeypatch.setattr(fine_tuning, "N_STEPS", n_steps * len(learn.dls.train))
    learn.fine_tune(3, freeze_epochs=0)
    assert len(learn.recorder.history) == n_epochs
    assert (f"trains for {n_epochs} epochs" in capsys.readouterr().out) == (n_epochs > 3)


@pytest.mark.case("arguments of training: numpy and torch numbers in fine_tune", "the same training")
def test_numbers_of_numpy_and_torch_are_taken(small_learner, state_of, assert_same):
    plain, other = small_learner(), small_learner()
    torch.manual_seed(1)
    plain.fine_tune(1, 3e-3, 2, 50)
    torch.manual_seed(1)
    other.fine_tune(np.int64(1), torch.tensor(3e-3, dtype=torch.float64), np.uint8(2), np.float64(50),
                    recipe=np.str_("lp-ft"))
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
    ("recipe", "fast"), ("recipe", None), ("lr_mult", -1), ("lr_mult", 0.5), ("pct_start", 30), ("pct_start", -0.1), ("div", 0)])
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
