"""Files: what is odd is put right, what is broken is named, what is not meant is left alone."""
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from transfer_lessons.image_files import (
    ImageError,
    get_image_files,
    image_name,
    load_image,
    scan,
    to_rgb,
)

quick = settings(deadline=None, max_examples=60,
                 suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(seed: int, width: int = 24, height: int = 16) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def smooth(width: int = 90, height: int = 60) -> Image.Image:
    return noise(0, 9, 6).resize((width, height), Image.Resampling.BICUBIC)


# Damaged files

@pytest.fixture(scope="module")
def jpeg(tmp_path_factory) -> bytes:
    file = tmp_path_factory.mktemp("jpeg") / "whole.jpg"
    smooth().save(file)
    return file.read_bytes()


@quick
@given(fraction=st.floats(0, 1, exclude_max=True))
@example(fraction=0.0)
@example(fraction=0.9999)
def test_a_jpeg_cut_at_any_byte_is_named_with_reason_and_fix(jpeg, tmp_path, fraction):
    file = tmp_path / "cut.jpg"
    file.write_bytes(jpeg[:int(fraction * len(jpeg))])
    with pytest.raises(ImageError, match="cut.jpg: .+ Download it again") as caught:
        load_image(file)
    assert caught.value.path == file
    problem, = scan(tmp_path)
    assert problem.path == file and problem.reason and problem.fix


@pytest.mark.parametrize("content, reason", [
    (b"", "the file is empty"),
    (b"\n <!DOCTYPE html><html>404 Not Found</html>", "web page"),
    (b"<?xml version='1.0'?><Error/>", "web page"),
    (b"some words", "not an image, or none of JPEG, PNG"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image, or none of"),
])
def test_what_is_no_image_is_found_by_scan_and_said_so(tmp_path, content, reason):
    noise(0).save(tmp_path / "fine.png")
    (tmp_path / "photo.jpg").write_bytes(content)
    problem, = scan(tmp_path)
    assert problem.path.name == "photo.jpg" and reason in problem.reason
    assert str(tmp_path) not in problem.reason, "the path stands in its own column"


def test_scan_says_so_when_there_is_nothing_to_say(tmp_path):
    noise(0).save(tmp_path / "fine.png")
    assert scan(tmp_path) == [] and "nothing to list" in repr(scan(tmp_path))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "gone.jpg", tmp_path):
        with pytest.raises(ImageError, match=f"{path.name}: it cannot be read .* Check the path"):
            load_image(path)


def bomb(side: int) -> bytes:
    """A PNG of side x side one-bit pixels, packed row by row."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side // 8 + 1)) for _ in range(side)) + packer.flush()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", rows),
             (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts)


def test_a_decompression_bomb_is_refused_without_decoding_it(tmp_path):
    file = tmp_path / "bomb.png"
    file.write_bytes(bomb(13_000))
    assert file.stat().st_size < 50_000
    script = """
import sys
from transfer_lessons.image_files import ImageError, load_image
try:
    import resource
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
except ImportError:
    peak = lambda: 0
before = peak()
try:
    load_image(sys.argv[1])
except ImageError as error:
    print(error, peak() - before, sep="|")
"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(file)], check=True,
                         capture_output=True, text=True)
    message, kilobytes = run.stdout.split("|")
    assert message.startswith(f"{file}: more than 50 million pixels")
    if sys.platform == "linux":
        assert int(kilobytes) < 30_000, "decoding it takes 169 MB at least"


@pytest.mark.filterwarnings("error")
def test_a_bomb_is_refused_where_warnings_are_errors(tmp_path):
    (tmp_path / "bomb.png").write_bytes(bomb(12_000))
    with pytest.raises(ImageError, match="million pixels"):
        load_image(tmp_path / "bomb.png")


def test_a_large_but_honest_image_is_read(tmp_path):
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


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_cameras_note_is_followed(tmp_path, turn):
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
            6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
    note = Image.Exif()
    note[0x0112] = turn
    image = smooth(80, 40)
    image.save(tmp_path / "phone.png", exif=note)
    expected = image.transpose(Image.Transpose[undo[turn]]) if turn > 1 else image
    loaded = load_image(tmp_path / "phone.png")
    assert loaded.size == ((40, 80) if turn > 4 else (80, 40))
    assert loaded.tobytes() == expected.tobytes()


