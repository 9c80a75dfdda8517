"""A learner saved, loaded and resumed: everything comes back, or nothing changes."""
import os
import pickle
import re
from functools import partial

import pytest
import torch
from safetensors import safe_open
from small import small_model
from torch import nn

from transfer_lessons.checkpoints import read_checkpoint
from transfer_lessons.learner import Learner
from transfer_lessons.losses import cross_entropy
from transfer_lessons.optim import adamw

pytestmark = pytest.mark.usefixtures("one_thread")

sgd = partial(torch.optim.SGD, momentum=0.9, nesterov=True)


def recorded(learn) -> dict:
    """All a recorder holds but the seconds, which differ from run to run."""
    return {**vars(learn.recorder), "history": [row[:-1] for row in learn.recorder.history]}


# Saved and loaded

def test_a_checkpoint_gives_back_every_tensor_bit_for_bit(small_learner, assert_same):
    learn, other = small_learner(), small_learner(seed=5)
    learn.fit(1, 1e-2)
    file = learn.save("one")
    assert file == learn.path / "models" / "one.safetensors"
    assert other.load("one") is other
    assert_same(learn.model.state_dict(), other.model.state_dict())
    assert torch.equal(learn.get_preds()[0], other.get_preds()[0])


@pytest.mark.parametrize("name", ["best.pth", "best.pt", "best.safetensors", "v1.5"])
def test_a_name_with_an_ending_is_found_again(small_learner, assert_same, name):
    learn, other = small_learner(), small_learner(seed=5)
    assert learn.save(name).name == f"{name.removesuffix('.safetensors')}.safetensors"
    assert_same(learn.model.state_dict(), other.load(name).model.state_dict())


def test_the_facts_in_a_checkpoint_are_json(small_learner):
    learn = small_learner()
    learn.fit(1, 1e-2)
    file = learn.save("one")
    with safe_open(file, "pt") as opened:
        for key, value in learn.model.state_dict().items():
            assert torch.equal(opened.get_tensor(f"model.{key}"), value)
    info = read_checkpoint(file)[1]
    assert info["vocab"] == ["animal", "building", "vehicle"] and info["epoch"] is None
    assert info["recorder"]["losses"] == learn.recorder.losses


def test_saving_and_loading_changes_nothing_else(small_learner, state_of, assert_same):
    learn = small_learner()
    learn.fit(1, 1e-2)
    before, history = state_of(learn), recorded(learn)
    learn.save("one")
    learn.load("one")
    assert_same(before, state_of(learn))
    assert recorded(learn) == history


def test_weights_with_shared_or_unusual_tensors_are_saved(small_learner):
    model = small_model()
    model[1][3].weight = nn.Parameter(model[1][3].weight.double().float().t().contiguous().t())
    model[0].register_buffer("flags", torch.tensor([True, False]))
    model[0].register_buffer("halves", torch.ones(2, 0, dtype=torch.bfloat16))
    model[0].register_buffer("number", torch.tensor(3))
    model[0].register_buffer("again", model[0][1].running_mean)
    learn = small_learner(model)
    learn.save("one")
    model[0].number.zero_()
    learn.load("one")
    assert model[0].number == 3


def test_a_disk_that_fills_in_training_keeps_the_weights_in_memory(small_learner, monkeypatch):
    learn = small_learner()
    calls = []
    def fsync(number):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left on device.*Make room"):
        learn.fit(3, 1e-2, checkpoint="run")
    assert len(learn.recorder.history) == 2 and all(p.grad is None for p in learn.model.parameters())
    assert read_checkpoint(learn.path / "models/run.safetensors")[1]["epoch"] == 1


# Checked before anything is copied

def refused(learn, name: str, error=ValueError) -> str:
    """The message with which a checkpoint is refused, nothing being changed."""
    before = {key: value.clone() for key, value in learn.model.state_dict().items()}
    history, loaded = recorded(learn), learn.loaded
    with pytest.raises(error) as caught:
        learn.load(name)
    assert all(torch.equal(value, before[key]) for key, value in learn.model.state_dict().items())
    assert recorded(learn) == history and learn.loaded is loaded
    return str(caught.value)


