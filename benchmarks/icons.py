"""What pretraining and fine-tuning are worth on the built-in icons: three error rates per seed."""
import contextlib
import io
import statistics

import limits
import torch

from transfer_lessons.datasets import icons
from transfer_lessons.learner import vision_learner

SEEDS, FROZEN_EPOCHS, TUNED_EPOCHS = (42, 0, 1), 2, 2


def errors(seed: int) -> tuple[float, float, float]:
    """Error with a frozen body, fine-tuned, and from scratch in as many epochs."""
    def learner(pretrained: bool):
        torch.manual_seed(seed)
        dls = icons(size=96, valid_pct=0.25, seed=42)
        return vision_learner(dls, pretrained=pretrained, hidden=None)
    learn = learner(pretrained=True)
    learn.fit_one_cycle(FROZEN_EPOCHS, 5e-3)
    frozen = learn.validate()[1]
    learn.freeze_to(-2)
    learn.fit_one_cycle(TUNED_EPOCHS, slice(5e-4, 2e-3))
    scratch = learner(pretrained=False)
    scratch.fit_one_cycle(FROZEN_EPOCHS + TUNED_EPOCHS, 3e-3)
    return frozen, learn.validate()[1], scratch.validate()[1]


def main() -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        rows = [errors(seed) for seed in SEEDS]
    means = [statistics.mean(column) for column in zip(*rows, strict=True)]
    for seed, (frozen, tuned, scratch) in zip([*SEEDS, "mean"], [*rows, means], strict=True):
        print(f"seed {seed}: frozen {frozen:.3f}, fine-tuned {tuned:.3f}, scratch {scratch:.3f}")
        limits.at_most("fine-tuned error", tuned, 0.32)
        limits.at_least("under the frozen one", frozen - tuned, 0.05)
        limits.at_most("fraction of the one from scratch", tuned / scratch, 0.6)


if __name__ == "__main__":
    main()
    limits.end()
