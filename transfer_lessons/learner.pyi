"""Module learner."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .backbones import Arch
from .core import Progress
from .core import Table
from .data import ImageDataLoaders
from .data import ImageLoader
from .freezing import LearningRate
from .image_files import ImageSource
from .lr_finder import LRFind
from .lr_finder import Suggestion
from .precompute import PrecomputedLearner
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from torch import Tensor
from torch import nn
from torch.optim import Optimizer
from typing import Any
from typing import NamedTuple
import matplotlib.pyplot as plt
import os
import torch

__all__ = ['cnn_learner', 'accuracy', 'error_rate', 'Recorder', 'Learner', 'vision_learner', 'generators']

def accuracy(logits: Tensor, targets: Tensor) -> float:
    """The share (0 to 1) of pictures whose largest logit [N, classes] is their target's [N]."""

def error_rate(logits: Tensor, targets: Tensor) -> float:
    """The share (0 to 1) of pictures that are taken for another class than their target."""

class Recorder:
    """What happened in training, step by step and epoch by epoch."""
    losses: list[float]
    lrs: list[list[float]]
    moms: list[float]
    history: Table
    ends: list[int]

    def __init__(self) -> None:
        ...

    def end_step(self, loss: float, opt: Optimizer) -> None:
        """Note a step's loss, and the rates and the momentum it was made with."""

    def end_epoch(self, names: Sequence[str], values: Sequence) -> NamedTuple:
        """Note an epoch's results as a row of the history."""

    def plot_loss(self, ax: plt.Axes | None=None) -> None:
        """Draw the training loss of every step and the validation loss of every epoch."""

    def plot_sched(self, axes: Sequence[plt.Axes] | None=None) -> None:
        """Draw the learning rate of every layer group and the momentum, step by step."""

