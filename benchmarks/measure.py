"""Time functions in turns, hold ratios to a bar, and write both to a file with the machine.

A benchmark makes a `Report`, adds rows, and writes it. QUICK=1 in the environment asks for a run
that only shows that the script works; RESULTS names another folder than benchmarks/results.
"""
import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from transfer_lessons.core import timed

QUICK = os.environ.get("QUICK") == "1"
RESULTS = Path(os.environ.get("RESULTS", Path(__file__).parent / "results"))
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pillow", "fastai", "pytorch-lightning",
             "scikit-learn")


def seconds_of(function: Callable[[], object]) -> float:
    """Wall time of one call, waiting for the accelerator before and after where there is one."""
    _, seconds = timed(function)
    return seconds


def taking_turns(functions: dict[str, Callable[[], object]], rounds: int = 5,
                 warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds of every function in every round; noise of the machine meets all of them alike."""
    for _ in range(0 if QUICK else warm_up):
        for function in functions.values():
            function()
    turns = [{name: seconds_of(function) for name, function in functions.items()}
             for _ in range(1 if QUICK else rounds)]
    return {name: [turn[name] for turn in turns] for name in functions}


def machine() -> dict[str, object]:
    """What was measured on, and when; a load far above 0 means that others worked too."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    found = {"date": datetime.date.today().isoformat(), "system": platform.system(),
             "cpu": names[0] if names else platform.machine(), "cores": os.cpu_count(),
             "threads": torch.get_num_threads(), "memory_gib": round(memory, 1),
             "load": round(os.getloadavg()[0], 1)}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def versions() -> dict[str, str]:
    """Python's version, and that of every library here that a benchmark may time."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def spread(values: list[float]) -> dict[str, float]:
    """Median, lowest, highest and number of some values."""
    rounded = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {**{name: float(f"{value:.4g}") for name, value in rounded.items()}, "n": len(values)}


class Report:
    """What one benchmark found: values with their spread, and ratios beside their bars."""
    def __init__(self, name: str, question: str):
        self.name, self.machine, self.began = name, machine(), time.monotonic()
        question = question.strip().splitlines()[0]
        self.content = {"question": question, "quick": QUICK, "values": [], "ratios": []}
        print(f"== {question}", flush=True)

    def values(self, what: str, sides: dict[str, list[float]], unit: str = "s") -> None:
        """Record what was measured on each side."""
        for side, measured in sides.items():
            row = {"what": what, "side": side, "unit": unit, **spread(measured)}
            self.content["values"].append(row)
            print("{what}, {side}: {median} {unit} ({min} to {max}, n={n})".format(**row))

    def ratio(self, what: str, ours: list[float], theirs: list[float], **bar: float) -> None:
        """Record a ratio of medians beside its bar; the spread is that of single rounds."""
        rounds = spread([a / b for a, b in zip(ours, theirs, strict=True)])
        measured = statistics.median(ours) / statistics.median(theirs)
        self._hold(what, {**rounds, "median": float(f"{measured:.4g}")}, **bar)

    def number(self, what: str, measured: list[float], **bar: float) -> None:
        """Record a number that has a bar of its own, such as a count or an error rate."""
        self._hold(what, spread(measured), **bar)

    def _hold(self, what: str, row: dict, at_most: float | None = None,
              at_least: float | None = None) -> None:
        """Record a row and, where it has a bar, whether that is met: within a tenth counts."""
        row, said = {"what": what, **row}, ""
        if at_most is not None or at_least is not None:
            met = row["median"] <= 1.1 * at_most if at_least is None else (
                row["median"] >= 0.9 * at_least)
            row |= {"at_most": at_most, "at_least": at_least, "met": met}
            limit = f"at least {at_least}" if at_most is None else f"at most {at_most}"
            said = f", {limit}: {'met' if met else 'NOT MET'}"
        self.content["ratios"].append(row)
        print("  {what}: {median} ({min} to {max}){said}".format(**row, said=said), flush=True)

    def write(self) -> None:
        """Write everything to NAME.json, with machine and versions."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        facts = {"machine": self.machine, "versions": versions(),
                 "seconds": round(time.monotonic() - self.began)}
        text = json.dumps({**self.content, **facts}, indent=1)
        (RESULTS / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")
