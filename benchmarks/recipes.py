"""Which recipe should be the default on a few hundred images?

A run is a recipe on a data set with some images per class and a seed, which decides split, weights
and order. Every finished run is at once a line of runs/recipes.jsonl, so a stopped benchmark goes
on where it was. A part of it: make recipes OPTIONS="--only fastai ours --data icons --seeds 0 1"
"""
import argparse
import contextlib
import gc
import io
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from measure import QUICK, RESULTS, machine, versions
from recipe_list import MAIN, RECIPES, STAGES, VARIANTS
from recipe_summary import REFERENCES, print_summary, summary
from recipe_tasks import SIZES, Task, make_task, seed_everything
from sides import PHOTOGRAPHS
from torch import Tensor, nn

from transfer_lessons.learner import Learner

COMMAND = "make recipes"
LINES = RESULTS / "recipes.jsonl" if QUICK else Path(__file__).parents[1] / "runs/recipes.jsonl"
CHOOSING: tuple[int, ...] = (0, 1)
JUDGING: tuple[int, ...] = (2, 3, 4)  # defaults are chosen on the first seeds alone
MORE_OF_ICONS = tuple(range(5, 10))  # the default data set, where a gain is small: seeds as well
VARIED_ON = [("icons", 8), ("icons", 32), ("solar", 32), ("flowers", 32), ("icons", None)]
if QUICK:
    CHOOSING, JUDGING, MORE_OF_ICONS, VARIED_ON = (0,), (), (), [("icons", 5)]


class Run(NamedTuple):
    """What is run once: a recipe on images per class (None: all) of a data set, with a seed."""
    recipe: str
    data: str
    per_class: int | None
    seed: int


def wanted_runs() -> list[Run]:
    """All runs: small training sets first, a seed on every data set before the next one."""
    runs = [Run(recipe, data, per_class, seed) for seed in (*CHOOSING, *JUDGING)
            for data, sizes in SIZES.items() for per_class in sizes for recipe in MAIN]
    runs.sort(key=lambda run: run.per_class or 10**6)
    runs += [Run(recipe, "icons", None, seed) for seed in MORE_OF_ICONS
             for recipe in ("ours", *REFERENCES)]
    cells = sorted(((data, size) for data, sizes in SIZES.items() for size in sizes),
                   key=lambda cell: cell[1] or 10**6)
    runs += [Run(recipe, *cell, seed) for cell in cells for recipe in STAGES for seed in CHOOSING]
    return runs + [Run(recipe, *cell, seed) for cell in VARIED_ON for recipe in VARIANTS
                   if recipe not in STAGES for seed in CHOOSING]


def finished(lines: Path) -> list[dict]:
    """The runs that are in a file of lines; one that was cut off in the middle is left out."""
    rows = []
    for line in lines.read_text(encoding="utf-8").splitlines() if lines.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def run_of(row: dict) -> Run:
    """Which run a line is of."""
    return Run(*(row[name] for name in Run._fields))


def logits_of(learn, dl) -> tuple[Tensor, Tensor]:
    """Logits and targets of a loader, from a learner of either side."""
    if isinstance(learn, Learner):
        return learn.get_logits(dl)
    with learn.no_bar(), learn.no_logging():
        logits, targets = learn.get_preds(dl=dl, act=lambda logits: logits)
    return torch.as_tensor(logits), torch.as_tensor(targets)


def stages(learn) -> list[dict]:
    """What each training of a learner gave on the validation images, at its last epoch."""
    if isinstance(learn, Learner):
        epochs = [tuple(row)[:4] for row in learn.recorder.history]
    else:
        epochs = [tuple(map(float, row[:4])) for row in learn.epoch_rows]
    following = [row[0] for row in epochs[1:]] + [0]
    return [{"epochs": int(epoch) + 1, "valid_loss": round(valid_loss, 4),
             "valid_error": round(valid_error, 4)}
            for (epoch, _, valid_loss, valid_error), after in zip(epochs, following, strict=True)
            if after <= epoch]


def measured(learn, task: Task) -> dict:
    """Errors of a trained learner on test and validation images."""
    logits, targets = logits_of(learn, task.test_loader(learn))
    valid_logits, valid_targets = logits_of(learn, learn.dls.valid)
    n_wrong = int((logits.argmax(1) != targets).sum())
    return {"n_train": len(task.split.train), "n_valid": len(task.split.valid),
            "n_test": len(targets), "n_wrong": n_wrong,
            "error": round(n_wrong / len(targets), 4),
            "loss": round(float(nn.functional.cross_entropy(logits, targets)), 4),
            "valid_error": round(float((valid_logits.argmax(1) != valid_targets).float().mean()),
                                 4)}


def do(run: Run, device: str = "cpu") -> dict:
    """Train once, from images in memory to the trained network, and test it; returns a line.

    Seconds are those that the processor worked, on one thread and in no other process, so that
    neighbours on the machine do not count; wall_seconds are by the clock. On a GPU, which
    processes share, neither is a measure of anything, so there are none.
    """
    torch.set_num_threads(1)
    task = make_task(run.data, run.per_class, run.seed, device)
    seed_everything(run.seed)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wall, processor = time.perf_counter(), time.process_time()
        learn = RECIPES[run.recipe](task)
        seconds = {"seconds": round(time.process_time() - processor, 2),
                   "wall_seconds": round(time.perf_counter() - wall, 2)}
        if device != "cpu":
            seconds = dict.fromkeys(seconds)
        return {**run._asdict(), "device": device, **measured(learn, task), **seconds,
                "stages": stages(learn)}


