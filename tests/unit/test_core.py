"""The small tools: what they show, what they refuse, and what they put back."""
import io
import random
import re
import signal
import sys
import threading
import warnings
from collections import namedtuple
from pathlib import Path

import IPython.display
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from transfer_lessons import core
from transfer_lessons.core import (
    Progress,
    Table,
    default_device,
    defer_interrupts,
    describe_error,
    paired_comparison,
    preserve_training_mode,
    rng_states,
    warn_caller,
    wilson_interval,
)
from transfer_lessons.figures import plot_png, short_name, show_images

Row = namedtuple("Row", "file why_it_matters value")


# Tables and plots

@given(name=st.text())
@example(name="<script>alert('$x$')</script>")
def test_any_text_is_escaped_in_a_table(name):
    page = Table([Row("a.jpg", name, "td>")])._repr_html_()
    inside = re.search("<tr><td>a.jpg</td><td>(.*)</td><td>td&gt;</td></tr>", page, re.DOTALL)[1]
    assert "<" not in inside and ">" not in inside
    assert "tex2jax_ignore" in page, "or notebooks read $x$ as a formula"


def test_a_table_names_its_columns_and_rounds_fractions():
    table = Table([Row("a.jpg", "yes", 1 / 3), Row("long name.jpg", "no", 12)])
    assert table.cells() == [["file", "why it matters", "value"], ["a.jpg", "yes", "0.3333"],
                             ["long name.jpg", "no", "12"]]
    lines = repr(table).splitlines()
    assert len({line.index(word) for line, word in zip(lines, ("why", "yes", "no "), strict=True)}) == 1


def test_an_empty_table_says_so():
    assert "nothing to list" in repr(Table()) and "nothing to list" in Table()._repr_html_()


@settings(deadline=None, max_examples=25)
@given(names=st.lists(st.text(max_size=30), min_size=1, max_size=3))
@example(names=["$5_bill", "$", "<Delete>", "\\frac{$"])
@example(names=["日本 犬", " two  spaces ", "a&b", "line\nbreak", "\0"])
def test_any_class_name_can_be_drawn(names):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph|.*missing from")
        show_images([Image.new("RGB", (8, 8))] * len(names), names)
        figure = plt.gcf()
        figure.canvas.draw()
    plt.close(figure)


