"""What the site, the glossary and the teachers' page are made of; the browser tests look at the result."""
import json
import re
import sys

import pytest
from house import NOTEBOOKS, ROOT
from minutes import reading_time
from teachers_table import LESSONS, parts, with_tables

sys.path.insert(0, str(ROOT / "site"))
from pages import GlossaryLinks, glossary_terms, page, slug  # noqa: E402
from reference import reference_pages, subjects  # noqa: E402


def read(name):
    return json.loads((ROOT / "nbs" / f"{name}.ipynb").read_text(encoding="utf-8"))


def prose(name):
    return "".join("".join(cell["source"]) for cell in read(name)["cells"]
                   if cell["cell_type"] == "markdown")


def notebook(*cells):
    return {"cells": [{"cell_type": kind, "id": f"cell-{i}", "metadata": {}, "source": source}
                      for i, (kind, source) in enumerate(cells)], "metadata": {}}


TERMS = {"learning rate": "learning-rate", "generalise": "generalise", "gradient": "gradient"}


def test_the_first_mention_of_a_term_is_linked_in_prose_alone():
    text = ("# A learning rate\n\n`learning rate` and [learning rate](x.ipynb) stay.\n\n"
            "Learning\nrates matter; a learning rate too. It may Generalize.")
    linked = GlossaryLinks(TERMS).add_to(text)
    assert linked.startswith("# A learning rate\n\n`learning rate` and [learning rate](x.ipynb) stay.")
    assert "[Learning\nrates](glossary.ipynb#learning-rate) matter; a learning rate too" in linked
    assert "[Generalize](glossary.ipynb#generalise)" in linked
    assert "[" not in GlossaryLinks(TERMS).add_to("```\nlearning rate\n```\n| gradient | |\n")
    assert GlossaryLinks({}).add_to("learning rate") == "learning rate"


def test_a_page_has_the_lessons_cells_without_what_only_nbdev_reads():
    made = page(notebook(("markdown", "# A title\n![](../images/a.png) [b](../B.md) [c](#What-is-C?)"),
                         ("code", "#| default_exp data"),
                         ("code", "#| export\ndef double(x):\n    return 2 * x"),
                         ("code", 'if find_spec("transfer_lessons") is None:\n    pass')),
                "https://host/blob/main")
    sources = [cell["source"] for cell in made["cells"]]
    assert sources[0].endswith("![](images/a.png) [b](https://host/blob/main/B.md) [c](#what-is-c)")
    assert sources[1] == "def double(x):\n    return 2 * x"
    assert made["cells"][2]["metadata"]["tags"] == ["hide-input"]
    assert len(sources) == 3


def test_the_glossary_is_in_order_and_every_lesson_it_names_uses_the_term():
    entries = re.split(r"^### (.+)$", prose("glossary"), flags=re.M)[1:]
    terms = dict(zip(entries[::2], entries[1::2], strict=True))
    assert list(terms) == sorted(terms, key=lambda term: term.lower().replace("-", " "))
    assert len({slug(term) for term in terms}) == len(terms) > 80
    anchors = glossary_terms(read("glossary"))
    silent = []
    for term, text in terms.items():
        lessons = re.findall(r"\]\((\w+)\.ipynb\)", text)
        assert lessons, f"{term}: which lesson teaches it?"
        ways = {way: anchor for way, anchor in anchors.items() if anchor == slug(term)}
        silent += [(lesson, term) for lesson in lessons
                   if not GlossaryLinks(ways).pattern.search(prose(lesson))]
    assert silent == [], "these lessons do not use the term that they are said to teach"


def test_the_teachers_tables_are_those_of_the_lessons_and_exercises():
    there = read("for_teachers")
    assert with_tables(read("for_teachers")) == there, "run `make export`"
    text = prose("for_teachers")
    for file in LESSONS:
        assert f"({file.name}) | {reading_time(file)[2]} |" in text
        lesson = file.stem.split("_", 1)[1]
        for exercise in parts(lesson)[0]:
            assert f"`{lesson}.{exercise.name}` | {exercise.idea}" in text


def test_every_public_name_is_in_the_reference():
    from transfer_lessons import all as library
    table = next(cell for cell in read("index")["cells"] if cell["id"] == "reference")
    table = "".join(table["source"])
    assert len(subjects(table)) > 10
    written = "\n".join(reference_pages(table, library).values())
    for name in library.__all__:
        own = rf"^\.\. auto(function|class):: transfer_lessons\.\w+\.{name}$"
        other = rf"^``{name}`` is that of"
        assert re.search(f"{own}|{other}", written, re.M), name


@pytest.mark.parametrize("name", ["index", "glossary", "for_teachers"])
def test_links_lead_somewhere(name):
    known = {file.name for file in (ROOT / "nbs").glob("*.ipynb")}
    assert len(known) > len(NOTEBOOKS)
    for link in re.findall(r"\]\(([^)#\s]+)", prose(name)):
        if not link.startswith("http"):
            assert link in known or (ROOT / "nbs" / link).exists(), link
