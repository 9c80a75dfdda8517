"""Exercises and questions of lesson 15: what does a confidence of 90 % mean?"""
from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from transfer_lessons.exercises.kit import Choice, Decision, Exercise, Question, Wrong
from transfer_lessons.losses import softmax
from transfer_lessons.trust import calibration_error, fit_temperature, reliability

# How far is the confidence off?


def confidence_gap(confidence, correct, n_groups):
    order = np.argsort(confidence)
    total = 0.0
    for rows in np.array_split(order, n_groups):
        if len(rows):
            total += len(rows) * abs(confidence[rows].mean() - correct[rows].mean())
    return total / len(confidence)


def overconfident(n):
    """Confidences in no order, and what is correct; over- and underconfident in places."""
    rng = np.random.default_rng(n)
    confidence = rng.uniform(0.2, 1.0, n)
    return confidence, rng.uniform(0, 1, n) < 0.35 + 0.3 * confidence


def _mean_gap(groups, confidence, correct):
    """Mean distance over the images, for groups of rows that somebody has made."""
    return sum(len(rows) * abs(confidence[rows].mean() - correct[rows].mean())
               for rows in groups if len(rows)) / len(confidence)


def _same_weights(confidence, correct, n_groups):
    groups = [rows for rows in np.array_split(np.argsort(confidence), n_groups) if len(rows)]
    return np.mean([abs(confidence[rows].mean() - correct[rows].mean()) for rows in groups])


def _not_sorted(confidence, correct, n_groups):
    return _mean_gap(np.array_split(np.arange(len(confidence)), n_groups), confidence, correct)


def _sorted_apart(confidence, correct, n_groups):
    return confidence_gap(np.sort(confidence), correct, n_groups)


def _equal_ranges(confidence, correct, n_groups):
    group = (confidence * n_groups).astype(int)
    return _mean_gap([np.flatnonzero(group == g) for g in range(n_groups)], confidence, correct)


GAP = Exercise(
    "confidence_gap", confidence_gap,
    idea="calibration compares confidence with what is correct, group by group",
    cases={"fifty images in five groups": lambda: (*overconfident(50), 5),
           "groups that cannot be equal": lambda: (*overconfident(17), 5),
           "too high here, too low there": lambda: (
               np.array([0.9, 0.3, 0.8, 0.2]), np.array([False, True, True, True]), 2),
           "more groups than images": lambda: (*overconfident(3), 5)},
    expected=lambda *arguments: calibration_error(reliability(*arguments)),
    wrong=[
        Wrong("overall", lambda confidence, correct, n_groups: (
                  abs(confidence.mean() - correct.mean())),
              "That is one group of all images. Where confidence is too high for some and too low for "
              "others, the two cancel: sort, cut into groups, and compare within each."),
        Wrong("with signs", lambda confidence, correct, n_groups: (
                  confidence.mean() - correct.mean()),
              "Gaps with opposite signs cancel. Take the absolute value of each group's gap before "
              "you average."),
        Wrong("every group counts the same", _same_weights,
              "Groups of different sizes were given the same weight. Each gap counts for as many "
              "images as its group has."),
        Wrong("not sorted", _not_sorted,
              "The images were cut in the order in which they came, so each group holds all kinds of "
              "confidence. Sort by confidence first."),
        Wrong("sorted apart", _sorted_apart,
              "You sorted the confidences and left `correct` as it was: each confidence now stands "
              "beside another image. Take np.argsort, and index both with it."),
        Wrong("equal ranges", _equal_ranges,
              "These are groups of equally wide ranges. Asked for are groups of equally many images, "
              "as np.array_split of the sorted order gives them."),
        Wrong("image by image", lambda confidence, correct, n_groups: (
                  np.abs(confidence - correct).mean()),
              "One image is correct or it is not, so its own gap says nothing about 90 %. Only a "
              "group has a fraction that is correct."),
        Wrong("empty groups", lambda confidence, correct, n_groups: (
                  confidence_gap(confidence, correct, n_groups)
                  if n_groups <= len(confidence) else math.nan),
              "With more groups than images some groups are empty, and the mean of nothing is NaN. "
              "Pass over empty groups."),
    ],
    hints=["Which images belong into one group? np.argsort(confidence) brings them into order.",
           "np.array_split(order, n_groups) gives the rows of each group, some of them perhaps "
           "empty.",
           "Per group: abs(confidence[rows].mean() - correct[rows].mean()), weighted by len(rows)."],
    why="Only images of similar confidence can show whether that confidence is kept. Weighted by the "
        "images in each group, the gaps tell how far off the confidence of an image is on average.")

# Find the temperature


def logits_and_targets(n, n_classes, factor):
    """Logits of a network that is `factor` times too sure, or too little if it is below 1."""
    generator = torch.Generator().manual_seed(n)
    logits = 1.5 * torch.randn(n, n_classes, generator=generator, dtype=torch.float64)
    targets = torch.multinomial(softmax(logits), 1, generator=generator)[:, 0]
    return factor * logits, targets


