"""Whatever the image: it is read upright, in RGB and 8 bits, or an `ImageError` names the file."""
import io
import random
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ours import ours
from PIL import Image, PngImagePlugin

from transfer_lessons import image_files
from transfer_lessons.formats import FORMATS
from transfer_lessons.image_files import load_image
from transfer_lessons.pixels import ImageError

MODES = ["1", "L", "P", "LA", "PA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV",
         "LAB", "I", "F", "I;16", "I;16B"]
sides = st.integers(1, 24)


@pytest.fixture(autouse=True)
def small_limit(monkeypatch):
    """A flipped byte may promise a huge image: refused early, an example stays fast."""
    monkeypatch.setattr(image_files, "MAX_PIXELS", 100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def image_of(mode: str, width: int, height: int, seed: int) -> Image.Image:
    """Noise in a mode."""
    generator = np.random.default_rng(seed)
    grey = generator.integers(0, 256, (height, width), dtype=np.uint8)
    if mode in ("I;16", "I;16B"):
        numbers = generator.integers(0, 2 ** generator.integers(1, 17), (height, width))
        return Image.frombytes(mode, (width, height),
                               numbers.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    if mode == "I":
        return Image.fromarray(generator.integers(-2**31, 2**31, (height, width), dtype=np.int32))
    if mode == "F":
        with np.errstate(over="ignore"):
            return Image.fromarray(generator.normal(0, 1, (height, width)).astype(np.float32)
                                   * np.float32(10.0 ** generator.integers(-38, 39)))
    if mode in ("LA", "La", "PA"):
        image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(255 - grey)])
        return image if mode == "LA" else image.convert(mode)
    rgb = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return rgb.convert("RGBA").convert(mode) if mode == "RGBa" else rgb.convert(mode)


@st.composite
def files(draw) -> tuple[bytes, tuple[int, int]]:
    """The bytes of an image file in any mode and format, with notes of any kind; its upright size."""
    mode, kind = draw(st.sampled_from(MODES)), draw(st.sampled_from(FORMATS))
    width, height = draw(sides), draw(sides)
    image = image_of(mode, width, height, draw(st.integers(0, 2**32)))
    options = {}
    turn = draw(st.integers(0, 9))
    if kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        note = Image.Exif()
        note[0x0112] = turn
        junk = draw(st.sampled_from([None, b"Exif\0\0", b"Exif\0\0no note", b"\xff" * 40]))
        options["exif"] = note if junk is None else junk
        if junk is not None:
            turn = 1
        options["icc_profile"] = draw(st.sampled_from([None, b"", b"no profile", bytes(300)]))
    else:
        turn = 1
    if kind == "TIFF":
        del options["exif"]
        turn = 1
        options["compression"] = draw(st.sampled_from([None, "tiff_lzw", "tiff_adobe_deflate"]))
    if kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("note", draw(st.text(max_size=20)), zip=draw(st.booleans()))
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **options)
    except Exception:  # this format does not store this mode
        assume(False)
    return buffer.getvalue(), (height, width) if turn in (5, 6, 7, 8) else (width, height)


@given(content_and_size=files(), at_least=st.none() | st.integers(1, 64))
def test_a_good_file_is_read_upright_in_rgb(tmp_path, content_and_size, at_least):
    content, size = content_and_size
    (tmp_path / "photo").write_bytes(content)
    image = load_image(tmp_path / "photo", at_least)
    assert image.mode == "RGB" and np.asarray(image).dtype == np.uint8
    if at_least is not None:
        assert all(side <= full for side, full in zip(image.size, size, strict=True))
        assert min(image.size) >= min(2 * at_least, *size)
    else:
        assert image.size == size
        assert load_image(content).tobytes() == image.tobytes(), "bytes are read as a file is"


@given(content_and_size=files(), seed=st.integers(0, 2**32), cut=st.booleans())
def test_a_damaged_file_is_read_or_named(tmp_path, content_and_size, seed, cut):
    content = bytearray(content_and_size[0])
    generator = random.Random(seed)
    if cut:
        content = content[:generator.randrange(len(content))]
    else:
        reach = generator.choice([12, 60, len(content)])
        content[generator.randrange(min(reach, len(content)))] ^= 1 << generator.randrange(8)
    file = tmp_path / "photo.png"
    file.write_bytes(content)
    try:
        image = load_image(file)
        assert image.mode == "RGB" and image.width * image.height <= 100_000
    except ImageError as error:
        assert error.path == file and str(file) in str(error) and error.reason and error.fix


@given(mode=st.sampled_from(MODES), width=sides, height=sides, seed=st.integers(0, 2**32))
def test_an_image_in_memory_of_any_mode_becomes_rgb(mode, width, height, seed):
    image = load_image(image_of(mode, width, height, seed))
    assert image.mode == "RGB" and image.size == (width, height)


KINDS = [bool, np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64, np.float16, np.float32,
         np.float64, np.complex64, object, "U3"]


@given(shape=st.lists(st.integers(0, 5), max_size=4), kind=st.sampled_from(KINDS),
       scale=st.sampled_from([0, 1, 255, 1e30, np.nan, -1]), seed=st.integers(0, 99))
def test_an_array_is_an_image_or_is_told_what_to_give(shape, kind, scale, seed):
    with np.errstate(all="ignore"):
        values = (np.random.default_rng(seed).random(shape) * scale).astype(kind)
    with ours():
        image = load_image(values)
        assert image.mode == "RGB" and set(image.size) <= set(shape)


anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
                     st.lists(st.integers()), st.dictionaries(st.text(), st.integers()),
                     st.binary().map(io.BytesIO), st.text().map(io.StringIO), st.just(object()))


@given(source=anything)
def test_what_is_no_image_is_refused(source):
    with ours():
        load_image(source)


@given(kind=st.sampled_from([np.uint16, np.int32, np.float32]), low=st.floats(-1e6, 1e6),
       width=st.floats(1e-3, 1e9), bits=st.integers(9, 16), n_odd=st.integers(0, 5),
       odd=st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -1e30, 65535]), seed=st.integers(0, 99))
def test_deep_pixels_keep_their_levels_or_a_warning_names_the_file(
        tmp_path, kind, low, width, bits, n_odd, odd, seed):
    ramp = np.linspace(0, 1, 1200)
    if kind == np.float32:
        values = (low + width * ramp).astype(np.float32)
        assume(values[0] < 0 or values[-1] > 1)  # from 0 to 1, a dark image is meant to be dark
    else:
        values = np.round((2**bits - 1) * ramp) + (low if kind == np.int32 and low < 0 else 0)
        odd = 65535
    values[np.random.default_rng(seed).permutation(1200)[:n_odd]] = odd
    image = Image.fromarray(values.astype(kind).reshape(30, 40))
    assume(len(np.unique(np.asarray(image))) > 1000 or kind == np.uint16)
    image.save(tmp_path / "deep.tif")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        levels = np.unique(np.asarray(load_image(tmp_path / "deep.tif")))
    told = [str(warning.message) for warning in caught]
    enough = 100 if n_odd else 200  # what is still in range may take half of the levels
    assert len(levels) >= enough or any(str(tmp_path / "deep.tif") in message for message in told)
