"""The explorers without a browser: what they compute, what they show, what they leave behind."""
import asyncio
import io
import json
import math
import os
import subprocess
import sys
import time
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from transfer_lessons.data import augment_batch
from transfer_lessons.explorers import (
    AugmentExplorer,
    ConfusionExplorer,
    CrossEntropyExplorer,
    Explorer,
    FreezeExplorer,
    OneCycleExplorer,
    augmented_views,
    confusion_cell,
    cross_entropy_parts,
    cycle_curves,
    measure_steps,
)
from transfer_lessons.freezing import group_parameters
from transfer_lessons.interpretation import ClassificationInterpretation
from transfer_lessons.live import LossCurves
from transfer_lessons.scrubber import LRScrubber, classify_lrs, scrubber_data
from transfer_lessons.sweep import sweep_lrs

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))
LRS = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]


@pytest.fixture
def sweep(small_learner):
    """Five real runs of a small head."""
    learn = small_learner()
    learn.freeze()
    return sweep_lrs(learn, LRS, 2, suggest_funcs=())


@pytest.fixture
def explorers(small_learner):
    """One of each that asks Python."""
    learn = small_learner()
    return [OneCycleExplorer(), CrossEntropyExplorer(), FreezeExplorer(learn),
            AugmentExplorer(learn.dls), LossCurves(learn),
            ConfusionExplorer(ClassificationInterpretation.from_learner(learn))]


