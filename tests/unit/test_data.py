"""From pictures to batches: what is odd is put right, what is broken is named, nothing leaks."""
import gc
import hashlib
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import types
import warnings
import zlib
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps
from torch.testing import assert_close
from torch.utils.data import get_worker_info

from transfer_lessons import data
from transfer_lessons.core import Table, default_device, show_images
from transfer_lessons.data import (
    ImageDataLoaders,
    ImageDataset,
    ImageLoader,
    Normalize,
    augment_batch,
    split_by_content,
    square,
)
from transfer_lessons.datasets import check_reachable, icons, solar
from transfer_lessons.image_files import (
    ImageError,
    Problem,
    content_digest,
    get_image_files,
    load_image,
    scan,
    to_rgb,
)

matplotlib.use("Agg")
FLOWERS = Path(__file__).parents[2].parent / "shared" / "data" / "flowers"
CPU = torch.device("cpu")
quick = settings(deadline=None, max_examples=60,
                 suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(seed: int, width: int = 24, height: int = 16) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def fill(folder: Path, counts: dict[str, int], start: int = 0) -> Path:
    """A folder of class folders of different pictures."""
    for kind, count in counts.items():
        (folder / kind).mkdir(parents=True)
        for number in range(start, start + count):
            seed = zlib.crc32(f"{kind} {number}".encode(errors="replace"))
            noise(seed).save(folder / kind / f"{number:03}.png")
        start += count
    return folder


def from_folder(folder: Path, **options) -> ImageDataLoaders:
    return ImageDataLoaders.from_folder(folder, **{"size": 16, "bs": 4, "device": "cpu", **options})


def digests_of(part: ImageLoader) -> set[bytes]:
    return {content_digest(source) for source in part.dataset.sources}


def smooth(width: int = 90, height: int = 60) -> Image.Image:
    return noise(0, 9, 6).resize((width, height), Image.Resampling.BICUBIC)


# Damaged files

@pytest.fixture(scope="module")
def jpeg(tmp_path_factory) -> bytes:
    file = tmp_path_factory.mktemp("jpeg") / "whole.jpg"
    smooth().save(file)
    return file.read_bytes()


@quick
@given(share=st.floats(0, 1, exclude_max=True))
@example(share=0.0)
@example(share=0.9999)
def test_a_jpeg_cut_at_any_byte_is_named_with_reason_and_fix(jpeg, tmp_path, share):
    file = tmp_path / "cut.jpg"
    file.write_bytes(jpeg[:int(share * len(jpeg))])
    with pytest.raises(ImageError, match="cut.jpg: .+ Download it again, or delete it") as caught:
        load_image(file)
    assert caught.value.path == file
    problem, = scan(tmp_path)
    assert problem.path == file and problem.reason and problem.fix


@quick
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"]))
def test_changed_bytes_give_a_picture_or_an_error_with_a_name_never_another_error(
        tmp_path, seed, kind):
    file, chance = tmp_path / "changed.png", random.Random(seed)
    smooth().save(file, kind)
    content = bytearray(file.read_bytes())
    for _ in range(3):
        content[chance.randrange(min(len(content), chance.choice([60, 10**6])))] = chance.randrange(256)
    file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert load_image(file).mode == "RGB"
        except ImageError as error:
            assert error.path == file


@pytest.mark.parametrize("content, reason", [
    (b"", "the file is empty"),
    (b"\n <!DOCTYPE html><html>404 Not Found</html>", "web page"),
    (b"<?xml version='1.0'?><Error/>", "web page"),
    (b"some words", "not a picture, or none of JPEG, PNG"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture, or none of"),
])
def test_what_is_no_picture_is_found_by_scan_and_said_so(tmp_path, content, reason):
    fill(tmp_path, {"fine": 3})
    (tmp_path / "fine" / "photo.jpg").write_bytes(content)
    problem, = scan(tmp_path)
    assert problem.path.name == "photo.jpg" and reason in problem.reason
    assert str(tmp_path) not in problem.reason, "the path stands in its own column"


def test_scan_says_so_when_there_is_nothing_to_say(tmp_path):
    found = scan(fill(tmp_path, {"fine": 2}))
    assert found == [] and "nothing to list" in repr(found) and "nothing to list" in found._repr_html_()


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "gone.jpg", tmp_path):
        with pytest.raises(ImageError, match=f"{path.name}: it cannot be read .* Check the path"):
            load_image(path)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_damaged_picture_met_in_training_is_named(tmp_path, num_workers):
    dls = from_folder(fill(tmp_path, {"a": 8, "b": 8}), num_workers=num_workers)
    damaged = dls.train.dataset.sources[0]
    damaged.write_bytes(damaged.read_bytes()[:90])
    with pytest.raises(ImageError, match=re.escape(str(damaged))) as caught:
        list(dls.train)
    start = time.perf_counter()
    del caught
    gc.collect()
    assert time.perf_counter() - start < 3, "the processes that read pictures are still there"


def bomb(side: int) -> bytes:
    """A PNG of side x side one-bit pixels, packed row by row."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side // 8 + 1)) for _ in range(side)) + packer.flush()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", rows),
             (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts)


def test_a_decompression_bomb_is_refused_in_little_memory_and_time(tmp_path):
    file = tmp_path / "bomb.png"
    file.write_bytes(bomb(13_000))
    assert file.stat().st_size < 50_000
    script = """
import resource, sys, time
from transfer_lessons.image_files import ImageError, load_image
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, start = peak(), time.perf_counter()
try:
    load_image(sys.argv[1])
except ImageError as error:
    print(error, peak() - before, time.perf_counter() - start, sep="|")
"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(file)], check=True,
                         capture_output=True, text=True)
    message, kilobytes, seconds = run.stdout.split("|")
    assert message.startswith(f"{file}: more than 50 million pixels")
    if sys.platform == "linux":
        assert int(kilobytes) < 30_000, "decoding it takes 169 MB at least"
    assert float(seconds) < 1


