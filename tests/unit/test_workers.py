"""Processes that read: they stay from epoch to epoch, and never read what is no longer there."""
import copy
import gc
import multiprocessing
import os
import pickle
import signal
import time

import pytest
import torch
from PIL import Image

from transfer_lessons.data import ImageDataset, ImageLoader
from transfer_lessons.decoded import MemoryBudget
from transfer_lessons.workers import BatchReader


def images(n: int = 8) -> ImageDataset:
    return ImageDataset([Image.new("RGB", (16, 16), (20 * i, 0, 0)) for i in range(n)], range(n), 16)


def reading_loader(dataset: ImageDataset, bs: int, num_workers: int) -> ImageLoader:
    """A loader that keeps nothing: every epoch reads."""
    return ImageLoader(dataset, bs, "cpu", num_workers=num_workers, budget=MemoryBudget(0))


def targets(batches) -> list[int]:
    return [int(y) for _, yb in batches for y in yb]


def workers() -> set[int]:
    gc.collect()
    return {process.pid for process in multiprocessing.active_children()}


@pytest.mark.case("workers", "start once: the second epoch has the same processes")
def test_workers_stay_from_epoch_to_epoch_and_end_with_their_loader():
    before = workers()
    loader = reading_loader(images(), 2, num_workers=2)
    seen = []
    for _ in range(2):
        assert targets(loader) == list(range(8))
        seen.append(workers() - before)
    assert seen[0] == seen[1] and len(seen[0]) == 2
    del loader
    assert workers() <= before


def test_a_loop_that_ends_early_leaves_nothing_behind_for_the_next():
    loader = reading_loader(images(), 2, num_workers=2)
    for _ in range(3):
        next(iter(loader))
    assert targets(loader) == list(range(8))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_changed_between_two_epochs_is_read_as_it_is_now(num_workers):
    loader = reading_loader(images(), 2, num_workers)
    assert targets(loader) == list(range(8))
    loader.dataset.targets[0] = 5
    assert targets(loader)[0] == 5
    loader.dataset.sources.pop()
    loader.dataset.targets.pop()
    loader.bs = 7
    assert [len(yb) for _, yb in loader] == [7]
    loader.dataset = images(3)
    assert targets(loader) == [0, 1, 2]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loop_within_a_loop_over_one_loader(num_workers):
    loader = reading_loader(images(4), 1, num_workers)
    assert [(int(a), int(b)) for _, a in loader for _, b in loader] == [
        (a, b) for a in range(4) for b in range(4)]


def test_a_copy_has_no_processes_yet():
    loader = reading_loader(images(), 2, num_workers=1)
    assert targets(loader) == targets(copy.deepcopy(loader))
    assert pickle.loads(pickle.dumps(loader.decoded.reader)).loader is None
    assert isinstance(copy.copy(loader.decoded.reader), BatchReader)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a signal for one process alone")
@pytest.mark.case("Ctrl-C while workers wait", "they stay: it is meant for the process that trains")
def test_ctrl_c_does_not_end_workers_that_wait():
    before = workers()
    loader = reading_loader(images(), 2, num_workers=1)
    assert targets(loader) == list(range(8))
    waiting = workers() - before
    for pid in waiting:
        os.kill(pid, signal.SIGINT)
    time.sleep(0.3)
    assert workers() - before == waiting and targets(loader) == list(range(8))


def test_reading_draws_nothing_from_torchs_generator():
    state = torch.get_rng_state()
    for num_workers in (0, 1):
        targets(reading_loader(images(), 2, num_workers))
    assert torch.equal(state, torch.get_rng_state())
