"""Grad-CAM: the maps of a published package, of arithmetic by hand, and no trace left behind."""
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image
from small import small_model
from torch import nn
from torchvision.models import resnet18

from transfer_lessons.backbones import vision_model
from transfer_lessons.grad_cam import grad_cam, heatmap, overlay, plot_grad_cam
from transfer_lessons.interpretation import ClassificationInterpretation
from transfer_lessons.learner import Learner
from transfer_lessons.loaders import ImageDataLoaders


@pytest.fixture(autouse=True)
def same_numbers():
    torch.manual_seed(0)
    yield
    plt.close("all")


def body_and_head() -> tuple[nn.Module, nn.Module]:
    model = vision_model(n_classes=5, pretrained=False)
    return model, model[0]


def own_network() -> tuple[nn.Module, nn.Module]:
    model = resnet18(num_classes=5)
    return model, model.layer4


def earlier_layer() -> tuple[nn.Module, nn.Module]:
    model = vision_model(resnet18, 5, pretrained=False, hidden=32)
    return model, model[0][1][5]


def before_a_relu_in_place() -> tuple[nn.Module, nn.Module]:
    model = small_model()
    model[0][5].inplace = True
    return model, model[0][4]


@pytest.mark.parametrize("make", [body_and_head, own_network, earlier_layer])
@pytest.mark.parametrize("given", [False, True], ids=["predicted", "given"])
def test_maps_are_those_of_the_package_grad_cam(make, given):
    package = pytest.importorskip("pytorch_grad_cam", exc_type=ImportError)
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets", exc_type=ImportError)
    model, layer = make()
    model.eval()
    xb = torch.rand(4, 3, 64, 64)
    classes = [3, 0, 2, 1] if given else None
    with package.GradCAM(model, [layer]) as theirs:
        wanted = [targets.ClassifierOutputTarget(number) for number in classes] if given else None
        expected = theirs(xb, wanted)
    maps = grad_cam(model, xb, classes, layer)
    assert maps.amax((1, 2)).min() > 1e-3, "large enough to compare"
    np.testing.assert_allclose(heatmap(maps, 64).numpy(), expected, atol=1e-4)


def test_behind_the_body_there_is_only_a_mean_so_the_map_is_the_heads_weights():
    model, body = body_and_head()
    xb = torch.rand(3, 3, 64, 64)
    maps = grad_cam(model, xb, [4, 4, 1])
    with torch.no_grad():
        features = body.eval()(xb)
        cam = torch.einsum("bc,bchw->bhw", model[1][-1].weight[[4, 4, 1]], features).relu() / 4
    torch.testing.assert_close(maps, cam, atol=1e-5, rtol=1e-4)


def test_a_relu_in_place_does_not_overwrite_the_maps_that_are_read():
    model, layer = before_a_relu_in_place()
    xb = torch.rand(2, 3, 24, 24)
    inplace = grad_cam(model, xb, [0, 1], layer)
    model[0][5].inplace = False
    torch.testing.assert_close(inplace, grad_cam(model, xb, [0, 1], layer))
    assert inplace.amax() > 0


@pytest.mark.case("Grad-CAM in the middle of a training", "modes, gradients and weights stay; frozen layers are no obstacle")
@pytest.mark.parametrize("frozen", [False, True])
def test_nothing_is_left_behind(frozen):
    model = small_model()
    model[0].requires_grad_(not frozen)
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    xb = torch.rand(2, 3, 24, 24)
    random_state = torch.get_rng_state()
    with torch.no_grad():
        grad_cam(model, xb)
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters()) and not xb.requires_grad
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(random_state, torch.get_rng_state())
    assert not any(isinstance(value, dict) and value for module in model.modules()
                   for name, value in vars(module).items() if "hooks" in name), "no hook"


def test_an_image_has_the_same_map_alone_and_in_a_batch():
    model, _ = body_and_head()
    xb = torch.rand(3, 3, 64, 64)
    alone = torch.cat([grad_cam(model, xb[i:i + 1], [2]) for i in range(3)])
    torch.testing.assert_close(grad_cam(model, xb, [2, 2, 2]), alone, atol=1e-5, rtol=1e-4)


