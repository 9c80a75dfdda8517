"""Probes: nearest neighbours and logistic regression as scikit-learn has them, and learning curves."""
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from transfer_lessons.backbones import vision_model
from transfer_lessons.learner import Learner
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.probes import (
    all_features,
    fit_probe,
    learning_curve,
    nearest,
    predict_knn,
    predict_probe,
    stratified_split,
)


def blobs(n=120, n_classes=4, n_features=10, noise=1.0, seed=0):
    """Features around one centre per class, on scales that differ by a factor of 1,000."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(n) % n_classes
    centres = torch.randn(n_classes, n_features, generator=generator)
    features = centres[targets] + noise * torch.randn(n, n_features, generator=generator)
    return features * torch.logspace(-1, 2, n_features), targets


@pytest.mark.parametrize("k", [1, 3, 5, 40])
def test_nearest_neighbours_predict_as_scikit_learns_do(k):
    features, targets = blobs()
    queries, _ = blobs(50, seed=1)
    oracle = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(features, targets)
    assert predict_knn(features, targets, queries, k).tolist() == oracle.predict(queries).tolist()
    assert torch.equal(nearest(features, queries, k).sort(1).values,
                       torch.tensor(oracle.kneighbors(queries)[1]).sort(1).values)


def test_an_image_is_its_own_nearest_neighbour_and_more_than_all_cannot_be_had():
    features, targets = blobs(9, 3)
    assert nearest(features, features, 1)[:, 0].tolist() == list(range(9))
    assert torch.equal(predict_knn(features, targets, features[:2], k=50), torch.tensor([0, 0]))
    with pytest.raises(ValueError, match="k must be at most 9.*got 10. Try k=9"):
        nearest(features, features, 10)


@pytest.mark.parametrize("decay", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_probe_is_scikit_learns_logistic_regression(decay, n_classes):
    features, targets = blobs(n_classes=n_classes, noise=2.0)
    queries, _ = blobs(50, n_classes, seed=1)
    scaler = StandardScaler().fit(features)
    twice = 2 if n_classes == 2 else 1  # it has one row of weights for two classes: half the decay
    oracle = LogisticRegression(C=twice / (decay * len(features)), max_iter=5000, tol=1e-8)
    oracle.fit(scaler.transform(features), targets)
    expected = oracle.predict_proba(scaler.transform(queries))
    probabilities = fit_probe(features, targets, decay=decay)(queries).softmax(1).detach()
    np.testing.assert_allclose(probabilities, expected, atol=2e-3)
    predicted = predict_probe(features, targets, queries, decay)
    assert (predicted.numpy() == oracle.predict(scaler.transform(queries))).mean() > 0.97


@pytest.mark.case("a feature that is the same for all images",
                  "the probe gives it no weight, rather than divide by zero")
def test_a_constant_feature_does_no_harm():
    features, targets = blobs()
    constant = torch.cat([features, torch.full((len(features), 1), 7.0)], 1)
    with_it = fit_probe(constant, targets)
    assert torch.allclose(with_it(constant), fit_probe(features, targets)(features), atol=1e-3)
    assert torch.allclose(with_it.weight[:, -1], torch.zeros(4), atol=1e-4)


def test_a_probe_can_have_classes_that_it_has_not_seen():
    features, targets = blobs()
    probe = fit_probe(features, targets, n_classes=6)
    assert probe(features).shape == (120, 6)
    assert probe(features).argmax(1).max() < 4
    with pytest.raises(ValueError, match="n_classes must be"):
        fit_probe(features, targets, n_classes=3)


def test_certain_probabilities_are_classes_and_uncertain_ones_make_a_probe_less_certain():
    features, targets = blobs()
    certain = torch.nn.functional.one_hot(targets, 4).float()
    logits = fit_probe(features, targets)(features)
    assert torch.allclose(fit_probe(features, certain)(features), logits, atol=1e-3)
    uncertain = fit_probe(features, 0.7 * certain + 0.3 / 4)(features)
    assert uncertain.softmax(1).amax(1).mean() < logits.softmax(1).amax(1).mean()
    with pytest.raises(ValueError, match="features must be"):
        predict_knn(features, certain, features)


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), "much"])
def test_a_decay_that_is_none_is_refused(wrong):
    with pytest.raises((ValueError, TypeError), match="decay"):
        fit_probe(*blobs(), decay=wrong)


@pytest.mark.parametrize("features, targets", [
    (torch.rand(3, 4, 2), torch.arange(3)), (torch.rand(3, 4), torch.arange(4)),
    (torch.rand(0, 4), torch.arange(0)), (torch.rand(3, 4), torch.rand(3, 2, 2))])
def test_features_and_targets_that_do_not_fit_are_refused(features, targets):
    for function in (predict_knn, predict_probe):
        with pytest.raises(ValueError, match="features must be"):
            function(features, targets, torch.rand(2, 4))
    with pytest.raises(ValueError, match="features must be"):
        learning_curve(features, targets)


@pytest.mark.parametrize("pct", [0.1, 0.25, 0.5])
def test_a_split_holds_out_the_same_fraction_of_every_class_and_each_image_once(pct):
    targets = torch.tensor([0] * 60 + [1] * 20 + [2] * 8)
    training, test = stratified_split(targets, pct, seed=3)
    assert sorted([*training.tolist(), *test.tolist()]) == list(range(88))
    assert torch.bincount(targets[test]).tolist() == [round(pct * n) or 1 for n in (60, 20, 8)]
    again = stratified_split(targets, pct, seed=3)
    assert torch.equal(again[0], training) and torch.equal(again[1], test)
    assert not torch.equal(stratified_split(targets, pct, seed=4)[1], test)


def test_a_learning_curve_is_measured_on_images_that_were_not_trained_on_and_falls():
    features, targets = blobs(400, noise=1.5)
    asked = []
    def predict(few, few_targets, queries):
        rows = [{tuple(row) for row in part.tolist()} for part in (few, queries)]
        assert not rows[0] & rows[1]
        asked.append((torch.bincount(few_targets).tolist(), rows[0]))
        return predict_probe(few, few_targets, queries)
    curve = learning_curve(features, targets, predict, per_class=(1, 4, 1000), n_splits=3)
    assert curve.per_class == [1, 4, 1000] and curve.n_images == [4, 16, 300]
    assert [counts for counts, _ in asked] == 3 * [[1] * 4, [4] * 4, [75] * 4]
    assert asked[0][1] < asked[1][1] < asked[2][1], "the few are among the many"
    means = curve.errors.mean(0)
    assert curve.errors.shape == (3, 3) and means[0] > means[1] > means[2]


@pytest.mark.parametrize("wrong, name", [({"per_class": [0]}, "per_class"), ({"n_splits": 0}, "n_splits"),
                                         ({"per_class": "all"}, "per_class"), ({"predict": 3}, "predict"),
                                         ({"test_pct": 1.5}, "test_pct"), ({"per_class": []}, "per_class")])
def test_a_learning_curve_refuses_wrong_arguments(wrong, name):
    with pytest.raises((ValueError, TypeError), match=name):
        learning_curve(*blobs(), **wrong)


def test_all_features_are_those_of_the_body_in_the_order_of_the_loaders(drawings):
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_files(*drawings, size=48, bs=8, augment=False, device="cpu")
    learn = Learner(dls, vision_model("test_resnet.r160_in1k", 3, pretrained=False))
    learn.freeze()
    for given in (learn, learn.precompute()):
        features, targets = all_features(given)
        assert targets.tolist() == dls.train.dataset.targets + dls.valid.dataset.targets
        head = given.model[-1] if given is learn else learn.model[-1]
        logits = head[-1].eval()(features[len(dls.train.dataset):])
        assert torch.allclose(logits, learn.get_logits()[0], atol=1e-5)


def test_feature_maps_and_several_views_are_refused(drawings):
    dls = ImageDataLoaders.from_files(*drawings, size=48, bs=8, device="cpu")
    learn = Learner(dls, vision_model("test_resnet.r160_in1k", 3, pretrained=False))
    learn.freeze()
    with pytest.raises(ValueError, match="augment=False"):
        all_features(learn.precompute(views=2))
    with pytest.raises(ValueError, match="Augmentation is on"):
        all_features(learn)