def picture(data: bytes) -> np.ndarray:
    """A PNG file's pixels; raises where it is none."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


# What is judged, and how

def verdicts(start, final, **options):
    return [truth for truth, _ in classify_lrs(LRS[:len(final)], start, final, **options)]


def test_a_rate_is_good_that_gets_nine_tenths_of_the_best_gain():
    assert verdicts(2.0, [1.9, 1.09, 1.0, 1.09, 1.2]) == [
        "too low", "good", "good", "good", "too high"]
    assert verdicts(2.0, [1.9, 1.11, 1.0, 1.11, 1.2]) == [
        "too low", "too low", "good", "too high", "too high"]
    assert verdicts(2.0, [1.9, 1.11, 1.0, 1.4], share=0.5) == ["too low", "good", "good", "good"]


def test_a_rate_that_leaves_no_number_is_too_high():
    assert verdicts(2.0, [1.0, 1.8, math.nan, math.inf]) == ["good", *["too high"] * 3]
    assert verdicts(2.0, [math.nan, 1.0]) == ["too high", "good"]


def test_no_rate_is_good_where_none_helps():
    assert verdicts(2.0, [2.5, 2.2, 9.0]) == ["too high"] * 3
    assert verdicts(2.0, [math.nan, math.nan]) == ["too high", "too high"]


def test_shares_are_of_the_best_gain():
    shares = [share for _, share in classify_lrs(LRS[:3], 2.0, [1.5, 1.0, 3.0])]
    assert shares == [0.5, 1.0, -1.0]
    assert [share for _, share in classify_lrs(LRS[:2], 2.0, [math.nan, 3.0])] == [-math.inf, -1.0]


# The scrubber

def test_the_scrubber_holds_the_real_runs(sweep):
    data = scrubber_data(sweep)
    np.testing.assert_allclose(data["losses"], sweep.losses, rtol=1e-4)
    np.testing.assert_allclose(data["valid_losses"], sweep.valid_losses, rtol=1e-4)
    np.testing.assert_allclose(data["error_rates"], sweep.error_rates, rtol=1e-4, atol=1e-6)
    assert data["names"] == ["1e-4", "1e-3", "1e-2", "1e-1", "1e0"]
    assert data["start"] == int(sweep.valid_loss.argmin())
    assert scrubber_data(sweep, start=2e-2)["start"] == 2
    expected = classify_lrs(LRS, sweep.losses[:, 0].median().item(), sweep.valid_loss.tolist())
    assert [truth for truth, _ in data["verdicts"]] == [truth for truth, _ in expected]


def test_curves_that_are_no_number_any_more_are_json_all_the_same(sweep):
    sweep.losses[-1, 3:], sweep.valid_losses[-1] = math.nan, math.inf
    data = json.loads(json.dumps(scrubber_data(sweep), allow_nan=False))
    assert data["losses"][-1][3:] == [None] * (sweep.losses.shape[1] - 3)
    assert data["verdicts"][-1][0] == "too high"
    assert "no number" in data["verdicts"][-1][1]
    assert picture(LRScrubber(sweep).png).std() > 0


class Tags(HTMLParser):
    """The tags of a page and their attributes."""
    def __init__(self, page: str):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_nothing_in_the_data_breaks_out_of_the_page(sweep):
    sweep.suggestions = {'"></div></script><script>alert(1)</script><img src=x>': 1e-3}
    scrubber = LRScrubber(sweep)
    page = scrubber._repr_html_()
    tags = Tags(page).found
    assert [tag for tag, _ in tags] == ["div", "img", "script"]
    assert json.loads(tags[0][1]["data-run"]) == scrubber.data
    assert page.count("</script>") == 1
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_the_scrubber_has_a_picture_for_pages_without_scripts(sweep):
    data, about = LRScrubber(sweep)._repr_mimebundle_()
    tags = dict(Tags(data["text/html"]).found)
    assert tags["img"]["src"] == "data:image/png;base64," + data["image/png"]
    assert "learning rates" in tags["img"]["alt"] == about["image/png"]["alt"]
    assert "input" not in tags, "a slider that is dead until the script makes it"
    assert picture(LRScrubber(sweep).png).shape == (340, 720)


def test_train_here_adds_a_run(sweep):
    scrubber = LRScrubber(sweep)
    scrubber.rate.value = 0.03
    scrubber.train_here()
    assert scrubber.data["names"][3] == "3e-2" and scrubber.data["start"] == 3
    np.testing.assert_allclose(scrubber.data["losses"][3], sweep.train(0.03).losses[3], rtol=1e-4)
    assert len(sweep.lrs) == 5


# What the explorers compute

def test_cross_entropy_parts_are_what_torch_says():
    logits = torch.tensor([2.0, -1.0, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(2))
    loss.backward()
    probabilities, value, gradient = cross_entropy_parts(logits.tolist(), 2)
    np.testing.assert_allclose(probabilities, logits.softmax(0).detach())
    np.testing.assert_allclose(gradient, logits.grad)
    np.testing.assert_allclose(gradient, probabilities - np.eye(4)[2])
    assert value == pytest.approx(loss.item())


def test_cycle_curves_are_the_schedules():
    done, rates, momentum = cycle_curves("one cycle", 0.1, pct_start=0.5, div=10, div_final=100,
                                         moms=(0.8, 0.9))
    assert (done[0], done[-1]) == (0, 1)
    np.testing.assert_allclose(rates[[0, 120, 240]], [0.01, 0.1, 0.001])
    np.testing.assert_allclose(momentum[[0, 120, 240]], [0.9, 0.8, 0.9])
    _, rates, momentum = cycle_curves("SGDR", 0.1, n_cycles=3, cycle_mult=2)
    assert (np.diff(rates) > 0.05).sum() == 2, "two restarts"
    assert set(momentum) == {0.95}


def test_measuring_the_freeze_boundary_leaves_no_trace(small_learner, state_of, assert_same):
    learn = small_learner(augment=True)
    learn.freeze_to(1)
    before, trains = state_of(learn), [p.requires_grad for p in learn.model.parameters()]
    seconds = measure_steps(learn)
    assert_same(before, state_of(learn))
    assert trains == [p.requires_grad for p in learn.model.parameters()]
    assert not learn.recorder.losses
    assert all(p.grad is None for p in learn.model.parameters())
    assert len(seconds) == 3 and all(0 < each < 5 for each in seconds)


def test_the_freeze_explorer_says_what_trains_and_how_fast(small_learner):
    learn = small_learner()
    explorer = FreezeExplorer(learn, slice(1e-4, 1e-2))
    sizes = [sum(p.numel() for p in group) for group in group_parameters(learn.model)]
    assert explorer.rates == pytest.approx([1e-4, 1e-3, 1e-2])
    for n in range(3):
        explorer.controls["n"].value = n
        assert f"freeze_to({n}): {sum(sizes[n:]):,} of {sum(sizes):,}" in explorer.says
        texts = [text.get_text() for text in explorer.figure.axes[0].texts]
        assert texts[:3] == [f"{size:,}" for size in sizes]
        assert texts[3:] == ["frozen"] * n + ["rate 1e-4", "rate 1e-3", "rate 1e-2"][n:]


def test_the_freeze_explorer_of_a_precomputed_learner_shows_the_original_and_leaves_it(small_learner):
    original = small_learner()
    original.freeze()
    trains = [p.requires_grad for p in original.model.parameters()]
    learn = original.precompute()
    explorer = FreezeExplorer(learn)
    assert explorer.sizes == FreezeExplorer(original).sizes and len(explorer.times) == 3
    assert trains == [p.requires_grad for p in original.model.parameters()]
    learn.fit(1, 1e-3)


def test_augmented_views_are_those_of_augment_batch():
    x = torch.randint(0, 255, (3, 20, 20), dtype=torch.uint8)
    views = augmented_views(x, 4, seed=3, rotate=30, size=16)
    batch = x.float().div(255).expand(4, -1, -1, -1)
    expected = augment_batch(batch, torch.Generator().manual_seed(3), rotate=30, size=16)
    torch.testing.assert_close(views, expected)
    assert views.shape == (4, 3, 16, 16)
    assert not torch.equal(views, augmented_views(x, 4, seed=4, rotate=30, size=16))


def test_a_cell_of_the_confusion_matrix_holds_its_pictures():
    targets, predicted = torch.randint(0, 3, (2, 50), generator=torch.Generator().manual_seed(0))
    losses = torch.rand(50)
    for cell in [(i, j) for i in range(3) for j in range(3)]:
        numbers = [n for n in range(50) if (targets[n], predicted[n]) == cell]
        found = confusion_cell(targets, predicted, losses, cell)
        assert sorted(found) == numbers
        assert losses[found].tolist() == sorted(losses[found].tolist(), reverse=True)


# What they show

def test_every_explorer_comes_with_a_picture_and_words(explorers):
    for explorer in explorers:
        data, about = explorer._repr_mimebundle_()
        view = data["application/vnd.jupyter.widget-view+json"]
        assert view["model_id"] == explorer.box.model_id
        assert picture(explorer.image.value).std() > 5
        assert data["image/png"].startswith("iVBOR")
        assert about["image/png"]["alt"] == data["text/plain"] == explorer.says
        assert len(explorer.says) > 15 and "object at" not in explorer.says
        assert all(control.description for control in explorer.controls.values())
        assert explorer.says in explorer.words.value


def test_every_control_changes_what_is_shown(explorers):
    for explorer in explorers:
        for name, control in explorer.controls.items():
            if name in ("n_cycles", "cycle_mult"):
                explorer.controls["kind"].value = "SGDR"
            before, old = (bytes(explorer.image.value), explorer.says), control.value
            options = [value for _, value in getattr(control, "_options_full", ())] or (
                [not old] if isinstance(old, bool) else
                [(0.6, 0.7)] if isinstance(old, tuple) else [control.min, control.max])
            logarithmic = isinstance(control, ipywidgets.FloatLogSlider)
            control.value = next(10**value if logarithmic else value for value in options
                                 if value != old)
            assert (bytes(explorer.image.value), explorer.says) != before, (explorer, name)
            control.value = old
            assert (bytes(explorer.image.value), explorer.says) == before, "drawn over the last"
    assert plt.get_fignums() == []


def test_drawing_piles_nothing_up(explorers):
    def held(explorer):
        return [(len(place.get_children()), len(getattr(place, "containers", ())))
                for place in (explorer.figure, *explorer.figure.axes)]
    class Bars(Explorer):  # one of a learner's own, which adds bars at every drawing
        def frame(self, figure):
            figure.add_subplot()

        def draw(self, figure):
            figure.axes[0].bar([0, 1], [1, 2])
            return "bars"
    for explorer in [*explorers, Bars()]:
        explorer.redraw()
        before = held(explorer)
        for _ in range(3):
            explorer.redraw()
        assert held(explorer) == before


def test_the_frame_is_drawn_once():
    calls = []

    class Framed(Explorer):
        def frame(self, figure):
            calls.append("frame")
            figure.add_subplot().plot([0, 1], color="black")

        def draw(self, figure, number):
            figure.axes[0].plot([1, 0], lw=number, color="red")
            if number == 13:
                raise RuntimeError("half drawn")
            return f"number {number}"
    explorer = Framed(number=ipywidgets.IntSlider(value=1, max=50))
    thin = picture(explorer.image.value)
    explorer.controls["number"].value = 50
    thick = picture(explorer.image.value)
    with pytest.raises(RuntimeError, match="half drawn"):
        explorer.controls["number"].value = 13
    explorer.controls["number"].value = 1
    assert calls == ["frame"]
    assert len(explorer.figure.axes[0].lines) == 2
    assert (thick != thin).sum() > 1000
    assert (picture(explorer.image.value) == thin).all()


def test_names_are_escaped_and_values_are_numbers(small_learner):
    learn = small_learner()
    learn.dls.vocab[:] = ["$x$ <b>", "</script>", "\\udce4" * 30]
    interp = ClassificationInterpretation.from_learner(learn)
    for explorer in (ConfusionExplorer(interp), AugmentExplorer(learn.dls),
                     CrossEntropyExplorer([1, 2, 3], 1, learn.dls.vocab)):
        assert picture(explorer.image.value).std() > 0
        texts = [widget.value for widget in everything(explorer.box)
                 if isinstance(widget, ipywidgets.HTML)]
        assert not any("<b>" in text or "</script>" in text for text in texts)
        for control in explorer.controls.values():
            assert not isinstance(control.value, str)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_no_lesson_stores_a_dead_widget(lesson):
    text = lesson.read_text(encoding="utf-8")
    assert '"application/vnd.jupyter.widget-view+json": {' not in text, "run `make lessons`"
    assert "jupyter.widget-state" not in text


def everything(widget):
    return [widget, *(part for child in getattr(widget, "children", ())
                      for part in everything(child))]


def test_clicking_a_cell_shows_its_pictures(small_learner):
    learn = small_learner()
    interp = ClassificationInterpretation.from_learner(learn)
    explorer, counts = ConfusionExplorer(interp), interp.confusion_matrix()
    buttons = [w for w in everything(explorer.box) if isinstance(w, ipywidgets.Button)]
    assert [button.description for button in buttons] == [str(n or "") for n in counts.flat]
    assert [button.disabled for button in buttons] == [n == 0 for n in counts.flat]
    for i, button in enumerate(buttons):
        button.click()
        row, column = divmod(i, 3)
        assert explorer.controls["actual"].value == row
        assert explorer.controls["predicted"].value == column
        assert f": {counts[row, column]} of" in explorer.says


def test_too_many_classes_for_buttons_leave_the_menus(small_learner):
    learn = small_learner()
    logits, targets = torch.eye(16)[torch.arange(12)], torch.arange(12)
    interp = ClassificationInterpretation(logits, targets, learn.dls.valid.dataset,
                                          [f"kind {i}" for i in range(16)])
    explorer = ConfusionExplorer(interp)
    assert not [w for w in everything(explorer.box) if isinstance(w, ipywidgets.Button)]


def test_explorers_say_what_they_lack():
    with pytest.raises(NotImplementedError, match="Explorer has no draw"):
        Explorer()
    with pytest.raises(ValueError, match="2 logits, 3 class names and target 0"):
        CrossEntropyExplorer([1.0, 2.0], vocab=["a", "b", "c"])
    with pytest.raises(ValueError, match="target 5"):
        CrossEntropyExplorer([1.0, 2.0], target=5)


# What they do with many events

class Counting(Explorer):
    """Counts how often it draws, and what."""
    def draw(self, figure, number):
        self.drawn = [*getattr(self, "drawn", []), number]
        return f"number {number}"


def after(moves):
    """An explorer whose slider was moved while an event loop ran."""
    explorer = Counting(number=ipywidgets.IntSlider(max=500))

    async def run():
        await moves(explorer.controls["number"])
        await asyncio.sleep(0.3)
    asyncio.run(run())
    return explorer


def test_a_burst_of_events_is_drawn_once_with_the_last_value():
    async def burst(slider):
        for number in range(1, 201):
            slider.value = number
    explorer = after(burst)
    assert explorer.drawn == [0, 200]
    assert explorer.says == "number 200"


def test_a_long_drag_is_drawn_as_often_as_there_is_time():
    async def drag(slider):  # goes where the hand is by now, and the hand does not wait
        began = time.monotonic()
        while slider.value < 200:
            slider.value = min(200, int(500 * (time.monotonic() - began)))
            await asyncio.sleep(0.001)
    explorer = after(drag)
    assert 3 < len(explorer.drawn) < 150
    assert explorer.drawn[-1] == 200


def test_showing_an_explorer_does_not_wait_for_the_drawing():
    explorer = Counting(number=ipywidgets.IntSlider(max=500))

    async def show():
        explorer.controls["number"].value = 7
        return explorer._repr_mimebundle_()[0]["text/plain"]
    assert asyncio.run(show()) == "number 7"


# Loss curves while a training runs

def test_loss_curves_follow_a_training(small_learner):
    learn = small_learner()
    usual = learn.progress_type
    with LossCurves(learn) as curves:
        learn.fit(2)
    assert learn.progress_type is usual
    row = learn.recorder.history[-1]
    assert f"valid loss {row.valid_loss:.4g}" in curves.says
    assert picture(curves.image.value).std() > 5
    assert plt.get_fignums() == []


def test_the_stop_button_stops_at_the_next_batch_and_loses_nothing(small_learner, capsys):
    learn = small_learner()
    curves = LossCurves(learn)

    def click(steps):
        if len(learn.recorder.losses) == 5:
            curves.button.click()
    with curves:
        curves.poll = click
        learn.fit(3)
    assert len(learn.recorder.losses) == 5
    assert "Weights and history are kept" in capsys.readouterr().out
    alone = small_learner()
    alone.fit(3)
    assert learn.recorder.losses == alone.recorder.losses[:5]
    assert all(p.grad is None for p in learn.model.parameters())
    assert curves.button.disabled
    with LossCurves(learn):
        learn.fit(1)
    assert len(learn.recorder.history) == 1 + (5 >= len(learn.dls.train))


def test_loss_curves_keep_no_error_for_themselves(small_learner):
    learn = small_learner()
    with pytest.raises(ZeroDivisionError), LossCurves(learn):
        1 / 0  # noqa: B018
    with pytest.raises(KeyboardInterrupt), LossCurves(learn):
        raise KeyboardInterrupt  # by the user, not by the button
    learn.fit(1)


# Reruns, memory, and both versions of ipywidgets

SCRIPT = """
import asyncio, io, sys, time, resource
import ipywidgets, matplotlib.pyplot as plt, numpy as np, torch
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image
assert ipywidgets.__version__.startswith(sys.argv[1]), ipywidgets.__version__
shell = InteractiveShell.instance()
shell.run_cell('''
import torch
from torch import nn
from transfer_lessons.all import *
pictures, kinds = draw_icons(24)
few = [i for kind in ("animal", "building") for i in [i for i, k in enumerate(kinds) if k == kind][:12]]
dls = ImageDataLoaders.from_files([pictures[i] for i in few], [kinds[i] for i in few],
                                  is_valid=[i % 4 == 0 for i in range(24)], size=16, bs=8, augment=False,
                                  device="cpu")
body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU())
model = nn.Sequential(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
learn = Learner(dls, model)
''').raise_error()
registry = getattr(ipywidgets.widgets.widget, "_instances", None)
if registry is None:
    registry = ipywidgets.Widget.widgets
