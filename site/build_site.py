"""Builds the site: `make site`. Lessons, under the hood, glossary, teachers' page and reference.

    python site/build_site.py            # everything, into build/site/html
    python site/build_site.py --only 03_cross_entropy 13_lr_sweep   # while working on it
"""
import argparse
import json
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

from pages import contents, glossary_terms, page, title
from reference import reference_pages

SITE = Path(__file__).parent
ROOT = SITE.parent
NOTEBOOKS = ROOT / "nbs"
TABLE = "reference"  # id of the cell of nbs/index.ipynb with the table of public names


def read(name: str) -> dict:
    """A notebook of nbs/, as JSON."""
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))


def file_address() -> str:
    """Where the project's files stand at its host."""
    config = ConfigParser(delimiters=["="])
    config.read(ROOT / "settings.ini", encoding="utf-8")
    settings = config["DEFAULT"]
    return f"https://github.com/{settings['user']}/{settings['repo']}/blob/{settings['branch']}"


def under_the_hood(index: dict) -> list[str]:
    """Notebooks u1 and on: in the order in which the index names them, then the others."""
    present = sorted(file.stem for file in NOTEBOOKS.glob("u[0-9]*.ipynb"))
    text = "".join("".join(cell["source"]) for cell in index["cells"])
    return sorted(present, key=lambda name: (text.find(f"({name}.ipynb)") < 0,
                                             text.find(f"({name}.ipynb)")))


def short_title(name: str) -> str:
    """What a notebook is called in the table of contents; an empty text: by its title."""
    if name[0].isdigit():
        return f"{int(name[:2])}. {title(read(name))}"
    if name[0] == "u" and name[1].isdigit():
        text = title(read(name)).removeprefix("Under the hood: ")
        return text[0].upper() + text[1:]
    return ""


def with_contents(index: dict, parts: dict[str, list[str]]) -> dict:
    """The first page, which holds the site's table of contents."""
    cells = [{"cell_type": "markdown", "metadata": {}, "id": f"contents-{i}",
              "source": contents(caption, {name: short_title(name) for name in names})}
             for i, (caption, names) in enumerate(parts.items())]
    return {**index, "cells": [*index["cells"], *cells]}


def write_pages(folder: Path, only: list[str] | None) -> None:
    """Everything that Sphinx reads.

    Args:
        folder: for the pages
        only: names of notebooks; None for all of them
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "images", folder / "images", ignore=shutil.ignore_patterns("*.py"))
    index = read("index")
    terms = glossary_terms(read("glossary"))
    lessons = sorted(file.stem for file in NOTEBOOKS.glob("[0-9]*.ipynb"))
    parts = {"Lessons": lessons,
             "Look it up": ["glossary", "reference", "from_fastai", "for_teachers"],
             "Under the hood": under_the_hood(index)}
    if only is not None:
        kept = {*only, "glossary", "reference", "for_teachers"}
        parts = {caption: [name for name in names if name in kept]
                 for caption, names in parts.items()}
    for name in {name for names in parts.values() for name in names} - {"reference"}:
        linked = terms if name in lessons else None
        write_page(folder, name, page(read(name), file_address(), linked))
    write_page(folder, "index", with_contents(page(index, file_address()), parts))
    from transfer_lessons import all as library
    table = next(cell for cell in index["cells"] if cell["id"] == TABLE)
    for name, text in reference_pages("".join(table["source"]), library).items():
        (folder / name).write_text(text, encoding="utf-8")


def write_page(folder: Path, name: str, notebook: dict) -> None:
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NOTEBOOK", help="these notebooks alone")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "site")
    options = parser.parse_args()
    pages, html = options.folder / "pages", options.folder / "html"
    shutil.rmtree(html, ignore_errors=True)  # no page stays whose notebook is gone
    write_pages(pages, options.only)
    # With a part of the pages, links to the others lead nowhere.
    a_part = ["-D", "suppress_warnings=myst.xref_missing"]
    warnings = a_part if options.only else ["--fail-on-warning"]
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-j", "auto", *warnings,
               "-c", str(SITE), "-d", str(options.folder / "doctrees"), str(pages), str(html)]
    status = subprocess.run(command, cwd=ROOT).returncode
    print(f"{len(list(html.glob('*.html')))} pages: open {html / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
