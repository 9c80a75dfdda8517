"""What a check says of an answer that hangs, meddles, fails or is nearly right; progress on disk."""
import json
import random
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
import torch

from transfer_lessons.exercises import (
    check,
    checking,
    hint,
    progress,
    progress_file,
    read_progress,
    solution,
)
from transfer_lessons.exercises.comparing import Raised, same, shown
from transfer_lessons.exercises.kit import Choice, Decision, Exercise, Question, Wrong
from transfer_lessons.exercises.questions import Questions
from transfer_lessons.exercises.report import marked_up
from transfer_lessons.exercises.running import TimeUp, is_blank, time_limit


def double(x):
    return 2 * x


EXERCISES = [
    Exercise("double", double, idea="a function returns a value",
             cases={"one number": lambda: (torch.tensor([3.0]),),
                    "several": lambda: (torch.tensor([2.0, 5.0, -1.0]),)},
             wrong=[Wrong("adds 2", lambda x: x + 2, "2 + 2 is 4, but 3 + 2 is not 6."),
                    Wrong("squares", lambda x: x * x, "2 squared is 4, but 3 squared is 9.")],
             hints=["What is twice 3?", "Return x times 2."], why="A product, whatever x is.",
             gradient=True),
    Decision("share", "a fraction", lambda share: None if share == 0.2 else "all of it",
             solution=lambda: 0.2, wrong=[Wrong("all of it", 1.0, "Then nothing is left.")],
             hints=["Not all.", "A fifth."], why="A fifth is held out.")]


@pytest.fixture(autouse=True)
def a_lesson(monkeypatch):
    """A lesson called demo, with the exercises above."""
    module = type("module", (), {"EXERCISES": EXERCISES, "QUESTIONS": []})
    monkeypatch.setattr(checking, "lessons", lambda: ["demo"])
    monkeypatch.setattr(checking, "_module", lambda lesson: module)
    checking._expected.cache_clear()
    checking._of_wrong.cache_clear()


def test_a_right_answer_passes_and_says_why():
    report = check("demo.double", lambda x: x + x)
    assert report.state == "passed"
    assert "A product, whatever x is." in repr(report)
    assert "A product" in report._repr_html_()


def test_a_mistake_is_known_by_what_it_gives_not_by_how_it_is_written():
    report = check("demo.double", lambda x: torch.stack([value + 2 for value in x]))
    assert report.state == "not yet"
    assert report.cause == "2 + 2 is 4, but 3 + 2 is not 6."
    assert [row.is_right for row in report.rows] == [False] * 4
    assert "5" in report.rows[0].came_out
    assert 'hint("demo.double")' in repr(report)


def test_a_result_without_a_gradient_is_not_enough():
    report = check("demo.double", lambda x: 2 * x.detach())
    assert [row.is_right for row in report.rows] == [True, False, True, False]
    assert "gradient" in report.rows[1].case


@pytest.mark.parametrize("nap", ["sleeps", "loops", "loops and catches everything"])
def test_an_answer_that_hangs_is_stopped(nap, monkeypatch):
    def answer(x):
        if nap == "sleeps":
            time.sleep(60)
        while True:
            if nap == "loops":
                continue
            try:
                time.sleep(0.01)
            except BaseException:
                if time.monotonic() > began + 2:
                    raise

    monkeypatch.setattr(checking.run, "__defaults__", (0.3,))
    began = time.monotonic()
    report = check("demo.double", answer)
    assert time.monotonic() - began < 30
    assert "did not finish in time" in report.cause


def test_an_answer_that_ends_just_as_its_time_does_raises_no_ctrl_c():
    for attempt in range(400):
        end = time.monotonic() + 0.004 + (attempt % 20 - 10) * 2e-5
        with suppress(TimeUp), time_limit(0.004):
            while time.monotonic() < end:
                pass


def test_ctrl_c_is_the_learners():
    def answer(x):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        check("demo.double", answer)


class Stubborn:
    """A value that nothing can be done with."""
    def __eq__(self, other):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")


