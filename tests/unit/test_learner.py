"""A learner's everyday methods: schedules, predictions, and calls written for fastai."""

from functools import partial

import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn.functional as F
from ours import ours
from torch import nn
from torch.testing import assert_close
from torchvision.models import ResNet34_Weights, resnet18, shufflenet_v2_x0_5

from transfer_lessons import fine_tuning  # noqa: F401  adds fine_tune to Learner
from transfer_lessons import predictions as module
from transfer_lessons.data import ImageDataset
from transfer_lessons.interpretation import ClassificationInterpretation
from transfer_lessons.learner import cnn_learner, error_rate
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.losses import binary_cross_entropy, cross_entropy, nll
from transfer_lessons.lr_finder import minimum, steep

pytestmark = pytest.mark.usefixtures("one_thread")


# Schedules

def test_one_cycle_gives_every_layer_group_the_learning_rates_and_momentum_of_torchs(small_learner):
    learn = small_learner()
    learn.fit_one_cycle(5, slice(1e-4, 1e-2), div=20, div_final=1e3, pct_start=0.3)
    peaks = [1e-4, 1e-3, 1e-2]
    parameters = [nn.Parameter(torch.zeros(1)) for _ in peaks]
    opt = torch.optim.AdamW([{"params": [parameter]} for parameter in parameters])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        opt, peaks, epochs=5, steps_per_epoch=len(learn.dls.train), pct_start=0.3, div_factor=20,
        final_div_factor=1e3 / 20, base_momentum=0.85, max_momentum=0.95)
    rates, moms = [], []
    for _ in learn.recorder.lrs:
        rates.append([group["lr"] for group in opt.param_groups])
        moms.append(opt.param_groups[0]["betas"][0])
        opt.step()
        if len(rates) < len(learn.recorder.lrs):
            schedule.step()
    assert_close(learn.recorder.lrs, rates, rtol=1e-9, atol=0)
    assert_close(learn.recorder.moms, moms, rtol=1e-9, atol=0)


@pytest.mark.parametrize("cycle_len, cycle_mult, cycles", [(1, 2, 3), (2, 1, 2), (1, 1, 1)])
def test_sgdr_gives_the_learning_rates_of_torchs_warm_restarts(small_learner, cycle_len, cycle_mult, cycles):
    learn = small_learner()
    learn.fit_sgdr(cycles, cycle_len, 1e-2, cycle_mult)
    steps = len(learn.dls.train)
    opt = torch.optim.AdamW(learn.model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, cycle_len * steps, cycle_mult)
    expected = []
    for _ in learn.recorder.lrs:
        expected.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule.step()
    assert_close([lrs[0] for lrs in learn.recorder.lrs], expected, rtol=1e-9, atol=1e-12)
    epochs = cycle_len * sum(cycle_mult**i for i in range(cycles))
    assert len(learn.recorder.history) == epochs and len(expected) == epochs * steps


# Predictions

def test_predictions_are_probabilities_in_the_order_of_the_images(small_learner):
    learn = small_learner()
    probabilities, targets = learn.get_preds()
    assert probabilities.shape == (12, 3) and targets.tolist() == learn.dls.valid.dataset.targets
    assert_close(probabilities.sum(1), torch.ones(12))
    name, number, one = learn.predict(learn.dls.valid.dataset.sources[5])
    assert_close(one, probabilities[5])
    assert name == learn.dls.vocab[number] and number == probabilities[5].argmax()


@pytest.mark.case("predictions on the training set",
                  "all images, in order, unaugmented; training afterwards is unchanged")
def test_predictions_for_the_training_loader_are_of_all_its_images_as_they_are(
        small_learner, state_of, assert_same):
    learn = small_learner(augment=True)
    learn.dls.train.bs = 7  # 36 images: a shuffled epoch leaves one out
    before = state_of(learn)
    probabilities, targets = learn.get_preds(dl=learn.dls.train)
    assert targets.tolist() == learn.dls.train.dataset.targets
    images = ImageDataset(learn.dls.train.dataset.sources, targets.tolist(), 16)
    with torch.no_grad():
        expected = learn.model.eval()(torch.stack([images[i][0] for i in range(36)]) / 255)
    learn.model.train()
    assert_close(probabilities, expected.softmax(1), rtol=1e-4, atol=1e-5)
    assert learn.validate(learn.dls.train)[1] == pytest.approx((expected.argmax(1) != targets).double().mean().item())
    assert_same(before, state_of(learn))


