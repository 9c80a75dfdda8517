"""Interpretation: counts and losses that can be counted by hand, each next to its own image."""
import math
import warnings
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from transfer_lessons.data import ImageDataset
from transfer_lessons.interpretation import ClassificationInterpretation, Confusion, Proportion
from transfer_lessons.learner import Learner
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.losses import cross_entropy

quick = settings(deadline=None, max_examples=60)
drawn = settings(deadline=None, max_examples=12)


@pytest.fixture(autouse=True)
def no_figure_left():
    """A test starts without figures, and ends so."""
    plt.close("all")
    yield
    plt.close("all")


def blank(n: int, size: int = 16) -> ImageDataset:
    images = [Image.new("RGB", (20, 20), (10 * i % 256, 90, 0)) for i in range(n)]
    for i, image in enumerate(images):
        image.info["name"] = f"image {i}"
    return ImageDataset(images, [0] * n, size)


def made(logits: Tensor, targets: Tensor, vocab: list[str] | None = None):
    vocab = [f"class {i}" for i in range(logits.shape[1])] if vocab is None else vocab
    return ClassificationInterpretation(logits, targets, blank(len(logits)), vocab)


@st.composite
def predictions(draw, max_classes: int = 6) -> tuple[Tensor, Tensor]:
    """Logits [N, C] and targets [N]; some classes may be absent."""
    n, c = draw(st.integers(1, 30)), draw(st.integers(2, max_classes))
    numbers = draw(st.lists(st.floats(-20, 20, width=32), min_size=n * c, max_size=n * c))
    targets = draw(st.lists(st.integers(0, c - 1), min_size=n, max_size=n))
    return torch.tensor(numbers).view(n, c), torch.tensor(targets)


# ---- counts ---------------------------------------------------------------------------------

@quick
@given(predictions())
def test_the_confusion_matrix_counts_every_pair_of_actual_and_predicted(prediction):
    logits, targets = prediction
    counted = [[0] * logits.shape[1] for _ in range(logits.shape[1])]
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        counted[target][row.index(max(row))] += 1
    counts = made(logits, targets).confusion_matrix()
    assert isinstance(counts, np.ndarray) and counts.tolist() == counted


@quick
@given(predictions(), st.integers(0, 6))
def test_most_confused_lists_the_mistakes_from_min_val_on_most_frequent_first(prediction, min_val):
    logits, targets = prediction
    mistakes = Counter((t, int(row.argmax())) for t, row in zip(targets.tolist(), logits, strict=True))
    expected = {(f"class {i}", f"class {j}", n) for (i, j), n in mistakes.items()
                if i != j and n >= max(min_val, 1)}
    rows = made(logits, targets).most_confused(min_val)
    assert len(rows) == len(expected) and set(map(tuple, rows)) == expected
    assert [row.count for row in rows] == sorted((row.count for row in rows), reverse=True)


def test_a_row_of_most_confused_names_target_class_predicted_class_and_count():
    targets = torch.tensor([0, 0, 0, 1, 2, 2])
    logits = torch.eye(3)[torch.tensor([1, 1, 0, 1, 0, 2])]
    interp = made(logits, targets, ["cat", "dog", "fox"])
    assert interp.most_confused() == [("cat", "dog", 2), ("fox", "cat", 1)]
    assert interp.most_confused(min_val=2) == [Confusion("cat", "dog", 2)]
    (actual, predicted, count), = interp.most_confused(min_val=2)
    assert (actual, predicted, count) == ("cat", "dog", 2) and type(count) is int
    assert interp.most_confused(3) == []


def test_a_class_absent_from_validation_has_a_row_of_zeros_and_is_drawn():
    interp = made(torch.eye(4)[:3], torch.tensor([0, 1, 1]), list("abcd"))
    assert interp.confusion_matrix().sum(1).tolist() == [1, 2, 0, 0]
    interp.plot_confusion_matrix(normalize=True)
    ax, = plt.gcf().axes
    assert np.isfinite(ax.images[0].get_array()).all()
    assert [text.get_text() for text in ax.texts] == ["1.00", ".50", ".50"]
    assert ax.get_title() == "67% correct: the diagonal"


# ---- losses ---------------------------------------------------------------------------------

def cross_entropy_of(row: list[float], target: int) -> float:
    highest = max(row)
    return highest - row[target] + math.log(sum(math.exp(score - highest) for score in row))


