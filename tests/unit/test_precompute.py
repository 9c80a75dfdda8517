"""Training on cached activations is the same training, and stale ones are never used."""
import copy
from functools import partial

import matplotlib.pyplot as plt
import pytest
import torch
from counting import operators
from small import small_model
from torch import nn
from torch.testing import assert_close
from torchvision.models import resnet18

from transfer_lessons import fine_tuning, lr_finder  # noqa: F401  they give a learner methods
from transfer_lessons.backbones import vision_model
from transfer_lessons.data import ImageDataset, ImageLoader
from transfer_lessons.frozen_body import FrozenBody, split_frozen
from transfer_lessons.interpretation import ClassificationInterpretation
from transfer_lessons.learner import Learner
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.precompute import CachedLoader


@pytest.fixture
def frozen_learner(small_learner):
    """Learners that are alike, with a frozen body."""
    def make(n=-1, **options):
        learn = small_learner(**options)
        learn.freeze_to(n)
        return learn
    return make


@pytest.mark.parametrize("n", [-1, -2])
@pytest.mark.parametrize("arch", ["test_resnet.r160_in1k", "tf_efficientnet_lite0", resnet18,
                                  "convnext_atto", "mobilenetv3_small_050", "densenet121"])
def test_cached_and_live_activations_agree(drawings, arch, n):
    dls = ImageDataLoaders.from_files(*drawings, size=48, bs=8, augment=False, device="cpu")
    learn = Learner(dls, vision_model(arch, 3, pretrained=False, hidden=16))
    learn.freeze_to(n)
    cached = learn.precompute()
    in_order = copy.copy(learn.dls.train)
    in_order.generator = None
    cached_dl = CachedLoader(in_order, cached.dls.train.activations, cached.dls.train.frozen)
    for live, loader in ((in_order, cached_dl), (learn.dls.valid, cached.dls.valid)):
        expected, targets = learn.get_logits(live)
        logits, same_targets = cached.get_logits(loader)
        assert_close(logits, expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(targets, same_targets)
    dims = 2 if n == -1 else 4
    assert cached.dls.train.activations.ndim == dims, "pooled where only the head trains, else maps"


@pytest.mark.parametrize("n", [-1, -2])
def test_training_on_cached_activations_is_the_same_training(frozen_learner, n):
    live, original = frozen_learner(n), frozen_learner(n)
    learners = live, original.precompute()
    for learn in learners:
        torch.manual_seed(3)
        learn.fit_one_cycle(3, slice(1e-3, 1e-2))
    assert_close(learners[1].recorder.losses, live.recorder.losses, atol=1e-3, rtol=1e-3)
    assert learners[1].recorder.lrs == live.recorder.lrs, "a slice means the same learning rates"
    assert abs(original.validate()[1] - live.validate()[1]) <= 0.01
    for learn in (live, original):  # and the originals go on alike
        torch.manual_seed(4)
        learn.unfreeze()
        learn.fit(1, 1e-3)
    assert_close(original.recorder.losses, live.recorder.losses[-len(original.recorder.losses):],
                 atol=1e-2, rtol=1e-2)


def test_any_optimizer_trains_alike(frozen_learner):
    sgd = partial(torch.optim.SGD, momentum=0.9)
    live, original = frozen_learner(opt_func=sgd), frozen_learner(opt_func=sgd)
    for learn in (live, original.precompute()):
        torch.manual_seed(3)
        learn.fit_one_cycle(2, 1e-2)
    assert_close(original.validate(), live.validate(), atol=1e-4, rtol=1e-4)


def test_the_trained_modules_are_shared(frozen_learner):
    learn = frozen_learner()
    cached = learn.precompute()
    heads = list(learn.model[1].parameters()), list(cached.model.parameters())
    assert all(mine is its for mine, its in zip(*heads, strict=True))
    cached.fit(1, 1e-2)
    assert_close(learn.validate(), cached.validate())
    learn.fit(1, 1e-2)
    assert_close(learn.validate(), cached.validate())


def test_precompute_leaves_no_trace(frozen_learner, state_of, assert_same):
    learn = frozen_learner()
    learn.model.train()
    before = state_of(learn)
    learn.precompute()
    assert_same(state_of(learn), before)
    views = frozen_learner(augment=True)
    before = state_of(views)
    views.precompute(views=2)
    assert_same(state_of(views), before)


def test_an_interrupted_precompute_leaves_no_trace(
        frozen_learner, state_of, assert_same, tmp_path):
    learn = frozen_learner(augment=True)
    before, calls = state_of(learn), []
    def interrupted(*_):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
    learn.model[0][0].register_forward_hook(interrupted)
    with pytest.raises(KeyboardInterrupt):
        learn.precompute(views=2, max_memory=0, folder=tmp_path)
    assert len(calls) == 7
    assert not list(tmp_path.glob("*.npy"))
    assert_same(state_of(learn), before)


def test_dropout_is_never_cached(frozen_learner):
    learn = frozen_learner()
    frozen, trained = split_frozen(learn.model, torch.rand(2, 3, 16, 16))
    assert isinstance(frozen[-1], nn.Flatten), "pooled"
    assert isinstance(trained[0][0], nn.Dropout), "dropout has no weights, but it is random"


def test_a_batchnorm_without_weights_that_trains_is_not_cached(frozen_learner):
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3, 2)), nn.Sequential(
        nn.BatchNorm2d(4, affine=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)))
    frozen, trained = split_frozen(frozen_learner(model=model).model, torch.rand(2, 3, 16, 16))
    assert isinstance(trained[0][0], nn.BatchNorm2d)


