"""The losses: PyTorch's values and slopes where those are finite, else an error that says why."""
import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from transfer_lessons.losses import (
    binary_cross_entropy,
    cross_entropy,
    log_softmax,
    nll,
    sigmoid,
    softmax,
)

REDUCTIONS = ("mean", "sum", "none")
DTYPES = (torch.float32, torch.float64)
SHARES = st.just(0.0) | st.floats(2**-10, 1, width=32)  # subnormal ones would vanish in a product
WEIGHTS = st.just(0.0) | st.floats(0.125, 8, width=32)
NUMBERS = st.one_of(st.floats(-5, 5, width=32), st.floats(-1e4, 1e4, width=32))
SCORES = st.one_of(NUMBERS, st.just(-math.inf))
quick = settings(deadline=None, max_examples=80)


@st.composite
def tensors(draw, shape: tuple[int, ...], elements=NUMBERS, dtype=torch.float64) -> Tensor:
    size = math.prod(shape)
    values = draw(st.lists(elements, min_size=size, max_size=size))
    return torch.tensor(values, dtype=torch.float64).reshape(shape).to(dtype)


@st.composite
def logits(draw, elements=SCORES, max_dims: int = 4) -> Tensor:
    """Logits [C], [N, C] or [N, C, d1, ...]; every item keeps at least one class."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=max_dims).map(tuple))
    scores = draw(tensors(shape, elements, draw(st.sampled_from(DTYPES))))
    dim = min(1, scores.dim() - 1)
    ruled_out = (scores == -math.inf).all(dim, keepdim=True)
    return torch.where(ruled_out, torch.zeros_like(scores), scores)


@st.composite
def problems(draw) -> tuple[Tensor, Tensor, dict]:
    """Logits, labels and options that PyTorch takes."""
    scores = draw(logits())
    dim = min(1, scores.dim() - 1)
    n_classes, items = scores.shape[dim], scores.select(dim, 0).shape
    ignore_index = draw(st.sampled_from([-100, -1, 0]))
    labels = draw(tensors(items, st.integers(0, n_classes - 1), torch.long))
    ignored = draw(tensors(items, st.integers(0, 3), torch.long)) == 3
    weights = tensors((n_classes,), WEIGHTS, scores.dtype)
    return scores, torch.where(ignored, ignore_index, labels), {
        "weight": draw(st.none() | weights), "ignore_index": ignore_index,
        "reduction": draw(st.sampled_from(REDUCTIONS))}


def value_and_slope(function, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    value = function(x)
    upstream = torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).reshape(value.shape)
    return value.detach(), torch.autograd.grad(value, x, upstream)[0]


def like(x: Tensor, options: dict) -> dict:
    """The options with their tensors in the type of `x`."""
    return {name: option.to(x) if isinstance(option, Tensor) else option
            for name, option in options.items()}


def assert_same(ours, oracle, x: Tensor) -> None:
    """Equal in value and slope wherever the oracle is a number; never nan on our side.

    The oracle works in float64: in float32 PyTorch itself loses digits where large parts cancel.
    """
    value, slope = value_and_slope(ours, x)
    expected, expected_slope = value_and_slope(oracle, x.double())
    close = {"check_dtype": False} | dict.fromkeys(("rtol", "atol"),
                                                   1e-5 if x.dtype == torch.float32 else 1e-10)
    assert value.dtype == x.dtype and value.shape == expected.shape
    assert not value.isnan().any() and not slope.isnan().any()
    known, known_slope = ~expected.isnan(), ~expected_slope.isnan()
    assert_close(value[known], expected[known], **close)
    assert_close(slope[known_slope], expected_slope[known_slope], **close)


def assert_same_or_explained(ours, oracle, x: Tensor) -> None:
    """As `assert_same`, but where the oracle gives nan there may be a `ValueError`."""
    try:
        ours(x)
    except ValueError as error:
        assert oracle(x.double()).isnan().any(), error
    else:
        assert_same(ours, oracle, x)


# Probabilities

@quick
@given(st.data(), st.sampled_from(DTYPES))
def test_sigmoid_is_torchs_in_value_and_slope(data, dtype):
    x = data.draw(tensors((data.draw(st.integers(0, 6)),), SCORES, dtype))
    assert_same(sigmoid, torch.sigmoid, x)


def test_sigmoid_has_the_right_slope_at_exactly_zero_and_at_both_infinities():
    assert_same(sigmoid, torch.sigmoid, torch.tensor([0.0, -0.0, math.inf, -math.inf]))


@quick
@given(st.data())
def test_softmax_and_its_logarithm_are_torchs_along_any_dimension(data):
    x = data.draw(logits(NUMBERS))
    dim = data.draw(st.integers(-x.dim(), x.dim() - 1))
    assert_same(lambda x: softmax(x, dim), lambda x: F.softmax(x, dim), x)
    assert_same(lambda x: log_softmax(x, dim), lambda x: F.log_softmax(x, dim), x)


@quick
@given(logits())
def test_softmax_bears_classes_that_are_ruled_out(x):
    dim = min(1, x.dim() - 1)
    assert_same(lambda x: softmax(x, dim), lambda x: F.softmax(x, dim), x)
    assert_same(lambda x: log_softmax(x, dim), lambda x: F.log_softmax(x, dim), x)


@quick
@given(logits(NUMBERS), st.floats(-1000, 1000, width=32))
def test_softmax_does_not_change_when_all_scores_move_together(x, shift):
    x = x.double()
    assert_close(softmax(x + shift), softmax(x), rtol=1e-9, atol=1e-9)
    assert_close(softmax(x).sum(-1), torch.ones(x.shape[:-1], dtype=x.dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    x, y = torch.linspace(-20, 20, 24, dtype=dtype).reshape(4, 6), torch.tensor([0, 5, 2, 3])
    for ours, oracle in ((softmax, F.softmax), (log_softmax, F.log_softmax)):
        assert_close(ours(x, -1), oracle(x.float(), -1))
    assert_close(cross_entropy(x, y), F.cross_entropy(x.float(), y))
    assert_close(binary_cross_entropy(x, x.sigmoid()),
                 F.binary_cross_entropy_with_logits(x.float(), x.sigmoid().float()))


def test_whole_number_scores_give_probabilities_rather_than_zeros():
    assert_close(softmax(torch.tensor([0, 0])), torch.tensor([0.5, 0.5]))
    assert_close(sigmoid(torch.tensor([0, 100])), torch.tensor([0.5, 1.0]))


# Labels

@quick
@given(problems(), st.sampled_from([0.0, 0.1, 1.0]))
def test_cross_entropy_of_labels_is_torchs_in_value_and_slope(problem, smoothing):
    x, y, options = problem
    options["label_smoothing"] = smoothing
    assert_same_or_explained(lambda x: cross_entropy(x, y, **options),
                             lambda x: F.cross_entropy(x, y, **like(x, options)), x)


@quick
@given(problems())
def test_nll_is_torchs_in_value_and_slope(problem):
    x, y, options = problem
    dim = min(1, x.dim() - 1)
    for log_probs in (F.log_softmax(x, dim), x):
        assert_same_or_explained(lambda x: nll(x, y, **options),
                                 lambda x: F.nll_loss(x, y, **like(x, options)), log_probs)


@quick
@given(problems())
def test_cross_entropy_is_nll_of_log_softmax(problem):
    x, y, options = problem
    if options["reduction"] == "mean":
        options["reduction"] = "sum"
    composed = nll(log_softmax(x, min(1, x.dim() - 1)), y, **options)
    assert_close(cross_entropy(x, y, **options), composed)


@quick
@given(logits(NUMBERS, max_dims=2))
def test_the_slope_is_probabilities_minus_one_hot(x):
    x = x.double().reshape(-1, x.shape[-1])
    y = torch.arange(len(x)) % x.shape[1]
    x.requires_grad_()
    slope, = torch.autograd.grad(cross_entropy(x, y, reduction="sum"), x)
    assert_close(slope, F.softmax(x.detach(), 1) - F.one_hot(y, x.shape[1]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_may_be_any_whole_numbers(dtype):
    x = torch.randn(3, 300, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 200, 255])
    assert_close(cross_entropy(x, y.to(dtype)), F.cross_entropy(x, y))


def test_knowing_nothing_costs_the_logarithm_of_the_number_of_classes():
    assert_close(cross_entropy(torch.zeros(4, 11), torch.arange(4)), torch.tensor(math.log(11)))
    assert_close(binary_cross_entropy(torch.zeros(4), torch.tensor([0, 1, 1, 0])),
                 torch.tensor(math.log(2)))


def test_digits_survive_far_from_zero():
    x = torch.tensor([[1e4, 1e4 + 0.5]])
    assert_close(cross_entropy(x, torch.tensor([1])), torch.tensor(0.4741), rtol=0, atol=5e-5)


# Probabilities as targets

@quick
@given(st.data(), st.sampled_from([0.0, 0.1, 1.0]))
def test_cross_entropy_of_probabilities_is_torchs_in_value_and_slope(data, smoothing):
    x = data.draw(logits())
    dim = min(1, x.dim() - 1)
    shares = data.draw(tensors(x.shape, SHARES, x.dtype))
    if data.draw(st.booleans()):
        shares = shares / shares.sum(dim, keepdim=True).clamp(min=1e-3)
    weights = tensors((x.shape[dim],), WEIGHTS, x.dtype)
    options = {"weight": data.draw(st.none() | weights), "label_smoothing": smoothing,
               "reduction": data.draw(st.sampled_from(REDUCTIONS))}
    assert_same(lambda x: cross_entropy(x, shares, **options),
                lambda x: F.cross_entropy(x, shares.to(x), **like(x, options)), x)


@quick
@given(logits())
def test_a_one_hot_target_is_the_same_as_its_label_even_where_classes_are_ruled_out(x):
    x = x.reshape(-1, x.shape[-1])
    y = x.argmax(1)
    one_hot = F.one_hot(y, x.shape[1]).to(x.dtype)
    value, slope = value_and_slope(lambda x: cross_entropy(x, one_hot), torch.where(
        x.isneginf().all(1, keepdim=True), 0, x))
    expected, expected_slope = value_and_slope(lambda x: F.cross_entropy(x, y), torch.where(
        x.isneginf().all(1, keepdim=True), 0, x))
    assert_close(value, expected)
    assert_close(slope, expected_slope)


def test_the_slope_with_respect_to_soft_targets_is_torchs():
    x = torch.tensor([[1.0, -2.0, 3.0]])
    q = torch.tensor([[0.0, 0.25, 0.75]])
    assert_same(lambda q: cross_entropy(x, q), lambda q: F.cross_entropy(x.to(q), q), q)


# Binary

@quick
@given(st.data(), st.sampled_from(DTYPES))
def test_binary_cross_entropy_is_torchs_in_value_and_slope(data, dtype):
    shape = data.draw(st.lists(st.integers(1, 4), max_size=3).map(tuple))
    x = data.draw(tensors(shape, NUMBERS, dtype))
    yes = data.draw(tensors(shape, st.sampled_from([0, 1]) | SHARES, dtype))
    weight = st.none() | tensors(shape[-1:], WEIGHTS, dtype)
    options = {"weight": data.draw(weight), "pos_weight": data.draw(weight),
               "reduction": data.draw(st.sampled_from(REDUCTIONS))}
    assert_same(lambda x: binary_cross_entropy(x, yes, **options),
                lambda x: F.binary_cross_entropy_with_logits(x, yes.to(x), **like(x, options)), x)


def test_a_question_ruled_out_costs_nothing_if_the_answer_is_no():
    x = torch.tensor([-math.inf, -math.inf])
    value, slope = value_and_slope(
        lambda x: binary_cross_entropy(x, torch.tensor([0, 1]), reduction="none"), x)
    assert value.tolist() == [0, math.inf]
    assert slope[0] == 0 and slope[1] < 0


def test_several_answers_may_be_right_and_are_costed_one_by_one():
    x, yes = torch.tensor([[2.0, -1.0, 0.5]]), torch.tensor([[1, 0, 1]])
    one_by_one = torch.stack([binary_cross_entropy(x[0, i], yes[0, i]) for i in range(3)])
    assert_close(binary_cross_entropy(x, yes), one_by_one.mean())
    as_two_classes = torch.stack([torch.zeros(3), x[0]], 1)
    assert_close(one_by_one, cross_entropy(as_two_classes, yes[0], reduction="none"))


# What is wrong is said

ROWS = torch.tensor([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0]])
LABELS = torch.tensor([0, 1])
LOSSES = [cross_entropy, nll]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("label", [3, -1, 1000])
def test_a_label_out_of_range_is_named_with_the_number_of_classes(loss, label, reduction):
    with pytest.raises(ValueError, match=f"Label {label} is out of range: there are 3 classes"):
        loss(ROWS, torch.tensor([0, label]), reduction=reduction)


@quick
@given(logits(), st.integers(), st.booleans())
def test_any_label_out_of_range_is_found(x, label, smooth):
    x = x.reshape(-1, x.shape[-1])
    label = max(min(label, 2**62), -(2**62))
    if 0 <= label < x.shape[1] or label == -100:
        label = x.shape[1]
    y = torch.zeros(len(x), dtype=torch.long)
    y[-1] = label
    x = torch.where(x.isneginf().all(1, keepdim=True), 0, x)
    with pytest.raises(ValueError, match=f"Label {label} is out of range"):
        cross_entropy(x, y, label_smoothing=0.1 * smooth)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_empty_batch_has_no_mean(loss):
    with pytest.raises(ValueError, match="The batch is empty"):
        loss(ROWS[:0], LABELS[:0])
    assert loss(ROWS[:0], LABELS[:0], reduction="sum") == 0
    assert loss(ROWS[:0], LABELS[:0], reduction="none").shape == (0,)


def test_an_empty_batch_of_soft_targets_or_questions_has_no_mean():
    for loss in (cross_entropy, binary_cross_entropy):
        with pytest.raises(ValueError, match="The batch is empty"):
            loss(ROWS[:0], ROWS[:0])
        assert loss(ROWS[:0], ROWS[:0], reduction="sum") == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_class_weights_that_are_all_zero_are_refused(loss):
    with pytest.raises(ValueError, match="No item counts.*weight 0.*Check weight and ignore_index"):
        loss(ROWS, LABELS, weight=torch.zeros(3))
    with pytest.raises(ValueError, match="No item counts"):
        loss(ROWS, LABELS, weight=torch.tensor([0.0, 0.0, 1.0]))


def test_class_weights_that_are_all_zero_are_refused_with_label_smoothing_too():
    with pytest.raises(ValueError, match="No item counts"):
        cross_entropy(ROWS, LABELS, weight=torch.tensor([0.0, 0.0, 1.0]), label_smoothing=0.1)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_whose_items_are_all_ignored_is_refused(loss):
    with pytest.raises(ValueError, match="No item counts: each label is ignored"):
        loss(ROWS, torch.full((2,), -100))
    assert loss(ROWS, torch.full((2,), -100), reduction="sum") == 0


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("targets", [LABELS, F.one_hot(LABELS, 3).float()], ids=["labels", "soft"])
def test_an_item_without_any_class_is_named(targets, reduction):
    rows = ROWS.index_fill(0, torch.tensor(1), -math.inf)
    with pytest.raises(ValueError, match="All logits of item 1 are -inf"):
        cross_entropy(rows, targets, reduction=reduction)


def test_an_ignored_item_may_be_without_any_class_as_in_torch():
    rows = ROWS.index_fill(0, torch.tensor(1), -math.inf)
    targets = torch.tensor([0, -100])
    assert_close(cross_entropy(rows, targets), F.cross_entropy(rows, targets))


@pytest.mark.parametrize("shape", [(2, 1), (3,), (), (2, 2)])
def test_targets_that_do_not_fit_are_refused_with_both_shapes(shape):
    with pytest.raises(ValueError) as caught:
        cross_entropy(ROWS, torch.zeros(shape, dtype=torch.long))
    message = str(caught.value)
    assert "Logits of shape [2, 3]" in message and "labels of shape [2]" in message
    assert f"torch.int64 of {list(shape)}" in message


def test_labels_given_as_floats_are_refused_with_their_type():
    with pytest.raises(ValueError, match="whole-number labels of shape .*torch.float32"):
        cross_entropy(ROWS, LABELS.float())
    with pytest.raises(ValueError, match="torch.int64"):
        cross_entropy(ROWS, F.one_hot(LABELS, 3))


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_of_the_wrong_number_are_refused(loss):
    with pytest.raises(ValueError, match=r"weight has shape \[2\]: give one a class, 3"):
        loss(ROWS, LABELS, weight=torch.ones(2))


@pytest.mark.parametrize("share", [-0.1, 1.5, math.nan])
def test_label_smoothing_beyond_a_share_is_refused(share):
    with pytest.raises(ValueError, match=f"label_smoothing is {share}: give a share, 0 to 1"):
        cross_entropy(ROWS, LABELS, label_smoothing=share)


@pytest.mark.parametrize("loss", [*LOSSES, lambda x, y, **k: binary_cross_entropy(x, x, **k)])
def test_an_unknown_reduction_is_refused(loss):
    with pytest.raises(ValueError, match="reduction is 'avg': give \"mean\", \"sum\" or \"none\""):
        loss(ROWS, LABELS, reduction="avg")


def test_class_numbers_are_no_targets_for_binary_cross_entropy():
    with pytest.raises(ValueError, match=r"Logits \[2, 3\], targets \[2\]: give a 1 .*cross_entropy"):
        binary_cross_entropy(ROWS, LABELS)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_no_numbers_give_nan_for_the_training_loop_to_stop(bad):
    rows = ROWS.clone()
    rows[1, 2] = bad
    assert cross_entropy(rows, LABELS).isnan()
    assert nll(log_softmax(rows), LABELS).isnan()


def test_the_module_imports_only_torch():
    code = ("import sys, torch; before = set(sys.modules); import transfer_lessons.losses; "
            "print(sorted(m for m in set(sys.modules) - before if 'transfer_lessons' not in m))")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_a_wrong_label_is_named_and_the_process_lives_on():
    rows, labels = ROWS.cuda(), LABELS.cuda()
    with pytest.raises(ValueError, match="Label 3 is out of range"):
        cross_entropy(rows, labels + 2)
    assert_close(cross_entropy(rows, labels).cpu(), F.cross_entropy(ROWS, LABELS))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_waited_for_only_once():
    rows, labels = ROWS.cuda(), LABELS.cuda()
    cross_entropy(rows, labels)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchroniz") as warned:
            cross_entropy(rows, labels, label_smoothing=0.1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(warned) == 1