@pytest.mark.case("another vocabulary", "a test set with a class missing is compared by name")
def test_a_test_set_with_a_class_missing_is_compared_by_name(small_learner):
    learn = small_learner()
    probabilities, targets = learn.get_preds()
    chosen = [i for i, target in enumerate(targets.tolist()) if target != 0]
    sources = [learn.dls.valid.dataset.sources[i] for i in chosen]
    names = [learn.dls.vocab[targets[i]] for i in chosen]
    expected = (probabilities.argmax(1) != targets)[chosen].double().mean().item()
    assert learn.validate(dl=learn.test_dl(sources, names))[1] == pytest.approx(expected)
    train = learn.dls.train.dataset
    more = [(source, learn.dls.vocab[target])
            for source, target in zip(train.sources, train.targets, strict=True) if target != 0]
    other = ImageDataLoaders.from_files(
        sources + [source for source, _ in more], names + [name for _, name in more], size=16, bs=2,
        is_valid=[True] * len(names) + [False] * len(more), augment=False, device="cpu")
    assert other.vocab == learn.dls.vocab[1:]
    assert learn.validate(dl=other.valid)[1] == pytest.approx(expected)
    with pytest.raises(ValueError, match="nobody knows"):
        learn.test_dl(sources[:1], ["nobody knows"])


@pytest.mark.case("another vocabulary", "images without labels: predictions with targets None")
def test_images_without_labels_are_predicted_and_not_validated(small_learner):
    learn = small_learner()
    dl = learn.test_dl(learn.dls.valid.dataset.sources)
    probabilities, targets = learn.get_preds(dl=dl)
    assert targets is None and torch.equal(probabilities, learn.get_preds()[0])
    with pytest.raises(ValueError, match="dl must have labels.*learn.get_preds"):
        learn.validate(dl=dl)


@pytest.mark.case("names promised, and carried over from fastai",
                  "get_preds decodes by the loss: softmax, sigmoid, exp, or nothing")
@pytest.mark.parametrize("loss_func, expected", [
    (cross_entropy, lambda x: x.softmax(1)), (F.cross_entropy, lambda x: x.softmax(1)),
    (nn.CrossEntropyLoss(label_smoothing=0.1), lambda x: x.softmax(1)),
    (partial(cross_entropy, label_smoothing=0.1), lambda x: x.softmax(1)),
    (nn.BCEWithLogitsLoss(), torch.sigmoid), (partial(F.binary_cross_entropy_with_logits), torch.sigmoid),
    (binary_cross_entropy, torch.sigmoid), (nn.NLLLoss(), torch.exp), (nll, torch.exp),
    (nn.MultiMarginLoss(), lambda x: x), (F.mse_loss, lambda x: x)])
def test_predictions_are_what_the_logits_mean_to_the_loss(small_learner, loss_func, expected):
    learn = small_learner(loss_func=loss_func)
    assert_close(learn.get_preds()[0], expected(learn.get_logits()[0]))


def test_a_loss_may_say_itself_what_its_logits_mean(small_learner):
    def loss_func(logits, targets):
        return cross_entropy(logits, targets)
    loss_func.activation = lambda logits: logits * 2
    learn = small_learner(loss_func=loss_func)
    assert torch.equal(learn.get_preds()[0], 2 * learn.get_logits()[0])


@pytest.mark.parametrize("dl", [3, "valid", [], ["a"], [torch.zeros(2, 3, 16, 16, dtype=torch.uint8)], object()])
def test_what_is_no_loader_is_refused(small_learner, dl):
    with ours(), pytest.raises(ValueError):
        small_learner().get_preds(dl=dl)


def test_batches_of_ones_own_are_predicted(small_learner):
    learn = small_learner()
    logits, targets = learn.get_logits()
    batches = list(learn.dls.valid)
    assert_close(learn.get_logits(batches)[0], logits)
    assert learn.get_logits(iter([xb for xb, _ in batches]))[1] is None
    assert learn.validate(batches) == pytest.approx(learn.validate())


