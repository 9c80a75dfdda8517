"""What 64 learning rates cost in one sweep: against one rate, and against learners one by one."""
import contextlib
import io
import time
from collections.abc import Callable

import limits
import numpy as np
import torch

from transfer_lessons.data import icons
from transfer_lessons.learner import Learner, vision_learner
from transfer_lessons.lr_finder import untouched
from transfer_lessons.sweep import sweep_lrs

EPOCHS, ROUNDS = 5, 9
RATES = np.geomspace(1e-5, 10, 64).tolist()


def learner(hidden: int | None) -> Learner:
    torch.manual_seed(42)
    return vision_learner(icons(augment=False), hidden=hidden).precompute()


def train_alone(learn: Learner, lr: float, epochs: int) -> None:
    with untouched(learn) as twin, contextlib.redirect_stdout(io.StringIO()):
        twin.fit_one_cycle(epochs, lr)


def quickest(rounds: int, *runs: Callable[[], object]) -> list[float]:
    "Fewest seconds of each, measured in turns: what other programs add is left out."
    rows = []
    for _ in range(rounds):
        row = []
        for run in runs:
            began = time.perf_counter()
            run()
            row.append(time.perf_counter() - began)
        rows.append(row)
    return [min(times) for times in zip(*rows, strict=True)]


def linear_heads() -> None:
    learn = learner(None)
    many, one, alone = quickest(
        ROUNDS, lambda: sweep_lrs(learn, RATES, EPOCHS, suggest_funcs=()),
        lambda: sweep_lrs(learn, [1e-2], EPOCHS, suggest_funcs=()),
        lambda: train_alone(learn, 1e-2, EPOCHS))
    print(f"linear head, icons, {EPOCHS} epochs, without lr_find: 64 rates {many:.3f} s, one rate "
          f"in the same program {one:.3f} s, a Learner alone {alone:.3f} s")
    limits.at_most("64 rates / a Learner alone", many / alone, 4)
    limits.at_most("64 rates / one rate in the same program", many / one, 4)
    many, one = quickest(ROUNDS, lambda: sweep_lrs(learn, RATES, EPOCHS),
                        lambda: sweep_lrs(learn, [1e-2], EPOCHS))
    print(f"with lr_find, as called by default: {many:.3f} s / {one:.3f} s = {many / one:.2f}")


def default_heads() -> None:
    learn, rates = learner(512), np.geomspace(1e-4, 1e-1, 8).tolist()
    swept, looped = quickest(3, lambda: sweep_lrs(learn, rates, 1, suggest_funcs=()),
                            lambda: [train_alone(learn, lr, 1) for lr in rates])
    print(f"default head, {len(rates)} rates, one epoch: sweep {swept:.2f} s, one after the other "
          f"{looped:.2f} s")
    limits.at_most("ratio", swept / looped, 1)


if __name__ == "__main__":
    linear_heads()
    default_heads()
    limits.end()
