"""The record of a training, and its plots."""
import json

import matplotlib.pyplot as plt
import pytest

from transfer_lessons.recorder import Recorder

pytestmark = pytest.mark.usefixtures("one_thread")


def test_plots_show_every_step_and_every_epoch(small_learner):
    learn = small_learner()
    learn.fit_one_cycle(3, slice(1e-3, 1e-2))
    ax, axes = plt.figure().add_subplot(), plt.figure().subplots(1, 2)
    learn.recorder.plot_loss(ax)
    learn.recorder.plot_sched(axes)
    training, validation = ax.lines
    assert training.get_ydata().tolist() == learn.recorder.losses
    assert validation.get_xdata().tolist() == [4, 8, 12]
    assert [len(line.get_ydata()) for line in axes[0].lines] == [12] * 3
    assert all(a.get_xlabel() and a.get_ylabel() and a.get_title() for a in (ax, *axes))


def test_the_first_steps_can_be_left_out_of_the_plot(small_learner):
    learn = small_learner()
    learn.fit(2, 1e-3)
    ax = plt.figure().add_subplot()
    learn.recorder.plot_loss(ax, skip_start=5)
    assert ax.lines[0].get_xdata().tolist() == [6, 7, 8]
    assert ax.lines[0].get_ydata().tolist() == learn.recorder.losses[5:]


def test_a_record_survives_a_trip_through_json(small_learner):
    learn = small_learner(metrics=[lambda logits, targets: 1.5])
    learn.fit(2, [1e-4, 1e-3, 1e-2])
    recorder = Recorder()
    recorder.set_state(json.loads(json.dumps(learn.recorder.state())))
    assert vars(recorder) == vars(learn.recorder)
    assert recorder.history[0]._fields == learn.recorder.history[0]._fields
    recorder.end_epoch(["epoch"], [2])
    assert len(learn.recorder.history) == 2, "the copy is one"
