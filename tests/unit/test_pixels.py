"""Pixels of any depth, TIFFs of any kind, arrays: right, or an error or a warning with a name."""
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from transfer_lessons.image_files import load_image
from transfer_lessons.pixels import ImageError, scale_levels


def tiff(array: np.ndarray, zero_is_black: int = 1, planar: int = 1) -> bytes:
    """[H, W] or [H, W, C] (planar=2: [C, H, W]) as a plain little-endian TIFF."""
    array = np.ascontiguousarray(array)
    height, width, colours = (*array.shape, 1)[:3]
    if planar == 2:
        colours, height, width = array.shape
    parts = tuple(array) if planar == 2 else (array,)
    body = b"".join(part.tobytes() for part in parts)
    offsets = [8 + i * parts[0].nbytes for i in range(len(parts))]
    sample = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    tags = [(256, "H", [width]), (257, "H", [height]), (258, "H", [8 * array.itemsize] * colours),
            (259, "H", [1]), (262, "H", [2 if colours == 3 else zero_is_black]),
            (273, "I", offsets), (277, "H", [colours]), (278, "H", [height]),
            (279, "I", [part.nbytes for part in parts]), (284, "H", [planar]),
            (339, "H", [sample] * colours)]
    start = 8 + len(body)
    extra_start = start + 2 + 12 * len(tags) + 4
    entries = extra = b""
    for tag, code, values in tags:
        raw = struct.pack(f"<{len(values)}{code}", *values)
        entries += struct.pack("<HHI", tag, {"H": 3, "I": 4}[code], len(values))
        if len(raw) > 4:
            entries += struct.pack("<I", extra_start + len(extra))
            extra += raw
        else:
            entries += raw.ljust(4, b"\0")
    return (b"II*\0" + struct.pack("<I", start) + body + struct.pack("<H", len(tags)) + entries
            + bytes(4) + extra)


def full(level: float, kind: type) -> np.ndarray:
    return np.full((32, 32), level, kind)


ORANGE = np.zeros((32, 32, 3))
ORANGE[..., :2] = 1, 0.5
DEEP_ORANGE = (ORANGE * 65535).astype(np.uint16)


@pytest.mark.case("TIFF variants: 0 is white, 16-bit colours", "read as they are meant")
@pytest.mark.parametrize("content, colour", [
    (tiff(full(200, np.uint8), 0), (55, 55, 55)),
    (tiff(full(200 * 257, np.uint16), 0), (55, 55, 55)),
    (tiff(full(0.8, np.float32), 0), (51, 51, 51)),
    (tiff(full(0.8, np.float32)), (204, 204, 204)),
    (tiff(DEEP_ORANGE), (255, 127, 0)),
    (tiff((ORANGE * 255).astype(np.uint8).transpose(2, 0, 1), planar=2), (255, 127, 0)),
])
def test_a_tiff_is_read_as_it_is_meant(tmp_path, content, colour):
    (tmp_path / "x.tif").write_bytes(content)
    assert np.abs(np.asarray(load_image(tmp_path / "x.tif"), int) - colour).max() <= 1


@pytest.mark.case("TIFF variants that Pillow misreads: planar 16 bits, fractions in colour, float64",
                  "refused: \"convert it\", and never \"delete it\"")
@pytest.mark.parametrize("content", [
    tiff(DEEP_ORANGE.transpose(2, 0, 1), planar=2),
    tiff(ORANGE.astype(np.float32)), tiff(full(0.8, np.float64)), tiff(full(0.8, np.float16)),
    tiff(full(-20, np.int8)), tiff(np.zeros((32, 32, 5), np.uint8)), tiff(full(9, np.uint64)),
    tiff(full(0.8, np.float32))[:200],
])
def test_a_tiff_that_cannot_be_read_is_to_be_converted(tmp_path, content):
    (tmp_path / "x.tif").write_bytes(content)
    with pytest.raises(ImageError, match="x.tif: .*onvert it to PNG") as caught:
        load_image(tmp_path / "x.tif")
    assert "delete" not in str(caught.value)


def test_whole_numbers_of_32_bits_keep_their_order(tmp_path):
    for kind, top in ((np.uint32, 2**32 - 1), (np.int32, 2**31 - 1)):
        ramp = np.linspace(0, top, 1024).astype(kind).reshape(32, 32)
        (tmp_path / "x.tif").write_bytes(tiff(ramp))
        levels = np.asarray(load_image(tmp_path / "x.tif"), int)[..., 0].ravel()
        assert len(set(levels)) == 256 and (np.diff(levels) >= 0).all()


@pytest.mark.case("12-bit and 10-bit values in 16 bits, int32, floats below 0",
                  "scaled to at least 200 levels")
