"""Cells that are run again leave no widget and no memory behind, in both versions of ipywidgets."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import asyncio, io, sys, resource
import ipywidgets, matplotlib.pyplot as plt
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image
assert ipywidgets.__version__.startswith(sys.argv[1]), ipywidgets.__version__
shell = InteractiveShell.instance()
shell.run_cell('''
import torch
from torch import nn
from transfer_lessons.all import *
from transfer_lessons.datasets import draw_icons
images, labels = draw_icons(24)
few = [i for name in ("animal", "building") for i in [i for i, k in enumerate(labels) if k == name][:12]]
dls = ImageDataLoaders.from_files([images[i] for i in few], [labels[i] for i in few],
                                  is_valid=[i % 4 == 0 for i in range(24)], size=16, bs=8, augment=False,
                                  device="cpu")
body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU())
model = nn.Sequential(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
learn = Learner(dls, model)
''').raise_error()
registry = getattr(ipywidgets.widgets.widget, "_instances", None)
if registry is None:
    registry = ipywidgets.Widget.widgets
cells = {"OneCycleExplorer": "e = OneCycleExplorer(); OneCycleExplorer(1e-3)",
         "CrossEntropyExplorer": "e = CrossEntropyExplorer()",
         "FreezeExplorer": "e = FreezeExplorer(learn)", "AugmentExplorer": "e = AugmentExplorer(dls)",
         "ConfusionExplorer":
         "e = ConfusionExplorer(ClassificationInterpretation.from_learner(learn))",
         "ImageCleaner": "e = ImageCleaner(ClassificationInterpretation.from_learner(learn), 'marks.json')",
         "LRStudyExplorer": "e = LRStudyExplorer()",
         "LossCurves": "e = LossCurves(learn)\\nwith e:\\n    learn.fit(1)",
         "LRScrubber": "learn.freeze(); s = LRScrubber(sweep_lrs(learn, [1e-3, 1e-2], 1, "
                       "suggest_funcs=()))"}
for name, cell in cells.items():
    counts = []
    for _ in range(7):
        shell.run_cell(cell, store_history=True).raise_error()
        counts.append(len(registry))
    assert len(set(counts[3:])) == 1, (name, counts)  # without ids of cells, four runs stay
    explorer = shell.user_ns["e"]
    assert Image.open(io.BytesIO(explorer.image.value)).size[0] == 720
    assert explorer.box.comm is not None
before = len(registry)
shell.run_cell("OneCycleExplorer()", store_history=True)
shell.run_cell("OneCycleExplorer() # elsewhere", store_history=True)
one = len(registry) - before
shell.run_cell("OneCycleExplorer() # a third cell", store_history=True)
assert one > 0 and len(registry) - before == 3 * one // 2, "cells do not close each other's"
explorer = shell.user_ns["e"] = None
shell.run_cell("e = OneCycleExplorer(3e-3)", store_history=True)
slider = shell.user_ns["e"].controls["pct_start"]
for event in range(60):
    slider.value = event % 20 / 20

def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def drag():
    for event in range(1000):
        slider.value = event % 20 / 20
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.2)
start = memory()
asyncio.run(drag())
grown = memory() - start
assert plt.get_fignums() == []
print(f"{grown:.1f} MB grown")
assert grown < 5
"""


@pytest.mark.parametrize("version", ["7.7.1", "8."])
def test_no_widget_piles_up_in_either_ipywidgets(version, tmp_path):
    folder = ROOT / ".venv" / "ipywidgets7"
    if version == "7.7.1" and not (folder / "ipywidgets").exists():
        pytest.skip("`make test` installs ipywidgets 7.7.1 beside the other one")
    path = [str(folder)] * (version == "7.7.1") + [str(ROOT)]
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT, version], cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(path),
                               "MPLBACKEND": "Agg"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MB grown" in done.stdout