@pytest.mark.parametrize("n_images, shape", [(1, (1, 1)), (3, (1, 3)), (4, (1, 4)), (6, (2, 4))])
def test_the_grid_is_no_wider_than_the_images_need(n_images, shape):
    show_images([torch.rand(3, 5, 7)] * n_images, columns=4)
    grid = plt.gcf().axes[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == shape
    drawn = [ax for ax in plt.gcf().axes if ax.images]
    assert len(drawn) == n_images and drawn[0].images[0].get_array().shape == (5, 7, 3)


@pytest.mark.parametrize("name, shown", [("rose", "rose"), ("x" * 24, "x" * 24),
                                         ("x" * 25, "x" * 23 + "…"), ("broken \udcff", "broken ?")])
def test_a_name_is_short_and_can_be_encoded(name, shown):
    assert short_name(name) == shown
    assert shown.encode("utf-8")


def test_a_plot_becomes_a_png_that_pyplot_does_not_hold():
    png = plot_png(lambda ax: ax.plot([1, 2]), (3, 2))
    assert Image.open(io.BytesIO(png)).size == (300, 200) and not plt.get_fignums()


# Devices and warnings

def test_a_missing_accelerator_means_the_cpu_and_a_warning_at_the_callers_line(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    for name in ("cuda", "mps", torch.device("cuda:1")):
        with pytest.warns(UserWarning, match="There is no .*(cuda|mps).* here: running on the CPU") as told:
            assert default_device(name, quiet=True) == torch.device("cpu")
        assert len(told) == 1 and Path(told[0].filename) == Path(__file__)


@pytest.mark.case("arguments of the loaders", "a device that torch does not know: the nearest is offered")
@pytest.mark.parametrize("wrong, right", [("gpu", "cuda"), ("GPU", "cuda"), ("abacus", "cpu"), ("nvidia", "cuda"), (3, "cpu")])
def test_a_device_that_torch_does_not_know_is_named_with_the_nearest(wrong, right):
    with pytest.raises(ValueError, match=f"device must be .*Try device='{right}'"):
        default_device(wrong)


def test_a_number_beyond_the_devices_is_refused(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    assert default_device("cuda:0", quiet=True) == torch.device("cuda:0")
    with pytest.raises(ValueError, match="one of 1, counted from 0; got 'cuda:1'. Try device='cuda'"):
        default_device("cuda:1")


@pytest.mark.case("history", "rows with different columns stand in one table")
def test_rows_of_different_columns_stand_in_one_table():
    first, second = namedtuple("Epoch", "epoch error_rate seconds"), namedtuple("Epoch", "epoch f1 seconds")
    table = Table([first(0, 0.5, 1.0), second(1, 0.25, 2.0)])
    assert table.cells() == [["epoch", "error rate", "f1", "seconds"],
                             ["0", "0.5", "", "1"], ["1", "", "0.25", "2"]]
    assert "error rate" in table._repr_html_() and repr(table).count("\n") == 2


def test_the_accelerator_present_is_picked_and_named_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    assert default_device() == torch.device("cuda")
    assert re.fullmatch(r"Training on cuda \(Some GPU\), torch [\d.]+\.\n", capsys.readouterr().out)
    assert default_device("cpu") == torch.device("cpu")
    assert capsys.readouterr().out.startswith("Training on cpu (")
    assert default_device(quiet=True).type == "cuda" and not capsys.readouterr().out


def test_a_warning_stands_at_the_line_of_the_caller():
    with pytest.warns(UserWarning, match="look here") as told:
        warn_caller("look here")
    assert Path(told[0].filename) == Path(__file__)


# Intervals

@pytest.mark.parametrize("n_wrong, n, low, high", [  # statsmodels 0.14, proportion_confint(..., "wilson")
    (42, 163, 0.196651, 0.329845), (0, 20, 0.0, 0.161125), (20, 20, 0.838875, 1.0),
    (103, 1478, 0.057792, 0.083816), (1, 3, 0.061492, 0.79234), (0, 1, 0.0, 0.793451)])
def test_the_interval_is_statsmodels(n_wrong, n, low, high):
    assert wilson_interval(n_wrong, n) == pytest.approx((low, high), abs=1e-6)


@given(n=st.integers(1, 5000), data=st.data())
def test_the_interval_holds_the_rate_and_mirrors(n, data):
    n_wrong = data.draw(st.integers(0, n))
    low, high = wilson_interval(n_wrong, n)
    assert 0 <= low <= n_wrong / n + 1e-12 and n_wrong / n - 1e-12 <= high <= 1 and low < high
    assert wilson_interval(n - n_wrong, n) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("n_wrong, n", [(1, 0), (-1, 5), (6, 5), (1.5, 5), (0, None)])
def test_counts_that_cannot_be_are_refused(n_wrong, n):
    with pytest.raises(ValueError, match="must be"):
        wilson_interval(n_wrong, n)


@pytest.mark.parametrize("n_wrong, n, said", [
    (42, 163, "26 % (42 of 163; 95 % interval 20 to 33 %)"),
    (0, 20, "0 % (0 of 20; 95 % interval 0 to 16 %)"),
    (103, 1478, "7.0 % (103 of 1478; 95 % interval 5.8 to 8.4 %)")])
def test_an_error_rate_is_said_with_counts_and_interval(n_wrong, n, said):
    assert describe_error(n_wrong, n) == said


@pytest.mark.parametrize("a_only, b_only, p_value", [  # scipy 1.16, binomtest; statsmodels, mcnemar
    (20, 7, 0.01915729), (7, 20, 0.01915729), (0, 0, 1.0), (0, 1, 1.0), (0, 6, 0.03125),
    (3, 4, 1.0), (5, 5, 1.0), (300, 250, 0.03657875), (1500, 900, 2.9e-34)])
def test_the_comparison_is_mcnemars_exact_test(a_only, b_only, p_value):
    correct_a = torch.tensor([True] * a_only + [False] * b_only + [True, False] * 9)
    correct_b = torch.tensor([False] * a_only + [True] * b_only + [True, False] * 9)
    compared = paired_comparison(correct_a, correct_b)
    assert compared[:2] == (a_only, b_only)
    assert compared.p_value == pytest.approx(p_value, rel=1e-5 if p_value > 1e-9 else 0.1)


def test_a_comparison_wants_the_same_images():
    with pytest.raises(ValueError, match="correct_a has 3 entries, correct_b 2"):
        paired_comparison([True] * 3, [True] * 2)


# Interrupts, modes, random states

def test_deferred_interrupts_come_after_the_block_and_nest():
    done = []
    with pytest.raises(KeyboardInterrupt), defer_interrupts():
        with defer_interrupts():
            signal.raise_signal(signal.SIGINT)
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]


def test_an_error_inside_a_deferring_block_restores_the_handler():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), defer_interrupts():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_have_no_interrupts_to_defer():
    done = []
    def work():
        with defer_interrupts():
            done.append(True)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_every_layer_gets_its_own_mode_back(error):
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()))
    model[1][0].eval()
    modes = [module.training for module in model.modules()]
    for change in (model.eval, model.train):
        with pytest.raises(error), preserve_training_mode(model):
            change()
            raise error
        assert [module.training for module in model.modules()] == modes


