"""Any argument of the tools around a learner: it works, or the error is one of ours."""
import functools
import json
import math
import random
import warnings
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from ours import ours
from PIL import Image
from torch import nn

from transfer_lessons import backbones, fine_tuning  # noqa: F401  fine_tune
from transfer_lessons.activation_store import cache_key, to_memory
from transfer_lessons.backbones import create_head, vision_model
from transfer_lessons.curves import checked_curve, why_no_suggestion
from transfer_lessons.data import ImageDataset, ImageLoader
from transfer_lessons.image_explorers import AugmentExplorer, ConfusionExplorer, augmented_views
from transfer_lessons.interpretation import ClassificationInterpretation
from transfer_lessons.learner import Learner
from transfer_lessons.live import LossCurves
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.losses import cross_entropy
from transfer_lessons.lr_finder import LRFind, minimum, slide, steep, suggest, valley
from transfer_lessons.plot_explorers import (
    FreezeExplorer,
    cross_entropy_parts,
    cycle_curves,
)
from transfer_lessons.precompute import CachedLoader
from transfer_lessons.scrubber import LRScrubber, scrubber_data
from transfer_lessons.sweep import sweep_lrs
from transfer_lessons.sweep_result import Sweep, classify_lrs

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]

numbers = (st.integers(-3, 40) | st.integers() | st.floats() | st.sampled_from([1e-3, 0.5, 2.0, 1e-300, 1e300])
           | st.sampled_from([np.int64(2), np.float32(0.5), torch.tensor(3), torch.tensor(0.25), np.array(2)]))
others = st.sampled_from([None, True, False, "", "2", "valley", b"1", [], {}, (), [1], (1, 2), {"a": 1}, 1j, print, int,
                          nn.ReLU, slice(1e-3), slice(1e-5, 1e-3), object(), np.nan, np.ones((2, 2)),
                          torch.ones(2), [None], ["a", "b"], Image.new("RGB", (4, 4))])
anything = numbers | others


@functools.cache
def learner() -> Learner:
    """A linear head on the pixels of 24 tiny images: a step takes a third of a millisecond."""
    images = [Image.new("RGB", (6, 6), (10 * i, 100, 200 - 5 * i)) for i in range(24)]
    dls = ImageDataLoaders(images, ["ab"[i % 2] for i in range(24)], is_valid=[i % 4 < 2 for i in range(24)],
                           size=4, bs=4, augment=False, device="cpu")
    torch.manual_seed(0)
    body = nn.Conv2d(3, 2, 1)
    learn = Learner(dls, nn.Sequential(body, nn.Sequential(nn.Flatten(), nn.Linear(32, 2))))
    learn.freeze()
    return learn


@functools.cache
def cached() -> Learner:
    return learner().precompute()


@functools.cache
def interpretation() -> ClassificationInterpretation:
    return ClassificationInterpretation.from_learner(learner())


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    plt.close("all")


# --- Curves and suggestions -------------------------------------------------------------------

shapes = st.sampled_from(["any", "flat", "falls", "noise", "tiny", "huge"])


@st.composite
def curves(draw) -> tuple:
    """Learning rates and losses as a range test has them, and some as it does not."""
    n = draw(st.integers(0, 60))
    rng = random.Random(draw(st.integers(0, 10**6)))
    shape = draw(shapes)
    scale = {"tiny": 1e-300, "huge": 1e300}.get(shape, 1.0)
    losses = [scale * (2 - t / 40 + rng.gauss(0, 0.1)) for t in range(n)]
    if shape == "flat":
        losses = [draw(st.sampled_from([0.0, -3.0, 2.5]))] * n
    if shape == "noise":
        losses = [rng.gauss(0, 1) for _ in range(n)]
    if shape == "any":
        losses = draw(st.lists(anything, max_size=40))
    if losses and draw(st.booleans()):
        losses[draw(st.integers(0, len(losses) - 1))] = draw(st.sampled_from([math.nan, math.inf, -math.inf, None]))
    lrs = np.geomspace(1e-7, 10, max(n, 1))[:n].tolist()
    lrs = draw(st.sampled_from([lrs, lrs[::-1], lrs[:-1], [1e-3] * n, [0.0] * n]) | anything)
    kind = draw(st.sampled_from([list, tuple, iter, np.array, torch.tensor]))
    if all(isinstance(loss, float) for loss in losses):
        losses = kind(losses)
    return lrs, losses


@given(curve=curves(), gap=anything, threshold=anything)
def test_suggestion_functions(curve, gap, threshold):
    lrs, losses = curve
    losses = list(losses) if hasattr(losses, "__next__") else losses
    for function in (minimum, steep, valley, slide, functools.partial(slide, gap=gap, threshold=threshold)):
        with ours():
            assert function(lrs, losses) > 0
    with ours():
        checked_curve(lrs, losses)


