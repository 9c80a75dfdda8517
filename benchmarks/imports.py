"""How long do imports take, each in a process of its own?"""
import subprocess
import sys
from functools import partial

from measure import QUICK, Report, taking_turns

STATEMENTS = {"torch": "import torch", "transfer_lessons": "import torch, transfer_lessons",
              "all of transfer_lessons": "from transfer_lessons.all import *",
              "all of fastai.vision": "from fastai.vision.all import *"}
if QUICK:
    STATEMENTS = dict.fromkeys(STATEMENTS, "import json")


def main() -> None:
    report = Report("imports", __doc__)
    times = taking_turns({
        name: partial(subprocess.run, [sys.executable, "-W", "ignore", "-c", statement], check=True)
        for name, statement in STATEMENTS.items()}, rounds=5)
    report.values("import", times)
    report.ratio("all of transfer_lessons / all of fastai.vision", times["all of transfer_lessons"],
                 times["all of fastai.vision"], at_most=0.8)
    report.write()


if __name__ == "__main__":
    main()