class Learner:
    """A model, its data, its loss and what happened so far; the methods train it.

    Args:
        dls: the data
        model: pictures [B, 3, H, W] in 0 to 1 -> logits [B, len(dls.vocab)]
        loss_func: logits, targets -> mean loss
        metrics: one or several
        opt_func: parameter groups -> optimizer
        path: checkpoints go to path/models
    """
    model: Any
    metrics: Any
    loaded: Any
    progress_type: Any

    def __init__(self, dls: ImageDataLoaders, model: nn.Module, loss_func: Callable[[Tensor, Tensor], Tensor]=..., metrics: Callable | Sequence[Callable]=..., opt_func: Callable[..., Optimizer]=..., path: str | os.PathLike='.'):
        ...

    def freeze_to(self, n: int) -> None:
        """Let the layer groups from the n-th on train, no other; negative counts from the end."""

    def freeze(self) -> None:
        """Let the head train, and nothing else."""

    def unfreeze(self) -> None:
        """Let every layer train."""

    def create_opt(self) -> Optimizer:
        """A new optimizer; each layer group has its own hyperparameters."""

    def fine_tune(self, epochs: int, base_lr: float=0.002, freeze_epochs: int=1, lr_mult: float=100.0, pct_start: float=0.3, div: float=5.0) -> None:
        """Train the new head alone, then everything, early layers slowest (fastai's constants).

    Args:
        epochs: with every layer training
        base_lr: the head's peak rate while the body is frozen; then half of it
        freeze_epochs: before, with the body frozen
        lr_mult: the earliest layers learn this many times slower than the head
        pct_start: share of the unfrozen steps that warm up
        div: the unfrozen rates start at their peak / div
    """

    def forward(self, xb: Tensor) -> Tensor:
        """The model's logits; raises `ValueError` where their number is not that of the classes."""

    def train_step(self, xb: Tensor, yb: Tensor) -> float:
        """One step of training; returns the loss.

    Where the loss, a gradient or a running statistic is no finite number it raises
    `FloatingPointError`, with weights and statistics as they were before the step.
    """

    def get_logits(self, dl: ImageLoader | None=None) -> tuple[Tensor, Tensor]:
        """What the model answers to every picture of a loader.

    Args:
        dl: None takes the validation pictures

    Returns:
        logits [N, classes] float32, targets [N] int64, both on the CPU
    """

    def get_preds(self, dl: ImageLoader | None=None) -> tuple[Tensor, Tensor]:
        """Probabilities of every class for every picture of a loader, and the right answers.

    Args:
        dl: None takes the validation pictures

    Returns:
        probabilities [N, classes], targets [N] int64, both on the CPU
    """

    def validate(self, dl: ImageLoader | None=None) -> tuple[float, ...]:
        """Loss and metrics over all pictures of a loader at once.

    Args:
        dl: None takes the validation pictures

    Returns:
        loss, then a number a metric
    """

    def _train_epoch(self, epoch: int, plan: Callable, progress: Progress) -> float:
        """One pass over the training pictures; returns the mean loss."""

    def _fit_epochs(self, epochs: range, plan: Callable, checkpoint: str | None) -> None:
        """Train and validate epoch after epoch; leave everything in order, whatever ends it."""

    def fit(self, n_epoch: int, lr: LearningRate=0.001, schedule: Callable[[float], float] | None=None, momentum: Callable[[float], float] | None=None, start_epoch: int=0, checkpoint: str | None=None) -> None:
        """Train for some epochs, at a constant rate or along a schedule.

    Raises `ValueError` for bad arguments, `FloatingPointError` when the loss is no longer a number
    and, when memory runs out, the error it met with advice. Ctrl-C stops between two steps: history
    is kept, gradients are cleared.

    Args:
        n_epoch: passes over the training pictures
        lr: one for all; slice(first, last); slice(last); or one a layer group
        schedule: progress 0 to 1 -> factor on the rates
        momentum: progress 0 to 1 -> momentum
        start_epoch: go on after this many epochs of the same call, from a checkpoint
        checkpoint: save under this name after every epoch
    """

    def fit_one_cycle(self, n_epoch: int, lr_max: LearningRate=0.001, *, div: float=25.0, div_final: float=100000.0, pct_start: float=0.25, moms: tuple[float, float, float]=(0.95, 0.85, 0.95), start_epoch: int=0, checkpoint: str | None=None) -> None:
        """Train with one rise and one long fall of the learning rate (Smith 2018, arXiv 1803.09820).

    Args:
        n_epoch: passes over the training pictures
        lr_max: the peak: one, a slice, or one a layer group
        div: it starts at lr_max / div
        div_final: and ends at lr_max / div_final
        pct_start: share of the steps that warm up
        moms: momentum at start, peak and end
        start_epoch: as for `fit`
        checkpoint: as for `fit`
    """

    def fit_sgdr(self, n_cycles: int, cycle_len: int=1, lr_max: LearningRate=0.001, cycle_mult: int=2, start_epoch: int=0, checkpoint: str | None=None) -> None:
        """Train with warm restarts: cosine falls, again and again (Loshchilov and Hutter 2017).

    Args:
        n_cycles: how many falls
        cycle_len: epochs of the first cycle
        lr_max: where every cycle starts: one, a slice, or one a layer group
        cycle_mult: each cycle lasts this many times the one before
        start_epoch: as for `fit`
        checkpoint: as for `fit`
    """

    def predict(self, source: ImageSource) -> tuple[str, int, Tensor]:
        """What the model takes one picture for.

    Args:
        source: a file, or a Pillow image

    Returns:
        class name, class number, probabilities [classes]
    """

    def show_results(self, max_n: int=8) -> None:
        """Draw validation pictures with what they are and what the model takes them for."""

    def summary(self, lr: LearningRate | None=None) -> Table:
        """The model's layer groups: their blocks and sizes, whether they train, how fast at `lr`."""

    def save(self, name: str, epoch: int | None=None) -> Path:
        """Save weights, optimizer, history and random states: tensors and JSON, no pickle.

    Args:
        name: the file becomes path/models/name.safetensors
        epoch: how many epochs of the call under way are done
    """

    def load(self, name: str) -> Learner:
        """Load the weights that `save` wrote under a name; nothing is changed unless all fit."""

    def _resume(self, opt: Optimizer, start_epoch: int) -> None:
        """Put optimizer, what trains, history and random states where a checkpoint left them."""

    def lr_find(self, start_lr: float=1e-07, end_lr: float=10.0, num_it: int=100, suggest_funcs: Suggestion | Sequence[Suggestion]=...) -> LRFind:
        """Train a twin on batch after batch with a growing rate (Smith 2015, arXiv 1506.01186).

    Stops where the loss passes 4 times its best, or is no number. Ctrl-C ends it early with what
    there is so far. Raises `ValueError` for bad arguments, or too few points for a suggestion.

    Args:
        start_lr: the first rate
        end_lr: where the rates lead
        num_it: batches, one a rate
        suggest_funcs: rules to ask, one or several
    """

    def precompute(self, views: int | None=None, max_memory: int=..., folder: str | os.PathLike | None=None) -> PrecomputedLearner:
        """Run the frozen layers once, for a learner that trains the others on what they gave.

    Raises `ValueError` where augmentation is on and `views` is not given, or the other way round,
    and where nothing can be kept. What it returns raises `RuntimeError` before it would train on
    stale activations.

    Args:
        views: augmented views to keep of each training picture
        max_memory: bytes; activations that take more go into files
        folder: of those files; delete it when you like
    """

def vision_learner(dls: ImageDataLoaders, arch: Arch=..., metrics: Callable | Sequence[Callable]=..., pretrained: bool=True, hidden: int | None=512, **options: Any) -> Learner:
    """A learner with a pretrained, frozen body and a new head.

    Args:
        dls: the data; its classes make the width of the head
        arch: a timm name, or a torchvision function
        metrics: one or several, of (logits, targets)
        pretrained: with weights learned on ImageNet, and the body frozen
        hidden: width of the head's hidden layer; None makes it one linear layer
        **options: of `Learner`
    """
cnn_learner = vision_learner

def generators(learn: Learner) -> dict[str, torch.Generator]:
    """Where training takes its chance from, by name: order, augmentation, dropout."""

def _checkpoint_file(learn: Learner, name: str) -> Path:
    ...
