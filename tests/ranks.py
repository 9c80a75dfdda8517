"""What the tests of several processes run in each of them: `accelerate launch` starts this file.

    ranks.py FOLDER

Each rank writes what it found to "FOLDER/rank N.json".
"""
import copy
import hashlib
import json
import sys
from pathlib import Path

import torch
from small import small_model
from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from transfer_lessons.core import Progress
from transfer_lessons.datasets import draw_icons
from transfer_lessons.distributed import (
    SilentProgress,
    average_gradients,
    distribute,
    start_accelerator,
)
from transfer_lessons.global_batchnorm import global_batchnorm
from transfer_lessons.learner import Learner
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.lr_finder import LRFind  # noqa: F401  adds lr_find
from transfer_lessons.sharding import all_or_none

N_STEPS = 20


def learner(folder, bs=16, dropout=0.0, augment=True) -> Learner:
    """A small learner of three classes of icons, the same in every process."""
    images, labels = draw_icons(32)
    chosen: list[int] = []
    for name in sorted(set(labels))[:3]:
        chosen += [i for i, label in enumerate(labels) if label == name][:50]
    dls = ImageDataLoaders([images[i] for i in chosen], [labels[i] for i in chosen], size=24, bs=bs,
                           augment=augment, device="cpu")
    torch.manual_seed(1)
    learn = Learner(dls, small_model(dls.c, dropout), path=folder)
    learn.progress_type = SilentProgress
    return learn


def steps(learn, n=N_STEPS) -> list[float]:
    """The losses of some steps at a constant learning rate, over several epochs if need be."""
    losses = []
    learn.model.train()
    while len(losses) < n:
        for xb, yb in learn.dls.train:
            losses.append(learn.train_step(xb, yb).item())
    return losses[:n]


def compare_batchnorm(accelerator, make, shape) -> dict[str, float]:
    """Largest differences to PyTorch's layer on the whole batch."""
    rank = accelerator.process_index
    torch.manual_seed(3)
    x = 2 * torch.randn(8, *shape) + 1
    weight = torch.randn(8, *shape)
    whole = make(shape[0]).train()
    part = copy.deepcopy(whole)
    x_whole = x.clone().requires_grad_()
    y_whole = whole(x_whole)
    (y_whole * weight).sum().backward()
    rows = slice(4 * rank, 4 * rank + 4)
    x_part = x[rows].clone().requires_grad_()
    with global_batchnorm(part, accelerator):
        y_part = part(x_part)
    (y_part * weight[rows]).sum().backward()
    gradients = [accelerator.reduce(p.grad, "sum") for p in part.parameters()]
    pairs = {"output": (y_part, y_whole[rows]), "gradient of x": (x_part.grad, x_whole.grad[rows]),
             "running mean": (part.running_mean, whole.running_mean),
             "running variance": (part.running_var, whole.running_var),
             "count": (part.num_batches_tracked, whole.num_batches_tracked)}
    for p, gradient in zip(whole.parameters(), gradients, strict=True):
        pairs[f"gradient of {list(p.shape)}"] = (gradient, p.grad)
    return {name: float((a - b).abs().max()) for name, (a, b) in pairs.items()}


def compare_with_ddp(accelerator) -> float:
    """Largest difference of our mean gradients to those of PyTorch's own wrapper."""
    torch.manual_seed(4)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                          nn.Linear(5, 3))
    theirs = DistributedDataParallel(copy.deepcopy(model))
    torch.manual_seed(10 + accelerator.process_index)
    xb, yb = torch.randn(4, 3, 8, 8), torch.randint(3, (4,))
    for network in (model, theirs):
        nn.functional.cross_entropy(network(xb), yb).backward()
    average_gradients(model, accelerator)
    pairs = zip(model.parameters(), theirs.module.parameters(), strict=True)
    return max(float((a.grad - b.grad).abs().max()) for a, b in pairs)


class Stop(Exception):
    """The plug is pulled."""


class StopAtSecondEpoch(Progress):
    def start(self, epoch, n_steps):
        super().start(epoch, n_steps)
        if epoch == 1:
            raise Stop


