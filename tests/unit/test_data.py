"""From images to batches: a split that holds, batches that depend on the seed alone, no traces."""
import gc
import hashlib
import multiprocessing
import os
import random
import re
import signal
import zlib
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps
from torch.testing import assert_close
from torch.utils.data import get_worker_info

from transfer_lessons.copies import content_digest
from transfer_lessons.data import (
    ImageDataset,
    ImageLoader,
    Normalize,
    augment_batch,
    split_by_content,
    square,
)
from transfer_lessons.image_files import ImageError, get_image_files, load_image
from transfer_lessons.loaders import ImageDataLoaders

FLOWERS = Path(__file__).parents[2].parent / "shared" / "data" / "flowers"
CPU = torch.device("cpu")
quick = settings(deadline=None, max_examples=60,
                 suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(seed: int, width: int = 24, height: int = 16) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def fill(folder: Path, counts: dict[str, int], start: int = 0) -> Path:
    """A folder of class folders of different images."""
    for label, count in counts.items():
        (folder / label).mkdir(parents=True)
        for number in range(start, start + count):
            seed = zlib.crc32(f"{label} {number}".encode(errors="replace"))
            noise(seed).save(folder / label / f"{number:03}.png")
        start += count
    return folder


def from_folder(folder: Path, **options) -> ImageDataLoaders:
    return ImageDataLoaders.from_folder(folder, **{"size": 16, "bs": 4, "device": "cpu", **options})


def digests_of(part: ImageLoader) -> set[bytes]:
    return {content_digest(source) for source in part.dataset.sources}


def smooth(width: int = 90, height: int = 60) -> Image.Image:
    return noise(0, 9, 6).resize((width, height), Image.Resampling.BICUBIC)


# Squares and items

@pytest.mark.parametrize("crop_position, box", [(0, (0, 0, 40, 40)), (0.5, (20, 0, 60, 40)),
                                                (1, (40, 0, 80, 40))])
def test_a_square_is_what_pillow_crops_and_scales(crop_position, box):
    wide, small = smooth(80, 40), (20, 20)
    expected = wide.crop(box).resize(small, Image.Resampling.BILINEAR)
    difference = np.asarray(square(wide, 20, crop_position), int) - np.asarray(expected, int)
    assert np.abs(difference).mean() < 3
    assert square(wide, 40, crop_position).tobytes() == wide.crop(box).tobytes()


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (90, 60)])
@pytest.mark.filterwarnings("ignore:.*pixels")
def test_any_shape_becomes_a_square_of_bytes(tmp_path, size):
    Image.new("RGB", size, "red").save(tmp_path / "image.png")
    dataset = ImageDataset([tmp_path / "image.png"], [7], 16)
    pixels, target = dataset[0]
    assert pixels.shape == (3, 16, 16) and pixels.dtype == torch.uint8 and target == 7
    assert pixels[0].min() == 255 and pixels[1:].max() == 0


def test_an_item_can_be_asked_for_with_the_place_of_its_crop():
    dataset = ImageDataset([smooth(80, 40)], [0], 40)
    for crop_position in (0, 0.3, 1):
        expected = np.array(square(smooth(80, 40), 40, crop_position))
        assert np.array_equal(dataset[0, crop_position][0].permute(1, 2, 0), expected)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_damaged_image_met_in_training_is_named(tmp_path, num_workers):
    dls = from_folder(fill(tmp_path, {"a": 8, "b": 8}), num_workers=num_workers)
    damaged = dls.train.dataset.sources[0]
    damaged.write_bytes(damaged.read_bytes()[:90])
    with pytest.raises(ImageError, match=re.escape(str(damaged))) as caught:
        list(dls.train)
    gc.collect()
    assert not multiprocessing.active_children(), "the processes that read images are still there"
    assert caught.value is not None


# Folders and names

