"""Calibration, refusal, distance and averaged weights: against scikit-learn, scipy and counting."""
import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from small import small_model
from torch import nn
from torch.nn import functional as F

from transfer_lessons.threshold_explorer import ThresholdExplorer, threshold_counts
from transfer_lessons.trust import (
    average_weights,
    calibration_error,
    choose_threshold,
    fit_temperature,
    neighbour_distance,
    refusal_curve,
    reliability,
)

quick = settings(deadline=None, max_examples=60)
scored = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=40)


def made_up(n: int = 300, scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are too large by a factor, and targets drawn from the true probabilities."""
    generator = torch.Generator().manual_seed(0)
    true_logits = 2 * torch.randn(n, 5, generator=generator)
    targets = torch.multinomial(true_logits.softmax(1), 1, generator=generator)[:, 0]
    return scale * true_logits, targets


# Calibration

def test_groups_are_those_of_scikit_learns_quantiles():
    logits, targets = made_up()
    confidences, predicted = logits.softmax(1).double().max(1)
    correct = predicted == targets
    groups = reliability(confidences, correct, 6)
    fractions, means = calibration_curve(correct, confidences, n_bins=6, strategy="quantile")
    np.testing.assert_allclose([group.correct for group in groups], fractions)
    np.testing.assert_allclose([group.confidence for group in groups], means)


@quick
@given(scored, st.integers(1, 10))
def test_every_image_is_in_one_group(pairs, n_groups):
    confidences, correct = zip(*pairs, strict=True)
    groups = reliability(confidences, correct, n_groups)
    assert sum(group.n for group in groups) == len(pairs)
    assert all(group.low - 1e-9 <= group.correct <= group.high + 1e-9 for group in groups)
    assert 0 <= calibration_error(groups) <= 1


def test_the_temperature_is_the_one_with_the_lowest_loss():
    logits, targets = made_up()
    best = minimize_scalar(lambda t: F.cross_entropy(logits.double() / t, targets).item(),
                           bounds=(0.05, 50), method="bounded", options={"xatol": 1e-8})
    assert math.isclose(fit_temperature(logits, targets), best.x, rel_tol=1e-4)


def test_a_network_that_is_overconfident_by_a_factor_gets_that_factor():
    logits, targets = made_up(n=20_000)
    assert abs(fit_temperature(logits, targets) - 3) < 0.15
    assert abs(fit_temperature(logits / 3, targets) - 1) < 0.05


@pytest.mark.case("temperature of a network that is always right", "refused: none is the lowest")
def test_no_temperature_fits_a_network_that_is_always_right():
    logits = torch.eye(3)
    with pytest.raises(ValueError, match="every image is predicted correctly"):
        fit_temperature(logits, torch.arange(3))
    with pytest.raises(ValueError, match="no better than chance"):
        fit_temperature(logits, torch.tensor([1, 2, 0]))


# Refusal

@quick
@given(scored)
def test_the_refusal_curve_is_what_counting_gives(pairs):
    confidences, wrong = (np.array(column) for column in zip(*pairs, strict=True))
    curve = refusal_curve(confidences, wrong)
    assert curve.refused[0] == 0
    for threshold, refused, rate in zip(*curve, strict=True):
        named = confidences >= threshold
        assert math.isclose(refused, (~named).mean(), abs_tol=1e-12)
        assert math.isclose(rate, wrong[named].mean(), abs_tol=1e-12)


@quick
@given(scored, st.floats(0, 1))
def test_a_threshold_keeps_its_promise_where_it_was_chosen(pairs, max_wrong):
    confidences, wrong = (np.array(column) for column in zip(*pairs, strict=True))
    try:
        threshold = choose_threshold(confidences, wrong, max_wrong)
    except ValueError as error:
        assert "cannot be reached" in str(error)
        assert all(wrong[confidences >= value].mean() > max_wrong for value in confidences)
        return
    assert wrong[confidences >= threshold].mean() <= max_wrong
    assert not any(wrong[confidences >= value].mean() <= max_wrong
                   for value in confidences[confidences < threshold])


def test_the_explorer_counts_what_the_curve_says():
    rng = np.random.default_rng(0)
    confidences, correct, unknown = rng.random(40), rng.random(40) < 0.7, rng.random(9)
    explorer = ThresholdExplorer(confidences, correct, unknown)
    for threshold, refused, rate in zip(*explorer.curve, strict=True):
        counts = threshold_counts(*explorer.groups, threshold)
        assert math.isclose(counts.refused / 49, refused)
        assert math.isclose((counts.wrong + counts.unknown) / counts.n_named, rate)
    explorer.controls["threshold"].value = 1.0
    assert "all of them" in explorer.sentence


# Features and distances

@quick
@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_distances_are_scikit_learns(k, seed):
    generator = torch.Generator().manual_seed(seed)
    features, queries = torch.randn(12, 6, generator=generator), torch.randn(5, 6, generator=generator)
    nearest = NearestNeighbors(n_neighbors=k, metric="cosine").fit(features)
    expected = nearest.kneighbors(queries)[0][:, -1]
    np.testing.assert_allclose(neighbour_distance(features, queries, k), expected, atol=1e-5)


def test_fewer_images_than_neighbours_are_enough():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert neighbour_distance(features, features[:1], k=9).item() == pytest.approx(1)


def test_far_images_are_told_from_near_ones():
    generator = torch.Generator().manual_seed(0)
    near = torch.randn(50, 8, generator=generator) + torch.tensor([9.0] + [0.0] * 7)
    far = torch.randn(20, 8, generator=generator) - torch.tensor([9.0] + [0.0] * 7)
    distances = torch.cat([neighbour_distance(near[:30], near[30:]),
                           neighbour_distance(near[:30], far)])
    assert roc_auc_score([0] * 20 + [1] * 20, distances) == 1


def test_features_are_what_the_last_layer_gets(small_learner):
    learn = small_learner()
    before = copy.deepcopy(learn.model.state_dict())
    features = learn.get_features()
    logits, _ = learn.get_logits()
    torch.testing.assert_close(learn.model[1][-1](features), logits)
    assert len(learn.get_features(learn.dls.train)) == len(learn.dls.train.dataset)
    assert all(torch.equal(value, before[name]) for name, value in learn.model.state_dict().items())
    assert not learn.model[1][-1]._forward_pre_hooks, "nothing is left behind"


def test_a_network_without_a_linear_layer_has_no_features(small_learner):
    learn = small_learner()
    learn.model[1][-1] = nn.Unflatten(1, (3, 2))
    with pytest.raises(ValueError, match="no linear layer"):
        learn.get_features()


# Averaged weights

def test_weights_are_averaged_and_both_ends_are_the_networks():
    torch.manual_seed(0)
    first, second = small_model().state_dict(), small_model().state_dict()
    for weight in (0, 0.3, 1):
        averaged = average_weights(first, second, weight)
        for name, value in averaged.items():
            expected = second[name]
            if value.is_floating_point():
                expected = (1 - weight) * first[name] + weight * second[name]
            torch.testing.assert_close(value, expected)
    small_model().load_state_dict(averaged)
    averaged["1.3.bias"].zero_()
    assert second["1.3.bias"].abs().sum() > 0, "neither network is changed"


@pytest.mark.case("average of two architectures", "refused, naming a weight that differs")
def test_networks_of_other_shapes_are_not_averaged():
    with pytest.raises(ValueError, match=r"'1.3.weight': \(3, 6\) and \(4, 6\)"):
        average_weights(small_model(3).state_dict(), small_model(4).state_dict())
    with pytest.raises(ValueError, match="missing"):
        average_weights(small_model().state_dict(), nn.Linear(2, 2).state_dict())


@pytest.mark.parametrize("call, says", [
    (lambda: reliability([], []), "at least one"),
    (lambda: reliability([90], [True]), "fractions, 0 to 1"),
    (lambda: reliability([0.5, math.nan], [True, False]), r"confidences\[1\]"),
    (lambda: refusal_curve([0.5], [True, False]), "got 1 and 2"),
    (lambda: choose_threshold([0.5], [True], 10), "max_wrong must be"),
    (lambda: fit_temperature(torch.zeros(2, 3), torch.tensor([0, 3])), "from 0 to 2"),
    (lambda: fit_temperature(torch.zeros(3), torch.tensor([0])), "shapes"),
    (lambda: fit_temperature(torch.full((2, 3), math.nan), torch.tensor([0, 1])), "finite"),
    (lambda: neighbour_distance(torch.zeros(3, 4), torch.zeros(3, 5)), "as many features"),
    (lambda: neighbour_distance(torch.zeros(0, 4), torch.zeros(3, 4)), "at least one image"),
    (lambda: average_weights([1], {}), "first must be of type Mapping"),
])
def test_what_makes_no_sense_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
