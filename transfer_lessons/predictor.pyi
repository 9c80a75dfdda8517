"""`Predictor`: a network with its class names, its image size and its threshold, and nothing of its training."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from .image_files import ImageSource
from .losses import sigmoid
from .losses import softmax
from PIL import Image
from collections.abc import Callable
from collections.abc import Iterable
from pathlib import Path
from torch import Tensor
from torch import nn
from typing import Any
from typing import NamedTuple
import os
import torch

__all__ = ['ACTIVATIONS', 'BATCH', 'Prediction', 'Predictor']

class Prediction(NamedTuple):
    """What a network says of one image."""
    label: str
    confidence: float
    probabilities: dict[str, float]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {'softmax': softmax, 'sigmoid': sigmoid, 'exponential': torch.exp}
BATCH = 64
_ONE_IMAGE = str | os.PathLike | bytes | bytearray | memoryview | Image.Image

def _is_one_image(source: Any) -> bool:
    """Whether this is an image, and no list of images."""

class Predictor:
    """A trained network that predicts, without its training data.

    Args:
        model: images [B, 3, S, S] in 0 to 1 -> logits [B, classes]; it is put into evaluation mode
        info: what an export holds beside the weights; `vocab`, `size`, `threshold`, `activation`
        device: where it runs
    """
    device: torch.device
    memory_format: torch.memory_format
    model: Any
    info: dict[str, Any]
    activation: Any
    vocab: list[str]
    size: int
    threshold: float

    def __init__(self, model: nn.Module, info: dict[str, Any], device: torch.device):
        ...

    def get_probabilities(self, images: Tensor) -> Tensor:
        """Probabilities [B, classes], on the CPU.

        Args:
            images: uint8 [B, 3, size, size]
        """

    def __repr__(self) -> str:
        ...

    def model_card(self) -> str:
        """Say in Markdown what the model is, how it was measured, and its limits.

    What only its author knows, such as where the images came from, is left as a question.
    """

    def export_onnx(self, folder: str | os.PathLike) -> Path:
        """Write a folder that predicts without PyTorch: model.onnx, preprocess.py and README.md.

    The network takes squares as `preprocess.read_square` gives them, uint8 [N, size, size, 3], and
    gives probabilities [N, classes]; they agree with the predictor's to 1e-4.

    Args:
        folder: where to; made where it is missing

    Returns:
        the ONNX file

    Raises:
        ImportError: where onnx or onnxscript is not installed
        ValueError: for a network that cannot be written so, or that gives something else then
        OSError: where the folder cannot be written, before the work begins
    """

    def predict(self, images: ImageSource | Iterable[ImageSource]) -> Any:
        """Predict the class of one image, or of each of many.

    Args:
        images: an image file, its content, a Pillow image, an array [H, W, 3] or [H, W]; or a
            list of such

    Returns:
        a `Prediction`, or a list of them

    Raises:
        ImageError: for an image that cannot be used; names it, the reason and the fix
    """

    def describe(self, prediction: Prediction) -> str:
        """Say a prediction in words: "animal (87 %)", or "not sure" below the threshold.

    Args:
        prediction: of `predict`
    """

    def _predict_all(self, sources: list) -> list[Prediction]:
        """A prediction for each image, batch by batch."""

    def _prediction(self, row: Tensor) -> Prediction:
        """Name the probabilities of one image."""
