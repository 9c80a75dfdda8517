"""Writes README's section on speed, in nbs/index.ipynb, and images/speed.svg from the results."""
import html
import json
import math
from pathlib import Path
from typing import NamedTuple

import nbformat

ROOT = Path(__file__).parents[1]
INDEX, PLOT = ROOT / "nbs" / "index.ipynb", ROOT / "images" / "speed.svg"
CELL = "speed"  # the id of its cell in the index


class Question(NamedTuple):
    """A line of the table: a row of values in a file, our side, and sides to compare with."""
    text: str
    file: str
    what: str  # how the row begins
    ours: str
    theirs: dict[str, str]  # side -> its name in the table


BARE = "bare loop, images in memory"
QUESTIONS = [
    Question("An epoch that trains every layer", "epochs", "unfrozen", "ours",
             {"fastai": "fastai", BARE: "a bare PyTorch loop with the images in memory"}),
    Question("An epoch that trains every layer, in bfloat16", "epochs", "unfrozen", "ours, bf16",
             {"fastai": "fastai (float32)", f"{BARE}, bf16": "the bare loop in bfloat16"}),
    Question("Three epochs of a head, from files", "frozen", "3 frozen epochs",
             "ours, cached", {"fastai": "fastai"}),
    Question("Three epochs of a head, from files, without a cache", "frozen", "3 frozen epochs",
             "ours, not cached", {"fastai": "fastai"}),
    Question("`lr_find` on cached activations", "frozen", "lr_find",
             "ours, cached", {"fastai": "fastai", "Lightning": "Lightning"}),
    Question("An epoch of a linear head on cached features", "frozen", "a pass",
             "ours, epochs of AdamW",
             {"scikit-learn, lbfgs": "an iteration of scikit-learn's logistic regression"}),
    Question("64 learning rates on cached features", "sweep", "64 learning rates", "one sweep",
             {"one after another": "64 trainings one after another"}),
    Question("Loading a photograph from the second epoch on", "loading",
             "loading large photographs", "second epoch", {"first epoch": "the first epoch"}),
    Question("Augmenting a batch", "loading", "augment", "ours",
             {"torchvision v2": "torchvision's transforms image by image"}),
    Question("Importing everything", "imports", "import", "all of transfer_lessons",
             {"all of fastai.vision": "fastai"}),
    Question("Memory of a training, resnet50", "memory", "resnet50", "ours",
             {"bare loop": "a bare PyTorch loop"}),
]


class Comparison(NamedTuple):
    """Two sides of a question, measured."""
    text: str
    other: str
    ours: dict
    theirs: dict

    @property
    def times(self) -> float:
        """How many times as much the other side takes."""
        return self.theirs["median"] / self.ours["median"]

    @property
    def extremes(self) -> tuple[float, float]:
        """The same at the least and the most favourable of all runs."""
        return self.theirs["min"] / self.ours["max"], self.theirs["max"] / self.ours["min"]

    @property
    def words(self) -> str:
        """The ratio in plain words; within a tenth it is called the same."""
        is_memory = self.ours["unit"] == "MB"
        times = self.times
        if 1 / 1.1 <= times <= 1.1:
            return "as much" if is_memory else "as fast"
        if times > 1:
            number = f"{times:.1f}" if times < 10 else f"{times:.0f}"
            return f"{1 / times:.2f} times as much" if is_memory else f"{number} times as fast"
        return f"{1 / times:.1f} times as {'much' if is_memory else 'long'}"


def read_results() -> dict[str, dict]:
    """Results of this page's questions by file; those of quick runs show nothing."""
    names = {question.file for question in QUESTIONS} | {"gpu"}
    files = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    contents = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files
                if file.stem in names}
    return {name: content for name, content in contents.items() if not content["quick"]}


def comparisons(results: dict[str, dict]) -> list[Comparison]:
    """What was measured of the questions."""
    found = []
    for question in QUESTIONS:
        rows = {row["side"]: row for row in results.get(question.file, {}).get("values", [])
                if row["what"].startswith(question.what)}
        if question.ours in rows:
            found += [Comparison(question.text, name, rows[question.ours], rows[side])
                      for side, name in question.theirs.items() if side in rows]
    return found


def shown(row: dict) -> str:
    """A median with its unit, in three digits, and the spread of all runs."""
    scale, unit = 1, row["unit"].split()[0]
    if unit == "s" and row["median"] < 0.1:
        scale, unit = 1000, "ms"
    values = [scale * row[name] for name in ("min", "median", "max")]
    low, middle, high = (f"{value:.3g}" if value < 1000 else f"{value:,.0f}" for value in values)
    return f"{middle} {unit} ({low} to {high})" if low != high else f"{middle} {unit}"


