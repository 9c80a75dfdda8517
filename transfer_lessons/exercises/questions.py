"""Questions that answer at a click: plain HTML, so they work in a static page and by keyboard."""
from __future__ import annotations

import html
import zlib
from collections.abc import Sequence

from .checking import questions_of
from .kit import Choice, Question
from .report import marked_up


def shuffled(choices: Sequence[Choice]) -> list[Choice]:
    """The choices in an order that says nothing, and is always the same."""
    return sorted(choices, key=lambda choice: zlib.crc32(choice.text.encode()))


class Questions:
    """Questions with their choices; choosing one opens the reason why it is right or wrong.

    Each choice is HTML's own `details`: reached with Tab, opened with Enter or Space, read out by
    a screen reader, and without any script.
    """

    def __init__(self, lesson: str, questions: Sequence[Question]) -> None:
        self.lesson = lesson
        self.questions = list(questions)

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{self._html(question)}</li>" for question in self.questions)
        return (f'<section class="questions" aria-label="Questions on {html.escape(self.lesson)}">'
                f"<ol>{items}</ol></section>")

    @staticmethod
    def _html(question: Question) -> str:
        parts = [f"<p>{marked_up(question.text)}</p>"]
        for choice in shuffled(question.choices):
            verdict = "✓ Right." if choice.right else "✗ No."
            parts.append(f'<details style="margin: 2px 0"><summary>{marked_up(choice.text)}'
                         f'</summary><p style="margin: 2px 0 8px 1.2em"><b>{verdict}</b> '
                         f"{marked_up(choice.reason)}</p></details>")
        return "".join(parts)

    def __repr__(self) -> str:
        parts = []
        for number, question in enumerate(self.questions, start=1):
            parts.append(f"{number}. {question.text}")
            parts += [f"   ( ) {choice.text}" for choice in shuffled(question.choices)]
        return "\n".join(parts)


def questions(lesson: str) -> Questions:
    """The questions of a lesson; a click on an answer says whether it is right, and why.

    Args:
        lesson: the notebook's name without its number, such as "cross_entropy"
    """
    return Questions(lesson, questions_of(lesson))
