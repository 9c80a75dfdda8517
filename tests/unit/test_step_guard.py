"""A step that asks the device for nothing: the history of a bare loop, and bad steps left out."""
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from counting import Operators
from small import small_model
from torch import nn

from transfer_lessons import lr_finder  # noqa: F401  it adds lr_find to Learner
from transfer_lessons.backbones import vision_model
from transfer_lessons.freezing import group_parameters
from transfer_lessons.learner import Learner, error_rate
from transfer_lessons.losses import cross_entropy
from transfer_lessons.optim import adamw, param_groups
from transfer_lessons.precision import Precision
from transfer_lessons.step_guard import STEPS_PER_READ, LossReader, StepGuard

pytestmark = pytest.mark.usefixtures("one_thread")
READ = "_local_scalar_dense"
OPTIMIZERS = {
    "adamw": adamw, "adam": partial(torch.optim.Adam, fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9, fused=True),
    "not fused": partial(torch.optim.SGD, momentum=0.9), "rmsprop": torch.optim.RMSprop,
    "for each": partial(torch.optim.AdamW, foreach=True)}


@pytest.fixture(params=["at once", "late"])
def arrival(request, monkeypatch):
    """Losses are there as soon as they are sent, as on a CPU, or as late as they may be, as on a GPU."""
    if request.param == "late":
        monkeypatch.setattr(LossReader, "_has_arrived", lambda self: False)
    return request.param


