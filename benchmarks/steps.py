"""How many operators and host reads is a training step, against one that is written out?"""
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from measure import QUICK, Report
from torchvision.models import resnet50

from transfer_lessons.backbones import vision_model
from transfer_lessons.learner import Learner
from transfer_lessons.step_guard import STEPS_PER_READ, LossReader

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from counting import Operators  # noqa: E402

READ = "_local_scalar_dense"  # what .item(), bool() and float() come to
N_STEPS = 2 * STEPS_PER_READ


def bare(learn: Learner, xb: torch.Tensor, yb: torch.Tensor) -> None:
    """The same steps in a few lines of PyTorch."""
    if learn.opt is None:
        learn.opt = learn.create_opt()
    for _ in range(N_STEPS):
        loss = torch.nn.functional.cross_entropy(learn.model(xb), yb)
        loss.backward()
        learn.opt.step()
        learn.opt.zero_grad()


def ours(learn: Learner, xb: torch.Tensor, yb: torch.Tensor) -> None:
    """The steps that `fit` makes, and their losses read."""
    reader = LossReader([])
    for _ in range(N_STEPS):
        reader.add(learn.train_step(xb, yb), learn.guard)
    reader.finish()


def count(steps, learn: Learner, xb: torch.Tensor, yb: torch.Tensor) -> tuple[float, float]:
    """Operators and host reads per step."""
    learn.model.train()
    steps(learn, xb, yb)  # the first steps also make the optimizer's state
    with Operators() as operators:
        steps(learn, xb, yb)
    return operators.names.total() / N_STEPS, operators.names[READ] / N_STEPS


def main() -> None:
    report = Report("steps", __doc__)
    torch.manual_seed(0)
    xb = torch.rand(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    yb = torch.tensor([0, 1])
    dls = SimpleNamespace(train=[(xb, yb)], valid=[(xb, yb)], vocab=["cat", "dog"], bs=2,
                          device=torch.device("cpu"))
    models = {"resnet50": vision_model(resnet50, 2, pretrained=False, hidden=512),
              "default body": vision_model(n_classes=2, pretrained=False, hidden=512)}
    for name, model in list(models.items())[1 if QUICK else 0:]:
        learn = Learner(dls, model)
        n_bare, _ = count(bare, learn, xb, yb)
        n_ours, n_reads = count(ours, learn, xb, yb)
        report.values(f"{name}, all trained, operators per step",
                      {"ours": [n_ours], "bare loop": [n_bare]}, "operators")
        report.ratio(f"{name}: operators / a bare loop's", [n_ours], [n_bare], at_most=1.10)
        report.number(f"{name}: host reads per step", [n_reads], at_most=0)
    report.write()


if __name__ == "__main__":
    main()
