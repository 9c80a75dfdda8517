"""Exercises and questions of lesson 10, fine-tuning."""
import math

import numpy as np

from transfer_lessons.core import paired_comparison
from transfer_lessons.exercises.kit import Choice, Exercise, Question, Wrong, call_for_numbers
from transfer_lessons.freezing import spread_lrs


def four_calls(learn, epochs, base_lr, freeze_epochs, lr_mult):
    """fastai's fine_tune: the head for freeze_epochs, then every layer for epochs."""
    if freeze_epochs > 0:
        learn.freeze()
        learn.fit_one_cycle(freeze_epochs, slice(base_lr))
    learn.unfreeze()
    learn.fit_one_cycle(epochs, slice(base_lr / 2 / lr_mult, base_lr / 2))


def four_calls_but(freeze=True, unfreeze=True, always_one=False, skip_none=True,
                   end=lambda learn: None,
                   lrs=lambda base, mult: slice(base / 2 / mult, base / 2)):
    """`four_calls` with one part replaced."""
    def wrong(learn, epochs, base_lr, freeze_epochs, lr_mult):
        if freeze_epochs > 0 or not skip_none:
            if freeze:
                learn.freeze()
            learn.fit_one_cycle(1 if always_one else freeze_epochs, slice(base_lr))
        if unfreeze:
            learn.unfreeze()
        learn.fit_one_cycle(epochs, lrs(base_lr, lr_mult))
        end(learn)
    return wrong


class Diary:
    """A learner that trains nothing, and notes what would train, how long and how fast."""
    def __init__(self, is_frozen=True):
        self.is_frozen = is_frozen
        self.stages = []

    def freeze(self):
        """Only the head trains."""
        self.is_frozen = True

    def unfreeze(self):
        """Everything trains."""
        self.is_frozen = False

    def fit_one_cycle(self, n_epoch, lr_max=1e-3, **options):
        """Note a stage; of a frozen body no learning rate is used."""
        if n_epoch < 1:
            raise ValueError(f"n_epoch must be a whole number, at least 1; got {n_epoch}.")
        early, _, head = spread_lrs(lr_max, 3)
        first_layers = "frozen" if self.is_frozen else f"{early:g}"
        self.stages.append(f"{n_epoch} × head {head:g}, body {first_layers}")

    fit = fit_one_cycle

    def __repr__(self):
        return f"a learner, {'frozen' if self.is_frozen else 'unfrozen'}"


def read_diary(answer, learn, *arguments):
    """What was trained, stage by stage, and what trains at the end."""
    answer(learn, *arguments)
    return (*learn.stages, "then frozen" if learn.is_frozen else "then unfrozen")


FOUR_CALLS = Exercise(
    "four_calls", four_calls, idea="fine_tune is four calls: which learning rate is used when",
    cases={"3 epochs": lambda: (Diary(), 3, 2e-3, 1, 100),
           "a learner that is unfrozen already": lambda: (Diary(False), 3, 2e-3, 1, 100),
           "two epochs for the head": lambda: (Diary(), 4, 1e-3, 2, 100),
           "none for the head": lambda: (Diary(), 4, 1e-3, 0, 100),
           "one learning rate for all layers": lambda: (Diary(), 3, 2e-3, 1, 1)},
    observe=read_diary, may_change_inputs=True,
    wrong=[
        Wrong("no freeze", four_calls_but(freeze=False),
              "Where the learner was unfrozen already, the body trained along with a random head. "
              "Call learn.freeze() before the first stage, whatever was before."),
        Wrong("never unfrozen", four_calls_but(unfreeze=False),
              "The body stayed frozen in the second stage, so only the head trained. Call "
              "learn.unfreeze() in between."),
        Wrong("not halved", four_calls_but(lrs=lambda base, mult: slice(base / mult, base)),
              "The second stage ran at the full base_lr. There is more to destroy now: fastai "
              "takes half of it, for all layers."),
        Wrong("only one end halved",
              four_calls_but(lrs=lambda base, mult: slice(base / mult, base / 2)),
              "The head got half of base_lr, but the first layers not. Halve first, then divide by "
              "lr_mult."),
        Wrong("slice reversed", four_calls_but(
            lrs=lambda base, mult: slice(base / 2, base / 2 / mult)),
              "The slice runs from the head to the first layers. It must begin with the *first* "
              "layers, which learn slowest: slice(low, high)."),
        Wrong("lr_mult on the head",
              four_calls_but(lrs=lambda base, mult: slice(base / 2, base / 2 * mult)),
              "You multiplied the head's learning rate by lr_mult instead of dividing the first "
              "layers' by it. A hundred times too high, nothing survives."),
        Wrong("one learning rate for all", four_calls_but(lrs=lambda base, mult: base / 2),
              "Every layer trained at the head's learning rate. The first layers see edges and "
              "colours, which hardly need to change: give them lr_mult times less, with a slice."),
        Wrong("a tenth", four_calls_but(lrs=lambda base, mult: slice(base / 2)),
              "slice(last) gives all layers but the head a tenth. That ignores lr_mult: write both "
              "ends of the slice."),
        Wrong("always one epoch", four_calls_but(always_one=True),
              "The head trained for one epoch, whatever freeze_epochs said."),
        Wrong("zero epochs asked for", four_calls_but(skip_none=False),
              "freeze_epochs=0 means no first stage. fit_one_cycle(0) is an error: leave the stage "
              "out then."),
        Wrong("one stage", lambda learn, epochs, base_lr, freeze_epochs, lr_mult: four_calls(
            learn, epochs, base_lr, 0, lr_mult),
              "Everything trained at once, from a random head on: it pushes the body to where this "
              "one random head happens to need it. Freeze and train the head first."),
        Wrong("frozen at the end", four_calls_but(end=Diary.freeze),
              "Both stages are right, but you freeze the body again at the end. Whoever trains on "
              "would train the head alone, and not know why."),
    ],
    hints=["Four calls: freeze, fit_one_cycle, unfreeze, fit_one_cycle. Which arguments?",
           "The first stage runs at base_lr, the second at half of it.",
           "In the second stage the first layers learn lr_mult times slower than the head: "
           "slice(first layers, head).",
           "And where freeze_epochs is 0?"],
    why="The head first, at base_lr; then all layers, at half of it, early ones lr_mult times "
        "slower. freeze() stands there even if the learner came frozen: nobody has to know that.")


