"""Copies of images: the same content under any name, and nearly the same image."""
import hashlib

import numpy as np
from PIL import Image

from transfer_lessons.copies import content_digest


def noise(seed: int, width: int = 24, height: int = 16) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_the_digest_is_that_of_the_content_whatever_the_name(tmp_path):
    noise(0).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.jpg").write_bytes(content)
    assert content_digest(tmp_path / "a.png") == content_digest(tmp_path / "b.jpg") == \
        hashlib.sha256(content).digest()
    assert content_digest(noise(0)) == hashlib.sha256(noise(0).tobytes()).digest()
    assert content_digest(noise(0)) != content_digest(noise(1))