@pytest.mark.case("names promised, and carried over from fastai", "pretrained is a flag or weights, no text")
@pytest.mark.parametrize("options, message", [
    ({"pretrained": ResNet34_Weights.DEFAULT}, "pretrained must be True, False, or weights of resnet18"),
    ({"pretrained": "imagenet"}, "pretrained must be True, False, or weights of resnet18"),
    ({"metrix": error_rate}, "has no option 'metrix'.*Did you mean"),
    ({"metrics": 5}, "metrics must be a list"), ({"path": 5}, "path must be a path")])
def test_arguments_of_vision_learner_are_named(small_learner, options, message):
    with pytest.raises(ValueError, match=message):
        cnn_learner(small_learner().dls, resnet18, **{"pretrained": False, **options})


@pytest.mark.case("names promised, and carried over from fastai", "wd= sets the weight decay of what decays")
def test_wd_is_the_weight_decay_of_one_training(small_learner):
    for train in ("fit", "fit_one_cycle", "fit_sgdr"):
        learn = small_learner()
        getattr(learn, train)(1, wd=0.3)
        for group in learn.opt.param_groups:
            assert group["weight_decay"] == (0.3 if group["params"][0].ndim > 1 else 0)
    with pytest.raises(ValueError, match="wd must be a number, at least 0; got -1"):
        learn.fit(1, wd=-1)
    with pytest.raises(ValueError, match="needs an optimizer with weight decay; Rprop has none"):
        small_learner(opt_func=torch.optim.Rprop).fit(1, wd=0.1)


def test_predicting_changes_nothing(small_learner, state_of, assert_same, monkeypatch):
    learn = small_learner()
    before = state_of(learn)
    learn.get_preds(), learn.get_preds(learn.dls.valid), learn.validate(), learn.summary(1e-3)
    learn.predict(learn.dls.valid.dataset.sources[0])
    drawn = []
    monkeypatch.setattr(module, "show_images", lambda images, titles: drawn.extend(titles))
    learn.show_results(5)
    assert_same(before, state_of(learn))
    predicted = [learn.dls.vocab[i] for i in learn.get_preds()[0].argmax(1)]
    assert len(drawn) == 5
    assert drawn[0] in (f"{predicted[0]}: correct", f"{learn.dls.vocab[0]}: predicted {predicted[0]}")


@pytest.mark.parametrize("max_n", [3, 8, 12, 50])
def test_results_that_are_shown_come_from_all_over_the_validation_set(small_learner, monkeypatch, max_n):
    learn, drawn = small_learner(), []
    monkeypatch.setattr(module, "show_images", lambda images, titles: drawn.extend(titles))
    learn.show_results(max_n)
    assert len(drawn) == min(max_n, 12)
    assert {title.split(":")[0] for title in drawn} == set(learn.dls.vocab)


# As in fastai

def test_a_torchvision_function_makes_a_learner_as_in_fastai(drawings):
    dls = ImageDataLoaders.from_files(*drawings, size=32, bs=16, valid_pct=0.25, device="cpu")
    learn = cnn_learner(dls, resnet18, metrics=error_rate, pretrained=False)
    learn.fit_one_cycle(1, 3e-3)
    assert 0 <= learn.validate()[1] <= 1 and len(learn.summary()) == 3


def test_calls_carried_over_from_a_fastai_notebook_run_unchanged(tmp_path, monkeypatch, drawings):
    monkeypatch.chdir(tmp_path)
    dls = ImageDataLoaders.from_files(*drawings, size=32, bs=8, valid_pct=0.25, device="cpu")
    learn = cnn_learner(dls, shufflenet_v2_x0_5, metrics=error_rate, pretrained=False)
    learn.lr_find()
    learn.fit_one_cycle(1, 3e-3)
    learn.unfreeze()
    learn.fit_one_cycle(1, lr_max=slice(1e-6, 1e-4))
    learn.recorder.plot_loss()
    learn.fine_tune(1, base_lr=0.1)
    learn.save("name")
    learn.load("name")
    assert (tmp_path / "models" / "name.safetensors").exists()
    interp = ClassificationInterpretation.from_learner(learn)
    interp.plot_top_losses(9, figsize=(15, 11))
    interp.most_confused(min_val=2)
    lr_min, lr_steep = learn.lr_find(suggest_funcs=(minimum, steep), num_it=30)
    assert isinstance(lr_min, float) and isinstance(lr_steep, float)
    assert len(learn.validate()) == 2 and len(learn.get_preds()) == 2
    plt.close("all")
