"""Exercises and questions of lesson 16: from a notebook to somebody's hands."""
from __future__ import annotations

import numpy as np
import torch

from transfer_lessons.exercises.kit import Choice, Exercise, Question, Wrong

# From OpenCV's pixels to the network's input


def photograph(height, width):
    """Bytes [H, W, 3] as OpenCV reads them: blue, green, red."""
    rng = np.random.default_rng(height)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[..., 0] //= 8  # little blue: colours that change places show
    return (pixels,)


def from_opencv(pixels):
    rgb = torch.from_numpy(pixels[:, :, ::-1].copy())
    return rgb.permute(2, 0, 1)[None].float() / 255


def in_detail(answer, pixels):
    """The result, and what of it tells wrong ones apart at a glance."""
    result = answer(pixels)
    return None if result is None else {
        "shape": list(result.shape), "first values": result.flatten()[:3], "all": result}


def _floats(pixels):
    """[H, W, 3], red first, 0 to 1."""
    return torch.from_numpy(pixels[:, :, ::-1].astype(np.float32)) / 255


def _normalised(pixels):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    return (from_opencv(pixels) - mean) / std


def _upside_down(pixels):
    return torch.from_numpy(pixels[::-1].astype(np.float32)).permute(2, 0, 1)[None] / 255


def _transposed(pixels):
    return from_opencv(pixels).transpose(2, 3)