@pytest.mark.parametrize("values", [
    np.linspace(0, 4095, 4096).astype(np.uint16), np.linspace(0, 1023, 4096).astype(np.uint16),
    np.linspace(0, 16383, 4096).astype(np.uint16), np.linspace(0, 4095, 4096).astype(np.int32),
    np.linspace(-2000, 2000, 4096).astype(np.int32), np.linspace(0, 10**9, 4096).astype(np.int32),
    np.linspace(-1, 1, 4096).astype(np.float32), np.linspace(290, 310, 4096).astype(np.float32),
    np.linspace(0, 1e30, 4096).astype(np.float32),
], ids=lambda values: f"{values.dtype} {values[0]} to {values[-1]}")
@pytest.mark.parametrize("suffix", ["tif", "png"])
@pytest.mark.filterwarnings("error")
def test_deep_pixels_keep_at_least_200_levels(tmp_path, values, suffix):
    if suffix == "png" and values.dtype != np.uint16:
        pytest.skip("a PNG holds at most 16 bits")
    Image.fromarray(values.reshape(64, 64)).save(tmp_path / f"x.{suffix}")
    levels = np.asarray(load_image(tmp_path / f"x.{suffix}"), int)[..., 0].ravel()
    assert len(set(levels)) >= 200 and (np.diff(levels) >= 0).all()


@pytest.mark.case("one NaN, inf or 1e30 pixel in a float TIFF",
                  "the others keep their levels; a warning names the file")
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e30, -1e30, 7])
def test_one_odd_pixel_spoils_no_other(tmp_path, odd):
    values = np.linspace(0, 1, 4096, dtype=np.float32)
    values[100] = odd
    Image.fromarray(values.reshape(64, 64)).save(tmp_path / "x.tif")
    with pytest.warns(UserWarning, match="x.tif: "):
        levels = np.asarray(load_image(tmp_path / "x.tif"))
    assert len(np.unique(levels)) >= 200


def test_a_hot_pixel_of_a_camera_is_said(tmp_path):
    values = np.linspace(0, 4095, 4096).astype(np.uint16)
    values[100] = 65535
    Image.fromarray(values.reshape(64, 64)).save(tmp_path / "x.png")
    with pytest.warns(UserWarning, match="x.png: only 18 of 256 grey levels"):
        load_image(tmp_path / "x.png")


def test_twelve_bits_in_colours_of_sixteen_are_said(tmp_path):
    (tmp_path / "x.tif").write_bytes(tiff(DEEP_ORANGE // 16))
    with pytest.warns(UserWarning, match="x.tif: 16 bits per colour, but only the lowest"):
        load_image(tmp_path / "x.tif")


def test_an_image_without_a_number_is_refused(tmp_path):
    Image.fromarray(full(np.nan, np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(ImageError, match="x.tif: no pixel is a finite number"):
        load_image(tmp_path / "x.tif")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("values", [full(0, np.uint16), full(0.3, np.float32), full(7, np.int32),
                                    np.eye(32, dtype=np.uint16) * 65535])
def test_an_image_of_few_levels_is_no_fault(values):
    assert scale_levels(values).shape == values.shape


# Arrays and tensors

@given(st.sampled_from([(5, 7), (5, 7, 1), (5, 7, 3), (3, 5, 7), (1, 5, 7)]),
       st.sampled_from(["uint8", "int64", "float32", "float64", "tensor"]))
def test_an_array_is_the_image_that_pillow_makes_of_it(shape, kind):
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    first = shape[0] in (1, 3) and len(shape) == 3
    last = np.moveaxis(levels, 0, 2) if first else levels
    expected = Image.fromarray(last.squeeze()).convert("RGB")
    values = levels / 255 if "float" in kind else levels
    given_values = torch.from_numpy(values) if kind == "tensor" else values.astype(kind)
    assert load_image(given_values).tobytes() == expected.tobytes()


def test_a_tensor_has_its_colours_first_even_if_its_last_side_could_be_colours():
    x = torch.rand(3, 5, 4)
    expected = Image.fromarray((x.permute(1, 2, 0) * 255).round().byte().numpy())
    assert load_image(x).tobytes() == expected.tobytes()


@pytest.mark.parametrize("values, fix", [
    (torch.randn(3, 8, 8), "Give fractions from 0 to 1"),
    (np.full((8, 8, 3), 200.0), "Give fractions from 0 to 1"),
    (np.full((8, 8, 3), np.nan), "Give fractions from 0 to 1"),
    (torch.zeros(1, 3, 8, 8), r"Give \[height, width, 3\]"),
    (np.zeros((8, 8, 7)), r"Give \[height, width, 3\]"), (np.zeros(8), r"Give \[height"),
    (np.zeros((0, 8, 3)), r"Give \[height"), (np.array(None), r"Give \[height"),
])
def test_what_is_no_image_is_told_what_to_give(values, fix):
    with pytest.raises(ImageError, match=fix):
        load_image(values)
