"""What does a GPU do with it? Speed against a bare loop and fastai, waits, memory, every lesson.

One command, under 8 minutes on one GPU: `make gpu`, or `python benchmarks/gpu.py` where only
torch, torchvision and timm are installed and wheels.py has brought the rest. Without a GPU it
does the same on the CPU with a handful of tiny images, and tries one lesson.
"""
import importlib.util
import json
import os
import subprocess
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import wheels  # noqa: E402

ABSENT = wheels.install()  # packages that are neither here nor in the folder of wheels
if wheels.SITE.is_dir():
    sys.path.append(str(wheels.SITE))
import torch  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["QUICK"] = "1"

from measure import QUICK, Report, seconds_of, taking_turns  # noqa: E402
from sides import (  # noqa: E402
    Bare,
    fastai_learner,
    fastai_loaders,
    network,
    our_learner,
    our_loaders,
    quietly,
)
from torchvision.models import resnet34  # noqa: E402

from transfer_lessons.all import sweep_lrs  # noqa: E402

N, SIZE, BATCH, ROUNDS = (16, 32, 4, 1) if QUICK else (2048, 224, 64, 5)
LESSONS = sorted((HERE.parent / "nbs").glob("[01][0-9]_*.ipynb"))
SECONDS = 150  # for all lessons together


def half() -> torch.dtype:
    """The half precision that this device trains in."""
    if DEVICE == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def loaders(n: int = N):
    return our_loaders(n, BATCH, SIZE, BATCH, DEVICE)


def epochs(report: Report) -> None:
    """Images per second of a resnet34 that trains as a whole, images decoded and kept."""
    ours = our_learner(loaders(), network(resnet34))
    bare = Bare(loaders(), network(resnet34), half())
    (ours.to_fp16 if half() is torch.float16 else ours.to_bf16)()
    turns = {"ours": quietly(lambda: ours.fit(1, 1e-3)), "bare loop": bare.epoch}
    if importlib.util.find_spec("fastai"):
        theirs = fastai_learner(fastai_loaders(N, BATCH, SIZE, BATCH, DEVICE), network(resnet34))
        if DEVICE == "cuda":  # its autocast knows no other device
            theirs = theirs.to_fp16() if half() is torch.float16 else theirs.to_bf16()
        turns["fastai"] = quietly(lambda: theirs.fit(1, 1e-3), theirs)
    times = taking_turns(turns, ROUNDS)
    speeds = {side: [N / seconds for seconds in values] for side, values in times.items()}
    report.values(f"unfrozen resnet34, {SIZE} px, {half()}, validation included", speeds,
                  "images per second")
    report.ratio("images per second, ours / bare loop", speeds["ours"], speeds["bare loop"],
                 at_least=0.9)
    if "fastai" in speeds:
        report.ratio("images per second, ours / fastai", speeds["ours"], speeds["fastai"],
                     at_least=1.3)


