"""Copies of images: the same content under any name, and nearly the same image."""
import hashlib
import io

import imagehash
import numpy as np
import pytest
from PIL import Image

from transfer_lessons.copies import content_digest, list_near_copies, near_copies
from transfer_lessons.pixels import ImageError


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


def changed(image: Image.Image) -> list[Image.Image]:
    """The same photo as other programs leave it."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    half = image.resize((image.width // 2, image.height // 2))
    return [Image.open(buffer), half, image.point(lambda level: min(255, 1.1 * level))]


@pytest.mark.case("near copies: saved again, half the size, brighter", "one group; others stay apart")
def test_near_copies_are_in_one_group_and_others_are_not():
    photos = [noise(seed, 12, 9).resize((240, 180), Image.Resampling.BICUBIC) for seed in range(3)]
    sources = [*photos, *changed(photos[1])]
    assert near_copies(sources) == [0, 1, 2, 1, 1, 1]
    assert near_copies(sources[::-1]) == [0, 0, 0, 3, 0, 5]
    pairs = list_near_copies(sources)
    assert len(pairs) == 3 and all(pair.image in sources[3:] for pair in pairs)
    assert [pair.distance for pair in pairs] == sorted(pair.distance for pair in pairs)


def test_the_distances_are_those_of_imagehash(drawings):
    images = drawings[0]
    hashes = [imagehash.dhash(image, hash_size=16) for image in images]
    first = near_copies(images)
    for i in range(len(images)):
        for j in range(i):
            if hashes[i] - hashes[j] <= 12:
                assert first[i] == first[j], "no two near copies are in different groups"
    for pair in list_near_copies(images):
        one, other = (imagehash.dhash(image, hash_size=16) for image in pair[:2])
        assert one - other == pair.distance <= 12


def test_plain_images_of_different_colours_are_no_copies():
    colours = ["red", "blue", "red", "black", "white"]
    assert near_copies([Image.new("RGB", (32, 32), colour) for colour in colours]) == [0, 1, 0, 3, 4]
    assert near_copies([]) == [] and list_near_copies([]) == []


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for use in (content_digest, lambda file: near_copies([file])):
        with pytest.raises(ImageError, match="gone.png: it cannot be read"):
            use(tmp_path / "gone.png")
    with pytest.raises(ValueError, match="max_distance must be a whole number"):
        near_copies([noise(0)], max_distance=-1)