def _whole_division(pixels):
    return torch.from_numpy((pixels[:, :, ::-1] // 255).astype(np.float32)).permute(2, 0, 1)[None]


def _stretched(pixels):
    x = from_opencv(pixels)
    return (x - x.min()) / (x.max() - x.min())


FROM_OPENCV = Exercise(
    "from_opencv", from_opencv,
    idea="how pixels are prepared is part of the model; nothing fails when it is wrong",
    cases={"a wide photograph": lambda: photograph(4, 6),
           "three pixels wide": lambda: photograph(5, 3),
           "square": lambda: photograph(3, 3)},
    observe=in_detail,
    wrong=[
        Wrong("BGR", lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255,
              "Blue is still first: the sky is orange. Turn the last dimension round: "
              "pixels[:, :, ::-1].copy()."),
        Wrong("0 to 255", lambda pixels: from_opencv(pixels) * 255,
              "The values go up to 255. In training they went up to 1: divide by 255."),
        Wrong("normalised here", _normalised,
              "You subtracted ImageNet's mean and divided by its std. Our networks do that in their "
              "first layer, so it would happen twice."),
        Wrong("reshaped", lambda pixels: _floats(pixels).reshape(1, 3, *pixels.shape[:2]),
              "reshape keeps the order of the values and gives them other places: the colours of one "
              "pixel end up side by side. permute(2, 0, 1) moves the dimensions."),
        Wrong("upside down", _upside_down,
              "You turned the rows round, and not the colours: the photograph stands on its head. "
              "Colours are the last dimension, pixels[:, :, ::-1]."),
        Wrong("height and width swapped", _transposed,
              "Height and width have changed places: the photograph lies on its side. "
              "permute(2, 0, 1) keeps height before width."),
        Wrong("no batch", lambda pixels: from_opencv(pixels)[0],
              "The network takes batches, [1, 3, H, W] for one image. Add a dimension: [None]."),
        Wrong("whole division", _whole_division,
              "Bytes divided as whole numbers are 0 or 1. Make them floats before you divide."),
        Wrong("stretched", _stretched,
              "You stretched darkest to brightest, image by image. A dark photograph would look like "
              "a bright one, and in training nobody did that. Divide by 255."),
    ],
    hints=["Four things differ: the order of the colours, the order of the dimensions, the range of "
           "the values, and a batch.",
           "pixels[:, :, ::-1].copy() is red first; torch.from_numpy takes no negative strides, so "
           "copy.",
           ".permute(2, 0, 1) gives [3, H, W], [None] adds the batch, .float() / 255 the range."],
    why="Red, green, blue; channels first; fractions of 255; one image per row of the batch: what the "
        "training loader gave. Mean and std are the network's own business.")

# A name, or "not sure"

VOCAB = ["zebra", "ant", "cat"]  # in the order of training, which is not the alphabet's


def names_or_not(logits, vocab, threshold):
    probabilities = torch.softmax(logits, dim=1)
    confidence, predicted = probabilities.max(1)
    return [vocab[i] if value >= threshold else "not sure"
            for value, i in zip(confidence.tolist(), predicted.tolist(), strict=True)]


def _of_scores(scores, vocab, threshold):
    best, predicted = scores.max(1)
    return [vocab[i] if value >= threshold else "not sure"
            for value, i in zip(best.tolist(), predicted.tolist(), strict=True)]


def _above(logits, vocab, threshold):
    confidence, predicted = torch.softmax(logits, 1).max(1)
    return [vocab[i] if value > threshold else "not sure"
            for value, i in zip(confidence.tolist(), predicted.tolist(), strict=True)]


def _naive_softmax(logits, vocab, threshold):
    probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    return _of_scores(probabilities, vocab, threshold)


def _all_or_none(logits, vocab, threshold):
    names = names_or_not(logits, vocab, threshold)
    return ["not sure"] * len(names) if "not sure" in names else names


NAMES = Exercise(
    "names_or_not", names_or_not,
    idea="class names in order, softmax per image, a threshold on the probability",
    cases={"sure and unsure": lambda: (
               torch.tensor([[4.0, 0.0, 1.0], [0.4, 0.5, 0.3], [-3.0, 2.0, -1.0]]), VOCAB, 0.6),
           "exactly at the threshold": lambda: (torch.tensor([[2.0, 2.0, -1e9]]), VOCAB, 0.5),
           "large logits": lambda: (
               torch.tensor([[500.0, 499.0, 100.0], [-400.0, -401.0, -390.0]]), VOCAB, 0.7),
           "all logits below zero": lambda: (torch.tensor([[-6.0, -2.0, -7.0]]), VOCAB, 0.9)},
    wrong=[
        Wrong("logits against the threshold", _of_scores,
              "You compared logits with the threshold. A logit is no probability: softmax first."),
        Wrong("softmax over the batch", lambda logits, vocab, threshold: _of_scores(
                  torch.softmax(logits, 0), vocab, threshold),
              "The softmax ran over the images, so that what one image gets depends on the others. "
              "Classes are dimension 1."),
        Wrong("in the alphabet's order", lambda logits, vocab, threshold: names_or_not(
                  logits, sorted(vocab), threshold),
              "The names were sorted. Class 0 is whatever was class 0 in training: take vocab as it "
              "is."),
        Wrong("above the threshold", _above,
              "An image exactly at the threshold counts as sure: a confidence *below* it is not sure. "
              "Use >=."),
        Wrong("softmax twice", lambda logits, vocab, threshold: names_or_not(
                  torch.softmax(logits, 1), vocab, threshold),
              "The softmax was taken twice, which brings all probabilities close together, so nobody "
              "is sure of anything. Once is enough."),
        Wrong("exp of large logits", _naive_softmax,
              "exp of a large logit is infinite, and NaN is not sure of anything. torch.softmax "
              "subtracts the largest first."),
        Wrong("all or none", _all_or_none,
              "One unsure image made all of them unsure. Decide image by image."),
        Wrong("the first image", lambda logits, vocab, threshold: names_or_not(
                  logits[:1], vocab, threshold),
              "Only the first image got an answer. Return one name per row of the logits."),
        Wrong("sigmoid", lambda logits, vocab, threshold: _of_scores(
                  torch.sigmoid(logits), vocab, threshold),
              "sigmoid judges each class alone, as for labels that exclude nothing. Here exactly one "
              "class is right, and the network was trained so: softmax."),
    ],
    hints=["Which activation turns these logits into probabilities, and along which dimension?",
           "probabilities.max(1) gives the confidence and the class number of every image.",
           "vocab[i] if confidence >= threshold else \"not sure\", image by image."],
    why="Softmax per image, the largest probability against the threshold, and the class number as a "
        "place in the list of names as training had it.")

# Do two ways to run a network agree?


def do_agree(first, second, tolerance):
    if first.shape != second.shape:
        return False
    largest = (first - second).abs().max()
    return bool(largest <= tolerance)  # False for NaN


def two_tables(change=None):
    """Probabilities [4, 3] and a copy of them, changed."""
    first = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.05, 0.05, 0.9]])
    second = first.clone()
    if change is not None:
        second = change(second)
    return first, second, 1e-3


def one_image_differs(table):
    table[1] += torch.tensor([0.002, -0.004, 0.002])
    return table


def one_is_lower(table):
    table[0, 0] -= 0.05
    return table


def one_is_higher(table):
    table[3, 1] += 0.05
    return table


def no_number(table):
    table[2] = torch.nan
    return table


def many_small(table):
    return table + 0.0008


def _not_more(first, second, tolerance):
    if first.shape != second.shape:
        return False
    return not (first - second).abs().max() > tolerance


def _any_shape(first, second, tolerance):
    try:
        return bool((first - second).abs().max() <= tolerance)
    except RuntimeError:
        return False


def _as_many_as_there_are(first, second, tolerance):
    pairs = zip(first, second, strict=False)
    return all(bool((a - b).abs().max() <= tolerance) for a, b in pairs)


