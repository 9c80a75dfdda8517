"""`sweep_lrs`: the same trainings as a Learner's alone at each learning rate, and no trace of it."""
import contextlib
import copy
import itertools
import math
import random
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from counting import operators
from matplotlib import pyplot as plt
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from transfer_lessons import sweep as module
from transfer_lessons.backbones import create_head
from transfer_lessons.core import wilson_interval
from transfer_lessons.learner import Learner, error_rate
from transfer_lessons.losses import cross_entropy
from transfer_lessons.lr_finder import valley
from transfer_lessons.optim import adamw
from transfer_lessons.precompute import PrecomputedLearner
from transfer_lessons.sweep import Sweep, sweep_lrs

FEATURES, CLASSES, BATCH = 1280, 11, 16
LRS = np.geomspace(1e-5, 10, 64).tolist()


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
                 n: int = 400, classes: int = CLASSES, **options) -> Learner:
    """The same learner on features every time: create_head's layers after its pooling."""
    x, y = features(n, width * (1 if hidden is None else 2))
    y = y % classes
    torch.manual_seed(0)
    model = nn.Sequential(*list(create_head(width, classes, hidden))[1:])
    for layer in model.modules():
        if isinstance(layer, nn.Dropout) and dropout is not None:
            layer.p = dropout
    cut = n * 3 // 4
    dls = SimpleNamespace(train=Rows(x[:cut], y[:cut], torch.Generator().manual_seed(42)),
                          valid=Rows(x[cut:], y[cut:]), vocab=[str(i) for i in range(classes)],
                          device=torch.device("cpu"), bs=BATCH)
    return Learner(dls, model, **options)


def alone(learn: Learner, lr: float, epochs: int, **cycle) -> Learner:
    with contextlib.suppress(FloatingPointError):
        learn.fit_one_cycle(epochs, lr, **cycle)
    return learn


def assert_curve(curve: Tensor, losses: list[float], where: str) -> int:
    """Equal to 1e-4 up to divergence, where the loss passes twice its first; returns the step."""
    end = next((i for i, loss in enumerate(losses) if not loss <= 2 * losses[0]), len(losses))
    torch.testing.assert_close(curve[:end].double(), torch.tensor(losses[:end]).double(), rtol=0,
                               atol=1e-4, msg=lambda text: f"{where}: {text}")
    return end


def assert_same_ends(swept: Sweep, k: int, learn: Learner) -> None:
    rows = learn.recorder.history
    for ours, name in ((swept.valid_losses, "valid_loss"), (swept.error_rates, "error_rate")):
        assert ours[k].tolist() == pytest.approx([getattr(row, name) for row in rows], abs=1e-4)


def assert_as_alone(make, lrs: list[float], epochs: int = 1, **cycle) -> Sweep:
    """Every curve of a sweep is that of a learner alone."""
    swept = sweep_lrs(make(), lrs, epochs, suggest_funcs=(), **cycle)
    for k, lr in enumerate(lrs):
        learn = alone(make(), lr, epochs, **cycle)
        end = assert_curve(swept.losses[k], learn.recorder.losses, f"learning rate {lr}")
        if end == swept.losses.shape[1]:
            assert_same_ends(swept, k, learn)
    return swept


def trains_together(learn: Learner) -> bool:
    return module.SweepStart(learn, [(1.0, 0.9)]).together


@pytest.mark.parametrize("classes, width", [(2, 64), (11, 1280), (37, 320)])
def test_64_curves_are_those_of_learners_alone_up_to_divergence(classes, width):
    def make() -> Learner:
        learn = make_learner(width=width, n=240, classes=classes)
        return PrecomputedLearner(learn, learn.dls, learn.model)
    assert trains_together(make())
    assert_as_alone(make, LRS, 3)


