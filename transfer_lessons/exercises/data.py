"""Exercises and questions of lesson 2, From images to batches."""
from __future__ import annotations

import hashlib
import inspect
import random
from types import FunctionType

import torch
import torchvision.transforms.functional as TF

from transfer_lessons.exercises.kit import Choice, Exercise, Question, Wrong


def in_valid(content, fraction, seed):
    digest = hashlib.sha256(f"{seed}:".encode() + content).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64  # from 0 to 1
    return position < fraction


def number_of(content, seed=0):
    return int.from_bytes(hashlib.sha256(b"%d:%s" % (seed, content)).digest()[:8], "big")


def in_another_python(answer):
    """The answer as a newly started Python has it, where `hash` of a text gives another number."""
    answer = inspect.unwrap(answer)
    if not isinstance(answer, FunctionType):
        return answer

    def hash_of_another_day(value):
        return hash(value) if isinstance(value, (int, float)) else hash(("another day", value))
    names = {**answer.__globals__, "hash": hash_of_another_day}
    return FunctionType(answer.__code__, names, answer.__name__, answer.__defaults__,
                        answer.__closure__)


def held_out(answer, n_images, fraction, seed=1):
    """The numbers of the images that an answer holds out."""
    return {i for i in range(n_images) if answer(b"pixels of image %d" % i, fraction, seed)}


def about(found, wanted, tolerance):
    """The wanted fraction where the one found is as close as luck allows.

    Else a round number close to the one found, so that luck does not tell the same mistakes apart.
    """
    if abs(found - wanted) <= tolerance:
        return wanted
    tenths = [i / 10 for i in range(11)]
    round_numbers = [number for number in [1 / 256, 0.01, 0.65, *tenths] if number != wanted]
    nearest = min(round_numbers, key=lambda number: abs(number - found))
    return nearest if abs(nearest - found) <= 0.2 * nearest else round(found, 3)


def look_at_split(answer, asked, n_images, fraction):
    """Measure what is asked about the images that an answer holds out."""
    chosen = held_out(answer, n_images, fraction)
    if asked == "fraction held out":
        tolerance = 4 * (fraction * (1 - fraction) / n_images) ** 0.5
        return about(len(chosen) / n_images, fraction, tolerance)
    if asked == "of them also held out by seed 2":
        both = chosen & held_out(answer, n_images, fraction, seed=2)
        return about(len(both) / max(len(chosen), 1), fraction, 0.1)
    if asked == "also held out at twice the fraction":
        return "all" if chosen <= held_out(answer, n_images, 2 * fraction) else "not all"
    if asked == "when asked again in another order":
        again = {i for i in reversed(range(n_images))
                 if answer(b"pixels of image %d" % i, fraction, 1)}
    else:  # "in a new Python"
        again = held_out(in_another_python(answer), n_images, fraction)
    return "the same images" if again == chosen else "other images"