@quick
@given(predictions(), st.data())
def test_top_losses_are_the_largest_cross_entropies_and_the_indices_of_their_images(prediction, data):
    logits, targets = prediction
    k = data.draw(st.none() | st.integers(1, 40))
    by_hand = [cross_entropy_of(row, target)
               for row, target in zip(logits.double().tolist(), targets.tolist(), strict=True)]
    losses, numbers = made(logits, targets).top_losses(k)
    n = len(by_hand) if k is None else min(k, len(by_hand))
    assert losses.tolist() == pytest.approx(sorted(by_hand, reverse=True)[:n], abs=1e-4)
    assert [by_hand[i] for i in numbers] == pytest.approx(losses.tolist(), abs=1e-4)
    assert len(set(numbers.tolist())) == n


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_top_loss_is_refused(k):
    interp = made(torch.eye(2), torch.tensor([0, 1]))
    for ask in (interp.top_losses, interp.plot_top_losses):
        with pytest.raises(ValueError, match=f"k must be a whole number, at least 1; got {k}"):
            ask(k)


def test_probabilities_are_softmax_and_predictions_the_largest():
    logits = torch.randn(20, 5)
    interp = made(logits, torch.zeros(20, dtype=torch.long))
    torch.testing.assert_close(interp.probabilities, torch.softmax(logits, 1))
    assert torch.equal(interp.predicted, logits.argmax(1))


@pytest.mark.parametrize("n_logits, n_targets, n_images", [(3, 4, 4), (4, 3, 4), (4, 4, 3)])
def test_predictions_that_cannot_belong_to_the_images_are_refused(n_logits, n_targets, n_images):
    with pytest.raises(ValueError, match=f"got {n_logits}, {n_targets} and {n_images}"):
        ClassificationInterpretation(torch.zeros(n_logits, 2), torch.zeros(n_targets).long(),
                                     blank(n_images), ["a", "b"])


# ---- per class -------------------------------------------------------------------------------

@quick
@given(predictions())
def test_the_report_is_that_of_scikit_learn_with_intervals(prediction):
    metrics = pytest.importorskip("sklearn.metrics")
    logits, targets = prediction
    interp = made(logits, targets)
    expected = metrics.precision_recall_fscore_support(
        targets.numpy(), interp.predicted.numpy(), labels=range(logits.shape[1]), zero_division=0)
    report = interp.class_report()
    rows = {row.class_name: row for row in report}
    for i, (precision, recall, f1, n) in enumerate(zip(*expected, strict=True)):
        row = rows[f"class {i}"]
        assert row.images == n == row.recall.n and row.f1 == pytest.approx(f1)
        assert row.recall.value == pytest.approx(recall) if n else math.isnan(row.recall.value)
        if row.precision.n:
            assert row.precision.value == pytest.approx(precision)
            low, high = row.precision.interval
            assert low - 1e-9 <= row.precision.value <= high + 1e-9
        else:
            assert str(row.precision) == "no images" and row.precision.interval == (0, 1)
    recalls = [row.recall.value for row in report if row.images]
    assert recalls == sorted(recalls) and all(row.images == 0 for row in report[len(recalls):])


def test_a_proportion_shows_its_interval_as_statsmodels_computes_it():
    # statsmodels.stats.proportion.proportion_confint(9, 20, method="wilson")
    assert Proportion(9, 20).interval == pytest.approx((0.2582, 0.6579), abs=1e-4)
    assert str(Proportion(9, 20)) == "45% (26 to 66)"
    assert repr(made(torch.eye(2), torch.arange(2)).class_report()).splitlines()[1].split()[:2] == ["class", "0"]


# ---- from a learner -------------------------------------------------------------------------

class Reader(nn.Module):
    """A network that reads an image's index off its colour; in train mode it predicts nonsense."""
    def __init__(self, n_classes: int):
        super().__init__()
        self.n_classes, self.head = n_classes, nn.Identity()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        number = (x[:, 0].mean((1, 2)) * 255 / 5).round()
        scores = torch.nn.functional.one_hot(number.long() % self.n_classes, self.n_classes) * 10.0
        return scores * self.weight - 20 * scores * float(self.training)


@pytest.fixture
def learn() -> Learner:
    """46 images whose red tells their index; every fifth label is wrong."""
    images = [Image.new("RGB", (24, 24), (5 * i, 0, 0)) for i in range(46)]
    labels = ["abc"[(i + (i % 5 == 0)) % 3] for i in range(46)]
    dls = ImageDataLoaders(images, labels, is_valid=[i % 2 == 1 for i in range(46)], size=16, bs=8,
                           device="cpu")
    return Learner(dls, Reader(3))


