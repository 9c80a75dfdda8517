"""The losses: PyTorch's values and gradients where those are numbers, else an error with the cause."""
import ast
import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from transfer_lessons import losses
from transfer_lessons.losses import (
    binary_cross_entropy,
    cross_entropy,
    explain_nan,
    log_softmax,
    nll,
    sigmoid,
    softmax,
)

REDUCTIONS = ("mean", "sum", "none")
DTYPES = (torch.float32, torch.float64)
FRACTIONS = st.just(0.0) | st.floats(2**-10, 1, width=32)  # subnormal ones would vanish in a product
WEIGHTS = st.just(0.0) | st.floats(0.125, 8, width=32)
FINITE = st.one_of(st.floats(-5, 5, width=32), st.floats(-1e4, 1e4, width=32))
LOGITS = st.one_of(FINITE, st.just(-math.inf))
quick = settings(deadline=None, max_examples=80)


@st.composite
def tensors(draw, shape: tuple[int, ...], elements=FINITE, dtype=torch.float64) -> Tensor:
    size = math.prod(shape)
    values = draw(st.lists(elements, min_size=size, max_size=size))
    return torch.tensor(values, dtype=torch.float64).reshape(shape).to(dtype)


@st.composite
def logits(draw, elements=LOGITS, max_dims: int = 4) -> Tensor:
    """Logits [C], [N, C] or [N, C, d1, ...]; every item has at least one possible class."""
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=max_dims).map(tuple))
    x = draw(tensors(shape, elements, draw(st.sampled_from(DTYPES))))
    dim = min(1, x.dim() - 1)
    impossible = (x == -math.inf).all(dim, keepdim=True)
    return torch.where(impossible, torch.zeros_like(x), x)


@st.composite
def problems(draw) -> tuple[Tensor, Tensor, dict]:
    """Logits, labels and options that PyTorch takes."""
    x = draw(logits())
    dim = min(1, x.dim() - 1)
    n_classes = x.shape[dim]
    items = x.select(dim, 0).shape
    ignore_index = draw(st.sampled_from([-100, -1, 0]))
    labels = draw(tensors(items, st.integers(0, n_classes - 1), torch.long))
    ignored = draw(tensors(items, st.integers(0, 3), torch.long)) == 3
    options = {"weight": draw(st.none() | tensors((n_classes,), WEIGHTS, x.dtype)),
               "ignore_index": ignore_index, "reduction": draw(st.sampled_from(REDUCTIONS))}
    return x, torch.where(ignored, ignore_index, labels), options


def value_and_gradient(function, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    value = function(x)
    upstream = torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).reshape(value.shape)
    return value.detach(), torch.autograd.grad(value, x, upstream)[0]


def like(x: Tensor, options: dict) -> dict:
    """The options with their tensors in the dtype of `x`."""
    return {name: option.to(x) if isinstance(option, Tensor) else option
            for name, option in options.items()}


def assert_same(ours, oracle, x: Tensor) -> None:
    """Equal in value and gradient wherever the oracle is a number; never NaN on our side.

    The oracle works in float64: in float32 PyTorch itself loses digits where large parts cancel.
    """
    value, gradient = value_and_gradient(ours, x)
    expected, expected_gradient = value_and_gradient(oracle, x.double())
    tolerance = 1e-5 if x.dtype == torch.float32 else 1e-10
    close = {"check_dtype": False, "rtol": tolerance, "atol": tolerance}
    assert value.dtype == x.dtype
    assert value.shape == expected.shape
    assert not value.isnan().any()
    assert not gradient.isnan().any()
    known = ~expected.isnan()
    assert_close(value[known], expected[known], **close)
    known = ~expected_gradient.isnan()
    assert_close(gradient[known], expected_gradient[known], **close)


def assert_same_or_explained(ours, oracle, x: Tensor) -> None:
    """As `assert_same`, but where the oracle gives NaN there may be a `ValueError`."""
    try:
        ours(x)
    except ValueError as error:
        assert oracle(x.double()).isnan().any(), error
    else:
        assert_same(ours, oracle, x)


# Probabilities

@quick
@given(st.data(), st.sampled_from(DTYPES))
def test_sigmoid_is_torchs_in_value_and_gradient(data, dtype):
    x = data.draw(tensors((data.draw(st.integers(0, 6)),), LOGITS, dtype))
    assert_same(sigmoid, torch.sigmoid, x)