cells = {"OneCycleExplorer": "e = OneCycleExplorer(); OneCycleExplorer(1e-3)",
         "CrossEntropyExplorer": "e = CrossEntropyExplorer()",
         "FreezeExplorer": "e = FreezeExplorer(learn)", "AugmentExplorer": "e = AugmentExplorer(dls)",
         "ConfusionExplorer":
         "e = ConfusionExplorer(ClassificationInterpretation.from_learner(learn))",
         "LossCurves": "e = LossCurves(learn)\\nwith e:\\n    learn.fit(1)",
         "LRScrubber": "learn.freeze(); s = LRScrubber(sweep_lrs(learn, [1e-3, 1e-2], 1, "
                       "suggest_funcs=()))"}
for name, cell in cells.items():
    counts = []
    for _ in range(3):
        shell.run_cell(cell, store_history=True).raise_error()
        counts.append(len(registry))
    assert len(set(counts)) == 1, (name, counts)
    explorer = shell.user_ns["e"]
    assert Image.open(io.BytesIO(explorer.image.value)).size[0] == 720
    assert explorer.box.comm is not None
before = len(registry)
shell.run_cell("OneCycleExplorer()", store_history=True)
shell.run_cell("OneCycleExplorer() # elsewhere", store_history=True)
one = len(registry) - before
shell.run_cell("OneCycleExplorer() # a third cell", store_history=True)
assert one > 0 and len(registry) - before == 3 * one // 2, "cells do not close each other's"
explorer = shell.user_ns["e"] = None
shell.run_cell("e = OneCycleExplorer(3e-3)", store_history=True)
explorer, times = shell.user_ns["e"], []
slider = explorer.controls["pct_start"]
for event in range(60):
    began = time.perf_counter()
    slider.value = event % 20 / 20
    times.append(time.perf_counter() - began)