def number_of(source: Image.Image) -> int:
    return source.getpixel((0, 0))[0] // 5


@pytest.mark.parametrize("side", ["valid", "train"])
def test_every_prediction_stands_next_to_its_image_also_where_the_loader_shuffles(learn, side):
    loader = getattr(learn.dls, side)
    interp = ClassificationInterpretation.from_learner(learn, loader)
    sources = interp.dataset.sources
    assert sources == loader.dataset.sources, "all of them, an incomplete batch included"
    assert interp.predicted.tolist() == [number_of(source) % 3 for source in sources]
    assert interp.targets.tolist() == loader.dataset.targets
    wrong = {number_of(source) for source in sources if number_of(source) % 5 == 0}
    losses, numbers = interp.top_losses(len(wrong))
    assert {number_of(sources[i]) for i in numbers} == wrong and losses.min() > 5


def test_without_a_loader_it_asks_about_the_validation_images(learn):
    interp = ClassificationInterpretation.from_learner(learn)
    assert interp.dataset is learn.dls.valid.dataset and interp.vocab == ["a", "b", "c"]


def test_predicting_changes_neither_the_order_of_training_nor_modes_nor_weights(learn):
    learn.model.train()
    order, random_state = learn.dls.train.generator.get_state(), torch.get_rng_state()
    ClassificationInterpretation.from_learner(learn, learn.dls.train)
    assert torch.equal(learn.dls.train.generator.get_state(), order)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert learn.model.training and learn.model.weight == 1


def test_training_images_are_predicted_in_the_size_of_validation_without_augmentation(learn):
    seen = []
    learn.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[-1]))
    interp = ClassificationInterpretation.from_learner(learn, learn.dls.train)
    assert set(seen) == {16} and interp.dataset[0][0].shape == (3, 16, 16)
    again = ClassificationInterpretation.from_learner(learn, learn.dls.train)
    assert torch.equal(interp.probabilities, again.probabilities), "no augmentation"


def test_it_agrees_with_validate(learn):
    interp = ClassificationInterpretation.from_learner(learn)
    loss, error = learn.validate()
    assert interp.losses.mean().item() == pytest.approx(loss)
    assert (interp.predicted != interp.targets).double().mean().item() == pytest.approx(error)


@pytest.mark.case("top_losses uses the learner's loss", "each image's own, by reduction='none' or one at a time")
@pytest.mark.parametrize("loss_func", [
    nn.CrossEntropyLoss(label_smoothing=0.3), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 0.2])),
    nn.MultiMarginLoss(), F.cross_entropy, partial(cross_entropy, label_smoothing=0.3),
    lambda logits, targets: -logits.softmax(1)[torch.arange(len(targets)), targets].mean()],
    ids=["smoothing", "weights", "hinge", "torch's function", "ours", "one's own, below 0"])
def test_losses_are_those_of_the_learners_loss_function(learn, loss_func):
    learn.loss_func = loss_func
    interp = ClassificationInterpretation.from_learner(learn)
    logits, targets = learn.get_logits()
    if isinstance(loss_func, nn.Module):
        each = type(loss_func)(reduction="none", **(
            {"label_smoothing": 0.3} if getattr(loss_func, "label_smoothing", 0) else {}))
        each.weight = getattr(loss_func, "weight", None)
        expected = each(logits, targets)
    else:
        expected = torch.stack([loss_func(logits[i:i + 1], targets[i:i + 1]) for i in range(len(targets))])
    torch.testing.assert_close(interp.losses, expected)
    assert torch.equal(interp.top_losses(3)[0], expected.topk(3).values)
    assert getattr(loss_func, "reduction", "mean") == "mean", "the learner's own is unchanged"


@pytest.mark.case("another vocabulary: interpretation of a test set with a class missing", "by class name")
def test_a_test_set_with_a_class_missing_is_compared_by_name(learn):
    images = [Image.new("RGB", (24, 24), (5 * i, 0, 0)) for i in range(46) if i % 3 != 0]
    names = ["abc"[i % 3] for i in range(46) if i % 3 != 0]
    other = ImageDataLoaders(images, names, is_valid=[i % 2 == 1 for i in range(len(images))], size=16, bs=8,
                             device="cpu")
    assert other.vocab == ["b", "c"]
    for dl in (other.valid, learn.dls.test_dl(images, names)):
        interp = ClassificationInterpretation.from_learner(learn, dl)
        assert torch.equal(interp.predicted, interp.targets)
        matrix = interp.confusion_matrix()
        assert matrix.shape == (3, 3) and matrix[0].sum() == 0 == matrix[:, 0].sum()
        assert matrix.trace() == len(dl.dataset)
        interp.plot_confusion_matrix(normalize=True)
        interp.plot_top_losses(2)