@pytest.mark.filterwarnings("error")
def test_a_bomb_is_refused_where_warnings_are_errors(tmp_path):
    (tmp_path / "bomb.png").write_bytes(bomb(12_000))
    with pytest.raises(ImageError, match="million pixels"):
        load_image(tmp_path / "bomb.png")


def test_a_large_but_honest_picture_is_read(tmp_path):
    (tmp_path / "large.png").write_bytes(bomb(3_000))
    assert load_image(tmp_path / "large.png").size == (3_000, 3_000)


# Odd files

RAMP = np.linspace(0, 65535, 300).astype(np.uint16)[None].repeat(10, 0)


@pytest.mark.parametrize("image", [
    Image.fromarray(RAMP),
    Image.frombytes("I;16B", (300, 10), RAMP.astype(">u2").tobytes()),
    Image.fromarray(RAMP.astype(np.int32)),
    Image.fromarray((RAMP / 65535).astype(np.float32)),
    Image.fromarray(RAMP.astype(np.float32)),
], ids=["16 bits", "16 bits, big end first", "32 bits", "fractions", "large fractions"])
def test_a_16_bit_ramp_keeps_its_levels(image):
    levels = np.asarray(to_rgb(image))[0, :, 0].astype(int)
    assert len(set(levels)) >= 200 and levels[0] == 0 and levels[-1] == 255
    assert (np.diff(levels) >= 0).all() and abs(levels[150] - 128) <= 1


def test_a_16_bit_png_keeps_its_levels(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "ramp.png")
    assert len(np.unique(load_image(tmp_path / "ramp.png"))) >= 200
    assert np.ptp(np.asarray(Image.open(tmp_path / "ramp.png").convert("RGB"))[0, 20:]) == 0, \
        "Pillow scales by itself now: drop ours"


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_cameras_note_is_followed(tmp_path, turn):
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
            6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
    note = Image.Exif()
    note[0x0112] = turn
    picture = smooth(80, 40)
    picture.save(tmp_path / "phone.png", exif=note)
    expected = picture.transpose(Image.Transpose[undo[turn]]) if turn > 1 else picture
    loaded = load_image(tmp_path / "phone.png")
    assert loaded.size == ((40, 80) if turn > 4 else (80, 40))
    assert loaded.tobytes() == expected.tobytes()


@pytest.mark.parametrize("note", [b"Exif\0\0MM\0*\0\0", b"Exif\0\0no note at all", b"Exif\0\0"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_note_of_the_camera_damages_no_picture(tmp_path, suffix, note):
    smooth().save(tmp_path / f"photo.{suffix}", exif=note)
    assert load_image(tmp_path / f"photo.{suffix}").size == (90, 60)


def disc(mode: str) -> Image.Image:
    """A red square on a transparent ground that is black underneath."""
    image = Image.new("RGBA", (20, 20))
    image.paste((255, 0, 0, 255), (5, 5, 15, 15))
    return image if mode == "RGBA" else image.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_transparency_lies_over_white(mode):
    image = disc("LA").convert("La") if mode == "La" else disc(mode)
    loaded = to_rgb(image)
    assert loaded.mode == "RGB" and loaded.getpixel((0, 0)) == (255, 255, 255)
    assert loaded.getpixel((10, 10)) != (255, 255, 255)


def save_palette_with_alpha(file: Path) -> None:
    disc("RGBA").quantize(4).save(file)


def save_grey_with_a_transparent_level(file: Path) -> None:
    Image.new("L", (20, 20), 7).save(file, transparency=7)


def save_animation(file: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("white", "blue", "red")]
    frames[0].save(file, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("name, save", [
    ("cmyk.jpg", lambda file: Image.new("CMYK", (20, 20)).save(file)),
    ("cmyk.tif", lambda file: Image.new("CMYK", (20, 20)).save(file)),
    ("palette.png", save_palette_with_alpha),
    ("palette.gif", lambda file: disc("RGBA").save(file)),
    ("level.png", save_grey_with_a_transparent_level),
    ("animated.gif", save_animation),
    ("animated.webp", save_animation),
    ("one_bit.png", lambda file: Image.new("1", (20, 20), 1).save(file)),
    ("grey.jpg", lambda file: Image.new("L", (20, 20), "white").save(file)),
    ("tall.png", lambda file: Image.new("RGB", (20, 2000), "white").save(file)),
])
def test_other_kinds_become_rgb_with_the_first_frame_over_white(tmp_path, name, save):
    save(tmp_path / name)
    loaded = load_image(tmp_path / name)
    assert loaded.mode == "RGB" and min(loaded.getpixel((0, 0))) >= 250
    assert scan(tmp_path) == []
    xb, _ = ImageDataset([tmp_path / name], [0], 16)[0]
    assert xb.shape == (3, 16, 16) and xb.dtype == torch.uint8


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (7, 300)])
def test_a_tiny_picture_is_used_with_a_warning_that_names_it(tmp_path, size):
    Image.new("RGB", size, "red").save(tmp_path / "tiny.png")
    with pytest.warns(UserWarning, match=rf"tiny.png: only {size[0]}x{size[1]} pixels") as told:
        picture, _ = ImageDataset([tmp_path / "tiny.png"], [0], 16)[0]
    assert picture[0].min() == 255 and picture[1:].max() == 0
    assert Path(told[0].filename) == Path(__file__), "the warning stands at the caller's line"


@pytest.mark.parametrize("size", [(90, 60), (1200, 800), (900, 1600)])
def test_a_jpeg_decoded_smaller_looks_the_same(tmp_path, size):
    smooth(*size).save(tmp_path / "photo.jpg", quality=95)
    whole, smaller = load_image(tmp_path / "photo.jpg"), load_image(tmp_path / "photo.jpg", 64)
    assert min(smaller.size) >= min(128, *size) and (smaller.size < whole.size) == (size[0] > 90)
    difference = np.asarray(square(whole, 64), int) - np.asarray(square(smaller, 64), int)
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("where, box", [(0, (0, 0, 40, 40)), (0.5, (20, 0, 60, 40)),
                                        (1, (40, 0, 80, 40))])
def test_a_square_is_what_pillow_crops_and_scales(where, box):
    wide, small = smooth(80, 40), (20, 20)
    expected = wide.crop(box).resize(small, Image.Resampling.BILINEAR)
    difference = np.asarray(square(wide, 20, where), int) - np.asarray(expected, int)
    assert np.abs(difference).mean() < 3
    assert square(wide, 40, where).tobytes() == wide.crop(box).tobytes()


# Folders and names

def test_an_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises(ValueError, match=re.escape(
            f"No images in {tmp_path}; expected {tmp_path}/<class>/*.jpg")):
        from_folder(tmp_path)
    with pytest.raises(ValueError, match=f"No images in {re.escape(str(tmp_path))}"):
        ImageDataLoaders.from_name_re(tmp_path, None, r"(.)")
    with pytest.raises(ValueError, match="There is no folder .*gone"):
        from_folder(tmp_path / "gone")


def test_one_class_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"Only one class, \['a'\]"):
        from_folder(fill(tmp_path, {"a": 12}))


