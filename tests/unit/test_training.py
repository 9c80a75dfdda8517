"""The training loop: what it computes, and that nothing is lost when it stops."""
import gc
import math
import os
import signal
import threading
import weakref
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from small import small_model
from torch import nn

from transfer_lessons.core import Progress
from transfer_lessons.data import ImageLoader
from transfer_lessons.freezing import group_parameters
from transfer_lessons.learner import Learner, Recorder, accuracy, error_rate
from transfer_lessons.losses import cross_entropy
from transfer_lessons.optim import adamw, param_groups, set_hyperparams
from transfer_lessons.step_guard import LossReader

pytestmark = pytest.mark.usefixtures("one_thread")

sgd = partial(torch.optim.SGD, momentum=0.9)


def weights(learn) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in learn.model.state_dict().items()}


def assert_in_order(learn, modes) -> None:
    """What every end of `fit` leaves behind: no gradients, the modes from before, finite weights."""
    assert all(parameter.grad is None for parameter in learn.model.parameters())
    assert [layer.training for layer in learn.model.modules()] == modes
    assert all(value.isfinite().all() for value in learn.model.state_dict().values())


def layer_lrs(learn) -> list[float]:
    """The optimizer's learning rate of every layer group."""
    return list({group["layer_group"]: group["lr"] for group in learn.opt.param_groups}.values())


# What it computes

@pytest.mark.parametrize("opt_func", [adamw, sgd], ids=["adamw", "sgd"])
def test_fit_is_the_same_steps_in_bare_pytorch_bit_for_bit(small_learner, assert_same, opt_func):
    ours, bare = (small_learner(augment=True, opt_func=opt_func) for _ in range(2))
    torch.manual_seed(1)
    ours.fit(2, 1e-2)
    torch.manual_seed(1)
    opt = opt_func(param_groups(group_parameters(bare.model)), lr=1e-2)
    for _ in range(2):
        bare.model.train()
        for xb, yb in bare.dls.train:
            loss = cross_entropy(bare.model(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()
    assert_same(weights(ours), weights(bare))


@pytest.mark.parametrize("opt_func", [adamw, sgd], ids=["adamw", "sgd"])
def test_biases_and_batchnorm_do_not_decay(small_learner, opt_func):
    learn = small_learner(opt_func=partial(opt_func, weight_decay=0.1))
    decayed = {id(parameter) for group in learn.create_opt().param_groups
               for parameter in group["params"] if group["weight_decay"]}
    for name, parameter in learn.model.named_parameters():
        assert (id(parameter) in decayed) == (parameter.ndim > 1), name


def test_momentum_of_sgd_follows_the_schedule_too(small_learner):
    learn = small_learner(opt_func=sgd)
    learn.fit_one_cycle(2, 1e-2)
    assert max(learn.recorder.moms) == 0.95 and 0.85 <= min(learn.recorder.moms) < 0.87
    assert learn.opt.param_groups[0]["momentum"] == 0.9, "it should end as it began"


def test_metrics_see_the_whole_validation_set_once_not_batch_means(small_learner):
    seen = []
    def squared_fraction_of_class_0(logits, targets):
        seen.append(len(targets))
        return (targets == 0).float().mean() ** 2  # a mean over batches would differ
    learn = small_learner(metrics=[error_rate, squared_fraction_of_class_0])
    learn.dls.valid.bs = 5  # 12 images: batches of 5, 5 and 2
    loss, error, squared = learn.validate()
    assert seen == [12] and squared == pytest.approx((4 / 12) ** 2)
    learn.model.eval()
    with torch.no_grad():
        xb, yb = (torch.cat(parts) for parts in zip(*learn.dls.valid, strict=True))
        logits = learn.model(xb)
    assert loss == pytest.approx(F.cross_entropy(logits, yb).item(), rel=1e-5)
    assert error == pytest.approx((logits.argmax(1) != yb).float().mean().item())


def test_accuracy_and_error_rate_count_exactly():
    logits, targets = torch.eye(3).repeat(7, 1), torch.tensor([0, 1, 0] * 7)
    assert accuracy(logits, targets) == 14 / 21 and error_rate(logits, targets) == 1 - 14 / 21


@pytest.mark.parametrize("metrics, names", [
    (error_rate, ["error_rate"]), ([], []), (None, []), ([accuracy, error_rate], ["accuracy", "error_rate"]),
    (partial(torch.nn.functional.cross_entropy, label_smoothing=0.1), ["cross_entropy"]),
    ((metric for metric in [accuracy]), ["accuracy"]),
], ids=["one", "empty", "none", "two", "partial", "generator"])
def test_metrics_are_one_or_several_functions_and_name_the_columns(small_learner, metrics, names):
    learn = small_learner(metrics=metrics)
    learn.fit(1, 1e-3)
    row = learn.recorder.history[0]
    assert row._fields == ("epoch", "train_loss", "valid_loss", *names, "seconds")
    assert row[1:-1] == (pytest.approx(sum(learn.recorder.losses) / 4), *learn.validate())


def test_metrics_without_a_usable_name_do_not_cost_the_epoch(small_learner):
    learn = small_learner(metrics=[lambda x, y: 1, lambda x, y: 2])
    learn.fit(2, 1e-3)
    assert [row[3:5] for row in learn.recorder.history] == [(1, 2), (1, 2)]


def test_history_holds_every_step_and_epoch_of_all_fits(small_learner):
    learn = small_learner()
    learn.fit(2, 1e-3)
    learn.fit(1, [1e-4, 1e-3, 1e-2])
    record = learn.recorder
    assert [row.epoch for row in record.history] == [0, 1, 0] and record.ends == [4, 8, 12]
    assert len(record.losses) == len(record.lrs) == len(record.moms) == 12
    assert record.lrs[0] == [1e-3] * 3 and record.lrs[-1] == [1e-4, 1e-3, 1e-2]
    assert record.history[0].train_loss == pytest.approx(sum(record.losses[:4]) / 4)


def test_a_network_of_ones_own_trains(small_learner):
    learn = small_learner(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3)))
    learn.fit(8, 1e-3)
    assert learn.recorder.history[-1].train_loss < learn.recorder.history[0].train_loss


