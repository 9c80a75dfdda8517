"""Half precision in everything a learner does, and what is said where a device has none."""
import copy
import itertools
import math

import pytest
import torch
from torch import nn

from transfer_lessons import precision
from transfer_lessons.losses import cross_entropy
from transfer_lessons.network_checks import fastest_format
from transfer_lessons.precision import Precision, can_train, choose_precision
from transfer_lessons.precompute import PrecomputedLearner
from transfer_lessons.sweep import sweep_lrs

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@pytest.fixture
def dtypes(monkeypatch):
    """The dtypes of what the convolutions of any network give, in order."""
    seen = []
    original = nn.Conv2d.forward
    def forward(layer, x):
        y = original(layer, x)
        seen.append(y.dtype)
        return y
    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    return seen


def frozen(learn):
    learn.freeze()
    return learn


USES = {
    "fit": lambda learn: learn.fit(1, 1e-3), "lr_find": lambda learn: learn.lr_find(num_it=20),
    "validate": lambda learn: learn.validate(), "get_preds": lambda learn: learn.get_preds(),
    "predict": lambda learn: learn.predict(learn.dls.valid.dataset.sources[0]),
    "precompute": lambda learn: frozen(learn).precompute(),
    "sweep": lambda learn: sweep_lrs(frozen(learn), [1e-3, 1e-2], 1, suggest_funcs=())}


@pytest.mark.parametrize("name", USES)
def test_everything_runs_in_bfloat16_when_asked_and_only_then(small_learner, dtypes, name):
    learn, use = small_learner(), USES[name]
    use(learn)
    assert set(dtypes) == {torch.float32}
    dtypes.clear()
    assert learn.to_bf16() is learn
    use(learn)
    in_turn = [dtype for dtype, _ in itertools.groupby(dtypes)]
    tries = [torch.float32] * (name in ("precompute", "sweep"))  # of where the network can be cut
    assert in_turn == [*tries, torch.bfloat16]
    dtypes.clear()
    use(learn.to_fp32())
    assert set(dtypes) == {torch.float32}


def test_weights_statistics_optimizer_and_logits_stay_in_float32(small_learner):
    learn = small_learner().to_bf16()
    learn.fit(1, 1e-2)
    kept = [*learn.model.parameters(), *(value for value in learn.model.buffers() if value.ndim),
            *(value for values in learn.opt.state.values() for value in values.values()),
            learn.get_preds()[0], learn.forward(learn.dls.one_batch()[0])]
    assert {value.dtype for value in kept} == {torch.float32}


def test_losses_are_near_those_in_float32(small_learner):
    runs = [small_learner(), small_learner().to_bf16()]
    for learn in runs:
        torch.manual_seed(1)
        learn.fit(3, 1e-2)
    exact, rounded = (torch.tensor(learn.recorder.losses) for learn in runs)
    assert 0 < (exact - rounded).abs().max() < 0.05


def test_there_and_back_is_float32_to_the_bit(small_learner, state_of, assert_same):
    runs = [small_learner(), small_learner().to_bf16().to_fp32()]
    for learn in runs:
        torch.manual_seed(1)
        learn.fit(1, 1e-2)
    assert_same(*map(state_of, runs))


def test_a_loss_that_is_nan_is_named_in_bfloat16(small_learner):
    learn = small_learner(loss_func=lambda logits, targets: logits.sum() * math.nan).to_bf16()
    with pytest.raises(FloatingPointError, match="The loss is nan at step 0"):
        learn.fit(1, 1e-3)


def test_float16_becomes_bfloat16_on_a_cpu_and_says_so(small_learner, capsys):
    learn = small_learner().to_fp16()
    assert learn.precision == Precision(CPU, torch.bfloat16) and learn.precision.scaler() is None
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "float16" in said and "training in bfloat16 instead" in said
    small_learner().to_bf16()
    assert capsys.readouterr().out == "", "what was asked for needs no words"


@pytest.mark.parametrize("can, wanted, gets", [
    ({torch.float16}, torch.bfloat16, torch.float16), ({torch.bfloat16}, torch.float16, torch.bfloat16),
    (set(), torch.float16, torch.float32), (set(), torch.bfloat16, torch.float32),
    ({torch.float16, torch.bfloat16}, torch.float16, torch.float16)])
def test_a_device_gets_what_comes_next_and_a_sentence(monkeypatch, capsys, can, wanted, gets):
    monkeypatch.setattr(precision, "can_train", lambda choice: choice.dtype in {*can, torch.float32})
    device = torch.device("cuda")
    assert choose_precision(wanted, device) == Precision(device, gets)
    said = capsys.readouterr().out
    assert (f"training in {Precision(device, gets)} instead" in said) == (gets is not wanted)


