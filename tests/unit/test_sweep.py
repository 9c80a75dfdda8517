"""`sweep_lrs`: the same training as a Learner alone at each rate, and no trace of it."""
import contextlib
import copy
import math
import random
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn

from transfer_lessons import sweep as module
from transfer_lessons.backbones import create_head
from transfer_lessons.learner import Learner, error_rate
from transfer_lessons.losses import cross_entropy
from transfer_lessons.lr_finder import valley
from transfer_lessons.optim import adamw
from transfer_lessons.precompute import PrecomputedLearner
from transfer_lessons.sweep import Sweep, sweep_lrs

FEATURES, CLASSES, BATCH = 1280, 11, 16
RATES = np.geomspace(1e-5, 10, 64).tolist()


class Rows:
    """Features in memory, as a loader gives them."""
    def __init__(self, x: Tensor, y: Tensor, generator: torch.Generator | None = None):
        self.x, self.y, self.generator = x, y, generator

    def __len__(self) -> int:
        return len(self.x) // BATCH if self.generator else -(-len(self.x) // BATCH)

    def __iter__(self):
        n = len(self.x)
        order = torch.randperm(n, generator=self.generator) if self.generator else torch.arange(n)
        for chosen in order.split(BATCH)[:len(self)]:
            yield self.x[chosen], self.y[chosen]


def features(n: int, width: int) -> tuple[Tensor, Tensor]:
    """Rows like a body's pooled features: sparse, positive, with a class in them, and noise."""
    source = torch.Generator().manual_seed(1)
    centres = torch.randn(CLASSES, width, generator=source)
    y = torch.randint(CLASSES, (n,), generator=source)
    return (centres[y] + 4 * torch.randn(n, width, generator=source)).relu() / 4, y


def make_learner(hidden: int | None = None, dropout: float | None = None, width: int = FEATURES,
                 n: int = 400, **options) -> Learner:
    """The same learner on features every time: create_head's layers after its pooling."""
    x, y = features(n, width * (1 if hidden is None else 2))
    torch.manual_seed(0)
    model = nn.Sequential(*list(create_head(width, CLASSES, hidden))[1:])
    for layer in model.modules():
        if isinstance(layer, nn.Dropout) and dropout is not None:
            layer.p = dropout
    cut = n * 3 // 4
    dls = SimpleNamespace(train=Rows(x[:cut], y[:cut], torch.Generator().manual_seed(42)),
                          valid=Rows(x[cut:], y[cut:]), vocab=[str(i) for i in range(CLASSES)],
                          device=torch.device("cpu"), bs=BATCH)
    return Learner(dls, model, **options)


def alone(learn: Learner, lr: float, epochs: int, **cycle) -> Learner:
    with contextlib.suppress(FloatingPointError):
        learn.fit_one_cycle(epochs, lr, **cycle)
    return learn


def assert_curve(curve: Tensor, losses: list[float], where: str) -> int:
    """Equal to 1e-4 up to where the loss alone passes 4 times its start; returns how many steps."""
    end = next((i for i, loss in enumerate(losses) if not loss <= 4 * losses[0]), len(losses))
    torch.testing.assert_close(curve[:end].double(), torch.tensor(losses[:end]).double(), rtol=1e-4,
                               atol=1e-4, msg=lambda text: f"{where}: {text}")
    return end


def assert_same_ends(swept: Sweep, k: int, learn: Learner) -> None:
    rows = learn.recorder.history
    for ours, name in ((swept.valid_losses, "valid_loss"), (swept.error_rates, "error_rate")):
        assert ours[k].tolist() == pytest.approx([getattr(row, name) for row in rows], abs=1e-4)


def kept(learn: Learner) -> PrecomputedLearner:
    """A learner on features, as `precompute` makes one."""
    return PrecomputedLearner(learn, learn.dls, learn.model)


