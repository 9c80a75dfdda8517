"""Decoded once: the same pixels, the same random crops, no file opened twice, no byte over the budget."""
import contextlib
import copy
import gc
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small import small_model

from transfer_lessons import decoded
from transfer_lessons.data import ImageDataset, ImageLoader, square
from transfer_lessons.decoded import DecodedImages, MemoryBudget, crop_square
from transfer_lessons.formats import has_plug_in
from transfer_lessons.image_files import ImageError, get_image_files, load_image
from transfer_lessons.learner import Learner
from transfer_lessons.loaders import ImageDataLoaders
from transfer_lessons.preprocess import scale_short_side

FLOWERS = Path(__file__).parents[2].parent / "shared" / "data" / "flowers"
CPU = torch.device("cpu")
STILL = {"rotate": 0, "zoom": 1, "flip": False, "lighting": 0}


def noise(seed: int, width: int, height: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 5 + 1, width // 5 + 1, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def files(tmp_path):
    """Photographs, wide and tall, of two classes."""
    sizes = [(90, 60), (61, 97), (200, 31), (40, 40), (33, 150), (120, 45)] * 3
    for number, size in enumerate(sizes):
        file = tmp_path / "ab"[number % 2] / f"{number:02}.jpg"
        file.parent.mkdir(exist_ok=True)
        noise(number, *size).save(file)
    return get_image_files(tmp_path)


def loaders(files, **options) -> ImageDataLoaders:
    labels = [file.parent.name for file in files]
    return ImageDataLoaders(files, labels, **{"size": 24, "bs": 4, "device": "cpu", **options})


def loader(sources, size: int = 24, bs: int = 4, shuffle: bool = True, max_memory=None,
           num_workers: int = 0, augment=STILL) -> ImageLoader:
    return ImageLoader(ImageDataset(sources, range(len(sources)), size), bs, "cpu",
                       torch.Generator().manual_seed(0) if shuffle else None,
                       {"size": size, **augment} if shuffle else None, num_workers,
                       budget=MemoryBudget(max_memory))


def epoch(batches) -> tuple[torch.Tensor, torch.Tensor]:
    xbs, ybs = zip(*batches, strict=True)
    return torch.cat(xbs), torch.cat(ybs)


def workers() -> int:
    gc.collect()
    return len(multiprocessing.active_children())


# Pixels

def save_sideways(file: Path) -> None:
    note = Image.Exif()
    note[0x0112] = 6
    noise(1, 70, 50).save(file, exif=note)


def save_16_bits(file: Path) -> None:
    Image.fromarray(np.arange(60 * 91, dtype=np.uint16).reshape(60, 91) * 11).save(file)


KINDS = {
    "one pixel.png": lambda file: noise(0, 1, 1).save(file), "odd.png": lambda file: noise(1, 101, 53).save(file),
    "long.png": lambda file: noise(2, 700, 23).save(file), "endless.png": lambda file: noise(3, 3, 500).save(file),
    "just long enough.png": lambda file: noise(4, 320, 10).save(file),
    "smaller than asked for.png": lambda file: noise(5, 11, 9).save(file),
    "large.jpg": lambda file: noise(6, 900, 1301).save(file), "sideways.jpg": save_sideways,
    "sixteen bits.png": save_16_bits, "grey.png": lambda file: noise(7, 40, 60).convert("L").save(file),
    "palette.gif": lambda file: noise(8, 50, 41).convert("P").save(file),
    "four inks.jpg": lambda file: noise(9, 77, 64).convert("CMYK").save(file),
    "transparent.webp": lambda file: noise(10, 64, 47).convert("RGBA").save(file),
}
if has_plug_in("HEIF"):
    KINDS["phone.heic"] = lambda file: noise(11, 96, 64).save(file)


@pytest.mark.case("images decoded once", "the pixels are those of an image decoded afresh")
@pytest.mark.parametrize("size", [1, 17, 64])
@pytest.mark.filterwarnings("ignore:.*pixels")
def test_kept_images_have_the_pixels_of_images_decoded_afresh(tmp_path, size):
    for name, save in KINDS.items():
        save(tmp_path / name)
    files = sorted(tmp_path.iterdir())
    kept = loader(files, size, bs=3)
    afresh = loader(files, size, bs=3, max_memory=0)
    for _ in range(3):
        (xb, yb), (fresh_xb, fresh_yb) = epoch(kept), epoch(afresh)
        assert torch.equal(yb, fresh_yb) and torch.equal(xb, fresh_xb)
    assert len(kept.decoded.kept.strips) == len(files) - 1, "all but the endless one are kept"
    assert not afresh.decoded.kept.strips


@pytest.mark.skipif(not FLOWERS.is_dir(), reason="the shared photographs of flowers are not here")
def test_real_photographs_have_the_pixels_of_those_decoded_afresh():
    files = get_image_files(FLOWERS)[::100]
    kept, afresh = (loader(files, 80, bs=8, max_memory=max_memory) for max_memory in (None, 0))
    for _ in range(2):
        assert torch.equal(epoch(kept)[0], epoch(afresh)[0])
    for file in files[:10]:  # and nearly those of a crop from the photograph itself
        image = load_image(file, at_least=80)
        side = min(image.size)
        box = ((image.width - side) / 2, (image.height - side) / 2)
        cropped = image.resize((80, 80), Image.Resampling.BILINEAR,
                               box=(*box, box[0] + side, box[1] + side))
        difference = np.asarray(cropped, int) - np.asarray(square(image, 80), int)
        assert np.abs(difference).mean() < 6


def test_a_square_cut_out_of_a_strip_is_the_square():
    for width, height in ((97, 41), (41, 97), (50, 50), (900, 20), (3, 400)):
        image = noise(0, width, height)
        for crop_position in (0, 0.21, 0.5, 1):
            strip = torch.from_numpy(np.array(scale_short_side(image, 24, crop_position)))
            assert np.array_equal(crop_square(strip, crop_position), square(image, 24, crop_position))


def test_every_part_of_an_endless_image_is_seen():
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 4000).astype(np.uint8), (4, 1)))
    levels = [np.asarray(square(ramp, 8, position)).mean() for position in (0, 0.25, 0.5, 1)]
    assert np.allclose(levels, [0, 64, 127.5, 255], atol=2)