IN_VALID = Exercise(
    "in_valid", in_valid, idea="a split that depends on the content of an image alone",
    observe=look_at_split,
    cases={
        "a fifth": lambda: ("fraction held out", 4000, 0.2),
        "35 %": lambda: ("fraction held out", 4000, 0.35),
        "one in a thousand": lambda: ("fraction held out", 20_000, 0.001),
        "nothing": lambda: ("fraction held out", 1000, 0.0),
        "another seed": lambda: ("of them also held out by seed 2", 1000, 0.5),
        "more held out": lambda: ("also held out at twice the fraction", 2000, 0.15),
        "another order": lambda: ("when asked again in another order", 500, 0.3),
        "tomorrow": lambda: ("in a new Python", 500, 0.3),
    },
    wrong=[
        Wrong("hash()",
              lambda content, fraction, seed: hash((content, seed)) % 1_000_000 < 1e6 * fraction,
              "Python's `hash()` of bytes and text is salted: it gives other numbers in every new "
              "Python. Tomorrow other images are held out, and today's training images are among "
              "them. Take a digest of hashlib instead."),
        Wrong("hash() in whole percents",
              lambda content, fraction, seed: hash((content, seed)) % 100 < 100 * fraction,
              "Two things go wrong. Python's `hash()` of bytes and text is salted: tomorrow it "
              "gives other numbers, and holds out other images. And whole percents are too coarse "
              "for one in a thousand. Make a number from 0 to 1 out of a digest of hashlib."),
        Wrong("random", lambda content, fraction, seed: random.random() < fraction,
              "A random number knows nothing about the image: it depends on how many were drawn "
              "before. Ask again, and other images are held out. The number must come from the "
              "content."),
        Wrong("a new generator every time",
              lambda content, fraction, seed: random.Random(seed).random() < fraction,
              "Each call makes a new generator from the same seed, so each image gets the same "
              "number: all are held out, or none. The number must come from the content."),
        Wrong("ignores the seed",
              lambda content, fraction, seed: number_of(content) / 2**64 < fraction,
              "Every seed holds out the same images, or nearly the same ones if you only add the "
              "seed to a large number. Hash the seed together with the content."),
        Wrong("every fifth",
              lambda content, fraction, seed: number_of(content, seed) % 5 == 0,
              "A digest modulo 5 holds out a fifth, whatever fraction was asked for. Turn the "
              "digest into a number from 0 to 1, and compare it with the fraction."),
        Wrong("every n-th",
              lambda content, fraction, seed: number_of(content, seed) % round(1 / fraction) == 0,
              "Modulo 1 / fraction knows only a half, a third, a quarter and so on, and fails at "
              "0; and a larger part does not include the smaller one. Compare a number from 0 to "
              "1 with the fraction."),
        Wrong("whole percents",
              lambda content, fraction, seed: number_of(content, seed) % 100 < 100 * fraction,
              "Modulo 100 knows whole percents only, so one in a thousand becomes one in a "
              "hundred. Turn the digest into a number from 0 to 1."),
        Wrong("the first byte only",
              lambda content, fraction, seed: (number_of(content, seed) >> 56) / 256 < fraction,
              "A single byte has 256 values, so one in a thousand becomes one in 256. Use more "
              "bytes of the digest: eight are plenty."),
        Wrong("holds out the rest",
              lambda content, fraction, seed: number_of(content, seed) / 2**64 >= fraction,
              "This holds out the images above the fraction, so at 0.2 it holds out 80 %. The "
              "validation set is the part below."),
    ],
    hints=["The same content and seed must give the same answer, in any order, on any day, on any "
           "computer. What turns bytes into a number in such a way?",
           "`hashlib.sha256(some_bytes).digest()` gives 32 bytes. Put the seed in front of the "
           "content before you hash it.",
           "`int.from_bytes(digest[:8], 'big') / 2**64` is a number from 0 to 1. Is it below the "
           "fraction?"],
    why="The digest looks random but depends on nothing except content and seed. So each image has "
        "its fixed place between 0 and 1, new files move no others, and copies stay together.")


def mirror_batch(x, y, flip, partner):
    images = torch.where(flip[:, None, None, None], x.flip(-1), x)
    targets = torch.where(flip, partner[y], y)
    return images, targets


def mirror_one_by_one(x, y, flip, partner):
    """The same with Python's loops and lists, as an independent oracle."""
    images = x.tolist()
    targets = y.tolist()
    for i in range(len(targets)):
        if flip[i]:
            images[i] = [[row[::-1] for row in channel] for channel in images[i]]
            targets[i] = partner.tolist()[targets[i]]
    return torch.tensor(images), torch.tensor(targets)


def where_flipped(flip, new, old):
    return torch.where(flip[:, None, None, None], new, old)


def mirror_in_two_lines(x, y, flip, partner):
    targets = y.clone()
    for a, b in enumerate(partner.tolist()):
        targets[flip & (targets == a)] = b
    return where_flipped(flip, x.flip(-1), x), targets


def few_images(n, height, width):
    return torch.arange(n * 3 * height * width).reshape(n, 3, height, width) / 100


