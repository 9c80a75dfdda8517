"""Exercises and questions of lesson 13: sixty-four trainings in one."""
from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from transfer_lessons.exercises.kit import Choice, Decision, Exercise, Question, Wrong
from transfer_lessons.sweep_result import Sweep, classify_lrs

# One step of SGD for all heads


def heads_and_batch(n_heads, n_images, n_classes, n_features, scale=1.0):
    """Arguments of `step_all`, with learning rates from 1e-3 to 10."""
    generator = torch.Generator().manual_seed(n_heads + n_images)
    weights = torch.randn(n_heads, n_classes, n_features, generator=generator)
    xb = scale * torch.randn(n_images, n_features, generator=generator)
    yb = torch.randint(n_classes, (n_images,), generator=generator)
    return weights, xb, yb, torch.logspace(-3, 1, n_heads)


def step_all(weights, xb, yb, lrs):
    logits = torch.einsum("bf,kcf->bkc", xb, weights)
    target = F.one_hot(yb, weights.shape[1])[:, None]
    grad_logits = (logits.softmax(-1) - target) / len(xb)
    gradients = torch.einsum("bkc,bf->kcf", grad_logits, xb)
    return weights - lrs[:, None, None] * gradients


def step_one_by_one(weights, xb, yb, lrs):
    """Each head by itself, with autograd."""
    stepped = []
    for weight, lr in zip(weights, lrs, strict=True):
        leaf = weight.clone().requires_grad_()
        F.cross_entropy(xb @ leaf.T, yb).backward()
        stepped.append(weight - lr * leaf.grad)
    return torch.stack(stepped)


def _gradients(weights, xb, yb):
    """[K, C, F], of the mean loss over the batch."""
    return weights - step_all(weights, xb, yb, torch.ones(len(weights)))


def _step_with(softmax, weights, xb, yb, lrs):
    """A step with another softmax of the logits [B, K, C]."""
    probabilities = softmax(torch.einsum("bf,kcf->bkc", xb, weights))
    grad_logits = (probabilities - F.one_hot(yb, weights.shape[1])[:, None]) / len(xb)
    return weights - lrs[:, None, None] * torch.einsum("bkc,bf->kcf", grad_logits, xb)


STEP = Exercise(
    "step_all", step_all,
    idea="many trainings on the same batch are one batched program",
    cases={"five heads": lambda: heads_and_batch(5, 8, 4, 6),
           "one head, one image": lambda: heads_and_batch(1, 1, 3, 2),
           "as many heads as classes": lambda: heads_and_batch(3, 4, 3, 5),
           "huge features": lambda: heads_and_batch(4, 6, 3, 5, scale=1000.0)},
    expected=step_one_by_one, atol=1e-4,
    wrong=[
        Wrong("mean over the heads", lambda w, xb, yb, lrs: (
                  w - lrs[:, None, None] * _gradients(w, xb, yb).mean(0)),
              "Every head took the mean of all gradients. The heads know nothing of each other: "
              "each needs its own, so the gradients have the shape of the weights, [K, C, F]."),
        Wrong("one learning rate for all", lambda w, xb, yb, lrs: (
                  w - lrs.mean() * _gradients(w, xb, yb)),
              "All heads moved at one learning rate. Head k has lrs[k]: give lrs two more "
              "dimensions, and broadcasting does the rest."),
        Wrong("learning rates along the classes", lambda w, xb, yb, lrs: (
                  w - lrs[None, :, None] * _gradients(w, xb, yb)),
              "The learning rates went along the classes. Where there are as many classes as heads, "
              "nothing complains. Heads come first: lrs[:, None, None]."),
        Wrong("exp of large logits", lambda *arguments: _step_with(
                  lambda logits: logits.exp() / logits.exp().sum(-1, keepdim=True), *arguments),
              "exp of a large logit is infinite, and infinite divided by infinite is NaN. Use "
              "softmax(-1), which subtracts each row's largest logit first."),
        Wrong("softmax over the heads", lambda *arguments: _step_with(
                  lambda logits: logits.softmax(1), *arguments),
              "The softmax ran over the heads, so that they compete with each other. The classes of "
              "one head compete: take the last dimension of [B, K, C]."),
        Wrong("sum over the images", lambda w, xb, yb, lrs: (
                  w - len(xb) * lrs[:, None, None] * _gradients(w, xb, yb)),
              "The gradients are those of the sum of the losses, B times too large. The loss is the "
              "mean over the batch: divide by len(xb)."),
        Wrong("uphill", lambda w, xb, yb, lrs: w + lrs[:, None, None] * _gradients(w, xb, yb),
              "The heads walked uphill. Against the gradient the loss falls: subtract."),
    ],
    hints=["The gradient with respect to the logits is probabilities minus one-hot, divided by the "
           "number of images.",
           "torch.einsum(\"bf,kcf->bkc\", xb, weights) gives the logits of all heads. Which product "
           "gives [K, C, F] from those gradients and xb?",
           "torch.einsum(\"bkc,bf->kcf\", grad_logits, xb), and lrs[:, None, None]."],
    why="Every head sees the same batch, so heads are one more dimension: one product forward, one "
        "back, and a learning rate per head by broadcasting.")