def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def drag():
    for event in range(1000):
        slider.value = event % 20 / 20
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.2)
start = memory()
asyncio.run(drag())
grown = memory() - start
assert plt.get_fignums() == []
print(f"{np.percentile(times, 95) * 1000:.0f} ms at p95, {grown:.1f} MB grown")
assert grown < 5
assert np.percentile(times, 95) < 0.3, "three times what `make bench` holds"
"""


@pytest.mark.parametrize("version", ["7.7.1", "8."])
def test_no_widget_piles_up_in_either_ipywidgets(version, tmp_path):
    folder = ROOT / ".venv" / "ipywidgets7"
    if version == "7.7.1" and not (folder / "ipywidgets").exists():
        pytest.skip("`make test` installs ipywidgets 7.7.1 beside the other one")
    path = [str(folder)] * (version == "7.7.1") + [str(ROOT)]
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT, version], cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(path),
                               "MPLBACKEND": "Agg"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MB grown" in done.stdout


@pytest.mark.parametrize("lr", [0, -1e-3, math.nan, "1e-3"])
def test_a_rate_that_is_no_positive_number_is_refused_before_anything_is_drawn(lr, sweep):
    for make in (OneCycleExplorer, partial(LRScrubber, sweep)):
        with pytest.raises(ValueError, match="positive number"):
            make(lr)
