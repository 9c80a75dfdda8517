"""Exercises and questions of lesson 7, schedules."""
import math

import numpy as np

from transfer_lessons.exercises.kit import Choice, Exercise, Question, Wrong, call_for_numbers


def warmup_cosine(progress, peak, pct):
    """Learning rate: up in a straight line from 0 to peak, then down a half cosine wave to 0."""
    if progress < pct:
        return peak * progress / pct
    if pct == 1:
        return peak
    fall = (progress - pct) / (1 - pct)
    return peak * (1 + math.cos(math.pi * fall)) / 2


def warmup_cosine_but(rise=lambda progress, pct: progress / pct, rises=lambda p, pct: p < pct,
                      fall=lambda progress, pct: (progress - pct) / (1 - pct),
                      shape=lambda fall: (1 + math.cos(math.pi * fall)) / 2, safe=True):
    """`warmup_cosine` with one part replaced."""
    def wrong(progress, peak, pct):
        if rises(progress, pct):
            return peak * rise(progress, pct)
        if safe and pct == 1:
            return peak
        return peak * shape(fall(progress, pct))
    return wrong


WARMUP_COSINE = Exercise(
    "warmup_cosine", warmup_cosine,
    idea="a schedule is a function of progress, without jumps, defined at both ends",
    cases={"the first step": lambda: (0.0, 0.1, 0.25),
           "half of the warm-up": lambda: (0.125, 0.1, 0.25),
           "the peak": lambda: (0.25, 0.1, 0.25),
           "a third of the way down": lambda: (0.5, 0.1, 0.25),
           "just before the end": lambda: (0.99, 0.1, 0.25),
           "the end": lambda: (1.0, 0.1, 0.25),
           "no warm-up at all, first step": lambda: (0.0, 0.2, 0.0),
           "no warm-up at all, halfway": lambda: (0.5, 0.2, 0.0),
           "nothing but warm-up, halfway": lambda: (0.5, 0.2, 1.0),
           "nothing but warm-up, at the end": lambda: (1.0, 0.2, 1.0)},
    wrong=[
        Wrong("the rise is not divided by pct",
              warmup_cosine_but(rise=lambda progress, pct: progress),
              "The warm-up ends at peak * pct, and then the learning rate jumps. During the "
              "warm-up progress goes from 0 to pct, not from 0 to 1: divide it by pct."),
        Wrong("the fall uses progress itself",
              warmup_cosine_but(fall=lambda progress, pct: progress),
              "After the warm-up the learning rate jumps down, because the wave starts in its "
              "middle. Give the fall a progress of its own, 0 at the peak and 1 at the end."),
        Wrong("the fall is not stretched",
              warmup_cosine_but(fall=lambda progress, pct: progress - pct),
              "It falls from the peak on, but too slowly, and the end is not at 0. What is left "
              "after the warm-up is 1 - pct long: divide by that."),
        Wrong("the wave is not halved",
              warmup_cosine_but(shape=lambda fall: 1 + math.cos(math.pi * fall)),
              "1 + cos goes from 2 to 0, so the learning rate jumps to twice the peak. Divide "
              "by 2."),
        Wrong("degrees", warmup_cosine_but(shape=lambda fall: (1 + math.cos(180 * fall)) / 2),
              "math.cos wants radians: half a wave is math.pi, not 180. With 180 it goes through "
              "dozens of waves."),
        Wrong("a whole wave",
              warmup_cosine_but(shape=lambda fall: (1 + math.cos(2 * math.pi * fall)) / 2),
              "2 * pi is a whole wave: the learning rate falls, and rises to the peak again. "
              "Half a wave ends at the bottom."),
        Wrong("upside down",
              warmup_cosine_but(shape=lambda fall: (1 - math.cos(math.pi * fall)) / 2),
              "After the warm-up it starts at 0 and rises to the peak. (1 - cos) / 2 goes up; "
              "(1 + cos) / 2 goes down."),
        Wrong("a straight line down", warmup_cosine_but(shape=lambda fall: 1 - fall),
              "Both ends of the fall are right, but its middle is a straight line. Send the fall's "
              "progress through a cosine: it lingers near the peak, and again near 0."),
        Wrong("pct = 0 divides by zero", warmup_cosine_but(rises=lambda p, pct: p <= pct),
              "With pct = 0 there is no warm-up, but the first step, progress 0, still asks for it "
              "and divides by zero. Rise only while progress < pct."),
        Wrong("pct = 1 divides by zero", warmup_cosine_but(safe=False),
              "With pct = 1 nothing is left for the fall, and 1 - pct divides by zero at the end. "
              "Return the peak there."),
    ],
    hints=["Write two cases: one for the warm-up, while progress < pct, and one for the rest.",
           "In each case work out how far along *that part* you are, from 0 to 1, first.",
           "The fall: half a wave is (1 + math.cos(math.pi * t)) / 2, which is 1 at t = 0 and 0 at "
           "t = 1.",
           "t = (progress - pct) / (1 - pct). What is that where pct is 1?"],
    why="Each part has a clock of its own that runs from 0 to 1, so the parts meet at the peak. "
        "The two divisions are safe: progress < pct is false where pct is 0, and pct = 1 has a "
        "line of its own.")


