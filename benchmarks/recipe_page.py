"""Writes README's section on recipes, its picture and the table of all recipes from the results."""
import json
import math
from collections.abc import Iterable

from page import ROOT, write_cell
from recipe_picture import NAMES, draw, percent, size_name

RESULT = ROOT / "benchmarks" / "results" / "recipes.json"
TABLE = RESULT.with_suffix(".md")
PLOT = ROOT / "images" / "recipes.svg"
LESSON = ROOT / "transfer_lessons" / "recipes.json"  # what lesson 10 reads, wherever it runs
CELL = "recipes"  # the id of its cell in the index


def read_result() -> dict | None:
    """The stored result; None where there is none, or only that of a quick run."""
    if not RESULT.exists():
        return None
    content = json.loads(RESULT.read_text(encoding="utf-8"))
    return None if content["quick"] else content


def cell_name(row: dict) -> str:
    """Such as "8 images per class, icons"."""
    return f"{size_name(row['per_class'])} of {NAMES[row['data']]}"


# The table of everything.

def table(content: dict) -> str:
    """Every recipe on every cell, its differences, and what gained nothing, in Markdown."""
    facts = content["machine"]
    versions = content["versions"]
    return "\n".join([
        f"# {content['question']}", "",
        f"`{content['command']}` wrote this from `recipes.json`: {len(content['runs'])} of "
        f"{content['planned']} planned runs, {n_on_gpu(content)} of them on a GPU, the others on "
        f"{facts['cpu']}, one thread each; Python "
        f"{versions['python']}, torch {versions['torch']}, "
        f"fastai {versions['fastai']}; {facts['date']}. Errors are per cent of test images that "
        "chose nothing, means over seeds of split, weights and order with their 95 % intervals. "
        "Differences are paired by seed, in points; below 0 the recipe makes fewer errors. Seconds "
        "are those of one processor core, without reading the images from disk, where the recipes "
        "took turns on one machine.", "",
        *recipe_lines(content), *cell_lines(content["cells"]), *overall_lines(content),
        *variant_lines(content["variants"])])


def n_on_gpu(content: dict) -> int:
    return sum(row.get("device", "cpu") != "cpu" for row in content["runs"])


def recipe_lines(content: dict) -> list[str]:
    ran = {row["recipe"] for row in content["runs"]}
    return ["## The recipes", "", "| recipe | what it does |", "| --- | --- |",
            *[f"| {name} | {text} |" for name, text in content["recipes"].items() if name in ran],
            ""]


def cell_lines(cells: Iterable[dict]) -> list[str]:
    """A line per recipe and cell."""
    lines = ["## On each data set, with 8, 32, 128 or all images per class", "",
             "| images per class | recipe | error, % | seconds | against fastai | "
             "against the head alone | seeds |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for row in sorted(cells, key=lambda row: (list(NAMES).index(row["data"]),
                                              row["per_class"] or math.inf)):
        against = {found["against"]: percent(found, signed=True) for found in row["differences"]}
        lines.append(f"| {cell_name(row)} | {row['recipe']} | {percent(row['error'])} | "
                     f"{row['seconds'] or ''} | {against.get('fastai', '')} | "
                     f"{against.get('head alone', '')} | {row['error']['n']} |")
    return [*lines, ""]


def difference_lines(rows: Iterable[dict]) -> list[str]:
    return ["| recipe | against | seeds | cells | difference, points | times as long | verdict |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *[f"| {row['recipe']} | {row['against']} | {', '.join(map(str, row['seeds']))} | "
              f"{row['cells']} | {percent(row, signed=True)} | {row['times_as_long'] or ''} | "
              f"{row['verdict']} |" for row in rows]]


def overall_lines(content: dict) -> list[str]:
    chosen, judged = (", ".join(map(str, content[name])) for name in ("chosen_on", "judged_on"))
    return ["## Over all of them", "",
            f"Variants were compared on seeds {chosen} alone, and how `fine_tune` trains the body "
            f"was chosen by that and by two more splits of the icons, which are not shown: what "
            "helped there was twice the epochs at half the learning rate. "
            f"{judged} are the seeds to judge on. How it trains the head comes from other splits "
            "of the same images. Cells of a seed share images, so the interval "
            "is one over seeds, each with its mean over cells; where there are only two seeds it "
            "is one over single runs.", "",
            *difference_lines(content["overall"]), ""]


def variant_lines(rows: list[dict]) -> list[str]:
    """The variants, and by name those whose interval covers zero."""
    nothing = [row["recipe"] for row in rows if row["verdict"] == "gained nothing"]
    return ["## One change at a time", "",
            "Each variant against the recipe it changes, over the runs on the seeds that "
            "defaults were chosen on.", "", *difference_lines(rows), "",
            f"Gained nothing, since its interval covers zero: {'; '.join(nothing) or 'none'}.", ""]


# README's section.

def of_cell(content: dict, recipe: str, data: str, per_class: int | None) -> dict | None:
    """What is known of a recipe on a cell."""
    for row in content["cells"]:
        if (row["recipe"], row["data"], row["per_class"]) == (recipe, data, per_class):
            return row
    return None


