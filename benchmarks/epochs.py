"""How long is an epoch that trains every layer, against fastai and against a bare PyTorch loop?"""
import torch
from measure import Report, taking_turns
from sides import (
    TRAIN,
    Bare,
    fastai_learner,
    fastai_loaders,
    network,
    our_learner,
    our_loaders,
    quietly,
)

ROUNDS, RATE = 5, 1e-3


def main() -> None:
    report = Report("epochs", __doc__)
    what = f"unfrozen resnet18 epoch, {TRAIN} photographs, from the second on"
    learn, half = (our_learner(our_loaders(), network()) for _ in range(2))
    half.to_bf16()
    theirs = fastai_learner(fastai_loaders(), network())
    bare = Bare(our_loaders(), network())
    bare_half = Bare(our_loaders(), network(), torch.bfloat16)
    times = taking_turns({
        "ours": quietly(lambda: learn.fit(1, RATE)),
        "fastai": quietly(lambda: theirs.fit(1, RATE), theirs),
        "bare loop, images in memory": bare.epoch,
        "ours, bf16": quietly(lambda: half.fit(1, RATE)),
        "bare loop, images in memory, bf16": bare_half.epoch,
    }, ROUNDS)
    report.values(what, times)
    report.ratio("float32: ours / fastai", times["ours"], times["fastai"], at_most=0.72)
    report.ratio("float32: ours / bare loop", times["ours"], times["bare loop, images in memory"],
                 at_most=1.03)
    report.ratio("bf16: ours / fastai in float32 (its bf16 needs a GPU)", times["ours, bf16"],
                 times["fastai"], at_most=0.50)
    report.ratio("bf16: ours / bare loop", times["ours, bf16"],
                 times["bare loop, images in memory, bf16"], at_most=1.03)
    with theirs.no_bar(), theirs.no_logging():
        errors = {"ours": learn.validate()[1], "ours, bf16": half.validate()[1],
                  "fastai": float(theirs.validate()[1])}
    report.values("error after these epochs", {side: [e] for side, e in errors.items()}, "fraction")
    report.write()


if __name__ == "__main__":
    main()