def test_fewer_pictures_than_a_batch_names_both_numbers_and_a_batch_size_that_works(tmp_path):
    fill(tmp_path, {"a": 10, "b": 10})
    with pytest.raises(ValueError, match=r"fewer than a batch of 64.*Try bs=") as caught:
        from_folder(tmp_path, bs=64)
    count, bs = (int(re.search(pattern, str(caught.value))[1])
                 for pattern in (r"^(\d+) training", r"bs=(\d+)"))
    dls = from_folder(tmp_path, bs=bs)
    assert len(dls.train.dataset) == count and len(dls.train) >= 1


def test_no_validation_pictures_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="No picture is left for validation. Try a larger valid_pct"):
        from_folder(fill(tmp_path, {"a": 8, "b": 8}), valid_pct=0)


@pytest.mark.parametrize("valid_pct", [20, 1, -0.1, float("nan")])
def test_a_share_that_is_none_is_an_error(tmp_path, valid_pct):
    with pytest.raises(ValueError, match=f"valid_pct={valid_pct} .* Try 0.2"):
        from_folder(fill(tmp_path, {"a": 8, "b": 8}), valid_pct=valid_pct)


def test_a_label_out_of_range_names_label_number_of_classes_and_file(tmp_path):
    files = get_image_files(fill(tmp_path, {"a": 8, "b": 8, "c": 1}))
    labels = [file.parent.name for file in files]
    with pytest.raises(ValueError, match=r"016\.png has the label 'c'.* 2 classes \['a', 'b'\]"):
        ImageDataLoaders.from_files(files, labels, vocab=["a", "b"])
    with pytest.raises(ValueError, match="17 pictures but 16 labels"):
        ImageDataLoaders.from_files(files, labels[1:])


def test_links_are_not_followed_and_a_file_counts_once(tmp_path):
    fill(tmp_path, {"a": 24, "b": 24})
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "c").symlink_to(tmp_path / "b")
    (tmp_path / "a" / "000_link.png").symlink_to(tmp_path / "b" / "030.png")
    files = get_image_files(tmp_path)
    assert len(files) == 48 and not any(file.is_symlink() for file in files)
    assert from_folder(tmp_path).vocab == ["a", "b"]


def test_hidden_folders_and_files_are_skipped(tmp_path):
    fill(tmp_path, {"a": 8, "b": 8, ".ipynb_checkpoints": 3, "b/.cache": 2})
    noise(1).save(tmp_path / "a" / "._000.png")
    (tmp_path / "a" / "notes.txt").touch()
    dls = from_folder(tmp_path)
    assert dls.vocab == ["a", "b"]
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 16


@pytest.mark.parametrize("options", [{"bs": 0}, {"bs": -4}, {"bs": "16"}, {"size": 0},
                                     {"size": (16, 16)}, {"size": 16.5}])
def test_sizes_that_are_no_whole_numbers_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}=.*give a whole number"):
        from_folder(fill(tmp_path, {"a": 6, "b": 6}), **options)


