"""Makers of loaders: labels follow their images, arguments are checked, test sets go by class name."""
import random
import re

import numpy as np
import pytest
import torch
from PIL import Image

from transfer_lessons.data import ImageDataset, ImageLoader
from transfer_lessons.loaders import ImageDataLoaders

OPTIONS = {"size": 16, "bs": 2, "augment": False, "device": "cpu"}


class Column:
    """As a pandas Series: looped over by position, while [i] is by the row's own number."""
    def __init__(self, rows):
        self.rows = dict(rows)

    def __iter__(self):
        return iter(self.rows.values())

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        return self.rows[row]


class Frame:
    """As a pandas DataFrame: columns by name, rows with numbers of their own."""
    def __init__(self, rows: list[int], **columns):
        self.columns = list(columns)
        self.parts = {name: Column((row, values[row]) for row in rows)
                      for name, values in columns.items()}

    def __getitem__(self, name):
        return self.parts[name]


@pytest.fixture
def files(tmp_path):
    """Twelve images, six of each class."""
    files = [tmp_path / label / f"{number}.png" for label in ("cat", "dog") for number in range(6)]
    for number, file in enumerate(files):
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), (20 * number, 0, 0)).save(file)
    return files


@pytest.fixture
def dls(files):
    return ImageDataLoaders.from_files(files, [file.parent.name for file in files], **OPTIONS)


def wrong_labels(dls) -> int:
    return sum(file.parent.name != dls.vocab[target] for side in (dls.train, dls.valid)
               for file, target in zip(side.dataset.sources, side.dataset.targets, strict=True))


def shuffled(files, n: int = 12) -> Frame:
    rows = random.Random(1).sample(range(12), n)
    return Frame(rows, file=files, label=[file.parent.name for file in files],
                 held=[number % 3 == 0 for number in range(12)])


@pytest.mark.case("labels follow their images", "columns of a shuffled or filtered table keep their rows")
@pytest.mark.parametrize("n", [12, 9])
def test_labels_of_a_shuffled_or_filtered_table_stay_with_their_files(files, n):
    table = shuffled(files, n)
    for dls in (ImageDataLoaders.from_files(table["file"], table["label"], **OPTIONS),
                ImageDataLoaders.from_files(table["file"], table["label"], is_valid=table["held"],
                                            **OPTIONS),
                ImageDataLoaders.from_df(table, **OPTIONS),
                ImageDataLoaders.from_df(table, fn_col="file", label_col=-2, valid_col="held",
                                         **OPTIONS)):
        assert wrong_labels(dls) == 0
        assert len(dls.train.dataset) + len(dls.valid.dataset) == n


@pytest.mark.case("`ImageDataLoaders.from_df` with a pandas DataFrame", "labels and sides follow their rows")
def test_a_real_dataframe(files):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"file": files, "label": [file.parent.name for file in files]})
    assert wrong_labels(ImageDataLoaders.from_df(table.sample(frac=1, random_state=1), **OPTIONS)) == 0


@pytest.mark.case("`from_df(valid_col=)`", "the column is the split")
def test_a_column_is_the_split(files, tmp_path):
    table = {"name": [file.stem
                      for file in files[:6]], "label": [0, 1] * 3, "held": np.arange(6) % 2 == 0}
    dls = ImageDataLoaders.from_df(table, tmp_path, valid_col="held", folder="cat", suff=".png", **OPTIONS)
    assert dls.valid.dataset.sources == files[0:6:2] and dls.vocab == ["0", "1"]


@pytest.mark.case("`from_df` with a column that is missing, or holds no file names", "an error that says so")
def test_columns_that_do_not_fit_are_named(files):
    table = {"file": files, "label": ["a", "b"] * 6}
    with pytest.raises(ValueError, match=r"label_col must be .* one of \['file', 'label'\]; got 'class'"):
        ImageDataLoaders.from_df(table, label_col="class")
    with pytest.raises(ValueError, match="fn_col must hold file names; row 1 has nan"):
        ImageDataLoaders.from_df({"file": [files[0], float("nan")], "label": ["a", "b"]})
    with pytest.raises(ValueError, match="df must be a table with columns"):
        ImageDataLoaders.from_df(files)


