"""What an exercise and a question are made of; the files beside this one hold a lesson's own."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Wrong(NamedTuple):
    """A typical wrong answer. It is recognised by what it gives, not by how it is written."""
    name: str
    answer: Any  # a function that makes the mistake; of a decision, a value or a function of `about`
    why: str  # what happened and what to do about it, for whoever made it


def call(answer: Callable, *args: Any) -> Any:
    """What most exercises look at: what the answer returns."""
    return answer(*args)


def call_for_numbers(answer: Callable, *args: Any) -> Any:
    """What the answer returns, where a list, a tuple, an array and a tensor are equally right."""
    return _as_lists(answer(*args))


def _as_lists(value: Any) -> Any:
    """A value in which arrays, tensors and tuples are lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_as_lists(part) for part in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Exercise:
    """A blank function, checked by what it gives on cases that tell right from wrong.

    One in ten lines, in a file of its lesson:

        def double(x):
            return 2 * x

        EXERCISES = [
            Exercise("double", double, idea="functions return a value",
                     cases={"a number": lambda: (3,), "nothing": lambda: (0,)},
                     wrong=[Wrong("adds 2", lambda x: x + 2, "2 + 2 is 4, but 3 + 2 is not 6.")],
                     hints=["What is twice 3?", "Return x times 2."],
                     why="A product, whatever x is.")]

    Args:
        name: of the function; the check's name is "lesson.name"
        solution: the function, complete; its source is what `solution(...)` shows
        idea: which idea it tests, in a few words, for the teachers' page
        cases: what makes the arguments of a case, new at every call, by a name for learners
        wrong: typical wrong answers, at least six
        hints: from a nudge to nearly the answer
        why: why the solution is right, one to three sentences
        expected: an independent oracle, called as the answer is; None: the solution
        observe: what is looked at: a function of the answer and the arguments that runs the one on
            the others and returns what happened, where that is not what it returns
        may_change_inputs: False: an answer that alters its arguments is told so
        gradient: also compare gradients with respect to the first argument, a float tensor
        rtol: how far a number may be from the expected one, as a part of it
        atol: and in any case
    """
    name: str
    solution: Callable
    idea: str
    cases: Mapping[str, Callable[[], tuple]]
    wrong: Sequence[Wrong]
    hints: Sequence[str]
    why: str
    expected: Callable | None = None
    observe: Callable[..., Any] = call
    may_change_inputs: bool = False
    gradient: bool = False
    rtol: float = 1e-4
    atol: float = 1e-6


@dataclass(frozen=True)
class Decision:
    """A value that a learner decides on, judged by measuring or by a result of the lesson.

    Args:
        name: of the variable; the check's name is "lesson.name"
        idea: which idea it tests, in a few words, for the teachers' page
        judge: a function of the answer (and of `about`, where the check has it) that returns None
            for a good one; for another one the name of the wrong answer that it is, or a sentence
        solution: a function (of `about`) that returns a good answer; its source is shown
        wrong: typical wrong answers, at least six
        hints: from a nudge to nearly the answer
        why: why the solution is right, one to three sentences
        about: for tests: makes what the lesson hands to `check(..., about=)`; None: nothing
        seconds: how long judging may take before it is stopped
    """
    name: str
    idea: str
    judge: Callable[..., str | None]
    solution: Callable[..., Any]
    wrong: Sequence[Wrong]
    hints: Sequence[str]
    why: str
    about: Callable[[], Any] | None = None
    seconds: float = 60.0


class Choice(NamedTuple):
    """One answer to a question, and what whoever chooses it is told."""
    text: str
    reason: str
    right: bool = False


class Question(NamedTuple):
    """A question with one right answer and at least one that tempts."""
    text: str
    choices: Sequence[Choice]
