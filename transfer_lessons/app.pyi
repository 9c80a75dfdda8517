"""Upload an image in a notebook, and see what an exported model says of it, and how sure it is."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .explorers import Explorer
from .image_files import ImageSource
from .predictor import Prediction
from .predictor import Predictor
from PIL import Image
from matplotlib.figure import Figure
from typing import Any
from typing import NamedTuple

__all__ = ['MAX_BYTES', 'Answer', 'answer', 'read_upload', 'PredictApp']
MAX_BYTES = 20 * 2 ** 20

class Answer(NamedTuple):
    """What is said of one image; `prediction` and `seen` are None where it was refused."""
    sentence: str
    prediction: Prediction | None
    seen: Image.Image | None

def answer(predictor: Predictor, source: ImageSource, name: str | None=None) -> Answer:
    """Say what a model sees in an image, or why the image is refused.

    Args:
        predictor: as `load_predictor` returns it
        source: a path, the bytes of a file, or an image in memory
        name: what the sentence calls it; by default its file name

    Returns:
        a sentence and, where the image is not refused, the prediction and what the network saw
    """

def _check_bytes(source: Any, name: str) -> None:
    """Raise for a file that is too large, before anything is decoded."""

def read_upload(value: Any) -> tuple[str, bytes] | None:
    """Name and content of the last file that an upload button was given; None for no file.

    Args:
        value: of `widgets.FileUpload`, in ipywidgets 7 or 8
    """

class PredictApp(Explorer):
    """Upload an image, and see what an exported model says of it, and how sure it is.

    Args:
        predictor: as `load_predictor` returns it
        source: an image to start with; None waits for the first upload
        n_classes: how many classes are shown, the likeliest first
    """
    figsize = (7.2, 2.9)
    file_format = 'jpeg'
    invitation = 'Run this cell to use it'
    predictor: Any
    n_classes: int
    source: ImageSource | None

    def __init__(self, predictor: Predictor, source: ImageSource | None=None, n_classes: int=5):
        ...

    def say(self, upload: Any) -> Answer:
        """What is said of an upload; before the first one, of the image to start with."""

    def frame(self, figure: Figure) -> None:
        """Where the image stands, and an axis of confidence beside it."""

    def draw(self, figure: Figure, upload: Any) -> str:
        """Add the image and the likeliest classes, each with a bar; or nothing."""
