"""Loaders of another size, and the search for a batch that fits."""
import sys

import pytest
import torch
from small import small_model

from transfer_lessons import batch_size  # noqa: F401  it adds find_batch_size and new
from transfer_lessons.all import ImageDataLoaders

pytestmark = pytest.mark.usefixtures("one_thread")


class SmallDevice(torch.nn.Sequential):
    """A network that acts as if it ran on a device with room for so many images in training."""
    n_fit = 10
    message = "CUDA out of memory. Tried to allocate 1.21 GiB."
    error = torch.OutOfMemoryError
    def forward(self, xb):
        if torch.is_grad_enabled() and len(xb) > self.n_fit:
            raise self.error(self.message)
        return super().forward(xb)


@pytest.mark.case("out of memory at batch k", "find_batch_size halves until steps on a copy fit")
@pytest.mark.parametrize(("error", "message"), [
    (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 1.21 GiB."),
    (RuntimeError, "MPS backend out of memory (MPS allocated: 5.39 GB)"),
    (RuntimeError, "[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"),
    (MemoryError, "Unable to allocate 3.5 GiB")])
def test_it_finds_the_largest_half_that_fits_and_leaves_no_trace(
        small_learner, state_of, assert_same, error, message):
    model = SmallDevice(*small_model())
    model.error = error
    model.message = message
    learn = small_learner(model)
    before = state_of(learn)
    assert learn.find_batch_size() == 9, "of 36 images, 18 and 9"
    assert learn.find_batch_size(start=16) == 8
    assert_same(state_of(learn), before)
    assert learn.opt is None and not learn.recorder.losses


def test_where_all_fits_it_is_the_start(small_learner):
    assert small_learner().find_batch_size() == 36
    learn = small_learner()
    learn.freeze()
    assert learn.precompute().find_batch_size(start=64) == 64, "more than there are: repeated"


@pytest.mark.case("not even two images fit", "says what else to try, changes nothing")
def test_where_nothing_fits_it_says_what_else_to_try(small_learner):
    model = SmallDevice(*small_model())
    model.n_fit = 0
    with pytest.raises(torch.OutOfMemoryError, match="batch of 2.*smaller size"):
        small_learner(model).find_batch_size()


def test_another_error_of_the_network_is_not_taken_for_a_full_memory(small_learner):
    model = SmallDevice(*small_model())
    model.error = RuntimeError
    model.message = "mat1 and mat2 shapes cannot be multiplied"
    with pytest.raises(ValueError, match="The model fails on a batch"):
        small_learner(model).find_batch_size()


def test_its_arguments_and_its_library_are_checked_first(small_learner, monkeypatch):
    learn = small_learner()
    for wrong in (0, 1, 2.5, "many"):
        with pytest.raises(ValueError, match="start must be"):
            learn.find_batch_size(start=wrong)
    monkeypatch.setitem(sys.modules, "accelerate.utils", None)
    with pytest.raises(ImportError, match=r"transfer_lessons\[many\]"):
        learn.find_batch_size()


@pytest.mark.parametrize("augment", [False, True])
def test_new_loaders_have_the_same_images_at_another_size(drawings, augment):
    dls = ImageDataLoaders(*drawings, size=16, bs=8, augment=augment, device="cpu")
    other = dls.new(size=32, bs=4)
    assert other.one_batch()[0].shape == (4, 3, 32, 32)
    assert next(iter(other.valid))[0].shape[-1] == 32
    assert other.train.dataset.size == (40 if augment else 32)
    assert dls.one_batch()[0].shape == (8, 3, 16, 16), "the old ones stay as they are"
    expected = ImageDataLoaders(*drawings, size=32, bs=4, augment=augment, device="cpu")
    for (xb, yb), (expected_xb, expected_yb) in zip(other.train, expected.train, strict=True):
        assert torch.equal(xb, expected_xb) and torch.equal(yb, expected_yb)


def test_new_loaders_do_not_disturb_the_order_of_the_old_ones(drawings):
    dls = ImageDataLoaders(*drawings, size=16, bs=8, augment=False, device="cpu")
    before = dls.train.generator.get_state()
    list(dls.new(bs=4).train)
    assert dls.train.generator.get_state().equal(before)


def test_new_refuses_what_cannot_be(small_learner):
    learn = small_learner()
    for wrong in {"size": 0}, {"bs": 0}, {"bs": "all"}:
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
            learn.dls.new(**wrong)
    with pytest.raises(ValueError, match="bs=100|100"):
        learn.dls.new(bs=100)
    learn.freeze()
    cached = learn.precompute()
    assert len(cached.dls.new(bs=4).train) == 9
    with pytest.raises(ValueError, match=r"learn.original.dls.new\(size=32\)"):
        cached.dls.new(size=32)
