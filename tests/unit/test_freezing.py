"""Layer groups, freezing that freezes, and learning rates per layer group."""
import math
import re

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import resnet34, resnet50

from transfer_lessons.arguments import shown
from transfer_lessons.backbones import DEFAULT_ARCH, vision_model
from transfer_lessons.freezing import (
    freeze,
    freeze_table,
    freeze_to,
    group_parameters,
    layer_groups,
    model_blocks,
    n_parameters,
    spread_lrs,
    train_mode,
    unfreeze,
)

BODIES = [DEFAULT_ARCH, resnet34, "resnet18", "convnext_tiny", "mobilenetv3_large_100"]
WHOLE = ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "resnet18"]  # with timm's own head


def make(arch, whole: bool) -> nn.Module:
    return (timm.create_model(arch, num_classes=5) if whole
            else vision_model(arch, 5, pretrained=False))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=[*((arch, False) for arch in BODIES),
                                        *((arch, True) for arch in WHOLE)])
def network(request):
    """Networks of several makers, each with an image size that it takes."""
    arch, whole = request.param
    return make(arch, whole).eval(), 224 if whole else 32


def small_model() -> nn.Module:
    """A network of early body, late body and head, each with BatchNorm and dropout."""
    def part(n_in: int, n_out: int) -> list[nn.Module]:
        return [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(nn.Sequential(*part(3, 4), *part(4, 6)),
                         nn.Sequential(*part(6, 8), nn.Flatten(), nn.Linear(8 * 64, 3)))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, n: int = 3, size: int = 8,
          set_to_none: bool = True) -> None:
    train_mode(model)
    for _ in range(n):
        optimizer.zero_grad(set_to_none=set_to_none)
        F.cross_entropy(model(torch.rand(6, 3, size, size)), torch.tensor([0, 1, 2] * 2)).backward()
        optimizer.step()


def changed(model: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    """Names of weights and statistics that differ in any bit."""
    return {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}


def copied(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def tensors_by_group(model: nn.Module) -> list[set[str]]:
    """The names of weights and statistics in each layer group."""
    names = {id(module): name for name, module in model.named_modules()}
    return [{f"{names[id(block)]}.{key}".lstrip(".") for block in group for key in block.state_dict()}
            for group in layer_groups(model)]


OPTIMIZERS = {
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1),
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1),
}


# Blocks and layer groups

def test_blocks_keep_the_order_and_lose_nothing_but_a_networks_own_parameters(network):
    model, _ = network
    from_blocks = [id(p) for block in model_blocks(model) for p in block.parameters()]
    names = {id(p): name for name, p in model.named_parameters()}
    assert from_blocks == [key for key in names if key in set(from_blocks)]
    outside = [name for key, name in names.items() if key not in set(from_blocks)]
    assert not [name for name in outside if "." in name], "such as cls_token of a ViT"


def test_every_parameter_is_in_exactly_one_of_three_groups(network):
    model, _ = network
    groups = group_parameters(model)
    assert len(groups) == len(layer_groups(model)) == 3 and all(groups)
    assert sorted(id(p) for g in groups for p in g) == sorted(id(p) for p in model.parameters())


@torch.no_grad()
def test_groups_run_from_early_to_late(network):
    model, size = network
    place = {id(p): i for i, group in enumerate(group_parameters(model)) for p in group}
    order, handles = [], []
    for module in model.modules():
        own = [place[id(p)] for p in module.parameters(recurse=False)]
        if own and not any(module.children()):
            handles.append(module.register_forward_hook(lambda *_, i=own[0]: order.append(i)))
    model(torch.rand(1, 3, size, size))
    for handle in handles:
        handle.remove()
    assert order == sorted(order) and set(order) == {0, 1, 2}


def test_the_last_group_is_the_head(network):
    model, _ = network
    assert layer_groups(model)[-1][0] is list(model.children())[-1]


@pytest.mark.parametrize("function", [resnet34, resnet50])
def test_resnets_are_cut_after_layer2_as_in_fastai(function):
    body = function()
    early = nn.ModuleList([body.conv1, body.bn1, body.layer1, body.layer2])
    assert set(group_parameters(body)[0]) == set(early.parameters())


@pytest.mark.parametrize(("model", "expected"), [
    (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)), [3, 1]),
    (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 2), nn.Dropout()), [2, 2]),
    (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), [2]),
    (nn.Linear(4, 2), [1]),
    (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Linear(4, 2)), [1, 2, 1]),
], ids=["conv", "dropout after the head", "only a head", "one layer", "two blocks"])
def test_small_networks_have_fewer_groups_and_none_that_cannot_learn(model, expected):
    assert [len(group) for group in layer_groups(model)] == expected
    assert all(sum(map(n_parameters, group)) for group in layer_groups(model))


