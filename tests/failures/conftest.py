"""Small folders of photographs to damage, for the tests of this folder."""
import numpy as np
import pytest
from PIL import Image

import transfer_lessons.all  # noqa: F401  adds every method
from transfer_lessons.loaders import ImageDataLoaders


@pytest.fixture
def photo():
    """Makes images of noise: no two are alike."""
    generator = np.random.default_rng(0)
    def make(width=40, height=40) -> Image.Image:
        return Image.fromarray(generator.integers(0, 255, (height, width, 3), dtype=np.uint8))
    return make


@pytest.fixture
def photos(tmp_path, photo):
    """A folder with ten photographs of each of two classes."""
    root = tmp_path / "photos"
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for number in range(10):
            photo().save(root / label / f"{number}.png")
    return root


@pytest.fixture
def load():
    """Loaders over a folder, small enough for a test."""
    def from_folder(root, **options) -> ImageDataLoaders:
        options = {"size": 16, "bs": 4, "augment": False, "device": "cpu", **options}
        return ImageDataLoaders.from_folder(root, **options)
    return from_folder
