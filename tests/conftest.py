"""A learner small enough to train in a fraction of a second, for the tests of the loop."""
import signal

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import HealthCheck, settings
from small import small_model

from transfer_lessons.datasets import draw_icons
from transfer_lessons.learner import Learner
from transfer_lessons.loaders import ImageDataLoaders

matplotlib.use("Agg")
# `make test` tries the same examples every time; `make soak` many more, and others each time.
common = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
settings.register_profile("everyday", max_examples=200, derandomize=True, **common)
settings.register_profile("soak", max_examples=5000, **common)
settings.load_profile("everyday")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores Ctrl-C


@pytest.fixture(autouse=True)
def nobodys_progress(tmp_path, monkeypatch):
    """Checks in tests are written into no learner's file."""
    monkeypatch.setenv("TRANSFER_LESSONS_PROGRESS", str(tmp_path / "progress.json"))


@pytest.fixture(autouse=True)
def no_figures():
    """No test sees the figures of another."""
    plt.close("all")


@pytest.fixture(scope="module")
def one_thread():
    """For networks and images as small as the tests', more threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def drawings():
    """Sixteen icons of each of three classes, and the class of each."""
    icons, classes = draw_icons(24)
    chosen = []
    for name in ("animal", "building", "vehicle"):
        chosen += [i for i, found in enumerate(classes) if found == name][:16]
    return [icons[i] for i in chosen], [classes[i] for i in chosen]


@pytest.fixture
def small_learner(drawings, tmp_path):
    """Makes learners that are alike: the same icons, order and first weights every time."""
    def make(model=None, augment=False, seed=0, **options) -> Learner:
        torch.manual_seed(seed)
        is_valid = [i % 4 == 0 for i in range(len(drawings[0]))]
        dls = ImageDataLoaders.from_files(*drawings, is_valid=is_valid, size=16, bs=8,
                                          augment=augment, device="cpu")
        options = {"path": tmp_path, **options}
        return Learner(dls, small_model() if model is None else model, **options)
    return make


@pytest.fixture
def state_of():
    """Copies of all that a training can change in a learner, to compare before and after."""
    def state(learn: Learner) -> dict[str, torch.Tensor]:
        found = {f"model.{key}": value for key, value in learn.model.state_dict().items()}
        if learn.opt is not None:
            found |= {f"opt.{number}.{key}": value
                      for number, values in learn.opt.state_dict()["state"].items()
                      for key, value in values.items()}
        found["order"] = learn.dls.train.generator.get_state()
        found["random"] = torch.get_rng_state()
        found["modes"] = torch.tensor([module.training for module in learn.model.modules()])
        return {key: value.clone() for key, value in found.items()}
    return state


@pytest.fixture
def assert_same():
    """Two states are equal in every bit."""
    def check(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
        assert first.keys() == second.keys()
        different = [key for key in first if not torch.equal(first[key], second[key])]
        assert not different, f"{different} differ"
    return check
