"""An export predicts what the learner predicts, and what is no export is refused before it is used."""
import copy
import io
import json
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from small import small_model
from torch import nn

from transfer_lessons.backbones import vision_model
from transfer_lessons.checkpoints import read_checkpoint, save_checkpoint
from transfer_lessons.core import describe_error
from transfer_lessons.export import load_predictor
from transfer_lessons.export_info import build_network, describe_network, name_activation
from transfer_lessons.learner import Learner, vision_learner
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.losses import binary_cross_entropy, cross_entropy, sigmoid
from transfer_lessons.pixels import ImageError
from transfer_lessons.predictor import Prediction


@pytest.fixture(scope="module")
def learn(drawings, tmp_path_factory) -> Learner:
    """A pretrained network, trained for a moment."""
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_files(*drawings, valid_pct=0.5, size=32, bs=8, augment=False,
                                      device="cpu")
    found = vision_learner(dls, path=tmp_path_factory.mktemp("learner"))
    found.fit(1, 1e-2)
    return found


@pytest.fixture(scope="module")
def file(learn, tmp_path_factory) -> Path:
    return learn.export(tmp_path_factory.mktemp("export") / "icons.safetensors", title="Icons",
                        threshold=0.6)


@pytest.fixture(scope="module")
def predictor(file):
    return load_predictor(file, "cpu")


def table(predictions: list[Prediction], vocab: list[str]) -> torch.Tensor:
    return torch.tensor([[one.probabilities[name] for name in vocab] for one in predictions])


def odd_images(sources: list, n: int, folder: Path) -> list[Path]:
    """Files of odd sizes and modes, some lying on their side."""
    rng = np.random.default_rng(0)
    files = []
    for number in range(n):
        image = sources[number % len(sources)].convert("RGB")
        image = image.resize((int(rng.integers(3, 300)), int(rng.integers(3, 300))))
        mode = ("RGB", "L", "P", "1", "RGBA", "LA", "CMYK", "16")[number % 8]
        if mode == "16":
            image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        else:
            image = image.convert(mode)
        exif = Image.Exif()
        exif[274] = int(rng.integers(1, 9))
        files.append(folder / f"{number}{'.jpg' if mode == 'CMYK' else '.png'}")
        image.save(files[-1], exif=exif)
    return files


def test_learner_predictor_and_onnx_agree_on_a_hundred_odd_images(learn, predictor, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from transfer_lessons.preprocess import read_square

    files = odd_images(learn.dls.valid.dataset.sources, 100, tmp_path)
    expected, _ = learn.get_preds(learn.dls.test_dl(files))
    torch.testing.assert_close(table(predictor.predict(files), predictor.vocab), expected,
                               atol=1e-5, rtol=0)
    model = predictor.export_onnx(tmp_path / "onnx")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["transfer_lessons"])
    assert about == {"title": "Icons", "vocab": learn.dls.vocab, "size": 32, "threshold": 0.6}
    squares = np.stack([read_square(path, about["size"]) for path in files])
    found = torch.from_numpy(session.run(None, {"image": squares})[0])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (tmp_path / "onnx" / "README.md").read_text() == predictor.model_card()


def test_one_image_in_any_form_gives_one_prediction(predictor, drawings, tmp_path):
    image = drawings[0][0].convert("RGB")
    image.save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    expected = predictor.predict(image)
    assert isinstance(expected, Prediction) and expected.label in predictor.vocab
    assert list(expected.probabilities.values()) == sorted(expected.probabilities.values())[::-1]
    assert expected.confidence == expected.probabilities[expected.label]
    pixels = np.asarray(image)
    for source in (tmp_path / "x.png", str(tmp_path / "x.png"), content, io.BytesIO(content), pixels,
                   torch.from_numpy(pixels.copy()).permute(2, 0, 1)):
        assert predictor.predict(source) == expected
    assert isinstance(predictor.predict(np.asarray(image.convert("L"))), Prediction)