def test_shapes_are_learning_rates_steps_and_epochs():
    learn = make_learner(width=64)
    swept = sweep_lrs(learn, LRS, 2, suggest_funcs=())
    assert swept.lrs == LRS
    assert swept.n_epoch == 2
    assert swept.n_valid == len(learn.dls.valid.x)
    assert swept.losses.shape == (64, 2 * len(learn.dls.train))
    assert swept.valid_losses.shape == swept.error_rates.shape == (64, 2)
    assert torch.equal(swept.valid_loss, swept.valid_losses[:, 1])
    assert torch.equal(swept.error_rate, swept.error_rates[:, 1])


@pytest.mark.parametrize("hidden", [None, 8])
def test_a_learning_rate_that_is_too_high_gives_a_curve_that_diverges(hidden):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        swept = sweep_lrs(make_learner(hidden, 0.0, width=64), [1e-3, 1e30], 2, suggest_funcs=())
    assert not swept.losses[1].isfinite().all()
    assert swept.losses[0].isfinite().all()
    assert swept.best == 1e-3
    low, high = swept.error_intervals()[0].tolist()
    assert low < swept.error_rate[0] < high


@pytest.mark.parametrize("hidden", [8, 512])
def test_another_head_trains_as_a_learner_alone_to_the_last_bit(hidden):
    """With dropout and BatchNorm: the random numbers are the same, too."""
    def make() -> Learner:
        return make_learner(hidden, n=96, width=320)
    assert not trains_together(make())
    for lr, curve in zip([1e-4, 0.1], sweep_lrs(make(), [1e-4, 0.1], 2, suggest_funcs=()).losses,
                         strict=True):
        assert curve.tolist() == pytest.approx(alone(make(), lr, 2).recorder.losses, abs=1e-7)


def two_decays(groups: list[dict], lr: float) -> torch.optim.Optimizer:
    """AdamW with a strong decay on half of the parameters, whatever the groups said."""
    (weight,), (bias,) = (group["params"] for group in groups)
    return torch.optim.AdamW([{"params": [weight], "weight_decay": 2.0, "layer_group": 0},
                              {"params": [bias], "weight_decay": 0.5, "layer_group": 0}], lr)


def two_eps(groups: list[dict], lr: float) -> torch.optim.Optimizer:
    return adamw([{**group, "eps": eps} for group, eps in zip(groups, (1e-2, 1e-8), strict=True)], lr)


def with_step_hook(groups: list[dict], lr: float) -> torch.optim.Optimizer:
    """AdamW that clips what it has done: weights stay between -0.01 and 0.01."""
    opt = adamw(groups, lr)
    def clip(opt: torch.optim.Optimizer, *_) -> None:
        for group in opt.param_groups:
            for parameter in group["params"]:
                parameter.data.clamp_(-0.01, 0.01)
    opt.register_step_post_hook(clip)
    return opt


class SlowAdamW(torch.optim.AdamW):
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            group["lr"] /= 10
        super().step(closure)


def scheduled(groups: list[dict], lr: float) -> torch.optim.Optimizer:
    """AdamW with a scheduler that is stepped by a hook, and a weight decay that follows it."""
    opt = adamw(groups, lr)
    def decay_more(opt: torch.optim.Optimizer, *_) -> None:
        for group in opt.param_groups:
            group["weight_decay"] = min(group["weight_decay"] + 0.1, 2.0)
    opt.register_step_pre_hook(decay_more)
    return opt


def momentum_per_group(groups: list[dict], lr: float) -> torch.optim.Optimizer:
    return adamw([{**group, "betas": betas} for group, betas in zip(groups, ((0.5, 0.9), (0.9, 0.999)), strict=True)],
                 lr)