ENDLESS: list = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize("value", [Stubborn(), ENDLESS, torch.ones(1, device="meta")],
                         ids=["stubborn", "endless", "without numbers"])
def test_a_value_that_cannot_be_compared_or_shown_is_wrong_and_raises_nothing(value):
    report = check("demo.double", lambda x: value)
    assert report.state == "not yet"
    assert report.cause
    assert check("demo.share", value).state == "not yet"


def test_an_answer_that_changes_its_input_is_told_so():
    report = check("demo.double", lambda x: x.data.mul_(2))
    assert report.state == "not yet"
    assert "changes its inputs" in report.cause


def test_an_answer_that_draws_random_numbers_is_told_so_and_leaves_none_behind():
    def states():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    wanted = states()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    report = check("demo.double", lambda x: 2 * x + 0 * torch.rand(1))
    assert states() == wanted
    assert "random numbers" in report.cause


def test_an_error_names_its_line():
    def answer(x):
        return x[7]
    row = check("demo.double", answer).rows[0]
    assert row.came_out.startswith("IndexError")
    assert "(in: return x[7])" in row.came_out


def test_nothing_returned_is_said():
    def answer(x):
        x = 2 * x
    assert "returns nothing" in check("demo.double", answer).cause


@pytest.mark.parametrize("answer", [3, "double", EXERCISES])
def test_what_is_no_function_is_said(answer):
    assert "must be a function" in check("demo.double", answer).cause


def test_a_decision_is_judged():
    assert check("demo.share", 0.2).state == "passed"
    assert check("demo.share", 1.0).cause == "Then nothing is left."
    assert check("demo.share", None).state == "not attempted"


@pytest.mark.parametrize("name", ["demo.treble", "other.double", "", None, 3])
def test_an_exercise_that_does_not_exist_is_answered_with_those_that_do(name):
    report = check(name, double)
    assert report.state == "not attempted"
    assert "demo" in repr(report)
    assert "demo" in repr(hint(name))
    assert "demo" in repr(solution(name))


def test_hints_come_one_after_the_other_and_the_solution_after_an_attempt():
    assert "1 of 2" in repr(hint("demo.double"))
    assert "2 of 2" in repr(hint("demo.double"))
    assert "2 of 2" in repr(hint("demo.double"))
    assert "Try it once" in repr(solution("demo.double"))
    check("demo.double", lambda x: x)
    assert "return 2 * x" in repr(solution("demo.double"))
    record = read_progress()["demo.double"]
    assert record == ("not yet", 1, 3, True)


def test_what_was_passed_stays_passed():
    check("demo.double", double)
    check("demo.double", lambda x: x)
    assert read_progress()["demo.double"].state == "passed"
    assert "1 of 2 exercises passed" in repr(progress("demo"))
    assert "1 of 2 exercises passed" in progress()._repr_html_()


def test_a_blank_leaves_no_trace_in_the_file():
    def blank(x):
        ...
    check("demo.double", blank)
    assert not progress_file().exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"exercises": 3}', b"\xff\xfe",
                                     b'{"exercises": {"demo.double": 3}}',
                                     b'{"exercises": {"demo.double": {"attempts": "many"}}}'])
@pytest.mark.case("progress file damaged", "it is put aside, a new one begins, and the learner is told")
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_put_aside(content):
    file = progress_file()
    file.write_bytes(content)
    assert read_progress() == {}
    assert check("demo.double", double).state == "passed"
    assert read_progress()["demo.double"].state == "passed"
    assert file.with_suffix(".damaged").read_bytes() == content


def test_what_a_later_version_wrote_is_kept():
    row = {"state": "passed", "attempts": 1, "stars": 5}
    progress_file().write_text(json.dumps({"exercises": {"demo.double": row, "new.one": row}}))
    check("demo.double", lambda x: x)
    rows = json.loads(progress_file().read_text())["exercises"]
    assert rows["demo.double"]["stars"] == 5
    assert rows["new.one"] == row