def restart_points(n_cycles, cycle_mult):
    """At which progress SGDR jumps back up: a list of fractions of the whole training."""
    lengths = [cycle_mult**i for i in range(n_cycles)]
    return [sum(lengths[:i]) / sum(lengths) for i in range(1, n_cycles)]


def restarts_by_formula(n_cycles, cycle_mult):
    """The sum of a geometric series, which fails where all cycles are equally long."""
    whole = (cycle_mult**n_cycles - 1) / (cycle_mult - 1)
    return [(cycle_mult**i - 1) / (cycle_mult - 1) / whole for i in range(1, n_cycles)]


def cycle_fractions(n_cycles, cycle_mult):
    """How long each cycle lasts, without the last one."""
    lengths = [cycle_mult**i for i in range(n_cycles)]
    return [length / sum(lengths) for length in lengths[:-1]]


def restarts_from(first, last, scale=True, mult=lambda cycle_mult, i: cycle_mult**i):
    """`restart_points` with other ends, without scaling, or with other cycle lengths."""
    def wrong(n_cycles, cycle_mult):
        lengths = [mult(cycle_mult, i) for i in range(n_cycles)]
        whole = sum(lengths) if scale else 1
        return [sum(lengths[:i]) / whole for i in range(first, n_cycles + last)]
    return wrong


RESTARTS = Exercise(
    "restart_points", restart_points, idea="where the warm restarts of SGDR fall",
    observe=call_for_numbers,
    cases={"three cycles, each twice as long": lambda: (3, 2),
           "four cycles, each three times as long": lambda: (4, 3),
           "four cycles, equally long": lambda: (4, 1),
           "half as long again each time": lambda: (3, 1.5),
           "a single cycle": lambda: (1, 2)},
    wrong=[
        Wrong("evenly spaced",
              lambda n_cycles, cycle_mult: [i / n_cycles for i in range(1, n_cycles)],
              "These restarts are evenly spaced, as if all cycles were equally long. Each cycle "
              "lasts cycle_mult times as long as the one before."),
        Wrong("the start counted", restarts_from(0, 0),
              "Progress 0 is the start of the training, no restart: nothing jumps there. There is "
              "one restart fewer than there are cycles."),
        Wrong("the end counted", restarts_from(1, 1),
              "At progress 1 the last cycle has reached its bottom, and the training is over. "
              "There is one restart fewer than there are cycles."),
        Wrong("both ends counted", restarts_from(0, 1),
              "Start and end of the training are no restarts. Between n cycles there are n - 1."),
        Wrong("not a fraction", restarts_from(1, 0, scale=False),
              "These are counted in lengths of the first cycle. Divide by the length of all cycles "
              "together, so that the end of the training is at 1."),
        Wrong("lengths, not positions",
              cycle_fractions,
              "That is how long each cycle lasts. A restart comes after *all* cycles before it: "
              "add them up."),
        Wrong("added, not multiplied",
              restarts_from(1, 0, mult=lambda cycle_mult, i: 1 + cycle_mult * i),
              "These cycles grow by cycle_mult. They should grow by the factor cycle_mult: 1, m, "
              "m * m, and so on."),
        Wrong("longest first", lambda n_cycles, cycle_mult: [
            1 - fraction for fraction in reversed(restart_points(n_cycles, cycle_mult))],
              "Here the longest cycle comes first. SGDR begins with the shortest one, to have a "
              "settled network early."),
        Wrong("the formula divides by zero", restarts_by_formula,
              "The formula for such a sum divides by cycle_mult - 1, which is 0 where all "
              "cycles are equally long. Add up the lengths instead."),
    ],
    hints=["How long is each cycle, if the first is 1 long? Make that list.",
           "A restart comes after the first cycle, one after the first two, and so on. How many "
           "are there?",
           "sum(lengths[:i]) / sum(lengths), for i from 1 to n_cycles - 1."],
    why="The end of cycle i is the sum of the first i lengths; the last end is the end of the "
        "training, where nothing restarts.")


