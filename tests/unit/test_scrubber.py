"""The scrubber without a browser: its verdicts, its data, its page."""
import io
import json
import math
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from transfer_lessons.plot_explorers import OneCycleExplorer
from transfer_lessons.scrubber import LRScrubber, classify_lrs, scrubber_data
from transfer_lessons.sweep import sweep_lrs

LRS = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]


@pytest.fixture
def sweep(small_learner):
    """Five real runs of a small head."""
    learn = small_learner()
    learn.freeze()
    return sweep_lrs(learn, LRS, 2, suggest_funcs=())


def pixels(data: bytes) -> np.ndarray:
    """A PNG file's pixels; raises where it is not one."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


def verdicts(start, final, **options):
    return [verdict for verdict, _ in classify_lrs(LRS[:len(final)], start, final, **options)]


def test_a_learning_rate_is_good_if_it_gets_nine_tenths_of_the_best_gain():
    assert verdicts(2.0, [1.9, 1.09, 1.0, 1.09, 1.2]) == [
        "too low", "good", "good", "good", "too high"]
    assert verdicts(2.0, [1.9, 1.11, 1.0, 1.11, 1.2]) == [
        "too low", "too low", "good", "too high", "too high"]
    assert verdicts(2.0, [1.9, 1.11, 1.0, 1.4], threshold=0.5) == ["too low", "good", "good", "good"]


def test_a_diverged_run_is_too_high():
    assert verdicts(2.0, [1.0, 1.8, math.nan, math.inf]) == ["good", *["too high"] * 3]
    assert verdicts(2.0, [math.nan, 1.0]) == ["too high", "good"]


def test_no_learning_rate_is_good_where_none_helps():
    assert verdicts(2.0, [2.5, 2.2, 9.0]) == ["too high"] * 3
    assert verdicts(2.0, [math.nan, math.nan]) == ["too high", "too high"]


def test_gains_are_fractions_of_the_best_gain():
    fractions = [fraction for _, fraction in classify_lrs(LRS[:3], 2.0, [1.5, 1.0, 3.0])]
    assert fractions == [0.5, 1.0, -1.0]
    assert [fraction for _, fraction in classify_lrs(LRS[:2], 2.0, [math.nan, 3.0])] == [-math.inf, -1.0]


# The scrubber

def test_the_scrubber_holds_the_real_runs(sweep):
    data = scrubber_data(sweep)
    np.testing.assert_allclose(data["losses"], sweep.losses, rtol=1e-4)
    np.testing.assert_allclose(data["valid_losses"], sweep.valid_losses, rtol=1e-4)
    np.testing.assert_allclose(data["error_rates"], sweep.error_rates, rtol=1e-4, atol=1e-6)
    assert data["names"] == ["1e-4", "1e-3", "1e-2", "1e-1", "1e0"]
    assert data["start"] == int(sweep.valid_loss.argmin())
    assert scrubber_data(sweep, start=2e-2)["start"] == 2
    expected = classify_lrs(LRS, sweep.start_loss, sweep.valid_loss.tolist())
    assert [verdict for verdict, *_ in data["verdicts"]] == [verdict for verdict, _ in expected]


def test_the_loss_before_training_is_measured_on_the_validation_images(small_learner):
    learn = small_learner()
    learn.freeze()
    untrained = learn.validate()[0]
    sweep = sweep_lrs(learn, LRS[:2], 1, suggest_funcs=())
    assert sweep.start_loss == pytest.approx(untrained, rel=1e-4)
    assert sweep.train(0.5).start_loss == sweep.start_loss
    assert scrubber_data(sweep)["start_loss"] == pytest.approx(untrained, rel=1e-3)


def test_diverged_curves_are_json_all_the_same(sweep):
    sweep.losses[-1, 3:], sweep.valid_losses[-1] = math.nan, math.inf
    data = json.loads(json.dumps(scrubber_data(sweep), allow_nan=False))
    assert data["losses"][-1][3:] == [None] * (sweep.losses.shape[1] - 3)
    assert data["verdicts"][-1][0] == "too high"
    assert "diverged" in data["verdicts"][-1][2]
    assert pixels(LRScrubber(sweep).png).std() > 0


class Tags(HTMLParser):
    """The tags of a page and their attributes."""
    def __init__(self, page: str):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_nothing_in_the_data_breaks_out_of_the_page(sweep):
    sweep.suggestions = {'"></div></script><script>alert(1)</script><img src=x>': 1e-3}
    scrubber = LRScrubber(sweep)
    page = scrubber._repr_html_()
    tags = Tags(page).found
    assert [tag for tag, _ in tags] == ["div", "img", "script"]
    assert json.loads(tags[0][1]["data-run"]) == scrubber.data
    assert page.count("</script>") == 1
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_the_scrubber_has_an_image_for_pages_without_scripts(sweep):
    data, about = LRScrubber(sweep)._repr_mimebundle_()
    tags = dict(Tags(data["text/html"]).found)
    assert tags["img"]["src"] == "data:image/png;base64," + data["image/png"]
    assert "learning rates" in tags["img"]["alt"] == about["image/png"]["alt"]
    assert "input" not in tags, "a slider that is dead until the script makes it"
    assert pixels(LRScrubber(sweep).png).std() > 0


def test_train_here_adds_a_run(sweep):
    scrubber = LRScrubber(sweep)
    scrubber.slider.value = 0.03
    scrubber.train_here()
    assert scrubber.data["names"][3] == "3e-2" and scrubber.data["start"] == 3
    np.testing.assert_allclose(scrubber.data["losses"][3], sweep.train(0.03).losses[3], rtol=1e-4)
    assert len(sweep.lrs) == 5


def test_a_quiz_gives_nothing_away_at_first(sweep):
    data = scrubber_data(sweep, quiz=True)
    assert data["quiz"] and data["start"] is None
    bundle, _ = LRScrubber(sweep, quiz=True)._repr_mimebundle_()
    assert "Shown" not in bundle["text/plain"]
    assert scrubber_data(sweep, start=1e-2, quiz=True)["start"] == 2


def test_a_loss_below_zero_gets_a_linear_axis(sweep):
    assert scrubber_data(sweep)["log_axis"]
    sweep.losses -= 5
    data = scrubber_data(sweep)
    assert not data["log_axis"]
    assert data["low"] < data["high"] and len(data["ticks"]) > 2


def test_loss_and_error_rate_have_verdicts_of_their_own(sweep):
    sweep.n_valid = 100
    sweep.start_loss = 3.0
    sweep.valid_losses[:, -1] = sweep.valid_losses.new_tensor([2.0, 1.0, 0.5, 4.0, 9.0])
    sweep.error_rates[:, -1] = sweep.error_rates.new_tensor([0.9, 0.4, 0.3, 0.3, 0.8])
    verdicts = scrubber_data(sweep)["verdicts"]
    assert [by_loss for by_loss, *_ in verdicts] == ["too low", "too low", "good", "too high", "too high"]
    low, high = sweep.error_intervals()[2].tolist()
    assert 0.3 < high < 0.4, "so 0.4 lies outside the lowest error's interval"
    assert [by_error for _, by_error, _ in verdicts] == [
        "too low", "too low", "good", "good", "too high"]
    assert "its probabilities are not" in verdicts[3][2]
    assert "its probabilities are not" not in verdicts[4][2]
    assert "30 % (30 of 100; 95 % interval 22 to 40 %)" in verdicts[0][2]
    sweep.n_valid = 20
    assert scrubber_data(sweep)["verdicts"][1][1] == "good", "few images cannot tell them apart"


@pytest.mark.parametrize("lr", [0, -1e-3, math.nan, "1e-3"])
def test_a_learning_rate_that_is_not_a_positive_number_is_refused(lr, sweep):
    for make in (OneCycleExplorer, partial(LRScrubber, sweep)):
        with pytest.raises(ValueError, match="must be a number"):
            make(lr)


@pytest.mark.case("widgets: a loss of 0, below 0 or NaN at the first step", "a page, a picture, a verdict")
@pytest.mark.parametrize("change", [
    lambda losses: 0 * losses, lambda losses: -losses, lambda losses: losses - 2, lambda losses: losses * math.nan,
    lambda losses: losses * math.inf, lambda losses: losses * 1e30, lambda losses: losses * 1e-38,
    lambda losses: torch.where(torch.arange(losses.shape[1]) == 0, math.nan, losses),
    lambda losses: torch.where(torch.arange(losses.shape[0])[:, None] > 0, math.nan, losses),
    lambda losses: torch.where(torch.arange(losses.shape[1]) == 0, 1e-9, losses)])
def test_losses_of_any_kind_are_shown(sweep, change):
    sweep.losses = change(sweep.losses)
    sweep.valid_losses = change(sweep.valid_losses)
    sweep.error_rates = torch.where(sweep.valid_losses.isfinite(), sweep.error_rates, math.nan)
    for quiz in (False, True):
        scrubber = LRScrubber(sweep, quiz=quiz)
        data = scrubber.data
        assert json.loads(json.dumps(data, allow_nan=False)) == data
        assert data["low"] < data["high"] and (data["low"] > 0 or not data["log_axis"])
        words = {word for *both, _ in data["verdicts"] for word in both}
        assert words <= {"too low", "good", "too high"}
        assert all("nan" not in why and "inf " not in why for *_, why in data["verdicts"])
        assert pixels(scrubber.png).std() > 5
    sweep.plot()


def test_a_real_sweep_with_a_loss_of_0_or_below_is_shown(small_learner):
    for loss_func in (lambda a, b: (0 * a).sum(),
                      lambda a, b: -a.softmax(1)[torch.arange(len(b)), b].mean()):
        learn = small_learner(loss_func=loss_func)
        learn.freeze()
        assert LRScrubber(sweep_lrs(learn, [1e-3, 1e-2], 1)).alt.startswith("Loss curves")


@pytest.mark.case("widgets given the wrong thing", "says what to give")
@pytest.mark.parametrize("wrong", [None, 3, "sweep", [1e-3]])
def test_a_scrubber_says_what_it_wants(wrong, small_learner):
    for given in (wrong, small_learner()):
        with pytest.raises(ValueError, match=r"sweep must be of type Sweep; got .* Try sweep=sweep_lrs\(learn"):
            LRScrubber(given)
        with pytest.raises(ValueError, match="sweep must be of type Sweep"):
            scrubber_data(given)


@pytest.mark.parametrize("options", [{"quiz": 1}, {"quiz": "yes"}, {"start": True}, {"start": [1e-3]}, {"start": 0}])
def test_a_scrubbers_arguments_are_checked(sweep, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        LRScrubber(sweep, **options)