# Chance

@pytest.mark.case("images decoded once: random crops", "another place along the longer side in every epoch")
def test_crops_of_kept_images_stay_random():
    wide = Image.fromarray(np.tile(np.linspace(0, 255, 160).astype(np.uint8), (40, 1)))
    kept = loader([wide] * 8, 16, bs=8)
    brightness = torch.stack([epoch(kept)[0].mean((1, 2, 3)).sort().values for _ in range(5)])
    assert len(kept.decoded.kept.strips) == 8
    assert brightness.std(0).min() > 0.01 and brightness.min() < 0.2 and brightness.max() > 0.8


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("max_memory", [None, 0, 20_000])
def test_order_crops_and_augmentation_depend_on_the_seed_alone(files, max_memory, num_workers):
    augment = {"rotate": 10}
    plain = loader(files, max_memory=0, augment=augment)
    other = loader(files, max_memory=max_memory, num_workers=num_workers, augment=augment)
    for _ in range(3):
        for (xb, yb), (other_xb, other_yb) in zip(plain, other, strict=True):
            assert torch.equal(xb, other_xb) and torch.equal(yb, other_yb)
    assert torch.equal(plain.generator.get_state(), other.generator.get_state())


def test_a_training_goes_on_exactly_where_it_was_left(files):
    first = loader(files, augment={"rotate": 10})
    epoch(first)
    state = first.generator.get_state()
    expected = [epoch(first)[0] for _ in range(2)]
    second = loader(files, augment={"rotate": 10})  # another process: nothing is kept yet
    second.generator.set_state(state)
    assert all(torch.equal(xb, epoch(second)[0]) for xb in expected)


