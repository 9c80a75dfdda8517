"""`lr_find`: fastai's suggestions, and no trace of it in anything that training depends on."""
import contextlib
import copy
import itertools
import linecache
import math
import os
import random
import signal
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from transfer_lessons import lr_finder
from transfer_lessons.freezing import group_parameters
from transfer_lessons.learner import Learner, Recorder
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.losses import cross_entropy
from transfer_lessons.lr_finder import (
    LRFind,
    minimum,
    slide,
    steep,
    suggest,
    temporary_copy,
    valley,
)

quick = settings(deadline=None, max_examples=100)


class Body(nn.Module):
    """A body with everything that could be left changed behind: buffers, counters, random numbers of several generators."""
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.3)
        self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.calls, self.last = 0, None

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
            self.seen += len(x)
            x = x + 0.01 * float(np.random.normal()) + 0.01 * random.random()  # noqa: NPY002
        self.last = self.drop(self.norm(self.conv(x)).relu())  # a result kept: it cannot be copied
        return self.last


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 256, (36, 16, 16, 3), dtype=np.uint8)
    return [Image.fromarray(pixels) for pixels in noise]


def make_learner(images: list[Image.Image], frozen: bool = False, **options) -> Learner:
    """The same learner every time it is called."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    labels = ["a", "b", "c"] * (len(images) // 3)
    options = {"size": 16, "bs": 8, "device": "cpu"} | options
    dls = ImageDataLoaders(images, labels, **options)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    learn = Learner(dls, nn.Sequential(Body(), head))
    if frozen:
        learn.freeze()
    return learn


@pytest.fixture
def learn(images) -> Learner:
    return make_learner(images)


def busy(learn: Learner) -> Learner:
    """In the middle of work: trained, with gradients, history and modes of its own choice."""
    learn.fit(1, 1e-2)
    for n, parameter in enumerate(learn.model.parameters()):
        parameter.grad = torch.full_like(parameter, float(n))
    learn.model.train()
    learn.model[0].norm.eval()
    learn.model[1].weight_decay_was = 0.5
    return learn


def state(learn: Learner) -> dict:
    """All that later training depends on, as copies."""
    model, opt = learn.model, learn.opt
    return copy.deepcopy({
        "identity": [id(learn.model), id(opt), id(learn.recorder), id(learn.dls)],
        "attributes": sorted(vars(learn)),
        "weights": [p.detach() for p in model.parameters()],
        "buffers": dict(model.named_buffers()),
        "modes": [module.training for module in model.modules()],
        "gradients": [p.grad for p in model.parameters()],
        "trains": [p.requires_grad for p in model.parameters()],
        "calls": model[0].calls,
        "optimizer": opt and opt.state_dict(),
        "history": [learn.recorder.losses, learn.recorder.lrs, learn.recorder.moms,
                    list(learn.recorder.history), learn.recorder.ends],
        "torch": torch.get_rng_state(), "python": random.getstate(),
        "numpy": list(np.random.get_state()),  # noqa: NPY002
        "loader": learn.dls.train.generator.get_state(),
    })


def assert_same(one, other, where: str = "") -> None:
    """Equal bit for bit, through lists, dicts and tensors."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(one, (Tensor, np.ndarray)):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes(), where
    else:
        assert one == other, where


def trained_on(learn: Learner) -> dict:
    """What becomes of a learner after more training; times of day left out."""
    learn.fit_one_cycle(2, 1e-2)
    result = state(learn)
    result["history"][3] = [row[:-1] for row in learn.recorder.history]
    return {key: value for key, value in result.items() if key != "identity"}


def at_call(k: int, action, function):
    """The function, but its k-th call does something else."""
    calls = 0
    def called(*args):
        nonlocal calls
        calls += 1
        return action(function, *args) if calls == k else function(*args)
    return called


def interrupt(function, *args):
    raise KeyboardInterrupt


def turn_into(value: float):
    return lambda function, *args: function(*args) * value


