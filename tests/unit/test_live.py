"""Loss curves while a training runs, a hand on its learning rate, and a stop that costs nothing."""
import io
import math
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from transfer_lessons.live import LossCurves
from transfer_lessons.losses import cross_entropy
from transfer_lessons.recorder import Recorder


def test_loss_curves_follow_a_training(small_learner):
    learn = small_learner()
    usual = learn.progress_type
    with LossCurves(learn) as curves:
        learn.fit(2)
    assert learn.progress_type is usual
    row = learn.recorder.history[-1]
    assert f"valid loss {row.valid_loss:.4g}" in curves.sentence
    assert np.asarray(Image.open(io.BytesIO(curves.image.value)).convert("L")).std() > 5
    assert plt.get_fignums() == []


def test_an_interrupt_stops_at_the_next_step_and_loses_nothing(small_learner, capsys):
    learn = small_learner()

    def interrupted(logits, targets):
        if len(learn.recorder.lrs) == 6:  # the sixth step is under way
            raise KeyboardInterrupt
        return cross_entropy(logits, targets)
    learn.loss_func = interrupted
    with LossCurves(learn):
        learn.fit(3)
    learn.loss_func = cross_entropy
    assert len(learn.recorder.losses) == 5
    assert "history are kept" in capsys.readouterr().out
    alone = small_learner()
    alone.fit(3)
    assert learn.recorder.losses == alone.recorder.losses[:5]
    assert all(p.grad is None for p in learn.model.parameters())


@pytest.mark.case("widgets: live curves of anything but a learner", "says what to give")
@pytest.mark.parametrize("wrong", [None, 3, "learn"])
def test_live_curves_say_what_they_want(wrong, small_learner):
    with pytest.raises(ValueError, match="learn must be of type Learner"):
        LossCurves(wrong)
    with pytest.raises(ValueError, match="learn must be of type Learner"):
        LossCurves(small_learner().dls)


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_live_curves_of_a_loss_of_0_or_below(small_learner, value):
    learn = small_learner(loss_func=lambda logits, targets: (0 * logits).sum() + value)
    with LossCurves(learn) as curves:
        learn.fit(1)
    assert f"valid loss {value:.4g}" in curves.sentence


def test_live_curves_of_a_loss_that_is_nan_from_the_start(small_learner):
    learn = small_learner(loss_func=lambda logits, targets: logits.sum() * float("nan"))
    with pytest.raises((FloatingPointError, ValueError)), LossCurves(learn) as curves:
        learn.fit(1)
    assert np.asarray(Image.open(io.BytesIO(curves.image.value)).convert("L")).std() > 1


def test_other_errors_reach_the_caller(small_learner):
    learn = small_learner()
    usual = learn.progress_type
    with pytest.raises(ZeroDivisionError), LossCurves(learn):
        1 / 0  # noqa: B018
    assert learn.progress_type is usual
    learn.fit(1)


# The hand. A move of the slider on a page ends in `controls["lr"].value = ...`, between two steps.

class WithHand(LossCurves):
    """Curves with a hand on them: `moves` has what it does after so many steps."""
    moves: dict = {}

    def step(self):
        super().step()
        self.moves.get(len(self.recorder.lrs), lambda curves: None)(self)


def trained(learn, moves):
    curves = WithHand(learn)
    curves.moves = moves
    with curves:
        learn.fit_one_cycle(2, 1e-2)
    return curves


def set_slider(lr):
    return lambda curves: curves.controls["lr"].set_trait("value", lr)


@pytest.fixture
def alone(small_learner):
    """The same training without curves."""
    learn = small_learner()
    learn.fit_one_cycle(2, 1e-2)
    return learn.recorder


def test_untouched_it_trains_as_scheduled(alone, small_learner):
    learn = small_learner()
    curves = trained(learn, {})
    assert learn.recorder.lrs == alone.lrs
    assert learn.recorder.losses == alone.losses
    assert curves.turns == [] and curves.by_hand() is None