AGREE = Exercise(
    "do_agree", do_agree,
    idea="two programs agree when every probability does; NaN and missing rows do not",
    cases={"equal": two_tables,
           "rounded otherwise": lambda: two_tables(lambda table: table + 1e-7),
           "one image of four differs": lambda: two_tables(one_image_differs),
           "one probability is lower": lambda: two_tables(one_is_lower),
           "one probability is higher": lambda: two_tables(one_is_higher),
           "many differ a little": lambda: two_tables(many_small),
           "one image gives NaN": lambda: two_tables(no_number),
           "an image is missing": lambda: two_tables(lambda table: table[:3]),
           "one image for all": lambda: (torch.full((4, 3), 0.5), torch.full((1, 3), 0.5), 1e-3)},
    wrong=[
        Wrong("the mean", lambda a, b, tolerance: (
                  a.shape == b.shape and bool((a - b).abs().mean() <= tolerance)),
              "On average they agree, but one image differs by far more than the tolerance. Take the "
              "largest difference."),
        Wrong("second minus first", lambda a, b, tolerance: (
                  a.shape == b.shape and bool((b - a).max() <= tolerance)),
              "Where the second program gives less, the difference is below zero, and the largest one "
              "passes over it. Take absolute values first."),
        Wrong("first minus second", lambda a, b, tolerance: (
                  a.shape == b.shape and bool((a - b).max() <= tolerance)),
              "Where the second program gives more, the difference is below zero, and the largest one "
              "passes over it. Take absolute values first."),
        Wrong("classes alone", lambda a, b, tolerance: (
                  a.shape == b.shape and torch.equal(a.argmax(1), b.argmax(1))),
              "The same classes can come from pixels that are prepared in another way. Compare the "
              "probabilities, not what is largest."),
        Wrong("NaN agrees", _not_more,
              "Every comparison with NaN is False, also `difference > tolerance`, so NaN passed. Ask "
              "what has to be true: difference <= tolerance."),
        Wrong("any shape", _any_shape,
              "One row was broadcast against all rows, so a program that gave one answer for four "
              "images passed. Compare the shapes first."),
        Wrong("as many as there are", _as_many_as_there_are,
              "zip stops at the shorter of the two, so a missing image went unnoticed. Compare the "
              "shapes first."),
        Wrong("to the last bit", lambda a, b, tolerance: torch.equal(a, b),
              "Two programs add in another order and round otherwise, so their last bits differ. That "
              "is what the tolerance is for."),
        Wrong("the sum", lambda a, b, tolerance: (
                  a.shape == b.shape and bool((a - b).abs().sum() <= tolerance)),
              "Many differences, all within the tolerance, add up to more than it. The tolerance is "
              "for each probability: take the largest difference."),
    ],
    hints=["Which single number decides whether *every* probability is close enough?",
           "The largest absolute difference. What does it say if one entry is NaN, and what if the "
           "shapes differ?",
           "Compare the shapes, then `(first - second).abs().max() <= tolerance`."],
    why="The largest absolute difference is within the tolerance only if all of them are. Written "
        "with <=, NaN fails; and the shapes have to be equal, or broadcasting invents rows.")

EXERCISES = [FROM_OPENCV, NAMES, AGREE]

QUESTIONS = [
    Question("Your colleague loads every weight correctly, but gives the network images from 0 to 255 "
             "instead of 0 to 1. What happens?", [
        Choice("An error: the values are out of range.",
               "A network multiplies whatever numbers it gets. No layer knows which range is right."),
        Choice("Nothing much: BatchNorm scales it away.",
               "In evaluation mode BatchNorm uses the statistics of training, and these are for values "
               "from 0 to 1."),
        Choice("No error, and mostly wrong predictions.",
               "Nothing fails, and that is what makes it dangerous. So the preparation travels with "
               "the weights.", right=True),
    ]),
    Question("A stranger sends you a model as a pickle. How do you find out safely whether it is "
             "harmless?", [
        Choice("Load it, and look at what is inside.",
               "To load it is to run it. By the time you look, whatever it does is done."),
        Choice("Not by loading it: to read a pickle is to run it. Ask for safetensors.",
               "A format without a program in it can be checked before anything is used.", right=True),
        Choice("Compare its hash with the one that came along.",
               "A hash says that the file arrived as it was sent. It says nothing about who sent it "
               "and why."),
    ]),
    Question("You raise the threshold for \"not sure\" from 0.5 to 0.9, and the error among the "
             "answers falls. Is the network better?", [
        Choice("Yes: it makes fewer mistakes.",
               "It gives fewer answers. The same weights say the same about every image."),
        Choice("No: it answers fewer images. Whether that pays depends on what a mistake costs.",
               "A threshold trades answers for correctness. Always report both: how many it answers, "
               "and how many of these are wrong.", right=True),
    ]),
]
