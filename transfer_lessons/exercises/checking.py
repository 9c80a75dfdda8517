"""`check`, `hint` and `solution`: they find an exercise, run answers, and never raise."""
from __future__ import annotations

import importlib
import inspect
import pkgutil
import textwrap
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from .comparing import Raised, same, shown
from .kit import Decision, Exercise, Question, Wrong
from .progress_file import NOT_ATTEMPTED, NOT_YET, PASSED, Record, add_attempt, read_progress, update
from .report import Report, Row, Text
from .running import Outcome, gradient_of, is_blank, run, run_quietly

_OWN_MODULES = {"checking", "comparing", "kit", "overview", "progress_file", "questions",
                "report", "running"}


# Finding

@cache
def _module(lesson: str) -> Any:
    """The file of a lesson's exercises."""
    return importlib.import_module(f"{__package__}.{lesson}")


def lessons() -> list[str]:
    """The lessons that have exercises or questions, by the names of their files."""
    names = {module.name for module in pkgutil.iter_modules(_package_path())}
    return sorted(names - _OWN_MODULES)


def _package_path() -> list[str]:
    """Where this package's files are."""
    return list(importlib.import_module(__package__).__path__)


def exercises_of(lesson: str) -> list[Exercise | Decision]:
    """The exercises of a lesson, in order."""
    return list(getattr(_module(lesson), "EXERCISES", []))


def questions_of(lesson: str) -> list[Question]:
    """The questions of a lesson, in order."""
    return list(getattr(_module(lesson), "QUESTIONS", []))


def exercise_names(lesson: str | None = None) -> list[str]:
    """The names of all exercises, or of those of a lesson: "lesson.name"."""
    chosen = lessons() if lesson is None else [lesson]
    return [f"{one}.{exercise.name}" for one in chosen for exercise in exercises_of(one)]


def find(name: Any) -> Exercise | Decision | str:
    """An exercise, or a sentence that says which there are."""
    lesson, _, wanted = str(name).partition(".")
    if lesson not in lessons():
        return f"There is no exercise {name!r}. Lessons with exercises are: {', '.join(lessons())}."
    for exercise in exercises_of(lesson):
        if exercise.name == wanted:
            return exercise
    return (f"There is no exercise {name!r}. Those of this lesson are: "
            f"{', '.join(exercise_names(lesson))}.")


# Running

class Trial(NamedTuple):
    """Something to run an answer on."""
    name: str
    observe: Callable
    arguments: Callable[[], tuple]


def trials(exercise: Exercise) -> Iterator[Trial]:
    """Every case, and its gradient where the exercise asks for it."""
    for name, arguments in exercise.cases.items():
        yield Trial(name, exercise.observe, arguments)
        if exercise.gradient:
            yield Trial(f"{name}: gradient", gradient_of, arguments)


@cache
def _expected(name: str) -> list[Outcome]:
    """What the oracle, or the solution, gives on every trial of an exercise."""
    exercise = find(name)
    assert isinstance(exercise, Exercise)
    oracle = exercise.expected or exercise.solution
    return [run_quietly(trial.observe, oracle, trial.arguments) for trial in trials(exercise)]


@cache
def _of_wrong(name: str, number: int) -> list[Outcome]:
    """What a known wrong answer of an exercise gives on every trial."""
    exercise = find(name)
    assert isinstance(exercise, Exercise)
    answer = exercise.wrong[number].answer
    return [run_quietly(trial.observe, answer, trial.arguments, seconds=2.0)
            for trial in trials(exercise)]


def _agrees(exercise: Exercise, a: Outcome, b: Outcome) -> bool:
    return same(a.value, b.value, exercise.rtol, exercise.atol)


def _wrong_answer(name: str, exercise: Exercise, outcomes: list[Outcome],
                  right: list[bool]) -> Wrong | None:
    """The known wrong answer that gives the same where the answer is wrong; the closest of them."""
    best, most = None, 0
    for number, wrong in enumerate(exercise.wrong):
        agreed = [_agrees(exercise, outcome, of_wrong) for outcome, of_wrong
                  in zip(outcomes, _of_wrong(name, number), strict=False)]
        explains_all = all(agrees or is_right for agrees, is_right
                           in zip(agreed, right, strict=True))
        if explains_all and sum(agreed) > most:
            best, most = wrong, sum(agreed)
    return best


def _habits(exercise: Exercise, outcomes: list[Outcome], expected: list[Outcome]) -> str:
    """What an answer must not do, whatever it returns."""
    if any(outcome.hangs for outcome in outcomes):
        return ("It was stopped because it did not finish in time. Is there a loop that never ends, "
                "or one over every number where a whole tensor could be used?")
    if not exercise.may_change_inputs and any(outcome.changes_inputs for outcome in outcomes):
        return ("It changes its inputs, which belong to whoever calls it. Work on a copy, such as "
                "`x.clone()`, and avoid operations that end in an underscore.")
    if any(outcome.draws_random and not wanted.draws_random
           for outcome, wanted in zip(outcomes, expected, strict=False)):
        return ("It changes the state of the random numbers, so everything random after it comes "
                "out differently. The result should depend on the arguments alone.")
    return ""


def _given(trial: Trial) -> str:
    """The input of a case, shown."""
    arguments = trial.arguments()
    return shown(arguments[0] if len(arguments) == 1 else arguments)