def test_training_goes_on_where_it_was_with_a_fresh_optimizer(small_learner):
    learn = small_learner()
    learn.fit(1, 1e-2)
    first = learn.opt
    learn.fit(1, 1e-2)
    steps = {int(values["step"]) for values in learn.opt.state_dict()["state"].values()}
    assert learn.opt is not first and steps == {4}


def test_a_frozen_layer_does_not_change_by_one_bit(small_learner):
    learn = small_learner()
    learn.freeze()
    before = weights(learn)
    learn.fit(1, 1e-2)
    changed = {key for key, value in weights(learn).items() if not torch.equal(value, before[key])}
    assert changed == {"1.3.weight", "1.3.bias"}


# Arguments

@pytest.mark.parametrize("options, message", [
    ({"metrics": "accuracy"}, "metrics must be a function; got 'accuracy'. Try metrics=error_rate"),
    ({"metrics": [error_rate, None]}, "must be a function; got None"),
    ({"opt_func": 1e-3}, "must be a function; got 0.001"),
    ({"loss_func": nn.CrossEntropyLoss}, r"the class CrossEntropyLoss. Try loss_func=CrossEntropyLoss\(\)"),
])
def test_what_cannot_be_called_is_refused_before_a_step(small_learner, options, message):
    learn = small_learner()
    with pytest.raises(ValueError, match=message):
        Learner(learn.dls, learn.model, **options)


@pytest.mark.parametrize("method", ["fit", "fit_one_cycle"])
@pytest.mark.parametrize("epochs", [0, -1, 1.5, "3"])
def test_epochs_that_are_none_are_refused(small_learner, state_of, assert_same, method, epochs):
    learn = small_learner()
    before = state_of(learn)
    with pytest.raises(ValueError, match=f"n_epoch must be a whole number, at least 1; got {epochs!r}"):
        getattr(learn, method)(epochs, 1e-3)
    assert_same(before, state_of(learn))
    assert learn.opt is None and not learn.recorder.losses


@pytest.mark.parametrize("cycles", [0, -1, 1.5])
def test_cycles_that_are_none_are_refused(small_learner, cycles):
    with pytest.raises(ValueError, match=f"n_cycles must be a whole number, at least 1; got {cycles}"):
        small_learner().fit_sgdr(cycles, 1, 1e-3)


