"""Exercises and questions of lesson 9, the learning-rate finder."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from transfer_lessons.exercises.kit import (
    Choice, Decision, Exercise, Question, Wrong, call_for_numbers)


def smooth_by_size(losses, sizes, beta):
    """Running mean of batch losses in which each batch counts by its number of images."""
    average = 0.0
    weight = 0.0
    smoothed = []
    for loss, size in zip(losses, sizes, strict=True):
        average = beta * average + (1 - beta) * size * loss
        weight = beta * weight + (1 - beta) * size
        smoothed.append(average / weight)
    return smoothed


def smooth_without_sizes(losses, sizes, beta):
    """The lesson's `smooth`."""
    return smooth_by_size(losses, [1] * len(losses), beta)


def smooth_but(correct, share=lambda beta: beta, feed_back=False, first=False):
    """`smooth_by_size` with another correction; it gets average, weight, beta, t and the sizes."""
    def wrong(losses, sizes, beta):
        kept = share(beta)
        average = losses[0] * sizes[0] if first and losses else 0.0
        weight = 0.0
        smoothed = []
        for t, (loss, size) in enumerate(zip(losses, sizes, strict=True)):
            average = kept * average + (1 - kept) * size * loss
            weight = kept * weight + (1 - kept) * size
            value = correct(average, weight, beta, t, sizes)
            smoothed.append(value)
            if feed_back:
                average = value * size
        return smoothed
    return wrong


def smooth_with_the_future(losses, sizes, beta):
    """Divides by the mean size of all batches, also of those that are still to come."""
    mean = sum(sizes) / max(len(sizes), 1)
    return [value for value in smooth_but(
        lambda average, weight, beta, t, sizes: average / mean / (1 - beta**(t + 1)))(
            losses, sizes, beta)]


SMOOTH = Exercise(
    "smooth_by_size", smooth_by_size, idea="a running mean without bias: divide by what is in it",
    observe=call_for_numbers,
    cases={"always 2, batches of 16": lambda: ([2.0] * 6, [16] * 6, 0.9),
           "always 2, unequal batches": lambda: ([2.0] * 5, [16, 4, 16, 1, 16], 0.9),
           "one batch": lambda: ([3.0], [8], 0.98),
           "a fall": lambda: ([4.0, 3.0, 2.0, 1.0], [8, 8, 8, 8], 0.5),
           "one image is off": lambda: ([1.0, 1.0, 9.0, 1.0], [16, 16, 1, 16], 0.9),
           "beta 0: no memory": lambda: ([4.0, 1.0, 3.0], [16, 16, 4], 0.0),
           "diverged on the way": lambda: ([2.0, math.nan, 1.0], [4, 4, 4], 0.9),
           "no batch at all": lambda: ([], [], 0.9)},
    wrong=[
        Wrong("sizes ignored", smooth_without_sizes,
              "Every batch counts the same, so the one image that is off weighs as much as "
              "sixteen. Add size * loss, and correct by what that puts in."),
        Wrong("not corrected",
              smooth_but(lambda average, weight, beta, t, sizes: average / sizes[t]),
              "The first values are far too low: the mean starts at 0 and has to forget that. "
              "Divide by the weight that real losses have in it so far."),
        Wrong("corrected as if sizes were 1", smooth_but(
            lambda average, weight, beta, t, sizes: average / (1 - beta**(t + 1))),
              "1 - beta ** t is the weight only where each batch counts as 1. Here the result "
              "is about sixteen times too high: keep a second running mean, of the sizes, and "
              "divide by it."),
        Wrong("corrected by this batch's size", smooth_but(
            lambda average, weight, beta, t, sizes: average / sizes[t] / (1 - beta**(t + 1))),
              "You divide by the size of the newest batch, but the mean holds older ones of "
              "other sizes. A loss that is always 2 must give 2: divide by the running mean of "
              "the sizes."),
        Wrong("the mean size of all batches", smooth_with_the_future,
              "You divide by the mean size of all batches, also of those to come. While it trains "
              "nobody knows those, and constant losses do not stay constant."),
        Wrong("exponent t", smooth_but(
            lambda average, weight, beta, t, sizes: average / sizes[t] / (1 - beta**t)),
              "For the first batch t is 0, and 1 - beta ** 0 is 0: a division by zero. Count "
              "from 1, or better, keep a running mean of the sizes."),
        Wrong("starts at the first loss", smooth_but(
            lambda average, weight, beta, t, sizes: average / sizes[t], first=True),
              "Starting at the first loss gives that one batch the weight of dozens. Start at "
              "0, and divide by what is in the mean."),
        Wrong("the corrected value fed back", smooth_but(
            lambda average, weight, beta, t, sizes: average / weight, feed_back=True),
              "You put the corrected value back into the running mean, and the next step "
              "corrects it again. Keep the running mean as it is; only what you return is "
              "divided."),
        Wrong("beta swapped", smooth_but(lambda average, weight, beta, t, sizes: average / weight,
                                         share=lambda beta: 1 - beta),
              "You keep 1 - beta of the old mean and add beta of the new loss: nearly no "
              "smoothing. beta is what is kept."),
    ],
    hints=["Take constant losses of 2, and unequal batches: only a mean that returns 2 is right.",
           "The running mean of size * loss is too small at first, by the fraction that is still "
           "missing. Which other running mean is too small by the same fraction?",
           "Keep two: one of size * loss, one of size. Divide the first by the second."],
    why="Both running means start at 0 and miss the same fraction, so it cancels. For equal sizes "
        "the second one is size * (1 - beta ** t), and this is the lesson's correction.")


