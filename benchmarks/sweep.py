"""How long do 64 learning rates take in one sweep, against 64 trainings one after another?"""
import contextlib
import io

import numpy as np
import torch
from measure import QUICK, Report, taking_turns
from sides import quietly

from transfer_lessons.datasets import icons
from transfer_lessons.learner import Learner, vision_learner
from transfer_lessons.lr_finder import temporary_copy
from transfer_lessons.sweep import sweep_lrs

EPOCHS, ROUNDS = (1, 1) if QUICK else (5, 3)
LRS = np.geomspace(1e-5, 10, 3 if QUICK else 64).tolist()


def train_alone(learn: Learner, lr: float) -> list[float]:
    """Training losses of a learner alone, up to the first that is not finite."""
    with temporary_copy(learn) as copy, contextlib.redirect_stdout(io.StringIO()):
        with contextlib.suppress(FloatingPointError):
            copy.fit_one_cycle(EPOCHS, lr)
        return copy.recorder.losses


def gap_before_divergence(curve: list[float], losses: list[float]) -> float:
    """Largest difference up to the step at which the loss passes twice its first."""
    kept = [step for step, loss in enumerate(losses) if not loss <= 2 * losses[0]]
    end = min(kept, default=len(losses))
    return max(abs(a - b) for a, b in zip(curve[:end], losses[:end], strict=True))


def compare(report: Report, learn: Learner, head: str) -> None:
    """Both ways at all learning rates, and that they are the same trainings."""
    times = taking_turns({
        "one sweep": quietly(lambda: sweep_lrs(learn, LRS, EPOCHS, suggest_funcs=())),
        "one after another": quietly(lambda: [train_alone(learn, lr) for lr in LRS]),
    }, ROUNDS)
    report.values(f"{len(LRS)} learning rates, {EPOCHS} epochs, {head}", times)
    report.ratio(f"sweep / one after another, {head}", times["one sweep"],
                 times["one after another"])
    sweep = sweep_lrs(learn, LRS, EPOCHS, suggest_funcs=())
    gaps = [gap_before_divergence(curve, train_alone(learn, lr))
            for lr, curve in zip(sweep.lrs, sweep.losses.tolist(), strict=True)]
    report.number(f"largest gap of a curve before it diverges, {head}", [max(gaps)], at_most=1e-4)


def main() -> None:
    report = Report("sweep", __doc__)
    torch.manual_seed(42)
    options = {"size": 32} if QUICK else {}
    dls = icons(augment=False, device="cpu", **options)
    learn = vision_learner(dls).precompute()
    compare(report, learn, "linear head on the icons' features")
    report.write()


if __name__ == "__main__":
    main()
