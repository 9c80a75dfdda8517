"""A page that needs no kernel: scrub the learning rate and see what training with it came to."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .sweep import Sweep
from PIL import Image
from collections.abc import Sequence
from importlib import resources
from matplotlib.axes import Axes
from torch import Tensor
from typing import Any
import ipywidgets as widgets

__all__ = ['classify_lrs', 'scrubber_data', 'close_on_rerun', 'LRScrubber']

def classify_lrs(lrs: Sequence[float], start_loss: float, final_loss: Sequence[float], share: float=0.9) -> list[tuple[str, float]]:
    """What became of every rate, against the best; NaN, and worse than no training, is too high.

    Args:
        lrs: rates, rising
        start_loss: before training
        final_loss: one a rate, on the validation pictures; NaN where it diverged
        share: a good rate brings the loss down by this share of what the best rate does

    Returns:
        "too low", "good" or "too high", and the share it got, one a rate
    """

def _number(lr: float) -> str:
    """A rate in three digits, such as 3.16e-3."""

def _rounded(values: Tensor) -> list:
    """Nested lists of five digits a number, which JSON takes; None where it is no finite number."""

def scrubber_data(sweep: Sweep, start: float | None=None) -> dict[str, Any]:
    """All that a scrubber shows, rates rising: numbers, names, suggestions and verdicts.

    Args:
        sweep: what `sweep_lrs` gave
        start: the rate shown first; None: that of the lowest loss

    Returns:
        only what JSON has: text, finite numbers, None, lists
    """
_BLUE, _ORANGE, _GREY = ('#2b8bd1', '#e06c15', '0.5')

def _view(widget: widgets.Widget) -> dict[str, Any]:
    """What a notebook needs to show a widget, whatever the version of ipywidgets."""

def _draw_scrubber(data: dict[str, Any], ax: Axes) -> None:
    """The first view of a scrubber as a plot, for pages that run no script."""

def _file(picture: Image.Image, kind: str='png', **options: Any) -> bytes:
    """A picture as a file of this kind."""
_opened: dict[str, tuple[int, list[widgets.Widget]]] = {}

def _family(widget: widgets.Widget) -> list[widgets.Widget]:
    """A widget and all that exists only for it."""

def close_on_rerun(widget: widgets.Widget) -> None:
    """Close what an earlier run of this cell opened; the next run will close this widget."""
_SCRIPT = resources.files('transfer_lessons').joinpath('scrubber.js').read_text(encoding='utf-8')

class LRScrubber:
    """Drag the learning rate and see what training with it came to: every tick is a real run.

    With a kernel, *train here* runs one more rate and adds its curve.

    Args:
        sweep: what `sweep_lrs` gave
        start: the rate shown first; None: that of the lowest loss
    """
    shown_at: Any
    rate: Any
    button: Any
    box: Any

    def __init__(self, sweep: Sweep, start: float | None=None):
        ...

    def _repr_mimebundle_(self, include: Sequence[str] | None=None, exclude: Sequence[str] | None=None) -> tuple[dict, dict]:
        ...

    def show(self, sweep: Sweep, start: float | None=None) -> None:
        """Take over a sweep: its numbers, and the picture of its first view."""

    def train_here(self, button: Any=None) -> None:
        """Train at the rate that is set, and show it among the others."""

    def _repr_html_(self) -> str:
        ...

    def _ipython_display_(self) -> None:
        ...
