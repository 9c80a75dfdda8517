"""The study of learning rate rules: what is stored, how a rule is judged, and the explorer of it."""
import io
import json
import math
from importlib import resources

import numpy as np
import pytest
from PIL import Image

from transfer_lessons.lr_study import (
    LRStudyExplorer,
    StudyCase,
    difference,
    final,
    has_diverged,
    judge,
    mean_interval,
    plateau,
    read_case,
    read_study,
    regret,
    rules,
)

LRS = np.array([1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0])


def make_case(losses, errors=None, seed=0, start=3.0, **suggestions) -> StudyCase:
    """A case with the same outcome on both halves, or with one outcome for each."""
    losses = np.array(losses, float)
    losses = np.stack([losses, losses]) if losses.ndim == 1 else losses
    errors = losses / 10 if errors is None else np.array(errors, float)
    return StudyCase("data", "body", "head", 16, seed, [10, 30], start, LRS, losses, errors,
                     suggestions, [3.0, 2.9, 2.0, 4.0])


FALLS = [2.9, 2.5, 2.0, 1.5, 1.0, 1.04, 9.0]


def test_regret_is_what_a_sheet_of_paper_says():
    case = make_case([[4, 2, 1.0, 2, 5, 6, 7], [4, 3, 1.4, 1.2, 1.3, 6, 7]],
                     [[.9, .3, .1, .1, .5, .6, .7], [.9, .5, .2, .3, .5, .6, .7]])
    # Half 0 chooses 1e-3. Half 1 chooses 3e-3, where the median with both neighbours is 1.3.
    assert regret(case, 3e-3).loss == pytest.approx(((2 - 2) + (1.2 - 1.4)) / 2)
    assert regret(case, 1e-3).loss == pytest.approx(((1 - 2) + (1.4 - 1.4)) / 2)
    # Half 0 has its lowest error rate twice, so half 1 judges against the mean of both.
    assert regret(case, 1e-2).error == pytest.approx(((.5 - .1) + (.5 - (.2 + .3) / 2)) / 2)


def test_a_lucky_training_between_two_bad_ones_is_not_the_best():
    lucky = make_case([3, 2, 1.5, 1.4, 9.0, 0.1, 9.0])
    assert regret(lucky, 3e-3).loss == pytest.approx(0)


def test_between_two_trained_learning_rates_it_is_interpolated_on_a_log_scale():
    case = make_case(FALLS)
    np.testing.assert_allclose(final(case, case.losses, math.sqrt(1e-5 * 1e-4)), [2.7, 2.7])
    np.testing.assert_allclose(final(case, case.mean_losses, 1e-8), 2.9)
    assert regret(case, math.sqrt(1e-5 * 1e-4)).loss == pytest.approx(1.7)


@pytest.mark.case("study: a training that ends in NaN", "as bad as the worst of its sweep, and diverged")
def test_a_nan_is_as_bad_as_the_worst():
    case = make_case([*FALLS[:6], math.nan])
    assert regret(case, 1.0).loss == pytest.approx(2.9 - 1.0)
    worse = make_case([*FALLS[:5], 9.0, math.nan])
    assert has_diverged(worse, 1.0) and has_diverged(worse, 0.1) and not has_diverged(worse, 1e-2)


def test_the_plateau_has_no_gap():
    assert plateau(make_case(FALLS)) == (1e-2, 1e-1)
    assert plateau(make_case([1.0, 2, 1.01, 1.02, 1.01, 2, 3])) == (1e-5, 1e-5)
    assert plateau(make_case(FALLS), tolerance=1.0) == (1e-3, 1e-1)


def test_rules_ask_the_suggestions_one_by_one_and_together():
    found = rules({"minimum": 1e-2, "steep": 1e-6, "valley": 1e-4, "slide": 1.0})
    assert found["valley & minimum"] == found["middle of four"] == 1e-3
    assert found["lower of both"] == 1e-4 and found["3e-3"] == 3e-3
    assert "valley & minimum" not in rules({"steep": 1e-3})


