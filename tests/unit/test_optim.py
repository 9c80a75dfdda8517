"""AdamW's defaults, what decays and what does not, hyperparameters per layer group."""
import re

import pytest
import timm
import torch
from timm.optim import param_groups_weight_decay
from torch import nn
from torchvision.models import resnet18, vit_b_16

from transfer_lessons.optim import adamw, n_layer_groups, param_groups, set_hyperparams


def small_network() -> nn.Sequential:
    """A body of convolution and BatchNorm, and a linear head."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Linear(4, 2))


def parts(network: nn.Sequential) -> list[list[nn.Parameter]]:
    """The parameters of body and head."""
    return [list(part.parameters()) for part in network]


def without_decay(groups: list[dict]) -> set[int]:
    return {id(p) for group in groups if group.get("weight_decay") == 0 for p in group["params"]}


def step_by_hand(weight, grad, state, lr, betas, eps, weight_decay):
    """One step of AdamW as Loshchilov and Hutter 2019, algorithm 2, writes it down."""
    state["step"] = state.get("step", 0) + 1
    state["exp_avg"] = betas[0] * state.get("exp_avg", 0) + (1 - betas[0]) * grad
    state["exp_avg_sq"] = betas[1] * state.get("exp_avg_sq", 0) + (1 - betas[1]) * grad**2
    mean = state["exp_avg"] / (1 - betas[0] ** state["step"])
    square = state["exp_avg_sq"] / (1 - betas[1] ** state["step"])
    return weight * (1 - lr * weight_decay) - lr * mean / (square.sqrt() + eps)


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.5}, {"betas": (0.8, 0.999)},
                                     {"eps": 1e-3, "fused": False}])
def test_adamw_takes_the_papers_steps_with_the_courses_defaults(options):
    generator = torch.Generator().manual_seed(1)
    parameter = nn.Parameter(torch.randn(7, generator=generator, dtype=torch.float64))
    weight = parameter.detach().clone()
    opt = adamw([parameter], lr=0.02, **options)
    settings = {"betas": (0.95, 0.99), "eps": 1e-5, "weight_decay": 0.01, **options}
    settings.pop("fused", None)
    state = {}
    for _ in range(20):
        parameter.grad = torch.randn(7, generator=generator, dtype=torch.float64)
        weight = step_by_hand(weight, parameter.grad, state, 0.02, **settings)
        opt.step()
    torch.testing.assert_close(parameter.detach(), weight)


def test_adamw_passes_other_options_on():
    opt = adamw([nn.Parameter(torch.ones(1))], amsgrad=True)
    assert opt.defaults["amsgrad"] and opt.defaults["fused"] and opt.defaults["lr"] == 1e-3


@pytest.mark.parametrize("make", [
    small_network, resnet18, vit_b_16, lambda: timm.create_model("convnext_atto")],
    ids=["small", "resnet18", "vit", "convnext"])
def test_the_same_parameters_decay_as_in_timm(make):
    network = make()
    groups = param_groups([list(network.parameters())])
    assert without_decay(groups) == without_decay(param_groups_weight_decay(network, 0.01))


def test_every_parameter_is_in_one_group_and_the_layer_groups_keep_their_order():
    network = small_network()
    groups = param_groups(parts(network))
    assert [group["layer_group"] for group in groups] == [0, 0, 1, 1]
    placed = [id(p) for group in groups for p in group["params"]]
    assert sorted(placed) == sorted(map(id, network.parameters()))
    for i, part in enumerate(parts(network)):
        here = {id(p) for group in groups if group["layer_group"] == i for p in group["params"]}
        assert here == set(map(id, part))


def test_parameters_may_come_from_a_generator():
    network = small_network()
    lists = param_groups(parts(network))
    generators = param_groups([part.parameters() for part in network])
    assert [list(map(id, group["params"])) for group in generators] == \
        [list(map(id, group["params"])) for group in lists]


def test_a_group_that_would_be_empty_is_left_out():
    matrix, vector, scalar = (nn.Parameter(torch.ones(shape)) for shape in ((2, 2), (2,), ()))
    assert param_groups([[matrix]]) == [{"params": [matrix], "layer_group": 0}]
    only_vectors, = param_groups([[vector, scalar]])
    assert only_vectors["params"] == [vector, scalar] and only_vectors["weight_decay"] == 0


def test_an_empty_layer_group_keeps_its_learning_rate():
    opt = adamw(param_groups([[], [nn.Parameter(torch.ones(2, 2))], []]))
    assert n_layer_groups(opt) == 3
    set_hyperparams(opt, [0.1, 0.2, 0.3])
    assert [group["lr"] for group in opt.param_groups] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("opt_func", [adamw, lambda groups: torch.optim.SGD(
    groups, lr=0.1, momentum=0.9, weight_decay=0.01)], ids=["adamw", "sgd"])
def test_without_a_gradient_only_what_decays_moves(opt_func):
    network = small_network()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    opt = opt_func(param_groups(parts(network)))
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    opt.step()
    moved = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"0.0.weight", "1.weight"}


def test_each_layer_group_gets_its_learning_rate_and_all_the_same_momentum():
    opt = adamw(param_groups(parts(small_network())))
    set_hyperparams(opt, [1e-4, 1e-2], 0.85)
    assert [group["lr"] for group in opt.param_groups] == [1e-4, 1e-4, 1e-2, 1e-2]
    assert {group["betas"] for group in opt.param_groups} == {(0.85, 0.99)}
    assert [group["weight_decay"] for group in opt.param_groups] == [0.01, 0, 0.01, 0]


def test_without_a_layer_group_each_parameter_group_is_one():
    groups = [{"params": part} for part in parts(small_network())]
    opt = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
    assert n_layer_groups(opt) == 2
    set_hyperparams(opt, [0.1, 0.2], 0.5)
    assert [(group["lr"], group["momentum"]) for group in opt.param_groups] == \
        [(0.1, 0.5), (0.2, 0.5)]


def test_momentum_none_changes_no_momentum():
    for opt_func in (adamw, lambda groups: torch.optim.SGD(groups, lr=1.0, momentum=0.9)):
        opt = opt_func(param_groups(parts(small_network())))
        before = [(group.get("betas"), group.get("momentum")) for group in opt.param_groups]
        set_hyperparams(opt, [0.1, 0.2])
        assert [(group.get("betas"), group.get("momentum")) for group in opt.param_groups] == before


def test_an_optimizer_without_momentum_gets_its_learning_rate_only():
    opt = torch.optim.Adagrad(small_network().parameters(), lr=1.0)
    set_hyperparams(opt, [0.1], 0.9)
    assert opt.param_groups[0]["lr"] == 0.1
    assert not {"momentum", "betas"} & opt.param_groups[0].keys()


def test_a_checkpoint_of_the_optimizer_keeps_the_layer_groups():
    opt, other = (adamw(param_groups(parts(small_network()))) for _ in range(2))
    set_hyperparams(opt, [1e-4, 1e-2], 0.85)
    other.load_state_dict(opt.state_dict())
    assert n_layer_groups(other) == 2
    assert [group["lr"] for group in other.param_groups] == [1e-4, 1e-4, 1e-2, 1e-2]


@pytest.mark.parametrize("lrs", [[], [0.1], [0.1, 0.2, 0.3]])
def test_a_wrong_number_of_learning_rates_is_refused_before_anything_changes(lrs):
    opt = adamw(param_groups(parts(small_network())), lr=0.7)
    message = re.escape(f"2 here; got {len(lrs)}. Try lrs=[0.001, 0.001].")
    with pytest.raises(ValueError, match=message):
        set_hyperparams(opt, lrs, 0.5)
    assert {(group["lr"], group["betas"]) for group in opt.param_groups} == {(0.7, (0.95, 0.99))}