def do_or_say(run: Run, device: str = "cpu") -> tuple[Run, dict | str]:
    """A line of a run, or why there is none: one failure does not end hours of work."""
    try:
        return run, do(run, device)
    except Exception as error:
        return run, f"{type(error).__name__}: {error}"
    finally:
        gc.collect()  # a learner that refers to itself would keep its images until much later


def done(runs: list[Run], workers: int, device: str = "cpu") -> Iterator[tuple[Run, dict | str]]:
    """Do runs in processes of their own, or here where one is enough; yield them as they end."""
    work = partial(do_or_say, device=device)
    if workers == 1:
        yield from map(work, runs)
        return
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes, before they import torch
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(work, runs)


def do_all(runs: list[Run], lines: Path, workers: int, device: str = "cpu") -> None:
    """Do the runs that are not in the file yet; each becomes a line as soon as it has ended."""
    have = {run_of(row) for row in finished(lines)}
    missing = [run for run in runs if run not in have]
    print(f"{len(runs) - len(missing)} of {len(runs)} runs are in {lines}", flush=True)
    lines.parent.mkdir(parents=True, exist_ok=True)
    with lines.open("a", encoding="utf-8") as file:
        file.write("\n")  # after a line that was cut off
    for number, (run, row) in enumerate(done(missing, workers, device), start=1):
        name = f"[{number} of {len(missing)}] {run.recipe}, {run.per_class or 'all'} of " \
               f"{run.data}, seed {run.seed}"
        if isinstance(row, str):
            print(f"{name}: FAILED, {row}", flush=True)
            continue
        with lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{name}: error {row['error']:.3f}, {row['seconds']} s", flush=True)


def merge(rows: Iterable[dict]) -> dict[Run, dict]:
    """The last line of each run; its seconds are those of the last line that has some."""
    found: dict[Run, dict] = {}
    seconds: dict[Run, float] = {}
    for row in rows:
        run = run_of(row)
        if row["seconds"] is not None:
            seconds[run] = row["seconds"]
        found[run] = {**row, "seconds": seconds.get(run)}
    return found


def write_result(rows: Iterable[dict]) -> None:
    """Write runs and what follows from them to recipes.json, with machine and versions."""
    order = {run: number for number, run in enumerate(wanted_runs())}
    merged = merge(rows)
    rows = [merged[run] for run in sorted(order.keys() & merged.keys(), key=order.__getitem__)]
    found = summary(rows, CHOOSING, JUDGING)
    content = {"question": __doc__.splitlines()[0], "quick": QUICK, "command": COMMAND,
               "machine": {**machine(), "threads": 1}, "versions": versions(),
               "chosen_on": CHOOSING, "judged_on": JUDGING, "planned": len(order),
               "recipes": descriptions(), **found, "runs": rows}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "recipes.json").write_text(as_json(content), encoding="utf-8")
    print_summary(found)


def as_json(content: dict) -> str:
    """JSON with a line for each row of a table: readable, and a change of one run shows as one."""
    parts = []
    for name, value in content.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(f"  {json.dumps(row)}" for row in value) + "\n ]"
        parts.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def descriptions() -> dict[str, str]:
    """What each recipe does, in the first sentence of its docstring."""
    functions = {name: getattr(recipe, "func", recipe) for name, recipe in RECIPES.items()}
    return {name: function.__doc__.splitlines()[0] for name, function in functions.items()}


def is_asked_for(recipe: str, names: list[str] | None) -> bool:
    """Whether a recipe is one of some names, or one of a family such as "body:"."""
    return names is None or any(recipe == name or (name.endswith(":") and recipe.startswith(name))
                                for name in names)


def chosen(options: argparse.Namespace) -> list[Run]:
    """The runs that are asked for, of those whose images are here."""
    runs = wanted_runs()
    if not PHOTOGRAPHS.is_dir() and not QUICK:
        print(f"No photographs of flowers in {PHOTOGRAPHS}: this data set is left out.")
        runs = [run for run in runs if run.data != "flowers"]
    return [run for run in runs
            if is_asked_for(run.recipe, options.only)
            and run.data in (options.data or [run.data])
            and str(run.per_class or "all") in (options.sizes or [str(run.per_class or "all")])
            and run.seed in (options.seeds or [run.seed])]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*RECIPES, "head:", "body:"],
                        metavar="RECIPE", help="recipes, or all that begin with head: or body:")
    parser.add_argument("--data", nargs="+", choices=SIZES, help="data sets")
    parser.add_argument("--sizes", nargs="+", help="images per class, such as 8 32 128 all")
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--workers", type=int, default=1 if QUICK else 2, help="processes")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--lines", type=Path, default=LINES, help="file of finished runs")
    parser.add_argument("--write", action="store_true", help="write the result of what there is")
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    if not options.write:
        do_all(chosen(options), options.lines, options.workers, options.device)
    write_result(finished(options.lines))


if __name__ == "__main__":
    main()
