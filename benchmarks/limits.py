"""Figures beside the limits they are held to; a benchmark that misses one ends with an error."""
import sys

missed: list[str] = []


def _print(what: str, measured: float, unit: str, limit: str, met: bool) -> None:
    missed.extend([] if met else [what])
    print(f"  {what}: {measured:.3g}{unit} ({limit}): {'met' if met else 'NOT MET'}", flush=True)


def at_most(what: str, measured: float, limit: float, unit: str = "") -> None:
    _print(what, measured, unit, f"at most {limit:g}", measured <= limit)


def at_least(what: str, measured: float, limit: float, unit: str = "") -> None:
    _print(what, measured, unit, f"at least {limit:g}", measured >= limit)


def end() -> None:
    """Ends the program, with an error where a limit was missed."""
    sys.exit(f"not met: {', '.join(missed)}" if missed else 0)
