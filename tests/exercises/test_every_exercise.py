"""Every exercise: its solution passes, its blank is none, and every typical mistake is recognised."""
import time

import pytest

from transfer_lessons.exercises import check, exercise_names, hint, solution
from transfer_lessons.exercises.checking import find, lessons, questions_of
from transfer_lessons.exercises.kit import Decision, Exercise

NAMES = exercise_names()
ABSURD = {"text": "text", "negative": -1, "huge": 10**9, "empty list": [], "empty dict": {},
          "object": object(), "nan": float("nan"), "list of None": [None], "print": print,
          "raises": lambda *arguments: 1 / 0}


def right_answer(name):
    """The answer that passes, and what it is judged by."""
    exercise = find(name)
    if isinstance(exercise, Exercise):
        return exercise.solution, None
    about = exercise.about() if exercise.about else None
    return (exercise.solution() if about is None else exercise.solution(about)), about


def wrong_answer(wrong, about):
    """The answer that makes a mistake, for what it is judged by."""
    return wrong.answer(about) if callable(wrong.answer) and about is not None else wrong.answer


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def about(name):
    exercise = find(name)
    return exercise.about() if isinstance(exercise, Decision) and exercise.about else None


def test_the_solution_passes(name):
    answer, about = right_answer(name)
    began = time.process_time()
    report = check(name, answer, about)
    assert report.state == "passed", report
    assert time.process_time() - began < 20, "a check is quick"


def test_a_blank_is_not_attempted(name):
    def blank(*arguments):
        """What to do."""
        ...

    for answer in (None, ..., blank):
        assert check(name, answer).state == "not attempted"


def test_every_typical_mistake_is_recognised(name, about):
    exercise = find(name)
    assert len(exercise.wrong) >= 6
    assert len({wrong.why for wrong in exercise.wrong}) == len(exercise.wrong), "each has its own"
    for wrong in exercise.wrong:
        answer = wrong.answer
        if isinstance(exercise, Decision):
            answer = wrong_answer(wrong, about)
        report = check(name, answer, about)
        assert report.state == "not yet", f"{wrong.name}: {report}"
        assert report.cause == wrong.why, f"{wrong.name}: {report}"


@pytest.mark.parametrize("absurd", ABSURD)
def test_no_answer_makes_a_check_raise(name, about, absurd):
    assert check(name, ABSURD[absurd], about).state == "not yet"


def test_hints_and_the_solution_are_readable(name):
    exercise = find(name)
    assert len(exercise.hints) >= 2
    assert exercise.idea
    assert exercise.why
    assert f"Hint 1 of {len(exercise.hints)}" in repr(hint(name))
    assert "Try it once first" in repr(solution(name))
    check(name, "an attempt")
    assert "```python" in repr(solution(name))


@pytest.mark.parametrize("lesson", lessons())
def test_every_lesson_asks_three_questions_with_one_right_answer(lesson):
    found = questions_of(lesson)
    assert len(found) == 3
    for question in found:
        assert sum(choice.right for choice in question.choices) == 1
        assert len(question.choices) >= 2
        assert all(choice.reason for choice in question.choices)