# Which learning rates are good?


def good_range(lrs, losses, tolerance):
    pairs = sorted((lr, loss) for lr, loss in zip(lrs, losses, strict=True))
    finite = [loss for _, loss in pairs if np.isfinite(loss)]
    limit = (1 + tolerance) * min(finite)
    best = [loss for _, loss in pairs].index(min(finite))
    first = last = best
    while first > 0 and pairs[first - 1][1] <= limit:
        first -= 1
    while last < len(pairs) - 1 and pairs[last + 1][1] <= limit:
        last += 1
    return pairs[first][0], pairs[last][0]


LRS = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
NAN = math.nan


def _within(lrs, losses, limit):
    good = [lr for lr, loss in zip(lrs, losses, strict=True) if loss <= limit]
    return min(good), max(good)


def _as_given(lrs, losses, tolerance):
    """The range by position, whatever the order."""
    places = range(len(lrs))
    low, high = good_range(places, losses, tolerance)
    return lrs[low], lrs[high]


def _nan_is_lowest(lrs, losses, tolerance):
    if any(math.isnan(loss) for loss in losses):
        worst = [math.isnan(loss) for loss in losses].index(True)
        return lrs[worst], lrs[worst]
    return good_range(lrs, losses, tolerance)


GOOD_RANGE = Exercise(
    "good_range", good_range,
    idea="a good learning rate is a range around the best one, not a point",
    cases={"a valley": lambda: (LRS, [2.0, 1.04, 1.0, 1.05, 3.0, 60.0], 0.05),
           "some diverged": lambda: (LRS, [2.0, 0.8, 0.79, 1.5, NAN, NAN], 0.05),
           "a second dip": lambda: (LRS, [0.52, 0.9, 0.5, 0.51, 2.0, 0.515], 0.1),
           "the best at the edge": lambda: (LRS, [0.4, 0.41, 0.9, 2.0, 5.0, NAN], 0.1),
           "in another order": lambda: ([1e-1, 1e-4, 1e-2, 1.0, 1e-3, 10.0],
                                        [0.21, 2.0, 0.2, 7.0, 0.205, 60.0], 0.1),
           "a large loss": lambda: (LRS, [40.0, 21.0, 20.0, 20.5, 30.0, 90.0], 0.1)},
    wrong=[
        Wrong("NaN is the lowest", _nan_is_lowest,
              "np.argmin, torch.argmin and min() do not pass over NaN, and a training that diverged "
              "is not the best one. Look for the lowest among the finite losses."),
        Wrong("the second dip too", lambda lrs, losses, tolerance: _within(
                  lrs, losses, (1 + tolerance) * min(x for x in losses if math.isfinite(x))),
              "Between your two ends there are learning rates that are not good. Start at the best "
              "one, and walk to either side while the loss is within the limit."),
        Wrong("tolerance added", lambda lrs, losses, tolerance: good_range(
                  lrs, losses, tolerance / min(x for x in losses if math.isfinite(x))),
              "The tolerance is a fraction of the lowest loss: 5 % of it. Added to it, it means "
              "something else for every data set. The limit is (1 + tolerance) * lowest."),
        Wrong("positions", lambda lrs, losses, tolerance: tuple(
                  sorted(lrs).index(lr) for lr in good_range(lrs, losses, tolerance)),
              "These are positions in the list. Return the learning rates at those positions."),
        Wrong("the order as given", _as_given,
              "The learning rates came in another order, and you walked along the list. Neighbours "
              "are the next smaller and the next larger learning rate: sort both lists together."),
        Wrong("the best alone", lambda lrs, losses, tolerance: good_range(lrs, losses, 0.0),
              "That is the best learning rate twice. Its neighbours within the tolerance are as "
              "good, as far as anybody can tell."),
        Wrong("one too far", lambda lrs, losses, tolerance: (
                  max([lr for lr in lrs if lr < good_range(lrs, losses, tolerance)[0]],
                      default=min(lrs)),
                  min([lr for lr in lrs if lr > good_range(lrs, losses, tolerance)[1]],
                      default=max(lrs))),
              "You went one step too far: the ends themselves have to be within the limit. Look at "
              "the next loss before you move there."),
    ],
    hints=["Bring the learning rates into order first, and their losses with them.",
           "The lowest of the finite losses is where to start. The limit is (1 + tolerance) times it.",
           "Two while loops: one down, one up, each as long as the next loss is within the limit. "
           "NaN <= limit is False, and that is what you need."],
    why="From the lowest finite loss outward, as long as the next loss is within the limit: what "
        "lies beyond a bad learning rate is luck, and a diverged training ends the range.")