@contextlib.contextmanager
def ending(learn: Learner, how: str, k: int):
    """Let the k-th batch end badly, then put the learner's own functions back."""
    after_batch, loss_func, forward = learn.dls.train.after_batch, learn.loss_func, Body.forward
    if how == "interrupted in the loader":
        learn.dls.train.after_batch = at_call(k, interrupt, after_batch)
    elif how == "interrupted in forward":
        Body.forward = at_call(k, interrupt, forward)
    elif how in ("nan", "inf"):
        learn.loss_func = at_call(k, turn_into(float(how)), loss_func)
    elif how == "diverged":
        learn.loss_func = at_call(k, turn_into(1e6), loss_func)
    elif how == "an error":
        learn.loss_func = at_call(k, lambda *_: 1 / 0, loss_func)
    try:
        yield
    finally:
        learn.dls.train.__dict__.pop("after_batch", None)
        learn.loss_func, Body.forward = loss_func, forward


ENDINGS = ["as it should", "interrupted in the loader", "interrupted in forward", "nan", "inf",
           "diverged", "an error"]


@pytest.mark.parametrize("k", [1, 2, 25])
@pytest.mark.parametrize("how", ENDINGS)
def test_training_after_lr_find_is_bit_identical_to_training_without_it(images, how, k):
    learn, copied = (busy(make_learner(images)) for _ in range(2))
    copied_random = state(copied)
    before = state(learn)
    found = None
    with ending(learn, how, k), contextlib.suppress(FloatingPointError, ZeroDivisionError):
        found = learn.lr_find(1e-4, 1, num_it=30)
    assert_same(state(learn), before)
    assert (found is None) == (how == "an error" or how in ("nan", "inf") and k == 1)
    after = trained_on(learn)
    restore_chance(copied_random)
    assert_same(trained_on(copied), after)


def restore_chance(kept: dict) -> None:
    torch.set_rng_state(kept["torch"])
    random.setstate(kept["python"])
    np.random.set_state(tuple(kept["numpy"]))  # noqa: NPY002


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("how", ["as it should", "interrupted in the loader", "nan"])
def test_the_order_of_images_is_the_same_with_any_number_of_workers(images, how, num_workers):
    learn = make_learner(images, num_workers=num_workers)
    order = [xb.clone() for xb, _ in make_learner(images).dls.train]
    before = state(learn)
    with ending(learn, how, 19):
        assert len(learn.lr_find(num_it=20).losses) == (20 if how == "as it should" else 18)
    assert_same(state(learn), before)
    assert_same([xb.clone() for xb, _ in learn.dls.train], order)


def test_a_fresh_learner_stays_fresh_and_frozen(images):
    learn = make_learner(images, frozen=True)
    before = state(learn)
    learn.lr_find(num_it=20)
    assert learn.opt is None and not learn.recorder.losses
    assert_same(state(learn), before)


def test_a_validation_loader_with_a_generator_of_its_own_keeps_its_order(learn):
    learn.dls.valid.generator = torch.Generator().manual_seed(3)
    before = learn.dls.valid.generator.get_state()
    with temporary_copy(learn) as copied:
        copied.validate()
    assert torch.equal(learn.dls.valid.generator.get_state(), before)


