"""Tables, device, argument checks, random states, `show_images`, progress, intervals."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from PIL import Image
from collections import namedtuple
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from torch import Tensor
from torch import nn
from typing import NamedTuple
import contextlib
import matplotlib.pyplot as plt
import torch

__all__ = ['PairedComparison', 'Table', 'show_images', 'short_name', 'warn_caller', 'default_device', 'check_count', 'check_fraction', 'check_positive', 'wilson_interval', 'describe_error', 'paired_comparison', 'defer_interrupts', 'preserve_training_mode', 'rng_states', 'Progress', 'plot_png']

class Table(list):
    """A list of named tuples that a notebook shows as a table."""

    def cells(self) -> list[list[str]]:
        """The table as text, the names of the columns first."""

    def _repr_html_(self) -> str:
        ...

    def __repr__(self) -> str:
        ...

def show_images(pictures: Sequence[Tensor | Image.Image], titles: Sequence[str]=(), columns: int=4, figsize: tuple[float, float] | None=None) -> None:
    """Draw pictures in a grid.

    Args:
        pictures: tensors [3, H, W] in 0 to 1, or Pillow images
        titles: drawn as they are, `$` and all
        columns: pictures a row
        figsize: inches
    """

def short_name(name: str, longest: int=24) -> str:
    """A name as a plot can draw it: not too long, without the broken characters of some files."""

def warn_caller(message: str) -> None:
    """Warn at the line of the caller's own code, however deep in the library it is called."""

def default_device(name: str | torch.device | None=None, quiet: bool=False) -> torch.device:
    """The device to train on; where the one asked for is missing, the CPU, and it says so.

    Args:
        name: "cuda", "mps", "cpu"; None takes the fastest present
        quiet: say nothing about the choice
    """

def check_count(name: str, value: int, minimum: int=1) -> None:
    """Raise `ValueError` for an argument that is no whole number, or one below the minimum."""

def check_fraction(name: str, value: float) -> None:
    """Raise `ValueError` for an argument that is no number from 0 to 1."""

def check_positive(**given: float) -> None:
    """Raise `ValueError` for a named argument that is no finite number above 0."""

def wilson_interval(n_wrong: int, n: int) -> tuple[float, float]:
    """95 % confidence interval of an error rate (Wilson 1927, score interval).

    Args:
        n_wrong: how many of the images were predicted wrongly
        n: how many images there were

    Returns:
        lower and upper end, fractions from 0 to 1

    Raises:
        ValueError: where there are no images, or more mistakes than images
    """

def describe_error(n_wrong: int, n: int) -> str:
    """An error rate with its counts and its 95 % interval, as a sentence's end.

    Args:
        n_wrong: how many of the images were predicted wrongly
        n: how many images there were

    Returns:
        such as "26 % (42 of 163; 95 % interval 20 to 33 %)"
    """
PairedComparison = namedtuple('PairedComparison', 'a_only b_only p_value')

def paired_comparison(correct_a: Iterable[bool], correct_b: Iterable[bool]) -> PairedComparison:
    """Compare two models on the same images: McNemar's exact test (McNemar 1947).

    Args:
        correct_a: for each image, whether the first model predicts it correctly
        correct_b: the same for the second model, in the same order

    Returns:
        images that only the first gets right, only the second, and the two-sided p-value: how
        often so uneven a split, or a more uneven one, would occur if the models were equally good

    Raises:
        ValueError: where the two have different lengths
    """

@contextlib.contextmanager
def defer_interrupts() -> Iterator[None]:
    """Ctrl-C waits until the block is through: what is inside happens as a whole or not at all."""

@contextlib.contextmanager
def preserve_training_mode(model: nn.Module) -> Iterator[None]:
    """Whatever happens inside, every layer ends in the mode (training or not) it was in."""

def rng_states(generators: Iterable[torch.Generator]) -> list[tuple[Callable, object]]:
    """The state of every random number generator: a function that sets it, and the state.

    Python's, numpy's and those given; on Apple's GPU torch's own too.
    """

class Progress:
    """Shows a run as it goes: a table of epochs and, while one is under way, how far it is."""
    notebook: bool

    def __init__(self, n_epoch: int=1):
        ...

    def start(self, epoch: int, n_steps: int) -> None:
        """An epoch begins."""

    def step(self) -> None:
        """A step is made; four times a second it shows."""

    def row(self, row: NamedTuple) -> None:
        """An epoch is through."""

    def show(self, where: str='') -> None:
        """The table, and where the run is; when it is over, nothing but the table."""

def plot_png(plot: Callable[[plt.Axes], None], figsize: tuple[float, float]=(7, 3.5)) -> bytes:
    """Draw on a figure that no window shows and nobody has to close.

    Args:
        plot: draws on the axes it is given
        figsize: inches

    Returns:
        the bytes of a PNG file
    """