def test_the_next_step_takes_the_sliders_value_and_momentum_stays_scheduled(alone, small_learner):
    learn = small_learner()
    curves = trained(learn, {5: set_slider(0.05)})
    assert learn.recorder.lrs[:5] == alone.lrs[:5]
    assert (np.array(learn.recorder.lrs[5:]) == 0.05).all()
    assert learn.recorder.moms == alone.moms
    assert learn.recorder.losses[:6] == alone.losses[:6]
    assert learn.recorder.losses[6] != alone.losses[6]
    assert curves.turns == [(6, 0.05)]
    assert "Turned at step 6 to 5e-2." in curves.sentence


def test_back_to_the_schedule(alone, small_learner):
    learn = small_learner()
    untick = {6: lambda curves: curves.controls["by_hand"].set_trait("value", False)}
    trained(learn, {3: set_slider(0.05), **untick})
    by_hand = [step for step, lrs in enumerate(learn.recorder.lrs) if lrs != alone.lrs[step]]
    assert by_hand == [3, 4, 5]


def test_layer_groups_keep_their_ratio(small_learner):
    learn = small_learner()
    curves = LossCurves(learn)
    curves.turn(0.03)
    assert curves.steer([1e-4, 1e-3, 1e-2]) == pytest.approx([3e-4, 3e-3, 3e-2])
    assert curves.steer([0.0, 0.0]) == [0.03, 0.03], "a schedule at 0 has no ratio"
    curves.turn(None)
    assert curves.steer([1e-4, 1e-2]) == [1e-4, 1e-2]


def test_following_the_schedule_is_no_touch(small_learner):
    curves = LossCurves(small_learner())
    curves.start(0, 3)
    for lr in (1e-9, 1.234e-3, 0.7, 50.0):
        assert curves.steer([lr]) == [lr]
        curves.follow()
        assert curves.by_hand() is None
        slider = curves.controls["lr"]
        assert slider.value == pytest.approx(min(max(lr, 1e-6), 10), rel=0.07)
        exponent = 20 * math.log10(slider.value)  # what a page rounds to: nothing comes back changed
        assert exponent == pytest.approx(round(exponent), abs=1e-6)
    curves.controls["lr"].value = 2e-3
    assert curves.by_hand() == 2e-3


def test_moves_within_a_second_are_one_turn(small_learner):
    curves = LossCurves(small_learner())
    for lr in (1e-2, 2e-2, 3e-2):
        curves.controls["lr"].value = lr
        curves.steer([1e-3])
    assert curves.turns == [(1, 3e-2)]
    curves.turn(5e-2)
    curves.steer([1e-3])
    assert curves.turns == [(1, 3e-2), (1, 5e-2)]


def test_a_loop_of_ones_own(small_learner):
    recorder = Recorder()
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    began = time.monotonic()
    with LossCurves(recorder, pace=0.02) as curves:
        curves.start(0, 10)
        for step in range(10):
            if step == 4:
                curves.turn(0.5)
            optimizer.param_groups[0]["lr"], = curves.steer([0.1])
            loss = (weight - 3).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.end_step(loss.item(), optimizer)
            curves.step()
    assert time.monotonic() - began >= 0.2, "each step lasts at least its pace"
    assert recorder.lrs == [[0.1]] * 4 + [[0.5]] * 6
    assert curves.turns == [(5, 0.5)]
    bundle, about = curves._repr_mimebundle_()
    assert "Turned at step 5 to 5e-1." in about["image/png"]["alt"] == bundle["text/plain"]


@pytest.mark.parametrize(("options", "message"), [
    ({"pace": -1}, "pace"), ({"pace": "slow"}, "pace"), ({"pace": math.inf}, "pace")])
def test_a_pace_is_checked(small_learner, options, message):
    with pytest.raises(ValueError, match=message):
        LossCurves(small_learner(), **options)


@pytest.mark.parametrize("lr", [0, -1.0, 11, math.nan, "fast"])
def test_a_turn_is_checked(small_learner, lr):
    curves = LossCurves(small_learner())
    with pytest.raises(ValueError, match="lr must be"):
        curves.turn(lr)
    assert curves.by_hand() is None
