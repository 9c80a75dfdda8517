"""The training loop: `Learner`, its step, its epochs and `fit`, which leaves everything in order."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .best_epoch import BestEpoch
from .core import Progress
from .core import Table
from .curves import Suggestion
from .data import ImageLoader
from .freezing import LearningRate
from .image_files import ImageSource
from .loaders import ImageDataLoaders
from .lr_finder import LRFind
from .precision import Precision
from .precompute import PrecomputedLearner
from .recorder import Recorder
from .step_guard import StepGuard
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from torch import Tensor
from torch import nn
from torch.optim import Optimizer
from typing import Any
from typing import NamedTuple
import contextlib
import os
import torch

__all__ = ['accuracy', 'error_rate', 'Learner']

def accuracy(logits: Tensor, targets: Tensor) -> float:
    """Fraction of images, 0 to 1, whose largest logit is that of their target class.

    Args:
        logits: [N, classes]
        targets: class numbers [N]
    """

def error_rate(logits: Tensor, targets: Tensor) -> float:
    """Fraction of images, 0 to 1, that are predicted as another class than their target.

    Args:
        logits: [N, classes]
        targets: class numbers [N]
    """

class Learner:
    """A model with its data, loss and metrics, and the record of its training.

    Args:
        dls: training and validation images
        model: images [B, 3, H, W] in 0 to 1 -> logits [B, classes]
        loss_func: logits, targets -> mean loss
        metrics: functions of logits and targets, one or several
        opt_func: parameter groups, lr -> optimizer
        path: checkpoints go to path/models

    Raises:
        ValueError: where loss_func, opt_func or a metric cannot be called
    """
    loss_func: Callable
    opt_func: Callable
    path: Path
    precision: Precision
    memory_format: torch.memory_format
    recorder: Recorder
    dls: ImageDataLoaders
    metrics: list[Callable]
    model: nn.Module
    opt: Optimizer | None
    guard: StepGuard | None
    progress_type: Callable[[int], Any]
    loaded: tuple[dict, dict] | None

    def __init__(self, dls: ImageDataLoaders, model: nn.Module, loss_func: Callable[[Tensor, Tensor], Tensor]=..., metrics: Callable | Iterable[Callable] | None=..., opt_func: Callable[..., Optimizer]=..., path: str | os.PathLike='.'):
        ...

    def create_opt(self) -> Optimizer:
        """Make a new optimizer whose learning rate can be set per layer group."""

    def find_batch_size(self, start: int | None=None) -> int:
        """Halve a batch size until training steps fit into memory; the learner stays as it is.

    A copy of the network takes the steps, so what fits here fits in training too. The search is
    that of Accelerate (`find_executable_batch_size`).

    Args:
        start: the largest batch size to try; None takes 1024, or the number of training images

    Returns:
        the batch size to make loaders with

    Raises:
        ImportError: without the extra [many]
        torch.OutOfMemoryError: where a batch of 2 images does not fit
    """

    @contextlib.contextmanager
    def keep_best(self, patience: int | None=None, monitor: str='valid_loss', higher_is_better: bool=False) -> Iterator[BestEpoch]:
        """Keep the weights of the best epoch that ends in a `with` block, whatever ends the block.

    Args:
        patience: so many epochs in a row without a better one end the block (early stopping); None
            lets all epochs run
        monitor: what decides: "valid_loss", or the name of a metric
        higher_is_better: of what decides; True for an accuracy

    Returns:
        what was found: `.row` is the best epoch's row of the history

    Raises:
        ValueError: for bad arguments, before anything runs
    """

    def export(self, file: str | os.PathLike='export.safetensors', title: str | None=None, threshold: float=0.5) -> Path:
        """Write one file that predicts: weights, class names, image size, figures; never a pickle.

    It is read again and compared with this learner before it is written.

    Args:
        file: where to; ".safetensors" is added to a name without an ending
        title: what the model is called; None takes the file's name
        threshold: a confidence below it counts as "not sure"

    Returns:
        the file

    Raises:
        ValueError: for bad arguments, a loss without probabilities, images that are loaded in a
            way of one's own
        OSError: where it cannot be written; one that was there before is unharmed
    """

    def fine_tune(self, epochs: int, base_lr: float | None=None, freeze_epochs: int | None=None, lr_mult: float | None=None, pct_start: float | None=None, div: float | None=None, recipe: str='lp-ft') -> None:
        """Train the head, then layers of the body with it; arguments that are None are the recipe's.

    "lp-ft" trains the head to convergence on cached activations, then the late half of the body
    with it, and undoes that where both loss and error of the validation images got worse (linear
    probing, then fine-tuning: Kumar et al. 2022, arXiv 2202.10054). Few images make few steps, so
    the body trains for up to twice the epochs, until there are 200 steps. "fastai" trains the head
    for an epoch, then every layer, early layers slowest, with fastai's constants.

    Args:
        epochs: epochs in which the body trains too
        base_lr: peak learning rate of the head; half of it once the body trains too
        freeze_epochs: how often the frozen body sees each image before that; 0 leaves it out
        lr_mult: the earliest layers that train learn this many times slower than the head
        pct_start: fraction of the steps in which the learning rate rises, once the body trains
        div: the learning rate starts at its peak divided by this, once the body trains
        recipe: "lp-ft" or "fastai"

    Raises:
        ValueError: an argument is out of its range; nothing was changed
    """

    def freeze_to(self, n: int) -> None:
        """Train layer groups n, n + 1, ... and no other.

    Args:
        n: the first group that trains; a negative one counts from the end

    Raises:
        ValueError: there is no n-th layer group, or the head is not the network's last child;
            nothing was changed
    """

    def freeze(self) -> None:
        """Train the head and nothing else."""

    def unfreeze(self) -> None:
        """Train every layer."""

    def set_precision(self, precision: Precision) -> Learner:
        """Run forward passes in a format, in the layout that suits it; weights stay in float32."""

    def to_bf16(self) -> Learner:
        """Train and predict in bfloat16; where the device has none, in what it has, and say so."""

    def to_fp16(self) -> Learner:
        """Train and predict in float16, with a gradient scaler; on a CPU in bfloat16, and say so."""

    def to_fp32(self) -> Learner:
        """Train and predict in float32 again."""

    def summary(self, lr: LearningRate | None=None) -> Table:
        """The model's layer groups: their blocks, sizes, whether they train, and their learning rates.

    Args:
        lr: as for `fit`; None leaves the learning rates out
    """

    def fit_one_cycle(self, n_epoch: int, lr_max: LearningRate=0.001, *, div: float=25.0, div_final: float=100000.0, pct_start: float=0.25, moms: tuple[float, float, float]=(0.95, 0.85, 0.95), start_epoch: int=0, checkpoint: str | None=None, wd: float | None=None) -> None:
        """Train with one rise and one long fall of the learning rate (Smith 2018, arXiv 1803.09820).

    Args:
        n_epoch: passes over the training images
        lr_max: the peak: one, a slice, or one per layer group
        div: it starts at lr_max / div
        div_final: and ends at lr_max / div_final
        pct_start: fraction of the steps that warm up
        moms: momentum at the start, at the peak and at the end
        start_epoch: as for `fit`
        checkpoint: as for `fit`
        wd: as for `fit`
    """

    def fit_sgdr(self, n_cycles: int, cycle_len: int=1, lr_max: LearningRate=0.001, cycle_mult: int=2, start_epoch: int=0, checkpoint: str | None=None, wd: float | None=None) -> None:
        """Train with warm restarts: cosine falls, again and again (Loshchilov and Hutter 2017).

    Args:
        n_cycles: how many falls
        cycle_len: epochs of the first cycle
        lr_max: where every cycle starts: one, a slice, or one per layer group
        cycle_mult: each cycle lasts this many times as long as the one before
        start_epoch: as for `fit`
        checkpoint: as for `fit`
        wd: as for `fit`
    """

    def lr_find(self, start_lr: float=1e-07, end_lr: float=10.0, num_it: int=100, suggest_funcs: Suggestion | Sequence[Suggestion]=...) -> LRFind:
        """Train a temporary copy with a growing learning rate (Smith 2015, arXiv 1506.01186).

    The learner, the random states and the disk stay as they are. It stops where the smoothed loss
    passes 4 times its best, at a NaN, and at Ctrl-C, and returns the points so far.

    Args:
        start_lr: the first learning rate
        end_lr: where the learning rates lead
        num_it: number of batches, one per learning rate
        suggest_funcs: suggestion functions, one or several

    Raises:
        ValueError: for bad arguments, before anything runs
        FloatingPointError: where the loss of the first batch is not finite
    """

    def precompute(self, views: int | None=None, max_memory: int=..., folder: str | os.PathLike | None=None) -> PrecomputedLearner:
        """Run the frozen layers once; the learner it returns trains the others on what they gave.

    Args:
        views: augmented views of each training image; None where augmentation is off
        max_memory: bytes; activations that take more go into files
        folder: of those files; None takes `cache_folder()`. Delete it when you like

    Returns:
        a learner that trains this one's own layers; rather than use a stale cache it raises
        `RuntimeError`

    Raises:
        ValueError: where augmentation is on without views, or off with them, and where the network
            cannot be cut
        OSError: where the files cannot be written, before the body runs
    """

    def get_preds(self, dl: Any=None) -> tuple[Tensor, Any]:
        """Predictions for every image of a loader, all of them in order and unaugmented.

    Args:
        dl: a loader, the training loader too; None takes the validation images

    Returns:
        probabilities [N, classes], or what else `decode` makes of the logits for this loss, and
        targets [N] (None where the loader has none), both on the CPU
    """

    def test_dl(self, files: Any, labels: Any=None) -> ImageLoader:
        """Make a loader of other images for `get_preds` and `validate`: in order, not augmented.

    Args:
        files: image files, Pillow images, or a folder of image files
        labels: class name of each image; None where it is not known

    Returns:
        a loader; class names mean the same numbers as in training

    Raises:
        ValueError: for a label that is none of the classes
    """

    def predict(self, source: ImageSource) -> tuple[str, int, Tensor]:
        """Predict the class of one image.

    Args:
        source: an image file, or what else `load_image` takes

    Returns:
        class name, class number, probabilities [classes] as from `get_preds`
    """

    def show_results(self, max_n: int=8) -> None:
        """Draw validation images with their class and, where it differs, the predicted class.

    Args:
        max_n: how many, at most
    """

    def check_can_save(self, name: str | os.PathLike) -> None:
        """Raise `OSError` where `save` could not write a checkpoint of this name."""

    def save(self, name: str | os.PathLike, epoch: int | None=None) -> Path:
        """Save weights, optimizer, history and random states: tensors and JSON, no pickle.

    Args:
        name: the file becomes path/models/name.safetensors
        epoch: how many epochs of the call under way are done, for `fit(start_epoch=...)`

    Returns:
        the file

    Raises:
        OSError: where it cannot be written; one that was there before is unharmed
    """

    def load(self, name: str | os.PathLike) -> Learner:
        """Load the weights that `save` stored under a name; nothing changes unless all of them fit.

    Args:
        name: as for `save`

    Returns:
        this learner

    Raises:
        FileNotFoundError: where there is no such checkpoint; it lists those there are
        ValueError: for a pickle, a damaged file, and the weights of another model
    """

    def _resume(self, guard: StepGuard, start_epoch: int) -> None:
        """Put optimizer, what trains, history and random states where a checkpoint left them."""

    def forward(self, xb: Tensor) -> Tensor:
        """The model's logits for a batch.

    Args:
        xb: images [B, 3, H, W], 0 to 1

    Returns:
        [B, classes]

    Raises:
        ValueError: where the model fails, or gives anything else
    """

    def train_step(self, xb: Tensor, yb: Tensor) -> Tensor:
        """Train on one batch, without waiting for the device.

    Where the loss, a gradient or a BatchNorm statistic is not finite, weights stay as they were, at
    this step and all later ones, until a `LossReader` has noticed.

    Args:
        xb: images [B, 3, H, W], 0 to 1
        yb: class numbers [B]

    Returns:
        the loss before the step, a number on the device
    """

    def _step_guard(self) -> StepGuard:
        """What guards the optimizer's steps; both are made where there are none."""

    def get_logits(self, dl: Any=None) -> tuple[Tensor, Any]:
        """The model's logits for every image of a loader, unaugmented and in order.

    Args:
        dl: a loader, the training loader too; None takes the validation images

    Returns:
        logits [N, classes] and targets [N] (None where the loader has none), both on the CPU
    """

    def validate(self, dl: Any=None) -> tuple[float, ...]:
        """Loss and metrics over all images of a loader at once.

    Args:
        dl: a loader with labels, the training loader too; None takes the validation images

    Returns:
        the loss, then a value per metric
    """

    def _train_epoch(self, epoch: int, hyperparams: Callable, progress: Progress) -> float:
        """Train on every batch once; returns the mean loss."""

    def _fit_epoch(self, epoch: int, hyperparams: Callable, progress: Progress) -> NamedTuple:
        """Train and validate for one epoch; returns its row of the history."""

    def _fit_epochs(self, epochs: range, hyperparams: Callable, checkpoint: str | None) -> None:
        """Train and validate epoch by epoch; leave everything in order, whatever ends it."""

    def fit(self, n_epoch: int, lr: LearningRate=0.001, schedule: Callable[[float], float] | None=None, momentum: Callable[[float], float] | None=None, start_epoch: int=0, checkpoint: str | None=None, wd: float | None=None) -> None:
        """Train for some epochs, at a constant learning rate or along a schedule.

    Args:
        n_epoch: passes over the training images
        lr: one for all; slice(first, last); slice(last); or one per layer group
        schedule: progress 0 to 1 -> factor on the learning rates
        momentum: progress 0 to 1 -> momentum
        start_epoch: go on after this many epochs of the same call, from a checkpoint
        checkpoint: save under this name after every epoch
        wd: weight decay; None keeps the optimizer's own

    Raises:
        ValueError: for bad arguments, and where model, loss or a metric does not fit, before
            anything changes
        FloatingPointError: where the loss is not finite, before it harms the weights
        torch.OutOfMemoryError: where memory runs out, with a batch size to try
        OSError: where the checkpoint cannot be saved, before anything changes
    """

    def get_features(self, dl: Any=None) -> Tensor:
        """Features of every image of a loader, in order: what goes into the last linear layer.

    Args:
        dl: a loader, the training loader too; None takes the validation images

    Returns:
        [N, features], float32, on the CPU

    Raises:
        ValueError: where the network has no linear layer
    """

    def tta(self, dl: ImageLoader | None=None, n: int=4, beta: float=0.25) -> tuple[Tensor, Any]:
        """Predict each image and augmented views of it, and average: test-time augmentation.

    Args:
        dl: a loader of images; None takes the validation images
        n: views of each image, augmented as the training images are
        beta: weight of the plain prediction; the views share the rest, as in fastai

    Returns:
        probabilities [N, classes] and targets [N], as `get_preds`

    Raises:
        ValueError: for bad arguments, and where the training images are not augmented
    """
