"""Any file, and anything that JSON can hold beside the weights: read, or refused on purpose."""
import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from ours import ours

from transfer_lessons.checkpoints import PLACEHOLDER, read_checkpoint
from transfer_lessons.export import load_predictor
from transfer_lessons.export_info import FORMAT, check_info

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8)
VERSIONS = {"torch": "2.6", "created": "2026-11-26"}
GOOD = {"format": FORMAT, "title": "x", "vocab": ["a", "b"], "size": 8, "threshold": 0.5,
        "activation": "softmax", "network": None, "versions": VERSIONS,
        "figures": {"train": 2, "valid": 2, "wrong": 1,
                    "classes": [{"name": name, "train": 1, "valid": 1, "wrong": 0} for name in "ab"]}}


def sealed(info: str, digest: str = PLACEHOLDER) -> bytes:
    """A safetensors file whose hash is right."""
    data = safetensors.numpy.save({"w": np.zeros(2, np.float32)}, {"info": info, "sha256": digest})
    right = hashlib.sha256(data).hexdigest()
    return data.replace(f'"sha256":"{PLACEHOLDER}"'.encode(), f'"sha256":"{right}"'.encode(), 1)


@given(part=st.sampled_from(sorted(GOOD)), value=json_values)
def test_any_value_in_an_export_is_taken_or_refused(part, value):
    with ours():
        assert check_info("x.safetensors", {**GOOD, part: value})[part] is value


@given(part=st.sampled_from(["figures", "network"]), key=st.text(max_size=6), value=json_values)
def test_any_value_deeper_in_an_export_is_taken_or_refused(part, key, value):
    inner = {"library": "timm", "arch": "resnet18", "hidden": None} if part == "network" else GOOD[part]
    for name in {*inner, key}:
        with ours():
            check_info("x.safetensors", {**GOOD, part: {**inner, name: value}})


@pytest.mark.case("a file of any bytes, or with any header, where an export should be",
                  "refused in a sentence, whatever it holds")
@given(data=st.binary(max_size=300), start=st.sampled_from([b"", b"\x80\x04", b"PK\x03\x04", b"\x08\0\0\0\0\0\0\0{"]))
def test_any_bytes_are_refused_on_purpose(tmp_path, data, start):
    file = tmp_path / "x.safetensors"
    file.write_bytes(start + data)
    with ours():
        load_predictor(file, "cpu")
        pytest.fail("that should be refused")


@given(metadata=json_values, tensor=json_values)
def test_any_header_is_refused_on_purpose(tmp_path, metadata, tensor):
    header = json.dumps({"__metadata__": metadata, "w": tensor}).encode()
    file = tmp_path / "x.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with ours():
        read_checkpoint(file)


@given(info=json_values.map(json.dumps) | st.text(st.characters(exclude_categories=["Cs"])) | st.just("[" * 100_000))
def test_any_content_with_a_right_hash_is_refused_on_purpose(tmp_path, info):
    file = tmp_path / "x.safetensors"
    file.write_bytes(sealed(info))
    with ours():
        load_predictor(file, "cpu")