@pytest.mark.case("progress file cannot be written", "checks work; a warning says how to keep it")
def test_without_a_place_to_write_checks_still_work(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRANSFER_LESSONS_PROGRESS", str(tmp_path / "file" / "progress.json"))
    with pytest.warns(UserWarning, match="TRANSFER_LESSONS_PROGRESS"):
        assert check("demo.double", double).state == "passed"
    assert read_progress()["demo.double"].state == "passed"


WRITER = """
import sys
from transfer_lessons.exercises.progress_file import add_attempt
for number in range(int(sys.argv[2])):
    add_attempt(f"demo.{sys.argv[1]}", "not yet")
    add_attempt("demo.both", "not yet")
print("done", flush=True)
"""


def test_two_processes_lose_nothing_and_a_kill_in_the_middle_harms_nothing():
    def start(who, n):
        return subprocess.Popen([sys.executable, "-c", WRITER, who, str(n)],
                                stdout=subprocess.PIPE, text=True)

    first, second, killed = start("first", 50), start("second", 50), start("killed", 10**6)
    assert first.wait() == 0
    killed.kill()
    killed.wait()
    assert second.wait() == 0
    records = read_progress()
    assert records["demo.first"].attempts == 50
    assert records["demo.second"].attempts == 50
    of_killed = records["demo.killed"].attempts
    assert records["demo.both"].attempts - 100 in (of_killed, of_killed - 1)
    assert check("demo.double", double).state == "passed"
    assert len(read_progress()) == 5


@pytest.mark.parametrize(("a", "b", "wanted"), [
    (3, torch.tensor(3.0), True), (3, np.float32(3), True), (3, [3], False),
    (torch.ones(2), torch.ones(2, 1), False), (torch.tensor(float("nan")), float("nan"), True),
    ([1, 2], (1, 2), True), ({"a": 1}, {"a": 1.0000001}, True), ({"a": 1}, {"b": 1}, False),
    (Raised("ValueError", "x"), Raised("ValueError", "y"), True),
    (Raised("ValueError"), Raised("TypeError"), False), ("a", "a", True), (None, 0, False),
    (torch.ones(1), torch.ones(1) + 1e-3, False), (object(), object(), False)])
def test_outcomes_compare(a, b, wanted):
    assert same(a, b) is wanted
    assert same(b, a) is wanted


@pytest.mark.parametrize("value", [3, 3.14159265, torch.rand(40, 3), torch.full((9,), torch.nan), [],
                                   {"a": [1]}, None, "x" * 500, Raised("E", "m" * 500)])
def test_an_outcome_is_shown_on_one_short_line(value):
    assert len(shown(value)) <= 180
    assert "\n" not in shown(value)


def test_a_blank_is_told_from_an_answer():
    def documented(x):
        """What to do."""
    def returns_its_input(x):
        return x
    def constant(x):
        return 5
    def unfinished(x):
        y = x  # noqa: F841
    assert is_blank(documented)
    assert is_blank(None)
    assert is_blank(...)
    assert not is_blank(returns_its_input)
    assert not is_blank(constant)
    assert not is_blank(unfinished)
    assert not is_blank(0)
    assert not is_blank(print)


@pytest.mark.parametrize(("text", "page"), [
    ("`a * b`", "<code>a * b</code>"), ("it is *not* so", "it is <em>not</em> so"),
    ("peak * pct * 2", "peak * pct * 2"), ("2*x*3", "2*x*3"), ("**all** of *it*", "<b>all</b> of <em>it</em>"),
    ("1 < 2", "1 &lt; 2")])
def test_text_is_marked_up(text, page):
    assert marked_up(text) == page


def test_questions_answer_without_a_script():
    asked = Questions("demo", [Question("Is `1 < 2`?", [Choice("Yes", "It is.", right=True),
                                                        Choice("No", "Count again.")])])
    page = asked._repr_html_()
    assert page.count("<details") == 2
    assert "<code>1 &lt; 2</code>" in page
    assert "✓ Right." in page
    assert "<script" not in page
    assert "It is." not in repr(asked), "a terminal shows no answers"