@given(curve=curves(), functions=anything | st.sampled_from([minimum, (minimum, valley), [steep, steep],
                                                              iter((slide,)), (lambda lrs, losses: "x",)]))
def test_suggest(curve, functions):
    with ours():
        assert all(lr > 0 for lr in suggest(*curve, functions).values())


@given(losses=st.lists(st.floats(-1e30, 1e30), max_size=60), name=st.text(max_size=5))
def test_what_lr_find_returns_is_drawn(losses, name):
    lrs = np.geomspace(1e-7, 10, max(len(losses), 1))[:len(losses)].tolist()
    note = why_no_suggestion(losses)
    suggestions = {name: None if note else lrs[len(lrs) // 2]}
    found = LRFind(lrs, losses, suggestions, note)
    found.plot(Figure().add_subplot())
    assert list(found) == list(suggestions.values()) and repr(found)
    with ours():
        found.plot(name)


@given(start_lr=anything, end_lr=anything, num_it=anything, functions=anything, wrong=st.integers(0, 3))
def test_lr_find(start_lr, end_lr, num_it, functions, wrong):
    options = {"start_lr": 1e-4, "end_lr": 1e-1, "num_it": 20, "suggest_funcs": (valley,)}
    name = list(options)[wrong]
    options[name] = (start_lr, end_lr, num_it, functions)[wrong]
    if name == "num_it" and isinstance(num_it, int) and num_it > 40:
        return  # it would work, for long
    with ours(), warnings.catch_warnings():
        cached().lr_find(**options)


@given(value=anything, wrong=st.sampled_from(["epochs", "base_lr", "freeze_epochs", "lr_mult", "pct_start", "div", "recipe"]))
def test_fine_tune(value, wrong):
    if wrong.endswith("epochs") and isinstance(value, int) and value > 2:
        return
    learn = learner()
    flags = [parameter.requires_grad for parameter in learn.model.parameters()]
    weights = [parameter.clone() for parameter in learn.model.parameters()]
    try:
        with ours():
            learn.fine_tune(**{"epochs": 1, "recipe": "fastai", wrong: value})
        with ours():
            cached().fine_tune(**{"epochs": 1, wrong: value})
            raise AssertionError("it must be refused")
    except RuntimeError:
        pass
    finally:
        with torch.no_grad():
            for parameter, before, trains in zip(learn.model.parameters(), weights, flags, strict=True):
                parameter.copy_(before)
                parameter.requires_grad_(trains)


# --- Sweeps and what shows them ---------------------------------------------------------------

@given(lrs=anything | st.lists(anything, max_size=4), value=anything,
       wrong=st.sampled_from(["lrs", "learn", "epochs", "suggest_funcs", "div", "div_final", "pct_start", "moms"]))
def test_sweep_lrs(lrs, value, wrong):
    if wrong == "epochs" and isinstance(value, int) and value > 2:
        return
    options = {"learn": cached(), "lrs": [1e-3, 1e-2], "epochs": 1, "suggest_funcs": ()}
    options[wrong] = lrs if wrong == "lrs" else value
    with ours():
        swept = sweep_lrs(**options)
        assert swept.lrs == sorted(set(swept.lrs))


@st.composite
def sweeps(draw) -> Sweep:
    """Sweeps with losses of any kind, also those that no training gives."""
    k, t, e = (draw(st.integers(1, top)) for top in (4, 6, 2))
    values = draw(st.sampled_from([st.floats(), st.floats(-5, 5), st.floats(0, 5), st.just(math.nan), st.just(0.0)]))

    def losses(width):
        rows = [draw(st.lists(values, min_size=width, max_size=width)) for _ in range(k)]
        return torch.tensor(rows, dtype=torch.float32)

    errors = torch.rand(k, e, generator=torch.Generator().manual_seed(k * t))
    lrs = np.geomspace(1e-5, 1, k).tolist()
    names = draw(st.dictionaries(st.text(max_size=4), st.floats(1e-7, 10), max_size=2))
    more = (torch.ones(1, t), torch.ones(1, e), torch.ones(1, e) / 2)
    return Sweep(lrs, losses(t), losses(e), errors, names, lambda lrs: more, draw(st.integers(1, 200)))


@given(swept=sweeps(), start=anything, quiz=anything)
def test_any_sweep_becomes_a_page(swept, start, quiz):
    data = scrubber_data(swept)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["low"] < data["high"]
    assert repr(swept)
    assert swept.error_intervals().shape == (len(swept.lrs), 2)
    with ours():
        scrubber_data(swept, start, quiz)
    with ours():
        longer = swept.train(start)
        assert longer.lrs == sorted({*swept.lrs, float(start)})


@given(lrs=anything | st.lists(numbers, max_size=4), start=anything, final=anything | st.lists(numbers, max_size=4),
       threshold=anything)
def test_classify_lrs(lrs, start, final, threshold):
    with ours():
        assert len(classify_lrs(lrs, start, final, threshold)) > 0


# --- Interpretation ---------------------------------------------------------------------------

@given(call=st.sampled_from(["most_confused", "top_losses"]), value=anything)
def test_questions_to_an_interpretation(call, value):
    with ours():
        getattr(interpretation(), call)(value)


@given(wrong=st.sampled_from(["normalize", "figsize", "dpi", "ax"]), value=anything)
def test_arguments_of_the_confusion_matrix(wrong, value):
    ax = Figure().add_subplot()
    with ours():
        interpretation().plot_confusion_matrix(**{"ax": ax, wrong: value})
    plt.close("all")


@given(value=anything | st.lists(anything, max_size=3), wrong=st.integers(0, 4))
def test_what_an_interpretation_is_made_of(value, wrong):
    logits, targets = torch.eye(3), torch.arange(3)
    dataset = ImageDataset([Image.new("RGB", (4, 4))] * 3, [0, 1, 2], 4)
    parts = [logits, targets, dataset, ["a", "b", "c"], None]
    parts[wrong] = value
    with ours():
        ClassificationInterpretation(*parts)
    with ours():
        ClassificationInterpretation.from_learner(value)


# --- Explorers --------------------------------------------------------------------------------

@given(make=st.sampled_from([AugmentExplorer, ConfusionExplorer, FreezeExplorer, LRScrubber, LossCurves]),
       value=anything)
def test_explorers_of_anything(make, value):
    with ours():
        make(value)
        raise AssertionError("it must be refused")


@given(logits=anything | st.lists(anything, max_size=4), target=anything, lr=anything)
def test_numbers_of_explorers(logits, target, lr):
    with ours():
        cross_entropy_parts(logits, target)
    with ours():
        cycle_curves("one cycle", lr)


@given(name=st.sampled_from(["schedule", "lr_max", "pct_start", "div", "div_final", "moms", "n_cycles", "cycle_mult"]),
       kind=st.sampled_from(["one cycle", "SGDR"]), value=anything)
def test_schedules_of_explorers(name, kind, value):
    if name in ("n_cycles", "cycle_mult") and isinstance(value, int) and value > 8:
        return
    with ours():
        cycle_curves(**{"schedule": kind, "lr_max": 1e-2, name: value})


@given(value=anything, wrong=st.sampled_from(["image", "n", "seed", "size", "rotate", "zoom", "lighting", "flip"]))
def test_augmented_views(value, wrong):
    if wrong in ("n", "size") and isinstance(value, int) and value > 50:
        return
    image = torch.zeros(3, 6, 6, dtype=torch.uint8)
    with ours():
        augmented_views(**{"image": image, "n": 2, wrong: value})


# --- Networks and caches ----------------------------------------------------------------------

@pytest.fixture
def no_download(monkeypatch):
    def refuse(name, *_):
        raise ConnectionError(f"no download of {name} here")
    monkeypatch.setattr(backbones, "file_from_hub", refuse)
    monkeypatch.setattr(backbones, "file_from_url", refuse)


@given(arch=anything | st.text(max_size=8), pretrained=anything, n_classes=anything, hidden=anything)
def test_vision_model(arch, pretrained, n_classes, hidden):
    with ours():
        vision_model(arch, 2, False)
    with ours():
        vision_model("no such network", n_classes, pretrained, hidden)
    if not (isinstance(hidden, int) and hidden > 50 or isinstance(n_classes, int) and n_classes > 50):
        with ours():
            create_head(4, n_classes, hidden)


@given(value=anything, wrong=st.sampled_from(["views", "max_memory", "folder"]))
def test_arguments_of_precompute(value, wrong):
    if wrong == "folder" and isinstance(value, str | bytes) and value:
        return
    with ours():
        learner().precompute(**{wrong: value})


@given(n=anything, views=anything, seed=anything, value=anything)
def test_caches(n, views, seed, value):
    with ours():
        to_memory([torch.zeros(2, 3)], n)
    images = ImageDataset([Image.new("RGB", (4, 4))] * 2, [0, 1], 4)
    dl = ImageLoader(images, 2, "cpu")
    with ours():
        cache_key("digest", dl, views, seed)
    with ours():
        CachedLoader(dl, value, None)
    with ours():
        cache_key("digest", SimpleNamespace())


@given(logits=st.lists(st.lists(st.floats(-20, 20), min_size=3, max_size=3), min_size=1, max_size=5), data=st.data())
def test_the_confusion_matrix_counts_every_image(logits, data):
    rows = torch.tensor(logits)
    targets = torch.tensor([data.draw(st.integers(0, 2)) for _ in logits])
    dataset = ImageDataset([Image.new("RGB", (4, 4))] * len(logits), targets.tolist(), 4)
    interp = ClassificationInterpretation(rows, targets, dataset, ["$a$", "<b>", "c"])
    assert interp.confusion_matrix().sum() == len(logits)
    torch.testing.assert_close(interp.losses, cross_entropy(rows, targets, reduction="none"))