def my_temperature(logits, targets):
    candidates = torch.logspace(-1, 1, 301)
    losses = [cross_entropy(logits / candidate, targets).item() for candidate in candidates]
    return candidates[losses.index(min(losses))].item()


def _lowest(loss_of, candidates):
    losses = [float(loss_of(float(candidate))) for candidate in candidates]
    return float(candidates[losses.index(min(losses))])


CANDIDATES = torch.logspace(-1, 1, 301)


def _by_error(logits, targets):
    return _lowest(lambda t: ((logits / t).argmax(1) != targets).double().mean(), CANDIDATES)


def _by_mean_confidence(logits, targets):
    accuracy = (logits.argmax(1) == targets).double().mean()
    return _lowest(lambda t: (softmax(logits / t).max(1).values.mean() - accuracy).abs(), CANDIDATES)


def _of_probabilities(logits, targets):
    probabilities = softmax(logits)
    return _lowest(lambda t: cross_entropy(probabilities / t, targets), CANDIDATES)


def _softmax_twice(logits, targets):
    return _lowest(lambda t: cross_entropy(softmax(logits / t), targets), CANDIDATES)


def _on_a_coarse_grid(logits, targets):
    return _lowest(lambda t: cross_entropy(logits / t, targets), torch.arange(1.0, 11.0))


TEMPERATURE = Exercise(
    "my_temperature", my_temperature,
    idea="one number, chosen by the loss on images that train nothing, mends the confidence",
    cases={"three times too sure": lambda: logits_and_targets(150, 5, 3.0),
           "less sure than it may be": lambda: logits_and_targets(130, 4, 0.8),
           "just right": lambda: logits_and_targets(180, 3, 1.0)},
    expected=fit_temperature, rtol=0.02,
    wrong=[
        Wrong("one over it", lambda logits, targets: 1 / my_temperature(logits, targets),
              "This is 1 / temperature: you multiplied the logits by it. Logits are divided by the "
              "temperature, so an overconfident network needs one above 1."),
        Wrong("the lowest error", _by_error,
              "The error is the same at every temperature, since the largest logit stays the largest: "
              "you got the first candidate. Take the cross-entropy."),
        Wrong("the mean confidence", _by_mean_confidence,
              "You made the mean confidence equal to the accuracy. That uses one number of all that "
              "the logits say. The temperature with the lowest cross-entropy uses them all."),
        Wrong("probabilities divided", _of_probabilities,
              "You divided probabilities by the temperature, not logits. The softmax comes after."),
        Wrong("softmax twice", _softmax_twice,
              "cross_entropy takes logits, and takes their softmax itself. You gave it probabilities, "
              "so the softmax was taken twice: leave yours out."),
        Wrong("whole numbers", _on_a_coarse_grid,
              "Your candidates are too far apart. A few percent matter: try some hundred, with equal "
              "ratios (torch.logspace)."),
        Wrong("never below 1", lambda logits, targets: max(1.0, my_temperature(logits, targets)),
              "A network can be less sure than it may be, with label smoothing for example. Try "
              "temperatures below 1 as well."),
    ],
    hints=["Which measure changes with the temperature, and is lowest where the confidence is right?",
           "Try some hundred temperatures from 0.1 to 10, and keep the one with the lowest "
           "cross-entropy of logits / temperature.",
           "candidates = torch.logspace(-1, 1, 301)"],
    why="Cross-entropy is lowest where probabilities are honest, and there is one temperature with "
        "the lowest. Dividing by it changes no predicted class.")

# A threshold for images that nobody expected

MAX_WRONG = 0.2


def counts_at(threshold, images):
    """Fraction of the images that get a name, and of these the fraction that is wrong."""
    named = images["confidence"] >= threshold
    n_named = int(named.sum())
    return n_named / len(named), float(images["wrong"][named].mean()) if n_named else 0.0


def lowest_good(images, which):
    """The lowest threshold at which few enough of the names are wrong, on some of the images."""
    some = {name: values[which] for name, values in images.items()}
    good = [threshold for threshold in np.unique(some["confidence"])
            if counts_at(threshold, some)[1] <= MAX_WRONG]
    return float(good[0]) if good else 1.0


def good_threshold(images):
    for threshold in np.arange(0, 1, 0.01):
        named = images["confidence"] >= threshold
        if images["wrong"][named].mean() <= 0.2:
            return float(threshold)
    return 1.0


def judge_threshold(answer, images):
    """None for a threshold that keeps the promise and refuses not much more than it must."""
    if not isinstance(images, Mapping) or not {"confidence", "wrong", "unknown"} <= set(images):
        return "Give the images too: check(..., about=everything)."
    if isinstance(answer, bool) or not isinstance(answer, (int, float, np.number)):
        return "Give one number, a confidence between 0 and 1, such as 0.5."
    images = {name: np.asarray(values) for name, values in images.items()}
    threshold = float(answer)
    if not math.isfinite(threshold) or threshold < 0:
        return "Give a confidence between 0 and 1."
    if threshold > 1:
        return "in percent"
    named, wrong = counts_at(threshold, images)
    if not named:
        return "nobody gets a name"
    if round(wrong, 2) > MAX_WRONG:  # as the explorer shows it
        return _too_low(threshold, images, wrong)
    most, _ = counts_at(lowest_good(images, np.full(len(images["wrong"]), True)), images)
    return None if named >= most / 2 else "too careful"