class PlainModel(nn.Module):
    """As a learner writes it, with a parameter of its own."""
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        x = self.norm(self.second(F.relu(self.first(x * self.scale))))
        return self.head(x.mean((2, 3)))


def test_a_plain_model_with_a_parameter_of_its_own_is_grouped():
    model = PlainModel()
    early, late, head = group_parameters(model)
    assert any(p is model.scale for p in early) and len(early) == 5
    assert len(late) == 2 and head == list(model.head.parameters())
    freeze(model)
    before = copied(model)
    train(model, OPTIMIZERS["AdamW"](model.parameters()))
    assert changed(model, before) == {"head.weight", "head.bias"}


def test_a_weight_used_in_two_places_is_in_one_group():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 4))
    model[3].weight = model[0].weight
    groups = group_parameters(model)
    assert len([p for group in groups for p in group]) == len(list(model.parameters())) == 5
    torch.optim.SGD([{"params": group} for group in groups], lr=0.1)  # refuses one that is there twice


# Wrappers

class Wrapper(nn.Module):
    """Somebody's own module around a network, with layers before and after it that learn nothing."""
    def __init__(self, model, temperature=False):
        super().__init__()
        self.before, self.net, self.after = nn.Identity(), model, nn.Dropout(0.5)
        self.temperature = nn.Parameter(torch.ones(1)) if temperature else 1

    def forward(self, x):
        return self.after(self.net(self.before(x))) * self.temperature


WRAPPERS = {
    "own module": Wrapper,
    "own module with a parameter": lambda model: Wrapper(model, temperature=True),
    "DataParallel": nn.DataParallel,
    "torch.compile": lambda model: torch.compile(model, backend="eager"),
    "Sequential of one": nn.Sequential,
    "three wrappers": lambda model: nn.Sequential(Wrapper(nn.DataParallel(model))),
}


@pytest.mark.case("freeze is freeze, whatever wraps the network",
                  "wrappers are opened: only the head trains, to the bit")
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("n", [-1, -2])
def test_a_wrapped_network_is_frozen_as_the_network_alone(wrap, n):
    model = small_model()
    model[0][1] = nn.BatchNorm2d(4, affine=False)  # what only train_mode can freeze
    wrapped = wrap(model)
    freeze_to(wrapped, n)
    groups = group_parameters(model)
    assert [{p.requires_grad for p in group} for group in groups] == [
        {group in range(3)[n:]} for group in range(3)]
    before = copied(model)
    train(wrapped, OPTIMIZERS["AdamW"](wrapped.parameters()))
    difference = changed(model, before)
    kept = set().union(*tensors_by_group(model)[:n])
    assert kept and not kept & difference
    assert set().union(*tensors_by_group(model)[n:]) <= difference


@pytest.mark.case("freeze is freeze, whatever wraps the network", "an earlier freeze survives wrapping")
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_an_earlier_freeze_is_not_undone_by_a_wrapper(wrap):
    model = small_model()
    freeze(model)
    flags = [p.requires_grad for p in model.parameters()]
    freeze(wrap(model))
    assert [p.requires_grad for p in model.parameters()] == flags


def test_layers_around_a_wrapped_network_belong_to_its_first_and_last_group():
    model = small_model()
    wrapped = Wrapper(model)
    early, late, head = layer_groups(wrapped)
    assert early[0] is wrapped.before and head[-1] is wrapped.after and model[1] in head
    freeze(wrapped)
    train_mode(wrapped)
    assert wrapped.after.training and not wrapped.before.training


@pytest.mark.case("freeze is freeze, whatever wraps the network",
                  "a parameter that body and head share cannot be half frozen: an error")
def test_a_parameter_on_both_sides_of_the_border_is_refused_and_nothing_changes():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 4))
    model[3].weight = model[0].weight
    with pytest.raises(ValueError, match="used both before layer group 2 and in it.*Try unfreeze"):
        freeze(model)
    assert all(p.requires_grad for p in model.parameters())
    unfreeze(model)


# Freezing

@pytest.mark.parametrize("n", range(-3, 3))
def test_groups_from_the_nth_on_train_and_no_other(n):
    model = small_model()
    freeze_to(model, n)
    trains = [{p.requires_grad for p in group} for group in group_parameters(model)]
    assert trains == [{group in range(3)[n:]} for group in range(3)]


def test_freeze_leaves_the_head_and_unfreeze_leaves_everything():
    model = small_model()
    freeze(model)
    assert [p.requires_grad for p in model.parameters()] == (
        [False] * len(list(model[0].parameters())) + [True] * len(list(model[1].parameters())))
    unfreeze(model)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("n", [3, 99, -4, 1.5, "head", None, float("nan"), True, [1]])
