"""Writes the pages of the reference: a page per row of the table of names in nbs/index.ipynb."""
import inspect
import re
from types import ModuleType

ROW = re.compile(r"^\| ([^|`]+?) \| (`.*) \|$", re.M)


def subjects(table: str) -> dict[str, list[str]]:
    """Names by subject, from the table's Markdown."""
    return {subject: list(dict.fromkeys(re.findall(r"`(\w+)`", names)))
            for subject, names in ROW.findall(table)}


def directive(name: str, value: object) -> str:
    """What documents a name; an empty text where it is none of its own, as with a method."""
    module = getattr(value, "__module__", "")
    if inspect.isroutine(value) and not module.startswith("transfer_lessons"):
        return f"``{name}`` is that of ``{module}``.\n"
    place = f"{module}.{name}"
    if inspect.isclass(value):
        return f".. autoclass:: {place}\n   :members:\n"
    if inspect.isroutine(value):
        return f".. autofunction:: {place}\n"
    return ""


def heading(text: str) -> str:
    """A page's title in reStructuredText."""
    return f"{text}\n{'=' * len(text)}\n"


def reference_pages(table: str, library: ModuleType) -> dict[str, str]:
    """The pages, in reStructuredText, by file name; the first one lists the others.

    Args:
        table: the cell with the table
        library: the module that brings the names
    """
    pages, links = {}, []
    for subject, names in subjects(table).items():
        found = [directive(name, getattr(library, name, None)) for name in names]
        link = "reference_" + re.sub(r"\W+", "_", subject)
        pages[f"{link}.rst"] = "\n".join([heading(subject.capitalize()), *found])
        links.append(link)
    opening = "What ``from transfer_lessons.all import *`` brings, by subject, from the docstrings."
    listed = [".. toctree::", "   :maxdepth: 2", "", *(f"   {link}" for link in links)]
    return {"reference.rst": "\n".join([heading("Reference"), opening, "", *listed, ""]), **pages}