@pytest.mark.parametrize("classes, width", [(2, 64), (5, 320), (11, 1280), (37, 512)])
def test_64_curves_are_those_of_learners_alone_where_rounding_errors_grow_too(classes, width):
    """Rates near divergence, where a program that adds in another order is off by 1e-3 and more."""
    def make() -> Learner:
        x, y = features(320, width)
        torch.manual_seed(classes)
        dls = SimpleNamespace(train=Rows(x[:256], y[:256] % classes, torch.Generator().manual_seed(1)),
                              valid=Rows(x[256:], y[256:] % classes), vocab=range(classes),
                              device=torch.device("cpu"), bs=BATCH)
        return kept(Learner(dls, nn.Sequential(nn.Linear(width, classes))))
    swept, off = sweep_lrs(make(), RATES, 3, suggest_funcs=()), 0
    assert module._is_linear(make())
    for curve, lr in zip(swept.losses, RATES, strict=True):
        losses = torch.tensor(alone(make(), lr, 3).recorder.losses)
        end = [*(losses > 4 * losses[0]).tolist(), True].index(True)
        off += not ((curve[:end] - losses[:end]).abs() <= 1e-4).all()  # NaN is off, too
    assert off <= 3, "on the processors we know it is 0"


@pytest.mark.parametrize("k", range(0, 64, 9))
def test_every_curve_of_64_is_that_of_a_learner_alone(k, linear_sweep):
    learn = alone(make_learner(), RATES[k], 2)
    end = assert_curve(linear_sweep.losses[k], learn.recorder.losses, f"rate {RATES[k]:.1e}")
    if end == len(learn.recorder.losses):
        assert_same_ends(linear_sweep, k, learn)


@pytest.fixture(scope="module")
def linear_sweep() -> Sweep:
    return sweep_lrs(make_learner(), RATES, 2, suggest_funcs=())


def test_shapes_are_rates_steps_and_epochs(linear_sweep):
    steps = 2 * len(make_learner().dls.train)
    assert linear_sweep.lrs == RATES and linear_sweep.n_epoch == 2
    assert linear_sweep.losses.shape == (64, steps)
    assert linear_sweep.valid_losses.shape == linear_sweep.error_rates.shape == (64, 2)
    assert torch.equal(linear_sweep.valid_loss, linear_sweep.valid_losses[:, 1])
    assert torch.equal(linear_sweep.error_rate, linear_sweep.error_rates[:, 1])