@pytest.mark.parametrize("note", [b"Exif\0\0MM\0*\0\0", b"Exif\0\0no note at all", b"Exif\0\0"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_note_of_the_camera_damages_no_image(tmp_path, suffix, note):
    smooth().save(tmp_path / f"photo.{suffix}", exif=note)
    assert load_image(tmp_path / f"photo.{suffix}").size == (90, 60)


def red_square(mode: str) -> Image.Image:
    """A red square on a transparent ground that is black underneath."""
    image = Image.new("RGBA", (20, 20))
    image.paste((255, 0, 0, 255), (5, 5, 15, 15))
    if mode == "PA":  # before version 12 Pillow's conversion to this mode forgets what is transparent
        palette = image.convert("RGB").convert("P").convert("PA")
        palette.putalpha(image.getchannel("A"))
        return palette
    return image if mode == "RGBA" else image.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_transparency_lies_over_white(mode):
    image = red_square("LA").convert("La") if mode == "La" else red_square(mode)
    loaded = to_rgb(image)
    assert loaded.mode == "RGB" and loaded.getpixel((0, 0)) == (255, 255, 255)
    assert loaded.getpixel((10, 10)) != (255, 255, 255)


def save_palette_with_alpha(file: Path) -> None:
    red_square("RGBA").quantize(4).save(file)


def save_grey_with_a_transparent_level(file: Path) -> None:
    Image.new("L", (20, 20), 7).save(file, transparency=7)


def save_animation(file: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("white", "blue", "red")]
    frames[0].save(file, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("name, save", [
    ("cmyk.jpg", lambda file: Image.new("CMYK", (20, 20)).save(file)),
    ("cmyk.tif", lambda file: Image.new("CMYK", (20, 20)).save(file)),
    ("palette.png", save_palette_with_alpha),
    ("palette.gif", lambda file: red_square("RGBA").save(file)),
    ("level.png", save_grey_with_a_transparent_level),
    ("animated.gif", save_animation),
    ("animated.webp", save_animation),
    ("one_bit.png", lambda file: Image.new("1", (20, 20), 1).save(file)),
    ("grey.jpg", lambda file: Image.new("L", (20, 20), "white").save(file)),
    ("tall.png", lambda file: Image.new("RGB", (20, 2000), "white").save(file)),
])
def test_every_mode_becomes_rgb_with_the_first_frame_over_white(tmp_path, name, save):
    save(tmp_path / name)
    loaded = load_image(tmp_path / name)
    assert loaded.mode == "RGB" and min(loaded.getpixel((0, 0))) >= 250
    assert scan(tmp_path) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (7, 300)])
def test_a_tiny_image_is_used_with_a_warning_that_names_it(tmp_path, size):
    Image.new("RGB", size, "red").save(tmp_path / "tiny.png")
    with pytest.warns(UserWarning, match=rf"tiny.png: only {size[0]}x{size[1]} pixels") as told:
        image = load_image(tmp_path / "tiny.png")
    assert image.size == size and image.getpixel((0, 0)) == (255, 0, 0)
    assert Path(told[0].filename) == Path(__file__), "the warning stands at the caller's line"


@pytest.mark.parametrize("size", [(90, 60), (1200, 800), (900, 1600)])
def test_a_jpeg_decoded_smaller_looks_the_same(tmp_path, size):
    smooth(*size).save(tmp_path / "photo.jpg", quality=95)
    whole, smaller = load_image(tmp_path / "photo.jpg"), load_image(tmp_path / "photo.jpg", 64)
    assert min(smaller.size) >= min(128, *size) and (smaller.size < whole.size) == (size[0] > 90)
    pixels = [np.asarray(image.resize((64, 64)), int) for image in (whole, smaller)]
    assert np.abs(pixels[0] - pixels[1]).mean() < 2


# Folders, copies, names

def test_links_are_not_followed_and_a_file_counts_once(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(4):
            noise(number).save(tmp_path / label / f"{label}{number}.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "c").symlink_to(tmp_path / "b")
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "b" / "b1.png")
    (tmp_path / "b" / "link.png").symlink_to(tmp_path / "a" / "a1.png")
    files = get_image_files(tmp_path)
    assert len(files) == 8 and not any(file.is_symlink() for file in files)
    assert files == sorted(files)


def test_a_link_to_a_file_outside_the_folder_is_meant(tmp_path):
    (tmp_path / "inside").mkdir()
    noise(0).save(tmp_path / "outside.png")
    (tmp_path / "inside" / "link.png").symlink_to(tmp_path / "outside.png")
    assert get_image_files(tmp_path / "inside") == [tmp_path / "inside" / "link.png"]


def test_hidden_names_and_other_files_are_skipped(tmp_path):
    for name in ("a.png", "b.PNG", "._a.png", ".ipynb_checkpoints/a.png", "deep/.cache/a.png",
                 "deep/er/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        noise(0).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    found = [str(file.relative_to(tmp_path)) for file in get_image_files(tmp_path)]
    assert found == ["a.png", "b.PNG", str(Path("deep/er/c.png"))]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="There is no folder .*gone"):
        get_image_files(tmp_path / "gone")


def test_every_source_has_a_name(tmp_path):
    icon = noise(0)
    assert image_name(icon) == "an image in memory"
    icon.info["name"] = "lady beetle"
    assert image_name(icon) == "lady beetle"
    assert image_name(tmp_path / "a.png") == image_name(str(tmp_path / "a.png")) == "a.png"


# What was passed over

@pytest.mark.case("files passed over: .jfif, .jpe, .avif, .heic, .jpg?w=640, upper case",
                  "found, and read or named")
def test_no_image_file_vanishes_for_its_suffix(tmp_path):
    names = ["a.jfif", "b.jpe", "c.JPG", "d.jpg?w=640", "e.jpg:large", "f#1.Jpeg", "g.tiff", "h.ppm"]
    for name in names:
        noise(0).save(tmp_path / name, "JPEG")
    for name in ("x.heic", "y.avif"):
        (tmp_path / name).write_bytes(b"\0\0\0\x1cftyp" + name[2:].encode() + bytes(40))
    files = get_image_files(tmp_path)
    assert {file.name for file in files} == {*names, "x.heic", "y.avif"}
    assert {problem.path.name for problem in scan(tmp_path)} == {"x.heic", "y.avif"}


@pytest.mark.case("HEIC without its plug-in", "named, with `pip install pillow-heif`")
def test_a_heic_photo_without_its_plug_in_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x1cftypheic" + bytes(40))
    with pytest.raises(ImageError, match="x.heic: .*HEIC.* pip install pillow-heif"):
        load_image(tmp_path / "x.heic")


def test_heic_and_avif_are_read_where_a_plug_in_is_installed(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    smooth().save(tmp_path / "x.heic")
    assert load_image(tmp_path / "x.heic").size == (90, 60) and scan(tmp_path) == []


def test_avif_is_read_where_pillow_can(tmp_path):
    if ".avif" not in Image.registered_extensions():
        pytest.skip("this Pillow reads no AVIF")
    smooth().save(tmp_path / "x.avif")
    pixels = np.asarray(load_image(tmp_path / "x.avif"), int)
    assert np.abs(pixels - np.asarray(smooth())).mean() < 6 and scan(tmp_path) == []


@pytest.mark.case("images without a suffix, raw photos, an empty class folder, linked folders",
                  "`scan` lists each with its reason and what to do")
def test_scan_lists_what_was_passed_over(tmp_path):
    for folder in ("cat", "dog", "fish", "raw", "cat/.hidden"):
        (tmp_path / folder).mkdir()
    noise(0).save(tmp_path / "cat" / "fine.png")
    noise(1).save(tmp_path / "cat" / "IMG_1", "JPEG")
    noise(1).save(tmp_path / "cat" / "x.png.1", "PNG")
    noise(1).save(tmp_path / "cat" / ".hidden" / "x.png")
    (tmp_path / "raw" / "x.CR2").write_bytes(b"II*\0")
    (tmp_path / "dog" / "notes.txt").write_text("BMW, P6 and GIF8")
    (tmp_path / "labels.csv").write_text("file,label")
    (tmp_path / "link").symlink_to(tmp_path / "cat")
    (tmp_path / "cat" / "again.png").symlink_to(tmp_path / "cat" / "fine.png")
    (tmp_path / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    fix_of = {str(path.relative_to(tmp_path)): fix for path, _, fix in scan(tmp_path)}
    assert fix_of.keys() == {"cat/IMG_1", "cat/x.png.1", "cat/again.png", "cat/gone.png", "dog",
                             "fish", "raw", "raw/x.CR2", "link"}
    assert fix_of["cat/IMG_1"] == "Rename it to IMG_1.jpg"
    assert fix_of["raw/x.CR2"] == "Convert it to PNG or JPEG"
    assert [file.name for file in get_image_files(tmp_path)] == ["fine.png", "gone.png"]


def test_links_that_lead_in_circles_end_nowhere(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert scan(tmp_path) and all(problem.fix for problem in scan(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    noise(0).save(tmp_path / "fine.png")
    os.mkfifo(tmp_path / "pipe.png")
    problem, = scan(tmp_path)
    assert problem.path.name == "pipe.png" and len(get_image_files(tmp_path)) == 1


def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    noise(0).save(tmp_path / "fine.png")
    (tmp_path / "secret").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.warns(UserWarning, match="secret: the folder cannot be read"):
        assert len(get_image_files(tmp_path)) == 1
    problem, = scan(tmp_path)
    assert problem.path.name == "secret" and "permissions" in problem.fix


# Good files that Pillow refuses, and other causes

@pytest.mark.case("valid PNG with a 2 MB profile or note", "read")
@pytest.mark.parametrize("place", ["icc_profile", "text", "zip", "itxt"])
def test_a_png_with_a_long_note_is_read(tmp_path, place):
    options = {"icc_profile": bytes(2_000_000)} if place == "icc_profile" else {}
    if place != "icc_profile":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        add = options["pnginfo"].add_itxt if place == "itxt" else options["pnginfo"].add_text
        for number in range(70 if place == "text" else 1):  # 64 MB of notes are too many for Pillow
            add(f"note {number}", "x" * 2_000_000, zip=place != "text")
    noise(0).save(tmp_path / "long.png", **options)
    assert load_image(tmp_path / "long.png").tobytes() == noise(0).tobytes()
    assert scan(tmp_path) == []


@pytest.mark.case("too little memory while decoding", "says so; not \"damaged\", not \"delete it\"")
@pytest.mark.parametrize("error", [MemoryError(), OSError("out of memory when reading image file"),
                                   OSError(12, "Cannot allocate memory")])
def test_too_little_memory_is_not_damage(tmp_path, monkeypatch, error):
    noise(0).save(tmp_path / "memory.png")

    def load(self):
        raise error
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    with pytest.raises(ImageError, match="too little memory to decode it. Close other") as caught:
        load_image(tmp_path / "memory.png")
    assert "delete" not in str(caught.value) and "damaged" not in str(caught.value)


# What people hand over

@pytest.mark.case("bytes, BytesIO, arrays, tensors handed to predict", "taken as the image they hold")
@pytest.mark.parametrize("wrap", [
    bytes, bytearray, memoryview, io.BytesIO, lambda content: Image.open(io.BytesIO(content)),
    lambda content: np.asarray(Image.open(io.BytesIO(content))),
    lambda content: torch.from_numpy(np.array(Image.open(io.BytesIO(content)))).permute(2, 0, 1),
], ids=["bytes", "bytearray", "memoryview", "BytesIO", "Pillow", "array", "tensor"])
def test_an_image_in_any_form_is_taken(tmp_path, wrap):
    noise(0).save(tmp_path / "x.png")
    source = wrap((tmp_path / "x.png").read_bytes())
    assert load_image(source).tobytes() == noise(0).tobytes()
    assert load_image(source).tobytes() == noise(0).tobytes(), "a second time"
    assert image_name(source)


def test_an_open_file_is_read_from_its_beginning(tmp_path):
    noise(0).save(tmp_path / "x.png")
    with open(tmp_path / "x.png", "rb") as file:
        file.read()
        assert load_image(file).tobytes() == noise(0).tobytes() and image_name(file) == "x.png"


@pytest.mark.case("a list, None, text, a closed Pillow image handed to predict", "says what to give")
@pytest.mark.parametrize("close", [False, True])
def test_a_pillow_image_whose_file_is_closed_is_named(tmp_path, close):
    noise(0).save(tmp_path / "x.png")
    if close:
        image = Image.open(tmp_path / "x.png")
        image.load()
        image.close()
    else:
        with Image.open(tmp_path / "x.png") as image:
            pass
    with pytest.raises(ImageError, match=r"x.png: the file of this Pillow image is closed. Give the"):
        load_image(image)


@pytest.mark.parametrize("source, words", [
    (None, "NoneType is no image. Give a path"), (["a.png"], "list is no image. Give a path"),
    (7, "int is no image"), (io.StringIO("x"), "open for text"), (b"", "the file is empty"),
    ("https://example.com/cat.jpg", "an address on the web"), ("a\0b.png", "zero byte"),
    (b"some words", "not an image"), (Image.new("RGB", (0, 5)), "no pixels"),
])
def test_what_is_no_image_is_said(source, words):
    with pytest.raises(ImageError, match=words):
        load_image(source)


def test_a_truncated_pillow_image_is_named(jpeg, tmp_path):
    (tmp_path / "x.jpg").write_bytes(jpeg[:-200])
    with pytest.raises(ImageError, match="x.jpg: damaged"):
        load_image(Image.open(tmp_path / "x.jpg"))


def test_a_phones_photo_of_many_images_is_read(tmp_path):
    smooth().save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=[noise(0)])
    assert load_image(tmp_path / "x.jpg").size == (90, 60) and scan(tmp_path) == []