@pytest.mark.parametrize("start", [3, -1, 1.5])
def test_a_start_beyond_the_epochs_is_refused(small_learner, start):
    with pytest.raises(ValueError, match=f"start_epoch must be .*; got {start}. Try start_epoch=0"):
        small_learner().fit(3, 1e-3, start_epoch=start)


@pytest.mark.parametrize("lr", [0, 0.0, -1e-3, math.nan, math.inf, "1e-3", None, slice(1e-4, 1e-6),
                                slice(-1, 1), slice(None, None), [1e-3, 1e-3], [1e-3, 1e-3, 0]])
@pytest.mark.parametrize("method", ["fit", "fit_one_cycle"])
def test_learning_rates_that_are_none_are_refused(small_learner, state_of, assert_same, method, lr):
    learn = small_learner()
    before = state_of(learn)
    with pytest.raises(ValueError) as caught:
        getattr(learn, method)(1, lr)
    assert any(hint in str(caught.value) for hint in ("learning rate", "Did you mean slice(1e-6, 1e-4)?"))
    assert_same(before, state_of(learn))
    assert learn.opt is None and not learn.recorder.losses


@pytest.mark.parametrize("options", [{"pct_start": 30}, {"div": 0}, {"moms": (0.9, 0.8)}])
def test_bad_schedules_are_refused_before_anything_changes(small_learner, state_of, assert_same, options):
    learn = small_learner()
    before = state_of(learn)
    with pytest.raises(ValueError):
        learn.fit_one_cycle(1, 1e-3, **options)
    assert_same(before, state_of(learn))
    assert learn.opt is None and not learn.recorder.losses


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_head_that_does_not_fit_the_classes_is_named_before_any_step(small_learner, n_classes):
    learn = small_learner(small_model(n_classes))
    before = weights(learn)
    for use in (partial(learn.fit, 1), learn.validate, learn.get_preds):
        with pytest.raises(ValueError, match=f"must give 3 logits .* it gives {n_classes}. Try n_classes=3"):
            use()
    assert all(torch.equal(value, before[key]) for key, value in learn.model.state_dict().items()
               if "running" not in key and "tracked" not in key)


# A loss that is not finite

class Injected:
    """The loss function, whose result at one step is replaced; it is tried once before the first."""
    def __init__(self, step, change):
        self.step, self.change, self.calls = step, change, -1

    def __call__(self, logits, targets):
        loss, self.calls = cross_entropy(logits, targets), self.calls + 1
        return self.change(loss, logits) if self.calls == self.step + 1 else loss


CHANGES = {
    "nan": lambda loss, logits: loss * math.nan,
    "inf": lambda loss, logits: loss + math.inf,
    "minus inf": lambda loss, logits: loss - math.inf,
    "gradient": lambda loss, logits: loss + (logits * 0).sum().abs().sqrt(),  # finite; its gradient is NaN
}


@pytest.mark.parametrize("step", [0, 2])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("opt_func", [adamw, sgd], ids=["adamw", "sgd"])
def test_a_loss_that_is_not_finite_stops_before_it_does_harm(
        small_learner, state_of, assert_same, step, change, opt_func):
    learn = small_learner(loss_func=Injected(step, CHANGES[change]), opt_func=opt_func)
    modes = [layer.training for layer in learn.model.modules()]
    states = []
    learn.model.register_forward_pre_hook(lambda *_: states.append(state_of(learn)))
    with pytest.raises(FloatingPointError) as caught:
        learn.fit(1, slice(1e-3, 2e-2))
    message = str(caught.value)
    assert f"at step {step} (epoch 0" in message and "learning rate 0.02" in message
    assert "learning rate is too high" in message and "lr_find" in message
    assert ("gradient" in message) == (change == "gradient")
    changing = ("order", "random", "modes")
    before, after = states[1 + step], state_of(learn)
    assert_same({key: value for key, value in before.items() if key not in changing},
                {key: after[key] for key in before if key not in changing})
    assert not any(after[key].any() for key in after.keys() - before.keys()), "an optimizer still at 0"
    assert_in_order(learn, modes)
    record = learn.recorder
    assert len(record.losses) == len(record.lrs) == len(record.moms) == step and not record.history
    assert layer_lrs(learn) == pytest.approx([1e-3, 4.47e-3, 2e-2], rel=1e-2)