OWN = {
    "scheduler": (dict(opt_func=scheduled), False),
    "momentum per group": (dict(opt_func=momentum_per_group), False),
    "SGD with nesterov": (dict(opt_func=partial(torch.optim.SGD, momentum=0.9, nesterov=True)), False),
    "SGD without momentum": (dict(opt_func=torch.optim.SGD), False),
    "RMSprop": (dict(opt_func=torch.optim.RMSprop), False),
    "Adam with coupled decay": (dict(opt_func=partial(torch.optim.Adam, weight_decay=0.1)), False),
    "not foreach": (dict(opt_func=partial(torch.optim.AdamW, foreach=False)), True),
    "fused": (dict(opt_func=partial(torch.optim.AdamW, fused=True)), True),
    "betas of its own": (dict(opt_func=partial(adamw, betas=(0.5, 0.9))), True),
    "two weight decays": (dict(opt_func=two_decays), False),
    "two eps": (dict(opt_func=two_eps), False),
    "step hook": (dict(opt_func=with_step_hook), False),
    "subclass": (dict(opt_func=SlowAdamW), False),
    "SGD": (dict(opt_func=partial(torch.optim.SGD, momentum=0.9)), False),
    "amsgrad": (dict(opt_func=partial(torch.optim.AdamW, amsgrad=True)), False),
    "maximize": (dict(opt_func=partial(torch.optim.AdamW, maximize=True)), False),
    "label smoothing": (dict(loss_func=partial(cross_entropy, label_smoothing=0.2)), False),
    "AdamW's own defaults": (dict(opt_func=torch.optim.AdamW), True),
    "decay and eps": (dict(opt_func=partial(adamw, weight_decay=0.9, eps=1e-2)), True),
}


@pytest.mark.case("sweeps: optimizers with per-group settings or hooks", "the learner's own curves, to 1e-4")
@pytest.mark.parametrize("options, together", OWN.values(), ids=OWN)
def test_an_optimizer_or_a_loss_of_ones_own_gives_the_learners_own_curves(options, together):
    def make() -> Learner:
        return make_learner(width=64, **options)
    assert trains_together(make()) == together
    swept = assert_as_alone(make, [1e-3, 3e-2], 2)
    plain = sweep_lrs(make_learner(width=64), [1e-3, 3e-2], 2, suggest_funcs=())
    assert (swept.losses - plain.losses).abs().max() > 1e-3, "the option did nothing"


def test_biases_do_not_decay_in_a_sweep_either():
    """The learner's own groups have two weight decays: 0.01 or more for weights, none for biases."""
    def make() -> Learner:
        return make_learner(width=64, opt_func=partial(adamw, weight_decay=1.0))
    assert [group["weight_decay"] for group in make().create_opt().param_groups] == [1.0, 0.0]
    assert trains_together(make())
    assert_as_alone(make, [1e-2, 5e-2], 2)


def test_a_learner_of_ones_own_is_asked_for_every_step():
    class Half(Learner):
        def train_step(self, xb: Tensor, yb: Tensor) -> float:
            return super().train_step(xb / 2, yb)
    def make() -> Learner:
        plain = make_learner(width=64)
        return Half(plain.dls, plain.model)
    assert not trains_together(make())
    assert_as_alone(make, [1e-2])


def test_the_schedule_has_the_options_of_fit_one_cycle():
    cycle = dict(div=5.0, div_final=10.0, pct_start=0.6, moms=(0.9, 0.5, 0.9))
    swept = assert_as_alone(lambda: make_learner(width=64), [1e-2], 2, **cycle)
    plain = sweep_lrs(make_learner(width=64), [1e-2], 2, suggest_funcs=())
    assert (swept.losses - plain.losses).abs().max() > 1e-3


class Elsewhere(nn.Module):
    """One linear layer that is not simply applied: training it as a linear head would be wrong."""
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flip(1)) * 2


class Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def half_frozen() -> nn.Module:
    model = nn.Linear(64, CLASSES)
    model.bias.requires_grad_(False)
    return model


MODELS = {
    "linear": (lambda: nn.Linear(64, CLASSES), True),
    "in boxes": (lambda: nn.Sequential(nn.Sequential(nn.Linear(64, CLASSES))), True),
    "no bias": (lambda: nn.Linear(64, CLASSES, bias=False), False),
    "dropout": (lambda: nn.Sequential(nn.Dropout(0.0), nn.Linear(64, CLASSES)), False),
    "two layers": (lambda: nn.Sequential(nn.Linear(64, 8), nn.Linear(8, CLASSES)), False),
    "not last": (lambda: nn.Sequential(nn.Linear(64, CLASSES), nn.ReLU()), False),
    "inside": (lambda: nn.Sequential(Elsewhere()), False),
    "its own": (Elsewhere, False),
    "subclass": (lambda: nn.Sequential(Doubled(64, CLASSES)), False),
}


