"""The cleaner: what is chosen is in the file at once, whatever is looked at next."""
import io

import ipywidgets
import pytest
import torch
from PIL import Image

from transfer_lessons.cleaner import ImageCleaner
from transfer_lessons.data import ImageDataset
from transfer_lessons.interpretation import ClassificationInterpretation
from transfer_lessons.marks import Marks, read_marks

VOCAB = ["remove", "<b>$x$</b>", "bird"]


@pytest.fixture
def interp() -> ClassificationInterpretation:
    """26 images; the loss falls from the first to the last."""
    images = [Image.new("RGB", (24, 24), (9 * i, 90, 0)) for i in range(26)]
    targets = torch.tensor([i % 3 for i in range(26)])
    return ClassificationInterpretation(torch.randn(26, 3), targets, ImageDataset(images, targets.tolist(), 16),
                                        VOCAB, torch.arange(26, 0, -1.0))


@pytest.fixture
def marks(tmp_path) -> Marks:
    return Marks(tmp_path / "marks.json")


def test_pages_go_through_the_images_largest_loss_first(interp, marks):
    cleaner = ImageCleaner(interp, marks.file)
    assert cleaner.on_page == [0, 1, 2, 3, 4] and "Page 1 of 6" in cleaner.sentence
    cleaner.controls["page"].value = 6
    assert cleaner.on_page == [25]
    assert [menu.layout.visibility for menu in cleaner.menus] == ["visible"] + ["hidden"] * 4
    cleaner.controls["target"].value = 2
    assert cleaner.on_page == [2, 5, 8, 11, 14] and cleaner.controls["page"].value == 1
    assert cleaner.controls["page"].max == 2
    assert not marks.file.exists(), "looking marks nothing"


@pytest.mark.case("the cleaner: another class is looked at", "marks are in their file at once, and shown again")
def test_marks_survive_another_class_another_page_and_a_restart(interp, marks):
    cleaner = ImageCleaner(interp, marks.file)
    sources = interp.dataset.sources
    cleaner.menus[0].value = -1
    cleaner.menus[3].value = 0
    assert marks.get(sources[0]).action == "remove" and marks.get(sources[3]).label == "remove"
    cleaner.controls["target"].value = 1
    assert [menu.value for menu in cleaner.menus] == [-2] * 5
    cleaner.menus[0].value = 2
    cleaner.controls["page"].value = 2
    cleaner.controls["target"].value = -1
    assert [menu.value for menu in cleaner.menus] == [-1, 2, -2, 0, -2]
    again = ImageCleaner(interp, str(marks.file))
    assert [menu.value for menu in again.menus] == [-1, 2, -2, 0, -2]
    assert "3 of them marked" in again.sentence
    again.menus[0].value = -2
    assert marks.get(sources[0]) is None and len(read_marks(marks.file)) == 2


def test_marks_of_somebody_else_show_when_the_page_is_drawn(interp, marks):
    cleaner = ImageCleaner(interp, marks.file)
    marks.relabel(interp.dataset.sources[2], "a class of somebody else")
    cleaner.redraw()
    assert cleaner.menus[2].label == "is: a class of some…" and "1 of them" in cleaner.sentence
    assert len(read_marks(marks.file)) == 1, "showing a mark writes none"


@pytest.mark.case("the cleaner: the mark cannot be written", "it says so, and the menu shows what the file has")
def test_a_mark_that_cannot_be_written_is_said(interp, marks):
    cleaner = ImageCleaner(interp, marks.file)
    cleaner.menus[1].value = 2
    good = marks.file.read_bytes()
    marks.file.write_bytes(good[:30])
    cleaner.menus[0].value = -1
    assert "The mark was not saved" in cleaner.description.value and "damaged" in cleaner.sentence
    assert marks.file.read_bytes() == good[:30]
    marks.file.write_bytes(good)
    cleaner.menus[0].value = -1
    assert "not saved" not in cleaner.sentence and len(read_marks(marks.file)) == 2


def test_values_are_numbers_names_are_escaped_and_a_page_has_a_picture(interp, marks):
    cleaner = ImageCleaner(interp, marks.file)
    for control in (*cleaner.controls.values(), *cleaner.menus):
        assert isinstance(control.value, int)
    assert all(menu in cleaner.box.children[-2].children for menu in cleaner.menus)
    assert isinstance(cleaner.box.children[-1], ipywidgets.HTML)
    data, metadata = cleaner._repr_mimebundle_()
    assert "image/png" in data and metadata["image/png"]["alt"] == cleaner.sentence
    before = Image.open(io.BytesIO(cleaner.image.value)).convert("L").tobytes()
    cleaner.menus[0].value = 2
    assert Image.open(io.BytesIO(cleaner.image.value)).convert("L").tobytes() != before


def test_it_says_what_it_needs(interp, marks, tmp_path):
    with pytest.raises(ValueError, match="interp must be of type"):
        ImageCleaner(None, marks.file)
    with pytest.raises(ValueError, match="file must be a path"):
        ImageCleaner(interp, 3)
    bare = ClassificationInterpretation(torch.eye(3), torch.arange(3), range(3), VOCAB)
    with pytest.raises(ValueError, match="interp.dataset must be of type ImageDataset"):
        ImageCleaner(bare, marks.file)
    marks.file.write_text("no marks")
    with pytest.raises(ValueError, match="is damaged"):
        ImageCleaner(interp, marks.file)
