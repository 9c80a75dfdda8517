"""Features of every block: what numpy says of the maps that hooks see."""
import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transfer_lessons.backbones import create_body
from transfer_lessons.block_features import MAX_SIDE, BlockFeatures
from transfer_lessons.freezing import model_blocks
from transfer_lessons.learner import Learner
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.probes import all_features


@pytest.mark.parametrize("arch", ["test_resnet.r160_in1k", "tf_efficientnet_lite0", "resnet18"])
@torch.no_grad()
def test_they_are_mean_and_spread_of_the_maps_that_each_block_gives(arch):
    torch.manual_seed(0)
    body = create_body(arch, pretrained=False).eval()
    seen = []
    hooks = [block.register_forward_hook(lambda module, given, out: seen.append((module, out.clone())))
             for block in model_blocks(body)]
    xb = torch.rand(2, 3, 64, 64)
    last = body(xb)
    for hook in hooks:
        hook.remove()
    expected = []
    for module, out in seen:
        if any(True for _ in module.parameters()) and not isinstance(module, nn.Conv2d):
            stride = max(1, out.shape[-1] // MAX_SIDE)
            maps = out[:, :, ::stride, ::stride].double().numpy()
            expected += [maps.mean((2, 3)), maps.std((2, 3))]
    features = BlockFeatures(body)
    np.testing.assert_allclose(features(xb), np.concatenate(expected, 1), atol=1e-3, rtol=1e-3)
    if arch == "tf_efficientnet_lite0":  # in a small residual network the last block is opened
        assert_close(features.each_map(xb, torch.clone)[-1], last)


@torch.no_grad()
def test_a_mirror_image_has_the_same_features_where_both_are_read():
    torch.manual_seed(0)
    body = create_body("test_resnet.r160_in1k", pretrained=False).eval()
    xb = torch.rand(2, 3, 48, 48)
    one_way, both_ways = BlockFeatures(body), BlockFeatures(body, mirrored=True)
    assert_close(both_ways(xb), both_ways(xb.flip(3)))
    assert_close(both_ways(xb), (one_way(xb) + one_way(xb.flip(3))) / 2)


def test_they_can_be_frozen_cut_off_and_cached_like_any_body(drawings):
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_files(*drawings, size=48, bs=8, augment=False, device="cpu")
    body = BlockFeatures(create_body("test_resnet.r160_in1k", pretrained=False))
    with torch.no_grad():
        width = body(torch.rand(1, 3, 48, 48)).shape[1]
    learn = Learner(dls, nn.Sequential(body, nn.Linear(width, 3)))
    learn.freeze()
    features, targets = all_features(learn)
    assert features.shape == (len(targets), width)
    assert not any(parameter.requires_grad for parameter in body.parameters())


@pytest.mark.parametrize("wrong", [nn.ReLU(), nn.Sequential(), "resnet18"])
def test_what_is_no_body_is_refused(wrong):
    with pytest.raises((ValueError, TypeError), match="body must"):
        BlockFeatures(wrong)