def test_rates_that_are_too_high_give_curves_that_diverge(linear_sweep):
    assert linear_sweep.losses[-1].max() > 4 * linear_sweep.losses[-1][0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ruined = sweep_lrs(make_learner(), [1e-3, 1e30], 1, suggest_funcs=())
    assert not ruined.losses[1].isfinite().all() and ruined.losses[0].isfinite().all()
    assert ruined.best == 1e-3
    torch.testing.assert_close(ruined.losses[0],
                               sweep_lrs(make_learner(), [1e-3], 1, suggest_funcs=()).losses[0])


@pytest.mark.parametrize("at_once", [1, 3, 64])
@pytest.mark.parametrize("hidden", [8, 32])
def test_the_default_head_without_dropout_is_that_of_a_learner_alone(hidden, at_once, monkeypatch):
    lrs = [1e-5, 1e-3, 1e-2, 10.0]
    def make() -> Learner:
        return make_learner(hidden, 0.0, width=64)
    n_numbers = sum(parameter.numel() for parameter in make().model.parameters())
    monkeypatch.setattr(module, "AT_ONCE", {"cpu": at_once * n_numbers})
    swept = sweep_lrs(make(), lrs, 2, suggest_funcs=())
    for k, lr in enumerate(lrs):
        learn = alone(make(), lr, 2)
        assert_curve(swept.losses[k], learn.recorder.losses, f"rate {lr}")
        if lr < 0.1:
            assert_same_ends(swept, k, learn)


def test_the_default_head_at_its_full_size_is_that_of_a_learner_alone():
    lrs = [1e-4, 1e-1, 1.0]
    swept = sweep_lrs(make_learner(512, 0.0, n=96), lrs, 2, suggest_funcs=())
    for curve, lr in zip(swept.losses, lrs, strict=True):
        assert_curve(curve, alone(make_learner(512, 0.0, n=96), lr, 2).recorder.losses, str(lr))


def test_dropout_is_on_while_training_and_off_while_validating(monkeypatch):
    quiet, noisy = (sweep_lrs(make_learner(8, p, width=64), [1e-12, 1e-11], 1, suggest_funcs=())
                    for p in (0.0, 0.9))
    assert (noisy.losses - quiet.losses).abs().mean() > 0.1
    learn = make_learner(8, 0.9, width=64)
    for _ in range(2):  # rates too low to move a weight: only BatchNorm's statistics learn
        alone(learn, 1e-12, 1)
        break
    assert noisy.valid_loss[0] == pytest.approx(learn.validate()[0], abs=0.2)


@pytest.mark.parametrize("options", [
    dict(loss_func=lambda x, y: cross_entropy(x, y, label_smoothing=0.2)),
    dict(opt_func=lambda groups, lr: torch.optim.SGD(groups, lr, momentum=0.9)),
    dict(opt_func=lambda groups, lr: torch.optim.AdamW(groups, lr, amsgrad=True)),
    dict(opt_func=lambda groups, lr: torch.optim.AdamW(groups, lr, weight_decay=1.0)),
    dict(opt_func=lambda groups, lr: adamw(groups, lr, weight_decay=0.3, eps=1e-3)),
], ids=["label smoothing", "SGD", "amsgrad", "not fused", "decay and eps"])
def test_a_loss_or_an_optimizer_of_ones_own_is_used(options):
    swept = sweep_lrs(make_learner(width=64, **options), [1e-3, 3e-2], 2, suggest_funcs=())
    plain = sweep_lrs(make_learner(width=64), [1e-3, 3e-2], 2, suggest_funcs=())
    assert (swept.losses - plain.losses).abs().max() > 1e-3, "the option did nothing"
    for k, lr in enumerate([1e-3, 3e-2]):
        learn = alone(make_learner(width=64, **options), lr, 2)
        assert_curve(swept.losses[k], learn.recorder.losses, f"rate {lr}")
        assert_same_ends(swept, k, learn)


def test_the_schedule_has_the_options_of_fit_one_cycle():
    cycle = dict(div=5.0, div_final=10.0, pct_start=0.6, moms=(0.9, 0.5, 0.9))
    swept = sweep_lrs(make_learner(width=64), [1e-2], 2, suggest_funcs=(), **cycle)
    learn = alone(make_learner(width=64), 1e-2, 2, **cycle)
    assert_curve(swept.losses[0], learn.recorder.losses, "options")
    plain = sweep_lrs(make_learner(width=64), [1e-2], 2, suggest_funcs=())
    assert (swept.losses - plain.losses).abs().max() > 1e-3


class Elsewhere(nn.Module):
    """One linear layer that is not simply applied: taking it for a linear head would be wrong."""
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flip(1)) * 2


@pytest.mark.parametrize("model, linear", [
    (lambda: nn.Sequential(nn.Linear(64, CLASSES)), True),
    (lambda: nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(64, CLASSES))), True),
    (lambda: nn.Sequential(nn.Linear(64, CLASSES, bias=False)), False),
    (lambda: nn.Sequential(nn.Dropout(0.0), nn.Linear(64, CLASSES)), False),
    (lambda: nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, CLASSES)), False),
    (lambda: nn.Sequential(nn.Linear(64, CLASSES), nn.ReLU()), False),
    (lambda: nn.Sequential(Elsewhere()), False),
    (Elsewhere, False),
], ids=["linear", "flatten", "no bias", "dropout", "two layers", "not last", "inside", "own"])
def test_only_a_linear_head_is_taken_for_one_and_all_train_as_alone(model, linear):
    def make() -> Learner:
        learn = make_learner(width=64, n=200)
        torch.manual_seed(3)
        learn.model = model()
        return learn
    assert module._is_linear(make()) == linear
    swept = sweep_lrs(make(), [1e-3, 1e-2], 1, suggest_funcs=())
    for k, lr in enumerate([1e-3, 1e-2]):
        learn = alone(make(), lr, 1)
        assert_curve(swept.losses[k], learn.recorder.losses, f"rate {lr}")
        assert_same_ends(swept, k, learn)


