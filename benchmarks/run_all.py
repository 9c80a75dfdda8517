"""Runs every benchmark, each in a process of its own, and says at the end which bars were missed.

QUICK=1 runs all but the one that needs a browser in this process, on a handful of tiny images.
"""
import importlib
import json
import subprocess
import sys
from pathlib import Path

from measure import QUICK, RESULTS

HERE = Path(__file__).parent
NAMES = ["steps", "loading", "epochs", "frozen", "sweep", "memory", "growth", "imports",
         "scrubbing"]


def main() -> None:
    failed = []
    for name in NAMES:
        if QUICK and name == "scrubbing":
            continue
        if QUICK:
            importlib.import_module(name).main()
        elif subprocess.run([sys.executable, "-W", "ignore", HERE / f"{name}.py"]).returncode:
            failed.append(name)
    for file in sorted(RESULTS.glob("*.json")):
        for row in json.loads(file.read_text(encoding="utf-8")).get("ratios", []):
            if not row.get("met", True):
                bar = row["at_most"] if row["at_least"] is None else row["at_least"]
                print(f"bar missed: {file.stem}: {row['what']}: {row['median']:g}, bar {bar:g}")
    sys.exit(f"ended with an error: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