def test_many_images_in_any_form_give_a_list(predictor, drawings):
    images = [image.convert("RGB") for image in drawings[0][:3]]
    expected = predictor.predict(images)
    assert len(expected) == 3
    several = np.stack([np.asarray(image) for image in images])
    for sources in (tuple(images), (image for image in images), several, list(several)):
        assert predictor.predict(sources) == expected
    assert predictor.predict([]) == []


def test_images_beyond_a_batch_are_predicted_in_order(predictor, drawings):
    images = drawings[0] * 2
    found = table(predictor.predict(images), predictor.vocab)
    torch.testing.assert_close(found[:48], found[48:], atol=1e-5, rtol=0)


@pytest.mark.case("something that is no image, for a predictor", "named, with what to do")
@pytest.mark.parametrize("source", [b"no image", "no/such/file.jpg", 7, None, [b"no image"]])
def test_what_is_no_image_is_refused(predictor, source):
    with pytest.raises(ValueError):
        predictor.predict(source)
    with pytest.raises(ImageError, match="no/such"):
        predictor.predict([Image.new("RGB", (40, 40)), "no/such/file.jpg"])


def test_below_the_threshold_it_is_not_sure(predictor):
    sure = Prediction("animal", 0.61, {"animal": 0.61, "vehicle": 0.39})
    unsure = Prediction("animal", 0.5, {"animal": 0.5, "vehicle": 0.3, "building": 0.2})
    assert predictor.threshold == 0.6
    assert predictor.describe(sure) == "animal (61 %)"
    assert predictor.describe(unsure) == "not sure: animal (50 %) or vehicle (30 %)"


def test_it_predicts_in_a_new_process_without_the_training_data(learn, file, drawings, tmp_path):
    drawings[0][0].convert("RGB").save(tmp_path / "x.png")
    program = ("import json, sys; from transfer_lessons.export import load_predictor\n"
               "print(json.dumps(load_predictor(sys.argv[1], 'cpu').predict('x.png')))")
    ran = subprocess.run([sys.executable, "-c", program, str(file)], cwd=tmp_path, check=True,
                         capture_output=True, text=True)
    label, _, probabilities = json.loads(ran.stdout)
    expected, _, row = learn.predict(tmp_path / "x.png")
    assert label == expected
    assert probabilities == pytest.approx(dict(zip(learn.dls.vocab, row.tolist(), strict=True)), abs=1e-5)


def test_figures_versions_and_normalising_are_inside(learn, predictor):
    info = predictor.info
    logits, targets = learn.get_logits()
    wrong = int((logits.argmax(1) != targets).sum())
    assert (info["figures"]["valid"], info["figures"]["wrong"]) == (len(targets), wrong)
    assert sum(row["wrong"] for row in info["figures"]["classes"]) == wrong
    assert info["versions"]["torch"] == torch.__version__
    assert info["normalize"] == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert describe_error(wrong, len(targets)) in predictor.model_card()


def test_exporting_and_loading_leave_no_trace(learn, tmp_path, state_of, assert_same):
    before = state_of(learn)
    load_predictor(learn.export(tmp_path / "x"), "cpu")
    assert_same(before, state_of(learn))
    assert (tmp_path / "x.safetensors").exists(), "an ending is added"


@pytest.mark.parametrize("arch, hidden", [("resnet18", 16), ("mobilenetv3_small_050", None)])
def test_networks_of_timm_are_built_again(arch, hidden):
    model = vision_model(arch, 3, pretrained=False, hidden=hidden)
    description = describe_network(copy.deepcopy(model))
    assert description == {"library": "timm", "arch": arch, "hidden": hidden}
    rebuilt = build_network(json.loads(json.dumps(description)), 3)
    rebuilt.load_state_dict(model.state_dict())
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(rebuilt.eval()(x), model.eval()(x))


