"""How soon does a slider's plot follow, in JupyterLab, in Notebook 7 and offline?"""
import sys
import tempfile
from pathlib import Path

import numpy as np
from measure import Report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/browser"))
import helpers as tools  # noqa: E402

SETUP = """
from transfer_lessons.all import *
torch.manual_seed(0)
dls = icons(size=64, augment=False, device="cpu")
learn = vision_learner(dls)
sweep = sweep_lrs(learn.precompute(), [10 ** (-5 + 6 * i / 63) for i in range(64)], 5)
interp = ClassificationInterpretation.from_learner(learn)
"""
EXPLORERS = {"OneCycleExplorer": "", "CrossEntropyExplorer": "", "FreezeExplorer": "learn",
             "AugmentExplorer": "dls", "ConfusionExplorer": "interp"}
CELLS = ["import torch" + SETUP, "LRScrubber(sweep)",
         *(f"shown = {name}({argument})\nshown" for name, argument in EXPLORERS.items())]
MEMORY = "import psutil; print(psutil.Process().memory_info().rss)"


def quietest(plot, slider, **options: int) -> list[float]:
    """Milliseconds from key to plot in the least disturbed of five rounds; all are printed."""
    rounds = [tools.key_to_paint(plot, slider, **options) for _ in range(5)]
    ends = [np.percentile(times, 95) for times in rounds]
    print("  95th percentile of each round:", ", ".join(f"{end:.1f} ms" for end in ends))
    return rounds[int(np.argmin(ends))]


def scrub(report: Report, area, where: str) -> None:
    """The scrubber: keys, every tick of a drag, and what a screencast saw of one."""
    slider, plot = area.locator("input[type=range]").first, area.locator(".tl-scrubber svg").first
    times = quietest(plot, slider, presses=60)
    report.values("LRScrubber, key to curve", {where: times}, "ms")
    report.number(f"LRScrubber, {where}: 95th percentile, ms", [np.percentile(times, 95)],
                  at_most=20)
    painted = {change["value"] for change in tools.drag(plot, slider)}
    missing = len(set(map(str, range(1, 64))) - painted)
    report.number(f"LRScrubber, {where}: ticks of 64 not painted", [missing], at_most=0)
    with tools.screencast(area.page) as frames:
        tools.drag(plot, slider)
    blank = tools.blank_frames(frames, plot)
    report.number(f"LRScrubber, {where}: blank frames of a drag", [blank], at_most=0)


def ask_python(report: Report, server, area, name: str, where: str) -> None:
    """An explorer whose images the kernel draws: keys, then a drag from far away."""
    page, (plot, slider) = area.page, tools.controls(area, name)
    span = {"FreezeExplorer": 1, "ConfusionExplorer": 5}.get(name, 15)
    times = tools.key_to_paint(plot, slider, presses=4, span=span)
    if min(times) < float("inf"):
        times = quietest(plot, slider, presses=40, span=span)
    report.values(f"{name}, key to image", {where: times}, "ms")
    report.number(f"{name}, {where}: 95th percentile, ms", [np.percentile(times, 95)], at_most=100)
    if name == "ConfusionExplorer":
        return  # nobody drags a menu
    with tools.screencast(page) as frames:
        tools.drag(plot, slider)
    report.number(f"{name}, {where}: blank frames of a drag", [tools.blank_frames(frames, plot)],
                  at_most=0)
    server.delay.seconds = 0.05  # each way: a round trip of 100 ms, as to a far server
    tools.drag(plot, slider, ticks=100, pace=0.015)
    report.number(f"{name}, {where}: last image after a drag from 100 ms away, ms",
                  [tools.settled(page)], at_most=400)
    server.delay.seconds = 0


def remember(report: Report, area, name: str) -> None:
    """What 1,000 keys, each drawn, leave in the kernel's memory."""
    page, (plot, slider) = area.page, tools.controls(area, name)
    tools.key_to_paint(plot, slider, presses=40, span=20)
    before = int(tools.ask(page, MEMORY))
    for press in range(1000):
        page.keyboard.press("ArrowLeft" if press // 20 % 2 else "ArrowRight")
        page.wait_for_timeout(60)
    page.wait_for_timeout(500)
    grown = (int(tools.ask(page, MEMORY)) - before) / 1e6
    report.number(f"{name}: memory after 1,000 keys, MB", [grown], at_most=5)


def main() -> None:
    report = Report("scrubbing", __doc__)
    with (tempfile.TemporaryDirectory() as folder, tools.chromium() as chromium,
          tools.jupyter(Path(folder)) as server):
        for app in tools.APPS:
            tools.write_notebook(Path(folder, f"{app}.ipynb"), *CELLS)
            page = server.open(chromium, app, f"{app}.ipynb")
            tools.run(page)
            scrub(report, tools.output(page, 1), app)
            for number, name in enumerate(EXPLORERS, 2):
                ask_python(report, server, tools.output(page, number), name, app)
            if app == "lab":
                remember(report, tools.output(page, 2), "OneCycleExplorer")
            page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
            server.close(page)
        static = tools.export(Path(folder, "lab.ipynb"), Path(folder, "lab.html"))
        page = tools.offline(chromium, static, [])
        scrub(report, page.locator("body"), "static page, no network")
    report.write()


if __name__ == "__main__":
    main()
