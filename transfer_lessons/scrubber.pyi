"""The learning-rate scrubber: a self-contained page over the curves of a sweep, and one button that asks Python."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .sweep_result import Sweep
from PIL import Image
from collections.abc import Sequence
from importlib import resources
from matplotlib.axes import Axes
from torch import Tensor
from typing import Any
import ipywidgets as widgets
import numpy as np

__all__ = ['BLUE', 'ORANGE', 'GREY', 'format_lr', 'scrubber_data', 'image_bytes', 'widget_view', 'close_on_rerun', 'LRScrubber']

def format_lr(lr: float) -> str:
    """A learning rate in three digits, such as 3.16e-3."""

def _rounded(values: Tensor) -> list | float | None:
    """Nested lists of numbers in five digits, as JSON takes them; None for NaN and infinity."""

def _loss_axis(sweep: Sweep, start_loss: float) -> dict[str, Any]:
    """The range, the ticks and the scale of a scrubber's loss axis."""

def _finite_losses(sweep: Sweep) -> np.ndarray:
    ...

def _start_loss(sweep: Sweep) -> float:
    """The validation loss before training; where it is not finite, a training loss, or 1."""

def _three_digits(values: Sequence[float]) -> list[float]:
    ...

def _percent(error: float | None) -> str:
    """An error rate, or a dash where the run had none."""

def _described(sweep: Sweep, error: float) -> str:
    """An error rate with its interval."""

def _error_verdicts(sweep: Sweep) -> list[str]:
    """For each learning rate the verdict by error rate: good within the lowest one's interval."""

def _gain(fraction: float) -> str:
    ...

def _reasons(sweep: Sweep, start_loss: float) -> list[list[str]]:
    """For each learning rate the verdict by loss, that by error rate, and why."""

def scrubber_data(sweep: Sweep, start: float | None=None, quiz: bool=False) -> dict[str, Any]:
    """All that a scrubber shows, as JSON has it: text, finite numbers, None, lists.

    Args:
        sweep: as `sweep_lrs` returns it
        start: the learning rate shown first; None: the one with the lowest validation loss, or,
            in a quiz, one at random
        quiz: hide the curves until the learner has predicted

    Returns:
        what `render` in scrubber.js takes
    """
BLUE = '#2b8bd1'
ORANGE = '#e06c15'
GREY = '0.5'

def _draw_scrubber(data: dict[str, Any], ax: Axes) -> None:
    """The first view of a scrubber as a plot, for pages that run no script."""

def image_bytes(image: Image.Image, file_format: str='png', **options: Any) -> bytes:
    """An image as the bytes of a file.

    Args:
        image: any Pillow image
        file_format: as Pillow names it
        **options: of Pillow's `save`
    """

def widget_view(widget: widgets.Widget) -> dict[str, Any]:
    """What a notebook needs to show a widget, in a form that ipywidgets 7 and 8 both read."""
_opened: dict[str, dict[int, list[widgets.Widget]]] = {}

def _with_parts(widget: widgets.Widget) -> list[widgets.Widget]:
    """A widget and all widgets that exist only for it."""

def close_on_rerun(widget: widgets.Widget) -> None:
    """Close what an earlier run of this cell opened; the next run will close this widget."""
_SCRIPT = resources.files('transfer_lessons').joinpath('scrubber.js').read_text(encoding='utf-8')

class LRScrubber:
    """Drag the learning rate and see what training with it led to: every tick is a real run.

    With a kernel, *Train here* trains at one more learning rate and adds its curve.

    Args:
        sweep: as `sweep_lrs` returns it
        start: the learning rate shown first; None: the one with the lowest validation loss, or,
            in a quiz, one at random
        quiz: hide the curves until the learner has predicted: too low, good or too high
    """
    sweep: Sweep
    data: dict[str, Any]
    png: bytes
    alt: str
    quiz: bool
    shown_at: Any
    slider: Any
    button: Any
    box: Any

    def __init__(self, sweep: Sweep, start: float | None=None, quiz: bool=False):
        ...

    def _repr_mimebundle_(self, include: Sequence[str] | None=None, exclude: Sequence[str] | None=None) -> tuple[dict, dict]:
        ...

    def show(self, sweep: Sweep, start: float | None=None) -> None:
        """Take over a sweep: its numbers, and the static image of its first view."""

    def train_here(self, button: Any=None) -> None:
        """Train at the learning rate that is set, and show it among the others."""

    def _repr_html_(self) -> str:
        ...

    def _ipython_display_(self) -> None:
        ...
_START = '\nconst near = document.currentScript?.parentNode;\nconst root = near?.querySelector(".tl-scrubber") ? near : document;\nconst wake = el => {\n  if (el && !el.tlIsLive) render({data: JSON.parse(el.dataset.run), el});\n};\nroot.querySelectorAll(".tl-scrubber").forEach(wake);\nfor (const kind of ["pointerover", "focusin"]) {\n  document.addEventListener(kind, event => wake(event.target.closest?.(".tl-scrubber")));\n}\n'