def waits_of(function) -> Counter[str]:
    """Where Python waited for the device, as torch warns; on the CPU, numbers that are read."""
    if DEVICE == "cpu":
        sys.path.insert(0, str(HERE.parent / "tests"))
        from counting import operators
        return Counter({"a number is read": operators(function)["_local_scalar_dense"]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            function()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return Counter(f"{Path(w.filename).name}:{w.lineno}" for w in caught
                   if "synchronizing" in str(w.message))


def waits(report: Report) -> None:
    """Waits per step: those of an epoch of many steps less those of one of few."""
    def every_layer(dls):
        learn = our_learner(dls, network(resnet34))
        return lambda: learn.fit(1, 1e-3)

    def head(dls):
        learn = our_learner(dls, network(resnet34), frozen=True).precompute()
        return lambda: learn.fit(1, 1e-3)

    def sweep(dls):
        model = network(resnet34, hidden=None)
        learn = our_learner(dls, model, frozen=True).precompute()
        return lambda: sweep_lrs(learn, [1e-4, 1e-3], 1, suggest_funcs=())

    few, many = (4, 12) if QUICK else (8, 24)
    makers = {"every layer": every_layer, "head on cached activations": head, "sweep": sweep}
    for name, make in makers.items():
        found = []
        for n_steps in (few, many):
            call = quietly(make(loaders(n_steps * BATCH)))
            call()  # images are decoded, memory is reserved
            found.append(waits_of(call))
        more = found[1] - found[0]
        report.number(f"waits per training step, {name}", [sum(more.values()) / (many - few)],
                      at_most=0)
        report.content.setdefault("where", {})[name] = dict(more.most_common(12))


def tools(report: Report) -> None:
    """Cached activations: how long they take to make, to train on and to sweep over."""
    learn = our_learner(loaders(), network(resnet34, hidden=None), frozen=True)
    caching = [seconds_of(quietly(learn.precompute)) for _ in range(ROUNDS + 1)][1:]
    report.values(f"cache the activations of {N} images that are decoded", {"ours": caching})
    cached = learn.precompute()
    lrs = torch.logspace(-5, 1, 4 if QUICK else 64).tolist()
    times = taking_turns({
        "an epoch": quietly(lambda: cached.fit(1)),
        "lr_find": quietly(lambda: cached.lr_find(num_it=20 if QUICK else 100)),
        f"a sweep of {len(lrs)} learning rates, 3 epochs":
            quietly(lambda: sweep_lrs(cached, lrs, 3, suggest_funcs=()))}, ROUNDS)
    report.values("on cached activations", times)


def memory(report: Report) -> None:
    """The most memory on the GPU during an epoch."""
    if DEVICE != "cuda":
        return
    found = {}
    for side in ("ours", "bare loop"):
        dls, model = loaders(8 * BATCH), network(resnet34)
        run = Bare(dls, model).epoch if side == "bare loop" else (
            quietly(lambda dls=dls, model=model: our_learner(dls, model).fit(1)))
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        run()
        found[side] = [torch.cuda.max_memory_allocated() / 1e6]
    report.values("most memory of an epoch, float32", found, "MB")
    report.ratio("most memory, ours / bare loop", found["ours"], found["bare loop"], at_most=1.1)


def run_lesson(file: str) -> None:
    """All code cells of a lesson, in order, in this process; an error ends it."""
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    for cell in json.loads(Path(file).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            shell.run_cell("".join(cell["source"])).raise_error()


def lessons(report: Report) -> None:
    """Every lesson from top to bottom, on the default device, several at once."""
    files = [file for file in LESSONS if not QUICK or file.stem.startswith("03")]
    path = os.pathsep.join(folder for folder in sys.path if folder)
    cores = os.cpu_count() or 1
    n_at_once = min(6, cores)
    environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": path,
                   "OMP_NUM_THREADS": str(cores // n_at_once)}
    ends = time.monotonic() + SECONDS

    def run(file: Path) -> tuple[float, str]:
        began = time.monotonic()
        try:
            done = subprocess.run([sys.executable, "-W", "ignore", __file__, "lesson", file],
                                  env=environment, cwd=file.parent, capture_output=True, text=True,
                                  timeout=max(1, ends - began))
            error = done.stderr.strip()[-2000:] or done.stdout.strip()[-2000:]
            return time.monotonic() - began, error if done.returncode else ""
        except subprocess.TimeoutExpired:
            return time.monotonic() - began, f"not done after {SECONDS} s"

    with ThreadPoolExecutor(n_at_once) as pool:
        outcomes = dict(zip(files, pool.map(run, files), strict=True))
    errors = {file.stem: error for file, (_, error) in outcomes.items() if error}
    report.values("a lesson, several at once", {file.stem: [seconds] for file, (seconds, _)
                                                in outcomes.items()})
    report.content["lessons that failed"] = errors
    report.number(f"lessons of {len(files)} that failed", [len(errors)], at_most=0)


def main() -> None:
    report = Report("gpu" if DEVICE == "cuda" else "gpu_on_cpu", __doc__)
    report.content["absent"] = ABSENT
    for part in (epochs, waits, tools, memory, lessons):
        try:
            part(report)
        except Exception as error:  # the others are still worth having
            report.content.setdefault("errors", {})[part.__name__] = repr(error)
            print(f"{part.__name__}: {error!r}", flush=True)
        report.write()
    sys.exit("errors" in report.content)


if __name__ == "__main__":
    if sys.argv[1:2] == ["lesson"]:
        run_lesson(sys.argv[2])
    else:
        main()
