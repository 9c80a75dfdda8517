"""An unfrozen epoch on 1,024 photographs, loading included, against fastai in the same run."""
import contextlib
import io
import time
from pathlib import Path

import limits
from photographs import PHOTOGRAPHS, choose, fastai_loaders
from torchvision.models import resnet18

from transfer_lessons.learner import vision_learner
from transfer_lessons.loaders import ImageDataLoaders

TRAIN, VALID, SIZE, BATCH, ROUNDS = 1024, 256, 112, 64, 8


def fastai_learner(files: list[Path], is_valid: list[bool]):
    from fastai.vision.all import vision_learner as fastai_vision_learner
    dls = fastai_loaders(files, is_valid, SIZE, BATCH)
    learn = fastai_vision_learner(dls, resnet18, pretrained=False)
    learn.unfreeze()
    return learn


def our_learner(files: list[Path], is_valid: list[bool]):
    dls = ImageDataLoaders(files, [file.parent.name for file in files], is_valid, size=SIZE,
                           bs=BATCH, augment=False)
    return vision_learner(dls, resnet18, pretrained=False)


def main() -> None:
    if not PHOTOGRAPHS.is_dir():
        print(f"skipped: no photographs in {PHOTOGRAPHS}")
        return
    files, is_valid = choose(TRAIN, VALID)
    ours, theirs = our_learner(files, is_valid), fastai_learner(files, is_valid)
    pairs = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), theirs.no_bar():  # no tables of epochs
            ours.fit(1, 1e-3)
            middle = time.perf_counter()
            theirs.fit(1, 1e-3)
        pairs.append((middle - began, time.perf_counter() - middle))
    own, other = (min(times) for times in zip(*pairs, strict=True))  # the least disturbed
    print(f"unfrozen resnet18 epoch, {TRAIN} + {VALID} photographs of {SIZE} px: ours {own:.1f} s, "
          f"fastai {other:.1f} s")
    limits.at_most("ratio", own / other, 0.85)


if __name__ == "__main__":
    main()
    limits.end()