def test_sigmoid_has_the_right_gradient_at_exactly_zero_and_at_both_infinities():
    assert_same(sigmoid, torch.sigmoid, torch.tensor([0.0, -0.0, math.inf, -math.inf]))


@quick
@given(st.data())
def test_softmax_and_log_softmax_are_torchs_along_any_dimension(data):
    x = data.draw(logits(FINITE))
    dim = data.draw(st.integers(-x.dim(), x.dim() - 1))
    assert_same(lambda x: softmax(x, dim), lambda x: F.softmax(x, dim), x)
    assert_same(lambda x: log_softmax(x, dim), lambda x: F.log_softmax(x, dim), x)


@quick
@given(logits())
def test_softmax_and_log_softmax_take_classes_that_are_ruled_out(x):
    dim = min(1, x.dim() - 1)
    assert_same(lambda x: softmax(x, dim), lambda x: F.softmax(x, dim), x)
    assert_same(lambda x: log_softmax(x, dim), lambda x: F.log_softmax(x, dim), x)


@quick
@given(logits(FINITE), st.floats(-1000, 1000, width=32))
def test_softmax_does_not_change_when_a_number_is_added_to_all_logits(x, shift):
    x = x.double()
    assert_close(softmax(x + shift), softmax(x), rtol=1e-9, atol=1e-9)
    assert_close(softmax(x).sum(-1), torch.ones(x.shape[:-1], dtype=x.dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    x = torch.linspace(-20, 20, 24, dtype=dtype).reshape(4, 6)
    y = torch.tensor([0, 5, 2, 3])
    assert_close(softmax(x, -1), F.softmax(x.float(), -1))
    assert_close(log_softmax(x, -1), F.log_softmax(x.float(), -1))
    assert_close(cross_entropy(x, y), F.cross_entropy(x.float(), y))
    assert_close(binary_cross_entropy(x, x.sigmoid()),
                 F.binary_cross_entropy_with_logits(x.float(), x.sigmoid().float()))


def test_whole_number_logits_give_probabilities_rather_than_zeros():
    assert_close(softmax(torch.tensor([0, 0])), torch.tensor([0.5, 0.5]))
    assert_close(sigmoid(torch.tensor([0, 100])), torch.tensor([0.5, 1.0]))


# Labels

@quick
@given(problems(), st.sampled_from([0.0, 0.1, 1.0]))
def test_cross_entropy_of_labels_is_torchs_in_value_and_gradient(problem, smoothing):
    x, y, options = problem
    options["label_smoothing"] = smoothing
    assert_same_or_explained(lambda x: cross_entropy(x, y, **options),
                             lambda x: F.cross_entropy(x, y, **like(x, options)), x)


@quick
@given(problems())
def test_nll_is_torchs_in_value_and_gradient(problem):
    x, y, options = problem
    for log_probs in (F.log_softmax(x, min(1, x.dim() - 1)), x):
        assert_same_or_explained(lambda x: nll(x, y, **options),
                                 lambda x: F.nll_loss(x, y, **like(x, options)), log_probs)


def test_cross_entropy_is_nll_of_log_softmax():
    x = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    y = torch.arange(20).reshape(5, 4) % 3
    options = {"weight": torch.tensor([1.0, 2.0, 3.0]), "ignore_index": 1}
    for reduction in REDUCTIONS:
        composed = nll(log_softmax(x, 1), y, reduction=reduction, **options)
        assert_close(cross_entropy(x, y, reduction=reduction, **options), composed)


def test_the_gradient_is_probabilities_minus_one_hot():
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    y = torch.arange(6) % 4
    _, gradient = value_and_gradient(lambda x: cross_entropy(x, y, reduction="sum"), x)
    upstream = 0.5  # of `value_and_gradient`, for a single number
    assert_close(gradient, upstream * (F.softmax(x, 1) - F.one_hot(y, 4)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_may_be_whole_numbers_of_any_dtype(dtype):
    x = torch.randn(3, 300, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 200, 255])
    assert_close(cross_entropy(x, y.to(dtype)), F.cross_entropy(x, y))
    with pytest.raises(ValueError, match="Label 200 is out of range: there are 5 classes"):
        cross_entropy(x[:, :5], y.to(dtype))


def test_equal_probabilities_have_the_loss_log_n():
    assert_close(cross_entropy(torch.zeros(4, 11), torch.arange(4)), torch.tensor(math.log(11)))
    assert_close(binary_cross_entropy(torch.zeros(4), torch.tensor([0, 1, 1, 0])),
                 torch.tensor(math.log(2)))


def test_digits_survive_in_large_logits():
    x = torch.tensor([[1e4, 1e4 + 0.5]])
    assert_close(cross_entropy(x, torch.tensor([1])), torch.tensor(0.4741), rtol=0, atol=5e-5)


# Probabilities as targets

@quick
@given(st.data(), st.sampled_from([0.0, 0.1, 1.0]))
def test_cross_entropy_of_soft_targets_is_torchs_in_value_and_gradient(data, smoothing):
    x = data.draw(logits())
    dim = min(1, x.dim() - 1)
    q = data.draw(tensors(x.shape, FRACTIONS, x.dtype))
    if data.draw(st.booleans()):
        q = q / q.sum(dim, keepdim=True).clamp(min=1e-3)
    weights = tensors((x.shape[dim],), WEIGHTS, x.dtype)
    options = {"weight": data.draw(st.none() | weights), "label_smoothing": smoothing,
               "reduction": data.draw(st.sampled_from(REDUCTIONS))}
    assert_same(lambda x: cross_entropy(x, q, **options),
                lambda x: F.cross_entropy(x, q.to(x), **like(x, options)), x)


@quick
@given(logits())
def test_a_one_hot_target_is_the_same_as_its_label_even_beside_ruled_out_classes(x):
    x = x.reshape(-1, x.shape[-1])
    x = torch.where(x.isneginf().all(1, keepdim=True), 0, x)
    y = x.argmax(1)
    one_hot = F.one_hot(y, x.shape[1]).to(x.dtype)
    value, gradient = value_and_gradient(lambda x: cross_entropy(x, one_hot), x)
    expected, expected_gradient = value_and_gradient(lambda x: F.cross_entropy(x, y), x)
    assert_close(value, expected)
    assert_close(gradient, expected_gradient)


def test_the_gradient_by_soft_targets_is_torchs():
    x = torch.tensor([[1.0, -2.0, 3.0]])
    q = torch.tensor([[0.0, 0.25, 0.75]])
    assert_same(lambda q: cross_entropy(x, q), lambda q: F.cross_entropy(x.to(q), q), q)


# Binary

@quick
@given(st.data(), st.sampled_from(DTYPES))
def test_binary_cross_entropy_is_torchs_in_value_and_gradient(data, dtype):
    shape = data.draw(st.lists(st.integers(1, 4), max_size=3).map(tuple))
    x = data.draw(tensors(shape, FINITE, dtype))
    yes = data.draw(tensors(shape, st.sampled_from([0, 1]) | FRACTIONS, dtype))
    weight = st.none() | tensors(shape[-1:], WEIGHTS, dtype)
    options = {"weight": data.draw(weight), "pos_weight": data.draw(weight),
               "reduction": data.draw(st.sampled_from(REDUCTIONS))}
    assert_same(lambda x: binary_cross_entropy(x, yes, **options),
                lambda x: F.binary_cross_entropy_with_logits(x, yes.to(x), **like(x, options)), x)


def test_a_logit_of_minus_infinity_costs_nothing_if_the_target_is_no():
    x = torch.tensor([-math.inf, -math.inf])
    value, gradient = value_and_gradient(
        lambda x: binary_cross_entropy(x, torch.tensor([0, 1]), reduction="none"), x)
    assert value.tolist() == [0, math.inf]
    assert gradient[0] == 0
    assert gradient[1] < 0


def test_each_label_of_a_multi_label_target_is_a_question_of_its_own():
    x = torch.tensor([[2.0, -1.0, 0.5]])
    yes = torch.tensor([[1, 0, 1]])
    one_by_one = torch.stack([binary_cross_entropy(x[0, i], yes[0, i]) for i in range(3)])
    assert_close(binary_cross_entropy(x, yes), one_by_one.mean())
    as_two_classes = torch.stack([torch.zeros(3), x[0]], 1)
    assert_close(one_by_one, cross_entropy(as_two_classes, yes[0], reduction="none"))


# What is wrong is said

ROWS = torch.tensor([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0]])
LABELS = torch.tensor([0, 1])
SOFT = F.one_hot(LABELS, 3).float()
LOSSES = [cross_entropy, nll]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("label", [3, -1, 1000, -(2**62)])
def test_a_label_out_of_range_is_named_with_the_number_of_classes(loss, label, reduction):
    with pytest.raises(ValueError, match=f"Label {label} is out of range: there are 3 classes"):
        loss(ROWS, torch.tensor([0, label]), reduction=reduction)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_of_nothing_but_labels_out_of_range_is_explained(loss):
    with pytest.raises(ValueError, match="Label 3 is out of range"):
        loss(ROWS, torch.tensor([3, 3]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4)])
def test_a_label_out_of_range_is_found_in_any_shape_and_with_label_smoothing(shape, smoothing):
    y = torch.zeros(shape).select(min(1, len(shape) - 1), 0).long()
    y.view(-1)[-1] = 3
    with pytest.raises(ValueError, match="Label 3 is out of range"):
        cross_entropy(torch.zeros(shape), y, label_smoothing=smoothing)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_empty_batch_has_no_mean(loss):
    with pytest.raises(ValueError, match="The batch is empty"):
        loss(ROWS[:0], LABELS[:0])
    assert loss(ROWS[:0], LABELS[:0], reduction="sum") == 0
    assert loss(ROWS[:0], LABELS[:0], reduction="none").shape == (0,)


@pytest.mark.parametrize("loss", [cross_entropy, binary_cross_entropy])
def test_an_empty_batch_of_soft_or_multi_label_targets_has_no_mean(loss):
    with pytest.raises(ValueError, match="The batch is empty"):
        loss(ROWS[:0], ROWS[:0])
    assert loss(ROWS[:0], ROWS[:0], reduction="sum") == 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weight", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
def test_a_batch_of_nothing_but_classes_of_weight_0_is_refused(loss, weight):
    with pytest.raises(ValueError, match="weights of all labels in this batch add up to 0"):
        loss(ROWS, LABELS, weight=torch.tensor(weight))


def test_a_batch_of_nothing_but_classes_of_weight_0_is_refused_with_label_smoothing_too():
    with pytest.raises(ValueError, match="add up to 0"):
        cross_entropy(ROWS, LABELS, weight=torch.tensor([0.0, 0.0, 1.0]), label_smoothing=0.1)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_whose_labels_are_all_ignored_is_refused(loss):
    with pytest.raises(ValueError, match="Check weight, and ignore_index"):
        loss(ROWS, torch.full((2,), -100))
    assert loss(ROWS, torch.full((2,), -100), reduction="sum") == 0


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("targets", [LABELS, SOFT], ids=["labels", "soft"])
def test_an_item_whose_logits_are_all_minus_infinity_is_named(targets, reduction):
    rows = ROWS.index_fill(0, torch.tensor(1), -math.inf)
    with pytest.raises(ValueError, match="All logits of item 1 are -inf"):
        cross_entropy(rows, targets, reduction=reduction)


def test_an_ignored_item_may_have_logits_that_are_all_minus_infinity_as_in_torch():
    rows = ROWS.index_fill(0, torch.tensor(1), -math.inf)
    targets = torch.tensor([0, -100])
    assert_close(cross_entropy(rows, targets), F.cross_entropy(rows, targets))


@pytest.mark.parametrize("shape", [(2, 1), (3,), (), (2, 2)])
def test_targets_that_do_not_fit_are_refused_with_both_shapes(shape):
    with pytest.raises(ValueError) as caught:
        cross_entropy(ROWS, torch.zeros(shape, dtype=torch.long))
    message = str(caught.value)
    assert "logits of shape [2, 3]" in message
    assert "shape [2], or probabilities" in message
    assert f"got torch.int64 of shape {list(shape)}" in message


@pytest.mark.parametrize("targets", [LABELS.float(), SOFT.long()], ids=["labels", "soft"])
def test_targets_of_the_wrong_dtype_are_refused_with_it(targets):
    with pytest.raises(ValueError, match=f"got {targets.dtype}"):
        cross_entropy(ROWS, targets)


@pytest.mark.parametrize("loss", LOSSES)
def test_class_weights_of_the_wrong_number_are_refused(loss):
    with pytest.raises(ValueError, match=r"one number per class, 3 in all; got shape \[2\]"):
        loss(ROWS, LABELS, weight=torch.ones(2))


def test_class_weights_may_be_of_another_dtype():
    weight = torch.tensor([1.0, 2.0, 3.0])
    expected = F.cross_entropy(ROWS, LABELS, weight=weight)
    assert_close(cross_entropy(ROWS, LABELS, weight=weight.double()), expected)


@pytest.mark.parametrize("smoothing", [-0.1, 1.5, math.nan])
def test_label_smoothing_outside_0_to_1_is_refused(smoothing):
    with pytest.raises(ValueError, match=f"label_smoothing must be .* got {smoothing}"):
        cross_entropy(ROWS, LABELS, label_smoothing=smoothing)


@pytest.mark.parametrize("loss", LOSSES + [binary_cross_entropy])
def test_an_unknown_reduction_is_refused(loss):
    targets = ROWS if loss is binary_cross_entropy else LABELS
    with pytest.raises(ValueError, match='reduction must be "mean", "sum" or "none"; got \'avg\''):
        loss(ROWS, targets, reduction="avg")


def test_class_labels_are_refused_by_binary_cross_entropy():
    with pytest.raises(ValueError, match=r"shape of logits, \[2, 3\].*got \[2\].*try cross_entropy"):
        binary_cross_entropy(ROWS, LABELS)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_nan_or_infinite_give_nan_for_the_training_loop_to_stop(bad):
    rows = ROWS.clone()
    rows[1, 2] = bad
    assert cross_entropy(rows, LABELS).isnan()
    assert nll(log_softmax(rows), LABELS).isnan()
    assert cross_entropy(rows, SOFT).isnan()
    explain_nan(rows, LABELS)


def test_the_module_imports_only_torch():
    imports = [node for node in ast.walk(ast.parse(inspect.getsource(losses)))
               if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert {ast.unparse(node) for node in imports} == {"import torch", "from torch import Tensor"}


# On a GPU

@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "weight": torch.ones(3)}])
@pytest.mark.parametrize("targets", [LABELS, SOFT], ids=["labels", "soft"])
def test_no_value_is_read_off_the_cpu(targets, options):
    # A tensor on the "meta" device has a shape but no values: reading one raises an error.
    rows = ROWS.to("meta")
    assert cross_entropy(rows, targets.to("meta"), **options).shape == ()
    assert binary_cross_entropy(rows, rows).shape == ()
    with pytest.raises((RuntimeError, NotImplementedError)):
        bool(cross_entropy(rows, targets.to("meta"), **options).isnan())


