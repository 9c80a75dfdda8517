"""The schedules: PyTorch's values at every step where it has them, exact ends, errors that help."""
import math
import re
from functools import partial

import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts, OneCycleLR

from transfer_lessons.schedules import (
    cosine,
    exponential,
    linear,
    one_cycle,
    one_cycle_momentum,
    plot_schedule,
    sgdr,
    sgdr_epochs,
)

LRS = st.floats(1e-6, 10)
PROGRESS = st.floats(0, 1)
quick = settings(deadline=None, max_examples=60)
close = partial(pytest.approx, rel=1e-6, abs=0)


def torch_values(make_scheduler, steps: int, lr: float = 1.0, **options) -> tuple[list, list]:
    """Learning rates and momenta that a PyTorch scheduler sets before each step."""
    opt = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    scheduler = make_scheduler(opt, **options)
    lrs = []
    momenta = []
    for step in range(steps):
        if step:
            opt.step()
            scheduler.step()
        lrs.append(opt.param_groups[0]["lr"])
        momenta.append(opt.param_groups[0]["momentum"])
    return lrs, momenta


def at_every_step(schedule, steps: int) -> list[float]:
    return [schedule(step / steps) for step in range(steps)]


@pytest.mark.parametrize("schedule", [linear, cosine, exponential])
@quick
@given(start=LRS, end=LRS, progress=PROGRESS)
def test_curves_stay_between_their_ends_and_meet_them(schedule, start, end, progress):
    assert schedule(0, start, end) == start
    assert schedule(1, start, end) == close(end)
    low, high = sorted((start, end))
    assert low * (1 - 1e-9) <= schedule(progress, start, end) <= high * (1 + 1e-9)


@quick
@given(start=LRS, end=LRS)
def test_linear_and_cosine_end_exactly_where_they_are_told(start, end):
    for schedule in (linear, cosine):
        assert schedule(0, start, end) == start and schedule(1, start, end) == end


@quick
@given(start=LRS, end=LRS, progress=PROGRESS)
def test_halfway_lies_the_mean_that_suits_the_shape(start, end, progress):
    assert linear(0.5, start, end) == close((start + end) / 2)
    assert cosine(0.5, start, end) == close((start + end) / 2)
    assert exponential(0.5, start, end) == close(math.sqrt(start * end))
    assert linear(progress, start, end) == close(linear(1 - progress, end, start))
    assert exponential(progress, start, end) == close(exponential(1 - progress, end, start))


@quick
@given(steps=st.integers(1, 200), lr=LRS, end=st.floats(0, 0.01))
def test_cosine_is_torchs_cosine_annealing_at_every_step(steps, lr, end):
    expected, _ = torch_values(CosineAnnealingLR, steps, lr, T_max=steps, eta_min=end)
    ours = at_every_step(partial(cosine, start=lr, end=end), steps)
    assert ours == pytest.approx(expected, rel=1e-6, abs=1e-9 * lr)  # torch adds up rounding errors


@quick
@given(steps=st.integers(2, 300), lr_max=LRS, pct_start=PROGRESS, div=st.floats(1, 100),
       end=st.floats(100, 1e6))
@example(steps=8, lr_max=1.0, pct_start=1.0, div=25.0, end=1e5)
@example(steps=10, lr_max=1.0, pct_start=0.99, div=25.0, end=1e5)
@example(steps=49, lr_max=1.0, pct_start=math.nextafter(1, 0), div=25.0, end=1e5)
def test_one_cycle_and_its_momentum_are_torchs_at_every_step(steps, lr_max, pct_start, div, end):
    if pct_start * steps <= 1:
        pct_start = 1.5 / steps
    expected, momenta = torch_values(OneCycleLR, steps, max_lr=lr_max, total_steps=steps,
                                    pct_start=pct_start, div_factor=div,
                                    final_div_factor=end / div)
    rates = at_every_step(partial(one_cycle, lr_max=lr_max, div=div, div_final=end,
                                  pct_start=pct_start, steps=steps), steps)
    assert rates == close(expected)
    assert at_every_step(partial(one_cycle_momentum, pct_start=pct_start, steps=steps),
                         steps) == close(momenta)


def test_the_defaults_are_torchs_for_every_number_of_steps_that_warms_up():
    options = dict(max_lr=3e-3, pct_start=0.25, final_div_factor=1e5 / 25)
    for steps in range(5, 150):
        expected, momenta = torch_values(OneCycleLR, steps, total_steps=steps, **options)
        assert at_every_step(partial(one_cycle, lr_max=3e-3, steps=steps), steps) == close(expected)
        assert at_every_step(partial(one_cycle_momentum, steps=steps), steps) == close(momenta)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_too_few_steps_to_warm_up_start_at_the_peak(steps):
    rates = at_every_step(partial(one_cycle, steps=steps), steps)
    momenta = at_every_step(partial(one_cycle_momentum, steps=steps), steps)
    assert rates[0] == 1 and momenta[0] == 0.85
    assert rates == sorted(rates, reverse=True) and momenta == sorted(momenta)
    if steps > 1:
        assert rates[-1] == close(1e-5) and momenta[-1] == close(0.95)


