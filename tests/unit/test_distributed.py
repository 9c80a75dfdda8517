"""Several processes are one training: two of them on the CPU, and one process as the judge."""
import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import ranks
import torch
from torch.testing import assert_close

from transfer_lessons.data import augment_batch
from transfer_lessons.distributed import DistributedLearner, distribute, main
from transfer_lessons.lr_finder import LRFind  # noqa: F401  adds lr_find
from transfer_lessons.sharding import ShardedLoader, part_of_each_batch, run_of_batches

pytest.importorskip("accelerate")
TESTS = Path(ranks.__file__).parent
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
          "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
          "--main_process_port", "0"]


def launch(*words, **options) -> subprocess.CompletedProcess:
    """Start two processes on the CPU as `accelerate launch` does, and wait for them."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1",
                   "PYTHONPATH": path}
    return subprocess.run([*LAUNCH, *map(str, words)], env=environment, capture_output=True,
                          text=True, timeout=300, check=False, **options)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the processes and the judge put their files."""
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def found(folder) -> list[dict]:
    """What each of two ranks found."""
    ranks.stopped(ranks.learner(folder), "alone")
    done = launch(TESTS / "ranks.py", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank {rank}.json").read_text()) for rank in range(2)]


def test_two_processes_ran(found):
    assert [one["ranks"] for one in found] == [2, 2]
    assert [one["own images"] for one in found] == [8, 8], "half of a batch of 16 each"


def test_losses_are_those_of_one_process_after_20_steps(found, folder):
    alone = ranks.learner(folder)
    alone.unfreeze()
    expected = ranks.steps(alone)
    assert len(expected) == 20
    for one in found:
        assert_close(one["losses"], expected, atol=1e-4, rtol=0)
    assert_close(torch.tensor(found[0]["logits"]), alone.get_logits()[0], atol=1e-3, rtol=0)
    assert found[0]["logits"] == found[1]["logits"]
    assert found[0]["training logits"] == len(alone.dls.train.dataset)


def test_lr_find_gives_the_curve_of_one_process(found, folder):
    alone = ranks.learner(folder)
    ranks.steps(alone)
    expected = alone.lr_find(num_it=20).losses
    n = min(len(expected), 10)  # before it grows: there, last digits become first ones
    assert_close(found[0]["found"][:n], expected[:n], atol=1e-3, rtol=0)
    assert found[0]["found"] == found[1]["found"]


@pytest.mark.parametrize("kind", ["2d", "1d", "timm", "mean of all"])
def test_batchnorm_over_two_ranks_is_pytorchs_over_the_whole_batch(found, kind):
    for one in found:
        differences = one[f"batchnorm {kind}"]
        assert max(differences.values()) < 1e-4, differences
        assert differences["count"] == 0


def test_mean_gradients_are_those_of_distributed_data_parallel(found):
    assert max(one["ddp"] for one in found) < 1e-6


@pytest.mark.case("resume on another number of devices", "goes on as one training")
def test_two_ranks_begin_and_one_process_goes_on(found, folder):
    undisturbed = ranks.learner(folder)
    undisturbed.fit_one_cycle(3, 1e-2)
    alone = ranks.learner(folder)
    alone.load("two")
    alone.fit_one_cycle(3, 1e-2, start_epoch=1)
    n_begun = found[0]["begun"]
    assert n_begun == len(undisturbed.dls.train)
    assert_close(alone.recorder.losses, undisturbed.recorder.losses, atol=1e-3, rtol=0)
    for one in found:  # one process began, and two went on
        assert_close(one["gone on"], undisturbed.recorder.losses, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("kind", "augment", "views"), [("augmented", True, 2), ("plain", False, None)])
def test_a_sharded_cache_is_the_unsharded_one(found, folder, kind, augment, views):
    alone = ranks.learner(folder, augment=augment)
    alone.freeze()
    head = alone.precompute(views)
    head.fit(1, 1e-2)
    digest = hashlib.sha256(head.dls.train.activations.numpy().tobytes()).hexdigest()
    for one in found:
        assert one[f"cache {kind}"]["sha256"] == digest, "to the byte"
        assert_close(one[f"cache {kind}"]["losses"], head.recorder.losses)
    left = [file.name for file in (folder / f"cache {kind}").glob("*.npy")]
    assert len(left) == 2, "one file for training, one for validation, no shards"


@pytest.mark.case("one of several processes fails", "all stop, and the others name the rank and why")
def test_where_one_rank_fails_all_raise(found):
    assert found[1]["one fails"] == "OSError: disk full"
    assert found[0]["one fails"].startswith("RuntimeError: Rank 1 failed")
    assert "disk full" in found[0]["one fails"]


@pytest.mark.case("NaN in one process of several", "all leave the step out and stop at the same one")
def test_nan_on_one_rank_stops_all_with_finite_weights(found):
    for one in found:
        assert one["nan"]["finite"]
        assert "at step" in one["nan"]["message"]
    assert found[0]["nan"]["message"] == found[1]["nan"]["message"]


def test_dropout_differs_between_ranks_and_leaves_the_generators_alike(found):
    within, after = zip(*[one["drawn"] for one in found], strict=True)
    assert within[0] != within[1]
    assert after[0] == after[1]


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_parts_of_the_loader_are_its_batches(folder, n_ranks):
    whole = ranks.learner(folder).dls.train
    parts = [ShardedLoader(ranks.learner(folder).dls.train, part_of_each_batch(rank, n_ranks))
             for rank in range(n_ranks)]
    for _ in range(2):
        for (xb, yb), *shares in zip(whole, *parts, strict=True):
            assert torch.equal(torch.cat([x for x, _ in shares]), xb)
            assert torch.equal(torch.cat([y for _, y in shares]), yb)
    assert all(torch.equal(part.generator.get_state(), whole.generator.get_state()) for part in parts)


def test_runs_of_batches_are_all_of_them_once():
    for n_ranks in (1, 2, 3, 7):
        for n_batches in (1, 2, 5, 20):
            owners = [[rank for rank in range(n_ranks)
                       if range(4)[run_of_batches(rank, n_ranks, n_batches)(batch, 4)]]
                      for batch in range(n_batches)]
            assert all(len(owner) == 1 for owner in owners)
            assert owners == sorted(owners)


def test_random_numbers_can_be_given_to_augment_batch():
    x = torch.rand(4, 3, 8, 8)
    draws = torch.rand(7, 4, generator=torch.Generator().manual_seed(5))
    expected = augment_batch(x, torch.Generator().manual_seed(5))
    assert torch.equal(augment_batch(x, draws=draws), expected)
    assert_close(augment_batch(x[1:3], draws=draws[:, 1:3]), expected[1:3])
    with pytest.raises(ValueError, match=r"draws must be of shape \[7, 4\]; got \[7, 3\]"):
        augment_batch(x, draws=draws[:, :3])


def test_one_process_alone_is_a_learner_as_ever(folder):
    learn = distribute(ranks.learner(folder))
    alone = ranks.learner(folder)
    for one in (learn, alone):
        one.fit(1, 1e-2)
    assert isinstance(learn, DistributedLearner)
    assert_close(learn.recorder.losses, alone.recorder.losses)


class TwoRanks:
    """Accelerate's object, as far as it is asked before anything changes."""
    num_processes = 2
    process_index = 0
    is_main_process = True
    device = torch.device("cpu")


@pytest.mark.case("a batch that cannot be split over the devices", "refused, with a batch size to try")
def test_what_cannot_be_split_is_refused(folder):
    with pytest.raises(ValueError, match="bs must be a multiple of 2.*got 15. Try bs=16"):
        distribute(ranks.learner(folder, bs=15), TwoRanks())
    cached = ranks.learner(folder, augment=False)
    cached.freeze()
    with pytest.raises(ValueError, match="must train on images"):
        distribute(cached.precompute(), TwoRanks())
    with pytest.raises(ValueError, match="learn must be of type Learner"):
        distribute(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="rank must be below world_size=2"):
        part_of_each_batch(2, 2)


def test_the_program_fine_tunes_in_two_processes(tmp_path):
    words = ["--size", "32", "--epochs", "1", "--out", tmp_path, "--cpu"]
    done = launch("-m", "transfer_lessons.distributed", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Error rate") == 1, "the first rank alone speaks"
    assert "2 processes on cpu, 16 images in a batch, 8 for each" in done.stdout
    assert (tmp_path / "models" / "distributed.safetensors").exists()


def test_the_program_says_what_is_wrong(tmp_path, capsys):
    assert main([str(tmp_path / "none"), "--cpu"]) == 1
    message = capsys.readouterr().err
    assert "none" in message and "Traceback" not in message


@pytest.mark.case("a copied process waits for its parent's threads", "it has one thread, and trains")
def test_a_notebook_starts_two_processes(tmp_path):
    program = tmp_path / "notebook.py"
    program.write_text(f"""
import ranks
import torch
from accelerate import notebook_launcher
from transfer_lessons.distributed import distribute

def train():
    learn = distribute(ranks.learner({str(tmp_path)!r}))
    rank = learn.accelerator.process_index
    open({str(tmp_path / 'rank ')!r} + str(rank), "w").write(repr(ranks.steps(learn, 3)))

torch.set_num_threads(2)
torch.rand(2000, 2000).exp().sum()  # starts threads, which a copy of the process lacks
notebook_launcher(train, num_processes=2, use_port="{free_port()}")
""")
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "2",
                   "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True,
                          text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [json.loads((tmp_path / f"rank {rank}").read_text()) for rank in range(2)]
    assert losses[0] == losses[1]
    assert_close(losses[0], ranks.steps(ranks.learner(tmp_path), 3), atol=1e-4, rtol=0)
