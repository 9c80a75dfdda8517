"""What the training loop costs over the same steps in bare PyTorch: resnet18, data in memory."""
import contextlib
import io
import statistics
import time
from types import SimpleNamespace

import limits
import torch
from torchvision.models import resnet18

from transfer_lessons.backbones import vision_model
from transfer_lessons.freezing import group_parameters
from transfer_lessons.learner import Learner
from transfer_lessons.optim import adamw

STEPS, BATCH, ROUNDS = 6, 64, 7


def bare_epoch(learn: Learner) -> None:
    """The steps and the validation of one epoch, written out."""
    model, loss_func = learn.model, torch.nn.functional.cross_entropy
    opt = adamw([{"params": group} for group in group_parameters(model)], lr=1e-3)
    model.train()
    for xb, yb in learn.dls.train:
        loss = loss_func(model(xb), yb)
        loss.backward()
        opt.step()
        opt.zero_grad(set_to_none=True)
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(xb) for xb, _ in learn.dls.valid])
        loss_func(logits, torch.cat([yb for _, yb in learn.dls.valid]))


def timed(function, *arguments) -> float:
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def measure(model: torch.nn.Module, size: int, steps: int) -> tuple[float, float]:
    """Median seconds of an epoch: bare, and with the learner; the two take turns."""
    batches = [(torch.rand(BATCH, 3, size, size).contiguous(memory_format=torch.channels_last),
                torch.randint(0, 5, (BATCH,))) for _ in range(steps)]
    dls = SimpleNamespace(train=batches, valid=batches[:1], vocab=list("abcde"),
                          device=torch.device("cpu"))
    learn = Learner(dls, model)
    bare_epoch(learn)
    with contextlib.redirect_stdout(io.StringIO()):  # the table of epochs
        pairs = [(timed(bare_epoch, learn), timed(learn.fit, 1)) for _ in range(ROUNDS)]
    return tuple(statistics.median(times) for times in zip(*pairs, strict=True))


def main() -> None:
    torch.manual_seed(0)
    bare, ours = measure(vision_model(resnet18, 5, pretrained=False), 112, STEPS)
    print(f"resnet18, {STEPS} steps of {BATCH}: bare {bare:.2f} s, Learner {ours:.2f} s")
    limits.at_most("ratio", ours / bare, 1.03)
    tiny = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2), torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 5)))
    bare, ours = measure(tiny, 8, 200)
    print(f"almost no network: the loop itself adds {(ours - bare) / 200 * 1e3:.2f} ms a step")


if __name__ == "__main__":
    main()
    limits.end()