def test_torch_divides_by_zero_where_ours_starts_at_the_peak():
    with pytest.raises(ZeroDivisionError):
        torch_values(OneCycleLR, 4, max_lr=1.0, total_steps=4, pct_start=0.25)


@pytest.mark.parametrize("steps", [1, 2, 5, 100])
def test_past_the_last_step_the_rate_stays_where_it_ended(steps):
    last = (steps - 1) / steps
    for schedule in (one_cycle, one_cycle_momentum):
        assert schedule(1, steps=steps) == schedule(last, steps=steps)


@quick
@given(lr_max=LRS, pct_start=PROGRESS)
def test_without_steps_the_peak_stands_at_pct_start_and_the_end_at_one(lr_max, pct_start):
    rate = partial(one_cycle, lr_max=lr_max, pct_start=pct_start)
    assert rate(pct_start) == lr_max
    assert rate(0) == close(lr_max if pct_start == 0 else lr_max / 25)
    assert rate(1) == close(lr_max if pct_start == 1 else lr_max / 1e5)


@quick
@given(progress=PROGRESS, steps=st.none() | st.integers(1, 10**6), pct_start=PROGRESS)
def test_one_cycle_never_leaves_its_bounds(progress, steps, pct_start):
    options = dict(pct_start=pct_start, steps=steps)
    assert 1e-5 * (1 - 1e-9) <= one_cycle(progress, **options) <= 1
    assert 0.85 <= one_cycle_momentum(progress, **options) <= 0.95


@quick
@given(steps=st.integers(2, 10**6), data=st.data())
def test_progress_that_rounding_moved_still_means_its_step(steps, data):
    step = data.draw(st.integers(0, steps - 1))
    rates = [one_cycle(progress, steps=steps)
             for progress in (step / steps, math.nextafter(step / steps, 0), step / steps + 1e-16)]
    assert rates == close([rates[0]] * 3)


@quick
@given(first=st.integers(1, 20), n_cycles=st.integers(1, 4), cycle_mult=st.integers(1, 3), lr=LRS,
       lowest=st.floats(0, 1))
def test_sgdr_is_torchs_warm_restarts_at_every_step(first, n_cycles, cycle_mult, lr, lowest):
    lr_min = lowest * lr
    steps = sgdr_epochs(n_cycles, first, cycle_mult)
    expected, _ = torch_values(CosineAnnealingWarmRestarts, steps, lr, T_0=first, T_mult=cycle_mult,
                               eta_min=lr_min)
    ours = partial(sgdr, lr_max=lr, n_cycles=n_cycles, cycle_mult=cycle_mult, lr_min=lr_min)
    assert at_every_step(ours, steps) == pytest.approx(expected, rel=1e-6, abs=1e-9 * lr)


@quick
@given(first=st.integers(1, 50), n_cycles=st.integers(1, 12),
       cycle_mult=st.integers(1, 3) | st.sampled_from([1.1, 1.5, 2.0, 2.5]), lr=LRS)
def test_sgdr_is_at_the_top_at_every_restart_and_at_the_bottom_at_the_end(
        first, n_cycles, cycle_mult, lr):
    lengths = [first * cycle_mult**i for i in range(n_cycles)]
    ours = partial(sgdr, lr_max=lr, n_cycles=n_cycles, cycle_mult=cycle_mult, lr_min=lr / 7)
    for i in range(n_cycles):
        assert ours(sum(lengths[:i]) / sum(lengths)) == close(lr)
    assert ours(1) == lr / 7


def test_restarts_of_whole_cycles_are_exactly_at_the_top():
    for n_cycles in range(1, 8):
        assert [sgdr(i / n_cycles, n_cycles=n_cycles) for i in range(n_cycles)] == [1] * n_cycles


def test_a_learning_rate_jumps_up_only_at_a_restart():
    rates = at_every_step(partial(sgdr, n_cycles=3, cycle_mult=2), 700)
    assert [i for i in range(1, 700) if rates[i] > rates[i - 1]] == [100, 300]


@quick
@given(n_cycles=st.integers(1, 8), cycle_len=st.integers(1, 9), cycle_mult=st.integers(2, 4))
def test_epochs_follow_the_geometric_sum(n_cycles, cycle_len, cycle_mult):
    assert sgdr_epochs(n_cycles, cycle_len, cycle_mult) == \
        cycle_len * (cycle_mult**n_cycles - 1) // (cycle_mult - 1)
    assert sgdr_epochs(n_cycles, cycle_len) == n_cycles * cycle_len


def test_epochs_of_broken_multiples_count_when_they_come_out_whole():
    epochs = sgdr_epochs(3, 100, 1.1)
    assert epochs == 331 and type(epochs) is int
    assert sgdr_epochs(2, 2, 1.5) == 5


