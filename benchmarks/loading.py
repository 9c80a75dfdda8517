"""What do loading and augmentation cost, in the first epoch and later, against Pillow alone?"""
import os
import tempfile
from functools import partial
from pathlib import Path

import torch
from measure import QUICK, Report, seconds_of, taking_turns
from PIL import Image, ImageOps
from sides import photographs, quietly
from torchvision.transforms import v2

from transfer_lessons.data import ImageDataset, ImageLoader, augment_batch
from transfer_lessons.decoded import MemoryBudget
from transfer_lessons.learner import vision_learner
from transfer_lessons.loaders import ImageDataLoaders

SIZE, PRESIZE = 128, 160
BS = 32  # the floats of 64 are so many that the system may hand out new memory for each batch
N_IMAGES = 32 if QUICK else 512


def go_through(loader: ImageLoader) -> None:
    for _ in loader:
        pass


def measure_epochs(report: Report, files: list, kind: str) -> None:
    """Two epochs of fresh loaders, again and again: the first reads, the second does not."""
    for what, augment in ((f"loading {kind}", None),
                          (f"loading and augmenting {kind}", {"size": SIZE})):
        size = SIZE if augment is None else PRESIZE
        took = {"first epoch": [], "second epoch": []}
        for _ in range(1 if QUICK else 5):
            generator = None if augment is None else torch.Generator().manual_seed(0)
            loader = ImageLoader(ImageDataset(files, [0] * len(files), size), BS, "cpu", generator,
                                 augment)
            for side in took.values():
                side.append(1000 * seconds_of(partial(go_through, loader)) / len(files))
        report.values(what, took, "ms per image")
        bar = {"at_most": 0.05} if augment is None else {}
        report.ratio(f"{what}: second epoch, of the first", took["second epoch"],
                     took["first epoch"], **bar)
        taken = loader.decoded.budget.n_bytes()
        report.number(f"{what}: bytes kept per image", [taken / len(files)])


def enlarged(files: list, folder: str) -> list[Path]:
    """The photographs as a phone would make them, of 1,600 pixels a side."""
    large = [Path(folder, f"{number}.jpg") for number in range(len(files))]
    for file, new in zip(files, large, strict=True):
        with Image.open(file) as image:
            image.resize((1600, 1600), Image.Resampling.BICUBIC).save(new)
    return large


def measure_pillow(report: Report, files: list, what: str) -> None:
    """Decode and presize, in this process."""
    dataset = ImageDataset(files, [0] * len(files), PRESIZE)

    def with_pillow() -> None:
        for file in files:
            with Image.open(file) as image:
                ImageOps.fit(image.convert("RGB"), (PRESIZE, PRESIZE), Image.Resampling.BILINEAR)

    def ours() -> None:
        for i in range(len(files)):
            dataset[i]

    took = taking_turns({"ours": ours, "Pillow alone": with_pillow})
    report.values(f"decode {len(files)} {what} to {PRESIZE} px", took)
    report.ratio(f"decode and presize {what}, of Pillow alone", took["ours"], took["Pillow alone"])


def measure_augmentation(report: Report) -> None:
    """A batch at once, against torchvision's transforms image by image."""
    x = torch.rand(BS, 3, PRESIZE, PRESIZE, generator=torch.Generator().manual_seed(0))
    transform = v2.Compose([
        v2.RandomRotation(10, v2.InterpolationMode.BILINEAR),
        v2.RandomResizedCrop(SIZE, (1 / 1.1**2, 1), (1, 1)), v2.RandomHorizontalFlip(),
        v2.ColorJitter(0.2, 0.2)])
    took = taking_turns({"ours": lambda: augment_batch(x, size=SIZE),
                         "torchvision v2": lambda: torch.stack([transform(image) for image in x])})
    report.values(f"augment {BS} images from {PRESIZE} to {SIZE} px", took)
    report.ratio("augmentation, of torchvision v2", took["ours"], took["torchvision v2"],
                 at_most=1)


def measure_seeds(report: Report, files: list) -> None:
    """Errors of short trainings with images kept and read afresh: the same, seed by seed."""
    files = files[:max(32, N_IMAGES // 4)]
    labels = [file.parent.name for file in files]
    differences = []
    for seed in range(1 if QUICK else 5):
        losses = []
        for max_memory in (None, 0):
            torch.manual_seed(seed)
            dls = ImageDataLoaders(files, labels, size=48, bs=16, seed=seed, device="cpu",
                                   max_memory=max_memory)
            learn = vision_learner(dls, "test_efficientnet", pretrained=False)
            quietly(lambda learn=learn: learn.fit(2, 1e-3))()
            losses.append(torch.tensor([*learn.recorder.losses, *learn.validate()]))
        differences.append(float((losses[0] - losses[1]).abs().max()))
    report.number("five seeds, kept and read afresh: largest difference of a loss or an error",
                  differences, at_most=0)


def measure_workers(report: Report, files: list) -> None:
    """Epochs that all read, with and without workers: what a batch costs on its way."""
    took = {}
    for num_workers in (0, os.cpu_count() or 1):
        loader = ImageLoader(ImageDataset(files, [0] * len(files), SIZE), BS, "cpu",
                             num_workers=num_workers, budget=MemoryBudget(0))
        seconds = taking_turns({"epoch": partial(go_through, loader)}, rounds=3)["epoch"]
        took[f"{num_workers} workers"] = [1000 * value / len(files) for value in seconds]
    report.values("an epoch above the budget", took, "ms per image")


def measure_few(report: Report, files: list) -> None:
    """Twenty tiny images, an epoch after the first, when all of them are kept."""
    sources = [Image.open(file).convert("RGB").resize((32, 32)) for file in files[:20]]
    loaders = {f"{n} spawned workers": ImageLoader(ImageDataset(sources, [0] * 20, 32), 4, "cpu",
                                                   num_workers=n) for n in (2, 0)}
    method = torch.multiprocessing.get_start_method()
    torch.multiprocessing.set_start_method("spawn", force=True)
    turns = {name: partial(go_through, dl) for name, dl in loaders.items()}
    for first_epoch in turns.values():
        first_epoch()
    took = taking_turns(turns, 15)
    torch.multiprocessing.set_start_method(method, force=True)
    report.values("an epoch of 20 tiny images, after the first", took)
    report.ratio("20 tiny images: two spawned workers / none", *took.values(), at_most=1.5)


def main() -> None:
    torch.set_num_threads(1)
    report = Report("loading", __doc__)
    files = photographs(N_IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        for kind, some in (("small photographs", files),
                           ("large photographs", enlarged(files[:2 * BS], folder))):
            measure_epochs(report, some, kind)
            measure_pillow(report, some, kind)
    measure_augmentation(report)
    measure_workers(report, files[:N_IMAGES // 2])
    measure_seeds(report, files)
    measure_few(report, files)
    report.write()


if __name__ == "__main__":
    main()