HANDS = torch.tensor([1, 0, 2])  # left hand, right hand, car
MIRROR_BATCH = Exercise(
    "mirror_batch", mirror_batch, idea="augmentation must move the label along",
    expected=mirror_one_by_one,
    cases={
        "both hands, both mirrored": lambda: (
            few_images(2, 2, 3), torch.tensor([0, 1]), torch.tensor([True, True]), HANDS.clone()),
        "a hand and a car, one mirrored": lambda: (
            few_images(2, 3, 4), torch.tensor([0, 2]), torch.tensor([False, True]), HANDS.clone()),
        "as many images as columns": lambda: (
            few_images(4, 2, 4), torch.tensor([0, 1, 1, 2]),
            torch.tensor([True, False, True, False]), HANDS.clone()),
        "none mirrored": lambda: (
            few_images(3, 2, 2), torch.tensor([1, 0, 2]), torch.zeros(3, dtype=torch.bool),
            HANDS.clone()),
    },
    wrong=[
        Wrong("upside down",
              lambda x, y, flip, partner: (
                  where_flipped(flip, x.flip(-2), x), torch.where(flip, partner[y], y)),
              "`flip(-2)` turns the rows round, so the images stand on their heads. Left and right "
              "are columns, the last dimension."),
        Wrong("swaps colours",
              lambda x, y, flip, partner: (
                  where_flipped(flip, x.flip(1), x), torch.where(flip, partner[y], y)),
              "Dimension 1 holds the colour channels: this swaps red and blue, and mirrors "
              "nothing. Columns are the last dimension, -1."),
        Wrong("labels unchanged",
              lambda x, y, flip, partner: (where_flipped(flip, x.flip(-1), x), y),
              "The images are mirrored, but a left hand that now points right is still labelled "
              "left. Where an image is mirrored, its label becomes its partner."),
        Wrong("partner for all",
              lambda x, y, flip, partner: (where_flipped(flip, x.flip(-1), x), partner[y]),
              "Every label changed, also those of images that were not mirrored. Use flip for the "
              "labels as you do for the images."),
        Wrong("line two undoes line one", mirror_in_two_lines,
              "Left became right, and then every right, the new ones too, became left. Look all "
              "partners up at once, in the old labels: `partner[y]`."),
        Wrong("all images",
              lambda x, y, flip, partner: (x.flip(-1), torch.where(flip, partner[y], y)),
              "All images are mirrored, though flip asks for some of them. Choose image by image, "
              "for instance with torch.where."),
        Wrong("columns instead of images",
              lambda x, y, flip, partner: (
                  torch.where(flip, x.flip(-1), x), torch.where(flip, partner[y], y)),
              "flip has one value per image, but broadcasting starts at the last dimension, so it "
              "chose columns. Where sizes differ it fails; where they agree, it silently mixes "
              "columns. Write `flip[:, None, None, None]`."),
        Wrong("drops the others",
              lambda x, y, flip, partner: (x[flip].flip(-1), partner[y[flip]]),
              "Only the mirrored images come back. Those that stay as they are belong to the batch "
              "too, at their old places."),
    ],
    hints=["The columns of [B, 3, H, W] are its last dimension.",
           "`torch.where(condition, a, b)` takes from a where the condition holds, else from b. "
           "The condition needs a value per image: which shape broadcasts to [B, 3, H, W]?",
           "`partner[y]` looks up the partner of every label at once. Take it where flip is True."],
    why="An augmentation promises that the label fits the new image. Looked up all at once, in the "
        "old labels, no exchange can undo another.")


def undo_normalize(x, mean, std):
    return x * std[:, None, None] + mean[:, None, None]


def undo_by_torchvision(x, mean, std):
    return TF.normalize(x, (-mean / std).tolist(), (1 / std).tolist())


IMAGENET = (torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225]))
UNEVEN = (torch.tensor([0.2, 0.5, 0.7]), torch.tensor([0.1, 0.2, 0.4]))


def normalized_images(n, height, width, statistics):
    pixels = torch.linspace(0.1, 0.8, n * 3 * height * width).reshape(n, 3, height, width)
    mean, std = statistics
    return TF.normalize(pixels, mean.tolist(), std.tolist()), mean.clone(), std.clone()