@pytest.mark.parametrize("model, together", MODELS.values(), ids=MODELS)
def test_only_linear_heads_train_together_and_all_train_as_alone(model, together):
    def make() -> Learner:
        learn = make_learner(width=64, n=200)
        torch.manual_seed(3)
        learn.model = model()
        return learn
    assert trains_together(make()) == together
    assert_as_alone(make, [1e-3, 1e-2])


def test_a_head_that_trains_in_part_trains_as_a_learner_does():
    def make() -> Learner:
        learn = make_learner(width=64, n=200)
        torch.manual_seed(3)
        learn.model = half_frozen()
        return PrecomputedLearner(learn, learn.dls, learn.model)
    assert not trains_together(make())
    assert_as_alone(make, [1e-2])


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
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patched:
        patched.setattr(module.Progress, "step", interrupt_at(7))
        sweep_lrs(learn, [1e-3, 10.0], 2, suggest_funcs=())
    sweep_lrs(learn, [1e-3, 10.0], 2).train(1e-2)
    torch.testing.assert_close(state(), before, rtol=0, atol=0)
    assert learn.metrics == [error_rate]


def interrupt_at(nth: int):
    calls = iter(range(1, 10_000))
    def step(self) -> None:
        if next(calls) == nth:
            raise KeyboardInterrupt
    return step


@pytest.mark.parametrize("hidden", [None, 8])
def test_a_learning_rate_trained_later_starts_where_the_sweep_did(hidden):
    learn = make_learner(hidden, width=64)
    swept = sweep_lrs(learn, [1e-3, 1e-1], 2, suggest_funcs=())
    whole = sweep_lrs(learn, [1e-3, 1e-2, 1e-1], 2, suggest_funcs=())
    learn.fit(1, 1e-2)
    later = swept.train(1e-2)
    assert later.lrs == whole.lrs
    assert swept.lrs == [1e-3, 1e-1]
    assert later.n_valid == swept.n_valid
    for name in ("losses", "valid_losses", "error_rates"):
        torch.testing.assert_close(getattr(later, name), getattr(whole, name), rtol=1e-4, atol=1e-4)
    assert later.train(1e-2) is later


def test_a_single_number_is_a_learning_rate_and_a_single_function_a_suggestion():
    swept = sweep_lrs(make_learner(width=64), 1e-3, 1, suggest_funcs=valley)
    assert swept.lrs == [1e-3]
    assert list(swept.suggestions) == ["valley"]


def test_suggestions_are_those_of_lr_find():
    found = make_learner(width=64).lr_find()
    swept = sweep_lrs(make_learner(width=64), [1e-3], 1)
    assert swept.suggestions == found.suggestions
    assert sweep_lrs(make_learner(width=64), [1e-3], 1, suggest_funcs=()).suggestions == {}


@pytest.mark.parametrize("lrs", [
    (lr for lr in (1e-1, 1e-3, 1e-1)), np.array([1e-1, 1e-3]), torch.tensor([[1e-1], [1e-3]]).double(),
    [torch.tensor(1e-1).double(), np.float64(1e-3)],
], ids=["generator", "numpy", "tensor", "list of both"])
def test_learning_rates_come_back_in_order_each_once_as_plain_numbers(lrs):
    swept = sweep_lrs(make_learner(width=64), lrs, 1, suggest_funcs=())
    assert swept.lrs == pytest.approx([1e-3, 1e-1])
    assert {type(lr) for lr in swept.lrs} == {float}