class TwoDoors(nn.Module):
    """More than its parts one after another, but for its head."""
    def __init__(self, beside_the_head: bool):
        super().__init__()
        self.early, self.late = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
        self.beside = beside_the_head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.late(self.early(x)) + (0 if self.beside else x)
        return self.head(x) + (x.mean((2, 3)) if self.beside else 0)


@pytest.mark.parametrize("beside", [True, False])
def test_a_network_that_is_not_its_blocks_in_order_is_refused(frozen_learner, beside):
    with pytest.raises(ValueError, match="cannot be cut.*learn.freeze()"):
        frozen_learner(model=TwoDoors(beside)).precompute()


def test_a_body_that_is_not_its_blocks_in_order_is_cut_before_the_head(frozen_learner):
    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1)

        def forward(self, x):
            x = self.first(x)
            return x + self.second(x).relu()
    model = nn.Sequential(Body(), small_model()[1])
    learn = frozen_learner(model=model)
    assert_close(learn.precompute().get_logits(), learn.get_logits())
    learn.freeze_to(-2)
    with pytest.raises(ValueError, match="cannot be cut"):
        learn.precompute()


def test_refusals_say_what_to_do(small_learner, frozen_learner):
    with pytest.raises(ValueError, match="Every layer trains.*learn.freeze()"):
        small_learner().precompute()
    learn = small_learner()
    learn.model.requires_grad_(False)
    with pytest.raises(ValueError, match="No layer trains"):
        learn.precompute()
    with pytest.raises(ValueError, match=r"(?s)every epoch.*views=4.*augment=False"):
        frozen_learner(augment=True).precompute()
    with pytest.raises(ValueError, match="augmentation is off"):
        frozen_learner().precompute(views=2)
    for views in (0, -1, 1.5, "2"):
        with pytest.raises(ValueError, match="whole number"):
            frozen_learner(augment=True).precompute(views=views)


