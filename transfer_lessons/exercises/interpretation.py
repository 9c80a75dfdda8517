"""Exercises and questions of lesson 11, interpretation."""
import math
import tempfile

import numpy as np
import torch
from PIL import Image

from transfer_lessons.core import wilson_interval
from transfer_lessons.data import ImageDataset
from transfer_lessons.exercises.kit import (
    Choice, Decision, Exercise, Question, Wrong, call_for_numbers)
from transfer_lessons.interpretation import ClassificationInterpretation
from transfer_lessons.marks import Marks


def class_numbers(targets, predicted, n):
    """Confusion matrix [n, n] (row: target), recall [n] and precision [n]; NaN of no images."""
    matrix = np.zeros((n, n))
    np.add.at(matrix, (targets, predicted), 1)
    with np.errstate(invalid="ignore"):
        recall = matrix.diagonal() / matrix.sum(1)
        precision = matrix.diagonal() / matrix.sum(0)
    return matrix, recall, precision


def class_numbers_by_counting(targets, predicted, n):
    """The same, image by image."""
    pairs = list(zip(targets.tolist(), predicted.tolist(), strict=True))
    matrix = np.array([[pairs.count((i, j)) for j in range(n)] for i in range(n)], float)
    rows = [matrix[i].sum() for i in range(n)]
    columns = [matrix[:, j].sum() for j in range(n)]
    recall = [matrix[i, i] / rows[i] if rows[i] else math.nan for i in range(n)]
    precision = [matrix[j, j] / columns[j] if columns[j] else math.nan for j in range(n)]
    return matrix, np.array(recall), np.array(precision)


def class_numbers_but(change=lambda matrix, recall, precision: (matrix, recall, precision),
                      size=lambda targets, predicted, n: n, axes=(1, 0), repeated=True):
    """`class_numbers` with one part replaced."""
    def wrong(targets, predicted, n):
        side = size(targets, predicted, n)
        matrix = np.zeros((side, side))
        if repeated:
            np.add.at(matrix, (targets, predicted), 1)
        else:
            matrix[targets, predicted] += 1
        with np.errstate(invalid="ignore"):
            recall = matrix.diagonal() / matrix.sum(axes[0])
            precision = matrix.diagonal() / matrix.sum(axes[1])
        return change(matrix, recall, precision)
    return wrong


def images_of(text):
    """Targets and predicted classes from pairs of digits: "01" is a 0 predicted as 1."""
    pairs = [(int(pair[0]), int(pair[1])) for pair in text.split()]
    targets, predicted = zip(*pairs, strict=True)
    return np.array(targets), np.array(predicted)


CLASS_NUMBERS = Exercise(
    "class_numbers", class_numbers, idea="what a row, a column, recall and precision are",
    expected=class_numbers_by_counting,
    observe=call_for_numbers,
    cases={"three classes": lambda: (*images_of("00 00 01 11 11 11 12 20 22"), 3),
           "a rare class": lambda: (*images_of("00 00 00 00 00 00 00 01 10 10 11"), 2),
           "a class without images": lambda: (*images_of("00 01 11 12 02"), 3),
           "a class never predicted": lambda: (*images_of("00 01 11 20 21"), 3),
           "the last class does not occur": lambda: (*images_of("00 01 10 11"), 4),
           "everything right": lambda: (*images_of("00 11 11 22"), 3)},
    wrong=[
        Wrong("transposed", class_numbers_but(
            lambda matrix, recall, precision: (matrix.T, precision, recall)),
              "Rows and columns are swapped, and with them recall and precision. A row is a target "
              "class, a column a predicted one: matrix[target, predicted]."),
        Wrong("recall and precision swapped", class_numbers_but(axes=(0, 1)),
              "The matrix is right, but recall and precision are swapped. Recall divides by the "
              "images of the class, its row; precision by the predictions of it, its column."),
        Wrong("precision by row", class_numbers_but(axes=(1, 1)),
              "Precision is the same as recall here: both are divided by the row. Precision "
              "asks how many of the *predictions* are right, so divide by the column."),
        Wrong("each pair counted once", class_numbers_but(repeated=False),
              "matrix[targets, predicted] += 1 adds 1 to each cell once, however often the pair "
              "occurs. Use np.add.at, a loop, or bincount."),
        Wrong("0 for nothing", class_numbers_but(lambda matrix, recall, precision: (
            matrix, np.nan_to_num(recall), np.nan_to_num(precision))),
              "A class without images has no recall: 0 of 0 is not 0 %. It would look like a class "
              "that is never found. Leave NaN there."),
        Wrong("size from the data", class_numbers_but(
            size=lambda targets, predicted, n: max(targets.max(), predicted.max()) + 1),
              "The table has as many rows as the data show, so a class that happens not to occur "
              "vanishes. Its size is n."),
        Wrong("fractions for counts", class_numbers_but(lambda matrix, recall, precision: (
            matrix / matrix.sum(1, keepdims=True).clip(1), recall, precision)),
              "You divided the matrix by its rows. Then nobody sees any more whether 3 of 4 or "
              "300 of 400 were right: return counts."),
        Wrong("the diagonal left out", class_numbers_but(lambda matrix, recall, precision: (
            matrix * (1 - np.eye(len(matrix))), recall, precision)),
              "The diagonal of your matrix is 0. It holds the images that are right, and "
              "belongs to the table."),
        Wrong("accuracy for each class", class_numbers_but(lambda matrix, recall, precision: (
            matrix, matrix.diagonal() / matrix.sum(), matrix.diagonal() / matrix.sum())),
              "You divided by the number of all images. Recall is a fraction of the class's own "
              "images, precision one of its predictions."),
    ],
    hints=["Begin with np.zeros((n, n)), and count one image at a time: matrix[target, predicted].",
           "matrix.sum(1) adds up each row: the images of each class. And matrix.sum(0)?",
           "Recall: diagonal / row sums. Precision: diagonal / column sums. 0 / 0 gives NaN in "
           "numpy, with a warning that np.errstate(invalid=\"ignore\") silences."],
    why="Each image lands in one cell. The diagonal is what is right; compared with its row it "
        "says how much of a class is found, compared with its column how far to believe it.")

