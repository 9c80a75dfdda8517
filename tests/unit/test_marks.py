"""Marks on images: kept by content, by every process, and honoured by the loaders."""
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ours import ours
from PIL import Image

from transfer_lessons.copies import content_digest
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.marks import FORMAT, Mark, Marks, read_marks

OPTIONS = {"size": 8, "bs": 4, "augment": False, "device": "cpu", "max_memory": 0}


def image(number: int) -> Image.Image:
    return Image.new("RGB", (12, 9), (number * 5 % 256, number // 51, 80))


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Thirty files in the folders a, b and c."""
    found = []
    for number in range(30):
        file = tmp_path / "photos" / "abc"[number % 3] / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image(number).save(file)
        found.append(file)
    return found


@pytest.fixture
def marks(tmp_path) -> Marks:
    return Marks(tmp_path / "marks.json")


def names_by_content(dls: ImageDataLoaders, side: str) -> dict[bytes, str]:
    data = getattr(dls, side).dataset
    return {content_digest(source): dls.vocab[target]
            for source, target in zip(data.sources, data.targets, strict=True)}


@pytest.mark.case("marks on images: a restart", "they are in a file, by content, and found again")
def test_marks_survive_a_restart_and_a_move(marks, files, tmp_path):
    marks.relabel(files[0], "b")
    marks.remove(files[1])
    moved = files[0].rename(tmp_path / "another name.png")
    code = ("from transfer_lessons.marks import Marks; import sys; "
            "m = Marks(sys.argv[1]); print(m.get(sys.argv[2]).label, m.get(sys.argv[3]).action, len(m.table()))")
    done = subprocess.run([sys.executable, "-c", code, marks.file, moved, files[1]], text=True,
                          capture_output=True, check=True)
    assert done.stdout.split() == ["b", "remove", "2"]


def test_a_later_mark_replaces_an_earlier_one_and_clear_takes_it_back(marks, files):
    marks.remove(files[0])
    marks.relabel(files[0], "c")
    assert marks.get(files[0]) == Mark("relabel", "c", "00.png") and len(marks.table()) == 1
    marks.clear(files[0])
    marks.clear(files[5])
    assert marks.get(files[0]) is None and marks.table() == []


@pytest.mark.case("marks on images: two processes", "each writes under a lock, and none is lost")
def test_two_processes_lose_no_mark(marks, tmp_path):
    code = ("from transfer_lessons.marks import Marks; from PIL import Image; import sys\n"
            "m = Marks(sys.argv[1])\n"
            "for i in range(25): m.remove(Image.new('RGB', (4, 4), (i, int(sys.argv[2]), 0)))")
    running = [subprocess.Popen([sys.executable, "-c", code, marks.file, str(which)]) for which in (1, 2)]
    assert [process.wait(120) for process in running] == [0, 0]
    assert len(read_marks(marks.file)) == 50
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".part") == []


@pytest.mark.parametrize("given", [False, True], ids=["split by content", "split given"])
def test_loaders_relabel_and_remove_and_move_no_other_image(marks, files, given):
    labels = [file.parent.name for file in files]
    options = {**OPTIONS, "is_valid": [i % 4 == 0 for i in range(30)] if given else None}
    before = ImageDataLoaders.from_files(files, labels, **options)
    gone, other = before.train.dataset.sources[:2]
    held = before.valid.dataset.sources[0]
    marks.remove(gone)
    for file in (other, held):
        marks.relabel(file, "c" if file.parent.name != "c" else "a")
    after = ImageDataLoaders.from_files(files, labels, **options, marks=marks.file)
    for side in ("train", "valid"):
        expected = names_by_content(before, side)
        expected.pop(content_digest(gone), None)
        for file in (other, held):
            if content_digest(file) in expected:
                expected[content_digest(file)] = marks.get(file).label
        assert names_by_content(after, side) == expected, side
    assert after.vocab == ["a", "b", "c"]


def test_marks_hold_for_folders_that_were_renamed_and_classes_that_were_added(marks, files, tmp_path):
    marks.relabel(files[0], "b")
    marks.remove(files[1])
    folder = tmp_path / "photos"
    (folder / "a").rename(folder / "first")
    for number in range(100, 108):
        (folder / "d").mkdir(exist_ok=True)
        image(number).save(folder / "d" / f"{number}.png")
    dls = ImageDataLoaders.from_folder(folder, **OPTIONS, marks=str(marks.file))
    assert dls.vocab == ["b", "c", "d", "first"]
    found = {**names_by_content(dls, "train"), **names_by_content(dls, "valid")}
    assert len(found) == 37 and found[content_digest(image_of(folder, "00.png"))] == "b"
    assert content_digest(files[1]) not in found


def image_of(folder: Path, name: str) -> Path:
    return next(folder.rglob(name))


@pytest.mark.case("marks on images: a class was renamed", "a warning, or an error where vocab is given; rename follows")
def test_a_mark_with_a_class_that_is_gone(marks, files):
    labels = [{"a": "first"}.get(file.parent.name, file.parent.name) for file in files]
    marks.relabel(files[1], "a")
    with pytest.warns(UserWarning, match=r"name classes that no image has by itself: \['a'\]"):
        ImageDataLoaders.from_files(files, labels, **OPTIONS, marks=marks.file)
    with pytest.raises(ValueError, match="01.png is marked as 'a' .* none of the classes"):
        ImageDataLoaders.from_files(files, labels, vocab=["b", "c", "first"], **OPTIONS, marks=marks.file)
    marks.rename("a", "first")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dls = ImageDataLoaders.from_files(files, labels, **OPTIONS, marks=marks.file)
    assert dls.vocab == ["b", "c", "first"]


def test_numbers_as_classes_stay_in_the_order_of_numbers(marks, files):
    labels = [9 + i % 3 for i in range(30)]
    marks.relabel(files[0], 11)
    dls = ImageDataLoaders.from_files(files, labels, **OPTIONS, marks=marks.file)
    assert dls.vocab == ["9", "10", "11"]
    found = {**names_by_content(dls, "train"), **names_by_content(dls, "valid")}
    assert found[content_digest(files[0])] == "11"


def test_copies_share_a_mark_and_a_class_without_images_goes(marks, files):
    files[3].write_bytes(files[0].read_bytes())
    for file in files:
        if file.parent.name == "c":
            marks.remove(file)
    marks.remove(files[0])
    with pytest.warns(UserWarning, match="copies"):
        dls = ImageDataLoaders.from_folder(files[0].parents[1], **OPTIONS, marks=marks.file)
    assert dls.vocab == ["a", "b"]
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 18


def test_marks_that_cannot_be_meant_get_a_warning_or_an_error(marks, files):
    labels = [file.parent.name for file in files]
    with pytest.warns(UserWarning, match="There is no file .*marks.json yet"):
        ImageDataLoaders.from_files(files, labels, **OPTIONS, marks=marks.file)
    marks.remove(image(200))
    with pytest.warns(UserWarning, match="None of the 1 marks .* saved anew"):
        ImageDataLoaders.from_files(files, labels, **OPTIONS, marks=marks.file)
    for file in files:
        marks.remove(file)
    with pytest.raises(ValueError, match="All 30 images are marked to be removed"):
        ImageDataLoaders.from_files(files, labels, **OPTIONS, marks=marks.file)


KEY = "0" * 64


@pytest.mark.case("marks on images: the file is damaged", "refused with its reason, and left as it is")
@pytest.mark.parametrize("data", [
    b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"3", b'{"format": "another"}', b"\x80\x04K\x01.",
    json.dumps({"format": FORMAT}).encode(), json.dumps({"format": FORMAT, "marks": []}).encode(),
    *(json.dumps({"format": FORMAT, "marks": entry}).encode() for entry in [
        {"short": {"action": "remove"}}, {KEY: "remove"}, {KEY: {"action": "delete"}}, {KEY: {}},
        {KEY: {"action": "relabel"}}, {KEY: {"action": "relabel", "label": 3}},
        {KEY: {"action": "relabel", "label": " "}}, {KEY: {"action": ["remove"]}}])], ids=lambda d: ascii(d)[:60])
def test_a_damaged_file_is_refused_and_left_as_it_is(marks, files, data):
    marks.file.write_bytes(data)
    for use in (lambda: marks.get(files[0]), lambda: marks.remove(files[0]), marks.table,
                lambda: ImageDataLoaders.from_folder(files[0].parents[1], **OPTIONS, marks=marks.file)):
        with pytest.raises(ValueError, match="is damaged, or no file of marks"):
            use()
    assert marks.file.read_bytes() == data


@pytest.mark.parametrize("label", [None, "", " ", 2.5, ["a"], object])
def test_labels_are_class_names(marks, files, label):
    with pytest.raises(ValueError, match="label must be a class name"):
        marks.relabel(files[0], label)
    assert not marks.file.exists()


def test_arguments_are_checked(files):
    with pytest.raises(ValueError, match="file must be a path"):
        Marks("")
    with pytest.raises(ValueError, match="marks must be a path"):
        ImageDataLoaders.from_folder(files[0].parents[1], **OPTIONS, marks=3)


@settings(deadline=None, max_examples=60)
@given(name=st.text(st.characters(codec=None), max_size=12))
def test_class_names_come_back_as_loaders_read_them(name, tmp_path_factory):
    marks = Marks(tmp_path_factory.mktemp("m") / "marks.json")
    with ours():
        marks.relabel(image(1), name)
        label = marks.get(image(1)).label
        sources = [image(i) for i in range(12)]
        dls = ImageDataLoaders.from_files(sources, [name if i % 2 else "other" for i in range(12)], **OPTIONS)
        assert label in dls.vocab


def test_a_folder_that_cannot_be_written_is_said(files, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="is a file, not a folder.*Choose another folder"):
        Marks(tmp_path / "file" / "marks.json").remove(files[0])