def test_views_are_views_of_the_same_image(frozen_learner):
    learn = frozen_learner(augment=True)
    n, cached = len(learn.dls.train.dataset), learn.precompute(views=3)
    rows = cached.dls.train.activations
    assert len(rows) == 3 * n and len(cached.dls.valid.activations) == len(learn.dls.valid.dataset)
    assert torch.equal(rows, frozen_learner(augment=True).precompute(views=3).dls.train.activations)
    assert torch.equal(rows[:n], learn.precompute(views=1).dls.train.activations)
    assert not torch.equal(rows[:n], rows[n:2 * n])
    seen = set()
    for _ in range(30):
        for xb, yb in cached.dls.train:
            for x, y in zip(xb, yb, strict=True):
                row = int((rows == x).all(1).nonzero()[0])
                assert learn.dls.train.dataset.targets[row % n] == y
                seen.add(row)
    assert len(seen) > 2.5 * n, "every view gets its turn"
    cached.fit(1, 1e-2)


USES = {"fit": lambda learn: learn.fit(1), "validate": lambda learn: learn.validate(),
        "get_preds": lambda learn: learn.get_preds(), "lr_find": lambda learn: learn.lr_find(),
        "fit_one_cycle": lambda learn: learn.fit_one_cycle(1)}


@pytest.mark.parametrize("use", USES)
def test_stale_activations_are_refused(frozen_learner, use, assert_same):
    learn = frozen_learner()
    cached = learn.precompute()
    cached.validate()
    learn.unfreeze()
    before = {key: value.clone() for key, value in learn.model.state_dict().items()}
    with pytest.raises(RuntimeError, match="no longer frozen.*freeze()"):
        USES[use](cached)
    assert_same(learn.model.state_dict(), before)
    learn.freeze()
    USES["validate"](cached)  # nothing has changed
    with torch.no_grad():
        learn.model[0][0].weight[0, 0, 0, 0] += 1e-3
    with pytest.raises(RuntimeError, match=r"have changed.*precompute()"):
        USES[use](cached)


def test_activations_are_stale_after_training_the_body(frozen_learner):
    learn = frozen_learner()
    cached = learn.precompute()
    learn.unfreeze()
    learn.fit(1, 1e-2)
    learn.freeze()
    with pytest.raises(RuntimeError, match="have changed"):
        cached.validate()
    assert_close(cached.precompute().validate(), learn.validate())


def test_activations_are_stale_after_a_batchnorm_has_seen_a_batch(frozen_learner):
    learn = frozen_learner()
    cached = learn.precompute()
    with torch.no_grad():
        learn.model.train()(torch.rand(4, 3, 16, 16))
    with pytest.raises(RuntimeError, match="have changed"):
        cached.fit(1)


def test_the_same_weights_written_again_are_no_change(frozen_learner):
    learn = frozen_learner()
    cached = learn.precompute()
    learn.save("same")
    learn.load("same")
    cached.fit(1)
    assert len(cached.recorder.history) == 1
    learn.model.load_state_dict(copy.deepcopy(learn.model.state_dict()))
    assert cached.validate() == learn.validate()


def test_unfreezing_the_cached_learner_is_refused_when_it_trains(frozen_learner):
    cached = frozen_learner().precompute()
    cached.freeze()
    with pytest.raises(RuntimeError, match="original.fine_tune"):
        cached.fine_tune(1)
    cached.unfreeze()
    with pytest.raises(RuntimeError, match="no longer frozen"):
        cached.fit(1)


