"""What the runs of recipes say: means, paired differences, and which recipe gained nothing."""
import math
import statistics
from collections.abc import Iterable, Sequence

from recipe_list import COMPARED_WITH, MAIN, RECIPES, VARIANTS
from recipe_picture import percent

REFERENCES = ("fastai", "head alone")  # every recipe is compared with these
Cell = tuple[str, int | None]  # a data set and images per class

# Student's t for 95 % intervals at 1, 2, ..., 30 degrees of freedom; for more, the last is wide
# enough.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
        2.052, 2.048, 2.045, 2.042)


def mean_interval(values: Sequence[float]) -> dict:
    """Mean of some values with its 95 % interval; one value alone has none."""
    mean = statistics.fmean(values)
    found = {"mean": round(mean, 4), "low": None, "high": None, "n": len(values)}
    if len(values) > 1:
        t = T_95[min(len(values) - 1, len(T_95)) - 1]
        half_width = t * statistics.stdev(values) / math.sqrt(len(values))
        found |= {"low": round(mean - half_width, 4), "high": round(mean + half_width, 4)}
    return found


class Runs:
    """Finished runs, to be asked for by recipe, cell and seed."""
    def __init__(self, rows: Iterable[dict]):
        self.rows = {(row["recipe"], row["data"], row["per_class"], row["seed"]): row
                     for row in rows}

    def cells(self, recipe: str) -> list[Cell]:
        """Where a recipe was run, in the order of the runs."""
        return list(dict.fromkeys(key[1:3] for key in self.rows if key[0] == recipe))

    def of(self, recipe: str, cell: Cell) -> dict[int, dict]:
        """The runs of a recipe on a cell, by seed."""
        return {key[3]: row for key, row in self.rows.items() if key[:3] == (recipe, *cell)}

    def pairs(self, recipe: str, other: str, cell: Cell,
              seeds: Sequence[int] | None = None) -> dict[int, tuple[dict, dict]]:
        """Runs of two recipes on the same images with the same seed, by seed."""
        first, second = self.of(recipe, cell), self.of(other, cell)
        return {seed: (first[seed], second[seed]) for seed in first
                if seed in second and (seeds is None or seed in seeds)}


def times_as_long(pairs: Iterable[tuple[dict, dict]]) -> float | None:
    """How many times as long the first recipe takes: the geometric mean of what was timed."""
    timed = [(ours["seconds"], theirs["seconds"]) for ours, theirs in pairs]
    ratios = [math.log(max(first, 0.01) / max(second, 0.01)) for first, second in timed
              if first is not None and second is not None]
    return float(f"{math.exp(statistics.fmean(ratios)):.3g}") if ratios else None


def differences(pairs: Iterable[tuple[dict, dict]]) -> list[float]:
    """Test error of the first recipe minus that of the second, for each pair."""
    return [ours["error"] - theirs["error"] for ours, theirs in pairs]


def compare_in_cell(runs: Runs, recipe: str, other: str, cell: Cell) -> dict | None:
    """The paired difference of two recipes on one cell, over seeds."""
    pairs = runs.pairs(recipe, other, cell).values()
    if not pairs:
        return None
    return {"against": other, **mean_interval(differences(pairs)),
            "times_as_long": times_as_long(pairs)}


def compare(runs: Runs, recipe: str, other: str, seeds: Sequence[int] | None = None) -> dict | None:
    """The paired difference of two recipes over all cells on which both were run with every seed.

    Seeds are independent, cells of one seed share images. So the interval is one over seeds, each
    with its mean over the cells; with fewer than three seeds it is one over single runs.
    """
    by_cell = {cell: runs.pairs(recipe, other, cell, seeds) for cell in runs.cells(recipe)}
    all_seeds = sorted({seed for pairs in by_cell.values() for seed in pairs})
    complete = [[pairs[seed] for seed in all_seeds] for pairs in by_cell.values()
                if len(pairs) == len(all_seeds) > 0]
    if not complete:
        return None
    used = [pair for pairs in complete for pair in pairs]
    values, unit = differences(used), "runs"
    if len(all_seeds) > 2:
        values = [statistics.fmean(differences(pairs)) for pairs in zip(*complete, strict=True)]
        unit = "seeds"
    return {"recipe": recipe, "against": other, "cells": len(complete), "seeds": all_seeds,
            "interval_over": unit,
            **mean_interval(values), "times_as_long": times_as_long(used)}


def describe_cell(runs: Runs, recipe: str, cell: Cell) -> dict:
    """Means of a recipe on one cell, and its differences there."""
    rows = list(runs.of(recipe, cell).values())
    errors = [row["error"] for row in rows]
    compared = [compare_in_cell(runs, recipe, other, cell) for other in references(recipe)]
    seconds = [row["seconds"] for row in rows if row["seconds"] is not None]
    return {"recipe": recipe, "data": cell[0], "per_class": cell[1], "error": mean_interval(errors),
            "least": min(errors), "most": max(errors),
            "loss": round(statistics.fmean(row["loss"] for row in rows), 4),
            "seconds": round(statistics.fmean(seconds), 2) if seconds else None,
            "differences": [found for found in compared if found]}


def references(recipe: str) -> list[str]:
    """What a recipe is compared with: of two references the second with the first."""
    if recipe in REFERENCES:
        return list(REFERENCES[:REFERENCES.index(recipe)])
    own = COMPARED_WITH.get(recipe)
    return [*REFERENCES, *([own] if own and own not in REFERENCES else [])]


def verdict(found: dict | None) -> str:
    """What an interval of differences says about the first recipe."""
    if found is None or found["n"] < 3:  # two values alone have an interval that says nothing
        return "not run often enough"
    if found["high"] < 0:
        return "gained"
    return "lost" if found["low"] > 0 else "gained nothing"


def summary(rows: Iterable[dict], chosen_on: Sequence[int], judged_on: Sequence[int]) -> dict:
    """Everything that the table, the picture and README show."""
    runs = Runs(rows)
    cells = [describe_cell(runs, recipe, cell) for recipe in RECIPES for cell in runs.cells(recipe)]
    overall = []
    which = (("all", (*chosen_on, *judged_on)), ("chosen on", chosen_on), ("judged on", judged_on))
    for recipe in MAIN:
        for other in references(recipe):
            for name, seeds in which:
                found = compare(runs, recipe, other, seeds)
                if found:
                    overall.append({"which": name, **found, "verdict": verdict(found)})
    variants = [compare(runs, recipe, COMPARED_WITH[recipe], chosen_on) for recipe in VARIANTS]
    return {"cells": cells, "overall": overall,
            "variants": [{**found, "verdict": verdict(found)} for found in variants if found]}


def print_summary(found: dict) -> None:
    """Show the means, the differences, and what gained nothing."""
    for row in found["cells"]:
        print(f"{row['per_class'] or 'all':>4} of {row['data']:<8} {row['recipe']:<45} "
              f"{percent(row['error'])} %, {row['seconds']} s, n={row['error']['n']}")
    for row in [*found["overall"], *found["variants"]]:
        print(f"{row['recipe']} against {row['against']}, seeds {row['seeds']}, {row['cells']} "
              f"cells: {percent(row, signed=True)} points, {row['times_as_long']} times as long: "
              f"{row['verdict']}")