def check_function(name: str, exercise: Exercise, answer: Any) -> Report:
    """Run a function on every case, compare, and look for the likely cause."""
    if not callable(answer):
        return Report(name, NOT_YET, cause=f"The answer must be a function; got {shown(answer)}. Try "
                      f'`check("{name}", {exercise.name})`, without calling it.')
    expected, outcomes, rows = _expected(name), [], []
    for trial, wanted in zip(trials(exercise), expected, strict=True):
        outcome = run(trial.observe, answer, trial.arguments)
        outcomes.append(outcome)
        rows.append(Row(trial.name, _given(trial), shown(outcome.value), shown(wanted.value),
                        _agrees(exercise, outcome, wanted)))
        if outcome.hangs:
            break
    right = [row.is_right for row in rows]
    habits = _habits(exercise, outcomes, expected)
    if all(right) and not habits:
        return Report(name, PASSED, rows)
    wrong = None if all(right) else _wrong_answer(name, exercise, outcomes, right)
    cause = wrong.why if wrong else habits or _general_cause(outcomes, right)
    return Report(name, NOT_YET, rows, cause)


def _general_cause(outcomes: list[Outcome], right: list[bool]) -> str:
    """Something to look at where no known mistake gives what came out."""
    failed = [outcome for outcome, is_right in zip(outcomes, right, strict=True) if not is_right]
    if all(outcome.value is None for outcome in failed):
        return "The function returns nothing there. Is there a `return` for every case?"
    if all(isinstance(outcome.value, Raised) for outcome in failed):
        return "It ends with an error there: the message names the line."
    return "Compare what came out with what was expected in the first case that is wrong."


def check_decision(name: str, decision: Decision, answer: Any, about: Any) -> Report:
    """Judge a value; `about` is what the lesson hands over."""
    if decision.about is not None and about is None:
        return Report(name, NOT_YET, cause="The check needs what it judges by: keep `about=...` as "
                      "it stands in the lesson.")
    arguments = (answer,) if decision.about is None else (answer, about)
    outcome = run(lambda judge, *values: judge(*values), decision.judge, lambda: arguments,
                  decision.seconds)
    if isinstance(outcome.value, Raised):
        return Report(name, NOT_YET, cause=f"This answer cannot be judged: got {shown(answer)}. Look "
                      "at the comment beside the blank for the form that it must have.")
    row = Row("your decision", shown(answer), "", "", outcome.value is None)
    if outcome.value is None:
        return Report(name, PASSED, [row])
    causes = {wrong.name: wrong.why for wrong in decision.wrong}
    return Report(name, NOT_YET, cause=causes.get(outcome.value, str(outcome.value)))


# For learners

def check(name: str, answer: Any, about: Any = None) -> Report:
    """Check an answer to an exercise on cases made to tell right from wrong. It never raises.

    Args:
        name: "lesson.name", as it stands in the lesson
        answer: the function that you wrote, or the value that you chose
        about: what a decision is judged by, as it stands in the lesson

    Returns:
        *passed*, *not yet* with the cases and the likely cause, or *not attempted*
    """
    exercise = find(name)
    if isinstance(exercise, str):
        return Report(str(name), NOT_ATTEMPTED, next_step=exercise)
    if is_blank(answer):
        return Report(name, NOT_ATTEMPTED,
                      next_step=f'Replace the blank and run the cell. A nudge: `hint("{name}")`.')
    try:
        if isinstance(exercise, Exercise):
            report = check_function(name, exercise, answer)
        else:
            report = check_decision(name, exercise, answer, about)
    except Exception as error:  # a value that can be neither compared nor shown
        report = Report(name, NOT_YET, cause="What came out cannot be compared with what was expected "
                        f"({type(error).__name__}). Return plain numbers, tensors or arrays.")
    if report.state == PASSED:
        report.cause = exercise.why
    else:
        report.next_step = f'A nudge: `hint("{name}")`. The answer: `solution("{name}")`.'
    _quietly(add_attempt, name, report.state)
    return report


def _quietly(function: Callable, *arguments: Any) -> Any:
    """Write progress; whatever goes wrong there must not get into a learner's way."""
    try:
        return function(*arguments)
    except Exception as error:
        warnings.warn(f"Your progress could not be kept: {error}", stacklevel=3)
        return None


def hint(name: str) -> Text:
    """The next hint for an exercise; the last one stays.

    Args:
        name: "lesson.name"
    """
    exercise = find(name)
    if isinstance(exercise, str):
        return Text(exercise)
    record = _quietly(update, name, lambda record: record._replace(hints=record.hints + 1))
    number = min(record.hints if record else len(exercise.hints), len(exercise.hints))
    return Text(f"**Hint {number} of {len(exercise.hints)}.** {exercise.hints[number - 1]}")


def solution(name: str) -> Text:
    """The solution of an exercise and why it is right; after one attempt.

    Args:
        name: "lesson.name"
    """
    exercise = find(name)
    if isinstance(exercise, str):
        return Text(exercise)
    if not read_progress().get(name, Record()).attempts:
        return Text("Try it once first: a wrong answer teaches more than a right one that you read. "
                    f'A nudge: `hint("{name}")`.')
    _quietly(update, name, lambda record: record._replace(solution_seen=True))
    source = textwrap.dedent(inspect.getsource(exercise.solution)).strip()
    return Text(f"```python\n{source}\n```\n{exercise.why}")