def test_flags_that_do_not_fit_the_pictures_are_refused(tmp_path):
    fill(tmp_path, {"a": 6, "b": 6})
    with pytest.raises(ValueError, match="12 pictures but 3 flags"):
        from_folder(tmp_path, is_valid=[True, False, True])
    with pytest.raises(ValueError, match="left to train on"):
        from_folder(tmp_path, is_valid=[True] * 12)


def test_sides_without_class_folders_are_no_classes(tmp_path):
    with pytest.raises(ValueError, match="expected .*/<class>/"):
        from_folder(fill(tmp_path, {"train": 6, "valid": 6}))


@pytest.mark.parametrize("train, valid", [("train", "valid"), ("train", "val"), ("Train", "Valid"),
                                          ("training", "validation")])
def test_folders_train_and_valid_are_the_split_and_test_is_left_alone(tmp_path, train, valid):
    for part, start in ((train, 0), (valid, 100), ("test", 200)):
        fill(tmp_path / part, {"a": 6, "b": 6}, start)
    dls = from_folder(tmp_path)
    assert dls.vocab == ["a", "b"]
    for loader, part in ((dls.train, train), (dls.valid, valid)):
        assert {file.parent.parent.name for file in loader.dataset.sources} == {part}
        assert len(loader.dataset) == 12


def test_a_folder_train_without_valid_is_split(tmp_path):
    fill(tmp_path / "train", {"a": 20, "b": 20})
    fill(tmp_path / "test", {"a": 5, "b": 5}, 100)
    dls = from_folder(tmp_path)
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 40 and len(dls.valid.dataset)


def test_a_class_may_be_called_train(tmp_path):
    dls = from_folder(fill(tmp_path, {"train": 10, "valid": 10, "ship": 10}))
    assert dls.vocab == ["ship", "train", "valid"]
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 30


def test_labels_from_names(tmp_path):
    for number in range(16):
        noise(number).save(tmp_path / f"{'great_dane' if number % 2 else 'Bengal'}_{number}.png")
    options = {"size": 16, "bs": 4, "device": "cpu"}
    dls = ImageDataLoaders.from_name_re(tmp_path, None, r"^(.+)_\d+.png$", **options)
    files = [str(file) for file in get_image_files(tmp_path)]
    again = ImageDataLoaders.from_name_re(tmp_path, files, r"^(.+)_\d+.png$", **options)
    for loaders in (dls, again):
        assert loaders.vocab == ["Bengal", "great_dane"]
        pictures = loaders.train.dataset
        assert all(Path(source).name.startswith(loaders.vocab[target])
                   for source, target in zip(pictures.sources, pictures.targets, strict=True))


