"""Labels, images and flags that people hand over: read right, or refused by name."""
import os

import numpy as np
import pytest
import torch
from PIL import Image

from transfer_lessons.labels import read_flags, read_labels, read_sources, read_vocab

NONE = [float("nan"), np.float32("nan"), None, "", "  ", [], ["cat"], ("cat", "dog"), {"cat"}, {"cat": 1},
        torch.zeros(2), np.array(["cat", "dog"]), 0.5, float("inf"), 1j, object()]


def sources(n: int) -> list[Image.Image]:
    return [Image.new("RGB", (9, 9), (i, 0, 0)) for i in range(n)]


@pytest.mark.case("labels that are none", "an error that names the image and the value")
@pytest.mark.parametrize("value", NONE)
def test_what_is_no_label_is_refused_and_the_image_named(value):
    images = sources(3)
    images[2].info["name"] = "third.png"
    with pytest.raises(ValueError, match=r"third\.png has the label .*no class name"):
        read_labels(images, ["cat", "dog", value])
    with pytest.raises(ValueError, match="vocab must hold class names"):
        read_vocab(["cat", "dog", value])


@pytest.mark.case("labels that are none: pandas.NA, NaT", "an error that names the image and the value")
def test_what_pandas_has_for_missing_is_no_label():
    pandas = pytest.importorskip("pandas")
    for value in (pandas.NA, pandas.NaT):
        with pytest.raises(ValueError, match="no class name"):
            read_labels(sources(3), pandas.Series(["cat", "dog", value]))


@pytest.mark.case("labels that are none: the text nan", "a class, with a warning")
def test_the_text_nan_is_a_class_with_a_warning():
    with pytest.warns(UserWarning, match=r"\['nan'\] become classes"):
        names, vocab = read_labels(sources(3), np.array(["cat", "dog", np.nan]))
    assert vocab == ["cat", "dog", "nan"]


@pytest.mark.case("whole numbers as labels", "10 stays 10; names of classes are text, so saving works")
@pytest.mark.parametrize("labels", [list(range(12)), np.arange(12), torch.arange(12), range(12),
                                    np.arange(12).astype(float), iter(range(12))], ids=type)
def test_whole_numbers_stand_in_the_order_of_numbers(labels):
    names, vocab = read_labels(sources(12), labels)
    assert vocab == [str(i) for i in range(12)] == names
    assert {type(name) for name in vocab} == {str}


@pytest.mark.case("`vocab=[0, 1]`", "works, for numbers and for their text")
def test_a_vocab_of_numbers():
    for labels in ([0, 1, 1], ["0", "1", "1"], np.array([0, 1, 1])):
        assert read_labels(sources(3), labels, [1, 0]) == (["0", "1", "1"], ["1", "0"])


@pytest.mark.case("duplicate vocab", "an error that names the class")
def test_a_class_twice_in_the_vocab_is_named():
    with pytest.raises(ValueError, match=r"once; got \['dog'\] more often"):
        read_vocab(["dog", "cat", "dog"])


def test_text_of_all_kinds_is_a_label():
    labels = [np.str_("cat"), b"dog", True, "broken \udcff"]
    names, vocab = read_labels(sources(4), labels)
    assert names == ["cat", "dog", "True", "broken \\udcff"] and {type(name) for name in names} == {str}


@pytest.mark.case("a missing file, a broken link, a folder", "an error that names the path and what it is")
def test_files_that_are_not_there_are_named(tmp_path):
    link = tmp_path / "link.png"
    link.symlink_to(tmp_path / "gone.png")
    for path, what in ((tmp_path / "gone.png", "is not there"), (tmp_path, "is a folder"),
                       (link, "is a link to .*gone.png, where there is no file")):
        with pytest.raises(ValueError, match=what):
            read_sources("sources", [path])
    for value in (None, 3, np.zeros((9, 9, 3)), [tmp_path]):
        with pytest.raises(ValueError, match="number 1 is"):
            read_sources("sources", [*sources(1), value])


@pytest.mark.case("generators, arrays and paths of all kinds as files", "taken")
def test_files_of_any_kind_are_taken(tmp_path):
    file = tmp_path / "a.png"
    sources(1)[0].save(file)
    for given in ([str(file)], (file for _ in range(1)), np.array([str(file)]), [os.fsencode(file)]):
        assert read_sources("sources", given) == [file]


@pytest.mark.case("flags that are none", "an error that names the image")
@pytest.mark.parametrize("value", ["False", None, float("nan"), 2, "valid"])
def test_flags_are_true_or_false(value):
    with pytest.raises(ValueError, match="is_valid must hold True or False for each image; got "):
        read_flags("is_valid", [True, value], sources(2))
    assert read_flags("is_valid", np.array([True, False]), sources(2)) == [True, False]
