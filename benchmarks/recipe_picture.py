"""Draws errors and seconds of recipes by images per class, as SVG for light and dark pages."""
import html
import math
from collections.abc import Callable, Iterable

NAMES = {"icons": "icons", "solar": "solar cells", "flowers": "flowers"}
# What the picture shows, in the order of its legend: name there, marker, class of its style.
SHOWN = {"fastai": ("fastai's fine_tune(4)", "square", "fastai"),
         "head alone": ("the head alone", "triangle", "head"),
         "ours": ("fine_tune(4) of this library", "circle", "ours")}

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .small { font-size: 11px; fill: #59636e }
  .sheet { fill: #ffffff } .grid { stroke: #d1d9e0 } .axis { stroke: #59636e }
  .line { fill: none; stroke-width: 2 } .whisker { stroke-width: 1.5 }
  .fastai { stroke: #b34700; fill: #b34700 } .head { stroke: #59636e; fill: #59636e }
  .ours { stroke: #0969da; fill: #0969da } .line { fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .small { fill: #9198a1 }
    .sheet { fill: #0d1117 } .grid { stroke: #3d444d } .axis { stroke: #9198a1 }
    .fastai { stroke: #ffa657; fill: #ffa657 } .head { stroke: #b7bdc8; fill: #b7bdc8 }
    .ours { stroke: #58a6ff; fill: #58a6ff } .line { fill: none }
  }"""
WIDTH, LEFT, RIGHT, GAP = 860, 56, 14, 26  # pixels
TOP, HIGH, BETWEEN, LOW = 66, 200, 44, 110  # of the rows of errors and of seconds
SECONDS = (1, 10, 100, 1000)
Scale = Callable[[float], float]  # a value -> pixels from the top


def size_name(per_class: int | None) -> str:
    return "all" if per_class is None else str(per_class)


def percent(found: dict, signed: bool = False) -> str:
    """A mean and its interval in per cent, such as "12.3 (10.1 to 14.5)"."""
    sign = "+" if signed else ""
    mean, low, high = (None if found[name] is None else f"{100 * found[name]:{sign}.1f}"
                       for name in ("mean", "low", "high"))
    return mean if low is None else f"{mean} ({low} to {high})"


def marker(shape: str, x: float, y: float, colour: str) -> str:
    """A marker that is told apart without its colour too."""
    if shape == "square":
        return f'<rect class="{colour}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
    if shape == "triangle":
        return (f'<path class="{colour}" d="M{x:.1f} {y - 5:.1f} l5 9 h-10 z"/>')
    return f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'


def curve(shape: str, colour: str, points: list[tuple[float, float]],
          whiskers: Iterable[tuple[float, float, float]] = ()) -> list[str]:
    """A line through points in pixels, with its markers and whiskers (x, from, to)."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return [f'<polyline class="{colour} line" points="{path}"/>',
            *[f'<line class="{colour} whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{start:.1f}" '
              f'y2="{end:.1f}"/>' for x, start, end in whiskers],
            *[marker(shape, x, y, colour) for x, y in points]]


def grid(left: float, width: float, ticks: Iterable[float], scale: Scale, with_text: bool,
         unit: str = "") -> list[str]:
    """Horizontal lines, and in the first panel their values."""
    lines = []
    for tick in ticks:
        y = scale(tick)
        lines.append(f'<line class="grid" x1="{left:.1f}" x2="{left + width:.1f}" y1="{y:.1f}" '
                     f'y2="{y:.1f}"/>')
        if with_text:
            lines.append(f'<text class="small" x="{left - 6:.1f}" y="{y + 4:.1f}" '
                         f'text-anchor="end">{tick:g}{unit}</text>')
    return lines


def panel(content: dict, data: str, left: float, width: float, error: Scale, seconds: Scale,
          ticks: Iterable[float], is_first: bool) -> list[str]:
    """Errors of a data set above, seconds below, by images per class."""
    rows = [row for row in content["cells"]
            if row["data"] == data and row["recipe"] in SHOWN]
    sizes = sorted({row["per_class"] for row in rows}, key=lambda size: size or math.inf)
    step = width / len(sizes)
    bottom = TOP + HIGH + BETWEEN + LOW
    lines = [f'<text x="{left + width / 2:.1f}" y="{TOP - 12}" text-anchor="middle">'
             f'{NAMES[data]}</text>', *grid(left, width, ticks, error, is_first, " %"),
             *grid(left, width, SECONDS, seconds, is_first, " s")]
    for number, size in enumerate(sizes):
        x = left + (number + 0.5) * step
        lines += [f'<text class="small" x="{x:.1f}" y="{y}" text-anchor="middle">'
                  f'{size_name(size)}</text>' for y in (TOP + HIGH + 16, bottom + 16)]
    for shift, (recipe, (_, shape, colour)) in zip((-7, 0, 7), SHOWN.items(), strict=True):
        own = {row["per_class"]: row for row in rows if row["recipe"] == recipe}
        places = {size: left + (number + 0.5) * step + shift
                  for number, size in enumerate(sizes) if size in own}
        errors = [(x, error(100 * own[size]["error"]["mean"])) for size, x in places.items()]
        whiskers = [(x, error(max(0, 100 * own[size]["error"]["low"])),
                     error(min(100, 100 * own[size]["error"]["high"])))
                    for size, x in places.items() if own[size]["error"]["low"] is not None]
        times = [(x, seconds(own[size]["seconds"])) for size, x in places.items()
                 if own[size]["seconds"] is not None]
        lines += curve(shape, colour, errors, whiskers)
        lines += curve(shape, colour, times)
    return lines


def legend() -> list[str]:
    """Markers with their names, in a row above the panels."""
    lines, x = [], LEFT
    for name, shape, colour in SHOWN.values():
        lines += [marker(shape, x + 5, 20, colour),
                  f'<text x="{x + 16}" y="24">{html.escape(name)}</text>']
        x += 40 + 7 * len(name)
    return lines


def draw(content: dict) -> str:
    """Errors and seconds by images per class, as SVG that is readable on light and dark pages."""
    cells = [row for row in content["cells"] if row["recipe"] in SHOWN]
    names = [data for data in NAMES if any(row["data"] == data for row in cells)]
    highest = 100 * max(row["error"]["high"] or row["error"]["mean"] for row in cells)
    last_tick = min(100, 20 * math.ceil(highest / 20))

    def error(percent_wrong: float) -> float:
        return TOP + HIGH * (1 - percent_wrong / last_tick)

    def seconds(value: float) -> float:
        inside = min(max(value, SECONDS[0]), SECONDS[-1])
        share = math.log(inside / SECONDS[0]) / math.log(SECONDS[-1] / SECONDS[0])
        return TOP + HIGH + BETWEEN + LOW * (1 - share)

    width = (WIDTH - LEFT - RIGHT - GAP * (len(names) - 1)) / len(names)
    lines = legend()
    for number, data in enumerate(names):
        lines += panel(content, data, LEFT + number * (width + GAP), width, error, seconds,
                       range(0, last_tick + 1, 20), number == 0)
    height = TOP + HIGH + BETWEEN + LOW + 52
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="Test error and seconds of fine-tuning by images per class">',
        f"<style>{STYLE}\n</style>",
        f'<rect class="sheet" width="{WIDTH}" height="{height}" rx="8"/>', *lines,
        f'<text class="small" x="{LEFT}" y="{TOP - 14}" text-anchor="end">test error</text>',
        f'<text class="small" x="{LEFT}" y="{TOP + HIGH + BETWEEN - 12}" text-anchor="end">'
        'time</text>',
        f'<text class="small" x="{WIDTH / 2}" y="{height - 12}" text-anchor="middle">images per '
        'class to train with (line: 95 % interval of the mean over seeds)</text>', "</svg>", ""])
