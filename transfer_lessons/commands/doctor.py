"""`transfer-lessons doctor`: what is missing on this computer, and the command that mends it."""
from __future__ import annotations

import platform
import textwrap
from collections.abc import Callable, Iterator

from transfer_lessons import __version__
from transfer_lessons.commands import check_computer, check_installation
from transfer_lessons.commands.findings import Finding, first_line, in_colab

WIDTH = 96
CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "packages": check_installation.check_packages,
    "extras": check_installation.check_extras,
    "weights": check_installation.check_weights,
    "data": check_installation.check_data,
    "device": check_computer.check_device,
    "memory": check_computer.check_memory,
    "notebooks": check_computer.check_notebooks,
    "writing": check_computer.check_writing,
    "network": check_computer.check_network,
}


def doctor() -> int:
    """Examine this computer and print what was found as it is found.

    Returns:
        exit status: 1 where something is missing that the lessons need
    """
    system = "Google Colab" if in_colab() else f"{platform.system()} ({platform.machine()})"
    print(f"transfer_lessons {__version__}, Python {platform.python_version()}, {system}\n")
    n_missing = 0
    for subject, check in CHECKS.items():
        for finding in examine(check):
            print("\n".join(lines(subject, finding)), flush=True)
            n_missing += finding.state == "missing"
            subject = ""  # said once
    print()
    if n_missing:
        things = "One thing is" if n_missing == 1 else f"{n_missing} things are"
        print(f"{things} missing. Do what stands below each, then run this again.")
        return 1
    print("Everything that the lessons need is here.")
    return 0


def examine(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """The findings of a check, also where it fails itself: a broken package can raise anything."""
    found: list[Finding] = []
    try:
        for finding in check():
            found.append(finding)
    except ImportError as error:
        found.append(Finding("missing", f"cannot be examined ({first_line(error)})",
                             "mend the packages first, then run this again"))
    except Exception as error:
        found.append(Finding("missing", f"cannot be examined ({first_line(error)})",
                             "install the course again, in a new environment"))
    return found


def lines(subject: str, finding: Finding) -> list[str]:
    """A finding in lines of a terminal; what mends it stands alone, to be copied."""
    state = finding.state.upper() if finding.state == "missing" else finding.state
    start = f"{subject:<10} {state:<8}"
    margin = " " * len(start)
    wrapped = textwrap.wrap(finding.says, WIDTH, initial_indent=start, subsequent_indent=margin,
                            break_long_words=False, break_on_hyphens=False)
    return wrapped + [f"{margin}    {line}" for line in finding.mend.splitlines()]