def winner(results):
    """Which schedule ends lower, each at its own best peak; "tie" within two standard errors.

    results: {schedule: {peak: [final loss of each run]}}, of two schedules; NaN: it diverged
    """
    best = {}
    for name, runs_by_peak in results.items():
        all_runs = [np.array(runs) for runs in runs_by_peak.values()]
        usable = [runs for runs in all_runs if np.isfinite(runs).all()]
        best[name] = min(usable, key=np.mean)
    first, second = sorted(best, key=lambda name: best[name].mean())
    error = math.hypot(*(runs.std(ddof=1) / len(runs)**0.5 for runs in best.values()))
    gap = best[second].mean() - best[first].mean()
    return first if gap > 2 * error else "tie"


def winner_but(usable=lambda runs: np.isfinite(runs).all(), score=np.mean, choose=min,
               error=lambda runs: runs.std(ddof=1) / len(runs)**0.5, n_errors=2, clean=np.array):
    """`winner` with one part replaced."""
    def wrong(results):
        best = {}
        for name, runs_by_peak in results.items():
            all_runs = [clean(runs) for runs in runs_by_peak.values()]
            best[name] = choose([runs for runs in all_runs if usable(runs)], key=score)
        first, second = sorted(best, key=lambda name: score(best[name]))
        margin = n_errors * math.hypot(*(error(runs) for runs in best.values()))
        return first if score(best[second]) - score(best[first]) > margin else "tie"
    return wrong


def loser(results):
    """The other name."""
    return {"tie": "tie", **dict(zip(results, reversed(results), strict=True))}[winner(results)]


def winner_at_one_peak(results):
    """Compares at the first peak alone."""
    return winner({name: dict(list(runs.items())[:1]) for name, runs in results.items()})


def winner_over_all_peaks(results):
    """Throws all runs of a schedule together."""
    return winner({name: {0: [loss for runs in runs_by_peak.values() for loss in runs
                              if math.isfinite(loss)]} for name, runs_by_peak in results.items()})


def dropped(runs):
    """The runs that did not diverge."""
    return np.array([loss for loss in runs if math.isfinite(loss)])