def test_statistics_that_overflow_stop_before_the_step_too(small_learner, state_of, assert_same):
    learn = small_learner()
    learn.opt = learn.create_opt()
    learn.model.train()
    xb, yb = learn.dls.one_batch()
    before = state_of(learn)
    with torch.no_grad():
        learn.model[0][0].weight.mul_(1e30)  # a finite loss: BatchNorm divides by what overflowed
        huge = learn.model[0][0].weight.clone()
        reader = LossReader([])
        with pytest.raises(FloatingPointError, match="BatchNorm statistic is"), torch.enable_grad():
            reader.add(learn.train_step(xb, yb), learn.guard)
            reader.finish()
        assert torch.equal(learn.model[0][0].weight, huge)
        learn.model[0][0].weight.copy_(before["model.0.0.weight"])
    same = {key for key in before if key != "random"}
    after = state_of(learn)
    assert_same({key: before[key] for key in same}, {key: after[key] for key in same})
    assert all(parameter.grad is None for parameter in learn.model.parameters())


def test_the_step_named_counts_through_the_epochs(small_learner):
    learn = small_learner(loss_func=Injected(6, CHANGES["nan"]))
    learn.dls.valid.dataset.sources = learn.dls.valid.dataset.sources[:1]
    learn.dls.valid.dataset.targets = [0]
    with pytest.raises(FloatingPointError, match=r"step 5 \(epoch 1, both counted from 0\)"):
        learn.fit(3, 1e-3)  # the seventh call: four steps, a validation, two steps
    assert len(learn.recorder.history) == 1 and len(learn.recorder.losses) == 5


@pytest.mark.parametrize("lr", [1e4, 1e6, 1e10, 1e20, 1e30])
@pytest.mark.parametrize("opt_func", [adamw, sgd], ids=["adamw", "sgd"])
def test_whatever_the_learning_rate_all_weights_and_statistics_end_finite(small_learner, opt_func, lr):
    learn = small_learner(opt_func=opt_func)
    modes = [layer.training for layer in learn.model.modules()]
    try:
        learn.fit(3, lr)
    except FloatingPointError as error:
        assert f"learning rate {lr:.2g}" in str(error)
    assert_in_order(learn, modes)


# Ctrl-C

class Hooks:
    """Raises an error at the n-th call of one place in training; 1 + is the trial before it."""
    def __init__(self, learn, monkeypatch, error):
        self.learn, self.monkeypatch, self.error = learn, monkeypatch, error

    def before(self, owner, name, at):
        original, calls = getattr(owner, name), []
        def raising(*arguments, **options):
            calls.append(1)
            if len(calls) == at:
                raise self.error
            return original(*arguments, **options)
        self.monkeypatch.setattr(owner, name, raising)

    def forward(self):
        self.before(self.learn.model[0][3], "forward", 1 + 8)  # inside the network, in mid-batch

    def loss_func(self):
        self.before(self.learn, "loss_func", 1 + 6)

    def backward(self):
        self.before(torch.Tensor, "backward", 6)

    def gradient(self):
        calls = []
        def hook(gradient):
            calls.append(1)
            if len(calls) == 6:
                raise self.error
        self.learn.model[0][0].weight.register_hook(hook)

    def opt_step(self):
        self.before(torch.optim.AdamW, "step", 6)

    def zero_grad(self):
        self.before(torch.optim.Optimizer, "zero_grad", 6)

    def loader(self):
        self.before(ImageLoader, "after_batch", 1 + 4 + 2 + 2)

    def next_epoch(self):
        self.before(ImageLoader, "__iter__", 1 + 3)

    def recorder(self):
        self.before(Recorder, "begin_step", 6)

    def progress(self):
        self.before(Progress, "step", 6)

    def validation(self):
        self.before(Learner, "get_logits", 2)

    def validation_batch(self):
        self.before(ImageLoader, "after_batch", 1 + 4 + 2 + 4 + 1)

    def metric(self):
        original, calls = self.learn.metrics[0], []
        def error_rate(logits, targets):
            calls.append(1)
            if len(calls) == 1 + 2:
                raise self.error
            return original(logits, targets)
        self.learn.metrics = [error_rate]

    def row(self):
        self.before(Progress, "row", 2)

    def saving(self):
        self.before(os, "fsync", 2)

    def saved(self):
        self.before(os, "replace", 2)


