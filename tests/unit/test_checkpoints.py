"""Files: whole or not at all, read only if unchanged, and never a pickle."""
import io
import os
import pickle
import struct
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from transfer_lessons.checkpoints import (
    PLACEHOLDER,
    locked,
    read_checkpoint,
    save_checkpoint,
    write_atomically,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def files(folder) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


# Whole or not at all

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


# One at a time

def test_an_error_inside_gives_the_lock_back(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "new folder" / "a"):
        raise ZeroDivisionError
    with locked(tmp_path / "new folder" / "a", timeout=0):
        pass


# Tensors and facts, unchanged

TENSORS = {"x": torch.arange(6.0).view(2, 3).t(), "flags": torch.tensor([True, False]),
           "empty": torch.ones(2, 0, dtype=torch.bfloat16), "number": torch.tensor(3)}


def test_what_was_saved_comes_back_bit_for_bit(tmp_path):
    shared = {**TENSORS, "again": TENSORS["x"]}
    save_checkpoint(tmp_path / "a", shared, {"a": [1, None, {"b": "c"}]})
    tensors, info = read_checkpoint(tmp_path / "a")
    assert info == {"a": [1, None, {"b": "c"}]} and tensors.keys() == shared.keys()
    for key, value in shared.items():
        assert torch.equal(tensors[key], value) and tensors[key].dtype == value.dtype


def test_any_reader_of_safetensors_reads_the_tensors(tmp_path):
    save_checkpoint(tmp_path / "a.safetensors", TENSORS, {})
    stored = load_file(tmp_path / "a.safetensors")
    assert all(torch.equal(stored[key], value) for key, value in TENSORS.items())


@pytest.mark.parametrize("text", ['é"\\', "<Delete> $x$", "\ud800", "a" * 64, PLACEHOLDER,
                                  f'"sha256":"{PLACEHOLDER}"'],
                         ids=["quotes", "signs", "surrogate", "long", "placeholder", "whole entry"])
def test_texts_of_any_content_are_kept(tmp_path, text):
    save_checkpoint(tmp_path / "a", {}, {text: text})
    assert read_checkpoint(tmp_path / "a")[1] == {text: text}


def test_a_missing_checkpoint_is_named_with_those_there_are(tmp_path):
    for name in ("a", "b"):
        save_checkpoint(tmp_path / f"{name}.safetensors", {}, {})
    with pytest.raises(FileNotFoundError, match=r"c.safetensors. Saved are: \['a', 'b'\]"):
        read_checkpoint(tmp_path / "c.safetensors")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A folder, the bytes of a checkpoint, and where each region of the file begins and ends."""
    folder = tmp_path_factory.mktemp("run")
    save_checkpoint(folder / "whole", {"x": torch.arange(100.0)}, {"vocab": ["é", "b"]})
    data = (folder / "whole").read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    start = data.index(b'"__metadata__"')
    stop = data.index(b'"}', start) + 2
    return folder, data, {"length": (0, 8), "header": (8, end), "metadata": (start, stop),
                          "tensors": (end, len(data))}


@pytest.mark.parametrize("region", ["length", "header", "metadata", "tensors"])
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_byte_changed_anywhere_is_found(checkpoint, region, data):
    folder, whole, regions = checkpoint
    start, stop = regions[region]
    position = data.draw(st.integers(start, stop - 1), "position")
    changed = bytearray(whole)
    changed[position] ^= data.draw(st.integers(1, 255), "bits")
    (folder / "changed").write_bytes(changed)
    with pytest.raises(ValueError, match="changed is (damaged|not from learn.save).*Nothing was loaded"):
        read_checkpoint(folder / "changed")


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_cut_short_or_made_longer_is_found(checkpoint, data):
    folder, whole, _ = checkpoint
    length = data.draw(st.integers(0, len(whole) + 8).filter(lambda n: n != len(whole)), "length")
    (folder / "cut").write_bytes((whole + b" " * 8)[:length])
    with pytest.raises(ValueError, match="cut is damaged.*Nothing was loaded"):
        read_checkpoint(folder / "cut")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"sha256": "0" * 64}],
                         ids=["none", "another's", "no info"])
def test_safetensors_of_others_are_refused_as_not_ours(tmp_path, metadata):
    save_file({"x": torch.zeros(2)}, tmp_path / "theirs", metadata)
    with pytest.raises(ValueError, match="theirs is not from learn.save.*load_file"):
        read_checkpoint(tmp_path / "theirs")


class Canary:
    """Unpickled, it would write a file."""
    def __init__(self, file: Path):
        self.file = str(file)

    def __reduce__(self) -> tuple:
        return open, (self.file, "w")


def by_torch(thing: object, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


PICKLES = {f"protocol {protocol}": partial(pickle.dumps, protocol=protocol)
           for protocol in range(pickle.HIGHEST_PROTOCOL + 1)}
PICKLES["torch, zipped"] = partial(by_torch, zipped=True)
PICKLES["torch, old"] = partial(by_torch, zipped=False)


@pytest.mark.parametrize("how", PICKLES)
def test_a_pickle_is_refused_and_never_opened(tmp_path, how):
    file, sung = tmp_path / "export", tmp_path / "the canary sang"
    file.write_bytes(PICKLES[how](Canary(sung)))
    looks_like_text = how in ("protocol 0", "protocol 1")
    message = "export is damaged" if looks_like_text else "is a pickle, which could run any program"
    with pytest.raises(ValueError, match=message):
        read_checkpoint(file)
    assert not sung.exists()
    pickle.loads(PICKLES["protocol 4"](Canary(sung))).close()
    assert sung.exists(), "the canary itself must work"


def test_a_checkpoint_whose_first_byte_is_that_of_a_pickle_is_read(tmp_path):
    starts = set()
    for length in range(0, 264, 8):  # headers are padded to multiples of 8
        save_checkpoint(tmp_path / "a", {}, {"text": "a" * length})
        starts.add((tmp_path / "a").read_bytes()[:1])
        read_checkpoint(tmp_path / "a")
    assert b"\x80" in starts