def test_a_test_set_without_labels_is_refused(learn):
    with pytest.raises(ValueError, match="dl must have labels"):
        ClassificationInterpretation.from_learner(learn, learn.dls.test_dl(learn.dls.valid.dataset.sources))


@pytest.mark.parametrize("call, name", [
    (lambda i: i.most_confused(min_val="2"), "min_val"), (lambda i: i.most_confused(-1), "min_val"),
    (lambda i: i.plot_confusion_matrix(normalize=2), "normalize"),
    (lambda i: i.plot_confusion_matrix(figsize=12), "figsize"), (lambda i: i.plot_confusion_matrix(dpi=0), "dpi"),
    (lambda i: i.plot_confusion_matrix(dpi="high"), "dpi"), (lambda i: i.plot_confusion_matrix(ax=1), "ax"),
    (lambda i: i.top_losses(0), "k"), (lambda i: i.top_losses("all"), "k"), (lambda i: i.plot_top_losses(None), "k"),
    (lambda i: i.plot_top_losses(2, nrows=0), "nrows"), (lambda i: i.plot_top_losses(2, figsize=(0, 3)), "figsize"),
])
def test_arguments_are_checked_before_anything_is_drawn(call, name):
    interp = made(torch.eye(3), torch.arange(3))
    with pytest.raises(ValueError, match=f"^{name} must be .*; got .*Try {name}="):
        call(interp)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("arguments", [
    ([[1.0, 2.0]], torch.tensor([0]), None, ["a", "b"]), (torch.ones(3, 2), [0, 1, 0], None, ["a", "b"]),
    (torch.ones(3, 2), torch.tensor([0, 1, 2]), blank(3), ["a", "b"]),
    (torch.ones(3, 2), torch.tensor([0, 1, -1]), blank(3), ["a", "b"]),
    (torch.ones(3, 2), torch.tensor([0.0, 1.0, 1.0]), blank(3), ["a", "b"]),
    (torch.ones(3, 2), torch.tensor([0, 1, 1]), blank(3), ["a", "b", "c"]),
    (torch.ones(3), torch.tensor([0, 1, 1]), blank(3), ["a", "b"]),
    (torch.ones(0, 2), torch.tensor([], dtype=torch.int64), blank(0), ["a", "b"]),
    (torch.ones(3, 2), torch.tensor([0, 1, 1]), 3, ["a", "b"]),
    (torch.ones(3, 2), torch.tensor([0, 1, 1]), blank(3), "ab"),
    (torch.ones(3, 2), torch.tensor([0, 1, 1]), blank(3), ["a", "b"], torch.ones(2))])
def test_predictions_that_fit_no_images_or_classes_are_refused(arguments):
    with pytest.raises(ValueError, match="Try|Give"):
        ClassificationInterpretation(*arguments)


@pytest.mark.parametrize("wrong", [None, 3, "learn", [1]])
def test_from_learner_says_what_it_wants(learn, wrong):
    with pytest.raises(ValueError, match="learn must be of type Learner"):
        ClassificationInterpretation.from_learner(wrong)
    if wrong is not None:
        with pytest.raises(ValueError, match="dl must be of type ImageLoader"):
            ClassificationInterpretation.from_learner(learn, wrong)


# ---- plots ----------------------------------------------------------------------------------

AWKWARD = ["$x", "$\\frac$", "a$b$c", "<Delete>", "<b>&amp;</b>", "日本", "a\nb", "\t", "", " ",
           "x" * 300, "_hidden", "%s {0}", "\\", "caf\udce9", "👩‍👩‍👧", "\x00"]
NAMES = st.sampled_from(AWKWARD) | st.text(max_size=40) | st.text(st.characters(codec=None), max_size=8)


def draw_all(names: list[str]) -> list[float]:
    """Draw both plots for classes and files of these names; how much the pixels of each vary."""
    n, varied = len(names), []
    interp = made(torch.eye(n), torch.arange(n).roll(1), names)
    for image, name in zip(interp.dataset.sources, names, strict=True):
        image.info["name"] = name
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph|.*missing from.*font")
        warnings.filterwarnings("error", ".*layout not applied")
        for plot in (interp.plot_confusion_matrix, interp.plot_top_losses):
            assert plot() is None
            assert len(plt.get_fignums()) == 1, "one figure, no more"
            plt.gcf().canvas.draw()
            varied.append(np.asarray(plt.gcf().canvas.buffer_rgba()).std())
            plt.close()
    return varied