def test_images_seen_in_part_of_an_epoch_are_not_read_again(files, monkeypatch):
    read = []
    monkeypatch.setattr(decoded, "load_image", lambda source, at_least: (
        read.append(source) or load_image(source, at_least)))
    dls = loaders(files)
    dls.one_batch()
    assert len(read) == dls.bs
    epoch(dls.train)
    epoch(dls.valid)
    assert sorted(read) == sorted(files)
    for _ in range(2):
        epoch(dls.train)
        epoch(dls.valid)
    assert len(read) == len(files)


# Files and processes

@pytest.mark.case("images decoded once: files", "the second epoch opens none, and no process is left")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_second_epoch_needs_neither_files_nor_processes(files, num_workers):
    before = workers()
    dls = loaders(files, num_workers=num_workers)
    first = epoch(dls.train)[1].tolist(), epoch(dls.valid)
    assert workers() == before, "a worker is left though nothing is left to read"
    for file in files:
        file.unlink()
    again = epoch(dls.valid)
    assert torch.equal(first[1][0], again[0]) and torch.equal(first[1][1], again[1])
    assert len(epoch(dls.train)[1]) == len(first[0]) and workers() == before


@pytest.mark.case("images decoded once: more than the budget", "a part is kept, the same workers read the rest")
def test_above_the_budget_a_part_is_kept_and_workers_stay(files):
    whole = loader(files, shuffle=False)
    xb, _ = epoch(whole)
    budget = whole.decoded.budget.n_bytes() // 2
    before = {process.pid for process in multiprocessing.active_children()}
    part = loader(files, shuffle=False, max_memory=budget, num_workers=1)
    seen = []
    for _ in range(3):
        assert torch.equal(epoch(part)[0], xb)
        seen.append({process.pid for process in multiprocessing.active_children()} - before)
        held = sum(strip.numel() for strip in part.decoded.kept.strips.values())
        assert 0.5 * budget < held == part.decoded.budget.n_bytes() <= budget
    assert len(seen[0]) == 1 and seen[0] == seen[1] == seen[2]


def test_nothing_is_kept_without_a_budget(files):
    dls = loaders(files, max_memory=0)
    epoch(dls.train)
    assert dls.budget.n_bytes() == 0 and not dls.train.decoded.kept.strips


def test_training_and_validation_images_share_the_budget(files):
    both = loaders(files)
    epoch(both.train)
    epoch(both.valid)
    budget = both.budget.n_bytes() - 1
    less = loaders(files, max_memory=budget)
    epoch(less.train)
    epoch(less.valid)
    assert less.train.decoded.kept.n_bytes["cpu"] > 0
    assert less.budget.n_bytes() <= budget
    del less.train
    gc.collect()
    assert less.budget.n_bytes() == less.valid.decoded.kept.n_bytes["cpu"], "memory comes back"


@pytest.mark.parametrize("max_memory", [-1, float("nan"), "2 GB", True])
def test_a_budget_that_makes_no_sense_is_refused(files, max_memory):
    with pytest.raises(ValueError, match="max_memory must be a number.* Try max_memory="):
        loaders(files, max_memory=max_memory)


def test_a_damaged_image_is_named_and_read_again_once_it_is_whole(files):
    images = loader(files)
    good = files[5].read_bytes()
    files[5].write_bytes(good[:200])
    with pytest.raises(ImageError, match=files[5].name):
        epoch(images)
    files[5].write_bytes(good)
    images.generator.manual_seed(0)
    assert torch.equal(epoch(images)[0], epoch(loader(files, max_memory=0))[0])


# What changes, and what is copied