def both_errors(content: dict, per_class: int | None) -> str:
    """Such as "20 % against 31 % on icons , ...", with the paired difference."""
    parts = []
    for data, name in NAMES.items():
        rows = [of_cell(content, recipe, data, per_class) for recipe in ("ours", "fastai")]
        if all(rows) and rows[0]["error"]["n"] == rows[1]["error"]["n"]:
            ours, theirs = (f"{100 * row['error']['mean']:.0f} %" for row in rows)
            found = next(d for d in rows[0]["differences"] if d["against"] == "fastai")
            parts.append(f"{ours} against {theirs} on {name}, {difference_words(found)}")
    return "; ".join(parts)


def overall(content: dict, recipe: str, other: str, which: str = "judged on") -> dict | None:
    """A comparison over all cells."""
    for row in content["overall"]:
        if (row["recipe"], row["against"], row["which"]) == (recipe, other, which):
            return row
    return None


def difference_words(found: dict) -> str:
    """A paired difference in words; where its interval covers zero it is a tie."""
    if found["low"] <= 0 <= found["high"]:
        mean, low, high = (f"{100 * found[name]:+.1f}" for name in ("mean", "low", "high"))
        return f"a tie, {mean} points (95 % interval {low} to {high})"
    least, most = sorted(abs(100 * found[name]) for name in ("low", "high"))
    return (f"{abs(100 * found['mean']):.1f} points {'fewer' if found['mean'] < 0 else 'more'} "
            f"errors (95 % interval {least:.1f} to {most:.1f})")


def times(content: dict, other: str) -> str:
    """How many times as long `fine_tune` takes, over the seeds on which both were timed."""
    found = overall(content, "ours", other, "all")
    return f", in {found['times_as_long']:.2g} times the time" if found["times_as_long"] else ""


def sentences(content: dict) -> list[str]:
    """What the default is worth against fastai's, what its second stage is, what gained nothing."""
    few, whole = both_errors(content, 8), both_errors(content, None)
    if not few:
        return []
    seeds = len(content["chosen_on"]) + len(content["judged_on"])
    told = (f"Mean test errors of `fine_tune(4)` here and in fastai, over {seeds} splits, with the "
            f"same images and pretrained body: with eight images per class {few}"
            f"{f'. With all of them {whole}' if whole else ''}.")
    judged = overall(content, "ours", "fastai")
    if judged and judged["low"] is not None:
        told += (f" On the seeds that chose nothing, over {judged['cells']} pairs of data set "
                 f"and size, that is {difference_words(judged)}{times(content, 'fastai')}.")
    paragraphs = [told]
    found = overall(content, "ours", "head alone", "all")
    judged = overall(content, "ours", "head alone")
    if found and judged and judged["low"] is not None:
        paragraphs.append("Against a head alone that has converged it is "
                          f"{difference_words(found)}{times(content, 'head alone')}; on the seeds "
                          f"that chose nothing {difference_words(judged)}.")
    rows = [row for row in content["variants"] if row["verdict"] != "not run often enough"]
    if rows:
        gained, lost = (sum(row["verdict"] == name for row in rows) for name in ("gained", "lost"))
        paragraphs.append(f"Of {len(rows)} variants, one change each, {gained or 'none'} gained "
                          f"and {lost or 'none'} lost; the others could not be told from chance: "
                          "[the table](../benchmarks/results/recipes.md) lists them all.")
    return [paragraphs[0], *([" ".join(paragraphs[1:])] if len(paragraphs) > 1 else [])]


def section(content: dict | None) -> str:
    """The section in Markdown."""
    title = "## Which recipe?"
    told = sentences(content) if content else []
    if not told:
        return (f"{title}\n\n`make recipes` measures it, beside fastai's, and `make export` shows "
                "here what came out.")
    return "\n".join([
        title, "", "![Test error and seconds of three recipes, by images per class, on three data "
        "sets](../images/recipes.svg)", "", "\n\n".join(told)])


def lesson_data(content: dict) -> str:
    """What lesson 10 needs: errors and seconds of every run, and how each variant ended."""
    columns = ("recipe", "data", "per_class", "seed", "error", "seconds")
    told = ("recipe", "against", "mean", "low", "high", "verdict")
    variants = [{name: row[name] for name in told} for row in content["variants"]]
    facts = {"command": content["command"], "date": content["machine"]["date"],
             "cpu": content["machine"]["cpu"], "on_gpu": n_on_gpu(content),
             "versions": content["versions"],
             "chosen_on": content["chosen_on"], "judged_on": content["judged_on"]}
    runs = ",\n".join(json.dumps([row[name] for name in columns]) for row in content["runs"])
    head = json.dumps({**facts, "variants": variants, "columns": columns}, indent=1)
    return head.removesuffix("\n}") + f',\n "runs": [\n{runs}\n ]\n}}\n'


def main() -> None:
    content = read_result()
    write_cell(CELL, section(content))
    if content:
        TABLE.write_text(table(content), encoding="utf-8")
        PLOT.write_text(draw(content), encoding="utf-8")
        LESSON.write_text(lesson_data(content), encoding="utf-8")
    print(f"{len(content['runs']) if content else 0} runs of recipes in nbs/index.ipynb")


if __name__ == "__main__":
    main()