@pytest.mark.parametrize("pattern, message", [
    (r"^(.+)_\d+\.jpg$", r"'\^\(\.\+\)_\\\\d\+\\\\\.jpg\$' finds no class in a_0.png"),
    (r"^a_\d", "has no group: put brackets"),
    (r"^a|^(b)", "finds no class in a_0.png"),
])
def test_a_pattern_that_finds_no_class_names_pattern_and_file(tmp_path, pattern, message):
    for name in ("a_0.png", "b_1.png"):
        noise(0).save(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        ImageDataLoaders.from_name_re(tmp_path, None, pattern)


@settings(deadline=None, max_examples=25)
@given(names=st.lists(st.text(max_size=30), min_size=1, max_size=3))
@example(names=["$5_bill", "$", "<Delete>", "\\frac{$"])
@example(names=["日本 犬", " two  spaces ", "a&b", "line\nbreak", "\0"])
def test_any_class_name_can_be_drawn(names):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph|.*missing from")
        show_images([noise(0)] * len(names), names)
        figure = matplotlib.pyplot.gcf()
        figure.canvas.draw()
    matplotlib.pyplot.close(figure)


@given(name=st.text())
@example(name="<script>alert('$x$')</script>")
def test_any_name_is_escaped_in_a_table(name):
    page = Table([Problem(Path("a.jpg"), name, "td>")])._repr_html_()
    inside = re.search("<tr><td>a.jpg</td><td>(.*)</td><td>td&gt;</td></tr>", page, re.DOTALL)[1]
    assert "<" not in inside and ">" not in inside
    assert "tex2jax_ignore" in page, "or notebooks read $x$ as a formula"


@pytest.mark.parametrize("name, shown", [
    ("$5_bill", "$5_bill"), ("<Delete>", "<Delete>"), ("日本 犬", "日本 犬"), (" a & b", " a & b"),
    ("x" * 100, "x" * 100), ("broken \udcff", "broken \\udcff"),
], ids=["dollar", "tag", "unicode", "spaces", "long", "broken bytes"])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_any_folder_name_is_a_class(tmp_path, name, shown):
    dls = from_folder(fill(tmp_path, {name: 10, "other": 10}))
    assert shown in dls.vocab
    dls.show_batch()
    matplotlib.pyplot.gcf().canvas.draw()
    matplotlib.pyplot.close("all")


# The split

def lot(digest: bytes, seed: int) -> float:
    number = hashlib.sha256(str(seed).encode() + digest).hexdigest()[:16]
    return int(number, 16) / 16**16


sizes = st.lists(st.integers(1, 40), min_size=2, max_size=4)


def classes_of(sizes: list[int]) -> tuple[list[bytes], list[str]]:
    labels = [f"class {i}" for i, size in enumerate(sizes) for _ in range(size)]
    return [f"{label}, {i}".encode() for i, label in enumerate(labels)], labels


@quick
@given(sizes=sizes, seed=st.integers(0, 99), valid_pct=st.floats(0.01, 0.9))
def test_every_class_has_a_picture_to_learn_from_and_if_it_can_one_to_check_with(
        sizes, seed, valid_pct):
    digests, labels = classes_of(sizes)
    is_valid = split_by_content(digests, labels, valid_pct, seed)
    for label, size in zip(sorted(set(labels)), sizes, strict=True):
        flags = [flag for flag, name in zip(is_valid, labels, strict=True) if name == label]
        assert not all(flags) and (any(flags) or size == 1)


@quick
@given(sizes=sizes, seed=st.integers(0, 99), new=st.binary(min_size=32, max_size=32),
       label=st.integers(0, 5), place=st.integers(0, 200))
def test_one_file_added_moves_no_other(sizes, seed, new, label, place):
    digests, labels = classes_of(sizes)
    lots = [lot(digest, seed) < 0.2 for digest in digests]
    for name in set(labels):  # where a class is not so tiny that it needs an exception
        sides = {side for side, one in zip(lots, labels, strict=True) if one == name}
        assume(sides == {True, False})
    before = split_by_content(digests, labels, 0.2, seed)
    place = min(place, len(digests))
    digests.insert(place, new)
    labels.insert(place, f"class {label % len(sizes)}")
    after = split_by_content(digests, labels, 0.2, seed)
    assert before == after[:place] + after[place + 1:] == lots


@quick
@given(sizes=sizes, seed=st.integers(0, 99), order=st.randoms(use_true_random=False))
def test_the_order_of_the_files_does_not_matter_and_copies_stay_together(sizes, seed, order):
    digests, labels = classes_of(sizes)
    chosen = dict(zip(digests, split_by_content(digests, labels, 0.2, seed), strict=True))
    pairs = list(zip(digests, labels, strict=True)) * 2
    order.shuffle(pairs)
    again = split_by_content(*zip(*pairs, strict=True), 0.2, seed)
    assert again == [chosen[digest] for digest, _ in pairs]


@pytest.mark.parametrize("valid_pct", [0.1, 0.25, 0.5])
def test_the_share_held_back_is_about_the_one_asked_for(valid_pct):
    digests, labels = classes_of([4000, 2000])
    is_valid = np.array(split_by_content(digests, labels, valid_pct))
    for part in (is_valid[:4000], is_valid[4000:]):
        assert abs(part.mean() - valid_pct) < 4 * (valid_pct * (1 - valid_pct) / len(part)) ** 0.5


def test_another_seed_is_another_split():
    digests, labels = classes_of([100, 100])
    assert split_by_content(digests, labels, seed=1) != split_by_content(digests, labels, seed=2)


def test_a_file_added_to_a_folder_moves_no_other(tmp_path):
    fill(tmp_path, {"a": 40, "b": 40})
    before = from_folder(tmp_path)
    noise(12345).save(tmp_path / "a" / "000_new.png")
    after = from_folder(tmp_path)
    for part in ("train", "valid"):
        sources = [set(getattr(dls, part).dataset.sources) for dls in (before, after)]
        assert sources[0] <= sources[1]


def test_a_renamed_file_stays_where_it_was(tmp_path):
    fill(tmp_path, {"a": 30, "b": 30})
    before = digests_of(from_folder(tmp_path).valid)
    for file in get_image_files(tmp_path):
        file.rename(file.with_name(f"renamed_{file.name[::-1]}.png"))
    assert digests_of(from_folder(tmp_path).valid) == before


def test_a_class_with_one_picture_is_learned_from_with_a_warning_that_names_it(tmp_path):
    fill(tmp_path, {"a": 12, "b": 12, "rare": 1})
    with pytest.warns(UserWarning, match=r"\['rare'\] have pictures on one side") as told:
        dls = from_folder(tmp_path)
    assert dls.vocab.index("rare") in dls.train.dataset.targets
    assert dls.vocab.index("rare") not in dls.valid.dataset.targets
    assert Path(told[0].filename) == Path(__file__)


def test_copies_are_reported_and_stay_on_one_side(tmp_path):
    fill(tmp_path, {"a": 20, "b": 20})
    for file in get_image_files(tmp_path / "a"):
        file.with_name(f"copy_of_{file.name}").write_bytes(file.read_bytes())
    with pytest.warns(UserWarning, match=r"20 pictures are copies of others .*copy_of_000\.png"):
        dls = from_folder(tmp_path)
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 60
    assert not digests_of(dls.train) & digests_of(dls.valid)


def test_a_picture_in_both_train_and_valid_is_reported_and_not_trained_on(tmp_path):
    fill(tmp_path / "train", {"a": 10, "b": 10})
    fill(tmp_path / "valid", {"a": 5, "b": 5}, 100)
    leaked = tmp_path / "train" / "a" / "leaked.png"
    leaked.write_bytes((tmp_path / "valid" / "a" / "100.png").read_bytes())
    with pytest.warns(UserWarning, match="1 pictures are copies of others"):
        dls = from_folder(tmp_path)
    assert leaked not in dls.train.dataset.sources and len(dls.train.dataset) == 20
    assert len(dls.valid.dataset) == 10, "what is checked with stays as it was given"
    assert not digests_of(dls.train) & digests_of(dls.valid)


def test_copies_in_memory_are_told_by_what_they_show():
    grey = Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20))
    other_palette = grey.convert("P")
    other_palette.putpalette([255 - i // 3 for i in range(768)])
    assert content_digest(grey) == content_digest(grey.convert("RGB"))
    assert content_digest(grey.convert("P")) != content_digest(other_palette)


def test_a_split_by_hand_is_kept_and_must_fit(tmp_path):
    files = get_image_files(fill(tmp_path, {"a": 10, "b": 10}))
    labels = [file.parent.name for file in files]
    flags = [number % 4 == 0 for number in range(20)]
    dls = ImageDataLoaders(files, labels, np.array(flags), size=16, bs=4, device="cpu")
    assert dls.valid.dataset.sources == files[::4]
    with pytest.raises(ValueError):
        ImageDataLoaders(files, labels, flags[1:], size=16, bs=4)


# Batches

def test_without_augmentation_a_batch_is_the_plain_squares_in_order(tmp_path):
    dls = from_folder(fill(tmp_path, {"a": 20, "b": 20}), augment=False)
    xs, ys = (torch.cat(parts) for parts in zip(*dls.valid, strict=True))
    for x, y, file in zip(xs, ys, dls.valid.dataset.sources, strict=True):
        assert_close(x, TF.to_tensor(square(load_image(file), 16)))
        assert dls.vocab[y] == file.parent.name
    assert len(dls.valid) == -(-len(ys) // 4)


@pytest.mark.parametrize("augment", [True, False, None, {}, {"flip": False, "rotate": 30}])
def test_an_epoch_shows_each_picture_once_in_whole_batches(tmp_path, augment):
    dls = from_folder(fill(tmp_path, {"a": 20, "b": 21}), augment=augment)
    epoch = list(dls.train)
    assert len(epoch) == len(dls.train) == len(dls.train.dataset) // 4
    assert {xb.shape for xb, _ in epoch} == {(4, 3, 16, 16)} and epoch[0][1].dtype == torch.int64
    assert all(0 <= xb.min() and xb.max() <= 1 for xb, _ in epoch)
    if not augment and augment != {}:
        seen = {x.numpy().tobytes() for xb, _ in epoch for x in xb.contiguous()}
        assert len(seen) == 4 * len(epoch), "a picture came twice"


def test_batches_are_the_same_for_any_number_of_workers(tmp_path):
    fill(tmp_path, {"a": 16, "b": 16})
    runs = [from_folder(tmp_path, num_workers=workers) for workers in (0, 2)]
    for _ in range(2):  # epochs
        for (xb, yb), (other_xb, other_yb) in zip(*(dls.train for dls in runs), strict=True):
            assert torch.equal(xb, other_xb) and torch.equal(yb, other_yb)


def test_the_seed_alone_decides_and_epochs_differ(tmp_path):
    fill(tmp_path, {"a": 16, "b": 16})
    first, again, other = (from_folder(tmp_path, seed=seed) for seed in (1, 1, 2))
    torch.manual_seed(123)
    batches = [next(iter(dls.train))[0] for dls in (first, again, other)]
    assert torch.equal(batches[0], batches[1]) and not torch.equal(batches[0], batches[2])
    assert not torch.equal(batches[0], next(iter(first.train))[0])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_looking_at_a_batch_leaves_no_trace(tmp_path, num_workers):
    fill(tmp_path, {"a": 16, "b": 16})
    looked_at, left_alone = (from_folder(tmp_path, num_workers=num_workers) for _ in range(2))
    states = [torch.get_rng_state(), str(np.random.get_state()), random.getstate()]  # noqa: NPY002
    xb, _ = looked_at.one_batch()
    looked_at.show_batch()
    matplotlib.pyplot.close("all")
    assert torch.equal(states[0], torch.get_rng_state()), "torch's own chance was drawn from"
    assert states[1:] == [str(np.random.get_state()), random.getstate()]  # noqa: NPY002
    epochs = [[xb for xb, _ in dls.train] for dls in (looked_at, left_alone)]
    assert torch.equal(xb, epochs[0][0]), "it is the batch that training sees next"
    assert all(map(torch.equal, *epochs))


def test_a_look_that_fails_leaves_no_trace(tmp_path):
    dls = from_folder(fill(tmp_path, {"a": 8, "b": 8}), augment={"zoom": 1.1, "warp": 3})
    state = dls.train.generator.get_state()
    with pytest.raises(TypeError, match="warp"):
        dls.one_batch()
    assert torch.equal(state, dls.train.generator.get_state())


def test_the_crop_slides_in_training_only(tmp_path):
    wide = Image.new("RGB", (160, 40), "black")
    wide.paste("white", (80, 0, 160, 40))
    still = {"rotate": 0, "zoom": 1, "flip": False, "lighting": 0, "size": 16}
    pictures = ImageDataset([wide] * 40, [0] * 40, 16)
    sliding = ImageLoader(pictures, 40, CPU, torch.Generator().manual_seed(0), still)
    whites = next(iter(sliding))[0].mean((1, 2, 3))
    assert whites.min() < 0.1 and whites.max() > 0.9
    assert_close(next(iter(ImageLoader(pictures, 40, CPU)))[0].mean((1, 2, 3)), torch.full((40,), 0.5),
                 atol=0.03, rtol=0)


class Killing(ImageDataset):
    """ImageDataset whose reader is killed, as by the system when memory runs out."""
    def __getitem__(self, item):
        if get_worker_info() and get_worker_info().id == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(item)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_worker_says_try_num_workers_0():
    pictures = Killing([noise(i) for i in range(8)], [0] * 8, 16)
    with pytest.raises(RuntimeError, match="was killed.* try num_workers=0"):
        list(ImageLoader(pictures, 2, CPU, num_workers=2))
    assert len(list(ImageLoader(pictures, 2, CPU, num_workers=0))) == 4


def test_other_errors_of_a_worker_are_passed_on_as_they_are():
    pictures = ImageDataset([noise(i) for i in range(4)], [0] * 4, 16)
    loader = ImageLoader(pictures, 2, CPU)
    with pytest.raises(RuntimeError, match="^mine$"):
        for _ in loader:
            loader.finish = lambda xb: (_ for _ in ()).throw(RuntimeError("mine"))


# Augmentation

def batch(count: int = 6, size: int = 32) -> torch.Tensor:
    return torch.stack([TF.to_tensor(noise(i, 8, 8).resize((size, size))) for i in range(count)])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


OFF = {"rotate": 0.0, "zoom": 1.0, "flip": False, "lighting": 0.0}


@quick
@given(size=st.integers(1, 40), count=st.integers(1, 4), seed=st.integers(0, 99))
def test_nothing_switched_on_changes_nothing(size, count, seed):
    x = torch.rand(count, 3, size, size, generator=seeded(seed))
    assert_close(augment_batch(x, seeded(seed), **OFF), x, atol=1e-5, rtol=0)


def test_the_same_generator_gives_the_same_looks_and_the_global_one_is_left_alone():
    x, state = batch(), torch.get_rng_state()
    first, again = (augment_batch(x, seeded(7), size=24) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (6, 3, 24, 24)
    assert not torch.equal(first, augment_batch(x, seeded(8), size=24))
    assert torch.equal(state, torch.get_rng_state())


def test_a_flip_is_the_mirror_image():
    x = batch(40)
    flipped = augment_batch(x, seeded(), **{**OFF, "flip": True})
    kinds = [(torch.allclose(a, b, atol=1e-5), torch.allclose(a, b.flip(-1), atol=1e-5))
             for a, b in zip(flipped, x, strict=True)]
    assert set(kinds) == {(True, False), (False, True)}
    assert 8 < sum(mirrored for _, mirrored in kinds) < 32


def test_a_rotation_is_torchvisions():
    x = batch(1, 64)
    angle = torch.empty(1).uniform_(-40, 40, generator=seeded(3)).item()
    expected = TF.rotate(x, angle, TF.InterpolationMode.BILINEAR)
    ours = augment_batch(x, seeded(3), **{**OFF, "rotate": 40})
    assert abs(angle) > 5
    middle = slice(20, 44)
    assert_close(ours[..., middle, middle], expected[..., middle, middle], atol=0.02, rtol=0)


def test_a_zoom_shows_a_part_of_the_picture_and_never_more():
    ramp = torch.linspace(0, 1, 64).expand(200, 3, 64, 64)
    zoomed = augment_batch(ramp, seeded(), **{**OFF, "zoom": 2.0})[:, 0, 0]
    width, left = zoomed[:, -1] - zoomed[:, 0], zoomed[:, 0]
    assert width.min() >= 0.49 and width.max() <= 1.01 and width.min() < 0.55
    assert left.min() < 0.02 and left.max() > 0.35, "the crop moves"


def test_light_keeps_pixels_between_0_and_1_and_a_mid_grey_near_grey():
    x = torch.full((200, 3, 4, 4), 0.5)
    lit = augment_batch(x, seeded(), **{**OFF, "lighting": 0.2})[:, 0, 0, 0]
    assert 0.39 < lit.min() < 0.42 and 0.58 < lit.max() < 0.61
    strong = augment_batch(batch(), seeded(), **{**OFF, "lighting": 1.0})
    assert strong.min() >= 0 and strong.max() <= 1


def test_one_interpolation_from_a_larger_picture_is_nearer_the_truth_than_two():
    drawing = Image.new("RGB", (512, 512), "white")
    for radius in range(20, 240, 30):
        ImageDraw.Draw(drawing).circle((256, 256), radius, outline="black", width=8)
    large = TF.to_tensor(drawing)[None]
    small, presized = (TF.resize(large, [n, n], antialias=True) for n in (64, 80))
    turn = {**OFF, "rotate": 30.0}
    truth = TF.resize(augment_batch(large, seeded(1), **turn), [64, 64], antialias=True)
    once = augment_batch(presized, seeded(1), size=64, **turn)
    zoomed = TF.resize(augment_batch(small, seeded(1), **turn), [80, 80])
    twice = TF.resize(zoomed, [64, 64], antialias=True)
    errors = [(x - truth).square().mean() for x in (once, twice)]
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_looks_as_the_cpu():
    x = batch()
    assert_close(augment_batch(x.cuda(), seeded(), size=24).cpu(), augment_batch(x, seeded(), size=24),
                 atol=1e-4, rtol=0)


def test_normalize_is_torchvisions_and_travels_with_the_weights():
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    layer = Normalize(mean, std)
    assert_close(layer(batch()), TF.normalize(batch(), mean, std))
    assert set(layer.state_dict()) == {"mean", "std"} and not list(layer.parameters())


# Devices, networks, built-in data

def test_a_missing_accelerator_means_the_cpu_and_is_said_once(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "mps", torch.device("cuda:1")):
        with pytest.warns(UserWarning, match="There is no .*(cuda|mps).* here: running on the CPU"):
            assert default_device(name) == CPU
    with pytest.warns(UserWarning) as told:
        dls = from_folder(fill(tmp_path, {"a": 8, "b": 8}), device="cuda")
        dls.one_batch()
    assert len(told) == 1 and Path(told[0].filename) == Path(__file__)
    assert dls.device == CPU and dls.train.num_workers == 0


def test_the_fastest_device_present_is_picked_and_named_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    assert default_device() == torch.device("cuda")
    assert re.fullmatch(r"Training on cuda \(Some GPU\), torch [\d.]+\.\n", capsys.readouterr().out)
    assert default_device("cpu", quiet=True) == CPU and not capsys.readouterr().out


@pytest.fixture(params=["refused", "hanging"])
def no_network(request, monkeypatch):
    """No connection: refused at once, or the look-up of a name that never answers."""
    over = threading.Event()
    def refuse(*_, **__):
        raise OSError("Network is unreachable")
    def hang(*_, **__):
        over.wait(60)
        raise OSError("too late")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse if request.param == "refused" else hang)
    monkeypatch.setattr(data, "getproxies", dict)
    yield
    over.set()


@pytest.mark.parametrize("name, kind", [("pets", "OxfordIIITPet"), ("flowers", "Flowers102")])
def test_without_a_network_the_error_comes_soon_and_says_what_where_and_what_to_do(
        no_network, tmp_path, name, kind):
    (tmp_path / "oxford-iiit-pet" / "images").mkdir(parents=True)  # what an interruption left
    (tmp_path / "flowers-102" / "jpg").mkdir(parents=True)
    start = time.perf_counter()
    with pytest.raises(ConnectionError) as caught:
        getattr(data, name)(tmp_path)
    assert time.perf_counter() - start < 5
    for part in (kind, str(tmp_path), "Connect to the internet, or copy it"):
        assert part in str(caught.value)


def test_a_proxy_is_asked_where_there_is_one(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://user:word@127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(data, "getproxies", lambda: {"https": address})
        check_reachable("nobody.invalid", "Something", "somewhere")
    with pytest.raises(ConnectionError, match="Something is not on this machine"):
        check_reachable("nobody.invalid", "Something", "somewhere")


def test_pets_on_disk_need_no_network(no_network, tmp_path):
    root = tmp_path / "oxford-iiit-pet"
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    for part, start in (("trainval", 0), ("test", 10)):
        names = [f"{breed}_{number}" for number in range(start, start + 10)
                 for breed in ("Bengal", "great_dane")]
        lines = [f"{name} {1 + name.startswith('great')} 1 1\n" for name in names]
        (root / "annotations" / f"{part}.txt").write_text("".join(lines))
        for name in names:
            noise(zlib.crc32(name.encode())).save(root / "images" / f"{name}.jpg")
    dls = data.pets(tmp_path, size=16, bs=4, device="cpu")
    assert dls.vocab == ["Bengal", "great_dane"]
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 40


def test_flowers_are_labelled_by_number(monkeypatch, tmp_path):
    fill(tmp_path, {"jpg": 60})
    files = get_image_files(tmp_path)
    parts = {"train": files[:20], "val": files[20:40], "test": files[40:]}
    def stand_in(root, split, download=False):
        return types.SimpleNamespace(_image_files=parts[split], _labels=[0, 101] * 10)
    monkeypatch.setattr(data, "Flowers102", stand_in)
    dls = data.flowers(tmp_path, size=16, bs=4, device="cpu")
    assert dls.vocab == ["001", "102"]
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 60


@pytest.mark.filterwarnings("error")
def test_icons_are_there_offline_all_different_and_named(no_network):
    dls = icons(size=32, device="cpu")
    sources = dls.train.dataset.sources + dls.valid.dataset.sources
    assert len(dls.vocab) == 11 and len(sources) > 600 and dls.bs == 16
    assert len({content_digest(source) for source in sources}) == len(sources)
    assert len({source.info["name"] for source in sources}) == len(sources)
    assert {*dls.train.dataset.targets} == {*dls.valid.dataset.targets} == {*range(11)}


def test_solar_cells_from_the_installed_package():
    pytest.importorskip("elpv_dataset", reason="the extra [solar] is not installed")
    dls = solar(size=32, device="cpu")
    targets = dls.train.dataset.targets + dls.valid.dataset.targets
    assert dls.vocab == ["defective", "functional"] and len(targets) == 2624
    assert abs(np.mean(targets) - 0.687) < 0.01, "68.7 % are functional at threshold 0.5"


def test_solar_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "elpv_dataset.utils", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'transfer_lessons[solar]'")):
        solar()


@pytest.mark.skipif(not FLOWERS.is_dir(), reason="the shared photographs of flowers are not here")
@pytest.mark.filterwarnings("ignore:.*copies of others")
def test_real_photographs_from_folders():
    dls = ImageDataLoaders.from_folder(FLOWERS, size=32, device="cpu")
    assert dls.vocab == ["daisy", "dandelion", "rose", "sunflower", "tulip"]
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 4317
    assert not digests_of(dls.train) & digests_of(dls.valid)
    share = np.bincount(dls.valid.dataset.targets) / [764, 1052, 784, 733, 984]
    assert (abs(share - 0.2) < 0.05).all()
    xb, _ = next(iter(dls.valid))
    first = load_image(dls.valid.dataset.sources[0])
    assert_close(xb[0], TF.to_tensor(ImageOps.fit(first, (32, 32), Image.Resampling.BILINEAR)),
                 atol=0.05, rtol=0)
