"""The base class of the explorers that ask Python: controls, and an image that follows them."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from PIL import Image
from PIL import ImageFont
from collections.abc import Sequence
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from typing import Any
import ipywidgets as widgets
import threading

__all__ = ['Explorer', 'messages_wait', 'draw_moved', 'plot_font', 'few_ticks', 'description', 'read_description', 'slider', 'class_label']
_drawing = threading.RLock()
_KEYS = '<img src="data:," alt="" hidden onerror="window.tlKeys ??=\n[\'focusin\', \'keyup\'].map(kind => document.addEventListener(kind, ({target}) => {\n  if (!target.closest?.(\'.tl-explorer\')) return;\n  target.setAttribute(\'data-lm-suppress-shortcuts\', \'true\');\n  const slider = target.matches(\'[class*=slider-handle], .noUi-handle\')\n    ? target.closest(\'.widget-slider\') : null;\n  if (!slider) return;\n  target.setAttribute(\'role\', \'slider\');\n  target.setAttribute(\'aria-label\', slider.querySelector(\'.widget-label\').textContent);\n  target.setAttribute(\'aria-valuetext\', slider.querySelector(\'.widget-readout\').textContent);\n}))">'

class Explorer:
    """Controls and an image that follows them: `frame` draws what stays, `draw` the rest.

    Args:
        **controls: widgets with a value, by the name that `draw` has for it
    """
    figsize = (7.2, 3.0)
    file_format = 'png'
    invitation = 'Run this cell to see it move'
    rendered: Any
    sentence: Any
    drawn_at: Any
    controls: Any
    is_scheduled: bool
    figure: Any
    canvas: Any
    background: Any
    places: Any
    frame_artists: Any
    image: Any
    description: Any
    box: Any

    def __init__(self, **controls: widgets.Widget):
        ...

    def frame(self, figure: Figure) -> None:
        """Draw what stays for all values: axes, titles, limits. Animated artists move."""

    def draw(self, figure: Figure, **values: Any) -> str:
        """Add what belongs to the controls' values; return a sentence on what the image shows."""

    def _artists(self) -> list[Artist]:
        """Everything that now stands in the figure and in the frame's axes."""

    def paint(self, **values: Any) -> tuple[Image.Image, str]:
        """Make the image for these values: the frame, and over it what `draw` adds.

    Args:
        **values: of the controls

    Returns:
        the image, RGB, and a sentence on what it shows
    """

    def redraw(self) -> None:
        """Make the image for the values that the controls have now, and show it."""

    def changed(self, change: Any=None) -> None:
        """A control moved: draw soon, once for all the moves that came in by then."""

    def static_image(self) -> Image.Image:
        """The image for a page without a kernel: the first view, and a line on what could move."""

    def _repr_mimebundle_(self, include: Sequence[str] | None=None, exclude: Sequence[str] | None=None) -> tuple[dict, dict]:
        ...
_moved: list[Explorer] = []

def messages_wait() -> bool:
    """Whether the page has already sent this kernel more than it is handling now."""

def draw_moved() -> None:
    """Draw what has moved; while newer messages wait, five times a second and no more."""

def plot_font(size: int) -> ImageFont.FreeTypeFont:
    """The font of Matplotlib's plots, its size in pixels."""

def few_ticks(figure: Figure, n: int, left: float=0.09) -> list[Axes]:
    """Axes that are quick to draw: placed by hand, with few ticks.

    Args:
        figure: where to place them
        n: how many
        left: margin for labels, as a fraction of the width

    Returns:
        n axes, side by side
    """

def description(text: str) -> str:
    """A text as a control's description, which ipywidgets 7 reads as HTML with formulas in it."""

def read_description(control: widgets.Widget) -> str:
    """The text that stands beside a control."""

def slider(text: str, value: float, low: float, high: float, step: float=0.05, log: bool=False) -> widgets.Widget:
    """A slider; with `log` its ends are powers of ten."""

def class_label(name: str) -> str:
    """A class name, short enough for the axis of an explorer."""