UNDO_NORMALIZE = Exercise(
    "undo_normalize", undo_normalize, idea="normalising, undone channel by channel",
    expected=undo_by_torchvision, atol=1e-5,
    cases={
        "ImageNet's mean and std": lambda: normalized_images(2, 4, 5, IMAGENET),
        "three pixels wide": lambda: normalized_images(2, 3, 3, UNEVEN),
        "a single image": lambda: normalized_images(1, 2, 4, UNEVEN),
    },
    wrong=[
        Wrong("the wrong order",
              lambda x, mean, std: (x + mean[:, None, None]) * std[:, None, None],
              "To undo two steps, begin with the last. Normalising subtracts the mean, then "
              "divides by std; so multiply by std first, then add the mean."),
        Wrong("no mean", lambda x, mean, std: x * std[:, None, None],
              "The scale is right, but all is too dark: the mean that normalising took away is "
              "still missing. Add it after you have multiplied."),
        Wrong("no std", lambda x, mean, std: x + mean[:, None, None],
              "The mean is back, but the contrast is several times too strong: multiply by std "
              "before you add the mean."),
        Wrong("columns instead of channels", lambda x, mean, std: x * std + mean,
              "A tensor of three broadcasts over the last dimension, the columns. On most images "
              "that is an error; on one three pixels wide it is silently wrong. Shape mean and std "
              "as [3, 1, 1], with `[:, None, None]`."),
        Wrong("stretches to 0 and 1", lambda x, mean, std: (x - x.min()) / (x.max() - x.min()),
              "Stretching the smallest value to 0 and the largest to 1 always looks fine. It gives "
              "colours that the image never had, and hides mistakes in normalising."),
        Wrong("always one half", lambda x, mean, std: x * 0.5 + 0.5,
              "These images were not normalised with mean and std 0.5. Use the mean and std you "
              "were given."),
        Wrong("normalises again",
              lambda x, mean, std: (x - mean[:, None, None]) / std[:, None, None],
              "This normalises a second time. Solve y = (x - mean) / std for x."),
        Wrong("divides", lambda x, mean, std: x / std[:, None, None] + mean[:, None, None],
              "Normalising divides by std, so undoing it multiplies by std."),
    ],
    hints=["Solve y = (x - mean) / std for x.",
           "mean has shape [3], x has shape [B, 3, H, W]. Broadcasting lines up the last "
           "dimensions: which shape must mean have?",
           "`mean[:, None, None]` has shape [3, 1, 1]."],
    why="Undone in reverse order, and per channel. Now a batch can be looked at as the network's "
        "author saw it, and a mistake in normalising shows as a wrong colour.")

EXERCISES = [IN_VALID, MIRROR_BATCH, UNDO_NORMALIZE]

QUESTIONS = [
    Question("You add a copy of every image to a collection and split it at random. The error of "
             "the lazy model falls to a fraction of what it was. Why?", [
                 Choice("It has twice as much to learn from.",
                        "A copy shows the model nothing new. More images help if they are others."),
                 Choice("Many validation images have their copy in the training set.",
                        "That is leakage. The model recognises the copy, and the score says "
                        "nothing about images it has not seen.", right=True),
                 Choice("A larger validation set has a lower error.",
                        "A larger one makes the error more certain, not lower."),
             ]),
    Question("Images are read at 1.25 times the side, then augmented and cut down to the size you "
             "asked for. How many more pixels are read?", [
                 Choice("25 %", "25 % more per side, and an image has two sides."),
                 Choice("50 %", "Two times 25 % is nearly right: but 1.25 times 1.25 is more."),
                 Choice("56 %", "1.25 × 1.25 = 1.5625.", right=True),
             ]),
    Question("You fine-tune a pretrained network and forget to normalise as it needs. What "
             "happens?", [
                 Choice("An error, because the values do not fit.",
                        "Any numbers fit. The shapes are right, so nothing complains."),
                 Choice("It trains without an error, and may predict worse.",
                        "That is what makes it dangerous: nothing looks wrong. So here "
                        "normalising is the first layer of the network.", right=True),
                 Choice("Nothing: the network soon learns the new scale.",
                        "Training makes up for some of it. But the pretrained layers start from "
                        "inputs that they have never seen, and frozen ones stay there."),
             ]),
]
