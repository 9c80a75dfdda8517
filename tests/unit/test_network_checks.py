"""What is said before a training begins, whatever the network, the loss, the metrics or the batch size."""
import contextlib
import os
from collections import namedtuple
from functools import partial

import pytest
import timm
import torch
from ours import ours
from small import small_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models import VisionTransformer, googlenet

from transfer_lessons.learner import Learner, accuracy, error_rate
from transfer_lessons.losses import cross_entropy
from transfer_lessons.network_checks import check_head_runs_last, fastest_format
from transfer_lessons.optim import adamw
from transfer_lessons.step_guard import LossReader

pytestmark = pytest.mark.usefixtures("one_thread")


@contextlib.contextmanager
def is_ours(message: str | None = None):
    """An error with this message, raised on purpose."""
    with pytest.raises((ValueError, OSError), match=message) as caught:
        yield
    with ours():
        raise caught.value


def refused(learn, state_of, assert_same, message: str, train="fit", **options) -> None:
    """A training is refused with this message, by a raise of ours, and nothing changes."""
    before, flags = state_of(learn), [p.requires_grad for p in learn.model.parameters()]
    with is_ours(message):
        getattr(learn, train)(1, **options)
    assert_same(before, state_of(learn))
    assert [p.requires_grad for p in learn.model.parameters()] == flags
    assert learn.opt is None and not learn.recorder.losses


class Returns(nn.Module):
    """A network whose outputs are wrapped."""
    def __init__(self, wrap, only_in_training=False):
        super().__init__()
        self.net, self.wrap, self.only_in_training = small_model(), wrap, only_in_training

    def forward(self, x):
        return self.wrap(self.net(x)) if self.training or not self.only_in_training else self.net(x)


Output = namedtuple("Output", "logits")
Aux = namedtuple("Aux", "logits aux_logits")


@pytest.mark.case("what networks return", "the error names what it returns and how to get at the logits")
@pytest.mark.parametrize("wrap, message", [
    (Output, r"returns Output with logits.*self.net\(x\)\[0\]"),
    (lambda y: {"logits": y}, r"returns dict with logits.*self.net\(x\)\['logits'\]"),
    (lambda y: (y, y), "returns tuple"), (lambda y: Aux(y, y), "side outputs.*aux_logits=False"),
    (lambda y: y.argmax(1), r"logits of shape \[2, 3\].*torch.int64 of shape \[2\]"),
    (lambda y: y[:, :, None, None], r"of shape \[2, 3, 1, 1\].*nn.Flatten"),
    (lambda y: None, "returns NoneType"), (lambda y: y[:, :2], "must give 3 logits .* gives 2"),
    (lambda y: y.nothing, "The model fails on a batch of shape .*AttributeError")])
@pytest.mark.parametrize("only_in_training", [False, True])
def test_what_a_network_returns_is_named(small_learner, state_of, assert_same, wrap, message, only_in_training):
    learn = small_learner(Returns(wrap, only_in_training))
    refused(learn, state_of, assert_same, message)


@pytest.mark.case("what networks return", "half precision, other channels, other sizes: the cause is named")
@pytest.mark.parametrize("model, message", [
    (lambda: small_model().half(), "parameters are torch.float16.*learn.model.float()"),
    (lambda: small_model().double(), "parameters are torch.float64"),
    (lambda: timm.create_model("test_efficientnet", num_classes=3, in_chans=1), "takes 1 channels, images have 3"),
    (lambda: VisionTransformer(32, 8, 1, 1, 8, 8, num_classes=3), "images of 32 x 32 pixels: make the loaders with size=32"),
    (lambda: googlenet(num_classes=3, init_weights=False, aux_logits=True), "."),
])
def test_a_network_that_cannot_take_the_images_is_named(small_learner, state_of, assert_same, model, message):
    refused(small_learner(model()), state_of, assert_same, message)


@pytest.mark.case("what networks return", "nothing to train: an error before the first step")
def test_nothing_to_train_is_said(small_learner, state_of, assert_same):
    learn = small_learner()
    learn.model.requires_grad_(False)
    refused(learn, state_of, assert_same, r"every parameter is frozen. Try learn.freeze\(\)")


# Batches of one

def head_with_batchnorm() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 3)))


@pytest.mark.case("batches of one", "refused with advice where BatchNorm would train on one value")
@pytest.mark.parametrize("train", ["fit", "fit_one_cycle", "fit_sgdr"])
def test_a_batch_of_one_is_refused_where_batchnorm_trains_on_it(small_learner, state_of, assert_same, train):
    learn = small_learner(head_with_batchnorm())
    learn.dls.bs = learn.dls.train.bs = 1
    refused(learn, state_of, assert_same, "BatchNorm cannot train on one value.*bs=2", train)


@pytest.mark.case("batches of one", "fine where BatchNorm rests, or sees more than one value per channel")
def test_a_batch_of_one_trains_where_batchnorm_rests_or_sees_more_values(small_learner):
    frozen = nn.Sequential(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)),
                           nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))
    for model in (small_model(), frozen):
        learn = small_learner(model)
        learn.dls.bs = learn.dls.train.bs = 1
        if model is frozen:
            learn.freeze()
        learn.fit(1, 1e-3)
        assert len(learn.recorder.losses) == 36