WRONG = {
    "progress is a step": (lambda: linear(5, 1, 0), "got 5", "progress=step / total_steps"),
    "progress is below 0": (lambda: cosine(-0.01, 1, 0), "got -0.01", "0 to 1"),
    "progress is nan": (lambda: one_cycle(math.nan), "got nan", "0 to 1"),
    "progress is past the end": (lambda: sgdr(1.001), "got 1.001", "progress=step / total_steps"),
    "exponential to 0": (lambda: exponential(0.5, 1, 0), "end must be", "end=0.01"),
    "exponential from below 0": (lambda: exponential(0.5, -1, 1), "got -1", "start=0.01"),
    "learning rate 0": (lambda: one_cycle(0.5, 0), "got 0", "lr_max=0.01"),
    "infinite learning rate": (lambda: one_cycle(0.5, math.inf), "got inf", "lr_max=0.01"),
    "restarts at learning rate 0": (lambda: sgdr(0.5, 0), "got 0", "lr_max=0.01"),
    "restarts end below 0": (lambda: sgdr(0.5, lr_min=-0.1), "got -0.1", "lr_min=0"),
    "restarts end above the top": (lambda: sgdr(0.5, 0.1, lr_min=1), "got 1", "lr_min=0"),
    "div 0": (lambda: one_cycle(0.5, div=0), "div must be", "div=0.01"),
    "div_final below 0": (lambda: one_cycle(0.5, div_final=-1), "div_final must be", "got -1"),
    "a percentage": (lambda: one_cycle(0.5, pct_start=25), "got 25", "pct_start=0.25"),
    "a negative warm-up": (lambda: one_cycle_momentum(0, pct_start=-0.1), "got -0.1", "pct_start"),
    "no steps": (lambda: one_cycle(0.5, steps=0), "steps must be", "at least 1"),
    "half a step": (lambda: one_cycle(0.5, steps=2.5), "got 2.5", "whole number"),
    "two momenta": (lambda: one_cycle_momentum(0.5, (0.9, 0.8)), "(0.9, 0.8)", "three numbers"),
    "one momentum": (lambda: one_cycle_momentum(0.5, 0.9), "got 0.9", "moms must be a list"),
    "momentum 1": (lambda: one_cycle_momentum(0.5, (1, 0.8, 1)), "(1, 0.8, 1)", "below 1"),
    "a momentum of text": (lambda: one_cycle_momentum(0.5, "abc"), "got 'abc'", "moms must be a list"),
    "no cycles": (lambda: sgdr(0.5, n_cycles=0), "n_cycles must be", "at least 1"),
    "a string of cycles": (lambda: sgdr_epochs("3"), "got '3'", "whole number"),
    "shrinking cycles": (lambda: sgdr(0.5, cycle_mult=0.5), "got 0.5", "cycle_mult=2"),
    "cycles of nan": (lambda: sgdr(0.5, cycle_mult=math.nan), "got nan", "at least 1"),
    "negative epochs": (lambda: sgdr_epochs(2, -1), "cycle_len must be", "got -1"),
    "broken epochs": (lambda: sgdr_epochs(3, 1, 1.5), "got 4.75", "cycle_mult=2"),
    "a plot of no points": (lambda: plot_schedule(one_cycle, steps=0), "steps must be", "got 0"),
}


@pytest.mark.parametrize("call, given_value, help_text", WRONG.values(), ids=WRONG)
def test_a_bad_argument_is_named_with_what_to_type_instead(call, given_value, help_text):
    with pytest.raises(ValueError, match=re.escape(given_value)) as error:
        call()
    assert help_text in str(error.value)
    assert plt.get_fignums() == []


def test_rounding_errors_in_progress_are_forgiven():
    assert linear(1 + 1e-12, 1, 0) == 0 and cosine(-1e-12, 1, 0) == 1
    assert sgdr(1 + 1e-12, n_cycles=3) == 0


def test_a_plot_shows_the_whole_schedule_on_the_axes_it_is_given():
    fig, ax = plt.subplots()
    assert plot_schedule(one_cycle, steps=40, ax=ax, label="one-cycle", title="A title") is None
    plot_schedule(sgdr, ax=ax, label="cosine")
    first, second = ax.lines
    assert len(first.get_xdata()) == 41 and len(second.get_xdata()) == 201
    assert list(first.get_ydata()) == [one_cycle(step / 40) for step in range(41)]
    assert "progress" in ax.get_xlabel() and ax.get_ylabel() == "learning rate"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one-cycle", "cosine"]
    plt.close(fig)


def test_a_plot_without_axes_makes_one_figure_and_no_legend():
    plot_schedule(partial(linear, start=1, end=0))
    assert len(plt.get_fignums()) == 1 and plt.gca().get_legend() is None
    plt.close("all")