def bare_steps(learn: Learner, opt, n_epoch: int = 1, stop: int | None = None) -> list[float]:
    """Losses of a loop written out, up to a step."""
    losses = []
    for _ in range(n_epoch):
        learn.model.train()
        for xb, yb in learn.dls.train:
            if len(losses) == stop:
                return losses
            loss = learn.loss_func(learn.model(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()
            losses.append(loss.item())
    return losses


def optimizer(learn: Learner, lr: float):
    """A new optimizer as `fit` makes it."""
    return learn.opt_func(param_groups(group_parameters(learn.model)), lr=lr)


def state(learn: Learner) -> dict:
    return {key: value.clone() for key, value in learn.model.state_dict().items()}


@pytest.mark.parametrize("opt_func", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("loss_func", [cross_entropy, F.cross_entropy], ids=["ours", "torch's"])
def test_the_history_is_that_of_a_bare_loop_to_the_number(small_learner, assert_same, arrival, opt_func,
                                                          loss_func):
    learn, bare = (small_learner(opt_func=opt_func, loss_func=loss_func) for _ in range(2))
    torch.manual_seed(1)
    losses = bare_steps(bare, optimizer(bare, 1e-2), n_epoch=3)
    torch.manual_seed(1)
    learn.fit(3, 1e-2)
    record = learn.recorder
    assert record.losses == losses
    for epoch, row in enumerate(record.history):
        total = 0.0
        for loss in losses[4 * epoch:4 * epoch + 4]:
            total += loss
        assert row.train_loss == total / 4
    assert_same(state(bare), state(learn))
    assert record.history[-1].error_rate == bare.validate()[1]


class Injected:
    """Makes something NaN or infinite at one training step of a learner, counted from 0."""
    def __init__(self, learn: Learner, what: str, step: int):
        self.step, self.n_steps, self.what = step, 0, what
        learn.model.register_forward_pre_hook(self.count)
        learn.model[0][1].register_forward_hook(self.statistic)
        learn.model[1][3].weight.register_hook(self.gradient)
        self.loss_func = learn.loss_func
        learn.loss_func = self.loss

    def count(self, model, inputs):
        self.n_steps += model.training and torch.is_grad_enabled()

    def now(self, what: str) -> bool:
        return self.what == what and self.n_steps == self.step + 1

    def loss(self, logits, targets):
        loss = self.loss_func(logits, targets)
        return loss * math.nan if self.now("loss") and logits.requires_grad else loss

    def gradient(self, gradient):
        return gradient * math.inf if self.now("gradient") else gradient

    def statistic(self, layer, inputs, outputs):
        if self.now("statistic"):
            layer.running_var.data[1] = math.inf


@pytest.mark.case("a loss that is NaN", "weights and statistics stay those before the step, which is named")
@pytest.mark.parametrize("opt_func", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("what", ["loss", "gradient", "statistic"])
@pytest.mark.parametrize("step", [0, 6])
def test_a_bad_step_leaves_all_as_before_it_and_is_named(small_learner, assert_same, arrival, opt_func, what,
                                                         step):
    learn, bare = small_learner(opt_func=opt_func), small_learner(opt_func=opt_func)
    Injected(learn, what, step)
    torch.manual_seed(1)
    with pytest.raises(FloatingPointError) as caught:
        learn.fit(3, 1e-2, schedule=lambda progress: 1.0 if progress * 12 != step else 0.5)
    torch.manual_seed(1)
    losses = bare_steps(bare, optimizer(bare, 1e-2), n_epoch=3, stop=step)
    message = str(caught.value)
    assert f"at step {step} (epoch {step // 4}, both counted from 0), learning rate 0.005" in message
    assert {"loss": "The loss is nan", "gradient": "The largest gradient is",
            "statistic": "The largest BatchNorm statistic is inf"}[what] in message
    assert_same(state(bare), state(learn))
    record = learn.recorder
    assert record.losses == losses and len(record.lrs) == len(record.moms) == step
    assert all(value.isfinite().all() for values in learn.opt.state.values() for value in values.values())


def test_it_is_noticed_at_most_eight_steps_later(small_learner, arrival):
    learn = small_learner()
    injected = Injected(learn, "loss", 20)
    with pytest.raises(FloatingPointError, match="step 20"):
        fit_in_one_epoch(learn, 64)
    assert injected.n_steps - 20 <= 2 * STEPS_PER_READ


def fit_in_one_epoch(learn: Learner, n_steps: int) -> None:
    """An epoch of more batches than the images give."""
    batches = list(learn.dls.train)
    learn.dls.train = Batches(batches * (n_steps // len(batches)), learn.dls.train)
    learn.fit(1, 1e-2)


class Batches(list):
    """Batches of one's own, with what a training loader has."""
    def __init__(self, batches, dl):
        super().__init__(batches)
        self.vocab, self.bs, self.augment, self.generator = dl.vocab, dl.bs, dl.augment, dl.generator


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "not fused", "rmsprop"])
def test_a_fused_optimizers_step_reads_nothing_and_any_other_one_number(small_learner, name):
    learn = small_learner(opt_func=OPTIMIZERS[name])
    batches, reader = list(learn.dls.train), LossReader([])
    with Operators() as operators:
        for xb, yb in batches * 4:
            reader.add(learn.train_step(xb, yb), learn.guard)
    expected = 0 if name in ("adamw", "adam", "sgd") else 16
    assert operators.names[READ] == expected and len(reader.losses) == 16


def test_operators_per_step_are_at_most_a_tenth_more_than_in_a_bare_loop(small_learner):
    model = vision_model(n_classes=3, pretrained=False, hidden=512)
    learn = small_learner(model)
    xb, yb = learn.dls.one_batch()
    xb = xb.repeat(1, 1, 2, 2).contiguous(memory_format=learn.memory_format)
    def ours() -> None:
        reader = LossReader([])
        for _ in range(STEPS_PER_READ):
            reader.add(learn.train_step(xb, yb), learn.guard)
    def bare() -> None:
        for _ in range(STEPS_PER_READ):
            F.cross_entropy(model(xb), yb).backward()
            learn.opt.step()
            learn.opt.zero_grad()
    model.train()
    counts = []
    for steps in (ours, bare):
        steps()  # the first steps also make the optimizer's state
        with Operators() as operators:
            steps()
        counts.append(operators.names.total())
    assert counts[0] <= 1.1 * counts[1] and counts[1] > 1000


def test_what_it_adds_does_not_grow_with_the_network(small_learner):
    def count(n_layers: int) -> tuple[int, int]:
        layers = [nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)) for _ in range(n_layers)]
        learn = small_learner(nn.Sequential(nn.Sequential(*layers), small_model()))
        xb, yb = learn.dls.one_batch()
        learn.model.train()
        learn.train_step(xb, yb)
        with Operators() as ours:
            learn.train_step(xb, yb)
        with Operators() as bare:
            learn.loss_func(learn.model(xb), yb).backward()
            learn.opt.step()
            learn.opt.zero_grad()
        return ours.names.total() - bare.names.total()
    assert count(4) == count(20)


@pytest.mark.parametrize("at", range(9))
def test_ctrl_c_leaves_lists_of_equal_length_and_all_losses(small_learner, arrival, at):
    learn, bare = small_learner(), small_learner()
    def loss_func(logits, targets):
        if len(learn.recorder.lrs) == at + 1:
            raise KeyboardInterrupt
        return cross_entropy(logits, targets)
    learn.loss_func = loss_func
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(3, 1e-2)
    torch.manual_seed(1)
    record = learn.recorder
    assert record.losses == bare_steps(bare, optimizer(bare, 1e-2), n_epoch=3, stop=at)
    assert len(record.losses) == len(record.lrs) == len(record.moms) == at


def test_ctrl_c_before_a_bad_step_is_noticed_leaves_all_as_before_it(small_learner, assert_same):
    learn, bare = small_learner(), small_learner()
    Injected(learn, "loss", 4)
    injected = learn.loss_func
    def loss_func(logits, targets):
        if len(learn.recorder.lrs) == 7:
            raise KeyboardInterrupt
        return injected(logits, targets)
    learn.loss_func = loss_func
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(3, 1e-2)
    torch.manual_seed(1)
    bare_steps(bare, optimizer(bare, 1e-2), n_epoch=3, stop=4)
    assert_same(state(bare), state(learn))
    assert len(learn.recorder.losses) == len(learn.recorder.lrs) == 4


def test_training_goes_on_after_a_bad_step(small_learner):
    learn = small_learner()
    injected = Injected(learn, "statistic", 2)
    with pytest.raises(FloatingPointError):
        learn.fit(1, 1e-2)
    injected.what = "nothing"
    learn.fit(2, 1e-2)
    assert all(value.isfinite().all() for value in learn.model.state_dict().values())
    assert len(learn.recorder.losses) == 2 + 8


def test_steps_of_ones_own_keep_bad_ones_out_until_somebody_looks(small_learner, assert_same):
    learn = small_learner()
    learn.model.train()
    xb, yb = learn.dls.one_batch()
    learn.train_step(xb, yb)
    before = state(learn)
    learn.train_step(xb * math.nan, yb)
    learn.fit(1, 0.0001)  # begins with all as before
    assert all(value.isfinite().all() for value in learn.model.state_dict().values())
    assert not torch.equal(learn.model[0][0].weight, before["0.0.weight"])


@pytest.mark.parametrize("as_number", [False, True], ids=["tensor", "float"])
def test_a_step_of_ones_own_is_recorded_and_its_nan_is_named(small_learner, arrival, as_number):
    class Own(Learner):
        def train_step(self, xb, yb):
            self.n_made = getattr(self, "n_made", 0) + 1
            value = torch.tensor(math.nan if self.n_made == 6 else float(self.n_made))
            return value.item() if as_number else value
    original = small_learner()
    learn = Own(original.dls, original.model, path=original.path)
    with pytest.raises(FloatingPointError, match="The loss is nan at step 5"):
        learn.fit(3, 1e-3)
    assert learn.recorder.losses == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_lr_find_gives_one_curve_whenever_losses_arrive(small_learner, monkeypatch, state_of, assert_same):
    learn = small_learner(opt_func=torch.optim.SGD)
    before, at_once = state_of(learn), learn.lr_find(1e-4, 1e4, num_it=60)
    monkeypatch.setattr(LossReader, "_has_arrived", lambda self: False)
    late = learn.lr_find(1e-4, 1e4, num_it=60)
    assert (late.lrs, late.losses, late.suggestions) == (at_once.lrs, at_once.losses, at_once.suggestions)
    assert len(late.losses) < 60, "it ended at the explosion, however many steps later that was read"
    assert_same(before, state_of(learn))


# With a gradient scaler, as float16 needs

class Scaled(Precision):
    """float32 with a scaler that overflows at first, so that a CPU can show what a GPU does."""
    def scaler(self):
        return torch.amp.GradScaler("cpu", init_scale=2.0**127)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_scalers_skipped_steps_are_no_error(small_learner, arrival, name):
    learn = small_learner(opt_func=OPTIMIZERS[name], loss_func=lambda *batch: 1e4 * cross_entropy(*batch),
                          metrics=error_rate)
    learn.set_precision(Scaled(torch.device("cpu")))
    before = state(learn)
    learn.fit(12, 1e-2)
    assert learn.guard.scaler.get_scale() < 2.0**127 and len(learn.recorder.losses) == 48
    assert not torch.equal(learn.model[0][0].weight, before["0.0.weight"])
    assert all(value.isfinite().all() for value in learn.model.state_dict().values())
    assert all(value.isfinite().all() for values in learn.opt.state.values() for value in values.values())


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("what", ["loss", "statistic"])
def test_a_bad_step_with_a_scaler_leaves_all_as_before_it(small_learner, arrival, assert_same, name, what):
    learn = small_learner(opt_func=OPTIMIZERS[name])
    learn.set_precision(Scaled(torch.device("cpu")))
    states = []
    learn.model.register_forward_pre_hook(lambda model, _: states.append(state(learn)) if model.training
                                          and torch.is_grad_enabled() else None)
    Injected(learn, what, 9)
    with pytest.raises(FloatingPointError, match="step 9 .*learning rate 0.01"):
        learn.fit(3, 1e-2)
    assert_same(states[9], state(learn))


def test_a_scaler_trains_as_without_one(small_learner):
    class Mild(Precision):
        def scaler(self):
            return torch.amp.GradScaler("cpu", init_scale=2.0**10)
    plain, scaled = small_learner(), small_learner()
    scaled.set_precision(Mild(torch.device("cpu")))
    for learn in (plain, scaled):
        torch.manual_seed(1)
        learn.fit(2, 1e-2)
    torch.testing.assert_close(torch.tensor(scaled.recorder.losses), torch.tensor(plain.recorder.losses))


def test_a_guard_of_another_optimizer_is_not_used(small_learner):
    learn = small_learner()
    xb, yb = learn.dls.one_batch()
    learn.train_step(xb, yb)
    first = learn.guard
    learn.opt = learn.create_opt()
    learn.train_step(xb, yb)
    assert learn.guard is not first and isinstance(learn.guard, StepGuard) and learn.guard.opt is learn.opt