def test_devices_of_apple_get_their_random_state_back(learn, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    mps_state = {"state": 1}
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: mps_state["state"])
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state: mps_state.update(state=state))
    with temporary_copy(learn):
        mps_state["state"] = 2
    assert mps_state["state"] == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_weights_and_random_states_are_as_before(images):
    learn = make_learner(images, device="cuda")
    before, mps_state = state(learn), torch.cuda.get_rng_state()
    learn.lr_find(num_it=20)
    assert torch.equal(torch.cuda.get_rng_state(), mps_state)
    weights = zip(before["weights"], learn.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


def test_whatever_is_done_to_a_copied_the_learner_is_untouched(learn):
    busy(learn)
    before = state(learn)
    with pytest.raises(ZeroDivisionError), temporary_copy(learn) as copied:
        copied.unfreeze()
        copied.fit_one_cycle(1, 5.0)
        copied.model.train()
        copied.recorder = Recorder()
        copied.metrics = []
        raise ZeroDivisionError
    assert_same(state(learn), before)


def test_a_copied_answers_and_trains_as_the_learner_would(images):
    learn, other = (make_learner(images) for _ in range(2))
    other.fit(1, 1e-2)
    torch.manual_seed(0)
    learn = make_learner(images)
    with temporary_copy(learn) as copied:
        copied.fit(1, 1e-2)
        assert_same(dict(copied.model.state_dict()), dict(other.model.state_dict()))


def test_a_copied_model_shares_nothing_that_trains(learn):
    learn.model[1].append(learn.model[1][2])  # tied: one layer in two places
    learn.model[0](learn.dls.one_batch()[0])
    copied = lr_finder._copy_model(learn.model)
    ours = {p.data_ptr() for p in [*learn.model.parameters(), *learn.model.buffers()]}
    assert not ours & {p.data_ptr() for p in [*copied.parameters(), *copied.buffers()]}
    assert copied[1][2] is copied[1][3], "tied layers stay tied"
    assert copied[0].conv.weight.is_contiguous(memory_format=torch.channels_last)


def interrupted_at(learn: Learner, nth: int | None) -> int:
    """Press Ctrl-C at the n-th line that lr_find's functions reach; returns how many were reached."""
    hooks = {"lr_find", "_check", "rng_states", "temporary_copy", "_range_test", "suggest"}
    holding, reached = "with defer_interrupts():", 0  # that line changes what Ctrl-C does: a gap
    def trace(frame, event, argument):
        nonlocal reached
        code = frame.f_code
        if code.co_filename != lr_finder.__file__ or code.co_name not in hooks:
            return None
        if event == "line" and holding not in linecache.getline(code.co_filename, frame.f_lineno):
            reached += 1
            if reached == nth:
                signal.raise_signal(signal.SIGINT)
        return trace
    sys.settrace(trace)
    try:
        with contextlib.suppress(ValueError, KeyboardInterrupt):
            learn.lr_find(1e-6, 1e-4, num_it=20)
    finally:
        sys.settrace(None)
    return reached


@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage is tracing")
def test_ctrl_c_at_any_line_of_lr_find_changes_nothing(learn):
    before, total = state(learn), interrupted_at(learn, None)
    assert total > 100
    for nth in (*range(1, 45, 2), *range(45, total - 16, 12), *range(total - 16, total + 1)):
        assert interrupted_at(learn, nth) >= nth
        assert_same(state(learn), before, f"interrupted at line {nth} of {total}: ")


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.3])
def test_a_ctrl_c_from_the_keyboard_costs_nothing(learn, delay, capsys):
    before = state(learn)
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with contextlib.suppress(ValueError, KeyboardInterrupt):
        learn.lr_find(1e-9, 2e-9, num_it=20_000)  # rates so low that it never ends by itself
    timer.join()
    assert_same(state(learn), before)


def test_ctrl_c_gives_the_suggestions_of_the_points_so_far(images, capsys):
    whole = make_learner(images).lr_find(num_it=40)
    learn = make_learner(images)
    with ending(learn, "interrupted in forward", 31):
        found = learn.lr_find(num_it=40)
    assert (found.lrs, found.losses) == (whole.lrs[:30], whole.losses[:30])
    assert found.suggestions == suggest(whole.lrs[:30], whole.losses[:30],
                                        (valley, slide, minimum))
    assert "Stopped after 30 of 40 learning rates. The learner is unchanged." in capsys.readouterr().out


@pytest.mark.case("finder: Ctrl-C in the first ten points", "the curve so far, and why it suggests nothing")
@pytest.mark.parametrize("k", [1, 2, 5, 17])
@pytest.mark.parametrize("how, said", [("interrupted in forward", "Stopped after {} of 40"),
                                       ("nan", "The loss is nan after {} of 40"),
                                       ("inf", "The loss is inf after {} of 40")])