@pytest.mark.case("images decoded once: the data set changes", "what is kept is of no use any more, and read anew")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_data_set_that_changed_is_read_as_it_is_now(files, num_workers):
    images = loader(files, shuffle=False, num_workers=num_workers)
    def as_afresh() -> bool:
        xb, yb = epoch(images)
        dataset = images.dataset
        return yb.tolist() == dataset.targets and torch.equal(xb, torch.stack(
            [dataset[i][0] for i in range(len(dataset))]) / 255)
    assert as_afresh()
    images.dataset.sources[0] = files[1]
    assert as_afresh()
    images.dataset.targets[0] = 7
    assert as_afresh()
    images.dataset.size = 31
    assert as_afresh()
    images.dataset.sources.reverse()
    assert as_afresh()
    images.dataset.sources.pop()
    images.dataset.targets.pop()
    assert as_afresh()
    images.dataset = ImageDataset(files[:3], [0, 1, 2], 16)
    assert as_afresh()
    images.bs = 2
    assert as_afresh()


def test_a_copy_shares_what_is_kept_and_a_pickle_keeps_nothing(files):
    images = loader(files, shuffle=False)
    xb, _ = epoch(images)
    near = copy.copy(images.decoded)
    assert near.kept is images.decoded.kept and near.reader is not images.decoded.reader
    for other in (copy.deepcopy(images), pickle.loads(pickle.dumps(images))):
        assert not other.decoded.kept.strips
        assert torch.equal(epoch(other)[0], xb)
    assert len(pickle.dumps(images)) < 10_000
    dls = pickle.loads(pickle.dumps(loaders(files, max_memory=500)))
    assert dls.train.decoded.budget is dls.valid.decoded.budget
    assert dls.budget.max_memory == 500


def test_in_order_and_test_loaders_give_what_is_decoded_afresh(files):
    dls, afresh = loaders(files), loaders(files, max_memory=0)
    for _ in range(2):
        epoch(dls.train)
    for made, expected in ((dls.train.in_order(), afresh.train.in_order()),
                           (dls.test_dl(files), afresh.test_dl(files)),
                           (dls.valid.in_order(dls.vocab[::-1]), afresh.valid.in_order(dls.vocab[::-1]))):
        for _ in range(2):
            (xb, yb), (fresh_xb, fresh_yb) = epoch(made), epoch(expected)
            assert torch.equal(xb, fresh_xb) and torch.equal(yb, fresh_yb)
    assert dls.train.decoded.kept.size == 30 and len(dls.train.decoded.kept.strips) == len(
        dls.train.dataset), "the other loader's size does not throw away what this one keeps"


def test_loops_within_loops_and_loops_that_end_early(files):
    images = loader(files, shuffle=False, bs=5)
    expected = [xb for xb, _ in loader(files, shuffle=False, bs=5, max_memory=0)]
    next(iter(images))
    for (xb, _), wanted in zip(images, expected, strict=True):
        assert torch.equal(xb, wanted)
        assert all(torch.equal(inner, other) for (inner, _), other in zip(images, expected, strict=True))
    held = sum(strip.numel() for strip in images.decoded.kept.strips.values())
    assert held == images.decoded.budget.n_bytes()


def test_a_pass_that_draws_from_torchs_own_generator_is_the_same(files):
    passes = []
    for max_memory in (None, 0):
        images = loader(files, max_memory=max_memory, augment={"rotate": 10})
        epoch(images)
        images.generator = None  # as where activations of several views are cached
        torch.manual_seed(3)
        passes.append([epoch(images)[0] for _ in range(2)])
    assert torch.equal(passes[0][0], passes[1][0]) and torch.equal(passes[0][1], passes[1][1])
    assert len(passes[0][0]) == len(files) and not torch.equal(*passes[0])


class Inverted(ImageDataset):
    """Images that are read in a way of one's own."""
    def __getitem__(self, item):
        pixels, target = super().__getitem__(item)
        return 255 - pixels, target + 1


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_data_set_with_its_own_way_to_read_is_read_its_way(files, num_workers):
    dataset = Inverted(files, range(len(files)), 16)
    images = ImageLoader(dataset, 4, "cpu", num_workers=num_workers)
    for _ in range(2):
        xb, yb = epoch(images)
        assert yb.tolist() == list(range(1, len(files) + 1))
        assert torch.equal(xb[3], dataset[3][0] / 255)


