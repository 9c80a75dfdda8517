"""Counts what a function asks of torch: operators, and numbers that are read from tensors."""
from collections import Counter
from collections.abc import Callable

from torch.utils._python_dispatch import TorchDispatchMode


class Operators(TorchDispatchMode):
    """Counts the operators that run in its `with` block, by name, in `names`."""
    def __init__(self):
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.names[operator.overloadpacket.__name__] += 1
        return operator(*args, **(kwargs or {}))


def operators(function: Callable[[], object]) -> Counter[str]:
    """How often each operator runs. `_local_scalar_dense` reads a number: a GPU is waited for."""
    with Operators() as counting:
        function()
    return counting.names
