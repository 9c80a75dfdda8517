"""The explorers without a browser: what they compute, what they show, what they leave behind."""
import asyncio
import io
import math
import time
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

import transfer_lessons.precompute  # noqa: F401  adds learn.precompute
from transfer_lessons.data import augment_batch
from transfer_lessons.explorers import Explorer
from transfer_lessons.freezing import group_parameters
from transfer_lessons.image_explorers import (
    AugmentExplorer,
    ConfusionExplorer,
    augmented_views,
    confusion_cell,
)
from transfer_lessons.interpretation import ClassificationInterpretation
from transfer_lessons.live import LossCurves
from transfer_lessons.plot_explorers import (
    CrossEntropyExplorer,
    FreezeExplorer,
    OneCycleExplorer,
    cross_entropy_parts,
    cycle_curves,
    measure_steps,
)
from transfer_lessons.threshold_explorer import ThresholdExplorer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def explorers(small_learner):
    """One of each that asks Python."""
    learn = small_learner()
    return [OneCycleExplorer(), CrossEntropyExplorer(), FreezeExplorer(learn),
            AugmentExplorer(learn.dls), LossCurves(learn),
            ThresholdExplorer([0.9, 0.4, 0.7], [True, False, True], [0.6]),
            ConfusionExplorer(ClassificationInterpretation.from_learner(learn))]


