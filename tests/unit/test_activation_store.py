"""Cached activations in memory and in files: whole, in little memory, and never somebody else's."""
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from transfer_lessons.activation_store import cache_key, to_file, to_memory
from transfer_lessons.data import ImageDataset, ImageLoader

ROWS = torch.arange(60.0).view(20, 3)


def batches():
    return iter(ROWS.split(6))


def npy_files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.npy"))


def left_over(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.suffix not in (".npy", ".lock")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_memory_holds_all_batches_in_order(dtype):
    stored = to_memory((batch.to(dtype) for batch in batches()), 20)
    assert torch.equal(stored, ROWS.to(dtype))


def test_a_file_holds_all_batches_in_order_and_numpy_reads_it(tmp_path):
    stored = to_file(batches(), 20, tmp_path / "deep" / "a.npy")
    assert torch.equal(stored, ROWS)
    assert np.array_equal(np.load(tmp_path / "deep" / "a.npy"), ROWS.numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_takes_half_the_room_and_comes_back_the_same(dtype, tmp_path):
    file = tmp_path / "a.npy"
    given = [batch.to(dtype) for batch in batches()]
    for _ in range(2):  # written, then read
        stored = to_file(iter(given), 20, file)
        assert stored.dtype == dtype and torch.equal(stored, ROWS.to(dtype))
        assert np.load(file).nbytes == ROWS.nbytes / 2
    other = to_file(batches(), 20, file)
    assert other.dtype == torch.float32 and torch.equal(other, ROWS), "written anew"


@pytest.mark.parametrize("n", [19, 21, 6, 0, -1, 2.5])
def test_a_number_of_rows_that_is_not_that_of_the_batches_is_refused(n, tmp_path):
    with pytest.raises(ValueError, match="n must be"):
        to_memory(batches(), n)
    with pytest.raises(ValueError, match="n must be"):
        to_file(batches(), n, tmp_path / "a.npy")
    assert not npy_files(tmp_path)


def test_no_batches_are_refused(tmp_path):
    with pytest.raises(ValueError, match="n must be"):
        to_memory(iter([]), 3)
    with pytest.raises(ValueError, match="n must be"):
        to_file(iter([]), 3, tmp_path / "a.npy")


def test_a_file_that_is_there_costs_one_batch(tmp_path):
    file = tmp_path / "a.npy"
    to_file(batches(), 20, file)
    again = batches()
    assert torch.equal(to_file(again, 20, file), ROWS)
    assert len(list(again)) == 3, "three batches were not asked for"


@pytest.mark.parametrize("there", [
    b"", b"no numpy file", b"\x93NUMPY", "cut", np.zeros((20, 3), np.float32),
    np.zeros((20, 3)), np.zeros((19, 3), np.float32), np.zeros((20, 4), np.float32),
], ids=["empty", "text", "header", "cut", "zeros", "double", "short", "wide"])
def test_another_file_under_the_name_is_written_anew(there, tmp_path):
    file = tmp_path / "a.npy"
    to_file(batches(), 20, file)
    if isinstance(there, np.ndarray):
        np.save(file, there)
    else:
        file.write_bytes(file.read_bytes()[:-8] if there == "cut" else there)
    assert torch.equal(to_file(batches(), 20, file), ROWS)
    assert npy_files(tmp_path) == ["a.npy"]


def test_writing_to_what_was_read_leaves_the_file_alone(tmp_path):
    file = tmp_path / "a.npy"
    stored = to_file(batches(), 20, file)
    stored.zero_()
    assert np.array_equal(np.load(file), ROWS.numpy())


def test_an_error_on_the_way_leaves_no_file(tmp_path):
    def interrupted():
        yield ROWS[:6]
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        to_file(interrupted(), 20, tmp_path / "a.npy")
    assert not npy_files(tmp_path)
    assert not left_over(tmp_path)
    assert torch.equal(to_file(batches(), 20, tmp_path / "a.npy"), ROWS), "the lock is free again"


def test_a_full_disk_leaves_no_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        to_file(batches(), 20, tmp_path / "a.npy")
    assert not npy_files(tmp_path)
    assert not left_over(tmp_path)


def test_of_two_that_want_the_same_file_one_computes_and_the_other_waits(tmp_path):
    computed = []
    both_began = threading.Barrier(2, timeout=30)
    results = []
    def slow_batches():
        yield ROWS[:6]
        for start in (6, 12, 18):
            computed.append(start)
            yield ROWS[start:start + 6]
    def want():
        both_began.wait()
        results.append(to_file(slow_batches(), 20, tmp_path / "a.npy"))
    threads = [threading.Thread(target=want) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert computed == [6, 12, 18]
    assert [torch.equal(result, ROWS) for result in results] == [True, True]


KILLED_WHILE_WRITING = """
import sys, time
from pathlib import Path
import torch
from transfer_lessons.activation_store import to_file
def batches():
    yield torch.ones(6, 3)
    yield torch.ones(6, 3)
    print("writing", flush=True)
    time.sleep(60)
to_file(batches(), 20, Path(sys.argv[1]) / "a.npy")
"""


def test_a_process_killed_while_it_writes_leaves_no_file_and_no_lock(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path)],
                             stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "writing\n"
    child.kill()
    child.wait()
    assert not npy_files(tmp_path)
    assert left_over(tmp_path), "it was half way"
    assert torch.equal(to_file(batches(), 20, tmp_path / "a.npy"), ROWS)
    assert not left_over(tmp_path), "what it had written is gone"


READ_AND_WRITE = """
import itertools, sys
from pathlib import Path
import torch
from transfer_lessons.activation_store import to_file
folder = Path(sys.argv[1])
print("started", flush=True)
for value in itertools.count(int(sys.argv[2]), 2):
    pieces = (torch.full((50, 2000), float(value)) for _ in range(20))
    assert to_file(pieces, 1000, folder / f"{value % 3}.npy").shape == (1000, 2000)
"""


def test_a_reader_never_sees_a_file_half_written(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", READ_AND_WRITE, str(tmp_path), str(number)],
                                stdout=subprocess.PIPE, text=True) for number in range(2)]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "started\n"
        n_read = 0
        while n_read < 60:
            for file in tmp_path.glob("*.npy"):
                values = np.load(file, mmap_mode="r")
                assert values.shape == (1000, 2000) and (values == values[0, 0]).all()
                n_read += 1
            assert all(writer.poll() is None for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()


PEAK_MEMORY = """
import sys
from pathlib import Path
import torch
from transfer_lessons.activation_store import to_file, to_memory
def peak():  # of this process; getrusage would count what its parent had
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
def batches():
    return (torch.rand(64, 4096) for _ in range(100))
for _ in batches():
    pass
before = peak()
to_file(batches(), 6400, Path(sys.argv[1]) / "a.npy")
on_disk = peak() - before
stored = to_memory(batches(), 6400)
print(stored.nbytes, peak() - before, on_disk)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read there")
def test_memory_is_at_most_a_fifth_above_that_of_the_activations(tmp_path):
    output = subprocess.run([sys.executable, "-c", PEAK_MEMORY, str(tmp_path)], check=True,
                            capture_output=True, text=True).stdout
    size, in_memory, on_disk = map(int, output.split())
    assert size > 100e6
    assert 0.8 * size < in_memory < 1.2 * size, f"{in_memory / size:.2f} times the activations"
    assert on_disk < 0.2 * size, f"{on_disk / size:.2f} times the activations"


def loader(sources, targets=None, size=16, augment=None) -> ImageLoader:
    dataset = ImageDataset(sources, targets or [0] * len(sources), size)
    return ImageLoader(dataset, 2, torch.device("cpu"), augment=augment)


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (16, 16, 3), np.uint8)) for _ in range(3)]


def test_the_key_is_that_of_the_content(images, tmp_path):
    first = cache_key("weights", loader(images))
    darker = images[0].point(lambda level: max(level - 1, 0))
    same = [cache_key("weights", loader([image.copy() for image in images])),
            cache_key("weights", loader(images, [1, 2, 0]))]
    others = [cache_key("other weights", loader(images)), cache_key("weights", loader(images, size=17)),
              cache_key("weights", loader([darker, *images[1:]])),
              cache_key("weights", loader(images[::-1])), cache_key("weights", loader(images[1:])),
              *(cache_key("weights", loader(images, augment={"size": 16, "zoom": zoom}), views, seed)
                for zoom, views, seed in ((1.1, 1, 0), (1.2, 1, 0), (1.1, 2, 0), (1.1, 1, 1)))]
    assert {first} == set(same), "neither labels nor which copy it is matter"
    assert len({first, *others}) == 1 + len(others)
    files = [tmp_path / "a.png", tmp_path / "elsewhere.png"]
    for file in files:
        images[0].save(file)
    assert cache_key("weights", loader(files[:1])) == cache_key("weights", loader(files[1:]))


def test_the_same_pixels_in_another_shape_have_another_key():
    wide = Image.new("RGB", (20, 10))
    assert cache_key("", loader([wide])) != cache_key("", loader([wide.resize((10, 20))]))
