"""Training on cached activations against fastai's frozen training, on the same photographs."""
import tempfile
import time
from importlib.util import find_spec

import limits
import torch
from photographs import PHOTOGRAPHS, choose, fastai_loaders
from torch import nn
from torchvision.models import resnet18

from transfer_lessons.backbones import DEFAULT_ARCH, vision_model
from transfer_lessons.freezing import freeze
from transfer_lessons.frozen_body import FrozenBody
from transfer_lessons.learner import Learner, vision_learner
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.lr_finder import LRFind  # noqa: F401  it gives a learner lr_find
from transfer_lessons.precompute import PrecomputedLearner  # noqa: F401  and this, precompute

TRAIN, VALID, SIZE, BATCH, EPOCHS, RATE = 1024, 256, 112, 64, 3, 3e-3
COUNTS = 1000, 2000, 4317  # photographs to cache: the time should grow with them


def seconds(function, *arguments) -> float:
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def loaders(files, is_valid) -> ImageDataLoaders:
    return ImageDataLoaders(files, [file.parent.name for file in files], is_valid, size=SIZE,
                            bs=BATCH, augment=False)


def fastai_learner(files, is_valid, network):
    """fastai's learner over the same network and weights, its body frozen."""
    from fastai.vision.all import Learner as FastaiLearner
    from fastai.vision.all import error_rate, params, set_seed
    set_seed(0)  # its loaders shuffle by Python's random numbers too
    dls = fastai_loaders(files, is_valid, SIZE, BATCH)
    torch.manual_seed(0)
    model = vision_model(network, len(dls.vocab), pretrained=network == DEFAULT_ARCH)
    def groups(model: nn.Module) -> list:
        return [params(model[0]), params(model[1])]
    learn = FastaiLearner(dls, model, metrics=error_rate, splitter=groups,
                          path=tempfile.mkdtemp())  # lr_find writes there
    learn.freeze()
    return learn


def compare(network) -> None:
    """An epoch, three epochs with the caching, and lr_find; resnet18 is randomly initialised."""
    files, is_valid = choose(TRAIN, VALID)
    dls = loaders(files, is_valid)
    torch.manual_seed(0)
    original = Learner(dls, vision_model(network, len(dls.vocab), network == DEFAULT_ARCH))
    freeze(original.model)
    began = time.perf_counter()
    ours = original.precompute()
    caching = time.perf_counter() - began
    training = seconds(ours.fit_one_cycle, EPOCHS, RATE)
    loss, error = original.validate()
    finding = min(seconds(ours.lr_find) for _ in range(5))  # short: one run measures the noise
    name = getattr(network, "__name__", network)
    print(f"{name}, {TRAIN} + {VALID} photographs of {SIZE} px, batches of {BATCH}: caching "
          f"{caching:.1f} s, head epoch {training / EPOCHS:.3f} s, lr_find {finding:.2f} s")
    if find_spec("fastai") is None:
        print("  no comparison: fastai is not installed")
        return
    theirs = fastai_learner(files, is_valid, network)
    with theirs.no_bar(), theirs.no_logging():
        their_training = seconds(theirs.fit_one_cycle, EPOCHS, RATE)
        their_error = float(theirs.validate()[1])
        their_finding = seconds(lambda: theirs.lr_find(show_plot=False))
    print(f"  fastai: epoch {their_training / EPOCHS:.1f} s, lr_find {their_finding:.1f} s")
    limits.at_least("head epoch, times faster", their_training / training, 50)
    limits.at_least(f"caching and {EPOCHS} epochs, times faster",
                    their_training / (caching + training), 3)
    limits.at_most(f"error, fastai's {their_error:.3f}", error, their_error)
    limits.at_least("lr_find, times faster", their_finding / finding, 100)


def cache(n: int) -> None:
    """Time of caching n photographs' activations, after a first batch."""
    files, is_valid = choose(n - BATCH, BATCH)
    learn = vision_learner(loaders(files, is_valid))
    next(FrozenBody(learn.model[0]).activations(learn.dls.train))
    began = time.perf_counter()
    learn.precompute()
    took = time.perf_counter() - began
    print(f"{n} photographs cached in {took:.1f} s, {1e3 * took / n:.2f} ms each", flush=True)


def main() -> None:
    if not PHOTOGRAPHS.is_dir():
        print(f"skipped: no photographs in {PHOTOGRAPHS}")
        return
    compare(DEFAULT_ARCH)
    compare(resnet18)
    for n in COUNTS:
        cache(n)


if __name__ == "__main__":
    main()
    limits.end()
