"""What 64 learning rates cost in one sweep: against one, and against a Learner alone at each."""
import contextlib
import io
import time
from collections.abc import Callable

import limits
import numpy as np
import torch

from transfer_lessons.datasets import icons
from transfer_lessons.learner import Learner, vision_learner
from transfer_lessons.lr_finder import temporary_copy
from transfer_lessons.sweep import sweep_lrs

EPOCHS = 5
ROUNDS = 15
LRS = np.geomspace(1e-5, 10, 64).tolist()


def make_learner(seed: int) -> Learner:
    """A linear head on cached features of the icons."""
    torch.manual_seed(seed)
    return vision_learner(icons(augment=False), hidden=None).precompute()


def train_alone(learn: Learner, lr: float) -> list[float]:
    """Training losses of a learner alone, up to the first that is not finite."""
    with temporary_copy(learn) as copy, contextlib.redirect_stdout(io.StringIO()):
        with contextlib.suppress(FloatingPointError):
            copy.fit_one_cycle(EPOCHS, lr)
        return copy.recorder.losses


def gap_before_divergence(curve: list[float], losses: list[float]) -> float:
    """Largest difference up to the step at which the loss passes twice its first."""
    for step, loss in enumerate(losses):
        if not loss <= 2 * losses[0]:
            return float(np.abs(np.subtract(curve[:step], losses[:step])).max())
    return float(np.abs(np.subtract(curve, losses)).max())


def fastest(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Fewest seconds of each of several runs, measured in turns so that noise meets all alike."""
    seconds = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: min(times) for name, times in seconds.items()}


def compare_times(learn: Learner) -> None:
    def sweep(lrs: list[float], **options) -> None:
        sweep_lrs(learn, lrs, EPOCHS, **options)
    seconds = fastest({
        "64 learning rates": lambda: sweep(LRS, suggest_funcs=()),
        "64 learning rates and lr_find": lambda: sweep(LRS),
        "one learning rate, by the same program": lambda: sweep([1e-2], suggest_funcs=()),
        "one learning rate, by a Learner": lambda: train_alone(learn, 1e-2),
    })
    print(f"linear head, icons, {EPOCHS} epochs, {torch.get_num_threads()} threads")
    for name, value in seconds.items():
        print(f"  {name}: {value:.3f} s")
    limits.at_most("64 learning rates / one, by a Learner", seconds["64 learning rates"]
                   / seconds["one learning rate, by a Learner"], 6)


def compare_curves(seed: int) -> None:
    learn = make_learner(seed)
    sweep = sweep_lrs(learn, LRS, EPOCHS, suggest_funcs=())
    gaps = [gap_before_divergence(curve, train_alone(learn, lr))
            for lr, curve in zip(LRS, sweep.losses.tolist(), strict=True)]
    limits.at_most(f"seed {seed}: largest gap to a Learner alone", float(np.max(gaps)), 1e-4)


if __name__ == "__main__":
    compare_times(make_learner(42))
    for seed in range(3):
        compare_curves(seed)
    limits.end()