@pytest.mark.parametrize(("rows", "targets", "options", "cause"), [
    (ROWS, LABELS + 2, {}, "Label 3 is out of range"),
    (ROWS, LABELS - 2, {"ignore_index": -1}, "Label -2 is out of range"),
    (ROWS - math.inf, LABELS, {}, "All logits of item 0 are -inf"),
    (ROWS - math.inf, SOFT, {}, "All logits of item 0 are -inf"),
])
def test_whoever_reads_a_nan_can_ask_for_its_cause(rows, targets, options, cause):
    with pytest.raises(ValueError, match=cause):
        explain_nan(rows, targets, **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_wrong_label_on_a_gpu_gives_nan_and_the_gpu_stays_usable():
    rows = ROWS.cuda()
    labels = LABELS.cuda()
    assert cross_entropy(rows, labels + 2).isnan()
    with pytest.raises(ValueError, match="Label 3 is out of range"):
        explain_nan(rows, labels + 2)
    assert_close(cross_entropy(rows, labels).cpu(), F.cross_entropy(ROWS, LABELS))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_never_waited_for():
    rows = ROWS.cuda()
    labels = LABELS.cuda()
    weight = torch.ones(3, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss = cross_entropy(rows, labels, label_smoothing=0.1, weight=weight)
        binary_loss = binary_cross_entropy(rows, rows)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert loss.isfinite() and binary_loss.isfinite()
