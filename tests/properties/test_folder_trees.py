"""Any tree of folders and any arguments of a maker of loaders: it works, or says what is wrong."""
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ours import ours
from PIL import Image
from torchvision.datasets import ImageFolder

from transfer_lessons.data import augment_batch, square
from transfer_lessons.folders import labels_from_folders
from transfer_lessons.loaders import ImageDataLoaders

pytestmark = pytest.mark.filterwarnings("ignore")
HELD = {"valid", "val", "Validation", "test", "Test"}
classes = st.sampled_from(["cat", "dog", "Zebra", "10", "2", "toy_train", "test tube", "ñ"])
splits = st.sampled_from(["train", "valid", "val", "test", "Test", "seg_train", "seg_test", "data"])


def trees(names, depth: int):
    """Folders that hold an image each, as tuples of names."""
    folders = st.lists(names, min_size=0, max_size=depth).map(tuple)
    return st.lists(folders, min_size=1, max_size=12, unique=True)


def grow(tree: list[tuple[str, ...]]) -> Path:
    """A folder with two different files in each place of a tree; loaders do not decode them."""
    root = Path(tempfile.mkdtemp())
    for number, parts in enumerate(tree):
        place = root.joinpath(*parts)
        place.mkdir(parents=True, exist_ok=True)
        for copy in range(2):
            (place / f"{number}_{copy}.png").write_bytes(f"{number} {copy}".encode())
    return root


@given(tree=trees(classes, 3))
def test_a_plain_tree_of_classes_is_read_as_torchvision_reads_it(tree):
    root = grow([parts for parts in tree if parts] or [("cat",)])
    try:
        files, labels, is_valid = labels_from_folders(root)
        theirs = ImageFolder(root)
        assert is_valid is None and sorted(set(labels)) == theirs.classes
        assert {(str(file), label) for file, label in zip(files, labels, strict=True)} == {
            (file, theirs.classes[target]) for file, target in theirs.samples}
    finally:
        shutil.rmtree(root)


@given(tree=trees(st.one_of(classes, splits), 4))
def test_images_for_validation_or_testing_are_never_trained_on_in_silence(tree):
    root = grow(tree)
    try:
        with ours(), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            dls = ImageDataLoaders.from_folder(root, size=8, bs=1, device="cpu")
            trained = [file.relative_to(root).parts[:-1] for file in dls.train.dataset.sources]
            assert said or not any(HELD & set(parts) for parts in trained)
            for part in (dls.train.dataset, dls.valid.dataset):
                assert all(dls.vocab[target] in file.parts for file, target
                           in zip(part.sources, part.targets, strict=True))
    finally:
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> tuple[Path, list[Path], list[str]]:
    """A folder of two classes, its files and their labels."""
    root = tmp_path_factory.mktemp("images")
    for number in range(12):
        file = root / ("cat", "dog")[number % 2] / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), (20 * number, 0, 0)).save(file)
    files = sorted(root.glob("*/*.png"))
    return root, files, [file.parent.name for file in files]


anything = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 300), st.integers(), st.floats(), st.text(max_size=6),
    st.binary(max_size=3), st.sampled_from([np.int64(2), np.float32(0.5), np.array([1, 0] * 6),
                                            np.array(3), torch.tensor(0.25), torch.zeros(12), object,
                                            np.bool_(True), Path("nowhere"), "cpu", "cuda", "gpu"]),
    st.lists(st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.floats(),
                       st.sampled_from(["cat", "dog", "", np.str_("cat")])), max_size=13),
    st.dictionaries(st.sampled_from(["rotate", "zoom", "flip", "lighting", "size", "sheer"]),
                    st.one_of(st.none(), st.booleans(), st.integers(-2, 9), st.floats()), max_size=3))
options = st.dictionaries(
    st.sampled_from(["size", "bs", "valid_pct", "seed", "augment", "presize", "num_workers", "device",
                     "vocab", "is_valid", "near_copies", "batch_size"]), anything, max_size=3)


@given(options=options)
def test_options_of_loaders_work_or_are_refused_by_name(images, options):
    root, files, labels = images
    with ours():
        ImageDataLoaders.from_folder(root, **{"bs": 2, "size": 8, "device": "cpu", **options})
    with ours():
        ImageDataLoaders(files, labels, **{"bs": 2, "size": 8, "device": "cpu",
                                           **{key: value for key, value in options.items()
                                              if key != "batch_size"}})


@given(first=anything, second=anything, third=anything)
def test_what_the_constructors_are_given_works_or_is_refused_by_name(images, first, second, third):
    root, files, labels = images
    fixed = {"bs": 2, "size": 8, "device": "cpu"}
    table = {"file": files, "label": labels, "flag": [True, False] * 6}
    for call in (lambda: ImageDataLoaders.from_files(first, second, **fixed),
                 lambda: ImageDataLoaders.from_files(files, second, **fixed),
                 lambda: ImageDataLoaders.from_files(first, labels, **fixed),
                 lambda: ImageDataLoaders.from_folder(first, **fixed),
                 lambda: ImageDataLoaders.from_name_re(root, first, second, **fixed),
                 lambda: ImageDataLoaders.from_name_re(root, None, third, **fixed),
                 lambda: ImageDataLoaders.from_df(first, second, **fixed),
                 lambda: ImageDataLoaders.from_df(table, root, first, second, third, **fixed),
                 lambda: ImageDataLoaders.from_df(table, root, label_col=second, **fixed),
                 lambda: ImageDataLoaders.from_df(table, root, valid_col=third, **fixed)):
        with ours():
            call()


@pytest.fixture(scope="module")
def dls(images) -> ImageDataLoaders:
    return ImageDataLoaders(images[1], images[2], bs=2, size=8, device="cpu")


@given(files=anything, labels=anything)
def test_a_test_set_works_or_is_refused_by_name(images, dls, files, labels):
    for call in (lambda: dls.test_dl(files, labels), lambda: dls.test_dl(images[1], labels),
                 lambda: dls.test_dl(images[0], labels), lambda: dls.valid.in_order(labels),
                 lambda: dls.show_batch(files, labels, 1) if files is None else None):
        with ours():
            call()


small = st.one_of(st.none(), st.booleans(), st.integers(-3, 40), st.floats(), st.text(max_size=3),
                  st.sampled_from([np.int64(2), np.float32(0.5), torch.tensor(1.5), torch.Generator()]))


@given(values=st.dictionaries(st.sampled_from(["generator", "size", "rotate", "zoom", "flip",
                                               "lighting"]), small, max_size=3), where=small)
def test_arguments_of_augmenting_and_cropping_work_or_are_refused_by_name(values, where):
    with ours():
        views = augment_batch(torch.rand(2, 3, 8, 8), **values)
        assert views.min() >= 0 and views.max() <= 1
    for x in (where, torch.rand(3, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)):
        with ours():
            augment_batch(x)
    for size in (8, where):
        with ours():
            square(Image.new("RGB", (9, 5)), size, where)