@pytest.mark.parametrize("hidden", [None, 8])
def test_it_leaves_no_trace(hidden):
    learn = make_learner(hidden, width=64)
    learn.fit(1, 1e-3)
    def state() -> dict:
        return copy.deepcopy({
            "weights": list(learn.model.state_dict().values()), "torch": torch.get_rng_state(),
            "order": learn.dls.train.generator.get_state(), "python": random.getstate(),
            "optimizer": [value["exp_avg"] for value in learn.opt.state.values()],
            "modes": torch.tensor([part.training for part in learn.model.modules()]),
            "gradients": [parameter.grad for parameter in learn.model.parameters()],
            "history": learn.recorder.losses})
    before = state()
    with pytest.raises(KeyboardInterrupt):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(module.Progress, "step", interrupt_at(7))
            sweep_lrs(learn, [1e-3, 10.0], 2, suggest_funcs=())
    sweep_lrs(learn, [1e-3, 10.0], 2).train(1e-2)
    torch.testing.assert_close(state(), before, rtol=0, atol=0)


def interrupt_at(nth: int):
    calls = iter(range(1, 10_000))
    def step(self) -> None:
        if next(calls) == nth:
            raise KeyboardInterrupt
    return step


@pytest.mark.parametrize("hidden", [None, 8])
def test_a_rate_trained_later_starts_where_the_sweep_did(hidden):
    learn = make_learner(hidden, 0.0, width=64)
    swept, whole = (sweep_lrs(learn, lrs, 2, suggest_funcs=())
                    for lrs in ([1e-3, 1e-1], [1e-3, 1e-2, 1e-1]))
    learn.fit(1, 1e-2)
    later = swept.train(1e-2)
    assert later.lrs == whole.lrs and swept.lrs == [1e-3, 1e-1]
    for name in ("losses", "valid_losses", "error_rates"):
        torch.testing.assert_close(getattr(later, name), getattr(whole, name), rtol=1e-4, atol=1e-4)
    assert later.train(1e-2) is later


@pytest.mark.parametrize("hidden", [None, 8])
@pytest.mark.parametrize("lr", [1e-3, 0.05, 10.0])
def test_a_single_rate_is_a_learner_alone_to_the_last_bit(hidden, lr):
    swept = sweep_lrs(make_learner(hidden), [lr], 2, suggest_funcs=())
    learn = alone(make_learner(hidden), lr, 2)
    assert swept.losses[0].tolist() == learn.recorder.losses
    assert swept.error_rate.item() == pytest.approx(learn.recorder.history[-1].error_rate)


def test_a_single_number_is_a_rate_and_a_single_function_a_rule():
    swept = sweep_lrs(make_learner(width=64), 1e-3, 1, suggest_funcs=valley)
    assert swept.lrs == [1e-3] and list(swept.suggestions) == ["valley"]


def test_a_sweep_without_a_finite_loss_has_a_picture():
    ruined = sweep_lrs(make_learner(), [1e30, 1e35], 1, suggest_funcs=())
    assert not ruined.valid_loss.isfinite().any()
    assert ruined._repr_png_()[0].startswith(b"\x89PNG")


def test_suggestions_are_those_of_lr_find():
    found, swept = make_learner(width=64).lr_find(), sweep_lrs(make_learner(width=64), [1e-3], 1)
    assert swept.suggestions == found.suggestions
    assert sweep_lrs(make_learner(width=64), [1e-3], 1, suggest_funcs=()).suggestions == {}


