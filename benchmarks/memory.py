"""How much memory does training take, against a bare loop?

On the CPU each side trains in a process of its own, and the most memory it had is compared.
"""
import re
import resource
import subprocess
import sys
from pathlib import Path

import torch
from measure import QUICK, Report
from torchvision.models import resnet50

SIZE, BATCH, STEPS = (32, 4, 2) if QUICK else (112, 32, 6)


def train(side: str, device: str) -> float:
    """The most memory in MB after some steps of a resnet50 that trains as a whole."""
    from sides import Bare, network, our_learner, our_loaders, quietly
    dls = our_loaders(STEPS * BATCH, BATCH, SIZE, BATCH, device=device)
    model = network(resnet50)
    epoch = quietly(lambda: our_learner(dls, model).fit(1)) if side == "ours" else (
        Bare(dls, model).epoch)
    epoch()
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status")
    if status.exists():  # what the system calls its high-water mark, without the parent's
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on a Mac


def main(device: str = "cpu") -> None:
    report = Report("memory", __doc__)
    sides = {}
    for side in ("ours", "bare loop"):
        command = [sys.executable, "-W", "ignore", __file__, side, device]
        shown = [subprocess.run(command, check=True, capture_output=True, text=True).stdout
                 for _ in range(1 if QUICK else 3)]
        sides[side] = [float(text.split()[-1]) for text in shown]
    report.values(f"resnet50, {STEPS} steps of {BATCH} images of {SIZE} px", sides, "MB")
    report.ratio("memory of a training / a bare loop's", sides["ours"], sides["bare loop"],
                 at_most=1.05)
    report.write()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(train(*sys.argv[1:]))
    else:
        main()
