"""What is damaged, missing, doubled or oddly named in a folder of photographs.

A test is named after its case. The neighbours of each are in tests/unit and tests/properties.
"""
import struct
import zlib

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from transfer_lessons.data import ImageDataset
from transfer_lessons.image_files import ImageError, load_image, scan
from transfer_lessons.interpretation import ClassificationInterpretation


def sides(dls) -> tuple[set[str], set[str]]:
    """File names of the training and of the validation images, with their folder."""
    train, valid = ({"/".join(file.parts[-2:]) for file in dl.dataset.sources}
                    for dl in (dls.train, dls.valid))
    return train, valid


@pytest.mark.case("truncated JPEG", "`scan` lists path, reason and fix; loading names the file")
@given(fraction=st.floats(0, 0.95))
def test_truncated_jpeg(fraction, tmp_path, photo):
    file = tmp_path / "cut.jpg"
    photo(64, 64).save(file)
    content = file.read_bytes()
    file.write_bytes(content[:int(fraction * len(content))])
    with pytest.raises(ImageError, match="cut.jpg"):
        load_image(file)
    (problem,) = [problem for problem in scan(tmp_path) if problem.path == file]
    assert problem.reason and problem.fix


@pytest.mark.case("zero-byte file, HTML saved as .jpg", "`scan` finds it and says what it is")
@pytest.mark.parametrize(("content", "reason"), [(b"", "empty"), (b"<!DOCTYPE html>", "web page")])
def test_zero_byte_file_or_html_saved_as_jpg(content, reason, photos):
    (photos / "cat" / "fake.jpg").write_bytes(content)
    (problem,) = scan(photos)
    assert problem.path.name == "fake.jpg" and reason in problem.reason


@pytest.mark.case("16-bit PNG", "scaled to 8 bits: a ramp keeps at least 200 levels")
def test_16_bit_png(tmp_path):
    Image.fromarray(np.linspace(0, 65535, 4096, dtype=np.uint16).reshape(64, 64)).save(
        tmp_path / "ramp.png")
    assert len(np.unique(np.asarray(load_image(tmp_path / "ramp.png")))) >= 200


@pytest.mark.case("EXIF rotation", "applied: 80x40 becomes 40x80")
def test_exif_rotation(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise
    photo(80, 40).save(tmp_path / "turned.jpg", exif=exif)
    assert load_image(tmp_path / "turned.jpg").size == (40, 80)


@pytest.mark.case("CMYK, palette with alpha, GIF", "RGB, transparency over white, the first frame")
def test_cmyk_palette_with_alpha_and_gif(tmp_path, photo):
    photo().convert("CMYK").save(tmp_path / "cmyk.jpg")
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    clear.quantize().save(tmp_path / "palette.png")
    red, blue = (Image.new("RGB", (16, 16), name) for name in ("red", "blue"))
    red.save(tmp_path / "moving.gif", save_all=True, append_images=[blue])
    found = {file.stem: load_image(file) for file in tmp_path.iterdir()}
    assert {image.mode for image in found.values()} == {"RGB"}
    assert found["palette"].getpixel((8, 8)) == (255, 255, 255)
    assert found["moving"].getpixel((8, 8))[0] > 200, "the first frame is red"


@pytest.mark.case("1x1, 1x2000", "used, with a warning that names the file")
@pytest.mark.parametrize("size", [(1, 1), (1, 2000)])
def test_1x1_and_1x2000(size, photos, photo, load):
    photo(*size).save(photos / "cat" / "thin.png")
    with pytest.warns(UserWarning, match="thin.png"):
        for loader in (load(photos).train, load(photos).valid):
            assert all(xb.isfinite().all() for xb, _ in loader)


@pytest.mark.case("decompression bomb", "refused by its size, before decoding")
def test_decompression_bomb(tmp_path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check
    head = struct.pack(">IIBBBBB", 13000, 13000, 1, 0, 0, 0, 0)  # one bit per pixel
    rows = zlib.compress(b"\0" * (1 + 13000 // 8) * 13000, 9)
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
                                        + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    with pytest.raises(ImageError, match="50 million pixels"):
        load_image(tmp_path / "bomb.png")


@pytest.mark.case("empty folder", "the message says what was expected where")
def test_empty_folder(tmp_path, load):
    with pytest.raises(ValueError, match="No images in .*expected .*<class>"):
        load(tmp_path)


@pytest.mark.case("one class", "an error: there is nothing to tell apart")
def test_one_class(photos, load):
    for file in (photos / "dog").iterdir():
        file.unlink()
    (photos / "dog").rmdir()
    with pytest.raises(ValueError, match="cat"):
        load(photos)


@pytest.mark.case("class with one image", "trained on, with a warning that names the class")
def test_class_with_one_image(photos, photo, load):
    (photos / "newt").mkdir()
    photo().save(photos / "newt" / "only.png")
    with pytest.warns(UserWarning, match="newt"):
        train, valid = sides(load(photos))
    assert "newt/only.png" in train and "newt/only.png" not in valid


@pytest.mark.case("class names with HTML, `$`, `<Delete>`, unicode, spaces",
                  "any name is a class; tables escape it, plots draw it as it is")
@pytest.mark.parametrize("name", ["$5", "<b>x</b>", "<Delete>", "a b", "\\frac{", "名前", "\x07"])
def test_class_names_with_html_dollar_unicode_and_spaces(name, photos, load):
    (photos / "cat").rename(photos / name.replace("/", "-"))
    dls = load(photos)
    wrong = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    dataset = ImageDataset(dls.train.dataset.sources[:2], [0, 0], 16)
    interp = ClassificationInterpretation(wrong, torch.tensor([0, 0]),
                                          dataset, dls.vocab)
    interp.plot_confusion_matrix()
    dls.show_batch()
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    assert "<b>" not in interp.most_confused()._repr_html_()


@pytest.mark.case("symlink loop", "not followed; a file counts once")
def test_symlink_loop(photos, load):
    (photos / "cat" / "again").symlink_to(photos, target_is_directory=True)
    train, valid = sides(load(photos))
    assert len(train) + len(valid) == 20


@pytest.mark.case("`.ipynb_checkpoints` beside class folders", "names with a dot are skipped")
def test_ipynb_checkpoints_beside_class_folders(photos, photo, load):
    (photos / ".ipynb_checkpoints").mkdir()
    photo().save(photos / ".ipynb_checkpoints" / "0-checkpoint.png")
    assert load(photos).vocab == ["cat", "dog"]


@pytest.mark.case("same picture in train and valid", "reported, and kept on one side")
def test_same_picture_in_train_and_valid(photos, load):
    for number in range(10):
        original = photos / "cat" / f"{number}.png"
        (photos / "cat" / f"copy of {number}.png").write_bytes(original.read_bytes())
    with pytest.warns(UserWarning, match="10 images are copies"):
        train, valid = sides(load(photos))
    for number in range(10):
        pair = {f"cat/{number}.png", f"cat/copy of {number}.png"}
        assert pair <= train or pair <= valid


@pytest.mark.case("one file added, same seed",
                  "at most one other file of its class changes sides, and only to keep the fraction")
def test_one_file_added(photos, photo, load):
    _, before = sides(load(photos))
    photo().save(photos / "cat" / "new.png")
    _, after = sides(load(photos))
    assert len((before ^ after) - {"cat/new.png"}) <= 1


@pytest.mark.case("fewer images than the batch size",
                  "the error names both numbers and a batch size that works")
def test_fewer_images_than_the_batch_size(photos, load):
    with pytest.raises(ValueError, match=r"training images .* batch of 64.*Try bs=\d"):
        load(photos, bs=64)