class TwoWays(nn.Module):
    """A network with a part that has no say, and one that never runs."""
    def __init__(self):
        super().__init__()
        self.used, self.unused, self.never = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3)

    def forward(self, x):
        self.unused(x)
        return self.used(x).mean((2, 3))


@pytest.mark.parametrize("change, message", [
    ({"model": None}, "model must be of type Module"), ({"xb": [1]}, "xb must be of type Tensor"),
    ({"xb": torch.zeros(3, 8, 8)}, "xb must be images"), ({"xb": torch.zeros(1, 3, 8, 8).byte()}, "xb must be images"),
    ({"xb": torch.zeros(0, 3, 8, 8)}, "xb must be images"), ({"classes": [0]}, "classes must be one per image"),
    ({"classes": [0, 2]}, "classes must be numbers from 0 to 1; got 2"), ({"classes": [0, -1]}, "classes must be a whole"),
    ({"classes": 3}, "classes must be a list"), ({"layer": None}, "layer must be given"),
    ({"layer": "used"}, "layer must be of type Module"), ({"layer": "model"}, r"layer must give feature maps .*\[2, 2\]"),
    ({"layer": "unused"}, "a part in the logits"), ({"layer": "never"}, "it gave nothing")])
def test_what_cannot_be_mapped_is_said(change, message):
    model = TwoWays()
    arguments = {"model": model, "xb": torch.rand(2, 3, 8, 8), "classes": None, "layer": model.used, **change}
    parts = {"unused": model.unused, "never": model.never, "model": model}
    if message != "layer must be of type Module":
        arguments["layer"] = parts.get(arguments["layer"], arguments["layer"])
    with pytest.raises(ValueError, match=message):
        grad_cam(**arguments)


def test_a_flat_map_shows_nothing_and_others_go_from_0_to_1():
    heat = heatmap(torch.stack([torch.full((3, 3), 2.0), torch.eye(3)]), 9)
    assert (heat[0] == 0).all()
    assert heat[1].min() == 0 and heat[1].max() == 1
    image = torch.rand(2, 3, 9, 9)
    torch.testing.assert_close(overlay(image, heat, 0.0), image)
    assert overlay(image, heat).shape == (2, 3, 9, 9)


@pytest.fixture
def learn() -> Learner:
    images = [Image.new("RGB", (24, 24), (7 * i, 255 - 7 * i, 0)) for i in range(30)]
    dls = ImageDataLoaders.from_files(images, [f"$class {i % 3}$" for i in range(30)], size=16, bs=8, device="cpu")
    return Learner(dls, small_model())


def test_mistakes_are_drawn_with_both_maps_the_worst_first(learn):
    interp = ClassificationInterpretation.from_learner(learn)
    wrong = [i for i in interp.top_losses()[1].tolist() if interp.predicted[i] != interp.targets[i]]
    plot_grad_cam(interp, learn, k=2)
    titles = [ax.get_title() for ax in plt.gcf().axes]
    for row, i in enumerate(wrong[:2]):
        said, target = interp.vocab[interp.predicted[i]], interp.vocab[interp.targets[i]]
        assert titles[3 * row] == f"target: {target}"
        assert titles[3 * row + 1].startswith(f"for predicted {said} (")
        assert titles[3 * row + 2].startswith(f"for target {target} (")
        shown = np.asarray(plt.gcf().axes[3 * row].images[0].get_array())
        np.testing.assert_allclose(shown, interp.dataset[i][0].permute(1, 2, 0) / 255, atol=1e-6)
    plt.gcf().canvas.draw()


def test_mistakes_need_a_learner_and_a_mistake(learn):
    interp = ClassificationInterpretation.from_learner(learn)
    for arguments, message in [((interp, None), "learn must be of type Learner"), ((learn, learn), "interp must be"),
                               ((interp, learn, 0), "k must be a whole number")]:
        with pytest.raises(ValueError, match=message):
            plot_grad_cam(*arguments)
    perfect = ClassificationInterpretation(torch.eye(3)[interp.targets], interp.targets, interp.dataset, interp.vocab)
    with pytest.raises(ValueError, match="no mistake among these images"):
        plot_grad_cam(perfect, learn)
    assert plt.get_fignums() == []