def test_a_learner_on_images_is_precomputed_first(small_learner):
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
    ([], 1, "at least one"), (np.array([]), 1, "at least one"), ([1e-3], 0, "epochs must"),
    ([1e-3], -1, "epochs must"), ([1e-3], 1.5, "epochs must"), ([1e-3, 0.0], 1, "positive"),
    ([math.nan], 1, "positive"), ([math.inf], 1, "positive"), ([-1e-3], 1, "positive"),
    (["1e-3"], 1, "positive"), ("1e-3", 1, "lrs must be"), (torch.tensor([-1.0]), 1, "positive"),
])
def test_bad_arguments_are_refused_with_what_to_type(lrs, epochs, said):
    with pytest.raises(ValueError, match=said):
        sweep_lrs(make_learner(width=64), lrs, epochs)


@pytest.mark.parametrize("hidden", [None, 8])
def test_a_head_of_another_width_is_refused_naming_both(hidden):
    learn = make_learner(hidden, width=64)
    learn.dls.vocab = ["a", "b", "c"]
    with pytest.raises(ValueError, match="must give 3 logits .* it gives 11"):
        sweep_lrs(learn, [1e-3], 1)


@pytest.fixture
def global_hook():
    def clip(opt: torch.optim.Optimizer, *_) -> None:
        for group in opt.param_groups:
            for parameter in group["params"]:
                parameter.data.clamp_(-0.01, 0.01)
    handle = register_optimizer_step_post_hook(clip)
    yield
    handle.remove()


@pytest.mark.case("sweeps: a hook on every optimizer, or on the layer", "the learner's own curves")
def test_a_hook_that_no_setting_shows_is_seen_in_the_numbers(global_hook):
    assert not trains_together(make_learner(width=64))
    assert_as_alone(lambda: make_learner(width=64), [1e-3, 3e-2], 2)


def test_a_hook_on_the_layer_is_seen_too():
    def make() -> Learner:
        learn = make_learner(width=64)
        learn.model[-1].register_forward_hook(lambda layer, inputs, output: 3 * output)
        return learn
    assert not trains_together(make())
    assert_as_alone(make, [1e-3, 3e-2], 1)


def test_a_step_of_ones_own_on_the_learner_is_asked_for():
    def make() -> Learner:
        learn = make_learner(width=64)
        own_step = type(learn).train_step
        def twice(xb, yb):
            own_step(learn, xb, yb)
            return own_step(learn, xb, yb)
        learn.train_step = twice
        return learn
    assert not trains_together(make())


@pytest.mark.case("out of memory in sweep_lrs", "the advice of fit")
def test_out_of_memory_gives_the_advice_of_fit():
    calls = itertools.count()
    def full(logits, targets):
        if next(calls) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return cross_entropy(logits, targets)
    with pytest.raises(torch.OutOfMemoryError, match=f"Out of memory in .*bs={BATCH}.*bs={BATCH // 2}"):
        sweep_lrs(make_learner(width=64, loss_func=full), [1e-3, 1e-2], 2, suggest_funcs=())


@pytest.mark.case("arguments of training: numpy and torch arrays as learning rates in sweep_lrs", "taken")
@pytest.mark.parametrize("lrs", [torch.logspace(-5, 0, 6), np.logspace(-5, 0, 6), torch.logspace(-5, 0, 6)[None],
                                 (10.0 ** p for p in range(-5, 1)), iter(torch.logspace(-5, 0, 6)), range(1, 7)])
def test_arrays_tensors_and_generators_of_learning_rates_are_taken(lrs):
    swept = sweep_lrs(make_learner(width=64), lrs, np.int64(1), suggest_funcs=())
    assert len(swept.lrs) == 6 and all(type(lr) is float for lr in swept.lrs)


@pytest.mark.parametrize("options", [
    {"learn": None}, {"learn": 3}, {"lrs": None}, {"lrs": "1e-3"}, {"lrs": {}}, {"lrs": []}, {"lrs": [None]},
    {"lrs": [1e-3, math.nan]}, {"epochs": 1.5}, {"suggest_funcs": 3}, {"suggest_funcs": [3]}, {"div": 0},
    {"div_final": "x"}, {"pct_start": 2}, {"moms": 0.9}, {"moms": (1, 2)}])