def test_another_architecture_is_refused_with_the_first_difference(small_learner):
    model = small_model()
    model[0][3] = nn.Conv2d(4, 6, 5, 2)
    small_learner(model).save("other")
    message = refused(small_learner(seed=1), "other")
    assert "1 of its parts differ, such as 0.3.weight: [6, 4, 5, 5], here [6, 4, 3, 3]" in message
    assert "Nothing was changed" in message


def test_tensors_that_are_missing_or_too_many_are_refused(small_learner):
    less = small_model()
    less[0][4] = nn.Identity()
    small_learner(less).save("less")
    assert "5 of its parts differ, such as 0.4.weight: None, here [6]" in refused(small_learner(), "less")
    small_learner().save("more")
    message = refused(small_learner(less), "more")
    assert "5 of its parts differ, such as 0.4." in message
    assert ", here None" in message


def test_another_number_of_classes_is_refused(small_learner):
    learn = small_learner(small_model(4))
    learn.dls.vocab = list("abcd")
    learn.save("four")
    message = refused(small_learner(), "four")
    assert "class names: ['a', 'b', 'c', 'd'], here ['animal', 'building', 'vehicle']" in message


@pytest.mark.parametrize("vocab", [["vehicle", "building", "animal"], ["x", "y", "z"]])
def test_other_class_names_or_another_order_are_refused(small_learner, vocab):
    learn = small_learner()
    learn.dls.vocab = vocab
    learn.save("names")
    message = refused(small_learner(), "names")
    assert f"1 of its parts differ, such as class names: {vocab}, here " in message


def test_a_missing_checkpoint_is_named_with_those_there_are(small_learner):
    learn = small_learner()
    learn.save("a")
    learn.save("b")
    message = refused(learn, "c", FileNotFoundError)
    assert "c.safetensors" in message and "Saved are: ['a', 'b']" in message


def test_a_damaged_checkpoint_changes_nothing(small_learner):
    learn = small_learner()
    file = learn.save("whole")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.with_name("changed.safetensors").write_bytes(data)
    assert "changed.safetensors is damaged" in refused(learn, "changed")


@pytest.mark.parametrize("suffix", [".pth", ".pkl", ".pt", ".safetensors"])
def test_a_pickle_is_refused_whatever_its_name(small_learner, suffix):
    learn = small_learner()
    file = learn.path / "models" / f"export{suffix}"
    file.parent.mkdir()
    file.write_bytes(pickle.dumps({"weights": 1}))
    message = refused(learn, "export" if suffix == ".safetensors" else file.name)
    assert file.name in message and "is a pickle, which could run any program: refused" in message


# Resumed

OPTIMIZERS = {"adamw": adamw, "sgd": sgd}
RUNS = {"one cycle": lambda learn, **options: learn.fit_one_cycle(4, slice(1e-3, 1e-1), **options),
        "constant": lambda learn, **options: learn.fit(4, 1e-2, **options),
        "restarts": lambda learn, **options: learn.fit_sgdr(2, 1, 1e-2, 3, **options)}


@pytest.mark.parametrize("opt_func", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("done", [1, 3])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
        small_learner, state_of, assert_same, monkeypatch, opt_func, run, done):
    whole, broken = (small_learner(augment=True, opt_func=opt_func) for _ in range(2))
    torch.manual_seed(1)
    run(whole)
    def validate(*arguments):
        if len(broken.recorder.history) == done:
            raise KeyboardInterrupt
        return Learner.validate(broken, *arguments)
    broken.validate = validate
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        run(broken, checkpoint="run")
    torch.rand(1000)
    fresh = small_learner(augment=True, opt_func=opt_func, seed=7)  # as in another process
    run(fresh.load("run"), start_epoch=done, checkpoint="run")
    assert_same(state_of(whole), state_of(fresh))
    assert recorded(whole) == recorded(fresh)
    strides = [[{key: value.stride() for key, value in learn.opt.state[parameter].items()}
                for parameter in learn.model.parameters()] for learn in (whole, fresh)]
    assert strides[0] == strides[1], "the same layout in memory, hence the same speed"