def test_too_few_points_give_the_curve_and_the_reason(learn, how, said, k, capsys):
    if k == 1 and how != "interrupted in forward":
        pytest.skip("not even a first loss: the next test")
    with ending(learn, how, k):
        found = learn.lr_find(num_it=40)
    assert len(found.lrs) == len(found.losses) == k - 1
    assert list(found) == [None] * 3 and found.valley is None and found.found == {}
    assert f"{k - 1} learning rates gave {max(k - 16, 0)} points" in found.note
    printed = capsys.readouterr().out
    assert said.format(k - 1) in printed and found.note in printed
    ax = Figure().add_subplot()
    found.plot(ax)
    assert ax.get_title() == found.note.partition(".")[0] and ax.get_legend() is None
    assert found.note in repr(found) and found._repr_png_()[0].startswith(b"\x89PNG")


@pytest.mark.case("finder: NaN from the start", "an error that blames no learning rate")
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_never_finite_is_named(learn, value):
    before = state(learn)
    with ending(learn, value, 1), pytest.raises(
            FloatingPointError, match=f"The loss is {value} at the first learning rate, 1e-07"):
        learn.lr_find()
    assert_same(state(learn), before)


class Flat:
    """A loss that no training can change."""
    def __init__(self, value):
        self.value = value

    def __call__(self, logits, targets):
        return (0 * logits).sum() + self.value


@pytest.mark.case("finder: a flat curve", "no suggestion, and the reason")
@pytest.mark.parametrize("value", [0.0, 2.5, -3.0, 1e-20, 1e20])
def test_a_flat_curve_suggests_nothing(learn, value, capsys):
    learn.loss_func = Flat(value)
    found = learn.lr_find(num_it=30)
    assert len(found.losses) == 30 and list(found) == [None] * 3
    assert "No suggestion: the curve is flat. For a linear head try 0.003" in capsys.readouterr().out
    assert found._repr_png_()[0].startswith(b"\x89PNG")


@pytest.mark.case("finder: losses below 0", "a whole curve; a rise counts in units of the first losses")
@pytest.mark.parametrize("offset", [0, -1, -1.1, -5, -1e6])
def test_losses_below_0_give_a_curve(learn, offset):
    learn.loss_func = lambda logits, targets: cross_entropy(logits, targets) + offset
    found = learn.lr_find(1e-6, 1e-2, num_it=40)
    assert len(found.losses) == 40
    assert min(found.losses) + 1e-9 > offset


def test_a_loss_below_0_that_explodes_ends_the_curve(learn):
    def explode(loss_func, *args):
        return loss_func(*args) + 1e4
    learn.loss_func = at_call(24, explode, lambda logits, targets: cross_entropy(logits, targets) - 3)
    found = learn.lr_find(1e-6, 1e-4, num_it=60)
    assert len(found.losses) == 24


@pytest.mark.case("out of memory in lr_find", "the advice of fit; the learner is unchanged")
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(),
                                   RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")])
def test_out_of_memory_gives_the_advice_of_fit(learn, error):
    def full(*_):
        raise error
    before = state(learn)
    learn.loss_func = at_call(5, full, learn.loss_func)
    with pytest.raises(torch.OutOfMemoryError, match="Out of memory in lr_find with bs=8.*bs=4"):
        learn.lr_find()
    assert_same(state(learn), before)


def test_pure_noise_is_said_to_be_noise(learn, capsys):
    numbers = itertools.cycle(np.random.default_rng(0).normal(2, 0.2, 97))
    learn.loss_func = lambda logits, targets: (0 * logits).sum() + next(numbers)
    found = learn.lr_find()
    assert found.note.startswith("The curve is noise") and found.note in capsys.readouterr().out
    assert "For a linear head try 0.003" in found.note
    assert None not in list(found)


def test_a_range_of_many_learning_rates_takes_no_memory_for_those_it_never_tries(learn):
    with ending(learn, "interrupted in forward", 20):
        assert len(learn.lr_find(num_it=10**12).lrs) == 19