# Judge six learning rates with the curves hidden

SIX = [1e-2, 1.0, 1e-4, 4e-3, 5e-2, 1e-3]  # shuffled
VERDICTS = ("too low", "good", "too high")


def gain_at(lr, sweep):
    """The nearest training of a sweep: its verdict by loss, and its part of the best one's gain."""
    judged = classify_lrs(sweep.lrs, sweep.start_loss, sweep.valid_loss.tolist())
    return judged[_nearest(lr, sweep)]


def _nearest(lr, sweep):
    distances = [abs(math.log(tried / lr)) for tried in sweep.lrs]
    return distances.index(min(distances))


def _is_good_by_error(lr, sweep):
    lowest = int(sweep.error_rate.nan_to_num(nan=1.0).argmin())
    return bool(sweep.error_rate[_nearest(lr, sweep)] <= sweep.error_intervals()[lowest, 1])


def _is_right(lr, said, sweep):
    """Near the border of what is called good, either verdict is right."""
    verdict, gain = gain_at(lr, sweep)
    side = "too low" if lr < sweep.best else "too high"
    return said == verdict or 0.8 <= gain <= 0.95 and said in ("good", side)


def six_verdicts(sweep):
    judged = classify_lrs(sweep.lrs, sweep.start_loss, sweep.valid_loss.tolist())
    lrs = np.array(sweep.lrs)
    return {lr: judged[np.abs(np.log(lrs / lr)).argmin()][0] for lr in SIX}


def judge_verdicts(answer, sweep):
    """None for six verdicts as by loss; else the mistake that they share, or a sentence."""
    if not isinstance(sweep, Sweep):
        return "Give the sweep too: check(..., about=one_epoch)."
    if not isinstance(answer, dict) or set(map(str, answer)) != set(map(str, SIX)):
        return f"Give a dictionary with a verdict for each of these learning rates: {SIX}."
    if not all(isinstance(said, str) and said in VERDICTS for said in answer.values()):
        return "Each verdict is one of three texts: 'too low', 'good' or 'too high'."
    missed = {lr: said for lr, said in answer.items() if not _is_right(lr, said, sweep)}
    if not missed:
        return None
    if len(set(answer.values())) == 1:
        return "one verdict for all"
    truth = {lr: gain_at(lr, sweep)[0] for lr in missed}
    if "good" not in missed.values() and "good" not in truth.values():
        return "the wrong way round"
    if set(missed.values()) == {"good"}:
        return _called_good(missed, truth, sweep)
    if set(truth.values()) == {"good"} and len(set(missed.values())) == 1:
        return "too careful" if "too high" in missed.values() else "only the best is good"
    lr = next(iter(missed))
    return (f"{6 - len(missed)} of 6. At {lr:g} you said {missed[lr]!r}; it is {truth[lr]}: it gets "
            f"{gain_at(lr, sweep)[1]:.0%} of what the best one gains in loss. Set the slider to it.")


def _called_good(missed, truth, sweep):
    """Why somebody called learning rates good that are not."""
    if set(truth.values()) == {"too high"}:
        by_error = all(_is_good_by_error(lr, sweep) for lr in missed)
        return "by error rate" if by_error else "higher is faster"
    if any(gain_at(lr, sweep)[1] < 0.4 for lr in missed):
        return "smooth is good"
    return "as after five epochs"


def like_the_lesson():
    """A sweep of one epoch, as the lesson's: its figures at the six learning rates."""
    losses = torch.tensor([2.60, 1.77, 1.22, 1.26, 3.91, 55.0])[:, None]
    errors = torch.tensor([0.918, 0.597, 0.390, 0.320, 0.366, 0.425])[:, None]
    return Sweep(sorted(SIX), losses, losses, errors, {}, lambda lrs: None, 134, 2.81)


