"""How long imports take, each in a fresh process: medians of five."""
import statistics
import subprocess
import sys
import time

import limits


def seconds(statement: str) -> float:
    """Median wall time of a Python process that does nothing else."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    torch, light = seconds("import torch"), seconds("import torch, transfer_lessons")
    print(f"import torch: {torch:.2f} s")
    limits.at_most("import transfer_lessons adds", light - torch, 0.2, " s")
    ours = seconds("from transfer_lessons.all import *")
    try:
        theirs = seconds("from fastai.vision.all import *")
    except subprocess.CalledProcessError:
        print(f"from transfer_lessons.all import *: {ours:.2f} s; fastai is not installed")
        return
    print(f"from transfer_lessons.all import *: {ours:.2f} s, fastai.vision.all {theirs:.2f} s")
    limits.at_most("ratio", ours / theirs, 1)


if __name__ == "__main__":
    main()
    limits.end()
