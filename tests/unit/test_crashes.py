"""What crashes, full disks and other processes leave behind; on systems that can be asked for them."""
import multiprocessing
import os
import random
import signal
import threading
import time

import pytest
import torch

from transfer_lessons.checkpoints import (
    HOST,
    locked,
    read_checkpoint,
    remove_abandoned,
    save_checkpoint,
    write_atomically,
)

resource = pytest.importorskip("resource", reason="Windows has neither limits nor forks")
pytestmark = pytest.mark.usefixtures("one_thread")


def files(folder) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


in_child = multiprocessing.get_context("fork")


def run_in_child(function) -> None:
    """Run in a process of its own; what it raises fails the test."""
    child = in_child.Process(target=function)
    child.start()
    child.join()
    assert child.exitcode == 0


@pytest.mark.parametrize("room", [0, 100, 5000])
def test_a_full_disk_leaves_the_file_from_before(tmp_path, room):
    file = tmp_path / "a"
    write_atomically(file, b"old")
    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        with pytest.raises(OSError, match="Could not save .*unharmed.*Make room"):
            write_atomically(file, b"new" * 5000)
    run_in_child(fill)
    assert files(tmp_path) == ["a"] and file.read_bytes() == b"old", "the part written is gone"


def test_kill_9_at_any_moment_leaves_the_old_or_the_new_checkpoint(tmp_path):
    file = tmp_path / "run.safetensors"
    def save_forever(number):
        torch.set_num_threads(1)  # the threads of the parent did not come along
        while True:
            save_checkpoint(file, {"x": torch.full((1_500_000,), float(number))}, {"number": number})
            number += 1
    save_checkpoint(file, {"x": torch.zeros(1_500_000)}, {"number": 0})
    last, abandoned, tries, generator = 0, 0, 0, random.Random(0)
    while tries < 10 or not (last and abandoned):
        tries += 1
        assert tries < 100, "the kills do not hit: the test shows nothing"
        child = in_child.Process(target=save_forever, args=(last + 1,))
        child.start()
        time.sleep(0.02 + generator.random() * 0.1)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        abandoned += len(files(tmp_path)) - 1
        assert len(files(tmp_path)) <= 2, "the next save removes what a dead process left"
        tensors, info = read_checkpoint(file)
        assert tensors["x"].unique().tolist() == [info["number"]] and info["number"] >= last
        last = info["number"]
    write_atomically(file, b"")
    assert files(tmp_path) == ["run.safetensors"]


def test_temporary_files_of_writers_that_may_live_are_left_alone(tmp_path):
    dead = f".a.{HOST}.99999999.7.part"
    kept = [f".a.{HOST}.1.7.part",  # process 1 runs always
            ".a.another-machine.99999999.7.part", f".a.{HOST}.b.7.part", f"a.{HOST}.99999999.7.part"]
    for name in (dead, *kept):
        (tmp_path / name).write_bytes(b"x")
    write_atomically(tmp_path / "b", b"new")
    assert files(tmp_path) == sorted([*kept, "b"])


def test_temporary_files_of_any_name_are_removed(tmp_path):
    for name in ("x[1]", "x y.z", "é"):
        (tmp_path / f".{name}.{HOST}.99999999.7.part").write_bytes(b"x")
    remove_abandoned(tmp_path)
    assert files(tmp_path) == []


def test_threads_that_write_the_same_file_do_not_mix(tmp_path):
    file = tmp_path / "a"
    contents = [bytes([letter]) * 200_000 for letter in b"abcd"]
    errors = []
    def write(content):
        for _ in range(20):
            try:
                write_atomically(file, content)
            except OSError as error:
                errors.append(error)
    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert not file.exists() or file.read_bytes() in contents
    assert not errors and file.read_bytes() in contents and files(tmp_path) == ["a"]


def test_only_one_process_at_a_time_is_inside_a_lock(tmp_path):
    log = tmp_path / "log"
    def enter(name):
        with locked(tmp_path / "a"):
            for word in ("in", "out"):
                with open(log, "a") as handle:
                    handle.write(f"{name} {word}\n")
                time.sleep(0.02)
    children = [in_child.Process(target=enter, args=(name,)) for name in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    lines = log.read_text().split("\n")[:-1]
    assert len(lines) == 8
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        assert first.split()[0] == second.split()[0]


def test_a_killed_process_gives_its_lock_back(tmp_path):
    inside = in_child.Event()
    def hold():
        with locked(tmp_path / "a"):
            inside.set()
            time.sleep(60)
    child = in_child.Process(target=hold)
    child.start()
    assert inside.wait(30)
    waits = pytest.raises(TimeoutError, match="Another process has been working on .*a for 0.05 s")
    with waits, locked(tmp_path / "a", timeout=0.05):
        pass
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    with locked(tmp_path / "a", timeout=10):
        pass