def test_one_batch_is_enough(images):
    learn = make_learner(images, bs=24)
    assert len(learn.dls.train) == 1 and len(learn.lr_find(1e-6, 1e-2, num_it=25).losses) == 25


@pytest.mark.case("arguments of training: numpy and torch numbers in lr_find", "taken")
@pytest.mark.parametrize("one", [np.int64, np.uint8, torch.tensor, np.array])
def test_numbers_of_numpy_and_torch_are_taken(learn, one):
    expected = learn.lr_find(1e-6, 1e-2, 25)
    found = learn.lr_find(torch.tensor(1e-6, dtype=torch.float64), np.float64(1e-2), one(25))
    assert found.losses == expected.losses


@pytest.mark.parametrize("answer", [None, "0.1", math.nan, -1.0, [0.1]])
def test_a_suggestion_that_is_no_learning_rate_is_named(learn, answer):
    def mine(lrs, losses):
        return answer
    with pytest.raises(ValueError, match="The suggestion function mine must return a number above 0"):
        learn.lr_find(num_it=40, suggest_funcs=mine)


def test_by_default_valley_comes_first_and_steep_is_not_asked(learn):
    found = learn.lr_find(num_it=40)
    assert list(found.suggestions) == ["valley", "slide", "minimum"] and next(iter(found)) == found.valley


def test_the_plot_marks_the_suggestion_to_believe(learn):
    for functions, starred in (((steep, valley), ["valley"]), ((minimum, steep), [])):
        figure = plt.figure()
        learn.lr_find(num_it=40, suggest_funcs=functions).plot(figure.subplots())
        lines = figure.axes[0].lines[1:]
        assert [line.get_label().split()[0] for line in lines if line.get_marker() == "*"] == starred


def test_valley_that_was_not_asked_is_said(learn):
    found = learn.lr_find(num_it=40, suggest_funcs=(minimum,))
    assert not hasattr(found, "valley")
    with pytest.raises(AttributeError, match=r"lr_find\(suggest_funcs=\(valley,\)\)"):
        print(found.valley)


def test_a_nan_ends_the_curve_and_no_weight_of_the_learner_is_nan(learn):
    with ending(learn, "nan", 25):
        found = learn.lr_find(num_it=40)
    assert len(found.lrs) == len(found.losses) == 24
    assert np.isfinite(found.losses).all() and all(p.isfinite().all() for p in learn.model.parameters())


def test_lr_find_writes_no_files(learn, tmp_path, monkeypatch):
    for n, image in enumerate(learn.dls.train.dataset.sources):
        folder = tmp_path / "photos" / "abc"[n % 3]
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{n}.png")
    monkeypatch.chdir(tmp_path)
    dls = ImageDataLoaders.from_folder("photos", size=16, bs=8, device="cpu")
    there = sorted(tmp_path.rglob("*"))
    Learner(dls, learn.model).lr_find(num_it=20)
    assert sorted(tmp_path.rglob("*")) == there


def test_learning_rates_grow_by_equal_factors_from_start_towards_end(learn):
    lrs = learn.lr_find(1e-6, 1e-2, num_it=30).lrs
    assert lrs == pytest.approx([1e-6 * (1e-2 / 1e-6) ** (t / 30) for t in range(30)], rel=1e-12)


def test_losses_are_those_of_the_batches_smoothed_without_bias(learn):
    raw, loss_func = [], learn.loss_func
    def noted(logits, targets):
        loss = loss_func(logits, targets)
        raw.append(loss.item())
        return loss
    learn.loss_func = noted
    losses = learn.lr_find(1e-6, 1e-2, num_it=30).losses
    for t, loss in enumerate(losses):
        weights = [0.98 ** (t - i) for i in range(t + 1)]
        mean = sum(w * value for w, value in zip(weights, raw, strict=False)) / sum(weights)
        assert loss == pytest.approx(mean, rel=1e-9)


