"""The sides of a comparison: the same images, split, network and steps here, in fastai and bare."""
import contextlib
import io
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch
from measure import QUICK
from PIL import Image
from torch import nn
from torchvision.models import resnet18

from transfer_lessons.backbones import vision_model
from transfer_lessons.freezing import freeze, group_parameters, train_mode
from transfer_lessons.image_files import get_image_files
from transfer_lessons.learner import Learner
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.optim import adamw, param_groups

PHOTOGRAPHS = Path(__file__).parents[1].parent / "shared" / "data" / "flowers"
TRAIN, VALID, SIZE, BATCH = (24, 8, 32, 8) if QUICK else (1024, 256, 112, 64)


@cache
def photographs(n: int) -> list[Path]:
    """Files of n photographs in folders of their classes; where none are here, of noise."""
    if PHOTOGRAPHS.is_dir():
        files = get_image_files(PHOTOGRAPHS)
        order = torch.randperm(len(files), generator=torch.Generator().manual_seed(0)).tolist()
        return [files[i] for i in order[:n]]
    root = Path(tempfile.mkdtemp())
    source = torch.Generator().manual_seed(0)
    files = [root / "abcde"[i % 5] / f"{i}.jpg" for i in range(n)]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        coarse = (255 * torch.rand(24, 32, 3, generator=source)).byte().numpy()
        Image.fromarray(coarse).resize((500, 375)).save(file, quality=90)
    return files


def our_loaders(n_train: int = TRAIN, n_valid: int = VALID, size: int = SIZE, bs: int = BATCH,
                device: str = "cpu", **options) -> ImageDataLoaders:
    """This library's loaders, without augmentation."""
    files = photographs(n_train + n_valid)
    return ImageDataLoaders(files, [file.parent.name for file in files],
                            [False] * n_train + [True] * n_valid, size=size, bs=bs, augment=False,
                            device=device, **options)


def folder_name(file: Path) -> str:
    """The class of a photograph, as workers can be told it."""
    return Path(file).parent.name


def fastai_loaders(n_train: int = TRAIN, n_valid: int = VALID, size: int = SIZE, bs: int = BATCH,
                   device: str = "cpu"):
    """fastai's loaders over the same split, without augmentation, with the workers it chooses."""
    from fastai.vision.all import CategoryBlock, DataBlock, ImageBlock, IndexSplitter, Resize
    block = DataBlock((ImageBlock, CategoryBlock), get_y=folder_name,
                      splitter=IndexSplitter(range(n_train, n_train + n_valid)),
                      item_tfms=Resize(size))
    return block.dataloaders(photographs(n_train + n_valid), bs=bs, device=torch.device(device))


def network(arch=resnet18, n_classes: int = 5, pretrained: bool = False,
            hidden: int | None = 512) -> nn.Module:
    """The same network with the same first weights on every side, with fastai's head."""
    torch.manual_seed(0)
    return vision_model(arch, n_classes, pretrained=pretrained, hidden=hidden)


def fastai_learner(dls, model: nn.Module, frozen: bool = False):
    """fastai's learner over a network of ours, in as many layer groups, quiet."""
    from fastai.vision.all import Learner as FastaiLearner
    from fastai.vision.all import error_rate, params
    learn = FastaiLearner(dls, model, metrics=error_rate, path=tempfile.mkdtemp(),
                          splitter=lambda model: [params(model[0]), params(model[1])])
    (learn.freeze if frozen else learn.unfreeze)()
    return learn


def our_learner(dls, model: nn.Module, frozen: bool = False) -> Learner:
    learn = Learner(dls, model)
    if frozen:
        freeze(learn.model)
    return learn


def quietly(function: Callable[[], object], theirs=None) -> Callable[[], None]:
    """A call without the tables and bars that it prints; `theirs` is a learner of fastai."""
    def call() -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            if theirs is not None:
                stack.enter_context(theirs.no_bar())
                stack.enter_context(theirs.no_logging())
            function()
    return call


class Bare:
    """A training loop written out in plain PyTorch, over images that are in memory as bytes."""
    def __init__(self, dls: ImageDataLoaders, model: nn.Module, dtype=torch.float32):
        self.device, self.bs, self.dtype = dls.device, dls.bs, dtype
        self.memory_format = our_learner(dls, model).memory_format  # moves the model too
        self.model = model
        groups = [[p for p in group if p.requires_grad] for group in group_parameters(model)]
        self.opt = adamw(param_groups([group for group in groups if group]), lr=1e-3)
        self.train, self.valid = map(self._in_memory, (dls.train.dataset, dls.valid.dataset))
        self.autocast = partial(torch.autocast, self.device.type, dtype,
                                enabled=dtype is not torch.float32)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype is torch.float16)

    def _in_memory(self, dataset) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.stack([dataset[i][0] for i in range(len(dataset))])
        return images.to(self.device), torch.tensor(dataset.targets, device=self.device)

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        xb = images.float().div_(255).contiguous(memory_format=self.memory_format)
        with self.autocast():
            return self.model(xb).float()

    def epoch(self) -> None:
        """Train on every whole batch once, then validate."""
        train_mode(self.model)
        images, targets = self.train
        order = torch.randperm(len(images)).to(self.device)
        for rows in order.split(self.bs)[:len(images) // self.bs]:
            loss = nn.functional.cross_entropy(self._logits(images[rows]), targets[rows])
            self.scaler.scale(loss).backward()
            self.scaler.step(self.opt)
            self.scaler.update()
            self.opt.zero_grad()
        self.model.eval()
        images, targets = self.valid
        with torch.no_grad():
            logits = torch.cat([self._logits(xb) for xb in images.split(self.bs)])
            float(nn.functional.cross_entropy(logits, targets))
