"""What 64 learning rates cost in one sweep: against one rate, and against learners one by one."""
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
RATES, FEW = np.geomspace(1e-5, 10, 64).tolist(), np.geomspace(1e-4, 1e-1, 8).tolist()


def learner(hidden: int | None, seed: int = 42) -> Learner:
    torch.manual_seed(seed)
    return vision_learner(icons(augment=False), hidden=hidden).precompute()


def train_alone(learn: Learner, lr: float, epochs: int) -> None:
    with temporary_copy(learn) as twin, contextlib.redirect_stdout(io.StringIO()):
        twin.fit_one_cycle(epochs, lr)


def worst_gap(learn: Learner, lr: float, curve: torch.Tensor) -> float:
    """How far a curve is from a learner's alone, before the loss passes 4 times its first."""
    with temporary_copy(learn) as twin:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(FloatingPointError):
            twin.fit_one_cycle(EPOCHS, lr)
        losses = torch.tensor(twin.recorder.losses)
    end = [*(losses > 4 * losses[0]).tolist(), True].index(True)
    return (curve[:end] - losses[:end]).abs().max().item()


def quickest(rounds: int, *runs: Callable[[], object]) -> list[float]:
    """Fewest seconds of each, measured in turns: what other programs add is left out."""
    rows = []
    for _ in range(rounds):
        row = []
        for run in runs:
            began = time.perf_counter()
            run()
            row.append(time.perf_counter() - began)
        rows.append(row)
    return [min(times) for times in zip(*rows, strict=True)]


def main() -> None:
    linear, default = learner(None), learner(512)
    def sweep(rates: list[float], **options) -> None:
        sweep_lrs(linear, rates, EPOCHS, **options)
    many, one, alone = quickest(
        40, lambda: sweep(RATES, suggest_funcs=()), lambda: sweep([1e-2], suggest_funcs=()),
        lambda: train_alone(linear, 1e-2, EPOCHS))
    many_found, one_found = quickest(10, lambda: sweep(RATES), lambda: sweep([1e-2]))
    swept, looped = quickest(20, lambda: sweep_lrs(default, FEW, 1, suggest_funcs=()),
                             lambda: [train_alone(default, lr, 1) for lr in FEW])
    print(f"linear head, icons, {EPOCHS} epochs, without lr_find: 64 rates {many:.3f} s, one "
          f"{one:.3f} s; a Learner alone {alone:.3f} s")
    limits.at_most("64 rates / one", many / one, 4)
    limits.at_most("64 rates / a Learner alone", many / alone, 4)
    for seed, threads in enumerate((None, None, 2, 2)):
        if threads:  # which tells MKL, too, that multiplies matrices for PyTorch
            torch.set_num_threads(threads)
        learn = learner(None, seed)
        found = sweep_lrs(learn, RATES, EPOCHS, suggest_funcs=())
        gaps = [worst_gap(learn, *row) for row in zip(RATES, found.losses, strict=True)]
        print(f"seed {seed}, {threads or 'default'} threads: {gaps.count(0)} of {len(gaps)} curves "
              "are a Learner's to the last bit")
        limits.at_most("largest gap", np.max(gaps), 1e-4)  # NaN, should there be one
    print(f"with lr_find, as called by default: {many_found:.3f} s / {one_found:.3f} s = "
          f"{many_found / one_found:.2f}")
    print(f"default head, {len(FEW)} rates, one epoch: sweep {swept:.2f} s, one after the other "
          f"{looped:.2f} s")
    limits.at_most("ratio", swept / looped, 1)


if __name__ == "__main__":
    main()
    limits.end()