def _too_low(threshold, images, wrong):
    """Why somebody's threshold is too low: another question's answer, or none that is known."""
    if counts_at(threshold, images)[0] == 1:
        return "nobody is refused"
    if abs(threshold - 0.5) < 1e-6:
        return "one half"
    answers = {lowest_good(images, ~images["unknown"]): "known images alone",
               lowest_of_all(images): "of all images"}
    reached = [lowest for lowest in answers if lowest <= threshold]
    if reached:
        return answers[max(reached)]
    return (f"At {threshold:.2f}, {wrong:.0%} of the names are wrong, counting unknown images. "
            "Move the threshold up.")


def lowest_of_all(images):
    """The lowest threshold at which few enough of all images, refused ones too, are wrong."""
    return float(next(lowest for lowest in np.unique(images["confidence"])
                      if (images["wrong"] & (images["confidence"] >= lowest)).mean() <= MAX_WRONG))


def known_and_unknown():
    """Confidences like the lesson's: of known images, and of unknown ones, which are all wrong."""
    rng = np.random.default_rng(0)
    known = rng.beta(3, 1.2, 250)
    unknown = rng.beta(2.2, 2.5, 200)
    wrong = rng.uniform(size=250) > known
    return {"confidence": np.concatenate([known, unknown]),
            "wrong": np.concatenate([wrong, np.full(200, True)]),
            "unknown": np.arange(450) >= 250}


THRESHOLD = Decision(
    "good_threshold", judge=judge_threshold, solution=good_threshold, about=known_and_unknown,
    idea="a threshold belongs to a network and to the images that come",
    wrong=[
        Wrong("known images alone", lambda images: lowest_good(images, ~images["unknown"]),
              "That keeps the promise for the images it knows. With unknown ones among them more of "
              "the names are wrong: an unknown image that gets a name is always wrong."),
        Wrong("one half", 0.5,
              "0.5 is where a coin would be, and means nothing here. Move the threshold until at most "
              "one name in five is wrong, unknown images included."),
        Wrong("nobody is refused", 0.0,
              "Below the lowest confidence nobody is refused: every unknown image gets a name, and "
              "every one of these names is wrong."),
        Wrong("of all images", lowest_of_all,
              "Of all images few enough are wrong, but the refused ones got no name, so they do not "
              "count. Look at those with a name: more than one in five of them is wrong."),
        Wrong("nobody gets a name", 1.0,
              "Nobody gets a name any more, so none is wrong. And none is right: look for the lowest "
              "threshold that keeps the promise."),
        Wrong("too careful", lambda images: float(np.quantile(images["confidence"], 0.97)),
              "The promise is kept, at a price: many images are refused that could have a name. Go "
              "down until just under one name in five is wrong."),
        Wrong("in percent", 80,
              "A confidence is a fraction: 80 % is 0.8."),
    ],
    hints=["Slide the explorer's threshold, and read what is wrong among the images with a name, "
           "unknown ones included.",
           "It is higher than for the known images alone. How many of those does it cost?",
           "Go up in steps of 0.05 until the fraction falls below 20 %, then back in steps of 0.01."],
    why="The lowest threshold at which at most a fifth of the names are wrong, on images as they will "
        "come. Other images, another threshold.")

EXERCISES = [GAP, TEMPERATURE, THRESHOLD]

QUESTIONS = [
    Question("Of all images that a network predicts with about 81 % confidence, 68 % are correct. "
             "What is it?", [
        Choice("Overconfident.",
               "It promises 81 and keeps 68. A temperature above 1 brings its confidence down.",
               right=True),
        Choice("Underconfident: it could be surer.",
               "It would be that if more were correct than it promises. Here fewer are."),
    ]),
    Question("What does a temperature of 2 do to the error rate?", [
        Choice("It falls, since the network no longer exaggerates.",
               "What changes is how sure it is, not what it says."),
        Choice("Nothing: the largest logit stays the largest.",
               "All logits of an image are divided by one number. That changes confidences and the "
               "loss, and no predicted class.", right=True),
        Choice("It rises, since the probabilities come closer together.",
               "They come closer together, and keep their order. The highest stays the highest."),
    ]),
    Question("A network of eight classes is calibrated. It sees an image of a ninth class and says "
             "90 %. Is it right nine times out of ten with such images?", [
        Choice("Yes, that is what calibrated means.",
               "It means that for images like those it was calibrated on. Of a ninth class it has no "
               "name to give."),
        Choice("No: with such images it is never right.",
               "Calibration speaks about images like those it was measured on. Probabilities of eight "
               "classes add up to 1, whatever is on the image.", right=True),
    ]),
]