HOOKS = [name for name in vars(Hooks) if not name.startswith("_") and name != "before"]


@pytest.mark.parametrize("place", HOOKS)
def test_ctrl_c_anywhere_in_the_second_epoch_loses_nothing(
        small_learner, state_of, assert_same, monkeypatch, capsys, place):
    learn = small_learner(augment=True)
    learn.model[0][1].eval()  # an odd mode, which must come back
    modes = [layer.training for layer in learn.model.modules()]
    getattr(Hooks(learn, monkeypatch, KeyboardInterrupt), place)()
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        learn.fit_one_cycle(3, slice(1e-3, 1e-1), checkpoint="run")
    assert_in_order(learn, modes)
    assert layer_lrs(learn) == pytest.approx([1e-3, 1e-2, 1e-1])
    assert all(group["betas"] == (0.95, 0.99) for group in learn.opt.param_groups)
    at_the_end = place in ("row", "saving", "saved")
    assert len(learn.recorder.history) == 1 + at_the_end
    assert 4 <= len(learn.recorder.losses) <= 8
    shown = capsys.readouterr().out
    assert "Stopped in epoch 2 of 3. Weights and history are kept: train again" in shown
    assert "learn.load('run') and repeat this call with start_epoch=1" in shown
    assert [file.name for file in (learn.path / "models").iterdir()] == ["run.safetensors"]

    monkeypatch.undo()  # what the message says is true: on from here ...
    learn.metrics = [error_rate]
    learn.fit(1, 1e-3)
    whole, resumed = small_learner(augment=True), small_learner(augment=True, seed=9)
    whole.model[0][1].eval()
    torch.manual_seed(1)
    whole.fit_one_cycle(3, slice(1e-3, 1e-1))  # ... or as if nothing had happened
    resumed.load("run").fit_one_cycle(3, slice(1e-3, 1e-1), start_epoch=1)
    resumed.model[0][1].eval()
    assert_same(state_of(whole), state_of(resumed))


def test_ctrl_c_in_the_first_epoch_promises_no_checkpoint(small_learner, monkeypatch, capsys):
    learn = small_learner()
    Hooks(learn, monkeypatch, KeyboardInterrupt).before(torch.Tensor, "backward", 2)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(3, checkpoint="run")
    shown = capsys.readouterr().out
    assert "Stopped in epoch 1 of 3" in shown and "load" not in shown


def test_a_real_ctrl_c_in_the_middle_of_a_step_waits_until_the_step_is_whole(small_learner):
    learn, whole = small_learner(), small_learner()
    sent = []
    def send(opt, arguments, options):
        sent.append(1)
        if len(sent) == 3:
            signal.raise_signal(signal.SIGINT)
    def opt_func(parameters, lr):
        opt = adamw(parameters, lr=lr)
        opt.register_step_pre_hook(send)
        return opt
    learn.opt_func = opt_func
    handler = signal.getsignal(signal.SIGINT)
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(2, 1e-2)
    assert signal.getsignal(signal.SIGINT) is handler
    steps = {int(values["step"]) for values in learn.opt.state_dict()["state"].values()}
    assert steps == {3}, "every weight made the third step, none half of it"
    torch.manual_seed(1)
    whole.opt = whole.create_opt()
    set_hyperparams(whole.opt, [1e-2] * 3, None)
    for (xb, yb), _ in zip(whole.dls.train, range(3), strict=False):
        whole.train_step(xb, yb)
    assert all(torch.equal(a, b) for a, b in
               zip(learn.model.parameters(), whole.model.parameters(), strict=True))