def stopped(learn, name) -> int:
    """Train one of three epochs, with a checkpoint of this name; returns the number of steps."""
    learn.progress_type = StopAtSecondEpoch
    try:
        learn.fit_one_cycle(3, 1e-2, checkpoint=name)
    except Stop:
        return len(learn.recorder.losses)
    raise AssertionError("it was not stopped")


def begin_and_stop(folder, accelerator) -> int:
    """Two ranks begin; one process will go on."""
    learn = distribute(learner(folder), accelerator)
    return stopped(learn, "two")


def go_on(folder, accelerator) -> list[float]:
    """Go on from the checkpoint that one process alone has left."""
    learn = distribute(learner(folder), accelerator)
    learn.load("alone")
    learn.fit_one_cycle(3, 1e-2, start_epoch=1)
    return learn.recorder.losses


def one_fails(accelerator) -> str:
    """What each rank raises where the second one fails."""
    def work():
        if accelerator.process_index == 1:
            raise OSError("disk full")

    try:
        all_or_none(accelerator, work)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def nan_on_one_rank(folder, accelerator) -> dict:
    """A NaN among the second rank's images: what each rank raises, and whether weights are finite."""
    learn = distribute(learner(folder), accelerator)
    calls = []

    def loss_func(logits, targets):
        calls.append(1)
        loss = nn.functional.cross_entropy(logits, targets)
        return loss * torch.nan if len(calls) > 5 and accelerator.process_index == 1 else loss

    learn.loss_func = loss_func
    try:
        learn.fit(2, 1e-2)
        message = "nothing"
    except FloatingPointError as error:
        message = str(error)
    finite = all(bool(p.isfinite().all()) for p in learn.model.state_dict().values())
    return {"message": message, "finite": finite}


def different_masks(folder, accelerator) -> list:
    """A draw within a step, and the state of the generator after it."""
    learn = distribute(learner(folder, dropout=0.5), accelerator)
    drawn = []
    learn.model.register_forward_hook(lambda *_: drawn.append(torch.rand(()).item()))
    steps(learn, 1)
    return [drawn[0], torch.rand(()).item()]


def main(folder: Path) -> None:
    """All checks."""
    accelerator = start_accelerator("cpu")
    rank = accelerator.process_index
    torch.set_num_threads(1)
    found: dict = {"ranks": accelerator.num_processes}
    learn = distribute(learner(folder), accelerator)
    found["losses"] = steps(learn)
    found["logits"] = learn.get_logits()[0].tolist()
    found["training logits"] = len(learn.get_logits(learn.dls.train)[0])
    found["found"] = learn.lr_find(num_it=20).losses
    found["own images"] = len(next(iter(learn.dls.train))[1])
    for name, make, shape in [("2d", nn.BatchNorm2d, (3, 5, 4)), ("1d", nn.BatchNorm1d, (6,)),
                              ("timm", BatchNormAct2d, (3, 5, 4)),
                              ("mean of all", lambda n: nn.BatchNorm2d(n, momentum=None), (3, 2, 2))]:
        found[f"batchnorm {name}"] = compare_batchnorm(accelerator, make, shape)
    found["ddp"] = compare_with_ddp(accelerator)
    found["begun"] = begin_and_stop(folder, accelerator)
    found["gone on"] = go_on(folder, accelerator)
    for name, augment, views in (("augmented", True, 2), ("plain", False, None)):
        one = distribute(learner(folder, augment=augment), accelerator)
        one.freeze()
        head = one.precompute(views, folder=folder / f"cache {name}")
        head.fit(1, 1e-2)
        found[f"cache {name}"] = {
            "sha256": hashlib.sha256(head.dls.train.activations.numpy().tobytes()).hexdigest(),
            "losses": head.recorder.losses}
    results = {"one fails": one_fails(accelerator), "nan": nan_on_one_rank(folder, accelerator),
               "drawn": different_masks(folder, accelerator)}
    (folder / f"rank {rank}.json").write_text(json.dumps({**found, **results}))
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
