"""Turns notebooks into the site's pages: the same cells and stored outputs, with a page's links."""
import re
from copy import deepcopy

BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
SET_UP = 'find_spec("transfer_lessons")'
HEADING = re.compile(r"^(#{1,6}) +(.+?) *$", re.M)
# Code, headings, tables, links, images and HTML: there no term is linked.
LEFT_ALONE = re.compile(r"```[\s\S]*?```|`[^`]*`|^[#|].*$|!?\[[^\]]*\]\([^)]*\)|<[^>]*>", re.M)


def slug(heading: str) -> str:
    """The anchor that MyST, like GitHub, gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def glossary_terms(notebook: dict) -> dict[str, str]:
    """Every way to write a term, in lower case, with its anchor.

    These are the headings of the third level, and the words in bold below each.
    """
    terms = {}
    for cell in notebook["cells"]:
        entries = re.split(r"^### (.+)$", "".join(cell["source"]), flags=re.M)[1:]
        for heading, text in zip(entries[::2], entries[1::2], strict=True):
            for term in [heading, *re.findall(r"\*\*(.+?)\*\*", text)]:
                terms[one_spelling(term)] = slug(heading)
    return terms


def one_spelling(term: str) -> str:
    """A term in lower case and British spelling, so that "generalize" is "generalise"."""
    return re.sub(r"i[sz](?=[aei])", "is", " ".join(term.lower().split()))


class GlossaryLinks:
    """Links the first mention of each term on a page, in its prose alone.

    Args:
        terms: what `glossary_terms` found
    """
    def __init__(self, terms: dict[str, str]):
        self.terms = terms
        self.linked: set[str] = set()  # anchors that this page has a link to
        longest_first = sorted(terms, key=len, reverse=True)
        words = "|".join(re.escape(term).replace(r"\ ", r"\s+") for term in longest_first)
        words = re.sub("is(?=[aei])", "i[sz]", words)
        self.pattern = re.compile(rf"(?<![\w-])({words})(?:e?s)?(?![\w-])", re.I)

    def add_to(self, markdown: str) -> str:
        """Markdown with links to the glossary."""
        text, end = "", 0
        for found in LEFT_ALONE.finditer(markdown):
            text += self._linked_prose(markdown[end:found.start()]) + found[0]
            end = found.end()
        return text + self._linked_prose(markdown[end:])

    def _linked_prose(self, prose: str) -> str:
        return self.pattern.sub(self._link, prose) if self.terms else prose

    def _link(self, found: re.Match) -> str:
        anchor = self.terms[one_spelling(found[1])]
        if anchor in self.linked:
            return found[0]
        self.linked.add(anchor)
        return f"[{found[0]}](glossary.ipynb#{anchor})"


def page_links(markdown: str, repository: str) -> str:
    """Links that hold on the site: local images and badge; other files of the project at its host.

    Args:
        markdown: a cell's text
        repository: address of the project's files, such as https://github.com/user/repo/blob/main
    """
    markdown = markdown.replace(BADGE, "images/colab.svg")
    markdown = markdown.replace("](../images/", "](images/")
    # Jupyter's anchors are headings as they are written, with a hyphen for each space.
    markdown = re.sub(r"\]\((\w*(?:\.ipynb)?)#([^)\s]+)\)",
                      lambda found: f"]({found[1]}#{slug(found[2])})", markdown)
    return markdown.replace("](../", f"]({repository}/")


def shown_code(cell: dict) -> dict | None:
    """A code cell without what only nbdev reads; None for one that holds nothing else."""
    lines = "".join(cell["source"]).splitlines(keepends=True)
    code = "".join(line for line in lines if not line.startswith("#|"))
    if not code.strip() or any(line.startswith("#| hide") for line in lines):
        return None
    tags = ["hide-input"] if SET_UP in code else []
    return {**cell, "source": code, "metadata": {**cell["metadata"], "tags": tags}}


def page(notebook: dict, repository: str, terms: dict[str, str] | None = None) -> dict:
    """A notebook as a page of the site.

    Args:
        notebook: as JSON
        repository: address of the project's files at its host
        terms: with these, first mentions are linked to the glossary

    Returns:
        a new notebook, with outputs as they are stored
    """
    links = GlossaryLinks(terms or {})
    cells: list[dict] = []
    for cell in deepcopy(notebook["cells"]):
        if cell["cell_type"] == "code":
            shown = shown_code(cell)
            cells += [shown] if shown else []
        else:
            text = page_links("".join(cell["source"]), repository)
            cells.append({**cell, "source": links.add_to(text)})
    return {**notebook, "cells": cells}


def title(notebook: dict) -> str:
    """A notebook's first heading."""
    found = HEADING.search("".join(notebook["cells"][0]["source"]))
    assert found, "a notebook begins with its title"
    return found[2]


def contents(caption: str, titles: dict[str, str]) -> str:
    """A part of the site's table of contents.

    Args:
        caption: stands above it
        titles: what each page is called there, by its name; an empty text: the page's own title
    """
    entries = [f"{text} <{name}>" if text else name for name, text in titles.items()]
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", *entries, "```"])
