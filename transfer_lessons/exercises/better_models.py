"""Exercises and questions of lesson 14: which tricks are worth their price?"""
from __future__ import annotations

import math
from statistics import mean, pstdev, stdev

import numpy as np
import torch

from transfer_lessons.exercises.kit import Choice, Exercise, Question, Wrong

# The interval of a gain

T_95 = {3: 4.303, 4: 3.182, 5: 2.776}  # Student's t, by the number of splits


def interval_of_gain(before, after, n_train, n_test, t_95):
    saved = np.subtract(before, after)
    variance_of_mean = saved.var(ddof=1) * (1 / len(saved) + n_test / n_train)
    return saved.mean(), t_95 * variance_of_mean**0.5


def _differences(before, after):
    return [b - a for b, a in zip(before, after, strict=True)]


def _half(spread, n, ratio, t_95):
    return t_95 * spread * math.sqrt(1 / n + ratio)


def _unpaired(before, after, n_train, n_test, t_95):
    spread = math.sqrt(stdev(before) ** 2 + stdev(after) ** 2)
    half = _half(spread, len(before), n_test / n_train, t_95)
    return mean(before) - mean(after), half


def _independent(before, after, n_train, n_test, t_95):
    saved = _differences(before, after)
    return mean(saved), _half(stdev(saved), len(saved), 0, t_95)


def _divided_by_n(before, after, n_train, n_test, t_95):
    saved = _differences(before, after)
    return mean(saved), _half(pstdev(saved), len(saved), n_test / n_train, t_95)


def _of_all_images(before, after, n_train, n_test, t_95):
    saved = _differences(before, after)
    return mean(saved), _half(stdev(saved), len(saved), n_test / (n_test + n_train), t_95)


def _one_standard_error(before, after, n_train, n_test, t_95):
    value, half = interval_of_gain(before, after, n_train, n_test, t_95)
    return value, half / t_95


def _added_outside(before, after, n_train, n_test, t_95):
    saved = _differences(before, after)
    return mean(saved), t_95 * stdev(saved) * (1 / math.sqrt(len(saved)) + n_test / n_train)


GAIN = Exercise(
    "interval_of_gain", interval_of_gain,
    idea="compare in pairs, over splits, with an interval that knows that splits share images",
    cases={"five splits, a steady gain": lambda: (
               [24.0, 31.0, 27.0, 22.0, 29.0], [22.5, 29.0, 25.5, 21.0, 27.0], 540, 180, T_95[5]),
           "three splits, up and down": lambda: (
               [30.0, 20.0, 26.0], [24.0, 22.0, 27.0], 120, 60, T_95[3]),
           "errors rise": lambda: (
               [20.0, 21.0, 22.0, 20.0], [24.0, 24.5, 27.0, 25.0], 900, 100, T_95[4])},
    wrong=[
        Wrong("unpaired", _unpaired,
              "You took the spread of the errors before and after. Most of it is which images are "
              "held out, and that is the same on both sides: take the difference split by split "
              "first, then its spread."),
        Wrong("independent splits", _independent,
              "This is the interval for independent results. Two splits share most of their images, "
              "so it is too narrow: use (1 / n + n_test / n_train) instead of 1 / n."),
        Wrong("one standard error", _one_standard_error,
              "That is one standard error, which holds about two gains in three. For 95 % multiply "
              "by Student's t."),
        Wrong("divided by n", _divided_by_n,
              "np.std divides by n, unless you ask for ddof=1. With five splits that makes the "
              "interval a tenth too narrow."),
        Wrong("after minus before", lambda before, after, n_train, n_test, t_95: interval_of_gain(
                  after, before, n_train, n_test, t_95),
              "The sign is the wrong way round: what is saved is the error before minus the error "
              "after. A trick that costs errors must come out below zero."),
        Wrong("train over test", lambda before, after, n_train, n_test, t_95: interval_of_gain(
                  before, after, n_test, n_train, t_95),
              "The ratio is upside down. A larger test set leaves fewer images that two trainings do "
              "not share: it is n_test / n_train."),
        Wrong("part of all images", _of_all_images,
              "Nadeau and Bengio's ratio is test images to training images, not to all images."),
        Wrong("added outside the root", _added_outside,
              "The ratio widens the variance, so it is added to 1 / n under the root."),
    ],
    hints=["Begin with one difference per split, np.subtract(before, after). Everything else is about these.",
           "The interval of a mean is t times the root of the variance divided by n. Here 1 / n "
           "becomes 1 / n + n_test / n_train.",
           "t_95 * saved.std(ddof=1) * (1 / len(saved) + n_test / n_train) ** 0.5"],
    why="Pairs take out what both sides share, the luck of the split. The ratio puts back what the "
        "splits share with each other, which makes them worth less than that many fresh samples.")

# Blend images, and their targets with them


