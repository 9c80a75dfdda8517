"""keep_best: the best epoch's weights, whatever ends the training."""
import itertools
import math

import pytest
import torch

from transfer_lessons import best_epoch  # noqa: F401  it adds keep_best
from transfer_lessons.learner import accuracy, error_rate
from transfer_lessons.losses import cross_entropy

pytestmark = pytest.mark.usefixtures("one_thread")
HIGH = 0.5  # a learning rate at which the validation loss goes up and down


def test_it_keeps_the_weights_of_the_epoch_with_the_lowest_loss(small_learner, capsys):
    plain = small_learner()
    states = []
    def note(name, epoch):
        states.append({key: value.clone() for key, value in plain.model.state_dict().items()})
    plain.save = note
    plain.fit(6, HIGH, checkpoint="every")
    losses = [row.valid_loss for row in plain.recorder.history]
    lowest = losses.index(min(losses))
    assert lowest < 5, "else this test shows nothing"

    learn = small_learner()
    with learn.keep_best() as best:
        learn.fit(6, HIGH)
    assert best.row.epoch == lowest
    assert all(torch.equal(value, states[lowest][key])
               for key, value in learn.model.state_dict().items())
    assert f"Kept epoch {lowest}, the best of 6" in capsys.readouterr().out
    assert len(learn.recorder.history) == 6


def falling_then_rising(at):
    """A metric that falls for some epochs, then rises."""
    calls = itertools.count()
    def metric(logits, targets):
        return abs(next(calls) - at - 1) / 10  # one call comes before the first epoch
    return metric


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_epochs_without_a_better_one_end_the_training(small_learner, patience):
    learn = small_learner(metrics=falling_then_rising(2))
    with learn.keep_best(patience, monitor="metric") as best:
        learn.fit(20, 1e-3)
        raise AssertionError("the block ends where the training does")
    assert len(learn.recorder.history) == best.row.epoch + 1 + patience
    assert best.row.metric == min(row.metric for row in learn.recorder.history)


def test_a_metric_can_decide_and_higher_can_be_better(small_learner):
    learn = small_learner(metrics=(error_rate, accuracy))
    with learn.keep_best(monitor="accuracy", higher_is_better=True) as best:
        learn.fit(5, HIGH)
    assert best.row.accuracy == max(row.accuracy for row in learn.recorder.history)


@pytest.mark.case("Ctrl-C in a training whose best epoch is kept", "that epoch's weights are back")
def test_ctrl_c_keeps_the_best_epoch_and_the_display(small_learner):
    learn = small_learner()
    display = learn.progress_type
    with pytest.raises(KeyboardInterrupt), learn.keep_best() as best:
        learn.fit(3, HIGH)
        raise KeyboardInterrupt
    assert learn.progress_type is display
    assert math.isclose(learn.validate()[0], best.row.valid_loss, rel_tol=1e-5)


@pytest.mark.case("NaN in a training whose best epoch is kept", "that epoch's weights are back")
def test_a_nan_keeps_the_best_epoch(small_learner):
    calls = itertools.count()
    learn = small_learner()
    learn.loss_func = lambda logits, targets: cross_entropy(logits, targets) * (
        math.nan if next(calls) > 12 and logits.requires_grad else 1)
    with pytest.raises(FloatingPointError), learn.keep_best() as best:
        learn.fit(9, 1e-2)
    assert best.row is not None
    assert math.isclose(learn.validate()[0], best.row.valid_loss, rel_tol=1e-5)


def test_an_epoch_of_nan_is_never_the_best(small_learner):
    values = iter([0.0, math.nan, 0.5, 0.7, math.nan])
    def metric(logits, targets):
        return next(values)
    learn = small_learner(metrics=metric)
    with learn.keep_best(monitor="metric") as best:
        learn.fit(4, 1e-3)
    assert best.row.metric == 0.5


def test_nothing_trained_nothing_kept(small_learner, state_of, assert_same, capsys):
    learn = small_learner()
    before = state_of(learn)
    with learn.keep_best() as best:
        pass
    assert best.row is None and not capsys.readouterr().out
    assert_same(state_of(learn), before)


def test_a_cached_learner_keeps_its_best_epoch_too(small_learner):
    learn = small_learner()
    learn.freeze()
    cached = learn.precompute()
    with cached.keep_best() as best:
        cached.fit(5, HIGH)
    assert math.isclose(learn.validate()[0], best.row.valid_loss, rel_tol=1e-4)


def test_a_stopped_training_leaves_everything_in_order(small_learner):
    learn = small_learner(metrics=falling_then_rising(0))
    with learn.keep_best(1, monitor="metric"):
        learn.fit_one_cycle(9, 1e-2)
    assert learn.model.training and all(p.grad is None for p in learn.model.parameters())
    learn.fit(1, 1e-3)


@pytest.mark.parametrize("wrong", [{"patience": 0}, {"monitor": "loss"}, {"higher_is_better": 1}])
def test_bad_arguments_are_refused_before_anything_runs(small_learner, wrong):
    learn = small_learner()
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"), learn.keep_best(**wrong):
        raise AssertionError