def diagnose(train_losses, valid_losses):
    """"diverged", "overfitting", "unfinished" or "fine", from the losses of each epoch."""
    if not np.isfinite([*train_losses, *valid_losses]).all() or train_losses[-1] > train_losses[0]:
        return "diverged"
    if valid_losses[-1] > 1.1 * min(valid_losses):
        return "overfitting"
    if valid_losses[-1] < 0.95 * valid_losses[-2]:
        return "unfinished"
    return "fine"


def diagnose_but(diverged=lambda train, valid: diagnose(train, valid) == "diverged",
                 overfits=lambda train, valid: valid[-1] > 1.1 * min(valid),
                 unfinished=lambda train, valid: valid[-1] < 0.95 * valid[-2]):
    """`diagnose` with one rule replaced."""
    def wrong(train_losses, valid_losses):
        if diverged(train_losses, valid_losses):
            return "diverged"
        if overfits(train_losses, valid_losses):
            return "overfitting"
        return "unfinished" if unfinished(train_losses, valid_losses) else "fine"
    return wrong


DIAGNOSE = Exercise(
    "diagnose", diagnose, idea="overfitting is a validation loss that rises, not a gap",
    cases={"a large gap, both fall and level off": lambda: (
               [2.0, 1.0, 0.5, 0.2, 0.1, 0.09], [2.1, 1.3, 1.0, 0.9, 0.86, 0.85]),
           "the validation loss turns up": lambda: (
               [2.0, 1.0, 0.5, 0.3, 0.1], [1.8, 1.0, 0.8, 0.9, 1.1]),
           "it turns up below the training loss": lambda: (
               [2.0, 1.6, 1.4, 1.3], [0.8, 0.6, 0.65, 0.75]),
           "high above its best, a little lower at the end": lambda: (
               [2.0, 1.0, 0.5, 0.3, 0.1], [1.8, 0.8, 1.0, 1.3, 1.2]),
           "still falling fast": lambda: ([2.0, 1.6, 1.3, 1.0], [2.0, 1.7, 1.4, 1.1]),
           "one bad epoch in the middle": lambda: (
               [2.0, 1.5, 1.4, 0.9, 0.6, 0.59], [2.0, 1.2, 1.9, 0.9, 0.8, 0.79]),
           "the training loss still falls, nothing else does": lambda: (
               [2.0, 1.2, 0.9, 0.6, 0.4], [2.0, 1.3, 1.1, 1.08, 1.07]),
           "both explode": lambda: ([2.0, 5.0, 30.0], [2.0, 9.0, 80.0]),
           "NaN": lambda: ([2.0, math.nan, math.nan], [2.0, math.nan, math.nan])},
    wrong=[
        Wrong("a gap is overfitting", diagnose_but(
            overfits=lambda train, valid: valid[-1] > 1.5 * train[-1]),
              "You took the gap between the losses for overfitting. Every network that learns well "
              "has one. Look whether the validation loss *rises* from its lowest point."),
        Wrong("one bad epoch", diagnose_but(overfits=lambda train, valid: any(
            after > 1.1 * before for before, after in zip(valid, valid[1:], strict=False))),
              "One epoch went up in between, as epochs near the peak of the learning rate do, "
              "and it recovered. Compare the *last* validation loss with the lowest."),
        Wrong("the last two only",
              diagnose_but(overfits=lambda train, valid: valid[-1] > valid[-2]),
              "You compared the last two epochs. The loss can be high above its best and dip a "
              "little at the end: compare with the lowest."),
        Wrong("from the training loss", diagnose_but(
            overfits=lambda train, valid: False,
            unfinished=lambda train, valid: train[-1] < 0.95 * train[-2]),
              "The training loss falls in overfitting, too. What happens on other images only the "
              "validation loss says."),
        Wrong("unfinished by training loss", diagnose_but(
            unfinished=lambda train, valid: train[-1] < 0.95 * train[-2]),
              "The training loss still falls, but the validation loss has levelled off: more "
              "epochs would only memorise. Unfinished means that the *validation* loss still "
              "falls."),
        Wrong("NaN passed over", diagnose_but(
            diverged=lambda train, valid: train[-1] > train[0]),
              "Every comparison with NaN is False, so a diverged training passed all your "
              "tests. Ask for NaN first, with np.isfinite."),
        Wrong("diverged only if NaN", diagnose_but(
            diverged=lambda train, valid: not np.isfinite([*train, *valid]).all()),
              "A training loss that ends above its start has diverged, without any NaN. "
              "Overfitting has a *falling* training loss."),
        Wrong("best at the end is unfinished", diagnose_but(
            unfinished=lambda train, valid: valid[-1] == min(valid)),
              "The last epoch is nearly always a little better than the one before. Unfinished "
              "is a clear fall, more than 5 %; else it has levelled off."),
        Wrong("never unfinished", diagnose_but(unfinished=lambda train, valid: False),
              "A validation loss that still falls fast is not fine: training longer would pay. "
              "Compare the last two epochs."),
    ],
    hints=["Ask in this order: diverged? overfitting? unfinished? Else fine.",
           "NaN makes every comparison False: np.isfinite asks for it.",
           "Overfitting: the last validation loss against the lowest one. Unfinished: against "
           "the one before."],
    why="Diverged comes first, because nothing else can be read then. After that the validation "
        "loss decides, at its end: against its lowest, and against the epoch before.")