def test_bfloat16_that_a_gpu_only_imitates_does_not_count(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: bool(asked.append(options)))
    assert not can_train(Precision(torch.device("cuda"), torch.bfloat16))
    assert asked == [{"including_emulation": False}]
    assert can_train(Precision(CPU, torch.bfloat16)) and can_train(Precision(CPU))


def test_only_float16_has_a_scaler():
    assert isinstance(Precision(CPU, torch.float16).scaler(), torch.amp.GradScaler)
    assert Precision(CPU, torch.bfloat16).scaler() is None and Precision(CPU).scaler() is None


@pytest.mark.parametrize("device, dtype, layout", [
    ("cuda", torch.float32, torch.contiguous_format), ("cuda", torch.float16, torch.channels_last),
    ("cuda", torch.bfloat16, torch.channels_last), ("mps", torch.float32, torch.contiguous_format),
    ("mps", torch.float16, torch.contiguous_format), ("cpu", torch.float32, torch.channels_last),
    ("cpu", torch.bfloat16, torch.channels_last)])
def test_the_layout_suits_device_and_format(device, dtype, layout):
    assert fastest_format(nn.Conv2d(16, 16, 3), torch.device(device), dtype) == layout


def test_a_precomputed_learner_trains_in_its_originals_format(small_learner):
    learn = frozen(small_learner()).to_bf16()
    cached = learn.precompute()
    assert isinstance(cached, PrecomputedLearner) and cached.precision == learn.precision
    assert cached.dls.train.activations.dtype is torch.bfloat16
    exact = frozen(learn.to_fp32()).precompute()
    assert 0 < (cached.dls.train.activations.float() - exact.dls.train.activations).abs().max() < 0.1


def test_files_of_cached_activations_know_their_format(small_learner, tmp_path):
    learn = frozen(small_learner())
    for method in (learn.to_fp32, learn.to_bf16, learn.to_bf16):
        method().precompute(max_memory=0, folder=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("[!.]*.npy"))) == 4, "training and validation, in each format"


def test_a_sweep_in_bfloat16_is_the_learners_own_training(small_learner):
    learn = frozen(small_learner(nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Sequential(nn.Linear(8, 3))))).to_bf16().precompute()
    state = learn.dls.train.generator.get_state()
    swept = sweep_lrs(learn, [1e-3, 1e-1], 2, suggest_funcs=())
    for lr, losses in zip(swept.lrs, swept.losses, strict=True):
        alone = copy.copy(learn)
        alone.model, alone.opt = copy.deepcopy(learn.model), None
        alone.recorder = type(learn.recorder)()
        learn.dls.train.generator.set_state(state)
        alone.fit_one_cycle(2, lr)
        torch.testing.assert_close(losses, torch.tensor(alone.recorder.losses), atol=0.02, rtol=0.02)


# Checkpoints

class Scaled(Precision):
    """With a scaler that overflows at first, so that a CPU can show what a GPU does."""
    def scaler(self):
        return torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=3)


@pytest.mark.parametrize("kind", [Precision, Scaled])
def test_a_resumed_training_goes_on_as_if_nothing_had_happened(small_learner, state_of, assert_same, kind):
    form = kind(CPU, torch.bfloat16)
    def make():
        large = small_learner(loss_func=lambda *batch: 1e4 * cross_entropy(*batch))
        return large.set_precision(form)
    whole, broken, resumed = make(), make(), make()
    torch.manual_seed(1)
    whole.fit(4, 1e-2)
    torch.manual_seed(1)
    broken.fit(2, 1e-2, checkpoint="run")
    resumed.load("run").fit(4, 1e-2, start_epoch=2)
    assert_same(state_of(whole), state_of(resumed))
    assert whole.recorder.losses == resumed.recorder.losses
    if kind is Scaled:
        assert whole.guard.scaler.state_dict() == resumed.guard.scaler.state_dict()
        assert whole.guard.scaler.get_scale() < 2.0**127


def test_a_checkpoint_of_another_format_goes_on_with_a_warning(small_learner):
    broken, resumed = small_learner().to_bf16(), small_learner()
    broken.fit(1, 1e-2, checkpoint="run")
    with pytest.warns(UserWarning, match="trained in bfloat16; it goes on in float32"):
        resumed.load("run").fit(2, 1e-2, start_epoch=1)