def test_networks_of_torchvision_are_built_again(drawings, tmp_path):
    from torchvision.models import resnet18
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_files(*drawings, size=32, bs=8, device="cpu")
    learn = vision_learner(dls, resnet18, pretrained=False, hidden=8, path=tmp_path)
    predictor = load_predictor(learn.export(tmp_path / "x.safetensors"), "cpu")
    assert predictor.info["network"] == {"library": "torchvision", "arch": "resnet18", "hidden": 8}
    expected, _ = learn.get_preds()
    found = table(predictor.predict(learn.dls.valid.dataset.sources), predictor.vocab)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_network_of_ones_own_is_brought_by_whoever_loads_it(small_learner, tmp_path):
    learn = small_learner()
    file = learn.export(tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match=r"network of its author's own.*model=network"):
        load_predictor(file, "cpu")
    mine = small_model()
    before = copy.deepcopy(mine.state_dict())
    found = table(load_predictor(file, "cpu", model=mine).predict(learn.dls.valid.dataset.sources),
                  learn.dls.vocab)
    torch.testing.assert_close(found, learn.get_preds()[0], atol=1e-5, rtol=0)
    assert all(torch.equal(value, before[name]) for name, value in mine.state_dict().items())
    with pytest.raises(ValueError, match="are not those of its network"):
        load_predictor(file, "cpu", model=small_model(4))


