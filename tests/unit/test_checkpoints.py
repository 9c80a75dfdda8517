"""Checkpoints: whole or not at all, checked before use, and resumed bit for bit."""
import json
import multiprocessing
import os
import pickle
import random
import re
import resource
import signal
import struct
import time
from functools import partial

import pytest
import torch
from conftest import small_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn

from transfer_lessons import learner as module
from transfer_lessons.checkpoints import read_checkpoint, write_atomically
from transfer_lessons.datasets import draw_icons
from transfer_lessons.learner import Learner, vision_learner
from transfer_lessons.optim import adamw

sgd = partial(torch.optim.SGD, momentum=0.9, nesterov=True)


def files(folder) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def recorded(learn) -> dict:
    """All a recorder holds but the seconds, which no two runs share."""
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


def test_any_reader_of_safetensors_can_read_a_checkpoint(small_learner):
    learn = small_learner()
    learn.fit(1, 1e-2)
    with safe_open(learn.save("one"), "pt") as opened:
        for key, value in learn.model.state_dict().items():
            assert torch.equal(opened.get_tensor(f"model.{key}"), value)
        info = json.loads(opened.metadata()["info"])
    assert info["vocab"] == ["animal", "building", "vehicle"]
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


@pytest.mark.parametrize("vocab", [["a", 'é"\\', "<Delete> $x$"], ["\ud800", "b", "c"], ["a" * 64, "b", "c"]],
                         ids=["quotes", "surrogate", "long"])
def test_class_names_of_any_kind_are_kept(small_learner, vocab):
    learn = small_learner()
    learn.dls.vocab = vocab
    learn.save("one")
    learn.load("one")
    assert read_checkpoint(learn.path / "models" / "one.safetensors")[1]["vocab"] == vocab


# Written whole or not at all

in_child = multiprocessing.get_context("fork")


def run_in_child(function) -> None:
    """Run in a process of its own; what it raises fails the test."""
    child = in_child.Process(target=function)
    child.start()
    child.join()
    assert child.exitcode == 0


@pytest.mark.parametrize("room", [0, 100, 5000])
def test_a_full_disk_leaves_the_checkpoint_from_before(small_learner, state_of, assert_same, room):
    learn = small_learner()
    learn.save("run")
    before = state_of(learn)
    def fill():
        learn.model[1][3].bias.data.fill_(9)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        with pytest.raises(OSError, match="Could not save .*run.safetensors.*unharmed.*Make room"):
            learn.save("run")
    run_in_child(fill)
    assert files(learn.path / "models") == ["run.safetensors"], "the part written is gone"
    assert_same(before, state_of(learn.load("run")))


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


def test_kill_9_at_any_moment_leaves_the_old_or_the_new_checkpoint(small_learner):
    big = nn.Sequential(nn.Sequential(nn.Flatten()), nn.Sequential(nn.Linear(768, 3)))
    big[0].register_buffer("ballast", torch.zeros(1_500_000))
    learn = small_learner(big)
    folder = learn.path / "models"
    def save_forever(number):
        torch.set_num_threads(1)  # the threads of the parent did not come along
        while True:
            for value in learn.model.state_dict().values():
                value.fill_(number)
            learn.save("run")
            number += 1
    def numbers():
        state = learn.load("run").model.state_dict().values()
        return {value.flatten()[[0, -1]].tolist()[i] for value in state for i in (0, 1)}
    for value in learn.model.state_dict().values():
        value.fill_(0)
    learn.save("run")
    last, abandoned, tries, chance = 0, 0, 0, random.Random(0)
    while tries < 10 or not (last and abandoned):
        tries += 1
        assert tries < 100, "the kills do not hit: the test shows nothing"
        child = in_child.Process(target=save_forever, args=(last + 1,))
        child.start()
        time.sleep(0.02 + chance.random() * 0.1)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        abandoned += len(files(folder)) - 1
        assert len(files(folder)) <= 2, "what a dead process left is cleaned up by the next save"
        found = numbers()
        assert len(found) == 1, f"parts of several checkpoints: {found}"
        assert min(found) >= last
        last = int(min(found))
    learn.save("run")
    assert files(folder) == ["run.safetensors"]