def compare(right_a, right_b):
    """Images that only a, and only b, predicts correctly, and "a", "b" or "cannot tell"."""
    a_only = int((right_a & ~right_b).sum())
    b_only = int((right_b & ~right_a).sum())
    n = a_only + b_only
    tail = sum(math.comb(n, k) for k in range(max(a_only, b_only), n + 1))
    p_value = 2 * tail / 2**n
    if p_value >= 0.05:
        return a_only, b_only, "cannot tell"
    return a_only, b_only, "a" if a_only > b_only else "b"


def compare_by_library(right_a, right_b):
    """The same from `paired_comparison`."""
    if len(right_a) == 0:
        return 0, 0, "cannot tell"
    a_only, b_only, p_value = paired_comparison(right_a, right_b)
    if p_value >= 0.05:
        return a_only, b_only, "cannot tell"
    return a_only, b_only, "a" if a_only > b_only else "b"


def coin(heads, tails, sides=2, beyond=0):
    """How often coins fall at least this unevenly."""
    n = heads + tails
    return sides * sum(math.comb(n, k) for k in range(max(heads, tails) + beyond, n + 1)) / 2**n


def compare_but(differs, names=("a", "b", "cannot tell")):
    """`compare` with another test; it gets both counts and both arrays."""
    def wrong(right_a, right_b):
        a_only = int((right_a & ~right_b).sum())
        b_only = int((right_b & ~right_a).sum())
        if not differs(a_only, b_only, right_a, right_b):
            return a_only, b_only, names[2]
        return a_only, b_only, names[0] if a_only > b_only else names[1]
    return wrong


def intervals_apart(a_only, b_only, right_a, right_b):
    """As if the networks had seen different images."""
    n = len(right_a)
    if n == 0:
        return False
    rates = right_a.mean(), right_b.mean()
    return abs(rates[0] - rates[1]) > 1.96 * math.sqrt(sum(p * (1 - p) / n for p in rates))


def correct(both, a_only, b_only, neither):
    """Which images a and b predict correctly, with so many of each sort."""
    right_a = np.array([True] * both + [True] * a_only + [False] * b_only + [False] * neither, bool)
    right_b = np.array([True] * both + [False] * a_only + [True] * b_only + [False] * neither, bool)
    return right_a, right_b