def below_the_rise(lrs, losses):
    """A tenth of the first learning rate, right of the lowest loss, where it is 10 % higher or NaN.

    None where the curve does not rise before it ends.
    """
    lowest = int(np.nanargmin(losses))
    for lr, loss in zip(lrs[lowest:], losses[lowest:], strict=True):
        if math.isnan(loss) or loss > 1.1 * losses[lowest]:
            return lr / 10
    return None


def below_the_rise_but(lowest=np.nanargmin, nan_rises=True, otherwise=lambda lrs: None,
                       result=lambda lr, place: lr / 10, start=lambda lowest: lowest):
    """`below_the_rise` with one part replaced."""
    def wrong(lrs, losses):
        low = int(lowest(losses))
        for place in range(start(low), len(lrs)):
            is_nan = nan_rises and math.isnan(losses[place])
            if is_nan or losses[place] > 1.1 * losses[low]:
                return result(lrs[place], place)
        return otherwise(lrs)
    return wrong


def last_rise(lrs, losses):
    """Comes from the right: the last point that is not higher, instead of the first that is."""
    low = np.nanmin(losses)
    higher = [lr for lr, loss in zip(lrs, losses, strict=True) if not loss <= 1.1 * low]
    return higher[-1] / 10 if higher and not losses[-1] <= 1.1 * low else None


TENS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]