def section(found: list[Comparison], results: dict[str, dict]) -> str:
    """The section in Markdown."""
    if not found:
        return ("## How fast?\n\n`make bench` measures it, side by side with fastai, PyTorch and "
                "others, and `make export` shows here what came out.")
    facts = results[QUESTIONS[0].file]
    machine, versions = facts["machine"], facts["versions"]
    others = ", ".join(f"{name} {versions[name]}" for name in
                       ("torch", "fastai", "pytorch-lightning", "scikit-learn")
                       if versions[name] != "not installed")
    lines = [f"| {c.text} | {shown(c.ours)} | {c.other}: {shown(c.theirs)} | {c.words} |"
             for c in found]
    return "\n".join([
        "## How fast?", "",
        "![How many times as fast as fastai, bare PyTorch and others](../images/speed.svg)", "",
        "Medians, and in parentheses the least and the most, of runs that took turns on one "
        f"machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB, "
        f"no GPU; Python {versions['python']}, {others}; {machine['date']}. An epoch is 1,024 "
        "photographs of 112 px and a resnet18, a frozen body is EfficientNet-Lite0. `make bench` "
        "measures all of it on your machine; every figure is in `benchmarks/results/`.", "",
        "| | here | compared with | here it is |", "| --- | --- | --- | --- |", *lines,
        *(["", on_a_gpu(results["gpu"])] if "gpu" in results else [])])


def on_a_gpu(content: dict) -> str:
    """Images per second on a GPU, in a sentence."""
    rows = {row["side"]: row for row in content["values"] if row["unit"] == "images per second"}
    ours, bare, theirs = (rows[side]["median"] for side in ("ours", "bare loop", "fastai"))
    return (f"On a GPU ({content['machine']['gpu']}, {content['machine']['date']}): "
            f"{rows['ours']['what'].partition(', validation')[0].replace('torch.', '')}: "
            f"{ours:,.0f} images per second here, {bare:,.0f} in a bare loop, {theirs:,.0f} with "
            f"fastai ({ours / theirs:.1f} times as fast). `make gpu` measures it.")


def write_cell(cell_id: str, source: str) -> None:
    """Write a section into its cell of the index."""
    index = nbformat.read(INDEX, 4)
    cell = next(cell for cell in index.cells if cell.id == cell_id)
    cell.source = source
    nbformat.write(index, INDEX)


def main() -> None:
    results = read_results()
    found = comparisons(results)
    write_cell(CELL, section(found, results))
    PLOT.write_text(draw(found), encoding="utf-8")
    print(f"{len(found)} comparisons in nbs/index.ipynb and images/speed.svg")


STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .small { font-size: 11px; fill: #59636e }
  .sheet { fill: #ffffff } .grid { stroke: #d1d9e0 } .one { stroke: #59636e; stroke-width: 1.5 }
  .bar { fill: #0969da } .whisker { stroke: #1f2328 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .small { fill: #9198a1 }
    .sheet { fill: #0d1117 } .grid { stroke: #3d444d } .one { stroke: #9198a1 }
    .bar { fill: #4493f8 } .whisker { stroke: #f0f6fc }
  }"""
WIDTH, LEFT, RIGHT, TOP, LINE = 860, 470, 80, 40, 30  # pixels
FIRST, LAST = 0.5, 500.0  # times as fast, on a log scale


def place(times: float) -> float:
    """Where a ratio stands, from left to right."""
    share = math.log(min(max(times, FIRST), LAST) / FIRST) / math.log(LAST / FIRST)
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def draw(found: list[Comparison]) -> str:
    """Bars of the ratios with whiskers, as SVG that is readable on light and on dark pages."""
    found = [c for c in found if c.ours["unit"] != "MB"]
    bottom = TOP + LINE * len(found)
    lines = []
    for ratio in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500):
        x = place(ratio)
        kind = "one" if ratio == 1 else "grid"
        lines.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>')
        lines.append(f'<text class="small" x="{x}" y="{bottom + 16}" text-anchor="middle">'
                     f'{ratio:g}</text>')
    for number, c in enumerate(found):
        y = TOP + LINE * number + LINE / 2
        one, end = place(1), place(c.times)
        low, high = map(place, c.extremes)
        digits = f"{c.times:.2g}" if c.times < 10 else f"{c.times:.0f}"
        name = html.escape(c.text.replace("`", ""))
        lines += [
            f'<text x="{LEFT - 12}" y="{y - 1}" text-anchor="end">{name}</text>',
            f'<text class="small" x="{LEFT - 12}" y="{y + 12}" text-anchor="end">against '
            f'{html.escape(c.other)}</text>',
            f'<rect class="bar" x="{min(one, end)}" y="{y - 8}" width="{round(abs(end - one), 1)}" '
            'height="16"/>',
            f'<line class="whisker" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>',
            f'<text x="{max(high, end, one) + 6}" y="{y + 4}">{digits}</text>']
    height = bottom + 44
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="How many times as fast this library is, for each question of the table">',
        f"<style>{STYLE}\n</style>",
        f'<rect class="sheet" width="{WIDTH}" height="{height}" rx="8"/>',
        f'<text x="{LEFT}" y="24">times as fast (log scale; line: least and most)</text>', *lines,
        f'<text class="small" x="{LEFT}" y="{bottom + 34}">left of 1 it is slower</text>',
        "</svg>", ""])


if __name__ == "__main__":
    main()
