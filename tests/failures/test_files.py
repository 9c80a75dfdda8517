"""Files: full disks, crashes, damage, pickles, networks, downloads, shared caches."""
import multiprocessing
import os
import pickle
import random
import re
import signal
import socket
import tarfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import small_model
from torch import nn
from torchvision.datasets.utils import download_and_extract_archive

from transfer_lessons import datasets
from transfer_lessons.checkpoints import (
    HOST,
    locked,
    read_checkpoint,
    remove_abandoned,
    save_checkpoint,
    write_atomically,
)
from transfer_lessons.datasets import pets

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


@pytest.mark.case("disk full while saving",
                  "the error says so; the file from before is unharmed")
@pytest.mark.parametrize("room", [0, 100, 5000])
def test_disk_full_while_saving(tmp_path, room):
    file = tmp_path / "a"
    write_atomically(file, b"old")
    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        with pytest.raises(OSError, match="Could not save .*unharmed.*Make room"):
            write_atomically(file, b"new" * 5000)
    run_in_child(fill)
    assert files(tmp_path) == ["a"] and file.read_bytes() == b"old", "the part written is gone"


@pytest.mark.case("`kill -9` while saving", "the old or the new checkpoint, never half of one")
def test_kill_9_while_saving(tmp_path):
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


@pytest.mark.case("stale temporary files",
                  "removed where the writer is dead; left alone where it may live, on another machine too")
def test_temporary_files_of_writers_that_may_live_are_left_alone(tmp_path):
    dead = f".a.{HOST}.99999999.7.part"
    kept = [f".a.{HOST}.1.7.part",  # process 1 runs always
            ".a.another-machine.99999999.7.part", f".a.{HOST}.b.7.part", f"a.{HOST}.99999999.7.part"]
    for name in (dead, *kept):
        (tmp_path / name).write_bytes(b"x")
    write_atomically(tmp_path / "b", b"new")
    assert files(tmp_path) == sorted([*kept, "b"])


@pytest.mark.case("stale temporary files",
                  "removed where the writer is dead; left alone where it may live, on another machine too")
def test_temporary_files_of_any_name_are_removed(tmp_path):
    for name in ("x[1]", "x y.z", "é"):
        (tmp_path / f".{name}.{HOST}.99999999.7.part").write_bytes(b"x")
    remove_abandoned(tmp_path)
    assert files(tmp_path) == []


@pytest.mark.case("two writers, one file", "each writes a whole file")
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


@pytest.mark.case("two notebooks share one cache",
                  "a lock lets one in at a time; a killed process gives it back")
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


@pytest.mark.case("two notebooks share one cache",
                  "a lock lets one in at a time; a killed process gives it back")
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


@pytest.mark.case("checkpoint of another architecture or class count",
                  "names and shapes are checked before anything is copied")
def test_checkpoint_of_another_architecture_or_class_count(small_learner, state_of, assert_same):
    small_learner().save("three")
    others = [small_learner(small_model(n_classes=4)), small_learner(nn.Linear(2, 3))]
    for learn in others:
        before = state_of(learn)
        with pytest.raises(ValueError, match="another model.*Nothing was changed"):
            learn.load("three")
        assert_same(before, state_of(learn))


@pytest.mark.case("one byte flipped in a checkpoint", "an error: the tensors' SHA-256 is in the file")
@given(data=st.data())
def test_one_byte_flipped_in_a_checkpoint(data, tmp_path):
    save_checkpoint(tmp_path / "run", {"x": torch.arange(8.0)}, {"epoch": 1})
    content = bytearray((tmp_path / "run").read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "run").write_bytes(content)
    with pytest.raises(ValueError, match="Nothing was loaded"):
        read_checkpoint(tmp_path / "run")


class Canary:
    """Unpickled, it would write a file."""
    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return open, (self.file, "w")


@pytest.mark.case("pickle checkpoint", "refused, never opened")
def test_pickle_checkpoint(small_learner, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "theirs.pkl").write_bytes(pickle.dumps(Canary(tmp_path / "sang")))
    with pytest.raises(ValueError, match="pickle, which could run any program"):
        small_learner().load("theirs.pkl")
    assert not (tmp_path / "sang").exists()


@pytest.mark.case("resume after an interruption", "every tensor equals the uninterrupted run's")
def test_resume_after_an_interruption(small_learner, state_of, assert_same):
    whole = small_learner(augment=True)
    whole.fit_one_cycle(3, 1e-2)
    stopped = small_learner(augment=True)
    stopped.progress_type = lambda n_epoch: StopAfter(2)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit_one_cycle(3, 1e-2, checkpoint="run")
    again = small_learner(augment=True)  # as after a restart
    again.load("run")
    again.fit_one_cycle(3, 1e-2, start_epoch=1)
    assert_same(state_of(whole), state_of(again))


class StopAfter:
    """Stands in for the progress bar, and presses Ctrl-C in the second epoch."""
    def __init__(self, epoch: int):
        self.epoch = epoch

    def start(self, epoch, n_steps):
        if epoch + 1 == self.epoch:
            raise KeyboardInterrupt

    def steer(self, lrs):
        return lrs

    def step(self): ...

    def row(self, row): ...

    def show(self): ...


@pytest.mark.case("no network",
                  "under 5 s: what was wanted, where it would be kept, what to do")
def test_no_network(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("Network is unreachable")
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    start = time.perf_counter()
    with pytest.raises(ConnectionError, match=f"Pets.*{re.escape(str(tmp_path))}.*Connect"):
        pets(tmp_path)
    assert time.perf_counter() - start < 5


@pytest.fixture
def server(tmp_path):
    """Serves the folder `served`; files named cut-* are broken off in the middle."""
    class Handler(SimpleHTTPRequestHandler):
        def copyfile(self, source, outputfile):
            content = source.read()
            if Path(self.path).name.startswith("cut-"):
                content = content[:len(content) // 2]
            outputfile.write(content)

        def log_message(self, *arguments):
            pass
    (tmp_path / "served").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0),
                             partial(Handler, directory=tmp_path / "served")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.case("download cut, or altered; archive with `../` or links",
                  "refused by its checksum before it is unpacked; nothing is written outside")
@pytest.mark.parametrize("name", ["cut-photos.tar.gz", "altered.tar.gz"])
def test_download_cut_or_altered_and_archive_that_leaves_its_folder(name, server, tmp_path):
    with tarfile.open(tmp_path / "served" / name, "w:gz") as archive:
        escape = tarfile.TarInfo("../escaped.txt")
        archive.addfile(escape)
    def dataset(root, download=False):
        if not download:
            raise RuntimeError("Dataset not found")
        download_and_extract_archive(f"{server}/{name}", str(root), md5="0" * 32)
    root = tmp_path / "kept" / "here"
    with pytest.raises(ConnectionError, match="could not be downloaded.*Try again"):
        datasets._downloaded(dataset, "Photos", root, server=server)
    assert not list(tmp_path.glob("**/escaped.txt"))
