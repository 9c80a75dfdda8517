"""Loss curves while a training runs, and a stop that costs nothing."""
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from transfer_lessons.live import LossCurves
from transfer_lessons.losses import cross_entropy


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