def test_a_group_that_does_not_exist_is_refused_and_nothing_changes(n):
    model = small_model()
    freeze_to(model, 1)
    before = [p.requires_grad for p in model.parameters()]
    with pytest.raises(ValueError, match="whole number from -3 to 2.* 3 layer groups") as caught:
        freeze_to(model, n)
    assert f"got {n!r}" in str(caught.value)
    assert [p.requires_grad for p in model.parameters()] == before


@pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("n", [-1, -2, 0])
def test_not_one_bit_of_a_frozen_group_changes_in_training(n, make_optimizer):
    model = small_model()
    freeze_to(model, n)
    before = copied(model)
    train(model, make_optimizer(model.parameters()))
    difference = changed(model, before)
    for i, tensors in enumerate(tensors_by_group(model)):
        if i in range(3)[n:]:
            assert tensors <= difference, "what is not frozen trains, BatchNorm's statistics too"
        else:
            assert not tensors & difference, "a frozen group changed"


@pytest.mark.parametrize("n", [-1, -2])
@pytest.mark.parametrize("arch", [DEFAULT_ARCH, "resnet18", "convnext_nano"])
def test_not_one_bit_of_a_frozen_group_of_a_real_network_changes(arch, n):
    model = vision_model(arch, 3, pretrained=False)
    freeze_to(model, n)
    before = copied(model)
    train(model, OPTIMIZERS["AdamW"](model.parameters()), n=2, size=32)
    difference, groups = changed(model, before), tensors_by_group(model)
    assert not set().union(*groups[:n]) & difference
    assert all(group & difference for group in groups[n:])


@pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("set_to_none", [True, False])
def test_momentum_and_gradients_from_before_freezing_do_not_move_a_frozen_group(
        make_optimizer, set_to_none):
    model = small_model()
    optimizer = make_optimizer(model.parameters())
    train(model, optimizer)  # leaves gradients and momentum behind
    freeze(model)
    before = copied(model)
    train(model, optimizer, set_to_none=set_to_none)
    assert changed(model, before) <= set(f"1.{key}" for key in model[1].state_dict())


def test_the_flag_alone_does_not_freeze_batchnorm():
    """The failure that train_mode is there for: if this no longer fails, the lesson is wrong."""
    model = small_model()
    freeze(model)
    before = copied(model)
    model.train()(torch.rand(6, 3, 8, 8))
    moved = {name for name in changed(model, before) if name.startswith("0.")}
    assert moved == {f"0.{i}.{what}" for i in (1, 5)
                     for what in ("running_mean", "running_var", "num_batches_tracked")}


@pytest.mark.parametrize("n", range(3))
def test_train_mode_trains_what_is_not_frozen_and_rests_what_is(n):
    model = small_model().eval()
    freeze_to(model, n)
    train_mode(model)
    for i, group in enumerate(layer_groups(model)):
        modes = {module.training for block in group for module in block.modules()}
        assert modes == {i >= n}, "dropout and BatchNorm included"


def test_train_mode_wakes_what_was_frozen_before():
    model = small_model()
    freeze(model)
    train_mode(model)
    unfreeze(model)
    train_mode(model)
    assert all(module.training for module in model.modules())


def test_batchnorm_without_weights_rests_in_a_frozen_group():
    model = small_model()
    model[0][1] = nn.BatchNorm2d(4, affine=False)
    freeze_to(model, 1)
    train_mode(model)
    assert not model[0][1].training and model[0][5].training


def test_a_single_layer_frozen_by_hand_rests_too():
    model = small_model()
    model[0][5].requires_grad_(False)
    before = copied(model)
    train(model, OPTIMIZERS["AdamW"](model.parameters()))
    kept = {f"0.5.{key}" for key in model[0][5].state_dict()}
    assert not kept & changed(model, before) and "0.1.running_mean" in changed(model, before)


# Learning rates for groups

RATES = st.floats(1e-9, 100)


@given(RATES, RATES, st.integers(1, 9))
def test_a_slice_spreads_by_equal_factors(a, b, n):
    first, last = sorted((a, b))
    rates = spread_lrs(slice(first, last), n)
    expected = [first * (last / first) ** (i / (n - 1)) for i in range(n)] if n > 1 else [last]
    assert rates == pytest.approx(expected, rel=1e-12)
    assert rates[-1] == last and (n == 1 or rates[0] == pytest.approx(first, rel=1e-15))
    assert all(low <= high * (1 + 1e-12) for low, high in zip(rates, rates[1:], strict=False))


@given(RATES, st.integers(1, 9))
def test_a_slice_with_one_end_gives_a_tenth_to_all_but_the_last(b, n):
    assert spread_lrs(slice(b), n) == [b / 10] * (n - 1) + [b]