Z = 1.959964


def interval_of(k, n):
    """95 % interval of k of n (Wilson 1927): lower and upper end; (0, 1) of no images."""
    if n == 0:
        return 0.0, 1.0
    z = 1.959964
    rate = k / n
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def library_interval(k, n):
    """The same from the library."""
    return wilson_interval(k, n) if n else (0.0, 1.0)


def wald(k, n, z=Z, low=-math.inf, high=math.inf):
    """The interval of most textbooks: rate plus and minus z standard errors."""
    if n == 0:
        return 0.0, 1.0
    half = z * math.sqrt(k / n * (1 - k / n) / n)
    return max(k / n - half, low), min(k / n + half, high)


def interval_but(z=Z, centre=lambda rate, n, z: (rate + z**2 / (2 * n)) / (1 + z**2 / n),
                 shrink=lambda n, z: 1 + z**2 / n, nothing=(0.0, 1.0)):
    """`interval_of` with one part replaced."""
    def wrong(k, n):
        if n == 0 and nothing is not None:
            return nothing
        rate = k / n
        half = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / shrink(n, z)
        middle = centre(rate, n, z)
        return max(middle - half, 0.0), min(middle + half, 1.0)
    return wrong


def agresti_coull(k, n):
    """Wald's interval with two more of each: a good approximation, but another interval."""
    return wald(k + 2, n + 4, low=0.0, high=1.0)


INTERVAL = Exercise(
    "interval_of", interval_of, idea="how little a fraction of few images says",
    expected=library_interval,
    observe=call_for_numbers,
    cases={"3 of 11": lambda: (3, 11), "none of 5": lambda: (0, 5), "all 7 of 7": lambda: (7, 7),
           "1 of 3": lambda: (1, 3), "300 of 400": lambda: (300, 400), "no images": lambda: (0, 0)},
    wrong=[
        Wrong("plus and minus z standard errors", lambda k, n: wald(k, n),
              "That is the textbook's interval. It says 7 of 7 is 100 % for certain, and for 1 "
              "of 3 it goes below 0. Wilson's centre moves towards a half, and its width is "
              "never 0."),
        Wrong("the same, clipped", lambda k, n: wald(k, n, low=0.0, high=1.0),
              "Cutting the textbook's interval at 0 and 1 hides what is wrong with it: 7 of 7 "
              "is still 100 % plus or minus 0. Use Wilson's."),
        Wrong("one standard error", interval_but(z=1.0),
              "With z = 1 the interval holds the true fraction in two cases of three. 95 % takes "
              "z = 1.96."),
        Wrong("90 %", interval_but(z=1.644854),
              "1.645 leaves 5 % at *each* end. For 95 % in the middle, 2.5 % at each end, take "
              "1.96."),
        Wrong("around the rate itself", interval_but(centre=lambda rate, n, z: rate),
              "The width is Wilson's, but around k / n. The centre moves, too: towards a half, the "
              "more so the fewer images."),
        Wrong("the centre not shrunk", interval_but(
            centre=lambda rate, n, z: rate + z**2 / (2 * n)),
              "You moved the centre by z * z / (2 * n), but did not divide it by 1 + z * z / n. "
              "With 7 of 7 it lies beyond 1."),
        Wrong("the width not shrunk", interval_but(shrink=lambda n, z: 1.0),
              "The centre is right, the width too large: divide it by 1 + z * z / n as well."),
        Wrong("two more of each", agresti_coull,
              "Adding two successes and two failures (Agresti and Coull) is a good "
              "approximation, but another interval. Here Wilson's is wanted."),
        Wrong("no images divide by zero", interval_but(nothing=None),
              "A class without images divides by zero. No images say nothing: from 0 to 1."),
        Wrong("no images, no doubt", interval_but(nothing=(0.0, 0.0)),
              "With no images you claim 0, without a doubt. No images say nothing at all: from 0 "
              "to 1."),
    ],
    hints=["What should it say for no images at all?",
           "z = 1.959964. Wilson's centre: (k / n + z**2 / (2 * n)) / (1 + z**2 / n).",
           "Half its width: z * sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)."],
    why="Wilson asks which true fractions would make k of n no surprise. So it stays within 0 and "
        "1, is never of width 0, and says nothing of nothing.")