# What a worker imports

SPAWNED = """
import json, multiprocessing, sys
from pathlib import Path
class Probe:
    def __init__(self, file, report): self.file, self.report = file, report
    def seekable(self): return False
    def read(self):
        Path(self.report).write_text(json.dumps(sorted(sys.modules)))
        return Path(self.file).read_bytes()
def main():
    multiprocessing.set_start_method("spawn")
    from transfer_lessons.data import ImageDataset, ImageLoader
    probe = Probe(*sys.argv[1:3])
    list(ImageLoader(ImageDataset([probe], [0], 16), 1, "cpu", num_workers=1))
if __name__ == "__main__":
    main()
"""


@pytest.mark.case("workers: what a new process imports", "neither Matplotlib nor the rest of this library")
def test_a_spawned_worker_imports_little(files, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SPAWNED)
    report = tmp_path / "report.json"
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, str(script), str(files[0]), str(report)], check=True, timeout=120,
                   env={**os.environ, "PYTHONPATH": paths})
    modules = set(json.loads(report.read_text()))
    ours = {name.split(".")[1] for name in modules if name.startswith("transfer_lessons.")}
    assert ours <= {"arguments", "core", "decoded", "formats", "image_files", "pixels", "preprocess", "workers"}
    heavy = {"matplotlib", "IPython", "torchvision", "timm", "ipywidgets", "fastcore", "pandas"}
    assert not heavy & {name.split(".")[0] for name in modules}


# Memory

def test_free_memory_is_that_of_the_container_where_there_is_one(monkeypatch):
    told = {"/proc/meminfo": {"MemTotal": 10**7, "MemAvailable": 10**6}}
    monkeypatch.setattr(decoded, "_numbers", lambda file: told.get(file, {}))
    assert decoded.free_memory(CPU) == 1024 * 10**6
    told |= {"/sys/fs/cgroup/memory.max": {"": 5000}, "/sys/fs/cgroup/memory.current": {"": 4000},
             "/sys/fs/cgroup/memory.stat": {"inactive_file": 1500}}
    assert decoded.free_memory(CPU) == 2500
    told.clear()
    assert decoded.free_memory(CPU) > 2**20
    assert decoded.free_memory(CPU) == decoded.free_memory(torch.device("mps"))


def test_files_of_linux_are_read_and_others_are_empty(tmp_path):
    file = tmp_path / "memory"
    file.write_text("MemAvailable:   123 kB\nActive(anon): 5 kB\ninactive_file 77\n")
    assert decoded._numbers(str(file)) == {"MemAvailable": 123, "inactive_file": 77}
    file.write_text("max\n")
    assert decoded._numbers(str(file)) == {} == decoded._numbers(str(tmp_path / "none"))
    file.write_text("4096\n")
    assert decoded._numbers(str(file)) == {"": 4096}


def test_by_default_a_quarter_of_the_free_memory_is_used(files, monkeypatch):
    monkeypatch.setattr(decoded, "free_memory", lambda device: 40_000)
    images = loader(files)
    epoch(images)
    assert 5_000 < images.decoded.budget.n_bytes() <= 10_000


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("max_memory", [None, 0, 20_000])
def test_batches_on_a_gpu_are_those_of_the_cpu(files, max_memory):
    on_cpu = loader(files, max_memory=max_memory)
    on_gpu = loader(files, max_memory=max_memory)
    on_gpu.device = torch.device("cuda")
    for _ in range(3):
        (xb, yb), (gpu_xb, gpu_yb) = epoch(on_cpu), epoch(on_gpu)
        assert torch.allclose(gpu_xb.cpu(), xb, atol=1e-4) and torch.equal(gpu_yb.cpu(), yb)
    kept = on_gpu.decoded.kept.strips.values()
    assert max_memory is not None or {strip.device.type for strip in kept} == {"cuda"}