# Losses and metrics

@pytest.mark.case("losses and metrics", "named with the argument and what to type, before training")
@pytest.mark.parametrize("options, message", [
    ({"loss_func": nn.CrossEntropyLoss(reduction="none")}, "loss_func must give one number.*reduction='mean'"),
    ({"loss_func": nn.CrossEntropyLoss(weight=torch.ones(2))}, r"number per class, 3.*Try weight=torch.ones\(3\)"),
    ({"loss_func": partial(cross_entropy, weight=torch.ones(4))}, r"Try weight=torch.ones\(3\)"),
    ({"loss_func": partial(cross_entropy, weight=[1, 2, 3])}, r"it is list. Try weight=torch.ones\(3\)"),
    ({"loss_func": nn.BCEWithLogitsLoss()}, "try loss_func=cross_entropy"),
    ({"loss_func": error_rate}, "has a gradient; error_rate has none"),
    ({"loss_func": lambda logits, targets: logits.detach().mean()}, "<lambda> has none"),
    ({"loss_func": lambda logits: logits.mean()}, "<lambda> fails on logits"),
    ({"metrics": lambda logits, targets: torch.ones(2)}, r"metrics must give one number.*shape \[2\]"),
    ({"metrics": lambda logits, targets: "good"}, "gives 'good'"),
    ({"metrics": [error_rate, lambda logits, targets: logits.nothing]}, "metrics: <lambda> fails on logits"),
    ({"opt_func": lambda groups: None}, "opt_func: <lambda> makes no optimizer"),
    ({"opt_func": lambda groups, lr: groups}, "opt_func must make an optimizer"),
], ids=lambda value: None if isinstance(value, dict) else value[:20])
def test_losses_metrics_and_optimizers_that_do_not_fit(small_learner, state_of, assert_same, options, message):
    refused(small_learner(**options), state_of, assert_same, message)


@pytest.mark.case("losses and metrics", "class weights of double precision are taken")
@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2, 1], dtype=torch.float64)),
                                  partial(cross_entropy, weight=torch.tensor([1.0, 2, 1], dtype=torch.float64))])
def test_class_weights_of_double_precision_train(small_learner, loss):
    small_learner(loss_func=loss).fit(1, 1e-3)


@pytest.mark.case("losses and metrics", "a metric that gives a vector is named by validate, too")
def test_validate_names_a_metric_that_gives_a_vector(small_learner):
    with pytest.raises(ValueError, match="metrics must give one number"):
        small_learner(metrics=lambda logits, targets: torch.ones(2)).validate()


def test_a_trial_draws_no_random_number_and_moves_nothing(small_learner, assert_same):
    plain, tried = small_learner(augment=True), small_learner(augment=True)
    for learn in (plain, tried):
        torch.manual_seed(3)
        learn.fit(1, 1e-2)
    assert_same(plain.model.state_dict(), tried.model.state_dict())


# Apple's GPU

class NoFloat64(TorchDispatchMode):
    """What torch's mps device does: float64 is refused."""
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if (kwargs or {}).get("dtype") is torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return func(*args, **(kwargs or {}))


@pytest.mark.case("Apple's GPU", "no float64 in training, validation and predictions")
def test_nothing_asks_the_device_for_float64(small_learner):
    learn = small_learner(metrics=[accuracy, error_rate])
    with NoFloat64():
        learn.fit_one_cycle(1, 1e-3)
        learn.validate()
        learn.get_preds()


# Memory layout

@pytest.mark.case("the process dies", "networks with layers that crash in channels_last stay contiguous")
@pytest.mark.parametrize("layer, layout", [
    (nn.Conv2d(3, 48, 1, stride=2), torch.contiguous_format), (nn.Conv2d(8, 4, 1, stride=(2, 1)), torch.contiguous_format),
    (nn.Conv2d(64, 128, 1, stride=2), torch.channels_last), (nn.Conv2d(3, 48, 3, stride=2), torch.channels_last),
    (nn.Conv2d(3, 48, 1), torch.channels_last)])
def test_the_layout_is_channels_last_where_that_is_safe(layer, layout):
    assert fastest_format(nn.Sequential(layer), torch.device("cpu")) == layout