BELOW = Exercise(
    "below_the_rise", below_the_rise,
    idea="after unfreezing, read the rise of the curve, not its bottom or its flat left",
    cases={"flat, down, up": lambda: (TENS, [3.0, 3.0, 2.6, 2.0, 2.1, 4.0, 9.0]),
           "a bump in the flat left": lambda: (TENS, [2.0, 2.5, 2.1, 1.9, 1.8, 1.9, 5.0]),
           "it ends in NaN": lambda: (TENS, [2.0, 1.9, 1.5, 1.4, math.nan, math.nan, math.nan]),
           "up, then NaN": lambda: (TENS, [2.0, 1.5, 1.4, 1.45, 3.0, math.nan, math.nan]),
           "it never rises": lambda: (TENS, [3.0, 2.9, 2.7, 2.4, 2.0, 1.7, 1.5]),
           "it only rises": lambda: (TENS, [1.0, 1.05, 1.3, 2.0, 4.0, 8.0, 16.0]),
           "up, and half down again": lambda: (TENS, [3.0, 2.0, 1.0, 2.0, 1.5, 1.05, 3.0])},
    wrong=[
        Wrong("a tenth of the lowest point",
              lambda lrs, losses: lrs[int(np.nanargmin(losses))] / 10,
              "You took a tenth of the lowest point. On a shallow curve the lowest point is "
              "mostly noise; the rise is what shows. Go right from there, to where the loss is "
              "10 % higher."),
        Wrong("no tenth", below_the_rise_but(result=lambda lr, place: lr),
              "At the rise itself things have gone wrong already. Stay a factor of ten below."),
        Wrong("an index", below_the_rise_but(result=lambda lr, place: place),
              "You returned the place in the list. The learning rate is lrs[place]."),
        Wrong("searched from the left", below_the_rise_but(start=lambda lowest: 0),
              "On the flat left the loss is high because nothing has been learned yet: that is no "
              "rise. Start at the lowest point and go right."),
        Wrong("searched from the right", last_rise,
              "You took the last point that is higher. Between it and the first one the loss "
              "has been high for long: the rise is where it *first* passes 10 %."),
        Wrong("NaN taken for the lowest", below_the_rise_but(lowest=np.argmin),
              "np.argmin takes a NaN for the lowest value. The curve ends there: use "
              "np.nanargmin, or leave NaN out of the search."),
        Wrong("NaN is no rise", below_the_rise_but(nan_rises=False),
              "A comparison with NaN is always false, so the point where the training diverged was "
              "passed over. NaN is the steepest rise there is: ask math.isnan."),
        Wrong("the last learning rate", below_the_rise_but(otherwise=lambda lrs: lrs[-1] / 10),
              "This curve does not rise before it ends, so nobody knows where it would. Say so: "
              "return None, and try higher learning rates."),
    ],
    hints=["First the place of the lowest loss. What does np.argmin do with NaN?",
           "From there go right, point by point, until the loss is above 1.1 times the lowest.",
           "A NaN counts as a rise, but nan > 1.1 is False. And what if there is no rise?"],
    why="Right of the lowest point, the first loss that is clearly higher marks where the network "
        "starts to break; a NaN does too. A factor of ten below is room to spare.")


def why_no_lr(answer):
    """A sentence about an answer that is no learning rate; else None."""
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return "sgd_lr must be a number. Try sgd_lr = 1e-3."
    if math.isnan(answer) or math.isinf(answer) or answer == 0:
        return "sgd_lr must be a learning rate above 0. Try sgd_lr = 1e-3."
    return None


def measured(loss_at, lr):
    """The validation loss after training at a learning rate; infinite where it diverges."""
    try:
        loss = float(loss_at(lr))
    except FloatingPointError:
        return math.inf
    return loss if math.isfinite(loss) else math.inf


def judge_sgd_lr(answer, loss_at):
    """Trains at the answer, and at four learning rates to compare with."""
    if sentence := why_no_lr(answer):
        return sentence
    if answer < 0:
        return "an exponent"
    if isinstance(answer, int) and answer >= 5:
        return "an index"
    losses = {lr: measured(loss_at, lr) for lr in (1e-6, 0.01, 0.03, 0.1)}
    loss = measured(loss_at, answer)
    lowest = min(*losses.values(), loss)
    if loss <= 1.3 * lowest:
        return None
    if answer > min(losses, key=losses.get):
        return "past the rise" if loss > 2 * losses[1e-6] else "near the lowest point"
    if 1e-3 <= answer <= 5e-3:
        return "AdamW's learning rate"
    return "in the flat left" if loss > 0.9 * losses[1e-6] else "too careful"


def sgd_lr(loss_at):
    """A point on the long fall of the curve, well left of its lowest one; measured, to be sure."""
    return min((0.01, 0.03, 0.1), key=loss_at)


def small_loss_at():
    """A loss for every learning rate, of a linear model on random features, in no time."""
    generator = torch.Generator().manual_seed(0)
    features = 3 * torch.randn(400, 60, generator=generator).relu()
    targets = (features @ torch.randn(60, 8, generator=generator)).argmax(1)

    def loss_at(lr):
        weights = torch.zeros(60, 8, requires_grad=True)
        for step in range(60):
            rows = torch.arange(5 * step, 5 * step + 16) % 300
            loss = F.cross_entropy(features[rows] @ weights, targets[rows])
            gradient, = torch.autograd.grad(loss, weights)
            weights.data -= lr * gradient
        return F.cross_entropy(features[300:] @ weights, targets[300:]).item()
    return loss_at