def pixels(data: bytes) -> np.ndarray:
    """A PNG file's pixels; raises where it is not one."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


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
    assert explorer.lrs == pytest.approx([1e-4, 1e-3, 1e-2])
    for n in range(3):
        explorer.controls["n"].value = n
        assert f"freeze_to({n}): {sum(sizes[n:]):,} of {sum(sizes):,}" in explorer.sentence
        texts = [text.get_text() for text in explorer.figure.axes[0].texts]
        assert texts[:3] == [f"{size:,}" for size in sizes]
        assert texts[3:] == ["frozen"] * n + ["lr 1e-4", "lr 1e-3", "lr 1e-2"][n:]


def test_the_freeze_explorer_of_a_precomputed_learner_shows_the_original_and_leaves_it(small_learner):
    original = small_learner()
    original.freeze()
    trains = [p.requires_grad for p in original.model.parameters()]
    learn = original.precompute()
    explorer = FreezeExplorer(learn)
    assert explorer.sizes == FreezeExplorer(original).sizes and len(explorer.milliseconds) == 3
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


def test_a_cell_of_the_confusion_matrix_holds_its_images():
    targets, predicted = torch.randint(0, 3, (2, 50), generator=torch.Generator().manual_seed(0))
    losses = torch.rand(50)
    for cell in [(i, j) for i in range(3) for j in range(3)]:
        numbers = [n for n in range(50) if (targets[n], predicted[n]) == cell]
        found = confusion_cell(targets, predicted, losses, cell)
        assert sorted(found) == numbers
        assert losses[found].tolist() == sorted(losses[found].tolist(), reverse=True)


# What they show

def test_every_explorer_comes_with_an_image_and_a_sentence(explorers):
    for explorer in explorers:
        data, about = explorer._repr_mimebundle_()
        view = data["application/vnd.jupyter.widget-view+json"]
        assert view["model_id"] == explorer.box.model_id
        assert pixels(explorer.image.value).std() > 5
        assert data["image/png"].startswith("iVBOR")
        assert about["image/png"]["alt"] == data["text/plain"] == explorer.sentence
        assert len(explorer.sentence) > 15 and "object at" not in explorer.sentence
        assert all(control.description for control in explorer.controls.values())
        assert explorer.sentence in explorer.description.value


def test_every_control_changes_what_is_shown(explorers):
    for explorer in explorers:
        if isinstance(explorer, LossCurves):
            continue  # its control changes the next step
        for name, control in explorer.controls.items():
            if name in ("n_cycles", "cycle_mult"):
                explorer.controls["schedule"].value = "SGDR"
            before, old = (bytes(explorer.image.value), explorer.sentence), control.value
            options = [value for _, value in getattr(control, "_options_full", ())] or (
                [not old] if isinstance(old, bool) else
                [(0.6, 0.7)] if isinstance(old, tuple) else [control.min, control.max])
            logarithmic = isinstance(control, ipywidgets.FloatLogSlider)
            control.value = next(10**value if logarithmic else value for value in options
                                 if value != old)
            assert (bytes(explorer.image.value), explorer.sentence) != before, (explorer, name)
            control.value = old
            assert (bytes(explorer.image.value), explorer.sentence) == before, "drawn over the last"
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
    thin = pixels(explorer.image.value)
    explorer.controls["number"].value = 50
    thick = pixels(explorer.image.value)
    with pytest.raises(RuntimeError, match="half drawn"):
        explorer.controls["number"].value = 13
    explorer.controls["number"].value = 1
    assert calls == ["frame"]
    assert len(explorer.figure.axes[0].lines) == 2
    assert (thick != thin).sum() > 1000
    assert (pixels(explorer.image.value) == thin).all()


def test_names_are_escaped_and_values_are_numbers(small_learner):
    learn = small_learner()
    learn.dls.vocab[:] = ["$x$ <b>", "</script>", "\\udce4" * 30]
    interp = ClassificationInterpretation.from_learner(learn)
    for explorer in (ConfusionExplorer(interp), AugmentExplorer(learn.dls),
                     CrossEntropyExplorer([1, 2, 3], 1, learn.dls.vocab)):
        assert pixels(explorer.image.value).std() > 0
        texts = [widget.value for widget in everything(explorer.box)
                 if isinstance(widget, ipywidgets.HTML)]
        assert not any("<b>" in text or "</script>" in text for text in texts)
        for control in explorer.controls.values():
            assert not isinstance(control.value, str)


def everything(widget):
    return [widget, *(part for child in getattr(widget, "children", ())
                      for part in everything(child))]


def test_clicking_a_cell_shows_its_images(small_learner):
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
        assert f": {counts[row, column]} of" in explorer.sentence


def test_too_many_classes_for_buttons_leave_the_menus(small_learner):
    learn = small_learner()
    logits, targets = torch.eye(16)[torch.arange(12)], torch.arange(12)
    interp = ClassificationInterpretation(logits, targets, learn.dls.valid.dataset,
                                          [f"class {i}" for i in range(16)])
    explorer = ConfusionExplorer(interp)
    assert not [w for w in everything(explorer.box) if isinstance(w, ipywidgets.Button)]


def test_explorers_say_what_they_lack():
    with pytest.raises(NotImplementedError, match="Explorer has no draw"):
        Explorer()
    with pytest.raises(ValueError, match="2 logits, 3 class names"):
        CrossEntropyExplorer([1.0, 2.0], vocab=["a", "b", "c"])
    with pytest.raises(ValueError, match="from 0 to 1; got 5"):
        CrossEntropyExplorer([1.0, 2.0], target=5)


@pytest.mark.case("widgets given a learner, or anything else wrong", "says what to give")
def test_explorers_say_what_to_give(small_learner):
    learn = small_learner()
    for wrong in (None, 3, "dls", [1], learn.dls.valid):
        for make, name in ((AugmentExplorer, "dls"), (ConfusionExplorer, "interp"), (FreezeExplorer, "learn")):
            with pytest.raises(ValueError, match=f"^{name} must be of type .*; got .*Try {name}="):
                make(wrong)
    with pytest.raises(ValueError, match=r"Try interp=ClassificationInterpretation.from_learner\(learn\)"):
        ConfusionExplorer(learn)
    with pytest.raises(ValueError, match="Try dls=learn.dls"):
        AugmentExplorer(learn)
    with pytest.raises(ValueError, match="number must be of type Widget"):
        Explorer(number=3)


@pytest.mark.parametrize("make", [
    lambda: OneCycleExplorer(0), lambda: OneCycleExplorer("1e-2"), lambda: OneCycleExplorer(1e9),
    lambda: CrossEntropyExplorer(3), lambda: CrossEntropyExplorer("ab"), lambda: CrossEntropyExplorer([1.0]),
    lambda: CrossEntropyExplorer([1, math.nan]), lambda: CrossEntropyExplorer([1, None]),
    lambda: CrossEntropyExplorer([1, 2], target=True), lambda: CrossEntropyExplorer([1, 2], target="a"),
    lambda: CrossEntropyExplorer([1, 2], target=-1), lambda: CrossEntropyExplorer([1, 2], vocab="ab")])
def test_arguments_of_explorers_are_checked(make):
    with pytest.raises(ValueError, match="must .*Try"):
        make()


def test_explorers_take_numbers_of_numpy_and_torch():
    for logits in (np.array([1, 2]), torch.tensor([1.0, 2.0]), iter([1, 2])):
        assert CrossEntropyExplorer(logits, target=np.int64(1), vocab=[3, 4]).controls["target"].value == 1
    assert OneCycleExplorer(torch.tensor(0.5, dtype=torch.float64)).controls["lr_max"].value == pytest.approx(0.5)


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
    assert explorer.sentence == "number 200"


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