class FakeStream:
    """Notes what a stream of a GPU is asked to do."""
    def __init__(self, notes, name):
        self.notes, self.name = notes, name

    def wait_stream(self, other):
        self.notes.append(f"{self.name} waits for {other.name}")

    def record_event(self):
        return len(self.notes)

    def wait_event(self, event):
        self.notes.append(f"{self.name} waits")


def test_the_next_batch_is_sent_before_this_one_is_used(monkeypatch):
    notes = []
    class Batch(int):
        def record_stream(self, stream):
            notes.append(f"batch {self} belongs to {stream.name}")
    def batches():
        try:
            for number in range(3):
                notes.append(f"batch {number} sent")
                yield Batch(number)
        finally:
            notes.append("closed")
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: FakeStream(notes, "copying"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: FakeStream(notes, "computing"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    ahead = decoded._one_ahead(batches(), torch.device("cuda"))
    assert next(ahead) == 0
    assert notes == ["copying waits for computing", "batch 0 sent", "batch 1 sent", "computing waits",
                     "batch 0 belongs to computing"]
    assert list(ahead) == [1, 2] and notes.count("closed") == 1
    early = decoded._one_ahead(batches(), torch.device("cuda"))
    next(early)
    early.close()
    assert notes.count("closed") == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_squares_from_two_places_become_one_batch_in_order():
    squares = [torch.full((4, 4, 3), i, dtype=torch.uint8, device="cuda" if i % 2 else "cpu")
               for i in range(5)]
    batch = decoded._together(squares, torch.device("cuda"))
    assert batch[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_squares_of_another_device_are_put_in_order():
    far = [torch.full((4, 4, 3), i, dtype=torch.uint8) for i in range(3)]
    meta = decoded._together(far, torch.device("meta"))  # a device without numbers
    assert meta.device.type == "meta" and meta.shape == (3, 4, 4, 3)
    mixed = decoded._together([far[0], far[1].to("meta"), far[2]], torch.device("meta"))
    assert mixed.shape == (3, 4, 4, 3)


@pytest.mark.case("images decoded once: more than the budget", "memory really grows by no more than a tenth above it")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc on this system")
def test_memory_grows_as_the_budget_says(files):
    script = """
import sys
from pathlib import Path
from transfer_lessons.data import ImageDataset, ImageLoader
from transfer_lessons.decoded import MemoryBudget
def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
def go(max_memory):
    loader = ImageLoader(ImageDataset(sys.argv[1:] * 100, [0] * 1800, 96), 32, "cpu",
                         budget=MemoryBudget(max_memory))
    for _ in loader:
        pass
    return loader
warm_up = go(5e6)
before = megabytes()
loader = go(45e6)
print(megabytes() - before, loader.decoded.budget.n_bytes() / 1e6)
"""
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", script, *map(str, files)], check=True, timeout=120,
                          capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    grown, counted = map(float, done.stdout.split())
    assert 40 < counted <= 45
    assert grown < 1.1 * 45 + 10, "a tenth more, and what the batch under way takes"


def test_a_reader_without_a_budget_has_one_of_its_own():
    assert DecodedImages().budget is not DecodedImages().budget


@pytest.mark.case("images decoded once: training", "the same losses to the last digit, whatever the seed")
@pytest.mark.parametrize("seed", range(5))
def test_a_training_is_the_same_with_and_without_kept_images(files, seed):
    def losses(max_memory) -> list[float]:
        torch.manual_seed(seed)
        learn = Learner(loaders(files, seed=seed, max_memory=max_memory), small_model(2))
        learn.fit(3, 1e-2)
        return [*map(float, learn.recorder.losses), *learn.validate()]
    assert losses(None) == losses(0)
