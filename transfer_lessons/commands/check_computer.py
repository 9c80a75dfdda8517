"""What `transfer-lessons doctor` looks at on the computer, from its device to its network.

A check imports what it needs itself: where torch is broken, the others still say what they see.
"""
from __future__ import annotations

import platform
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from transfer_lessons.commands.findings import (
    Finding,
    first_line,
    in_colab,
    pip_install,
    set_variable,
)

# Servers, and what comes from them.
SERVERS = {"https://huggingface.co": "timm's networks",
           "https://download.pytorch.org": "torchvision's networks",
           "https://thor.robots.ox.ac.uk": "pets() and flowers()"}
NEEDED_MEMORY = 2 * 2**30  # bytes, for the lessons on the built-in images
NEEDED_DISK = 2**30
REPLY_SECONDS = 4.0
KEEP_IN_DRIVE = "from google.colab import drive; drive.mount('/content/drive')"


def check_device() -> Iterator[Finding]:
    """Whether the device that would train computes."""
    import torch

    from transfer_lessons.core import default_device

    device = default_device(quiet=True)
    try:
        (torch.ones(8, 8, device=device) @ torch.ones(8, 8, device=device)).sum().item()
    except RuntimeError as error:
        yield Finding("missing", f"{device} is there but does not compute ({first_line(error)})",
                      "update its driver, or hide it: export CUDA_VISIBLE_DEVICES=")
        return
    if device.type == "cuda":
        yield Finding("ok", f"GPU: {torch.cuda.get_device_name(device)}")
    elif device.type != "cpu":
        yield Finding("ok", f"accelerator: {device.type}")
    else:
        threads = torch.get_num_threads()
        yield Finding("ok", f"CPU, {threads} thread{'' if threads == 1 else 's'}: enough for the "
                      "lessons")
        if shutil.which("nvidia-smi"):
            yield Finding("note", "There is an NVIDIA driver here, but this torch finds no GPU.",
                          "see https://pytorch.org/get-started/locally for the torch that fits it")


def check_memory() -> Iterator[Finding]:
    """Main memory, that of a GPU, and the disk."""
    import torch

    from transfer_lessons.core import default_device
    from transfer_lessons.decoded import free_memory

    devices = {"main memory": torch.device("cpu")}
    if default_device(quiet=True).type == "cuda":
        devices["GPU memory"] = default_device(quiet=True)
    for name, device in devices.items():
        free = free_memory(device)
        if free < NEEDED_MEMORY:
            yield Finding("missing", f"{name}: only {free / 1e9:.1f} GB free; lessons need about "
                          f"{NEEDED_MEMORY / 1e9:.0f} GB", "close other programs and notebooks")
        else:
            yield Finding("ok", f"{name}: {free / 1e9:.1f} GB free")
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < NEEDED_DISK:
        yield Finding("missing", f"disk: only {free / 1e9:.1f} GB free in {tempfile.gettempdir()}",
                      "make room, or name another folder: export TMPDIR=...")
    else:
        yield Finding("ok", f"disk: {free / 1e9:.0f} GB free")


def check_notebooks() -> Iterator[Finding]:
    """What shows notebooks and their widgets."""
    if in_colab():
        yield Finding("ok", f"Google Colab with ipywidgets {metadata.version('ipywidgets')}")
        return
    programs = {name: metadata.version(name) for name in ("jupyterlab", "notebook")
                if find_spec(name)}
    if not programs:
        yield Finding("note", "JupyterLab is not installed here. VS Code shows the lessons too.",
                      pip_install("jupyterlab"))
    elif find_spec("ipykernel") is None:
        yield Finding("missing", "ipykernel, in which notebooks run", pip_install("ipykernel"))
    else:
        yield Finding("ok", ", ".join(f"{name} {version}" for name, version in programs.items()))
        yield widgets_in(programs)


def widgets_in(programs: dict[str, str]) -> Finding:
    """Whether the widgets' half that runs in the browser fits the half that runs in Python."""
    widgets = metadata.version("ipywidgets")
    is_classic = "jupyterlab" not in programs and major(programs["notebook"]) < 7
    browser_half = "widgetsnbextension" if is_classic else "jupyterlab_widgets"
    fitting = {True: {7: 3, 8: 4}, False: {7: 1, 8: 3}}[is_classic].get(major(widgets))
    try:
        version = metadata.version(browser_half)
    except metadata.PackageNotFoundError:
        version = "0, which is none"
    if fitting is not None and major(version) != fitting:
        return Finding("missing", f"ipywidgets {widgets} needs {browser_half} {fitting}, and here "
                       f"is {version}: explorers would stay empty",
                       pip_install(f"{browser_half}=={fitting}.*"))
    return Finding("ok", f"widgets: ipywidgets {widgets}, {browser_half} {version}")


def major(version: str) -> int:
    """The first number of a version."""
    return int(version.partition(".")[0].partition(",")[0])


def check_writing() -> Iterator[Finding]:
    """Whether the folders can be written that the course writes to."""
    from transfer_lessons.datasets import cache_folder
    from transfer_lessons.exercises import progress_file

    cache, progress, here = cache_folder(), progress_file(), Path.cwd()
    yield writes(cache, "downloads and cached activations",
                 set_variable("XDG_CACHE_HOME", here / "cache")
                 if platform.system() == "Linux" else f"make {cache} writable")
    yield writes(progress.parent, "your progress",
                 set_variable("TRANSFER_LESSONS_PROGRESS", here / progress.name))
    yield writes(here, "your copies of the lessons", "go to a folder of yours: cd FOLDER")
    if in_colab() and "drive" not in progress.parts:
        yield Finding("note", "Colab deletes its files when a session ends, your progress among "
                      "them. To keep it in your Google Drive, run this in a cell before the "
                      "lesson.", KEEP_IN_DRIVE)


def writes(folder: Path, purpose: str, mend: str) -> Finding:
    """Whether files can be written in a folder, which need not exist yet. Nothing stays behind."""
    existing = next(place for place in [folder, *folder.parents] if place.exists())
    try:
        with tempfile.TemporaryDirectory(dir=existing) as made, tempfile.TemporaryFile(dir=made):
            pass
    except OSError as error:
        return Finding("missing", f"{folder} cannot be written ({error.strerror}); it is for "
                       f"{purpose}", mend)
    return Finding("ok", f"{folder}, for {purpose}")


def check_network() -> Iterator[Finding]:
    """Which servers reply; the lessons need none of them."""
    replying = reachable(list(SERVERS))
    silent = {server: what for server, what in SERVERS.items() if server not in replying}
    if not silent:
        yield Finding("ok", "every server replies that downloads come from")
        return
    names = ", ".join(server.partition("//")[2] for server in silent)
    yield Finding("note", f"no reply from {names}: {', '.join(silent.values())} cannot be "
                  "downloaded. The built-in images and the default network need no download.",
                  "connect to the internet, or set HTTPS_PROXY where there is a proxy")


def reachable(servers: Sequence[str], seconds: float = REPLY_SECONDS) -> set[str]:
    """Those of some servers that reply within some seconds, even with an error."""
    replied: set[str] = set()

    def ask(server: str) -> None:
        try:
            urlopen(Request(server, method="HEAD"), timeout=seconds).close()
        except HTTPError:  # a reply too
            pass
        except (OSError, ValueError):
            return
        replied.add(server)

    # Daemons, all at once: looking up a name obeys no timeout, and the program can end without it.
    threads = [threading.Thread(target=ask, args=[server], daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    return set(replied)