def test_what_was_trained_on_cached_activations_is_exported_whole(learn, tmp_path):
    cached = learn.precompute()
    predictor = load_predictor(cached.export(tmp_path / "x"), "cpu")
    found = table(predictor.predict(learn.dls.valid.dataset.sources), predictor.vocab)
    torch.testing.assert_close(found, learn.get_preds()[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("loss_func, name", [
    (cross_entropy, "softmax"), (partial(F.cross_entropy, label_smoothing=0.1), "softmax"),
    (nn.CrossEntropyLoss(), "softmax"), (binary_cross_entropy, "sigmoid"), (F.nll_loss, "exponential")])
def test_the_loss_says_how_logits_become_probabilities(loss_func, name):
    assert name_activation(loss_func) == name


def test_a_loss_without_probabilities_is_refused_and_told_what_to_do(small_learner, tmp_path):
    def loss_func(logits, targets):
        return F.multi_margin_loss(logits, targets)
    learn = small_learner(loss_func=loss_func)
    with pytest.raises(ValueError, match="loss_func must say.*activation = softmax"):
        learn.export(tmp_path / "x.safetensors")
    assert not list(tmp_path.glob("*.safetensors"))
    loss_func.activation = sigmoid
    predictor = load_predictor(learn.export(tmp_path / "x.safetensors"), "cpu", model=small_model())
    assert predictor.info["activation"] == "sigmoid"


@pytest.mark.parametrize("options, message", [
    ({"file": "x.pkl"}, "no pickle; got x.pkl. Try file='x.safetensors'"), ({"file": ""}, "file must be a path"),
    ({"threshold": 50}, "threshold must be a fraction"), ({"title": 3}, "title must be of type str")])
def test_bad_arguments_of_export(small_learner, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        small_learner().export(**{"file": "x", **options})
    assert not list(tmp_path.iterdir())


@pytest.mark.case("an export of images that are read in a way of one's own",
                  "compared with the learner before it is written, and refused")
def test_an_export_that_would_differ_is_not_written(small_learner, tmp_path, monkeypatch):
    learn = small_learner()
    change = learn.dls.valid.after_batch
    monkeypatch.setattr(type(learn.dls.valid), "after_batch", lambda self, xb: 1 - change(xb))
    with pytest.raises(ValueError, match="other probabilities than the learner"):
        learn.export(tmp_path / "x.safetensors")
    assert not list(tmp_path.glob("*.safetensors"))


class Canary:
    """Leaves a file behind when its pickle is read."""
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.case("a pickle where an export should be", "refused, never opened")
@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_is_never_opened(tmp_path, zipped):
    target = tmp_path / "canary"
    file = tmp_path / "export.safetensors"
    if zipped:
        torch.save(Canary(target), file)
    else:
        file.write_bytes(pickle.dumps(Canary(target)))
    with pytest.raises(ValueError, match="is a pickle"):
        load_predictor(file, "cpu")
    assert not target.exists()


@pytest.mark.case("an export with a byte changed, or cut off", "refused: its hash does not match")
@pytest.mark.parametrize("part", [0.0, 0.001, 0.3, 0.999])
def test_a_damaged_export_is_refused(file, tmp_path, part):
    content = bytearray(file.read_bytes())
    broken = tmp_path / "broken.safetensors"
    position = int(part * (len(content) - 1))
    for damaged in (content[:position], content[:position] + bytes([content[position] ^ 4])
                    + content[position + 1:]):
        broken.write_bytes(damaged)
        with pytest.raises(ValueError, match="broken.safetensors"):
            load_predictor(broken, "cpu")


BAD_INFO = {"vocab": [[], "abc", ["a", "a", "b"], [1, 2, 3], ["only", "two"]], "size": [0, -1, 1.5, True, 10**9, "96", None],
            "threshold": ["0.5", -1, 2, None, float("nan")], "activation": ["os.system", None, ["softmax"]],
            "network": [{}, "resnet18", {"library": "timm", "arch": "no_such_network", "hidden": None},
                        {"library": "timm", "arch": "hf-hub:stranger/network", "hidden": None},
                        {"library": "timm", "arch": "local-dir:/tmp", "hidden": None},
                        {"library": "torchvision", "arch": "os.system", "hidden": None},
                        {"library": "timm", "arch": ["x"], "hidden": None},
                        {"library": "timm", "arch": "resnet18", "hidden": None},
                        {"library": "timm", "arch": "tf_efficientnet_lite0", "hidden": "9"}],
            "figures": [None, {}, {"train": 1, "valid": 1, "wrong": 2, "classes": []}], "versions": [None, {"torch": 2}],
            "title": [None, 5], "format": ["transfer_lessons export, version 99", 7]}


@pytest.mark.case("an export with a right hash and a changed content",
                  "refused before anything of it is used; no name in it leads to a download")
@pytest.mark.parametrize("part", BAD_INFO)
def test_a_fake_with_a_right_hash_is_refused(file, tmp_path, part):
    tensors, info = read_checkpoint(file)
    for value in [*BAD_INFO[part], "missing"]:
        changed = {key: old for key, old in info.items() if key != part or value != "missing"}
        if value != "missing":
            changed[part] = value
        save_checkpoint(tmp_path / "fake.safetensors", tensors, changed)
        if part == "network" and value is None:
            continue
        with pytest.raises(ValueError, match="[Ee]xport|knows no network"):
            load_predictor(tmp_path / "fake.safetensors", "cpu")


@pytest.mark.case("an export whose weights are of another shape, type, or NaN", "refused, with the name")
@pytest.mark.parametrize("change, message", [
    (lambda weight: weight[:, :-1].contiguous(), "are not those of its network"),
    (lambda weight: weight.half(), "are not those of its network"),
    (lambda weight: weight * float("nan"), "NaN or infinite")])
def test_weights_that_do_not_fit_are_refused(file, tmp_path, change, message):
    tensors, info = read_checkpoint(file)
    name = next(name for name, value in tensors.items() if value.ndim == 2)
    save_checkpoint(tmp_path / "x.safetensors", {**tensors, name: change(tensors[name])}, info)
    with pytest.raises(ValueError, match=message):
        load_predictor(tmp_path / "x.safetensors", "cpu")


@pytest.mark.case("a checkpoint of learn.save where an export should be", "says how to export it")
def test_a_checkpoint_is_told_apart_from_an_export(learn):
    file = learn.save("checkpoint")
    with pytest.raises(ValueError, match="no export.*learn.load it there"):
        load_predictor(file, "cpu")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "nothing.safetensors", tmp_path):
        with pytest.raises(FileNotFoundError, match=path.name):
            load_predictor(path)


def test_a_model_card_keeps_names_from_being_markup(predictor):
    other = copy.copy(predictor)
    other.info = copy.deepcopy(predictor.info)
    other.info["figures"]["classes"][0]["name"] = "a|b <script>"
    assert r"a\|b \<script\>" in other.model_card()


def test_onnx_without_its_packages_says_what_to_install(predictor, tmp_path, monkeypatch):
    import importlib.util
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install onnx onnxscript"):
        predictor.export_onnx(tmp_path)
    assert not list(tmp_path.iterdir())