def test_every_argument_is_checked_before_anything_runs(options):
    learn = make_learner(width=64, loss_func=lambda *_: pytest.fail("it ran"))
    with pytest.raises(ValueError):
        sweep_lrs(**{"learn": learn, "lrs": [1e-3], "epochs": 1, **options})


def made_by_hand(**changes) -> Sweep:
    losses = torch.tensor([[2.0], [1.0], [1.5], [math.nan], [math.inf]])
    errors = torch.tensor([[0.5], [0.3], [0.2], [math.nan], [0.1]])
    fields = dict(lrs=[1e-4, 1e-3, 1e-2, 1e-1, 1.0], losses=losses, valid_losses=losses,
                  error_rates=errors, suggestions={}, runner=None, n_valid=10)
    return Sweep(**{**fields, **changes})


def test_best_is_the_lowest_loss_among_the_finite():
    assert made_by_hand().best == 1e-3
    assert math.isnan(made_by_hand(valid_losses=torch.full((5, 1), math.nan)).best)


def test_intervals_are_wilsons():
    intervals = made_by_hand().error_intervals()
    assert intervals[0].tolist() == pytest.approx(wilson_interval(5, 10))
    assert intervals[3].isnan().all()


def test_suggestions_stand_on_the_curves():
    figure, axes = plt.subplots(2, 1)
    swept = made_by_hand(suggestions={"minimum": 1e-3, "steep": math.sqrt(1e-7), "far": 100.0})
    assert swept.plot(axes) is None
    for ax, heights in ((axes[0], [1.0, 1.5]), (axes[1], [30.0, 40.0])):
        marks = {line.get_label().split()[0]: line.get_ydata()[0] for line in ax.get_lines()[1:]}
        assert [marks["minimum"], marks["steep"]] == pytest.approx(heights)
        assert math.isnan(marks["far"]), "outside of the learning rates that were trained"
        assert ax.get_xscale() == "log"
    plt.close(figure)


@pytest.mark.parametrize("changes", [{}, {"suggestions": {"valley": 2e-3}},
                                     {"valid_losses": torch.full((5, 1), math.nan)}])
def test_it_shows_itself_and_leaves_no_figure_open(changes):
    open_before = plt.get_fignums()
    swept = made_by_hand(**changes)
    png, about = swept._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert about["alt"] == repr(swept)
    assert plt.get_fignums() == open_before


def test_error_rates_are_counted_as_error_rate_counts():
    learn = make_learner(width=64)
    swept = sweep_lrs(learn, [1e-2], 1, suggest_funcs=())
    alone(learn, 1e-2, 1)
    assert swept.error_rate[0].item() == pytest.approx(error_rate(*learn.get_logits()))


def test_a_step_of_64_heads_reads_no_number_and_has_as_many_operators_as_one_of_a_single_head():
    learn = make_learner()
    linear = next(layer for layer in learn.model.modules() if isinstance(layer, nn.Linear))
    xb, yb = next(iter(learn.dls.train))
    counts = []
    for lrs in ([1e-3], LRS):
        heads = module.LinearHeads(linear, lrs, learn.create_opt().param_groups)
        counts.append(operators(lambda heads=heads: heads.train_step(xb, yb, 1.0, 0.9)))
    assert counts[0] == counts[1]
    assert counts[0]["_local_scalar_dense"] == 0
    assert sum(counts[0].values()) <= 34


def test_a_sweep_in_bfloat16_trains_together_as_a_learner_does_alone():
    learn = make_learner().to_bf16()
    lrs = [1e-4, 1e-3]
    together = sweep_lrs(learn, lrs, 2, suggest_funcs=())
    assert module.SweepStart(learn, []).together
    for lr, curve in zip(lrs, together.losses, strict=True):
        with module.temporary_copy(learn) as alone:
            alone.fit_one_cycle(2, lr)
        torch.testing.assert_close(curve, torch.tensor(alone.recorder.losses), rtol=0.02, atol=0.02)