def test_an_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises(ValueError, match=re.escape(
            f"No images in {tmp_path}; expected {tmp_path}/<class>/*.jpg")):
        from_folder(tmp_path)
    with pytest.raises(ValueError, match=f"No images in {re.escape(str(tmp_path))}"):
        ImageDataLoaders.from_name_re(tmp_path, None, r"(.)")
    with pytest.raises(ValueError, match="There is no folder .*gone"):
        from_folder(tmp_path / "gone")


def test_one_class_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"Only one class, \['a'\]"):
        from_folder(fill(tmp_path, {"a": 12}))


def test_fewer_images_than_a_batch_names_both_numbers_and_a_batch_size_that_works(tmp_path):
    fill(tmp_path, {"a": 10, "b": 10})
    with pytest.raises(ValueError, match=r"fewer than a batch of 64.*Try bs=") as caught:
        from_folder(tmp_path, bs=64)
    count, bs = (int(re.search(pattern, str(caught.value))[1])
                 for pattern in (r"^(\d+) training", r"bs=(\d+)"))
    dls = from_folder(tmp_path, bs=bs)
    assert len(dls.train.dataset) == count and len(dls.train) >= 1


def test_no_validation_images_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="No image is left for validation. Try a larger valid_pct"):
        from_folder(fill(tmp_path, {"a": 8, "b": 8}), valid_pct=0)


def test_a_label_out_of_range_names_label_number_of_classes_and_file(tmp_path):
    files = get_image_files(fill(tmp_path, {"a": 8, "b": 8, "c": 1}))
    labels = [file.parent.name for file in files]
    with pytest.raises(ValueError, match=r"016\.png has the label 'c'.* 2 classes \['a', 'b'\]"):
        ImageDataLoaders.from_files(files, labels, vocab=["a", "b"])
    with pytest.raises(ValueError, match="labels must hold one value per image; got 16 for 17 images"):
        ImageDataLoaders.from_files(files, labels[1:])


@pytest.mark.parametrize("options", [
    {"bs": 0}, {"bs": -4}, {"bs": "16"}, {"size": 0}, {"size": (16, 16)}, {"size": 16.5},
    {"presize": 0}, {"presize": "large"}, {"valid_pct": 20}, {"valid_pct": -0.1},
    {"valid_pct": float("nan")}])
def test_arguments_that_make_no_sense_are_refused_by_name(tmp_path, options):
    name, value = next(iter(options.items()))
    with pytest.raises(ValueError, match=re.escape(f"{name} must be ") + ".*" + re.escape(
            f"got {value!r}. Try {name}=")):
        from_folder(fill(tmp_path, {"a": 6, "b": 6}), **options)


@pytest.mark.case("arguments of the loaders", "`augment` out of range or misspelt is refused by name")
@pytest.mark.parametrize("augment, message", [
    ({"zoom": 0.5}, "zoom must be a number from 1 to 10; got 0.5. Try zoom=1.1"),
    ({"lighting": 2}, "lighting must be a fraction"), ({"flip": "no"}, "flip must be True or False"),
    ({"rotate": "10"}, "rotate must be a number"), ({"rotation": 5}, "Did you mean 'rotate'?"),
    ("strong", "augment must be True or False; got 'strong'"), (1, "augment must be True or False")])