def test_a_network_sees_images_in_its_own_layout(small_learner):
    for first, contiguous in ((nn.Conv2d(3, 4, 1, stride=2), True), (nn.Conv2d(3, 4, 3, stride=2), False)):
        model = nn.Sequential(first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        learn, layouts = small_learner(model), []
        model.register_forward_pre_hook(lambda _, xs, seen=layouts: seen.append(xs[0].is_contiguous()))
        learn.fit(1, 1e-3)
        assert set(layouts) == {contiguous}


# Heads, wrappers

class HeadFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.body = nn.Linear(4, 3), nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


@pytest.mark.case("freeze is freeze, whatever wraps the network", "a head that is not defined last: an error")
@pytest.mark.parametrize("wrap", [lambda model: model, nn.Sequential, nn.DataParallel])
def test_a_head_that_is_not_last_is_refused_and_nothing_changes(small_learner, wrap):
    learn = small_learner(wrap(HeadFirst()))
    with pytest.raises(ValueError, match="must be the network's last child; .*head runs last"):
        learn.freeze()
    assert all(p.requires_grad for p in learn.model.parameters())
    learn.unfreeze()
    learn.fit(1, 1e-3)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "mobilenetv3_small_050", "test_vit", "densenet121"])
def test_heads_of_known_networks_run_last(name):
    size = timm.get_pretrained_cfg(name).input_size[-1] if "vit" in name else 32
    check_head_runs_last(timm.create_model(name, num_classes=3), torch.zeros(1, 3, size, size))


@pytest.mark.case("freeze is freeze, whatever wraps the network", "a wrapped learner trains its head alone")
@pytest.mark.parametrize("wrap", [nn.Sequential, nn.DataParallel, lambda m: torch.compile(m, backend="eager")])
def test_a_learner_of_a_wrapped_network_trains_the_head_alone(small_learner, wrap):
    model = small_model()
    learn = small_learner(wrap(model))
    learn.freeze()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    learn.fit(1, 1e-2)
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"1.3.weight", "1.3.bias"}
    assert [row.trains for row in learn.summary()] == ["no", "no", "yes"]


# Saving

@pytest.mark.case("saving where one cannot", "said before training, and by save")
@pytest.mark.parametrize("prepare, message", [
    (lambda path: (path / "models").write_text("x"), "is a file, not a folder.*another folder"),
    (lambda path: (path / "models/run.safetensors").mkdir(parents=True), "a folder has that name.*another name"),
], ids=["a file in the way", "a folder in the way"])
def test_what_cannot_be_saved_is_said_before_training(small_learner, state_of, assert_same, tmp_path, prepare, message):
    prepare(tmp_path)
    learn = small_learner()
    refused(learn, state_of, assert_same, message, checkpoint="run")
    with pytest.raises(OSError, match=message):
        learn.save("run")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder where nobody can write")
@pytest.mark.case("saving where one cannot", "a read-only folder")
def test_a_read_only_folder_is_said_before_training(small_learner, state_of, assert_same):
    learn = small_learner(path="/proc/self")
    refused(learn, state_of, assert_same, "the folder cannot be written.*another folder", checkpoint="run")
    with pytest.raises(OSError, match="cannot be written"):
        learn.save("run")


@pytest.mark.parametrize("name", ["", "..", "a\0b", 5, None, ["run"]], ids=repr)
def test_names_that_name_no_file_are_refused(small_learner, name):
    learn = small_learner()
    for call in (learn.save, learn.load):
        with is_ours():
            call(name)


@pytest.mark.case("arguments of training", "a bad argument after load: what was loaded can still be resumed")
def test_a_refused_call_does_not_use_up_what_was_loaded(small_learner):
    learn = small_learner()
    learn.fit(1, 1e-3, checkpoint="run")
    learn.load("run")
    for wrong in ({"lr": -1}, {"schedule": 5}, {"momentum": lambda p: "x"}, {"wd": "x"}, {"checkpoint": 5}):
        with is_ours():
            learn.fit(2, **{"start_epoch": 1, **wrong})
    learn.fit(2, start_epoch=1)
    assert len(learn.recorder.history) == 2


@pytest.mark.case("history", "metrics changed between two fits: both are shown")
def test_metrics_changed_between_two_fits_are_both_shown(small_learner):
    learn = small_learner()
    learn.fit(1, 1e-3)
    learn.metrics = [accuracy]
    learn.fit(1, 1e-3)
    header, first, second = learn.recorder.history.cells()
    assert header == ["epoch", "train loss", "valid loss", "error rate", "accuracy", "seconds"]
    assert first[4] == "" and second[3] == "" and first[3] and second[4]
    learn.recorder.plot_loss(skip_start=2)


@pytest.mark.case("losses and metrics", "a NaN on any device names a label out of range")
def test_a_label_out_of_range_is_named_where_the_loss_is_nan(small_learner):
    def quiet_loss(logits, targets):
        return cross_entropy(logits, targets.clamp(max=2)) * (float("nan") if (targets > 2).any() else 1)
    learn = small_learner(loss_func=quiet_loss)
    xb, yb = learn.dls.one_batch()
    yb[3] = 7
    with pytest.raises(ValueError, match="7"):
        reader = LossReader([])
        reader.add(learn.train_step(xb, yb), learn.guard)
        reader.finish()


def test_learners_arguments_are_checked(small_learner):
    learn = small_learner()
    for dls, model in ((5, learn.model), (learn.dls, small_model), (learn.dls, None)):
        with is_ours():
            Learner(dls, model)
    assert Learner(learn.dls, learn.model, opt_func=partial(adamw, eps=1e-6)).opt is None