def test_the_file_of_a_process_that_still_writes_is_left_alone(tmp_path):
    for name in (".a.1.part", ".a.b.part", ".a.99999999.part", ".ab.99999999.part"):  # 1 runs always
        (tmp_path / name).write_bytes(b"x")
    write_atomically(tmp_path / "a", b"new")
    assert files(tmp_path) == [".a.1.part", ".a.b.part", ".ab.99999999.part", "a"]
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(5, "Input/output error")], ids=["ctrl-c", "io"])
@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_writing_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, place, error):
    write_atomically(tmp_path / "a", b"old")
    def fail(*arguments):
        raise error
    monkeypatch.setattr(os, place, fail)
    with pytest.raises((KeyboardInterrupt, OSError)):
        write_atomically(tmp_path / "a", b"new")
    assert files(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"


def test_a_file_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    order = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, f=original: (order.append(n), f(*a))[1])
    write_atomically(tmp_path / "a", b"new")
    assert order == ["fsync", "replace"]


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
    assert "5 of its parts differ, such as 0.4.bias: [6], here None" in refused(small_learner(less), "more")


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


REGIONS = ["length", "header", "metadata", "tensors"]


@pytest.fixture(scope="module")
def checkpoint(drawings, tmp_path_factory):
    """A learner, a checkpoint of it, its bytes, and where each region of the file begins and ends."""
    from transfer_lessons.data import ImageDataLoaders
    dls = ImageDataLoaders.from_files(*drawings, valid_pct=0.25, size=16, bs=8, device="cpu")
    learn = Learner(dls, small_model(), path=tmp_path_factory.mktemp("run"))
    dls.vocab[0] = "é"  # a name with an escape in JSON
    learn.fit(1, 1e-2)
    data = learn.save("whole").read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    start = data.index(b'"__metadata__"')
    stop = data.index(b'"}', start) + 2
    return learn, data, {"length": (0, 8), "header": (8, end), "metadata": (start, stop),
                         "tensors": (end, len(data))}


@pytest.mark.parametrize("region", REGIONS)
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_byte_changed_anywhere_is_found(checkpoint, region, data):
    learn, whole, regions = checkpoint
    start, stop = regions[region]
    place = data.draw(st.integers(start, stop - 1), "position")
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255), "bits")
    (learn.path / "models" / "changed.safetensors").write_bytes(changed)
    assert "changed.safetensors is damaged" in refused(learn, "changed")


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_cut_short_or_made_longer_is_found(checkpoint, data):
    learn, whole, _ = checkpoint
    length = data.draw(st.integers(0, len(whole) + 8).filter(lambda n: n != len(whole)), "length")
    (learn.path / "models" / "cut.safetensors").write_bytes((whole + b" " * 8)[:length])
    assert "cut.safetensors is damaged" in refused(learn, "cut")


def test_safetensors_of_others_are_refused_as_not_ours(small_learner):
    from safetensors.torch import save_file
    learn = small_learner()
    folder = learn.path / "models"
    folder.mkdir()
    save_file({"model.x": torch.zeros(2)}, folder / "theirs.safetensors")
    save_file({"model.x": torch.zeros(2)}, folder / "noted.safetensors", {"format": "pt"})
    for name in ("theirs", "noted"):
        assert "not from learn.save" in refused(learn, name)


class Canary:
    """Unpickled, it would write a file."""
    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return open, (self.file, "w")


def pickles():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield f"protocol {protocol}", partial(pickle.dumps, protocol=protocol)
    for zipped in (True, False):
        def dump(thing, zipped=zipped):
            import io
            buffer = io.BytesIO()
            torch.save(thing, buffer, _use_new_zipfile_serialization=zipped)
            return buffer.getvalue()
        yield ("torch, zipped" if zipped else "torch, old"), dump


PICKLES = dict(pickles())


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("suffix", [".pth", ".pkl", ".pt", ".safetensors"])
def test_a_pickle_is_refused_and_never_opened(small_learner, kind, suffix):
    learn = small_learner()
    file, sung = learn.path / "models" / f"export{suffix}", learn.path / "the canary sang"
    file.parent.mkdir()
    file.write_bytes(PICKLES[kind](Canary(sung)))
    message = refused(learn, "export" if suffix == ".safetensors" else file.name)
    assert file.name in message and not sung.exists()
    if kind not in ("protocol 0", "protocol 1"):  # those look like any text
        assert "is a pickle, which could run any program: refused" in message
    pickle.loads(PICKLES["protocol 4"](Canary(sung))).close()
    assert sung.exists(), "the canary itself must work"