def test_it_stops_where_the_smoothed_loss_passes_four_times_its_best(learn):
    steps = []
    learn.loss_func = at_call(24, turn_into(1e4), learn.loss_func)
    learn.metrics = [lambda *_: steps.append(1)]
    losses = learn.lr_find(1e-6, 1e-4, num_it=60).losses
    assert len(losses) == 24 and losses[-1] > 4 * min(losses)
    assert all(loss <= 4 * min(losses[:t + 1]) for t, loss in enumerate(losses[:-1]))
    assert not steps, "it measures no metric"


def test_a_data_set_of_fewer_batches_than_learning_rates_begins_again(learn):
    assert len(learn.dls.train) < 10
    seen, after_batch = [], learn.dls.train.after_batch
    learn.dls.train.after_batch = lambda xb: seen.append(len(xb)) or after_batch(xb)
    assert len(learn.lr_find(1e-6, 1e-4, num_it=50).losses) == 50
    assert seen == [8] * 50, "a batch a rate, and none read in vain"


def test_every_layer_group_gets_the_same_learning_rate(learn, monkeypatch):
    seen = []
    set_hyperparams = lr_finder.set_hyperparams
    def noted(opt, rates, momentum):
        seen.append((set(rates), len(rates), momentum))
        set_hyperparams(opt, rates, momentum)
    monkeypatch.setattr(lr_finder, "set_hyperparams", noted)
    found = learn.lr_find(num_it=20)
    n_groups = len(group_parameters(learn.model))
    assert seen == [({lr}, n_groups, None) for lr in found.lrs]


def test_it_unpacks_into_floats_in_the_order_asked(learn):
    lr_min, lr_steep = learn.lr_find(suggest_funcs=(minimum, steep), num_it=40)
    lr_steep_again, lr_min_again = learn.lr_find(suggest_funcs=[steep, minimum], num_it=40)
    assert type(lr_min) is type(lr_steep) is float
    assert (lr_min, lr_steep) == (lr_min_again, lr_steep_again)
    found = learn.lr_find(num_it=40)
    assert list(found.suggestions) == ["valley", "slide", "minimum"]
    lr_valley, = learn.lr_find(suggest_funcs=valley, num_it=40)
    assert lr_valley == found.suggestions["valley"]