@drawn
@given(st.lists(NAMES, min_size=2, max_size=4))
def test_plots_draw_classes_and_files_of_any_name(names):
    assert min(draw_all(names)) > 5


@pytest.mark.parametrize("name", AWKWARD, ids=ascii)
def test_plots_draw_names_that_broke_plots_elsewhere(name):
    assert min(draw_all([name, "plain"])) > 5


def test_names_are_drawn_as_they_are_and_long_ones_are_cut():
    interp = made(torch.eye(3), torch.arange(3), ["$a$", "<Delete>", "n" * 99])
    interp.plot_confusion_matrix()
    ax, = plt.gcf().axes
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["$a$", "<Delete>", "n" * 23 + "…"]
    assert not any(label.get_parse_math() for label in ax.get_xticklabels() + ax.get_yticklabels())


def test_the_tables_escape_names():
    rows = made(torch.eye(2), torch.tensor([1, 0]), ["<script>", "a&b"]).most_confused()
    assert "<script>" not in rows._repr_html_() and "&lt;script&gt;" in rows._repr_html_()


def test_the_confusion_matrix_goes_where_it_is_told():
    figure, ax = plt.subplots()
    interp = made(torch.eye(3), torch.tensor([0, 1, 1]))
    interp.plot_confusion_matrix(ax=ax)
    assert plt.get_fignums() == [figure.number] and len(ax.images) == 1
    assert ax.get_xlabel() == "predicted class" and ax.get_ylabel() == "target class"
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    assert texts == {(0, 0): "1", (1, 1): "1", (2, 1): "1"}, "columns are predicted, rows target classes"


@pytest.mark.parametrize("n_classes", [2, 37, 102])
def test_the_confusion_matrix_of_many_classes_fits_a_page(n_classes):
    made(torch.eye(n_classes), torch.arange(n_classes)).plot_confusion_matrix()
    assert max(plt.gcf().get_size_inches()) <= 12
    plt.gcf().canvas.draw()


def test_top_losses_are_drawn_in_the_size_asked_for():
    interp = made(torch.randn(12, 3), torch.zeros(12, dtype=torch.long))
    interp.plot_top_losses(9, figsize=(15, 11))
    assert plt.gcf().get_size_inches().tolist() == [15, 11]
    assert len(plt.gcf().axes) == 9 and all(len(ax.images) == 1 for ax in plt.gcf().axes)


@pytest.mark.parametrize("k, n, shown", [(1, 5, 1), (9, 5, 5), (10, 30, 10), (16, 30, 16)])
def test_as_many_images_are_drawn_as_asked_for_or_there_are(k, n, shown):
    made(torch.randn(n, 3), torch.zeros(n, dtype=torch.long)).plot_top_losses(k)
    assert sum(len(ax.images) for ax in plt.gcf().axes) == shown


def test_a_title_has_target_and_prediction_with_their_probabilities():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    interp = made(logits, torch.tensor([1, 1]), ["cat", "dog"])
    interp.plot_top_losses(2)
    first, second = (ax.get_title() for ax in plt.gcf().axes[:2])
    assert first == "image 0\ntarget: dog (12%)\npredicted: cat (88%)\nloss 2.13"
    assert second == "image 1\ntarget: dog (73%)\npredicted: dog (73%)\nloss 0.31"


def test_the_image_under_a_title_is_the_one_with_that_name():
    images = blank(6)
    logits, targets = torch.randn(6, 2), torch.zeros(6, dtype=torch.long)
    interp = ClassificationInterpretation(logits, targets, images, ["a", "b"])
    interp.plot_top_losses(6)
    for ax in plt.gcf().axes:
        number = int(ax.get_title().split("\n")[0].removeprefix("image "))
        assert np.asarray(ax.images[0].get_array())[0, 0, 0] == 10 * number


@pytest.mark.parametrize("nrows, columns", [(1, 6), (2, 3), (3, 2)])
def test_top_losses_take_the_rows_asked_for(nrows, columns):
    made(torch.randn(6, 3), torch.zeros(6, dtype=torch.long)).plot_top_losses(6, nrows=nrows)
    assert plt.gcf().axes[0].get_gridspec().get_geometry() == (nrows, columns)