@pytest.mark.case("caches: a folder that cannot be written", "said before the body runs")
def test_a_folder_that_is_a_file_is_refused_before_the_body_runs(frozen_learner, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setattr(FrozenBody, "activations", lambda *_: pytest.fail("the body ran"))
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(OSError, match="Could not save .*taken.*Choose another folder"):
            frozen_learner().precompute(max_memory=0, folder=folder)


@pytest.mark.parametrize("options", [{"max_memory": -1}, {"max_memory": "2GB"}, {"folder": 3}, {"folder": ""},
                                     {"views": 0}, {"views": "2"}, {"views": 2}])
def test_arguments_of_precompute_are_checked_before_the_body_runs(frozen_learner, options, monkeypatch):
    monkeypatch.setattr(FrozenBody, "activations", lambda *_: pytest.fail("the body ran"))
    with pytest.raises(ValueError, match=next(iter(options))):
        frozen_learner().precompute(**options)


@pytest.mark.case("out of memory in precompute", "the advice of fit")
def test_out_of_memory_in_precompute_gives_the_advice_of_fit(frozen_learner, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")
        yield
    monkeypatch.setattr(FrozenBody, "activations", full)
    with pytest.raises(torch.OutOfMemoryError, match="Out of memory in precompute with bs=8.*bs=4"):
        frozen_learner().precompute()


def test_freezing_more_is_no_harm(frozen_learner):
    live, learn = frozen_learner(-2), frozen_learner(-2)
    cached = learn.precompute()
    for one in (live, cached):
        one.freeze()
        torch.manual_seed(0)
        one.fit(1, slice(1e-3, 1e-2))
    assert_close(cached.validate(), live.validate(), atol=1e-5, rtol=1e-5)


def test_a_file_is_used_again_but_never_a_stale_one(frozen_learner, tmp_path):
    learn = frozen_learner()
    expected = learn.precompute().dls
    calls = []
    learn.model[0][0].register_forward_hook(lambda *_: calls.append(1))
    def same_from_files():
        calls.clear()
        dls = learn.precompute(max_memory=0, folder=tmp_path).dls
        return all(torch.equal(getattr(dls, name).activations, getattr(expected, name).activations)
                   for name in ("train", "valid"))
    assert same_from_files()
    n_calls = len(calls)
    assert len(list(tmp_path.glob("*.npy"))) == 2
    assert same_from_files()
    n_batches = len(expected.valid) + -(-len(expected.train.dataset) // expected.train.bs)
    assert len(calls) == n_calls - n_batches + 2, "a batch each to be sure, and no more"
    with torch.no_grad():
        learn.model[0][0].weight += 0.1
    assert not same_from_files()
    assert len(list(tmp_path.glob("*.npy"))) == 4


def test_in_memory_nothing_is_written(frozen_learner, tmp_path):
    learn = frozen_learner()
    rows = sum(loader.activations.numel() for loader in
               (learn.precompute().dls.train, learn.precompute().dls.valid))
    learn.precompute(max_memory=4 * rows, folder=tmp_path / "in")
    assert not (tmp_path / "in").exists()
    learn.precompute(max_memory=4 * rows - 1, folder=tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.npy"))) == 2


def test_training_does_not_write_into_the_file(frozen_learner, tmp_path):
    learn = frozen_learner(-2).precompute(max_memory=0, folder=tmp_path)
    before = [file.read_bytes() for file in sorted(tmp_path.glob("*.npy"))]
    learn.fit(1, 1e-2)
    assert before == [file.read_bytes() for file in sorted(tmp_path.glob("*.npy"))]


def test_lr_find_is_the_same_and_leaves_no_trace(frozen_learner, state_of, assert_same):
    learn = frozen_learner()
    cached = learn.precompute()
    before = state_of(learn)
    found = cached.lr_find(num_it=40)
    assert_same(state_of(learn), before)
    live = learn.lr_find(num_it=40)
    # At high learning rates every rounding error grows.
    assert_close(found.losses[:25], live.losses[:25], atol=1e-4, rtol=0)
    assert abs(found.losses[24] - found.losses[0]) > 0.01, "it trained"


def test_images_go_through_the_whole_network(frozen_learner):
    learn = frozen_learner()
    cached = learn.precompute()
    cached.fit(1, 1e-2)
    image = learn.dls.valid.dataset.sources[0]
    name, number, probabilities = cached.predict(image)
    assert (name, number) == learn.predict(image)[:2]
    assert_close(probabilities, cached.get_preds()[0][0])
    others = ImageLoader(ImageDataset(learn.dls.train.dataset.sources[:5], [0] * 5, 16), 2, cached.dls.device)
    assert_close(cached.get_preds(others), learn.get_preds(others))
    cached.show_results()


def test_interpretation_shows_the_images(frozen_learner):
    learn = frozen_learner()
    cached = learn.precompute()
    for mine, its in ((None, None), (cached.dls.train, learn.dls.train)):
        ours = ClassificationInterpretation.from_learner(cached, mine)
        live = ClassificationInterpretation.from_learner(learn, its)
        assert_close(ours.losses, live.losses, atol=1e-5, rtol=1e-5)
        ours.plot_top_losses(4)


def test_batches_are_shown_as_images(frozen_learner):
    cached = frozen_learner().precompute()
    cached.dls.show_batch(4)
    shown = [ax.images[0].get_array().shape for ax in plt.gcf().axes]
    assert shown == [(16, 16, 3)] * 4


def test_the_loader_is_like_the_live_one(frozen_learner):
    live, learn = frozen_learner(), frozen_learner()
    cached = learn.precompute()
    for name in ("vocab", "bs", "size", "seed", "device"):
        assert getattr(cached.dls, name) == getattr(learn.dls, name)
    assert len(cached.dls.train) == len(learn.dls.train) and len(cached.dls.valid) == len(live.dls.valid)
    for _ in range(2):
        orders = [[yb.tolist() for _, yb in one.dls.train] for one in (live, cached)]
        assert orders[0] == orders[1]
    assert torch.equal(live.dls.train.generator.get_state(), cached.dls.train.generator.get_state())
    assert cached.dls.one_batch()[0].shape == (8, 6)


def test_batches_of_cached_activations_read_no_number(frozen_learner, monkeypatch):
    cached = frozen_learner().precompute()
    monkeypatch.setattr(FrozenBody, "check", lambda self: None)  # waits once per pass
    counts = operators(lambda: list(cached.dls.train))
    assert counts["index_select"] == len(cached.dls.train)
    assert counts["_local_scalar_dense"] == 0


def test_half_precision_activations_come_as_float32_batches(frozen_learner):
    cached = frozen_learner().precompute().dls.valid
    half = CachedLoader(cached, cached.activations.bfloat16(), cached.frozen)
    for (xb, _), (expected, _) in zip(half, cached, strict=True):
        assert xb.dtype == torch.float32
        assert_close(xb, expected, rtol=1e-2, atol=1e-3)


def test_activations_have_the_precision_of_the_learner(frozen_learner, tmp_path):
    learn = frozen_learner().to_bf16()
    for options in ({}, {"max_memory": 0, "folder": tmp_path}, {"max_memory": 0, "folder": tmp_path}):
        cached = learn.precompute(**options)
        assert cached.dls.train.activations.dtype == torch.bfloat16
        assert_close(cached.validate(), learn.validate(), rtol=0.02, atol=0.02)
    learn.to_fp32()
    with_all_digits = learn.precompute(max_memory=0, folder=tmp_path).dls.train.activations
    assert with_all_digits.dtype == torch.float32
    assert len(list(tmp_path.glob("*.npy"))) == 4, "each precision has files of its own"
    cached.to_fp32().fit(1)  # from activations in half


def test_save_and_load_work(frozen_learner):
    cached = frozen_learner().precompute()
    cached.fit(1, 1e-2)
    cached.save("head")
    loss = cached.validate()
    other = frozen_learner(seed=0)
    again = other.precompute()
    again.load("head")
    assert_close(again.validate(), loss)
    assert_close(other.validate(), loss)


def test_an_interrupted_training_goes_on_from_its_checkpoint(frozen_learner):
    whole = frozen_learner().precompute()
    torch.manual_seed(3)
    whole.fit_one_cycle(3, 1e-2)
    first = frozen_learner().precompute()
    torch.manual_seed(3)
    calls = []
    def stop(module, *_):
        calls.append(module.training)
        if sum(calls) == 2 * len(first.dls.train) + 2:
            raise KeyboardInterrupt
    first.model.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        first.fit_one_cycle(3, 1e-2, checkpoint="run")
    second = frozen_learner().precompute()
    second.load("run")
    second.fit_one_cycle(3, 1e-2, start_epoch=2)
    assert_close(second.recorder.losses, whole.recorder.losses, atol=0, rtol=0)
