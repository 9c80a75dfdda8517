"""A learner's everyday methods: schedules, predictions, and calls written for fastai."""

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torchvision.models import resnet18, shufflenet_v2_x0_5

from transfer_lessons import fine_tuning  # noqa: F401  adds fine_tune to Learner
from transfer_lessons import predictions as module
from transfer_lessons.interpretation import ClassificationInterpretation
from transfer_lessons.learner import cnn_learner, error_rate
from transfer_lessons.loaders import ImageDataLoaders
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


def test_predictions_for_a_training_loader_come_with_the_targets_of_their_images(small_learner):
    learn = small_learner()
    seen = []
    learn.model.register_forward_pre_hook(lambda model, inputs: seen.append(inputs[0].clone()))
    logits, targets = learn.get_logits(dl=learn.dls.train)
    assert targets.tolist() != learn.dls.train.dataset.targets, "a training loader shuffles"
    wanted = {learn.dls.train.after_batch(image[None]).numpy().tobytes(): target
              for image, target in map(learn.dls.train.dataset.__getitem__, range(36))}
    assert [wanted[image[None].numpy().tobytes()] for image in torch.cat(seen)] == targets.tolist()


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