def test_a_checkpoint_whose_first_byte_is_that_of_a_pickle_is_read(small_learner):
    learn = small_learner()
    starts = set()
    for length in range(0, 264, 8):  # headers are padded to multiples of 8
        learn.dls.vocab = ["a" * length, "b", "c"]
        with open(learn.save("one"), "rb") as handle:
            starts.add(handle.read(1))
        learn.load("one")
    assert b"\x80" in starts


# Resumed

OPTIMIZERS = {"adamw": adamw, "sgd": sgd}
RUNS = {"one cycle": lambda learn, **options: learn.fit_one_cycle(4, slice(1e-3, 1e-1), **options),
        "constant": lambda learn, **options: learn.fit(4, 1e-2, **options),
        "restarts": lambda learn, **options: learn.fit_sgdr(2, 1, 1e-2, 3, **options)}


@pytest.mark.parametrize("opt_func", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("done", [1, 2, 3])
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


def test_the_pretrained_network_resumes_bit_for_bit(tmp_path, state_of, assert_same):
    from transfer_lessons.data import ImageDataLoaders
    pictures, kinds = draw_icons(32)
    def learner(seed):
        torch.manual_seed(seed)
        dls = ImageDataLoaders.from_files(pictures[::12], kinds[::12], size=32, bs=16, device="cpu")
        learn = vision_learner(dls, path=tmp_path)
        learn.freeze_to(-2)
        return learn
    whole, fresh = learner(0), learner(1)
    torch.manual_seed(2)
    whole.fit_one_cycle(2, slice(1e-3))
    broken = learner(0)
    torch.manual_seed(2)
    fit_epochs = broken._fit_epochs
    broken._fit_epochs = lambda epochs, plan, name: fit_epochs(range(1), plan, name)
    broken.fit_one_cycle(2, slice(1e-3), checkpoint="run")
    fresh.load("run").fit_one_cycle(2, slice(1e-3), start_epoch=1)
    assert_same(state_of(whole), state_of(fresh))


def test_the_message_of_ctrl_c_says_how_to_resume(small_learner, state_of, assert_same, capsys):
    whole, broken = small_learner(), small_learner()
    torch.manual_seed(1)
    whole.fit_one_cycle(3, 1e-2)
    def loss_func(logits, targets):
        if len(broken.recorder.losses) == 10:
            raise KeyboardInterrupt
        return module.cross_entropy(logits, targets)
    broken.loss_func = loss_func
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        broken.fit_one_cycle(3, 1e-2, checkpoint="run")
    name, epoch = re.search(r"learn\.load\('(\w+)'\) and repeat this call with start_epoch=(\d)",
                            capsys.readouterr().out).groups()
    broken.loss_func = module.cross_entropy
    broken.load(name)
    broken.fit_one_cycle(3, 1e-2, start_epoch=int(epoch), checkpoint="run")
    assert_same(state_of(whole), state_of(broken))
    assert recorded(whole) == recorded(broken)


def test_resuming_what_cannot_be_resumed_says_why_and_changes_nothing(
        small_learner, state_of, assert_same):
    learn = small_learner()
    learn.fit(2, 1e-2, checkpoint="run")
    learn.save("plain")
    def refuses(learn, contains, **options):
        before, opt, history = state_of(learn), learn.opt, recorded(learn)
        with pytest.raises(ValueError, match=contains):
            learn.fit(3, 1e-2, **options)
        assert_same(before, state_of(learn))
        assert learn.opt is opt and recorded(learn) == history
    refuses(small_learner(), "start_epoch=2 with AdamW .*learn.load", start_epoch=2)
    refuses(small_learner().load("run"), "Loaded is: start_epoch=2 with AdamW", start_epoch=1)
    refuses(small_learner().load("plain"), "Loaded is: start_epoch=None", start_epoch=2)
    refuses(small_learner(opt_func=sgd).load("run"), "start_epoch=2 with SGD .* with AdamW", start_epoch=2)


def test_a_checkpoint_is_resumed_once_and_not_after_other_training(small_learner):
    learn = small_learner()
    learn.fit(2, 1e-2, checkpoint="run")
    learn.load("run").fit(3, 1e-2, start_epoch=2)
    with pytest.raises(ValueError, match="learn.load"):  # the weights are no longer those loaded
        learn.fit(3, 1e-2, start_epoch=2)
    learn.load("run").fit(1, 1e-3)
    with pytest.raises(ValueError, match="learn.load"):
        learn.fit(3, 1e-2, start_epoch=2)
