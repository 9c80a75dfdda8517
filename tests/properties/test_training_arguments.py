"""Arguments of any kind through every training method: it works, or an error of ours and nothing changed."""
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ours import ours

from transfer_lessons import fine_tuning, lr_finder  # noqa: F401  they add methods to Learner

pytestmark = pytest.mark.usefixtures("one_thread")

NUMBERS = st.one_of(st.integers(-2, 3), st.floats(), st.floats(1e-6, 1.0), st.booleans(),
                    st.sampled_from([np.int64(1), np.float32(1e-3), np.bool_(True), torch.tensor(1),
                                     torch.tensor(1e-3), 10**400, 1j, np.nan, math.inf]))
OTHERS = st.one_of(st.none(), st.text(max_size=4), st.binary(max_size=3), st.just(object()), st.just(dict),
                   st.builds(dict), st.builds(lambda: torch.ones(2, 2)), st.just(math.cos))
LISTS = st.one_of(st.lists(NUMBERS, max_size=4), st.lists(st.floats(1e-6, 1.0), min_size=3, max_size=3),
                  st.builds(lambda: np.array([1e-4, 1e-3, 1e-2])), st.builds(lambda: torch.full((3,), 1e-3)),
                  st.builds(slice, NUMBERS | st.none(), NUMBERS | st.none()),
                  st.builds(slice, st.floats(1e-6, 1.0), st.floats(1e-6, 1.0)))
VALUES = st.one_of(NUMBERS, OTHERS, LISTS)

# What each method takes, with a value that works and is cheap.
METHODS = {
    "fit": {"n_epoch": 1, "lr": 1e-3, "schedule": None, "momentum": None, "start_epoch": 0,
            "checkpoint": None, "wd": None},
    "fit_one_cycle": {"n_epoch": 1, "lr_max": 1e-3, "div": 25, "div_final": 1e5, "pct_start": 0.25,
                      "moms": (0.95, 0.85, 0.95), "start_epoch": 0, "checkpoint": None, "wd": 0.1},
    "fit_sgdr": {"n_cycles": 1, "cycle_len": 1, "lr_max": 1e-3, "cycle_mult": 1},
    "fine_tune": {"epochs": 1, "base_lr": 1e-3, "freeze_epochs": 0, "lr_mult": 100, "pct_start": 0.3},
    "lr_find": {"start_lr": 1e-5, "end_lr": 1.0, "num_it": 20, "suggest_funcs": ()},
    "freeze_to": {"n": -1}, "load": {"name": "kept"}, "save": {"name": "kept", "epoch": None},
    "validate": {"dl": None}, "get_preds": {"dl": None}, "test_dl": {"files": [], "labels": None},
    "summary": {"lr": 1e-3}, "predict": {"source": "none.png"},
}


@pytest.fixture
def tiny_learner(small_learner):
    """Two steps per epoch."""
    learn = small_learner()
    for dl, n in ((learn.dls.train, 16), (learn.dls.valid, 4)):
        dl.dataset.sources, dl.dataset.targets = dl.dataset.sources[:n], dl.dataset.targets[:n]
    learn.save("kept")
    return learn


def count(value) -> int:
    """How many epochs a value asks for, if it is a number."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return 0


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_any_argument_works_or_is_refused_and_nothing_changes(tiny_learner, state_of, assert_same, data):
    learn = tiny_learner
    method = data.draw(st.sampled_from(sorted(METHODS)), "method")
    name = data.draw(st.sampled_from(sorted(METHODS[method])), "argument")
    value = data.draw(VALUES, "value")
    if method == "lr_find" or name in ("n_epoch", "epochs", "n_cycles", "cycle_len", "freeze_epochs", "cycle_mult"):
        value = value if abs(count(value)) < 30 else 3
    before, history = state_of(learn), len(learn.recorder.losses)
    flags = [parameter.requires_grad for parameter in learn.model.parameters()]
    refused = True
    with ours():
        getattr(learn, method)(**{**METHODS[method], name: value})
        refused = False
    if refused and len(learn.recorder.losses) == history:
        assert_same({key: now for key, now in before.items() if not key.startswith("opt.")},
                    {key: now for key, now in state_of(learn).items() if not key.startswith("opt.")})
        assert [parameter.requires_grad for parameter in learn.model.parameters()] == flags
    learn.load("kept")
    learn.unfreeze()