SWAPPED = {"too low": "too high", "good": "good", "too high": "too low"}

JUDGE_SIX = Decision(
    "verdicts", judge=judge_verdicts, solution=six_verdicts, about=like_the_lesson,
    idea="fewer steps need a higher learning rate; loss and error rate disagree about high ones",
    wrong=[
        Wrong("as after five epochs", lambda sweep: {**six_verdicts(sweep), 1e-3: "good"},
              "1e-3 was good for five epochs. In one epoch there are a fifth of the steps, so it gets "
              "less than two thirds of the way: fewer steps need a higher learning rate."),
        Wrong("smooth is good", lambda sweep: {**six_verdicts(sweep), 1e-4: "good", 1e-3: "good"},
              "A curve that falls smoothly can still be far too slow. What counts is where it ends: "
              "at 1e-4 it has hardly left its start."),
        Wrong("by error rate", lambda sweep: {**six_verdicts(sweep), 5e-2: "good"},
              "By error rate it is as good as the best, by loss it is far too high: the classes are "
              "ranked well, and the probabilities are useless. These verdicts go by loss."),
        Wrong("higher is faster", lambda sweep: {**six_verdicts(sweep), 5e-2: "good", 1.0: "good"},
              "A higher learning rate is faster only up to a point. Beyond it, loss and errors both "
              "end above those of the best: read the dots at the end of the curve."),
        Wrong("too careful", lambda sweep: {**six_verdicts(sweep), 1e-2: "too high"},
              "It is noisier, and it still gets nearly all of the best one's gain. From 90 % on we "
              "call it good: a good learning rate is a range, not a point."),
        Wrong("only the best is good", lambda sweep: {**six_verdicts(sweep), 4e-3: "too low"},
              "Not only the very best one is good. Somewhat below it, training is slower and arrives "
              "all the same: what gets 90 % of the gain is good."),
        Wrong("the wrong way round", lambda sweep: {
                  lr: SWAPPED[said] for lr, said in six_verdicts(sweep).items()},
              "Too low and too high have changed places. Too low: the loss hardly moves. Too high: it "
              "shoots up, beyond where it started."),
        Wrong("one verdict for all", lambda sweep: dict.fromkeys(SIX, "good"),
              "They cannot all be the same: there is a factor of ten thousand between the lowest and "
              "the highest. Guess where the good range of one epoch lies, then judge each."),
    ],
    hints=["Five epochs had five times as many steps. Where does the good range go with fewer?",
           "Set the slider to the tick nearest to each learning rate, click your verdict, and read "
           "what it says by loss.",
           "Two of the six are good."],
    why="With a fifth of the steps, what is lost at low learning rates cannot be made up, while high "
        "ones diverge as before: the good range becomes narrower from the left.")

EXERCISES = [STEP, GOOD_RANGE, JUDGE_SIX]

QUESTIONS = [
    Question("You train at 64 learning rates and report the lowest of the 64 error rates, on the "
             "validation images. How good is the network on new images?", [
        Choice("As good: the validation images were not trained on.",
               "They were not trained on, but they chose. Among 64 error rates the lowest is partly "
               "luck, and the luck stays behind."),
        Choice("Probably worse: the choice itself picked luck.",
               "The lowest of many noisy numbers is too low on average. Measure the chosen one on "
               "images that chose nothing.", right=True),
    ]),
    Question("64 linear heads as one program cost little more than one. What about 64 copies of a "
             "head of a million parameters?", [
        Choice("Hardly any gain: arithmetic and memory take the time, and they grow 64-fold.",
               "Stacking saves what Python and PyTorch spend between the products. It saves no "
               "arithmetic.", right=True),
        Choice("The same gain: a product of matrices does not care how large they are.",
               "It does. With a large head the time goes into arithmetic, and 64 heads are 64 times "
               "as much of it."),
    ]),
    Question("The stacked training and the single one agree to 1e-6 for 100 steps. At a learning rate "
             "of 10 they end at 80 and at 111. Is there a mistake in one of them?", [
        Choice("Yes: equal programs give equal numbers.",
               "Equal in exact arithmetic. They add in another order and so round differently, and a "
               "training that diverges makes any difference grow from step to step."),
        Choice("Not for this reason: where a training diverges, rounding errors grow.",
               "Compare up to where it diverges. After that, two right programs may end anywhere.",
               right=True),
    ]),
]
