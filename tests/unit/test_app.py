"""The app without a browser: one sentence for every upload, and a picture that follows it."""
import io
from datetime import datetime, timezone

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from transfer_lessons.app import MAX_BYTES, PredictApp, answer, read_upload
from transfer_lessons.data import square
from transfer_lessons.image_files import load_image
from transfer_lessons.predictor import Prediction
from transfer_lessons.predictor import Predictor as RealPredictor

NASTY = "<img src=x onerror='hacked = 1'> $x$"


class Predictor(RealPredictor):
    """Stands in for a model in a file: the whiter the image, the surer it is of "white"."""

    def __init__(self, threshold: float = 0.5, title: str = "White or not"):
        info = {"title": title, "size": 16, "vocab": [NASTY, "white"], "threshold": threshold, "activation": "softmax"}
        super().__init__(nn.Identity(), info, torch.device("cpu"))
        self.asked = []

    def predict(self, image):
        self.asked.append(image)
        level = float(np.asarray(load_image(image)).mean()) / 255
        found = sorted(zip(self.vocab, (1 - level, level), strict=True), key=lambda pair: -pair[1])
        return Prediction(*found[0], dict(found))


def png(level: int = 255, size: tuple[int, int] = (40, 20)) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, level).save(file, "PNG")
    return file.getvalue()


def test_an_image_is_answered_with_its_class_and_confidence(tmp_path):
    said = answer(Predictor(), png(204), "cat.png")
    assert said.sentence == "cat.png: white (80 %)."
    assert said.prediction.label == "white"
    file = tmp_path / "cat.png"
    file.write_bytes(png(204))
    assert answer(Predictor(), file).sentence == said.sentence
    assert answer(Predictor(), str(file), "mine").sentence.startswith("mine: white")


def test_what_is_shown_is_the_square_of_the_learner():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 90, 3), np.uint8))
    seen = answer(Predictor(), image).seen
    assert seen.tobytes() == square(image, 16).tobytes()


@pytest.mark.parametrize("level, threshold, is_sure", [(140, 0.5, True), (140, 0.6, False), (128, 0.5, True), (0, 0.6, True)])
def test_below_the_threshold_of_the_file_it_is_not_sure(level, threshold, is_sure):
    said = answer(Predictor(threshold), png(level), "cat.png")
    assert ("not sure" in said.sentence) is not is_sure
    assert said.prediction is not None, "the confidences are shown all the same"


@pytest.mark.case("app: a file of more than 20 MB", "refused with a sentence, before anything is decoded")
def test_a_file_that_is_too_large_is_never_decoded(tmp_path):
    predictor = Predictor()
    large = png() + bytes(MAX_BYTES)
    file = tmp_path / "large.png"
    file.write_bytes(large)
    for source in (large, bytearray(large), file, str(file)):
        said = answer(predictor, source, "large.png")
        assert said.sentence == "large.png: the file has 20.0 MB, and 20 is the most that is taken. Save a smaller copy."
        assert said.prediction is None and said.seen is None
    assert predictor.asked == []
    assert answer(predictor, large[:MAX_BYTES], "large.png").prediction is not None


@pytest.mark.case("app: an upload that is no image", "refused with a sentence")
@pytest.mark.parametrize("content, reason", ids=range(6), argvalues=[
    (b"", "the file is empty"), (b"Dear all", "not an image"), (b"<!doctype html>", "a web page"),
    (png()[:50], "damaged"), (b"%PDF-1.4", "not an image"), (b"\x80\x04\x95", "not an image")])
def test_what_is_no_image_is_refused_with_a_sentence(content, reason):
    predictor = Predictor()
    said = answer(predictor, content, "cat.png")
    assert said.sentence.startswith("cat.png: ") and reason in said.sentence and said.sentence.endswith(".")
    assert "Traceback" not in said.sentence and said.prediction is None
    assert predictor.asked == []


def test_a_path_that_is_not_there_is_a_sentence(tmp_path):
    assert "cannot be read" in answer(Predictor(), tmp_path / "gone.png").sentence


@pytest.mark.parametrize("wrong", [None, "model.safetensors", 3, Predictor])
def test_the_app_says_what_it_wants(wrong):
    for call in (lambda: answer(wrong, png()), lambda: PredictApp(wrong)):
        with pytest.raises(ValueError, match=r"predictor must be of type Predictor.*Try predictor=load_predictor"):
            call()
    with pytest.raises(ValueError, match="n_classes must be a whole number"):
        PredictApp(Predictor(), n_classes=0)


# In a notebook

def upload(app: PredictApp, name: str, content: bytes) -> None:
    """What ipywidgets does when somebody has chosen a file."""
    button = app.controls["upload"]
    if isinstance(button.value, dict):  # ipywidgets 7
        button.set_trait("value", {name: {"metadata": {"name": name}, "content": content}})
    else:
        button.value = ({"name": name, "type": "", "size": len(content), "content": memoryview(content),
                         "last_modified": datetime.now(timezone.utc)},)


def test_uploads_of_both_versions_of_ipywidgets_are_read():
    assert read_upload({"a.png": {"metadata": {}, "content": b"12"}}) == ("a.png", b"12")
    assert read_upload(({"name": "a.png", "content": memoryview(b"12")},)) == ("a.png", b"12")
    assert read_upload(()) is None and read_upload({}) is None


def test_an_upload_changes_sentence_and_picture():
    app = PredictApp(Predictor())
    empty = bytes(app.image.value)
    assert app.sentence == "Upload an image, and see what the model says of it."
    upload(app, "cat.png", png(204))
    assert app.sentence == "cat.png: white (80 %)."
    shown = bytes(app.image.value)
    assert shown != empty
    upload(app, "notes.txt", b"Dear all")
    assert app.sentence.startswith("notes.txt: not an image") and bytes(app.image.value) == empty
    upload(app, "again.png", png(204))
    assert bytes(app.image.value) == shown, "drawn over the last"


def test_names_of_classes_and_files_are_escaped():
    app = PredictApp(Predictor())
    upload(app, "<b>.png", png(0))
    assert "<img src=x" in app.sentence
    assert "<b>" not in app.description.value and "<img" not in app.description.value


def test_a_page_without_a_kernel_shows_the_first_image():
    app = PredictApp(Predictor(), Image.new("RGB", (30, 20), "white"))
    bundle, about = app._repr_mimebundle_()
    assert bundle["image/png"].startswith("iVBOR")
    assert about["image/png"]["alt"] == app.sentence == "an image in memory: white (100 %)."
    assert isinstance(app.controls["upload"], ipywidgets.FileUpload)