def test_a_suggestion_function_of_ones_own_gets_the_points_that_count(learn):
    given = {}
    def middle(lrs, losses):
        given.update(lrs=lrs, losses=losses)
        return np.float64(lrs[len(lrs) // 2])
    found = learn.lr_find(1e-6, 1e-4, num_it=40, suggest_funcs=(middle,))
    assert given == {"lrs": found.lrs[10:-5], "losses": found.losses[10:-5]}
    assert type(found.suggestions["middle"]) is float


@pytest.mark.parametrize("options", [
    dict(start_lr=0.0), dict(start_lr=-1e-3), dict(start_lr=math.nan), dict(end_lr=math.inf),
    dict(start_lr="1e-7"), dict(start_lr=None), dict(end_lr=slice(1e-6, 1e-4)), dict(end_lr=True),
    dict(start_lr=1.0, end_lr=1.0), dict(start_lr=1.0, end_lr=1e-3), dict(start_lr=[1e-7]),
    dict(num_it=19), dict(num_it=0), dict(num_it=-1), dict(num_it=100.0), dict(num_it="100"),
    dict(suggest_funcs="valley"), dict(suggest_funcs=("valley",)), dict(suggest_funcs=(valley, 3)),
    dict(suggest_funcs=(valley, valley)), dict(suggest_funcs=(lambda *_: 1.0, lambda *_: 2.0)),
])
def test_bad_arguments_are_refused_before_anything_runs(learn, options):
    learn.loss_func = interrupt
    (name, value), = list(options.items())[-1:]
    shown = "suggest_funcs" if name == "suggest_funcs" else value
    with pytest.raises(ValueError) as error:
        learn.lr_find(**options)
    assert (f"{value:g}" if isinstance(value, float) else str(shown)) in str(error.value)


# ---- the four suggestion functions -------------------------------------------------------------------------

def fastai_minimum(lrs: Tensor, losses: Tensor) -> float:
    return lrs[losses.argmin()].item() / 10


def fastai_slopes(lrs: Tensor, losses: Tensor) -> Tensor:
    """Its `steep` takes the learning rate of the lowest; of several, rounding decides which."""
    return (losses[1:] - losses[:-1]) / (lrs[1:].log() - lrs[:-1].log())


def fastai_slide(lrs: Tensor, losses: Tensor) -> float:
    gradient = np.gradient(losses.numpy())
    right, left = -1, -1 - 15
    found = lrs[left]
    while left >= -len(losses) and abs(gradient[right] - gradient[left]) > 0.005:
        found = lrs[left]
        right, left = right - 1, left - 1
    return float(found)


def fastai_valley(lrs: list[float], losses: list[float]) -> float:
    """As fastai searches: the longest decreasing subsequence that ends at each point, by pairs."""
    lengths = [1] * len(losses)
    start = end = 0
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and lengths[i] < lengths[j] + 1:
                lengths[i] = lengths[j] + 1
            if lengths[end] < lengths[i]:
                end = i
                start = end - lengths[end]
    third = (end - start) / 3
    return lrs[start + int(third) + int(third / 2)]


ROUGH = st.lists(st.integers(0, 12).map(float), min_size=16, max_size=40)
FINE = st.lists(st.floats(0, 10, width=32), min_size=16, max_size=40)
STEPS = st.lists(st.sampled_from([-0.5, -0.01, 0.0, 0.004, 0.3]), min_size=16, max_size=40).map(
    lambda steps: [float(loss) for loss in np.cumsum(steps) + 5])
CURVES = ROUGH | FINE | STEPS


def rates(n: int) -> list[float]:
    return [1e-7 * 1e8 ** (t / n) for t in range(n)]


@quick
@given(losses=CURVES)
def test_minimum_steep_and_slide_are_those_of_fastai(losses):
    lrs = rates(len(losses))
    tensors = torch.tensor(lrs, dtype=torch.float64), torch.tensor(losses, dtype=torch.float64)
    assert minimum(lrs, losses) == fastai_minimum(*tensors)
    slopes = fastai_slopes(*tensors)
    assert slopes[lrs.index(steep(lrs, losses))].item() == pytest.approx(slopes.min().item())
    assert slide(lrs, losses) == fastai_slide(*tensors)


@quick
@given(losses=CURVES)
def test_valley_is_that_of_fastai(losses):
    lrs = rates(len(losses))
    if min(np.diff(losses)) >= 0 or valley_length(losses) < 3:
        return  # next to no fall: fastai's index is -1 there, the highest learning rate
    assert valley(lrs, losses) == fastai_valley(lrs, losses)


def valley_length(losses: list[float]) -> int:
    return max(lr_finder._fall_lengths(losses))


def test_valley_of_a_noisy_fall_is_that_of_fastai_up_to_its_length():
    generator = np.random.default_rng(0)
    for n in (20, 85, 300):
        losses = (np.linspace(3, 1, n) + generator.normal(scale=0.2, size=n)).tolist()
        assert valley(rates(n), losses) == fastai_valley(rates(n), losses)


@pytest.mark.parametrize("losses, index", [
    ([9, 8, 7, 6, 5, 4, 3, 2, 1], 8 - 9 + 3 + 1),  # all of it
    ([9, 8, 7, 6, 9, 5, 4, 3, 2], 8 - 8 + 2 + 1),  # one noisy point is skipped
    ([1, 2, 3, 4, 5, 6, 7, 8, 9], 0),  # no fall at all
    ([5, 5, 5, 5, 5, 5, 5, 5, 5], 0),  # flat is no fall
])
def test_valley_of_curves_counted_by_hand(losses, index):
    assert valley(rates(9), losses) == rates(9)[index]


def test_slide_of_a_curve_shorter_than_its_gap_takes_what_there_is():
    lrs = rates(8)
    assert slide(lrs, [5.0, 4, 3, 2, 2, 3, 5, 9]) == lrs[0]


def test_steep_divides_by_the_logarithm_of_the_rates():
    lrs = [1e-3, 2e-3, 1e-1, 1.0]  # the longer step of ln(lr) has the larger drop, but is less steep
    assert steep(lrs, [5.0, 4.0, 2.0, 2.0]) == 1e-3


@quick
@given(losses=st.lists(st.floats(0.1, 9), min_size=17, max_size=60).filter(lambda found: found[10] > 1.1 * found[11]),
       data=st.data())
def test_suggestion_functions_see_points_after_the_first_10_before_the_last_5_up_to_the_first_non_finite(losses, data):
    bad = data.draw(st.integers(12, len(losses) + 5))
    value = data.draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    if bad < len(losses):
        losses = [*losses[:bad], value, *losses[bad + 1:]]
    given, lrs = {}, rates(len(losses))
    def rule(lrs, losses):
        given.update(lrs=list(lrs), losses=list(losses))
        return lrs[0]
    assert suggest(lrs, losses, (rule,)) == {"rule": lrs[10]}
    end = min(bad, len(losses) - 5)
    assert given == {"lrs": lrs[10:end], "losses": losses[10:end]}


@given(n=st.integers(0, 16))
def test_fewer_than_seventeen_points_suggest_nothing(n):
    with pytest.raises(ValueError, match=f"{n} learning rates gave {max(n - 15, 0)} points"):
        suggest(rates(n) if n else [], [1.0] * n, (valley,))


# ---- what is shown --------------------------------------------------------------------------

def made(losses: list[float]) -> LRFind:
    lrs = rates(len(losses))
    return LRFind(lrs, losses, {rule.__name__: rule(lrs, losses)
                                for rule in (minimum, steep, valley, slide)})


def test_its_plot_is_a_png_with_a_description_and_leaves_no_figure_open():
    open_before, found = plt.get_fignums(), made([5.0, 4.0, 3.5, 2.0, 1.0, *[1.5] * 20])
    png, about = found._repr_png_()
    assert png.startswith(b"\x89PNG") and about["alt"] == repr(found)
    assert plt.get_fignums() == open_before


@settings(deadline=None, max_examples=30)
@given(losses=CURVES | st.lists(st.floats(1e-3, 1e30), min_size=16, max_size=40))
def test_its_plot_holds_the_lowest_point_whatever_the_curve(losses):
    ax = Figure().add_subplot()
    assert made(losses).plot(ax) is None
    low, high = ax.get_ylim()
    assert low < min(losses) < high


def test_the_rise_at_the_end_does_not_flatten_the_fall():
    fall = [3 - t / 50 for t in range(90)]
    figure, ax = plt.subplots()
    made([*fall, 3, 20, 400, 4000]).plot(ax)
    low, high = ax.get_ylim()
    plt.close(figure)
    assert (fall[0] - fall[-1]) / (high - low) > 0.5


def test_a_curve_that_begins_at_its_lowest_point_shows(learn):
    figure, ax = plt.subplots()
    made([0.5, 0.9, *[1.2] * 40, *[1.3 * 1.2 ** t for t in range(12)]]).plot(ax)
    assert ax.get_ylim()[1] > 1.2
    plt.close(figure)


def test_every_suggestion_is_a_mark_with_its_name_and_learning_rate():
    found = made([5.0, 4.0, 3.5, 2.0, 1.0, *[1.5] * 20])
    figure, ax = plt.subplots()
    found.plot(ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [f"{name} {lr:.1e}" for name, lr in found.suggestions.items()]
    assert ax.get_xscale() == "log" and "rate" in ax.get_xlabel() and "loss" in ax.get_ylabel()
    plt.close(figure)
    assert repr(found).startswith("LRFind(25 learning rates; minimum=")
