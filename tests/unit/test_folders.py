"""Labels and sides from folders: as torchvision reads classes, and never a test image in training."""
import warnings
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from transfer_lessons.folders import labels_from_folders


def grow(root: Path, *places: str) -> Path:
    """A folder with a file in every place; their names end in numbers."""
    for number, place in enumerate(places):
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / f"{number}.png").write_bytes(str(number).encode())
    return root


def read(root: Path) -> dict[int, tuple[str, bool]]:
    """Label and side of each file that is used, by the number in its name."""
    files, labels, is_valid = labels_from_folders(root)
    flags = is_valid or [False] * len(files)
    return {int(file.stem): (label, flag)
            for file, label, flag in zip(files, labels, flags, strict=True)}


@pytest.mark.case("folders one level too deep: class/year/image", "torchvision's classes")
def test_the_first_folder_is_the_class(tmp_path):
    grow(tmp_path, "cat/2020", "cat/2021/may", "dog/2020", "dog")
    files, labels, is_valid = labels_from_folders(tmp_path)
    theirs = ImageFolder(tmp_path)
    assert is_valid is None and sorted(set(labels)) == theirs.classes == ["cat", "dog"]
    assert sorted(map(str, files)) == sorted(file for file, _ in theirs.samples)


@pytest.mark.case("train, valid and test at any usual depth", "valid kept apart, test left alone")
@pytest.mark.parametrize(("train", "valid", "test"), [
    ("train", "valid", "test"), ("Train", "VAL", "Testing"), ("data/train", "data/val", "data/test"),
    ("a/b/training", "a/b/validation", "a/b/test"), ("seg_train/seg_train", "seg_val/seg_val",
                                                     "seg_test/seg_test"),
    ("train2017", "val2017", "test2017"), ("train_set", "dev_set", "test_set"),
    ("images-train", "images-eval", "images-test")])
def test_sides_are_told_by_the_names_of_folders(tmp_path, train, valid, test):
    grow(tmp_path, f"{train}/cat/cat", f"{train}/dog", f"{valid}/cat", f"{test}/dog/2020")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path) == {0: ("cat", False), 1: ("dog", False), 2: ("cat", True)}


@pytest.mark.case("class/test/image, class folders beside test", "not trained on, with a warning")
def test_folders_for_testing_inside_and_beside_classes(tmp_path):
    grow(tmp_path / "inside", "cat/train", "cat/test", "dog/train", "dog/2020/val")
    with pytest.warns(UserWarning, match="holds .*'test'.* not trained on"):
        assert read(tmp_path / "inside") == {0: ("cat", False), 2: ("dog", False), 3: ("dog", True)}
    grow(tmp_path / "beside", "cat", "dog", "test/cat", "valid/dog")
    assert read(tmp_path / "beside") == {0: ("cat", False), 1: ("dog", False), 3: ("dog", True)}


@pytest.mark.case("whole classes vanishing: an empty class folder, a linked one", "a warning with names")
def test_class_folders_without_images_are_named(tmp_path):
    grow(tmp_path, "cat", "dog")
    (tmp_path / "bird").mkdir()
    (tmp_path / "fish").mkdir()
    (tmp_path / "fish" / "1.heic2").write_bytes(b"")
    (tmp_path / "goat").symlink_to(tmp_path / "cat")
    with pytest.warns(UserWarning, match="become no classes: 'bird', 'fish', 'goat'"):
        assert len(read(tmp_path)) == 2


@pytest.mark.case("images beside class folders", "a warning with names")
def test_images_in_no_class_folder_are_named(tmp_path):
    grow(tmp_path, ".", "cat", "dog")
    with pytest.warns(UserWarning, match="1 images in .* in no class folder and are left out: '0.png'"):
        assert sorted(read(tmp_path)) == [1, 2]


@pytest.mark.case("folders beside train and valid", "left alone, with a warning that names them")
def test_folders_beside_train_are_named(tmp_path):
    grow(tmp_path, "train/cat", "train/dog", "extra/cat")
    with pytest.warns(UserWarning, match="left alone: 'extra'"):
        assert sorted(read(tmp_path)) == [0, 1]


def test_a_class_may_be_called_toy_train(tmp_path):
    grow(tmp_path, "toy_train/red", "test tube/large", "cat")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {label for label, _ in read(tmp_path).values()} == {"cat", "test tube", "toy_train"}


@pytest.mark.parametrize("places", [["test/cat", "test/dog"], ["valid/cat", "valid/dog"],
                                    ["train", "valid"]])
def test_nothing_to_train_on_is_an_error(tmp_path, places):
    with pytest.raises(ValueError, match="No images |No class folders"):
        labels_from_folders(grow(tmp_path, *places))
