"""Whether two outcomes of an exercise are the same, and how an outcome is shown in a table."""
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Raised(NamedTuple):
    """The outcome of a function that ended with an error."""
    kind: str  # of exception, such as "ValueError"
    message: str = ""


def as_tensor(value: Any) -> Tensor | None:
    """A number, an array or a tensor as a tensor; None for anything else.

    Python's 3, NumPy's 3.0 and a tensor of 3 are the same answer.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, (bool, int, float, np.generic, np.ndarray)):
        array = np.asarray(value)
        return torch.from_numpy(array.copy()) if array.dtype.kind in "biuf" else None
    return None


def same_numbers(a: Tensor, b: Tensor, rtol: float, atol: float) -> bool:
    """Whether two tensors have one shape, and the same numbers up to rounding."""
    if a.shape != b.shape:
        return False
    return torch.allclose(a.double(), b.double(), rtol=rtol, atol=atol, equal_nan=True)


def same(a: Any, b: Any, rtol: float = 1e-4, atol: float = 1e-6) -> bool:
    """Whether two outcomes are the same: numbers up to rounding, the rest exactly.

    A list equals a tuple with the same content; an error equals every other of its kind.
    """
    numbers_a, numbers_b = as_tensor(a), as_tensor(b)
    if numbers_a is not None and numbers_b is not None:
        return same_numbers(numbers_a, numbers_b, rtol, atol)
    if isinstance(a, Raised) or isinstance(b, Raised):
        return isinstance(a, Raised) and isinstance(b, Raised) and a.kind == b.kind
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(*pair, rtol, atol)
                                        for pair in zip(a, b, strict=True))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key], rtol, atol) for key in a)
    try:
        return type(a) is type(b) and bool(a == b)
    except Exception:  # an object that cannot be compared equals no other
        return False


def short_number(value: float) -> str:
    """A number in at most five digits."""
    return str(value) if isinstance(value, (bool, int)) else f"{value:.5g}"


def shown(value: Any, longest: int = 90) -> str:
    """An outcome or an input on one line: values where they are few, else shape and range."""
    if isinstance(value, Raised):
        text = f"{value.kind}: {value.message}" if value.message else value.kind
        longest = 2 * longest  # the end names the line
    elif (numbers := as_tensor(value)) is not None:
        text = _shown_numbers(numbers)
    elif isinstance(value, (list, tuple)):
        text = "(" + ", ".join(shown(item, longest) for item in value) + ")"
    elif isinstance(value, Mapping):
        text = ", ".join(f"{key}: {shown(item, longest)}" for key, item in value.items())
    else:
        text = str(value)
    text = " ".join(text.split())
    return text if len(text) <= longest else text[:longest - 1] + "…"


def _shown_numbers(numbers: Tensor) -> str:
    """A tensor in words."""
    if numbers.ndim == 0:
        return short_number(numbers.item())
    if numbers.numel() <= 8:
        return _nested(numbers.tolist())
    shape = "×".join(map(str, numbers.shape))
    values = numbers.double()
    finite = values[values.isfinite()]
    if not len(finite):
        return f"{shape} numbers, none of them finite"
    extra = "" if len(finite) == numbers.numel() else ", some not finite"
    if math.isclose(finite.min(), finite.max()):
        return f"{shape} numbers, all {short_number(finite.min().item())}{extra}"
    return (f"{shape} numbers from {short_number(finite.min().item())} to "
            f"{short_number(finite.max().item())}{extra}")


def _nested(values: Any) -> str:
    """Lists of numbers, shortened."""
    if isinstance(values, list):
        return "[" + ", ".join(map(_nested, values)) + "]"
    return short_number(values)