@pytest.mark.case("arguments of the loaders", "argument, value and fix; or taken")
@pytest.mark.parametrize(("options", "message"), [
    ({"seed": None}, "seed must be a whole number, at least 0; got None. Try seed=42"),
    ({"presize": 0}, "presize must be a number from 1 to 8; got 0. Try presize=1.25"),
    ({"num_workers": -1}, "num_workers must be a whole number, at least 0; got -1"),
    ({"device": "gpu"}, "device must be "),
    ({"vocab": ["cat", "dog", "cat"]}, "vocab must hold each class once; got ['cat']"),
    ({"vocab": "cat dog"}, "vocab must be a list"), ({"near_copies": 1}, "near_copies must be True"),
    ({"is_valid": "all"}, "is_valid must be a list"), ({"batch_size": 8}, "has no option 'batch_size'"),
])
def test_an_argument_is_refused_by_name(files, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ImageDataLoaders.from_folder(files[0].parents[1], **{**OPTIONS, **options})


@pytest.mark.case("generators, arrays and NumPy's whole numbers as arguments", "taken")
def test_numbers_and_lists_of_any_kind_are_taken(files):
    dls = ImageDataLoaders.from_files(
        (file for file in files), np.array([file.parent.name for file in files]), size=np.int64(16),
        bs=np.int32(2), seed=np.int64(3), valid_pct=np.float32(0.25), presize=torch.tensor(1.5),
        num_workers=np.int8(0), augment=np.bool_(True), vocab=np.array(["dog", "cat"]), device="cpu")
    assert wrong_labels(dls) == 0 and dls.vocab == ["dog", "cat"]
    assert {type(value) for value in (dls.size, dls.bs, dls.seed)} == {int}
    assert dls.train.dataset.size == 24


@pytest.mark.case("another vocabulary: a labelled test set with a class missing", "scored by class name")
def test_a_test_set_is_numbered_by_class_name(files, dls):
    dogs = files[6:]
    assert dls.test_dl(dogs, ["dog"] * 6).dataset.targets == [1] * 6
    with pytest.raises(ValueError, match=r"0\.png has the label 'bird', which is none of the 2 classes"):
        dls.test_dl(dogs, ["bird"] * 6)
    assert dls.test_dl(dogs).dataset.targets == [-1] * 6
    assert dls.test_dl(files[0].parent).dataset.sources == files[:6]
    assert torch.cat([yb for _, yb in dls.test_dl(iter(dogs))]).tolist() == [-1] * 6


@pytest.mark.case("another vocabulary: loaders with other classes", "numbered anew by name, or refused")
def test_targets_are_numbered_by_the_names_asked_for(dls):
    ordered = dls.valid.in_order(["bird", "dog", "cat"])
    assert ordered.dataset.targets == [2 - target for target in dls.valid.dataset.targets]
    with pytest.raises(ValueError, match="none of the 2 classes"):
        dls.valid.in_order(["bird", "dog"])


@pytest.mark.case("predictions on the training set: the loader", "all images, in order, unaugmented")
def test_a_loader_in_order_has_every_image_as_it_is_and_draws_nothing(files):
    labels = [file.parent.name for file in files]
    dls = ImageDataLoaders.from_files(files, labels, size=16, bs=4, device="cpu")
    plain = ImageDataLoaders.from_files(files, labels, size=16, bs=4, augment=False, device="cpu")
    before = dls.train.generator.get_state(), torch.get_rng_state()
    xb, yb = (torch.cat(parts) for parts in zip(*dls.train.in_order(), strict=True))
    assert torch.equal(before[0], dls.train.generator.get_state())
    assert torch.equal(before[1], torch.get_rng_state())
    assert yb.tolist() == dls.train.dataset.targets and len(xb) == len(dls.train.dataset)
    images = ImageDataset(plain.train.dataset.sources, plain.train.dataset.targets, 16)
    assert torch.equal(xb, torch.cat([xb for xb, _ in ImageLoader(images, 5, "cpu")]))


@pytest.mark.case("near-copies", "on one side of the split where asked, and reported")
def test_near_copies_stay_on_one_side_where_asked():
    pytest.importorskip("imagehash")
    images, labels = [], []
    for number in range(30):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
        images += [image, image.point(lambda level: min(255, level + 3))]
        labels += ["even" if number % 2 else "odd"] * 2
    sides = {}
    for near_copies in (False, True):
        if near_copies:
            with pytest.warns(UserWarning, match="30 images look nearly like earlier ones"):
                dls = ImageDataLoaders(images, labels, near_copies=True, **OPTIONS)
        else:
            dls = ImageDataLoaders(images, labels, **OPTIONS)
        held = {id(image) for image in dls.valid.dataset.sources}
        sides[near_copies] = sum((id(a) in held) != (id(b) in held)
                                 for a, b in zip(images[::2], images[1::2], strict=True))
        assert len(held) == 12
    assert sides[True] == 0 < sides[False]