N_JUDGED = 15


def my_marks(about):
    """Somebody who knows the truth relabels what is wrong among the first fifteen."""
    suspects, truth = about
    marks = Marks(tempfile.mkdtemp() + "/marks.json")
    for i in suspects.top_losses(15)[1].tolist():
        if suspects.targets[i] != truth[i]:
            marks.relabel(suspects.dataset.sources[i], suspects.vocab[truth[i]])
    return marks


def judge_marks(answer, about):
    """Scores the marks on the fifteen largest losses by the planted truth."""
    suspects, truth = about
    if not isinstance(answer, Marks):
        return "my_marks must be the Marks of the cleaner's file. Try my_marks = Marks(my_file)."
    top = suspects.top_losses(N_JUDGED)[1].tolist()
    try:
        marks = [answer.get(suspects.dataset.sources[i]) for i in top]
    except (OSError, ValueError) as error:
        return f"The file of marks cannot be read: {error}"
    is_wrong = np.array([int(suspects.targets[i]) != truth[i] for i in top])
    is_marked = np.array([mark is not None for mark in marks])
    n_missed = int((is_wrong & ~is_marked).sum())
    n_innocent = int((is_marked & ~is_wrong).sum())
    relabels = [(mark.label, suspects.vocab[truth[i]], suspects.vocab[int(suspects.predicted[i])])
                for mark, i in zip(marks, top, strict=True) if mark is not None and mark.label]
    n_other = sum(label != true for label, true, _ in relabels)
    if n_missed <= 2 and n_innocent <= 2:
        return None if n_other - n_innocent <= 2 else "another wrong class"
    return name_of_marks(is_wrong, is_marked, relabels)


def name_of_marks(is_wrong, is_marked, relabels):
    """Which of the typical mistakes such marks are."""
    if not is_marked.any():
        return "none marked"
    if not is_marked[5:].any() and is_wrong[5:].any():
        return "one page only"
    if is_marked.all():
        trusting = relabels and all(label == predicted for label, _, predicted in relabels)
        return "trusts the prediction" if trusting else "all marked"
    if (is_marked == ~is_wrong).mean() > 0.8:
        return "the right ones marked"
    n_missed = (is_wrong & ~is_marked).sum()
    return "too lenient" if n_missed > (is_marked & ~is_wrong).sum() else "odd images marked"


def planted():
    """Forty tiny images of four classes: eight wrong labels, and seven that are hard but right."""
    generator = np.random.default_rng(0)
    truth = [i % 4 for i in range(40)]
    images = [Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in truth]
    targets = [(label + 1) % 4 if i % 5 == 0 else label for i, label in enumerate(truth)]
    logits = torch.full((40, 4), 0.0)
    for i, label in enumerate(truth):
        is_hard = i % 5 == 1 and i < 35
        logits[i, (label + 2) % 4 if is_hard else label] = 5 + i / 40
    dataset = ImageDataset(images, targets, 8)
    suspects = ClassificationInterpretation(logits, torch.tensor(targets), dataset, list("abcd"))
    return suspects, truth


def marked(about, choose, label=lambda suspects, truth, i: suspects.vocab[truth[i]]):
    """Marks on those of the fifteen that `choose` picks, by place and whether it is wrong."""
    suspects, truth = about
    marks = Marks(tempfile.mkdtemp() + "/marks.json")
    for place, i in enumerate(suspects.top_losses(N_JUDGED)[1].tolist()):
        source = suspects.dataset.sources[i]
        if not choose(place, int(suspects.targets[i]) != truth[i]):
            continue
        if label is None:
            marks.remove(source)
        else:
            marks.relabel(source, label(suspects, truth, i))
    return marks