def test_every_generator_goes_back_to_its_state():
    mine = torch.Generator().manual_seed(1)
    def numbers():
        return (random.random(), np.random.rand(), torch.rand(2).tolist(),  # noqa: NPY002
                torch.rand(2, generator=mine).tolist())
    states = rng_states([torch.default_generator, mine])
    first, second = numbers(), numbers()
    for set_state, state in states:
        set_state(state)
    assert numbers() == first != second == numbers()


# Progress

Epoch = namedtuple("Epoch", "epoch train_loss")


def run_two_epochs(progress: Progress) -> None:
    for epoch in range(2):
        progress.start(epoch, 4)
        for _ in range(4):
            progress.step()
        progress.row(Epoch(epoch, 0.5))
    progress.show()


@pytest.fixture
def slow_clock(monkeypatch):
    """A second passes between any two looks at the clock."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(core.time, "monotonic", lambda: next(ticks))


@pytest.fixture
def pages(monkeypatch):
    """What a notebook shows, one after the other in the same output."""
    shown = []
    class Output:
        def update(self, page, raw):
            shown.append(page)
    def display(page, raw, display_id):
        assert not shown, "one output only"
        shown.append(page)
        return Output()
    monkeypatch.setattr(IPython, "get_ipython", lambda: type("Shell", (), {"kernel": 1}))
    monkeypatch.setattr(IPython.display, "display", display)
    return shown


def test_in_a_notebook_only_the_table_stays(pages, slow_clock):
    progress = Progress(2)
    run_two_epochs(progress)
    assert any("epoch 2 of 2" in page["text/html"] and "3/4" in page["text/html"] for page in pages)
    assert pages[-1] == {"text/html": progress.rows._repr_html_(), "text/plain": repr(progress.rows)}


def test_without_rows_nothing_stays(pages, slow_clock):
    progress = Progress()
    progress.start(0, 4)
    progress.step()
    assert "1/4" in pages[-1]["text/html"]
    progress.show()
    assert pages[-1] == {"text/html": "", "text/plain": ""}


def test_a_run_too_short_for_a_bar_shows_nothing(pages):
    progress = Progress()
    progress.start(0, 1)
    progress.step()
    progress.show()
    assert not pages


def test_in_a_terminal_only_the_table_stays(monkeypatch, slow_clock):
    class Terminal(io.StringIO):
        def isatty(self):
            return True
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    run_two_epochs(Progress(2))
    shown = screen.getvalue()
    assert "epoch 2 of 2" in shown and "3/4" in shown
    stays = [line.rpartition("\r")[2] for line in shown.split("\n")]
    overwritten = [line.rsplit("\r", 2)[-2] for line in shown.split("\n") if "\r" in line]
    assert not any(part.strip() for part in overwritten), "the last thing drawn over is blank"
    assert [line.split()[0] for line in stays if line] == ["epoch", "0", "1"]


def test_into_a_file_goes_the_table_alone(capsys, slow_clock):
    run_two_epochs(Progress(2))
    shown = capsys.readouterr().out
    assert "\r" not in shown and [line.split()[0] for line in shown.splitlines()] == ["epoch", "0", "1"]