SGD_LR = Decision(
    "sgd_lr", idea="the right learning rate belongs to network, optimizer and state",
    judge=judge_sgd_lr, solution=sgd_lr, about=small_loss_at,
    wrong=[
        Wrong("AdamW's learning rate", 2e-3,
              "That is about what AdamW wants. SGD multiplies by the gradient, which is small "
              "here, so it hardly gets anywhere: read its own curve, which falls further right."),
        Wrong("in the flat left", 1e-5,
              "We trained at it: next to nothing was learned. Where the curve is flat, the "
              "learning rate is too low to do anything, whatever a suggestion says."),
        Wrong("too careful", 0.007,
              "We trained at it: it learns, but in these epochs it does not get far. Go right, "
              "along the fall."),
        Wrong("near the lowest point", 0.5,
              "We trained at it: the loss is well above the best. Near the lowest point of the "
              "curve it has already stopped falling. Take a tenth of that point, or less."),
        Wrong("past the rise", 300.0,
              "We trained at it, and it diverged. This is where the curve shoots up: go left, over "
              "the bottom, onto the long fall."),
        Wrong("an index", 47,
              "That looks like a place in the list, or an epoch. The answer is a learning rate: "
              "read it off the x-axis."),
        Wrong("an exponent", -3,
              "A learning rate is above 0. If you mean the exponent, write 1e-3: the x-axis is "
              "logarithmic."),
    ],
    hints=["Where does the curve fall, over a long stretch? Not at its left end or its bottom.",
           "The suggestions are printed with the curve. valley is the first to believe.",
           "A tenth of the lowest point's learning rate is inside the fall, too."],
    why="Inside the long fall each step helps, and there is room to spare before the rise. We "
        "judge by training at it, against four others.")

EXERCISES = [SMOOTH, BELOW, SGD_LR]

QUESTIONS = [
    Question("The smoothed curve of a range test is lowest at 0.05. Why is 0.05 not the learning "
             "rate to take?", [
        Choice("It is: the lowest loss is what we want.",
               "The loss is low there because the *lower* learning rates before it brought it "
               "down. At 0.05 it has just stopped falling."),
        Choice("At that point the loss has stopped falling, and the curve is late.",
               "Lower learning rates brought the loss down, and smoothing shows the turn some "
               "batches after it happened. Take a tenth of it, or a point on the fall.",
               right=True),
        Choice("Because the test used training images.",
               "So does training. The trouble is what the point says: there it no longer falls.")]),
    Question("You unfreeze and run lr_find again. The curve is nearly flat, bumpy, and shoots up "
             "at the right. What do you trust?", [
        Choice("steep: it finds where the loss falls fastest.",
               "On a bumpy curve the steepest fall is some lucky batch, and often lies where "
               "nothing is learned at all."),
        Choice("The learning rate from before unfreezing: it trained the head well.",
               "It suited a new head. Pretrained layers are destroyed at learning rates that a new "
               "head needs."),
        Choice("The rise: stay well to the left of it.",
               "The rise is the one thing such a curve shows clearly. Go a factor of ten "
               "below, "
               "and less for the first layers.", right=True)]),
    Question("Two suggestion functions disagree by a factor of 10,000 on one curve. What now?", [
        Choice("Take the mean of the two.",
               "One of them reads noise, and a mean with noise is noise. In between there may "
               "even be nothing to find."),
        Choice("Look at the plot: one of them points at noise.",
               "Usually it lies in the flat left, where one lucky batch fools it. A factor of "
               "three would not matter; this one does.", right=True),
        Choice("Take the lower one, to be safe.",
               "At a learning rate that does nothing you are safe, and learn nothing. When they "
               "differ by a factor of three, that is good advice.")]),
]
