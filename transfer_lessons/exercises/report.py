"""What a learner sees of a check: HTML in a notebook, text in a terminal."""
from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import NamedTuple

from .progress_file import NOT_ATTEMPTED, NOT_YET, PASSED

MARKS = {PASSED: "✓", NOT_YET: "✗", NOT_ATTEMPTED: "○"}
_CELL = "padding: 2px 10px 2px 0; text-align: left; vertical-align: top"


class Row(NamedTuple):
    """One case of an exercise."""
    case: str
    given: str
    came_out: str
    expected: str
    is_right: bool


def marked_up(text: str) -> str:
    """Text as HTML, with `code`, *emphasis* and **bold**; the stars of a product stay."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    text = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text)
    return re.sub(r"(?<![\w*])\*(?=\S)([^*]+)(?<=\S)\*(?![\w*])", r"<em>\1</em>", text)


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table, without colours of its own, so that it can be read in light and dark."""
    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f'<{tag} style="{_CELL}">{html.escape(cell)}</{tag}>'
                                for cell in cells) + "</tr>"
    body = "".join(line("td", row) for row in rows)
    return f"<table><thead>{line('th', heads)}</thead><tbody>{body}</tbody></table>"


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same in a terminal."""
    lines = [list(heads), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width
                               in zip(line, widths, strict=True)).rstrip() for line in lines)


class Report:
    """The result of a check.

    Attributes:
        name: "lesson.name"
        state: "passed", "not yet" or "not attempted"
        rows: the cases
        cause: the likely cause, in a sentence or two
        next_step: what to do now
    """
    HEADS = ("", "case", "input", "came out", "expected")

    def __init__(self, name: str, state: str, rows: Sequence[Row] = (), cause: str = "",
                 next_step: str = "") -> None:
        self.name = name
        self.state = state
        self.rows = list(rows)
        self.cause = cause
        self.next_step = next_step

    @property
    def title(self) -> str:
        """The exercise and its state."""
        n_right = sum(row.is_right for row in self.rows)
        counted = f": {n_right} of {len(self.rows)} cases are right" if self.rows else ""
        return f"{self.name} {self.state}{counted}"

    def _cells(self) -> list[tuple[str, ...]]:
        return [("✓" if row.is_right else "✗", row.case, row.given, row.came_out, row.expected)
                for row in self.rows]

    def _repr_html_(self) -> str:
        mark = f"{MARKS[self.state]} {html.escape(self.title)}."
        parts = [f"<p><b>{mark}</b></p>"]
        if self.rows and self.state == NOT_YET:
            parts.append(html_table(self.HEADS, self._cells()))
        parts += [f"<p>{marked_up(text)}</p>" for text in (self.cause, self.next_step) if text]
        return f'<div role="status">{"".join(parts)}</div>'

    def __repr__(self) -> str:
        parts = [f"{MARKS[self.state]} {self.title}."]
        if self.rows and self.state == NOT_YET:
            parts.append(text_table(self.HEADS, self._cells()))
        parts += [text for text in (self.cause, self.next_step) if text]
        return "\n".join(parts)


class Text:
    """A piece of Markdown: rendered in a notebook, as it is in a terminal."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _repr_markdown_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text
