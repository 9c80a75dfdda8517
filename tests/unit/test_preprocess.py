"""The pixels of an export are the training's own, on images of any size, mode and format."""
import io
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from transfer_lessons import formats, preprocess
from transfer_lessons.data import square
from transfer_lessons.image_files import load_image
from transfer_lessons.pixels import ImageError
from transfer_lessons.preprocess import read_square


def training_pixels(source, size: int) -> np.ndarray:
    """What the learner's network sees of an image."""
    return np.asarray(square(load_image(source, at_least=size), size))


def as_file(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """Coarse noise: neighbours differ, so that any other scaling shows."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(1, height // 2), max(1, width // 2), 3), np.uint8)
    return Image.fromarray(small).resize((width, height))


MODES = ["RGB", "L", "P", "1", "RGBA", "LA", "CMYK", "I;16", "F"]
SUITS = {"RGB": ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"], "L": ["PNG", "JPEG", "TIFF", "PPM"],
         "P": ["PNG", "GIF"], "1": ["PNG", "TIFF", "BMP"], "RGBA": ["PNG", "WEBP", "TIFF"],
         "LA": ["PNG"], "CMYK": ["JPEG", "TIFF"], "I;16": ["PNG", "TIFF"], "F": ["TIFF"]}


def in_mode(image: Image.Image, mode: str, seed: int = 0) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray((np.asarray(image.convert("L")).astype(np.uint16) + seed) * 201)
    if mode in ("RGBA", "LA"):
        image = image.convert(mode)
        image.putalpha(noise(*image.size, seed + 1).convert("L"))
        return image
    return image.convert(mode)


@given(width=st.integers(1, 300), height=st.integers(1, 300), size=st.integers(1, 80),
       mode=st.sampled_from(MODES), seed=st.integers(0, 999), turned=st.integers(1, 8))
def test_any_image_gives_the_trainings_own_pixels(width, height, size, mode, seed, turned):
    kind = random.Random(seed).choice(SUITS[mode])
    exif = Image.Exif()
    exif[274] = turned
    options = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {}
    content = as_file(in_mode(noise(width, height, seed), mode, seed), kind, **options)
    assert np.array_equal(read_square(content, size), training_pixels(content, size))


@pytest.mark.parametrize("width, height", [(3000, 40), (1, 2000), (4000, 3000), (33, 1)])
def test_long_and_large_images_give_the_trainings_own_pixels(width, height):
    content = as_file(noise(width, height), "JPEG")
    assert np.array_equal(read_square(content, 64), training_pixels(content, 64))


def test_a_path_a_file_an_image_and_an_array_give_the_same(tmp_path):
    image = noise(90, 50)
    image.save(tmp_path / "x.png")
    expected = training_pixels(tmp_path / "x.png", 32)
    grey = np.asarray(image.convert("L"))
    with open(tmp_path / "x.png", "rb") as handle:
        for source in (tmp_path / "x.png", str(tmp_path / "x.png"), image, np.asarray(image), handle):
            assert np.array_equal(read_square(source, 32), expected)
    assert np.array_equal(read_square(grey, 32), training_pixels(grey, 32))


@pytest.mark.parametrize("values", [
    np.linspace(-5, 700, 60 * 40).reshape(40, 60).astype(np.float32),
    np.where(np.arange(2400).reshape(40, 60) == 7, 1e9, np.arange(2400).reshape(40, 60)).astype(np.float32),
    np.where(np.eye(40, 60), np.nan, np.linspace(0, 3, 2400).reshape(40, 60)).astype(np.float32),
])
@pytest.mark.filterwarnings("ignore")
def test_fractions_of_any_range_give_the_trainings_own_pixels(values):
    content = as_file(Image.fromarray(values), "TIFF")
    assert np.array_equal(read_square(content, 24), training_pixels(content, 24))


@pytest.mark.case("a PNG with a megabyte of text, for an exported model", "read, without its text")
def test_a_png_with_too_much_text_is_read():
    from PIL.PngImagePlugin import PngInfo
    notes = PngInfo()
    notes.add_text("note", "x" * 3_000_000, zip=True)
    content = as_file(noise(40, 30), "PNG", pnginfo=notes)
    assert np.array_equal(read_square(content, 16), training_pixels(content, 16))


@pytest.mark.case("no image, or too large a one, for an exported model", "refused, before it is decoded")
@pytest.mark.parametrize("content", [b"", b"<!doctype html>", b"\x89PNG\r\n\x1a\n",
                                     as_file(Image.new("1", (13_000, 13_000)), "PNG"),
                                     as_file(noise(90, 60), "JPEG")[:700]])
def test_what_is_no_image_is_refused(content):
    with pytest.raises(ValueError, match="cannot be read"):
        read_square(content, 32)
    with pytest.raises(ImageError):
        load_image(content, at_least=32)


@pytest.mark.parametrize("size", [0, -1, 2.5, "96", None])
def test_a_size_that_is_no_count_is_refused(size):
    with pytest.raises(ValueError, match="size must be a whole number"):
        read_square(noise(9, 9), size)


def test_its_limits_are_those_of_the_library():
    assert preprocess.MAX_PIXELS == formats.MAX_PIXELS
    assert set(preprocess.FORMATS) == {*formats.FORMATS, *formats.PLUG_INS}


def test_the_file_alone_runs_without_torch_and_without_the_library(tmp_path):
    (tmp_path / "preprocess.py").write_bytes(Path(preprocess.__file__).read_bytes())
    program = ("import sys; sys.modules['torch'] = sys.modules['transfer_lessons'] = None\n"
               "from preprocess import read_square\n"
               "print(read_square(sys.stdin.buffer.read(), 32).tobytes().hex())")
    content = as_file(noise(90, 50), "PNG")
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, input=content,
                         capture_output=True, check=True)
    assert bytes.fromhex(ran.stdout.decode().strip()) == training_pixels(content, 32).tobytes()
