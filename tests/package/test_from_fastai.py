"""The page for those who come from fastai: every name that it gives as ours exists."""
import importlib
import re

import nbformat
import pytest
from house import FLOORS, ROOT

PAGE = ROOT / "nbs/from_fastai.ipynb"
OWNERS = {"learn": ("learner", "Learner"), "dls": ("loaders", "ImageDataLoaders"),
          "interp": ("interpretation", "ClassificationInterpretation")}
ATTRIBUTES = {"dls.vocab", "dls.train", "dls.valid", "learn.dls"}


def our_names() -> list[str]:
    """Names in the fourth column of the page's tables: `learn.freeze`, `minimum`, ..."""
    text = "\n".join(cell.source for cell in nbformat.read(PAGE, 4).cells)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    cells = [row[3] for row in rows if len(row) == 5 and "---" not in row[0]]
    names = [name for cell in cells for name in re.findall(r"`([A-Za-z_.]+)`", cell)]
    return sorted(set(names))


def test_the_page_has_tables():
    assert len(our_names()) > 20


@pytest.mark.parametrize("name", our_names())
def test_a_name_that_the_page_gives_as_ours_exists(name):
    owner, _, attribute = name.partition(".")
    modules = [importlib.import_module(f"transfer_lessons.{module}") for module in FLOORS]
    if owner == "":  # a method of the loaders, without their long name
        owner = "dls"
    if owner in OWNERS:
        first = attribute.partition(".")[0]
        if f"{owner}.{first}" not in ATTRIBUTES:
            module, class_name = OWNERS[owner]
            assert hasattr(getattr(importlib.import_module(f"transfer_lessons.{module}"), class_name),
                           first)
        return
    recorder = importlib.import_module("transfer_lessons.recorder").Recorder
    interp = importlib.import_module("transfer_lessons.interpretation").ClassificationInterpretation
    places = [*modules, recorder, interp]
    found = [getattr(place, owner) for place in places if hasattr(place, owner)]
    assert found, f"no module has {owner}"
    assert not attribute or hasattr(found[0], attribute)