COMPARE = Exercise(
    "compare", compare, idea="compare two networks on the same images, image by image",
    expected=compare_by_library,
    observe=call_for_numbers,
    cases={"20 to 7": lambda: correct(60, 20, 7, 13),
           "7 to 20": lambda: correct(60, 7, 20, 13),
           "3 to 1": lambda: correct(80, 3, 1, 16),
           "5 to 0": lambda: correct(90, 5, 0, 5),
           "6 to 0": lambda: correct(90, 6, 0, 4),
           "10 to 1, many hard images": lambda: correct(100, 10, 1, 300),
           "the same predictions": lambda: correct(70, 0, 0, 30),
           "no images": lambda: correct(0, 0, 0, 0)},
    wrong=[
        Wrong("the better rate wins", compare_but(lambda a, b, *_: a != b),
              "The network with fewer errors won, by however little. If both were equally good, "
              "one of them would still be ahead by luck: ask how often coins fall that unevenly."),
        Wrong("intervals of each", compare_but(intervals_apart),
              "You compared two error rates as if they came from different images. Both "
              "networks saw the same ones: count only the images where they differ."),
        Wrong("shared errors counted", compare_but(lambda a, b, right_a, right_b: coin(
            int((~right_a).sum()), int((~right_b).sum())) < 0.05),
              "You tossed a coin for the errors that both make, too. Those say nothing about "
              "which is better, and hide what does: leave them out."),
        Wrong("one-sided", compare_but(lambda a, b, *_: coin(a, b, sides=1) < 0.05),
              "You counted one end only. You did not know beforehand which network would win, "
              "so both ends count: twice the probability."),
        Wrong("more than this", compare_but(lambda a, b, *_: coin(a, b, beyond=1) < 0.05),
              "You counted the outcomes that are more uneven than this one, and left out this one. "
              "Begin the sum at the larger count itself."),
        Wrong("the rule of thumb",
              compare_but(lambda a, b, *_: abs(a - b) / math.sqrt(a + b) > 1.96),
              "The normal approximation is for large counts: it calls 5 to 0 a difference, and "
              "divides by zero where the networks agree. Add up the binomial coefficients."),
        Wrong("a tie called equal",
              compare_but(lambda a, b, *_: coin(a, b) < 0.05, ("a", "b", "equal")),
              "Your test is right, but no evidence of a difference is no evidence of equality: "
              "at 3 to 1 nobody can know. Say \"cannot tell\"."),
        Wrong("the loser named",
              compare_but(lambda a, b, *_: coin(a, b) < 0.05, ("b", "a", "cannot tell")),
              "The counts are right, but you named the wrong network. a_only counts images that a "
              "gets right and b does not: many of them speak for a."),
    ],
    hints=["right_a & ~right_b are the images that only a gets right.",
           "If both were equally good, each image where they differ would be a coin toss. With n "
           "tosses, k heads come in math.comb(n, k) of 2**n ways.",
           "Add up k from the larger count to n, and double it: both ends count.",
           "p below 0.05: the one with more. Otherwise \"cannot tell\"."],
    why="Images on which both are right, or both wrong, say nothing about the difference. The "
        "exact binomial test holds for small counts, too, and for none: its p is above 0.05 then.")

EXERCISES = [FOUR_CALLS, DIAGNOSE, COMPARE]

QUESTIONS = [
    Question("After unfreezing, you show the network the training images without taking a single "
             "step, and the error rises. Why?", [
        Choice("The learning rate is too high.",
               "No step was taken, so the learning rate played no part."),
        Choice("BatchNorm's running statistics moved.",
               "Unfrozen layers are in training mode, so the statistics move to those of "
               "the new "
               "images, and every weight was made for the old ones.", right=True),
        Choice("The head forgets while it is not trained.",
               "Weights do not change by themselves. Only BatchNorm's running statistics do, with "
               "every batch in training mode.")]),
    Question("Training loss 0.1, validation loss 0.5, both still falling. Is this overfitting?", [
        Choice("Yes: the gap is large.",
               "A gap is no fault: every network that learns well has one. As long as the "
               "validation loss falls, training goes on paying."),
        Choice("No: the validation loss still falls.",
               "Overfitting is when the validation loss rises while the training loss goes on "
               "falling. Here, train longer.", right=True),
        Choice("It cannot be, if the body is frozen.",
               "A frozen body does not protect: a head can overfit on its own, as this lesson's "
               "did.")]),
    Question("The body is frozen, and you call fit_one_cycle(1, slice(1e-5, 1e-3)). What does the "
             "1e-5 do?", [
        Choice("It trains the first layers, very slowly.",
               "Frozen layers do not train, at whatever learning rate."),
        Choice("It is the head's learning rate at the start of the cycle.",
               "The start of the cycle comes from div. A slice spreads learning rates over "
               "layer groups, and the head takes its last value."),
        Choice("Nothing.",
               "The slice's first value belongs to layers that are frozen. The plot of the "
               "schedule shows it all the same.", right=True)]),
]