def test_rates_come_back_rising_each_once():
    swept = sweep_lrs(make_learner(width=64), (lr for lr in (1e-1, 1e-3, 1e-1)), 1, suggest_funcs=())
    assert swept.lrs == [1e-3, 1e-1]
    other = sweep_lrs(make_learner(width=64), np.array([1e-3]), 1, suggest_funcs=())
    torch.testing.assert_close(swept.losses[0], other.losses[0], rtol=1e-5, atol=1e-5)
    assert type(other.lrs[0]) is float


def test_a_learner_on_pictures_is_precomputed_first(small_learner):
    learn, other, third = (small_learner() for _ in range(3))
    for one in (learn, other, third):
        one.freeze()
        one.model[1][2].p = 0.0
    swept = sweep_lrs(learn, [1e-3, 1e-1], 2, suggest_funcs=())
    again = sweep_lrs(other.precompute(), [1e-3, 1e-1], 2, suggest_funcs=())
    assert torch.equal(swept.losses, again.losses)
    assert_curve(swept.losses[1], alone(third, 1e-1, 2).recorder.losses, "live")


def test_a_learner_with_augmentation_is_refused_with_the_reason(small_learner):
    learn = small_learner(augment=True)
    learn.freeze()
    with pytest.raises(ValueError, match="Augmentation is on"):
        sweep_lrs(learn, [1e-3], 1)


@pytest.mark.parametrize("lrs, epochs, said", [
    ([], 1, "at least one rate"), ([1e-3], 0, "epochs=0"), ([1e-3], -1, "epochs=-1"),
    ([1e-3], 1.5, "epochs=1.5"), ([1e-3, 0.0], 1, "positive"), ([math.nan], 1, "positive"),
    ([math.inf], 1, "positive"), ([-1e-3], 1, "positive"), (["1e-3"], 1, "positive"),
])
def test_bad_arguments_are_refused_with_what_to_type(lrs, epochs, said):
    with pytest.raises(ValueError, match=said):
        sweep_lrs(make_learner(width=64), lrs, epochs)


def test_a_head_of_another_width_is_refused_naming_both():
    learn = make_learner(width=64)
    learn.dls.vocab = ["a", "b", "c"]
    with pytest.raises(ValueError, match="11 numbers .* 3 classes"):
        sweep_lrs(learn, [1e-3], 1)


def test_best_is_the_lowest_loss_among_the_finite():
    losses = torch.tensor([[2.0], [1.0], [1.5], [math.nan], [math.inf]])
    errors = torch.tensor([[0.5], [0.3], [0.2], [0.1], [0.1]])
    lrs = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    assert Sweep(lrs, losses, losses, errors, {}, lambda lrs: None).best == 1e-3
    assert math.isnan(Sweep(lrs[3:], losses, losses[3:], errors[3:], {}, lambda lrs: None).best)


def test_its_picture_names_every_rule_and_leaves_no_figure_open(linear_sweep):
    open_before = plt.get_fignums()
    png, about = linear_sweep._repr_png_()
    assert png.startswith(b"\x89PNG") and about["alt"] == repr(linear_sweep)
    assert plt.get_fignums() == open_before
    figure, ax = plt.subplots()
    swept = copy.copy(linear_sweep)
    swept.suggestions = {"minimum": 1e-2, "valley": 2e-3}
    assert swept.plot(ax) is None
    legend, = (each.get_legend() for each in figure.axes if each.get_legend())
    assert [text.get_text() for text in legend.get_texts()] == [
        "validation loss", "minimum 1.0e-02", "valley 2.0e-03", "error"]
    assert ax.get_xscale() == "log" and "rate" in ax.get_xlabel() and "loss" in ax.get_ylabel()
    plt.close(figure)


def test_error_rates_are_counted_as_error_rate_counts():
    learn = make_learner(width=64)
    swept = sweep_lrs(learn, [1e-2], 1, suggest_funcs=())
    alone(learn, 1e-2, 1)
    assert swept.error_rate[0].item() == pytest.approx(error_rate(*learn.get_logits()))