def images_and_partners(n_images, side, weights):
    """Arguments of `blend`: images, class numbers, partners, weights, number of classes."""
    generator = torch.Generator().manual_seed(n_images)
    xb = torch.rand(n_images, 3, side, side + 1, generator=generator)
    yb = torch.arange(n_images) % 4
    partner = torch.arange(n_images).roll(1)
    return xb, yb, partner, torch.tensor(weights), 4


def blend_batch(xb, yb, partner, weight, n_classes):
    of_image = weight.view(-1, 1, 1, 1)
    images = of_image * xb + (1 - of_image) * xb[partner]
    targets = torch.nn.functional.one_hot(yb, n_classes).float()
    of_target = weight.view(-1, 1)
    return images, of_target * targets + (1 - of_target) * targets[partner]


def _images_alone(xb, yb, partner, weight, n_classes):
    images, _ = blend_batch(xb, yb, partner, weight, n_classes)
    return images, torch.nn.functional.one_hot(yb, n_classes).float()


def _class_numbers(xb, yb, partner, weight, n_classes):
    images, _ = blend_batch(xb, yb, partner, weight, n_classes)
    numbers = (weight * yb + (1 - weight) * yb[partner]).round().long()
    return images, torch.nn.functional.one_hot(numbers, n_classes).float()


def _along_the_width(xb, yb, partner, weight, n_classes):
    _, targets = blend_batch(xb, yb, partner, weight, n_classes)
    return weight * xb + (1 - weight) * xb[partner], targets


def _one_weight(xb, yb, partner, weight, n_classes):
    return blend_batch(xb, yb, partner, weight.mean().expand(len(xb)), n_classes)


def _weights_swapped(xb, yb, partner, weight, n_classes):
    images, _ = blend_batch(xb, yb, partner, weight, n_classes)
    _, targets = blend_batch(xb, yb, partner, 1 - weight, n_classes)
    return images, targets


def _other_partner(xb, yb, partner, weight, n_classes):
    images, _ = blend_batch(xb, yb, partner, weight, n_classes)
    _, targets = blend_batch(xb, yb, torch.arange(len(xb)).flip(0), weight, n_classes)
    return images, targets


def _not_complementary(xb, yb, partner, weight, n_classes):
    images, _ = blend_batch(xb, yb, partner, weight, n_classes)
    targets = torch.nn.functional.one_hot(yb, n_classes).float()
    return images, torch.maximum(targets, targets[partner])


BLEND = Exercise(
    "blend_batch", blend_batch,
    idea="mixup blends targets as it blends images: as probabilities, one weight per image",
    cases={"five images": lambda: images_and_partners(5, 3, [0.9, 0.7, 0.6, 1.0, 0.5]),
           "as many images as pixels in a row": lambda: images_and_partners(
               4, 3, [0.8, 0.55, 0.95, 0.7]),
           "one image, its own partner": lambda: images_and_partners(1, 2, [0.6])},
    wrong=[
        Wrong("images alone", _images_alone,
              "The images are blended, the targets are not: half a cat would count as a whole one. "
              "Blend the one-hot targets with the same weights."),
        Wrong("class numbers blended", _class_numbers,
              "Half of class 1 and half of class 3 is not class 2. Class numbers are names: make them "
              "one-hot first, then blend the probabilities."),
        Wrong("weights along the width", _along_the_width,
              "weight has one number per image, and without more dimensions it is broadcast along "
              "the last one, the columns of pixels. Where both are equally many nothing complains. "
              "Write weight.view(-1, 1, 1, 1)."),
        Wrong("one weight for all", _one_weight,
              "All images were blended with one weight. Each image has its own: weight[i] is that of "
              "image i."),
        Wrong("targets the other way round", _weights_swapped,
              "The targets got the weights the other way round: where an image has 0.9 of itself, its "
              "own class must have 0.9 as well."),
        Wrong("another partner", _other_partner,
              "Images and targets were blended with different partners. Both take row partner[i]."),
        Wrong("both classes whole", _not_complementary,
              "Both classes got probability 1. Together they may have no more than 1, in proportion "
              "to the images: weight and 1 - weight."),
    ],
    hints=["A target has to become something that can be blended. What has lesson 3 done with class "
           "numbers?",
           "weight is [B], the images are [B, 3, H, W], the one-hot targets [B, n_classes]. How many "
           "dimensions does weight need for each?",
           "w = weight.view(-1, 1, 1, 1); w * xb + (1 - w) * xb[partner]. The same for the targets, "
           "with view(-1, 1)."],
    why="One weight per image, given the shape that broadcasts over pixels and over classes; the "
        "targets are probabilities, so they blend in the same proportion.")

# The error of a chosen epoch


def honest_errors(choosing, judging):
    best = choosing.argmin(0)
    return judging[best, torch.arange(judging.shape[1])]


