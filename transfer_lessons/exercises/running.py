"""Runs a learner's answer: for a limited time, and watched for what it must leave alone."""
from __future__ import annotations

import _thread
import contextlib
import copy
import dis
import io
import random
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
import torch

from .comparing import Raised, same

SECONDS = 10.0  # what an answer may take
_MAIN_THREAD = threading.main_thread().ident or 0  # it always has one once it runs


class TimeUp(Exception):
    """An answer took longer than it may."""


def _interrupt() -> None:
    """Interrupt the main thread, like Ctrl-C; while it sleeps or waits too, where that is possible."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(_MAIN_THREAD, signal.SIGINT)
    else:
        _thread.interrupt_main()


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeUp` in a block that takes longer. Only the main thread can be stopped.

    The interrupt is repeated every second, for answers that catch every error and go on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    finished = threading.Event()
    was_interrupted = threading.Event()

    def watch() -> None:
        wait = seconds
        while not finished.wait(wait):
            was_interrupted.set()
            _interrupt()
            wait = 1.0

    watcher = threading.Thread(target=watch, daemon=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    watcher.start()
    try:
        try:
            yield
        finally:  # the interrupt may still come, until the watcher has ended
            finished.set()
            watcher.join()
    except KeyboardInterrupt:
        if not was_interrupted.is_set():
            raise  # the learner pressed Ctrl-C
        raise TimeUp from None
    finally:
        finished.set()
        signal.signal(signal.SIGINT, before)
    if was_interrupted.is_set():
        raise TimeUp


def _random_states() -> tuple:
    """The states of the three sources of random numbers."""
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002


def _same_states(a: tuple, b: tuple) -> bool:
    """Whether nobody drew a random number in between."""
    return (a[0] == b[0] and a[1][2] == b[1][2] and np.array_equal(a[1][1], b[1][1])
            and torch.equal(a[2], b[2]))


def _restore(states: tuple) -> None:
    """Give the sources of random numbers an earlier state."""
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])


def _seed() -> None:
    """Start all sources of random numbers from 0."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


def _values(arguments: Any) -> Any:
    """A copy of the numbers, lists and dictionaries among arguments: what could be altered."""
    if isinstance(arguments, (torch.Tensor, np.ndarray)):
        return copy.deepcopy(arguments.detach() if isinstance(arguments, torch.Tensor)
                             else arguments)
    if isinstance(arguments, (list, tuple)):
        return [_values(item) for item in arguments]
    if isinstance(arguments, Mapping):
        return {key: _values(item) for key, item in arguments.items()}
    return None


class Outcome(NamedTuple):
    """What running an answer on a case gave."""
    value: Any
    changes_inputs: bool = False
    draws_random: bool = False
    hangs: bool = False


def where(answer: Any, error: BaseException) -> str:
    """The line of the answer in which an error arose, where its source is known."""
    if not isinstance(answer, FunctionType):
        return ""
    lines = [frame.line for frame in traceback.extract_tb(error.__traceback__)
             if frame.filename == answer.__code__.co_filename]
    return f" (in: {lines[-1]})" if lines and lines[-1] else ""


def run(observe: Callable, answer: Any, make_arguments: Callable[[], tuple],
        seconds: float = SECONDS) -> Outcome:
    """Observe an answer on fresh arguments; it can neither raise nor alter the random numbers.

    Args:
        observe: called with the answer and the arguments
        answer: a learner's function
        make_arguments: makes the arguments
        seconds: after which it is stopped
    """
    outside = _random_states()
    try:
        _seed()
        arguments = make_arguments()
        given = _values(arguments)
        _seed()
        before = _random_states()
        try:
            with time_limit(seconds), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = observe(answer, *arguments)
        except TimeUp:
            return Outcome(Raised("stopped", f"not finished after {seconds:g} s"), hangs=True)
        except (Exception, SystemExit) as error:
            first_line = str(error).partition("\n")[0]
            value = Raised(type(error).__name__, f"{first_line}{where(answer, error)}")
        after = _random_states()
        return Outcome(value, not same(given, _values(arguments), 0, 0),
                       not _same_states(before, after))
    finally:
        _restore(outside)


def run_quietly(*arguments: Any, **options: Any) -> Outcome:
    """Run a solution or a known wrong answer: what it prints is nobody's business."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return run(*arguments, **options)


def gradient_of(answer: Callable, x: torch.Tensor, *others: Any) -> Any:
    """The gradient of an answer's result with respect to its first argument."""
    x = x.detach().double().requires_grad_()
    result = answer(x, *others)
    if result is None:
        return None
    if not isinstance(result, torch.Tensor) or not result.requires_grad:
        return "no gradient: the result does not depend on the input in a way PyTorch can follow"
    return torch.autograd.grad(result.sum(), x)[0]


_OF_NOTHING = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}


def is_blank(answer: Any) -> bool:
    """Whether nothing was written yet: None, `...`, or a function whose body is one of these."""
    if answer is None or answer is ...:
        return True
    if not isinstance(answer, FunctionType):
        return False
    does_nothing = {step.opname for step in dis.get_instructions(answer)} <= _OF_NOTHING
    return does_nothing and set(answer.__code__.co_consts) <= {None, ..., answer.__doc__}