def test_all_cases_of_a_split_count_as_one_in_the_interval():
    values = [1.0] * 10 + [2.0] * 10 + [3.0] * 10
    clusters = ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    mean, (low, high) = mean_interval(values, clusters)
    alone, (lowest, highest) = mean_interval([1.0, 2.0, 3.0], ["a", "b", "c"])
    assert mean == alone == 2 and (low, high) == (lowest, highest)
    assert low < 1.5 and high > 2.5


def test_a_rule_is_judged_over_all_cases():
    cases = [make_case(FALLS, seed=0, valley=1e-2), make_case(FALLS, seed=1, valley=1.0)]
    found = judge(cases, "valley")
    assert found.loss == pytest.approx((0 + 8) / 2) and found.lrs == (1e-2, 1.0)
    assert (found.on_plateau, found.diverged, found.n) == (0.5, 1, 2)
    mean, (low, high) = difference(cases, "valley", "1e-2")
    assert mean == pytest.approx(4) and low <= 0 <= mean <= high


def test_a_row_of_the_file_becomes_a_case():
    row = {"data": "icons", "body": "b", "head": "h", "bs": 16, "seed": 3, "n": [10, 20], "start": 2.0,
           "grid": "2", "more_lrs": [3e-3], "losses": [[1, None, 2], [1, 2, 3]],
           "wrong": [[1, 2, 3], [1, 2, 3]], "suggestions": {"valley": 3e-3}, "curve": [2.0, 1.0]}
    case = read_case(row, {"2": [1e-3, 1e-2]})
    assert case.lrs.tolist() == [1e-3, 3e-3, 1e-2] and np.isnan(case.losses[0, 1])
    np.testing.assert_allclose(case.errors, [[.1, .2, .3], [.05, .1, .15]])
    np.testing.assert_allclose(case.curve_lrs, [1e-7, 1e-7 * 1e8 ** 0.02])


def test_what_is_stored_is_small_and_whole():
    file = resources.files("transfer_lessons").joinpath("rules.json")
    text = file.read_text(encoding="utf-8")
    assert len(text) < 400_000 and json.loads(text)["cases"]
    study = read_study()
    assert len({(c.data, c.body, c.head, c.bs, c.seed) for c in study}) == len(study)
    for case in study:
        assert case.losses.shape == case.errors.shape == (2, len(case.lrs))
        assert (np.diff(case.lrs) > 0).all() and case.start > 0
        assert (case.errors >= 0).all() and (case.errors <= 1).all()


# The explorer

def test_the_explorer_shows_the_case_that_is_chosen():
    cases = [make_case(FALLS, seed=0, valley=1e-2), make_case(FALLS[::-1], seed=1, valley=1e-2)]
    explorer = LRStudyExplorer(cases)
    first, sentence = explorer.rendered.tobytes(), explorer.sentence
    assert "from 1e-2 to 1e-1" in sentence
    explorer.controls["seed"].value = 1
    assert explorer.sentence != sentence and explorer.rendered.tobytes() != first
    explorer.controls["seed"].value = 0
    assert explorer.rendered.tobytes() == first, "nothing of the other case is left"


def test_the_explorer_says_where_the_study_has_no_such_case():
    cases = [make_case(FALLS, seed=0, valley=1e-2), make_case(FALLS, seed=1, valley=1e-2)]
    cases[1].head = "whole network"
    explorer = LRStudyExplorer(cases)
    explorer.controls["seed"].value = 1
    assert "no such case" in explorer.sentence


def test_the_explorer_of_the_stored_study_is_an_image_with_a_sentence():
    explorer = LRStudyExplorer()
    data, about = explorer._repr_mimebundle_()
    assert Image.open(io.BytesIO(explorer.image.value)).size[0] > 600
    assert about["image/png"]["alt"] == data["text/plain"] == explorer.sentence
