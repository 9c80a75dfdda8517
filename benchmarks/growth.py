"""Does the time grow no faster than the work: images, pixels, layer groups, learning rates?"""
import numpy as np
import torch
from measure import QUICK, Report, taking_turns
from sides import our_learner, our_loaders, quietly
from torch import nn

from transfer_lessons.backbones import vision_model
from transfer_lessons.datasets import icons
from transfer_lessons.freezing import freeze
from transfer_lessons.learner import vision_learner
from transfer_lessons.precompute import PrecomputedLearner  # noqa: F401  it gives precompute
from transfer_lessons.sweep import sweep_lrs

ROUNDS = 3


def slope(sizes: list[int], times: dict[str, list[float]]) -> list[float]:
    """The power of the size with which the time grows, from the smallest to the largest."""
    first, *_, last = times.values()
    return [float(np.log(b / a) / np.log(sizes[-1] / sizes[0])) for a, b in
            zip(first, last, strict=True)]


def grow(report: Report, what: str, sizes: list[int], make, at_most: float) -> None:
    """Time what is made for each size, in turns."""
    times = taking_turns({str(size): quietly(make(size)) for size in sizes}, ROUNDS)
    report.values(what, times)
    report.number(f"{what}: the time grows with this power of it", slope(sizes, times),
                  at_most=at_most)


def caching(n_images: int, size: int = 96):
    """Decode images and cache their activations, from scratch."""
    def run() -> None:
        learn = our_learner(our_loaders(n_images - 8, 8, size, 8 if QUICK else 64),
                            vision_model(n_classes=5, hidden=512))
        freeze(learn.model)
        learn.precompute()
    return run


def groups(n: int):
    """An epoch of a network of n tiny blocks, each a layer group that trains."""
    body = nn.Sequential(nn.Conv2d(3, 4, 3, 4), *(nn.Conv2d(4, 4, 1) for _ in range(n - 1)))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 11))
    dls = icons(size=32, bs=64, augment=False, device="cpu")
    learn = our_learner(dls, nn.Sequential(body, head))
    return lambda: learn.fit(2)


def rates(n: int):
    """A sweep of n learning rates."""
    torch.manual_seed(0)
    learn = vision_learner(icons(size=48, augment=False, device="cpu")).precompute()
    lrs = np.geomspace(1e-5, 1, n).tolist()
    return lambda: sweep_lrs(learn, lrs, 2, suggest_funcs=())


def main() -> None:
    report = Report("growth", __doc__)
    few = QUICK
    grow(report, "images to cache", [16, 32] if few else [512, 1024, 2048], caching, 1.05)
    grow(report, "side of 256 images, pixels", [32, 48] if few else [64, 128, 256],
         lambda size: caching(16 if few else 256, size), 2.1)
    grow(report, "blocks of a network", [2, 4] if few else [4, 16, 64], groups, 1.05)
    grow(report, "learning rates of a sweep", [2, 4] if few else [16, 64, 256], rates, 1.05)
    report.write()


if __name__ == "__main__":
    main()