def test_ctrl_c_at_any_moment_leaves_the_weights_of_a_whole_step(small_learner):
    generator, heard = torch.Generator().manual_seed(0), 0
    for delay in (0.05 * torch.rand(10, generator=generator)).tolist():
        learn, steps = small_learner(), []
        def note(model, _, steps=steps):
            steps.append([parameter.detach().clone() for parameter in model.parameters()])
        learn.model.register_forward_pre_hook(note)
        modes = [layer.training for layer in learn.model.modules()]
        timer = threading.Timer(delay, signal.raise_signal, (signal.SIGINT,))
        try:
            timer.start()
            learn.fit(100, 1e-2)
        except KeyboardInterrupt:
            heard += 1
        timer.join()
        learn.model.eval()(learn.dls.one_batch()[0])  # records the weights as they are now
        *_, before, last = [*[None] * 2, *steps]
        learn.model.train()
        assert all(p.grad is None for p in learn.model.parameters())
        assert [layer.training for layer in learn.model.modules()] == modes
        changed = [not torch.equal(a, b) for a, b in zip(before or last, last, strict=True)]
        assert all(changed) or not any(changed), "some weights made the step and some did not"
        assert len(learn.recorder.history) == len(learn.recorder.ends)
    assert heard >= 7, "Python itself loses only those that fall into a weak reference's callback"


def test_an_impatient_second_ctrl_c_does_not_disturb_the_tidying_up(small_learner, monkeypatch):
    learn = small_learner()
    modes = [layer.training for layer in learn.model.modules()]
    Hooks(learn, monkeypatch, KeyboardInterrupt).before(torch.optim.AdamW, "step", 2)
    monkeypatch.setattr(Progress, "show", lambda self: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        learn.fit_one_cycle(1, 1e-2)
    assert_in_order(learn, modes)
    assert layer_lrs(learn) == [1e-2] * 3


def test_training_works_outside_the_main_thread(small_learner):
    learn, errors = small_learner(), []
    def train():
        try:
            learn.fit(1, 1e-3)
        except BaseException as error:
            errors.append(error)
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert not errors and len(learn.recorder.history) == 1


# Out of memory

FULL = [torch.OutOfMemoryError("Tried to allocate 2.00 GiB"), MemoryError(),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")]


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["forward", "backward"])
@pytest.mark.case("out of memory", "memory is released, and the message names a batch size to try")
def test_out_of_memory_releases_what_the_step_held_and_names_a_batch_size(
        small_learner, monkeypatch, place, error):
    learn = small_learner()
    modes = [layer.training for layer in learn.model.modules()]
    held = []
    learn.model[0][0].register_forward_hook(lambda module, _, out: held.append(weakref.ref(out)))
    getattr(Hooks(learn, monkeypatch, error), place)()
    with pytest.raises(torch.OutOfMemoryError) as caught:
        learn.fit_one_cycle(3, 1e-2)
    message = str(caught.value)
    assert "epoch 2 with bs=8" in message and "bs=4" in message and "history are kept" in message
    error.__traceback__ = None  # this list holds the first error; nothing else may
    gc.collect()
    assert held and all(reference() is None for reference in held), "a tensor is still referenced"
    assert_in_order(learn, modes)
    assert len(learn.recorder.history) == 1
    assert layer_lrs(learn) == [1e-2] * 3
    monkeypatch.undo()
    learn.fit(1, 1e-3)


@pytest.mark.case("out of memory", "the same advice in validate and get_preds as in fit")
@pytest.mark.parametrize("ask", ["validate", "get_preds"])
def test_out_of_memory_in_validation_gives_the_same_advice(small_learner, monkeypatch, ask):
    learn = small_learner()
    Hooks(learn, monkeypatch, FULL[0]).before(learn.model[0][3], "forward", 2)
    with pytest.raises(torch.OutOfMemoryError, match="in validation with bs=8.*Try loaders with bs=4"):
        getattr(learn, ask)()


def test_other_errors_come_through_as_they_are(small_learner, monkeypatch):
    for error in (RuntimeError("an illegal memory access was encountered"), KeyError("x")):
        learn = small_learner()
        modes = [layer.training for layer in learn.model.modules()]
        with monkeypatch.context() as patched:
            Hooks(learn, patched, error).loss_func()
            with pytest.raises(type(error)) as caught:
                learn.fit(3)
        assert caught.value is error
        assert_in_order(learn, modes)


# What is shown

def test_without_a_terminal_only_the_table_is_printed(small_learner, capsys):
    small_learner().fit(3, 1e-3)
    shown = capsys.readouterr().out
    header, *rows = shown.splitlines()
    assert header.split() == ["epoch", "train", "loss", "valid", "loss", "error", "rate", "seconds"]
    assert [row.split()[0] for row in rows] == ["0", "1", "2"] and "\r" not in shown