MY_MARKS = Decision(
    "my_marks", idea="a large loss is a question, not a verdict: which labels are wrong?",
    judge=judge_marks, solution=my_marks, about=planted,
    wrong=[
        Wrong("none marked", lambda about: marked(about, lambda place, is_wrong: False),
              "None of the fifteen has a mark in this file. Look at the label above each image, "
              "and choose below it what it is; then run this cell again."),
        Wrong("all marked", lambda about: marked(about, lambda place, is_wrong: True, None),
              "You marked all fifteen. Some have a large loss because they are hard, with a "
              "label that is right. Those are the images the network can learn most from: keep "
              "them."),
        Wrong("trusts the prediction", lambda about: marked(
            about, lambda place, is_wrong: True,
            lambda suspects, truth, i: suspects.vocab[suspects.predicted[i]]),
              "Each mark is what the network predicted. Then it would learn its own mistakes. "
              "Look at the image, not at the prediction."),
        Wrong("one page only", lambda about: marked(
            about, lambda place, is_wrong: is_wrong and place < 5),
              "You marked on the first page only. There are wrong labels on pages 2 and 3 as "
              "well."),
        Wrong("the right ones marked", lambda about: marked(
            about, lambda place, is_wrong: not is_wrong, None),
              "You marked nearly all that are right, and none that are wrong. A mark says: this "
              "label is not true."),
        Wrong("odd images marked", lambda about: marked(
            about, lambda place, is_wrong: is_wrong or place % 3 > 0, None),
              "You found wrong labels, but also marked images that only look odd. Is the label "
              "*false*, or is the drawing just unlike the others? Keep the odd ones."),
        Wrong("too lenient", lambda about: marked(
            about, lambda place, is_wrong: is_wrong and place > 6),
              "What you marked is wrong, but you let more than two wrong labels pass. Read the "
              "label above each image, and ask whether anybody would call it that."),
        Wrong("another wrong class", lambda about: marked(
            about, lambda place, is_wrong: is_wrong,
            lambda suspects, truth, i: suspects.vocab[(truth[i] + 1) % len(suspects.vocab)]),
              "You found the wrong labels, but gave them other wrong ones. Look again at what "
              "is in the image; where no class fits, choose remove."),
    ],
    hints=["Above each image stands its label. Would anybody call it that?",
           "Some labels are right, and the image is hard. Which of the two is it?",
           "In the confusion explorer, look at the other images of that class: does this one "
           "fit in?"],
    why="The network only says where to look. Of the largest losses about half are wrong labels "
        "here, and the others are hard images, which only a person can tell apart.")

EXERCISES = [CLASS_NUMBERS, INTERVAL, MY_MARKS]

QUESTIONS = [
    Question("An image of the validation set has the largest loss of all. What does that say about "
             "its label?", [
        Choice("It is wrong.",
               "Often it is not: an unusual image, or one that belongs to two classes, has a "
               "large loss with a correct label. Look at it."),
        Choice("Nothing certain: look at the image.",
               "The network was confident of another class. Whether it or the label is "
               "wrong, only "
               "somebody who looks can say.", right=True),
        Choice("It is right, because the network has never seen it.",
               "Wrong labels are in validation sets as well, and there they spoil the error "
               "rate.")]),
    Question("A network's mean confidence is 81 %, and 68 % of its predictions are right (interval "
             "60 to 75 %). What is it?", [
        Choice("Calibrated, roughly: both numbers are high.",
               "Calibrated means that the two agree. Here the mean confidence lies outside the "
               "interval of the accuracy."),
        Choice("Overconfident.",
               "It claims more than it delivers, and the gap is larger than chance explains. "
               "Do not act on its 81 %.", right=True),
        Choice("Underconfident: it knows less than it could.",
               "Underconfident is the other way round: right more often than it claims.")]),
    Question("Cleaning labels lowered the error from 37.4 to 36.2 % on 134 validation images. What "
             "may you say?", [
        Choice("Cleaning helped by 1.2 points.",
               "1.2 points of 134 images are one or two images. Another seed moves more than "
               "that."),
        Choice("Cleaning does not help.",
               "One comparison of this size cannot show that either. No evidence of a gain is no "
               "evidence of no gain."),
        Choice("Nothing yet: repeat it with other seeds or splits, in pairs.",
               "In this lesson ten pairs were needed, and what counted was the gain within "
               "each "
               "pair.", right=True)]),
]
