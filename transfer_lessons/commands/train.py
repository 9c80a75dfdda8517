"""`transfer-lessons run`: from pretrained weights to a fine-tuned model and its mistakes."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transfer_lessons.commands.course_folder import usable_folder


def save_plot(plot: Callable[..., None], file: Path, **options: Any) -> None:
    """Draw with `plot(**options)` and save what it drew."""
    import matplotlib.pyplot as plt
    plot(**options)
    plt.gcf().savefig(file, dpi=110, bbox_inches="tight")
    plt.close("all")
    print(f"   plot: {file}")


def train(folder: str | os.PathLike, seed: int = 42) -> None:
    """From pretrained weights to a fine-tuned model and its mistakes, offline.

    Args:
        folder: where plots and the model go
        seed: of the split and of the training

    Raises:
        ValueError: for a folder that cannot be written, and a seed that is no whole number
    """
    folder = usable_folder(folder)
    print("== Loading the library", flush=True)
    import matplotlib
    matplotlib.use("Agg")
    import torch

    from transfer_lessons.arguments import check_seed
    from transfer_lessons.core import default_device
    from transfer_lessons.datasets import icons
    from transfer_lessons.learner import vision_learner
    from transfer_lessons.fine_tuning import RECIPES  # noqa: F401  adds fine_tune to Learner
    from transfer_lessons.lr_finder import LRFind  # noqa: F401  adds lr_find

    seed = check_seed("seed", seed)
    default_device()
    torch.manual_seed(seed)
    dls = icons(valid_pct=0.25, seed=seed, size=96)
    n_valid = len(dls.valid.dataset)
    print(f"== Data: {len(dls.train.dataset)} icons to train on, {n_valid} held out, "
          f"{len(dls.vocab)} classes (OpenMoji, CC BY-SA 4.0)")
    save_plot(dls.show_batch, folder / "batch.png")
    learn = vision_learner(dls)
    fine_tune(learn, folder, n_valid)
    show_mistakes(learn, folder)


def fine_tune(learn: Any, folder: Path, n_valid: int) -> None:
    """Ask for a learning rate, train the head, then the later half of the body too."""
    from transfer_lessons.core import describe_error

    print("== Which learning rate for the new head? Trying 100, then restoring everything")
    found = learn.lr_find()
    print("   " + ", ".join(f"{name} {lr:.1e}" for name, lr in found.found.items()))
    save_plot(found.plot, folder / "lr_find.png")

    print("== Fine-tuning: the head on a frozen body, then the later half of the body too")
    learn.fine_tune(4)
    print(learn.summary())
    history = learn.recorder.history
    *_, first = (number for number, row in enumerate(history) if row.epoch == 0)
    head_alone = history[first - 1].error_rate
    error = learn.validate()[1]
    print("   error rate of the head alone", describe_error(round(head_alone * n_valid), n_valid))
    print("   error rate fine-tuned", describe_error(round(error * n_valid), n_valid))
    save_plot(learn.recorder.plot_loss, folder / "loss.png")
    save_plot(learn.recorder.plot_sched, folder / "schedule.png")


def show_mistakes(learn: Any, folder: Path) -> None:
    """Print and draw where a trained learner goes wrong, and save its model."""
    from transfer_lessons.interpretation import ClassificationInterpretation

    print("== Where it still goes wrong")
    interp = ClassificationInterpretation.from_learner(learn)
    print(interp.most_confused(min_val=2))
    save_plot(interp.plot_confusion_matrix, folder / "confusion_matrix.png")
    save_plot(interp.plot_top_losses, folder / "top_losses.png", k=9)
    learn.path = folder
    print(f"   model: {learn.save('icons')}")