def epochs_and_splits(n_epochs, n_splits):
    """Errors of two halves of the test images, [epochs, splits], that share a curve."""
    generator = torch.Generator().manual_seed(n_epochs)
    curve = 30 - 10 * torch.linspace(0, 1, n_epochs)[:, None].sqrt()
    return tuple(curve + 3 * torch.randn(n_epochs, n_splits, generator=generator) for _ in range(2))


def a_tie():
    """Two epochs with the same lowest error on the half that chooses."""
    choosing = torch.tensor([[9.0, 8.0], [5.0, 6.0], [5.0, 7.0]])
    return choosing, torch.tensor([[9.0, 9.0], [7.0, 6.5], [4.0, 8.0]])


def _rows(values, best):
    return values[best, torch.arange(values.shape[1])]


def _last_of_ties(choosing, judging):
    best = len(choosing) - 1 - choosing.flip(0).argmin(0)
    return _rows(judging, best)


HONEST = Exercise(
    "honest_errors", honest_errors,
    idea="what chooses must not judge: the error of a chosen epoch is too good to be true",
    cases={"twenty epochs, eight splits": lambda: epochs_and_splits(20, 8),
           "as many epochs as splits": lambda: epochs_and_splits(6, 6),
           "a tie": a_tie},
    wrong=[
        Wrong("judged by what chose", lambda choosing, judging: choosing.min(0).values,
              "These are the errors on the half that chose. The best of many epochs is the best "
              "partly by luck, and the luck is in these numbers. Read the chosen epoch's error on "
              "the other half."),
        Wrong("the best of the judges", lambda choosing, judging: judging.min(0).values,
              "You chose the epoch on the half that judges, so its error is lucky too. Choose by "
              "`choosing` alone."),
        Wrong("one epoch for all", lambda choosing, judging: judging[choosing.mean(1).argmin()],
              "You chose one epoch for all splits together. Each split is a training of its own, and "
              "stops at its own best epoch: argmin along dimension 0."),
        Wrong("the last epoch", lambda choosing, judging: judging[-1],
              "That is the error after the last epoch. It is honest, but nothing was chosen."),
        Wrong("table of epochs", lambda choosing, judging: judging[choosing.argmin(0)],
              "judging[best] takes whole rows: a table [splits, splits]. Take one entry per split: "
              "judging[best, torch.arange(n_splits)]."),
        Wrong("the worst epoch", lambda choosing, judging: _rows(judging, choosing.argmax(0)),
              "argmax picks the epoch with the highest error. These are errors, so the lowest is the "
              "best."),
        Wrong("the last of a tie", _last_of_ties,
              "Where epochs tie, take the first: as good, and less training."),
        Wrong("a single number", lambda choosing, judging: honest_errors(choosing, judging).mean(),
              "That is the mean over the splits. Return one error per split: a comparison in pairs "
              "needs all of them."),
    ],
    hints=["Rows are epochs, columns are splits. In which direction is the best epoch of a split?",
           "choosing.argmin(0) is the best epoch of each split.",
           "judging[best, torch.arange(judging.shape[1])]"],
    why="The epoch is chosen on one half of the images and its error is read on the other, which "
        "had no say. That error is one that new images will confirm.")

EXERCISES = [GAIN, BLEND, HONEST]

QUESTIONS = [
    Question("A trick saves 0.6 ± 1.4 points over twenty splits. What do you conclude?", [
        Choice("It does not work.",
               "A gain of two points would fit this interval as well as a loss of one. That you "
               "cannot see an effect does not say that there is none."),
        Choice("It saves 0.6 points; twenty splits are enough for that.",
               "0.6 is the middle of an interval that holds zero. The splits share their images, so "
               "more of them would not make it much narrower."),
        Choice("With these images nobody can tell.",
               "That is what a tie says. If two points would matter to you, you need more images, not "
               "more seeds.", right=True),
    ]),
    Question("You go from batches of 16 to batches of 256, with the same learning rate and the same "
             "number of epochs, and the error rises. Why, most likely?", [
        Choice("Large batches generalise worse.",
               "Look at the number of steps first: there are 16 times fewer, and each is as small as "
               "before. Such a training has not arrived."),
        Choice("It is unfinished: a sixteenth of the steps, each as small as before.",
               "Raise the learning rate, and most of the gap goes. Check it with `lr_find`.",
               right=True),
        Choice("The mean over 256 images makes each gradient smaller.",
               "It makes the noise smaller, not the gradient: that is a mean in both cases."),
    ]),
    Question("Of twelve networks you keep the one with the lowest validation error. What do you "
             "report as its error?", [
        Choice("Its validation error, with its interval.",
               "The interval is that of one network measured once. You took the lowest of twelve, "
               "and that is too good to be true."),
        Choice("Its error on a test set that chose nothing.",
               "Each set of images either chooses or judges. What has chosen cannot judge.",
               right=True),
        Choice("The mean validation error of all twelve.",
               "It is honest, but about something else: what a network drawn at random would do."),
    ]),
]