@given(RATES, st.integers(1, 9))
def test_one_number_is_for_every_group_and_a_list_is_taken_as_it_is(rate, n):
    assert spread_lrs(rate, n) == [rate] * n
    assert spread_lrs([rate] * n, n) == spread_lrs((rate,) * n, n) == [rate] * n


def test_ulmfits_factor_is_a_slice():
    assert spread_lrs(slice(0.01 / 2.6**2, 0.01), 3) == pytest.approx([0.01 / 6.76, 0.01 / 2.6, 0.01])


@pytest.mark.parametrize("lr", [1, np.float32(0.5), np.float64(0.1), np.int64(2)])
def test_any_real_number_is_a_learning_rate_and_comes_back_as_a_float(lr):
    lrs = spread_lrs(lr, 2)
    assert lrs == [float(lr)] * 2
    assert all(type(value) is float for value in lrs)


@pytest.mark.parametrize("wrong", [
    0, 0.0, -1e-3, math.nan, math.inf, -math.inf, "1e-3", None, True, 1j, torch.zeros(3), 10**400,
    slice(None), slice(1e-3, None), slice(0, 1e-3), slice(1e-5, 0), slice(-1e-5, 1e-3),
    slice(1e-5, math.inf), slice(math.nan, 1e-3), slice("1e-5", "1e-3"), slice("1e-3"),
    [1e-5, 1e-4, 0], (1e-5, math.nan, 1e-3), [1e-5, "1e-4", 1e-3],
])
def test_what_is_no_learning_rate_is_refused_and_shown(wrong):
    with pytest.raises(ValueError, match="A learning rate must be a positive number") as caught:
        spread_lrs(wrong, 3)
    assert f"lr={shown(wrong)}" in str(caught.value)


@pytest.mark.case("arguments of training", "arrays, tensors and generators are learning rates, one per group")
@pytest.mark.parametrize("make", [np.array, torch.tensor, tuple, iter,
                                  lambda lrs: [np.float32(lr) for lr in lrs],
                                  lambda lrs: [torch.tensor(lr) for lr in lrs]])
def test_arrays_and_tensors_are_learning_rates_too(make):
    assert spread_lrs(make([1e-5, 1e-4, 1e-3]), 3) == pytest.approx([1e-5, 1e-4, 1e-3], rel=1e-6)


@pytest.mark.parametrize("ends", [(1e-6, 1e-4), (np.float64(1e-6), torch.tensor(1e-4, dtype=torch.float64))])
def test_the_ends_of_a_slice_may_be_of_numpy_or_torch(ends):
    assert spread_lrs(slice(*ends), 3) == pytest.approx([1e-6, 1e-5, 1e-4])


def test_a_slice_from_the_smallest_to_the_largest_number_does_not_overflow():
    assert spread_lrs(slice(1e-300, 1e300), 3) == pytest.approx([1e-300, 1, 1e300])


def test_a_slice_of_three_is_refused():
    with pytest.raises(ValueError, match="lr must be a slice of two learning rates"):
        spread_lrs(slice(1e-6, 1e-5, 1e-4), 3)


def test_a_slice_the_wrong_way_round_is_asked_about():
    with pytest.raises(ValueError, match=re.escape("Did you mean slice(1e-6, 1e-4)?")):
        spread_lrs(slice(1e-4, 1e-6), 3)


@given(RATES, RATES)
@settings(max_examples=50)
def test_what_the_question_suggests_can_be_typed(a, b):
    low, high = sorted((a, b))
    if low == high:
        return
    with pytest.raises(ValueError) as caught:
        spread_lrs(slice(high, low), 3)
    suggested = eval(re.search(r"slice\([^,]+, [^,]+\)(?=\?)", str(caught.value))[0])
    assert suggested == slice(low, high)


@pytest.mark.parametrize("rates", [[1e-3], [1e-4, 1e-3], [1e-3] * 4, []])
def test_a_list_of_another_length_names_both_numbers(rates):
    with pytest.raises(ValueError, match=f"per layer group, 3; got {len(rates)}: "):
        spread_lrs(rates, 3)


# The table

def test_the_table_says_what_trains_and_how_fast():
    model = small_model()
    freeze_to(model, 1)
    table = freeze_table(model, slice(1e-5, 1e-3))
    assert [row.trains for row in table] == ["no", "yes", "yes"]
    assert [row.lr for row in table] == ["", "0.0001", "0.001"]
    assert sum(row.parameters for row in table) == n_parameters(model)
    assert table[0].blocks == "4: Conv2d ... Dropout" and table[2].blocks == "1: Sequential"


def test_the_table_shows_no_rates_where_none_are_given_and_refuses_bad_ones():
    assert [row.lr for row in freeze_table(small_model())] == [""] * 3
    with pytest.raises(ValueError, match="positive number"):
        freeze_table(small_model(), 0)