WINNER = Exercise(
    "winner", winner, idea="compare each at its own best, over seeds, and call a tie a tie",
    cases={"one schedule clearly lower": lambda: ({
               "constant": {0.1: [0.50, 0.52, 0.51, 0.49], 0.3: [0.60, 0.58, 0.62, 0.61]},
               "cosine": {0.1: [0.30, 0.31, 0.29, 0.30], 0.3: [0.25, 0.26, 0.24, 0.25],
                          1.0: [1.90, 1.80, 2.00, 1.90]}},),
           "the best peaks differ": lambda: ({
               "constant": {0.01: [0.20, 0.21, 0.19, 0.20], 0.1: [0.90, 0.88, 0.91, 0.92]},
               "one-cycle": {0.01: [1.90, 1.91, 1.89, 1.90], 0.1: [0.10, 0.11, 0.09, 0.10]}},),
           "one lucky run": lambda: ({
               "linear": {0.1: [0.20, 0.21, 0.20, 0.21, 0.20, 0.21]},
               "cosine": {0.1: [0.05, 0.45, 0.50, 0.48, 0.47, 0.52]}},),
           "within the noise": lambda: ({
               "linear": {0.1: [0.30, 0.34, 0.28, 0.32]},
               "cosine": {0.1: [0.29, 0.33, 0.27, 0.31]}},),
           "a small gap, many runs": lambda: ({
               "linear": {0.1: [0.20, 0.24] * 20}, "cosine": {0.1: [0.22, 0.26] * 20}},),
           "1.6 standard errors": lambda: ({
               "linear": {0.1: [0.20, 0.22, 0.24, 0.22]},
               "cosine": {0.1: [0.218, 0.238, 0.258, 0.238]}},),
           "one run diverged": lambda: ({
               "constant": {0.03: [0.30, 0.31, 0.29, 0.30], 0.3: [0.10, math.nan, 0.11, 0.09]},
               "one-cycle": {0.03: [0.40, 0.41, 0.39, 0.40], 0.3: [0.20, 0.21, 0.19, 0.20]}},)},
    wrong=[
        Wrong("the same peak for both", winner_at_one_peak,
              "You compared both at one peak. A schedule may need a higher peak than another: take "
              "for each the peak at which its own mean loss is lowest."),
        Wrong("the luckiest run", winner_but(score=np.min),
              "The single lowest run decided. One lucky seed says nothing about the next one: "
              "compare mean losses."),
        Wrong("the mean over all peaks", winner_over_all_peaks,
              "You threw the runs of all peaks together. Nobody trains at a peak that is known "
              "to be bad: only each schedule's best peak counts."),
        Wrong("never a tie", winner_but(n_errors=0),
              "One of the two means is always lower, by luck alone. Within two standard errors of "
              "the difference, say \"tie\"."),
        Wrong("the spread for the error", winner_but(error=lambda runs: runs.std(ddof=1)),
              "You compared with the standard deviation of single runs. A mean of n runs varies "
              "less: divide it by the square root of n."),
        Wrong("one standard error", winner_but(n_errors=1),
              "One standard error is passed by luck in a third of all comparisons of equals. "
              "Ask for two."),
        Wrong("the diverged run dropped", winner_but(usable=len, clean=dropped),
              "The run that diverged was left out, so a peak that fails one time in four won. A "
              "peak at which a run diverged is no candidate."),
        Wrong("the worst peak", winner_but(choose=max),
              "You took each schedule's worst peak: the one with the highest mean loss. Low is "
              "good here."),
        Wrong("the loser named", loser,
              "Your comparison is right, but you name the other one: the schedule with the lower "
              "mean loss wins."),
    ],
    hints=["First find, for each schedule, the runs of its best peak: those with the lowest mean.",
           "A peak at which one run diverged, which is NaN, is no candidate.",
           "Standard error of a mean of n runs: their standard deviation (ddof=1) / the square "
           "root of n. That of a difference: math.hypot(first, second).",
           "Return the name with the lower mean if the gap is more than twice that, else \"tie\"."],
    why="Each schedule gets the peak that suits it, a peak that diverges is out, and a gap counts "
        "only if luck would hardly make it.")

EXERCISES = [WARMUP_COSINE, RESTARTS, WINNER]

QUESTIONS = [
    Question("With a constant learning rate, the loss has been flat for a hundred steps, well "
             "above the lowest possible. The gradient still points somewhere else at each step. "
             "What do you do first?", [
        Choice("Lower the learning rate.",
               "The weights are jittering around the bottom, because each batch points "
               "somewhere "
               "else. Shorter steps jitter less: that is why falling pays.", right=True),
        Choice("Raise it, to get out of the local minimum.",
               "That makes the jitter larger. A flat loss is not a sign of a local minimum; here "
               "the noise of the batches holds it up."),
        Choice("Train longer at the same learning rate.",
               "It has settled into a balance: the steps towards the bottom and the noise cancel "
               "out. More steps of the same length change nothing.")]),
    Question("Each cycle of SGDR ends lower than the cycle before. What does that show about warm "
             "restarts?", [
        Choice("That jumping up helps the network out of poor minima.",
               "It is tempting, but each cycle also had more steps than the one before. Without a "
               "control you cannot tell the jump from the steps."),
        Choice("Nothing yet: compare with one cosine over as many steps.",
               "Here that control was better in the valley, and a tie for the network. What "
               "restarts do buy is a settled network at the end of each cycle.", right=True),
        Choice("That the cycles were too short.",
               "They may be or not: a later cycle that ends lower does not tell, as it started "
               "from better weights.")]),
    Question("A network is trained at 0.1 with a schedule that only falls. Nearly all its units "
             "die in the first steps. Would a slower fall have helped?", [
        Choice("Yes: more time at a high learning rate lets it recover.",
               "A dead ReLU has a gradient of zero, so it hardly ever comes back, however long you "
               "train."),
        Choice("Yes: any schedule works if it is long enough.",
               "The damage is done in the first steps, where a schedule that only falls is "
               "highest."),
        Choice("No: the first steps did it. A warm-up would have helped.",
               "One-cycle starts at a 25th of the peak, so the first steps, whose "
               "gradients are "
               "large, are short.", right=True)]),
]