@pytest.mark.parametrize("by_caller", [True, False])
@pytest.mark.parametrize("first_group", [-1, -2])
def test_a_resumed_run_trains_the_layers_that_trained(
        small_learner, state_of, assert_same, first_group, by_caller):
    whole, fresh = small_learner(), small_learner(seed=7)
    whole.freeze_to(first_group)
    torch.manual_seed(1)
    whole.fit_one_cycle(3, 1e-2)
    broken = small_learner()
    broken.freeze_to(first_group)
    torch.manual_seed(1)
    save = broken.save
    def save_once(name, epoch):
        save(name, epoch)
        raise KeyboardInterrupt
    broken.save = save_once
    with pytest.raises(KeyboardInterrupt):
        broken.fit_one_cycle(3, 1e-2, checkpoint="run")
    if by_caller:
        fresh.freeze_to(first_group)
    fresh.load("run").fit_one_cycle(3, 1e-2, start_epoch=1)
    assert_same(state_of(whole), state_of(fresh))


def test_the_message_of_ctrl_c_says_how_to_resume(small_learner, state_of, assert_same, capsys):
    whole, broken = small_learner(), small_learner()
    torch.manual_seed(1)
    whole.fit_one_cycle(3, 1e-2)
    def loss_func(logits, targets):
        if len(broken.recorder.lrs) == 11:  # the eleventh step is under way
            raise KeyboardInterrupt
        return cross_entropy(logits, targets)
    broken.loss_func = loss_func
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        broken.fit_one_cycle(3, 1e-2, checkpoint="run")
    name, epoch = re.search(r"learn\.load\('(\w+)'\) and repeat this call with start_epoch=(\d)",
                            capsys.readouterr().out).groups()
    broken.loss_func = cross_entropy
    broken.load(name)
    broken.fit_one_cycle(3, 1e-2, start_epoch=int(epoch), checkpoint="run")
    assert_same(state_of(whole), state_of(broken))
    assert recorded(whole) == recorded(broken)


def test_resuming_what_cannot_be_resumed_says_why_and_changes_nothing(
        small_learner, state_of, assert_same):
    learn = small_learner()
    learn.fit(2, 1e-2, checkpoint="run")
    learn.save("plain")
    def refuses(learn, contains, start_epoch):
        before, opt, history = state_of(learn), learn.opt, recorded(learn)
        with pytest.raises(ValueError, match=contains):
            learn.fit(3, 1e-2, start_epoch=start_epoch)
        assert_same(before, state_of(learn))
        assert learn.opt is opt and recorded(learn) == history
    refuses(small_learner(), r"Nothing is loaded: learn.load\(name\) first", 2)
    refuses(small_learner().load("run"), "epochs done when the checkpoint was saved, 2; got 1", 1)
    refuses(small_learner().load("plain"), "was saved by save, not by fit", 2)
    refuses(small_learner(opt_func=sgd).load("run"), "saved by AdamW, this learner trains with SGD", 2)


def test_a_checkpoint_is_resumed_once_and_not_after_other_training(small_learner):
    learn = small_learner()
    learn.fit(2, 1e-2, checkpoint="run")
    learn.load("run").fit(3, 1e-2, start_epoch=2)
    with pytest.raises(ValueError, match="learn.load"):  # the weights are no longer those loaded
        learn.fit(3, 1e-2, start_epoch=2)
    learn.load("run").fit(1, 1e-3)
    with pytest.raises(ValueError, match="learn.load"):
        learn.fit(3, 1e-2, start_epoch=2)
