"""Calls with a wrong argument, as people type them, and what each is told: `make refusals`."""
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import transfer_lessons.all
from transfer_lessons.datasets import draw_icons

CALLS = """
ImageDataLoaders.from_folder(folder / "no such folder")
ImageDataLoaders.from_folder(3)
ImageDataLoaders.from_folder(folder, size=0)
ImageDataLoaders.from_folder(folder, size="128")
ImageDataLoaders.from_folder(folder, bs=0)
ImageDataLoaders.from_folder(folder, bs=1000)
ImageDataLoaders.from_folder(folder, valid_pct=20)
ImageDataLoaders.from_folder(folder, bs=4, valid_pct=0)
ImageDataLoaders.from_folder(folder, bs=4, seed=None)
ImageDataLoaders.from_folder(folder, bs=4, presize=0)
ImageDataLoaders.from_folder(folder, bs=4, num_workers=-1)
ImageDataLoaders.from_folder(folder, bs=4, augment="yes")
ImageDataLoaders.from_folder(folder, bs=4, augment={"rotation": 5})
ImageDataLoaders.from_folder(folder, bs=4, augment={"zoom": 0.5})
ImageDataLoaders.from_folder(folder, bs=4, device="gpu")
ImageDataLoaders.from_folder(folder, batch_size=8)
ImageDataLoaders.from_files("cat.jpg", "cat")
ImageDataLoaders.from_files(files, labels[1:])
ImageDataLoaders.from_files(files, [float("nan")] * len(files))
ImageDataLoaders.from_files(files, [["cat", "dog"]] * len(files))
ImageDataLoaders.from_files(files, labels, bs=4, vocab=["animal", "animal"])
ImageDataLoaders.from_files(files, labels, is_valid=[True])
ImageDataLoaders.from_files([folder / "gone.png"] * len(files), labels)
ImageDataLoaders.from_name_re(folder, None, "[a-z]+")
ImageDataLoaders.from_name_re(folder, None, "([a-z")
ImageDataLoaders.from_df({"file": files, "label": labels}, fn_col="name")
dls.show_batch(max_n=0)
dls.new(size=0)
dls.new(bs=100000)
MixupLoader(dls.valid)
mixup(torch.zeros(2, 3, 8, 8), torch.tensor([0, 1]), 2, alpha=0)
augment_batch(torch.zeros(2, 3, 8, 8), zoom=0)
square(image, 0)
load_image(None)
load_image(folder / "gone.png")
scan("no such folder")
vision_learner(dls, "resnet3")
vision_learner(dls, hidden=0)
vision_learner(dls, pretrained="yes")
Learner(dls, "resnet34")
Learner(dls, model, loss_func=nn.CrossEntropyLoss)
Learner(dls, model, metrics="accuracy")
learn.fit(0)
learn.fit(1, lr=0)
learn.fit(1, lr="1e-3")
learn.fit(1, lr=slice(1e-3, 1e-5))
learn.fit(1, lr=float("nan"))
learn.fit(2, start_epoch=2)
learn.fit(2, start_epoch=1)
learn.fit_one_cycle(1.5)
learn.fit_one_cycle(1, pct_start=25)
learn.fit_one_cycle(1, div=0)
learn.fit_sgdr(0)
learn.fine_tune("3")
learn.fine_tune(1, freeze_epochs=-1)
learn.fine_tune(1, base_lr=-1)
learn.freeze_to(99)
learn.freeze_to("head")
learn.lr_find(start_lr=1, end_lr=0.1)
learn.lr_find(num_it=3)
learn.lr_find(suggest_funcs="vally")
learn.load("never saved")
learn.predict(3)
learn.predict(folder / "gone.png")
learn.get_preds(files)
learn.precompute(views=0)
learn.tta(n=0)
learn.tta(beta=25)
learn.keep_best(patience=0).__enter__()
learn.keep_best(monitor="val_loss").__enter__()
learn.find_batch_size(start=1)
sweep_lrs(learn, [], 1)
sweep_lrs(learn, [1e-3, -1], 1)
ClassificationInterpretation.from_learner(dls)
interp.top_losses(0)
interp.most_confused(min_val=-1)
interp.plot_confusion_matrix(figsize=3)
cross_entropy(torch.zeros(2, 3), torch.tensor([0, 3]))
cross_entropy(torch.zeros(2, 3), torch.tensor([0.5, 1]))
cross_entropy(torch.zeros(2, 3), torch.tensor([0, 1]), weight=torch.ones(2))
one_cycle(2)
cosine(0.5, "high", 0)
sgdr_epochs(2, 0)
wilson_interval(4, 3)
LRScrubber(learn)
ConfusionExplorer(learn)
ImageCleaner(learn, "marks.json")
ImageCleaner(interp, None)
Marks(folder / "marks.json").relabel(files[0], None)
ImageDataLoaders.from_folder(folder, bs=4, marks=files[0])
grad_cam(model, torch.zeros(3, 8, 8))
grad_cam(model, torch.zeros(1, 3, 24, 24), classes=[9])
plot_grad_cam(interp, model)
OneCycleExplorer(lr_max=0)
""".strip().splitlines()


def namespace(folder: Path) -> dict[str, Any]:
    """What the calls need: the library's names, a folder of icons, loaders, a small learner."""
    from small import small_model
    icons, classes = draw_icons(24)
    names = {name: getattr(transfer_lessons.all, name) for name in transfer_lessons.all.__all__}
    names |= {"folder": folder / "photos", "files": [], "labels": [], "image": icons[0],
              "np": np, "torch": torch, "nn": nn}
    for label in ("animal", "building", "vehicle"):
        (names["folder"] / label).mkdir(parents=True)
        chosen = [icon for icon, found in zip(icons, classes, strict=True) if found == label][:8]
        for number, icon in enumerate(chosen):
            file = names["folder"] / label / f"{label}_{number}.png"
            icon.save(file)
            names["files"].append(file)
            names["labels"].append(label)
    names["dls"] = names["ImageDataLoaders"].from_folder(names["folder"], size=16, bs=4,
                                                         augment=False, device="cpu")
    names["model"] = small_model()
    names["learn"] = names["Learner"](names["dls"], small_model(), path=folder)
    names["interp"] = names["ClassificationInterpretation"].from_learner(names["learn"])
    return names


def message(call: str, names: dict[str, Any]) -> str:
    """What a call is told; an error that is not ours comes through."""
    from ours import ours
    said = ""
    with ours(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            eval(call, names)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise
    return said


def main() -> None:
    """Print every call and what it is told."""
    with tempfile.TemporaryDirectory() as folder:
        names = namespace(Path(folder))
        for number, call in enumerate(CALLS, 1):
            try:
                said = message(call, names) or "no error"
            except Exception as error:
                said = f"A RAW ERROR: {type(error).__name__}: {error}"
            print(f"{number}. {call}\n   {said.replace(folder, '')}")


if __name__ == "__main__":
    main()