def test_augmentation_that_makes_no_sense_is_refused_by_name(tmp_path, augment, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        from_folder(fill(tmp_path, {"a": 6, "b": 6}), augment=augment)


def test_flags_that_do_not_fit_the_images_are_refused(tmp_path):
    fill(tmp_path, {"a": 6, "b": 6})
    with pytest.raises(ValueError, match="is_valid must hold one value per image; got 3 for 12 images"):
        from_folder(tmp_path, is_valid=[True, False, True])
    with pytest.raises(ValueError, match="left to train on"):
        from_folder(tmp_path, is_valid=[True] * 12)


def test_sides_without_class_folders_are_no_classes(tmp_path):
    with pytest.raises(ValueError, match="expected .*/<class>/"):
        from_folder(fill(tmp_path, {"train": 6, "valid": 6}))


@pytest.mark.parametrize("train, valid", [("train", "valid"), ("train", "val"), ("Train", "Valid"),
                                          ("training", "validation")])
def test_folders_train_and_valid_are_the_split_and_test_is_left_alone(tmp_path, train, valid):
    for part, start in ((train, 0), (valid, 100), ("test", 200)):
        fill(tmp_path / part, {"a": 6, "b": 6}, start)
    dls = from_folder(tmp_path)
    assert dls.vocab == ["a", "b"]
    for loader, part in ((dls.train, train), (dls.valid, valid)):
        assert {file.parent.parent.name for file in loader.dataset.sources} == {part}
        assert len(loader.dataset) == 12


def test_a_folder_train_without_valid_is_split(tmp_path):
    fill(tmp_path / "train", {"a": 20, "b": 20})
    fill(tmp_path / "test", {"a": 5, "b": 5}, 100)
    dls = from_folder(tmp_path)
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 40 and len(dls.valid.dataset)


def test_a_class_may_be_called_train_and_a_warning_says_so(tmp_path):
    fill(tmp_path, {"train": 10, "valid": 10, "ship": 10})
    with pytest.warns(UserWarning, match="'train', 'valid' hold no class folders.* read as a class"):
        dls = from_folder(tmp_path)
    assert dls.vocab == ["ship", "train", "valid"]
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 30


def test_labels_from_names(tmp_path):
    for number in range(16):
        noise(number).save(tmp_path / f"{'great_dane' if number % 2 else 'Bengal'}_{number}.png")
    options = {"size": 16, "bs": 4, "device": "cpu"}
    dls = ImageDataLoaders.from_name_re(tmp_path, None, r"^(.+)_\d+.png$", **options)
    files = [str(file) for file in get_image_files(tmp_path)]
    again = ImageDataLoaders.from_name_re(tmp_path, files, r"^(.+)_\d+.png$", **options)
    for loaders in (dls, again):
        assert loaders.vocab == ["Bengal", "great_dane"]
        images = loaders.train.dataset
        assert all(Path(source).name.startswith(loaders.vocab[target])
                   for source, target in zip(images.sources, images.targets, strict=True))


@pytest.mark.parametrize("pattern, message", [
    (r"^(.+)_\d+\.jpg$", r"'\^\(\.\+\)_\\\\d\+\\\\\.jpg\$' finds no class in a_0.png"),
    (r"^a_\d", "has no group: put brackets"),
    (r"^a|^(b)", "finds no class in a_0.png"),
])
def test_a_pattern_that_finds_no_class_names_pattern_and_file(tmp_path, pattern, message):
    for name in ("a_0.png", "b_1.png"):
        noise(0).save(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        ImageDataLoaders.from_name_re(tmp_path, None, pattern)


@pytest.mark.parametrize("name, shown", [
    ("$5_bill", "$5_bill"), ("<Delete>", "<Delete>"), ("日本 犬", "日本 犬"), (" a & b", " a & b"),
    ("x" * 100, "x" * 100), ("broken \udcff", "broken \\udcff"),
], ids=["dollar", "tag", "unicode", "spaces", "long", "broken bytes"])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_any_folder_name_is_a_class(tmp_path, name, shown):
    dls = from_folder(fill(tmp_path, {name: 10, "other": 10}))
    assert shown in dls.vocab
    dls.show_batch()
    plt.gcf().canvas.draw()
    plt.close("all")


# The split

def position(digest: bytes, seed: int) -> float:
    number = hashlib.sha256(str(seed).encode() + digest).hexdigest()[:16]
    return int(number, 16) / 16**16


sizes = st.lists(st.integers(1, 40), min_size=2, max_size=4)


def classes_of(sizes: list[int]) -> tuple[list[bytes], list[str]]:
    labels = [f"class {i}" for i, size in enumerate(sizes) for _ in range(size)]
    return [f"{label}, {i}".encode() for i, label in enumerate(labels)], labels


@quick
@given(sizes=sizes, seed=st.integers(0, 99), valid_pct=st.floats(0.01, 0.9))
def test_every_class_has_an_image_to_train_on_and_if_it_can_one_to_validate(
        sizes, seed, valid_pct):
    digests, labels = classes_of(sizes)
    is_valid = split_by_content(digests, labels, valid_pct, seed)
    for label, size in zip(sorted(set(labels)), sizes, strict=True):
        flags = [flag for flag, name in zip(is_valid, labels, strict=True) if name == label]
        assert not all(flags) and (any(flags) or size == 1)


@quick
@given(sizes=sizes, seed=st.integers(0, 99), new=st.binary(min_size=32, max_size=32),
       label=st.integers(0, 5), place=st.integers(0, 200), valid_pct=st.floats(0, 1))
def test_one_file_added_moves_at_most_one_other_and_only_of_its_class(
        sizes, seed, new, label, place, valid_pct):
    digests, labels = classes_of(sizes)
    name = f"class {label % len(sizes)}"
    before = split_by_content(digests, labels, valid_pct, seed)
    place = min(place, len(digests))
    after = split_by_content([*digests[:place], new, *digests[place:]],
                             [*labels[:place], name, *labels[place:]], valid_pct, seed)
    del after[place]
    moved = [label for label, old, now in zip(labels, before, after, strict=True) if old != now]
    assert len(moved) <= 1 and set(moved) <= {name}


@quick
@given(sizes=sizes, seed=st.integers(0, 99), valid_pct=st.floats(0, 1))
def test_every_class_is_within_one_image_of_the_fraction_and_has_its_lowest_numbers(
        sizes, seed, valid_pct):
    digests, labels = classes_of(sizes)
    is_valid = split_by_content(digests, labels, valid_pct, seed)
    for name in set(labels):
        of_class = sorted((position(digest, seed), flag) for digest, label, flag
                          in zip(digests, labels, is_valid, strict=True) if label == name)
        flags = [flag for _, flag in of_class]
        assert abs(sum(flags) - valid_pct * len(flags)) <= 1
        assert flags == sorted(flags, reverse=True)


@quick
@given(sizes=sizes, seed=st.integers(0, 99), valid_pct=st.floats(0, 1), data=st.data())
def test_a_group_stays_on_one_side_and_every_class_keeps_an_image_to_train_on(
        sizes, seed, valid_pct, data):
    digests, labels = classes_of(sizes)
    numbers = st.lists(st.integers(0, 12), min_size=len(digests), max_size=len(digests))
    groups = data.draw(numbers)
    is_valid = split_by_content(digests, labels, valid_pct, seed, groups)
    assert len({(group, flag) for group, flag in zip(groups, is_valid, strict=True)}) == \
        len(set(groups))
    for name in set(labels):
        flags = [flag for flag, label in zip(is_valid, labels, strict=True) if label == name]
        assert not all(flags)


@quick
@given(sizes=sizes, seed=st.integers(0, 99), order=st.randoms(use_true_random=False))
def test_the_order_of_the_files_does_not_matter_and_copies_stay_together(sizes, seed, order):
    digests, labels = classes_of(sizes)
    chosen = dict(zip(digests, split_by_content(digests, labels, 0.2, seed), strict=True))
    pairs = list(zip(digests, labels, strict=True)) * 2
    order.shuffle(pairs)
    again = split_by_content(*zip(*pairs, strict=True), 0.2, seed)
    assert again == [chosen[digest] for digest, _ in pairs]


@pytest.mark.parametrize("valid_pct", [0.1, 0.25, 0.5])
def test_the_fraction_held_out_is_the_one_asked_for(valid_pct):
    digests, labels = classes_of([4000, 2000])
    is_valid = np.array(split_by_content(digests, labels, valid_pct))
    for part in (is_valid[:4000], is_valid[4000:]):
        assert abs(part.sum() - valid_pct * len(part)) <= 1


def test_another_seed_is_another_split():
    digests, labels = classes_of([100, 100])
    assert split_by_content(digests, labels, seed=1) != split_by_content(digests, labels, seed=2)


def test_a_file_added_to_a_folder_moves_at_most_one_other(tmp_path):
    fill(tmp_path, {"a": 40, "b": 40})
    before = set(from_folder(tmp_path).valid.dataset.sources)
    new = tmp_path / "a" / "000_new.png"
    noise(12345).save(new)
    after = set(from_folder(tmp_path).valid.dataset.sources)
    assert len((before ^ after) - {new}) <= 1


def test_a_renamed_file_stays_where_it_was(tmp_path):
    fill(tmp_path, {"a": 30, "b": 30})
    before = digests_of(from_folder(tmp_path).valid)
    for file in get_image_files(tmp_path):
        file.rename(file.with_name(f"renamed_{file.name[::-1]}.png"))
    assert digests_of(from_folder(tmp_path).valid) == before


def test_a_class_with_one_image_is_trained_on_with_a_warning_that_names_it(tmp_path):
    fill(tmp_path, {"a": 12, "b": 12, "rare": 1})
    with pytest.warns(UserWarning, match=r"\['rare'\] have images on one side") as told:
        dls = from_folder(tmp_path)
    assert dls.vocab.index("rare") in dls.train.dataset.targets
    assert dls.vocab.index("rare") not in dls.valid.dataset.targets
    assert Path(told[0].filename) == Path(__file__)


def test_copies_are_reported_and_stay_on_one_side(tmp_path):
    fill(tmp_path, {"a": 20, "b": 20})
    for file in get_image_files(tmp_path / "a"):
        file.with_name(f"copy_of_{file.name}").write_bytes(file.read_bytes())
    with pytest.warns(UserWarning, match=r"20 images are copies of others .*copy_of_000\.png"):
        dls = from_folder(tmp_path)
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 60
    assert not digests_of(dls.train) & digests_of(dls.valid)


def test_an_image_in_both_train_and_valid_is_reported_and_not_trained_on(tmp_path):
    fill(tmp_path / "train", {"a": 10, "b": 10})
    fill(tmp_path / "valid", {"a": 5, "b": 5}, 100)
    leaked = tmp_path / "train" / "a" / "leaked.png"
    leaked.write_bytes((tmp_path / "valid" / "a" / "100.png").read_bytes())
    with pytest.warns(UserWarning, match="1 images are copies of others"):
        dls = from_folder(tmp_path)
    assert leaked not in dls.train.dataset.sources and len(dls.train.dataset) == 20
    assert len(dls.valid.dataset) == 10, "the validation set stays as it was given"
    assert not digests_of(dls.train) & digests_of(dls.valid)


def test_copies_in_memory_are_told_by_what_they_show():
    grey = Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20))
    other_palette = grey.convert("P")
    other_palette.putpalette([255 - i // 3 for i in range(768)])
    assert content_digest(grey) == content_digest(grey.convert("RGB"))
    assert content_digest(grey.convert("P")) != content_digest(other_palette)


def test_a_split_by_hand_stays_as_it_was_given_and_must_fit(tmp_path):
    files = get_image_files(fill(tmp_path, {"a": 10, "b": 10}))
    labels = [file.parent.name for file in files]
    flags = [number % 4 == 0 for number in range(20)]
    dls = ImageDataLoaders(files, labels, np.array(flags), size=16, bs=4, device="cpu")
    assert dls.valid.dataset.sources == files[::4]
    with pytest.raises(ValueError):
        ImageDataLoaders(files, labels, flags[1:], size=16, bs=4)


# Batches

def test_without_augmentation_a_batch_is_the_plain_squares_in_order(tmp_path):
    dls = from_folder(fill(tmp_path, {"a": 20, "b": 20}), augment=False)
    xs, ys = (torch.cat(parts) for parts in zip(*dls.valid, strict=True))
    for x, y, file in zip(xs, ys, dls.valid.dataset.sources, strict=True):
        assert_close(x, TF.to_tensor(square(load_image(file), 16)))
        assert dls.vocab[y] == file.parent.name
    assert len(dls.valid) == -(-len(ys) // 4)


@pytest.mark.parametrize("augment", [True, False, None, {}, {"flip": False, "rotate": 30}])
def test_an_epoch_shows_each_image_once_in_whole_batches(tmp_path, augment):
    dls = from_folder(fill(tmp_path, {"a": 20, "b": 21}), augment=augment)
    epoch = list(dls.train)
    assert len(epoch) == len(dls.train) == len(dls.train.dataset) // 4
    assert {xb.shape for xb, _ in epoch} == {(4, 3, 16, 16)} and epoch[0][1].dtype == torch.int64
    assert all(xb.min() >= 0 and xb.max() <= 1 for xb, _ in epoch)
    if not augment and augment != {}:
        seen = {x.numpy().tobytes() for xb, _ in epoch for x in xb.contiguous()}
        assert len(seen) == 4 * len(epoch), "an image came twice"


def test_batches_are_the_same_for_any_number_of_workers(tmp_path):
    fill(tmp_path, {"a": 16, "b": 16})
    runs = [from_folder(tmp_path, num_workers=workers) for workers in (0, 2)]
    for _ in range(2):  # epochs
        for (xb, yb), (other_xb, other_yb) in zip(*(dls.train for dls in runs), strict=True):
            assert torch.equal(xb, other_xb) and torch.equal(yb, other_yb)


def test_the_seed_alone_decides_and_epochs_differ(tmp_path):
    fill(tmp_path, {"a": 16, "b": 16})
    first, again, other = (from_folder(tmp_path, seed=seed) for seed in (1, 1, 2))
    torch.manual_seed(123)
    batches = [next(iter(dls.train))[0] for dls in (first, again, other)]
    assert torch.equal(batches[0], batches[1]) and not torch.equal(batches[0], batches[2])
    assert not torch.equal(batches[0], next(iter(first.train))[0])


@pytest.mark.parametrize("options, shape, n_drawn", [({}, (2, 4), 8), ({"max_n": 3}, (1, 3), 3),
                                                     ({"nrows": 2, "ncols": 3}, (2, 3), 6),
                                                     ({"nrows": 1}, (1, 4), 4),
                                                     ({"max_n": 8, "ncols": 2}, (4, 2), 8)])
def test_a_batch_is_drawn_in_the_grid_asked_for(tmp_path, options, shape, n_drawn):
    dls = from_folder(fill(tmp_path, {"a": 16, "b": 16}), bs=12)
    dls.show_batch(**options)
    drawn = [ax for ax in plt.gcf().axes if ax.images]
    grid = drawn[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == shape and len(drawn) == n_drawn
    assert {ax.get_title() for ax in drawn} <= {"a", "b"} and dls.c == 2


def test_a_missing_accelerator_is_said_once_at_the_callers_line(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="There is no 'cuda' here") as told:
        dls = from_folder(fill(tmp_path, {"a": 8, "b": 8}), device="cuda")
        dls.one_batch()
    assert len(told) == 1 and Path(told[0].filename) == Path(__file__)
    assert dls.device == CPU and dls.train.num_workers == 0


@pytest.mark.parametrize("num_workers", [0, 2])
def test_looking_at_a_batch_leaves_no_trace(tmp_path, num_workers):
    fill(tmp_path, {"a": 16, "b": 16})
    looked_at, left_alone = (from_folder(tmp_path, num_workers=num_workers) for _ in range(2))
    states = [torch.get_rng_state(), str(np.random.get_state()), random.getstate()]  # noqa: NPY002
    xb, _ = looked_at.one_batch()
    looked_at.show_batch()
    plt.close("all")
    assert torch.equal(states[0], torch.get_rng_state()), "torch's own generator was drawn from"
    assert states[1:] == [str(np.random.get_state()), random.getstate()]  # noqa: NPY002
    epochs = [[xb for xb, _ in dls.train] for dls in (looked_at, left_alone)]
    assert torch.equal(xb, epochs[0][0]), "it is the batch that training sees next"
    assert all(map(torch.equal, *epochs))


def test_a_look_that_fails_leaves_no_trace(tmp_path):
    dls = from_folder(fill(tmp_path, {"a": 8, "b": 8}))
    for source in dls.train.dataset.sources:
        source.write_bytes(b"damaged")
    state = dls.train.generator.get_state()
    with pytest.raises(ImageError):
        dls.one_batch()
    assert torch.equal(state, dls.train.generator.get_state())


def test_the_crop_slides_in_training_only(tmp_path):
    wide = Image.new("RGB", (160, 40), "black")
    wide.paste("white", (80, 0, 160, 40))
    still = {"rotate": 0, "zoom": 1, "flip": False, "lighting": 0, "size": 16}
    images = ImageDataset([wide] * 40, [0] * 40, 16)
    sliding = ImageLoader(images, 40, CPU, torch.Generator().manual_seed(0), still)
    whites = next(iter(sliding))[0].mean((1, 2, 3))
    assert whites.min() < 0.1 and whites.max() > 0.9
    assert_close(next(iter(ImageLoader(images, 40, CPU)))[0].mean((1, 2, 3)), torch.full((40,), 0.5),
                 atol=0.03, rtol=0)


class Killing(ImageDataset):
    """Images whose reader is killed, as by the system when memory runs out."""
    def __getitem__(self, item):
        if get_worker_info() and get_worker_info().id == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(item)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_worker_says_try_num_workers_0():
    images = Killing([noise(i) for i in range(8)], [0] * 8, 16)
    with pytest.raises(RuntimeError, match="was killed.* try num_workers=0"):
        list(ImageLoader(images, 2, CPU, num_workers=2))
    assert len(list(ImageLoader(images, 2, CPU, num_workers=0))) == 4


def test_other_errors_of_a_worker_are_passed_on_as_they_are():
    images = ImageDataset([noise(i) for i in range(4)], [0] * 4, 16)
    loader = ImageLoader(images, 2, CPU)
    with pytest.raises(RuntimeError, match="^mine$"):
        for _ in loader:
            loader.after_batch = lambda xb: (_ for _ in ()).throw(RuntimeError("mine"))


# Augmentation

def batch(count: int = 6, size: int = 32) -> torch.Tensor:
    return torch.stack([TF.to_tensor(noise(i, 8, 8).resize((size, size))) for i in range(count)])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


OFF = {"rotate": 0.0, "zoom": 1.0, "flip": False, "lighting": 0.0}


@quick
@given(size=st.integers(1, 40), count=st.integers(1, 4), seed=st.integers(0, 99))
def test_nothing_switched_on_changes_nothing(size, count, seed):
    x = torch.rand(count, 3, size, size, generator=seeded(seed))
    assert_close(augment_batch(x, seeded(seed), **OFF), x, atol=1e-5, rtol=0)


def test_the_same_generator_gives_the_same_views_and_the_global_one_is_left_alone():
    x, state = batch(), torch.get_rng_state()
    first, again = (augment_batch(x, seeded(7), size=24) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (6, 3, 24, 24)
    assert not torch.equal(first, augment_batch(x, seeded(8), size=24))
    assert torch.equal(state, torch.get_rng_state())


def test_a_flip_is_the_mirror_image():
    x = batch(40)
    flipped = augment_batch(x, seeded(), **{**OFF, "flip": True})
    found = [(torch.allclose(a, b, atol=1e-5), torch.allclose(a, b.flip(-1), atol=1e-5))
             for a, b in zip(flipped, x, strict=True)]
    assert set(found) == {(True, False), (False, True)}
    assert 8 < sum(mirrored for _, mirrored in found) < 32


def test_a_rotation_is_torchvisions():
    x = batch(1, 64)
    angle = torch.empty(1).uniform_(-40, 40, generator=seeded(3)).item()
    expected = TF.rotate(x, angle, TF.InterpolationMode.BILINEAR)
    ours = augment_batch(x, seeded(3), **{**OFF, "rotate": 40})
    assert abs(angle) > 5
    middle = slice(20, 44)
    assert_close(ours[..., middle, middle], expected[..., middle, middle], atol=0.02, rtol=0)


def test_a_zoom_shows_a_part_of_the_image_and_never_more():
    ramp = torch.linspace(0, 1, 64).expand(200, 3, 64, 64)
    zoomed = augment_batch(ramp, seeded(), **{**OFF, "zoom": 2.0})[:, 0, 0]
    width, left = zoomed[:, -1] - zoomed[:, 0], zoomed[:, 0]
    assert width.min() >= 0.49 and width.max() <= 1.01 and width.min() < 0.55
    assert left.min() < 0.02 and left.max() > 0.35, "the crop moves"


def test_lighting_keeps_pixels_between_0_and_1_and_a_mid_grey_near_grey():
    x = torch.full((200, 3, 4, 4), 0.5)
    lit = augment_batch(x, seeded(), **{**OFF, "lighting": 0.2})[:, 0, 0, 0]
    assert 0.39 < lit.min() < 0.42 and 0.58 < lit.max() < 0.61
    strong = augment_batch(batch(), seeded(), **{**OFF, "lighting": 1.0})
    assert strong.min() >= 0 and strong.max() <= 1


def test_one_interpolation_from_a_larger_image_is_nearer_the_truth_than_two():
    drawing = Image.new("RGB", (512, 512), "white")
    for radius in range(20, 240, 30):
        box = (256 - radius, 256 - radius, 256 + radius, 256 + radius)
        ImageDraw.Draw(drawing).ellipse(box, outline="black", width=8)
    large = TF.to_tensor(drawing)[None]
    small, presized = (TF.resize(large, [n, n], antialias=True) for n in (64, 80))
    turn = {**OFF, "rotate": 30.0}
    truth = TF.resize(augment_batch(large, seeded(1), **turn), [64, 64], antialias=True)
    once = augment_batch(presized, seeded(1), size=64, **turn)
    zoomed = TF.resize(augment_batch(small, seeded(1), **turn), [80, 80])
    twice = TF.resize(zoomed, [64, 64], antialias=True)
    errors = [(x - truth).square().mean() for x in (once, twice)]
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_views_as_the_cpu():
    x = batch()
    assert_close(augment_batch(x.cuda(), seeded(), size=24).cpu(), augment_batch(x, seeded(), size=24),
                 atol=1e-4, rtol=0)


def test_normalize_is_torchvisions_and_travels_with_the_weights():
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    layer = Normalize(mean, std)
    assert_close(layer(batch()), TF.normalize(batch(), mean, std))
    assert set(layer.state_dict()) == {"mean", "std"} and not list(layer.parameters())


@pytest.mark.skipif(not FLOWERS.is_dir(), reason="the shared photographs of flowers are not here")
@pytest.mark.filterwarnings("ignore:.*copies of others")
def test_real_photographs_from_folders():
    dls = ImageDataLoaders.from_folder(FLOWERS, size=32, device="cpu")
    assert dls.vocab == ["daisy", "dandelion", "rose", "sunflower", "tulip"]
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 4317
    assert not digests_of(dls.train) & digests_of(dls.valid)
    fraction = np.bincount(dls.valid.dataset.targets) / [764, 1052, 784, 733, 984]
    assert (abs(fraction - 0.2) < 0.01).all()
    xb, _ = next(iter(dls.valid))
    first = load_image(dls.valid.dataset.sources[0])
    assert_close(xb[0], TF.to_tensor(ImageOps.fit(first, (32, 32), Image.Resampling.BILINEAR)),
                 atol=0.05, rtol=0)
