"""What happens while a training runs: NaN, Ctrl-C, memory, processes, devices."""
import math
import os
import signal

import pytest
import torch

from transfer_lessons.core import default_device
from transfer_lessons.losses import cross_entropy

pytestmark = pytest.mark.usefixtures("one_thread")


class At:
    """A loss that does something at its k-th call, counted from 0."""
    def __init__(self, k: int, happens):
        self.k = k
        self.happens = happens
        self.calls = 0

    def __call__(self, logits, targets):
        loss = cross_entropy(logits, targets)
        if logits.is_leaf and logits.requires_grad:
            return loss  # made up, to try the loss before a training
        self.calls += 1
        return self.happens(loss) if self.calls == self.k + 1 else loss


def interrupt(loss):
    signal.raise_signal(signal.SIGINT)
    return loss


def run_out_of_memory(loss):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")


@pytest.mark.case("NaN or infinite loss",
                  "stops with step, learning rate and likely cause; weights are still finite")
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_or_infinite_loss(value, small_learner):
    learn = small_learner(loss_func=At(2, lambda loss: loss * value))
    with pytest.raises(FloatingPointError, match="step 2 .*learning rate 0.01.*too high"):
        learn.fit(2, 1e-2)
    assert all(value.isfinite().all() for value in learn.model.state_dict().values())


@pytest.mark.case("Ctrl-C in `fit`",
                  "gradients cleared, modes restored, history kept; says how to go on")
def test_ctrl_c_in_fit(small_learner, capsys):
    learn = small_learner(loss_func=At(5, interrupt))
    modes = [module.training for module in learn.model.modules()]
    with pytest.raises(KeyboardInterrupt):
        learn.fit(3, 1e-2)
    assert "train again to go on" in capsys.readouterr().out
    assert [module.training for module in learn.model.modules()] == modes
    assert all(parameter.grad is None for parameter in learn.model.parameters())
    assert learn.recorder.losses and all(map(math.isfinite, learn.recorder.losses))
    learn.fit(1, 1e-2)


@pytest.mark.case("`lr_find`, normal end", "training afterwards is the same, to the bit")
def test_lr_find_normal_end(small_learner, state_of, assert_same):
    states = []
    for look in (False, True):
        learn = small_learner(augment=True)
        if look:
            learn.lr_find(num_it=20)
        learn.fit(1, 1e-2)
        states.append(state_of(learn))
    assert_same(*states)


@pytest.mark.case("Ctrl-C or NaN inside `lr_find`",
                  "everything restored; a result from the points so far, or a clear error")
@pytest.mark.parametrize("happens", [interrupt, lambda loss: loss * math.nan])
@pytest.mark.parametrize("k", [3, 40])
def test_ctrl_c_or_nan_inside_lr_find(happens, k, small_learner, state_of, assert_same):
    learn = small_learner(loss_func=At(k, happens))
    before = state_of(learn)
    try:
        found = learn.lr_find(num_it=60)
        assert len(found.losses) == k
    except (ValueError, FloatingPointError) as error:
        assert k == 3 and "point" in str(error)
    assert_same(before, state_of(learn))


@pytest.mark.case("`lr_find` writes files", "writes nothing")
def test_lr_find_writes_files(small_learner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_learner().lr_find(num_it=20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.case("out of memory at batch k", "memory released; the error names a batch size to try")
@pytest.mark.parametrize("action", ["fit", "validate", "lr_find"])
def test_out_of_memory_at_batch_k(action, small_learner):
    learn = small_learner(loss_func=At(0, run_out_of_memory))
    arguments = {"fit": (1,), "validate": (), "lr_find": ()}[action]
    with pytest.raises(torch.OutOfMemoryError, match="bs=4"):
        getattr(learn, action)(*arguments)
    getattr(learn, action)(*arguments)  # it works again at once


class Killed(torch.utils.data.Dataset):
    """Images whose reader is killed, as by a system that runs out of memory."""
    def __len__(self):
        return 4

    def __getitem__(self, item):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.case("loader worker killed", "the error says: try num_workers=0")
def test_loader_worker_killed():
    from transfer_lessons.data import ImageLoader
    with pytest.raises(RuntimeError, match="num_workers=0"):
        list(ImageLoader(Killed(), 2, torch.device("cpu"), num_workers=1))


@pytest.mark.case("accelerator missing", "runs on the CPU, and says so once")
def test_accelerator_missing(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="running on the CPU") as told:
        assert default_device("cuda", quiet=True) == torch.device("cpu")
    assert len(told) == 1
