"""What editors read: stubs that know the methods that later lessons add."""
import ast

import pytest
from house import LIBRARY, ROOT
from stubs import stubs

import transfer_lessons.all  # noqa: F401  adds every method
from transfer_lessons.learner import Learner, Recorder
from transfer_lessons.loaders import ImageDataLoaders


def test_stubs_are_in_sync():
    written = stubs()
    assert {file.name for file in LIBRARY.glob("*.pyi")} == set(written), "run `make stubs`"
    for name, text in written.items():
        stored = (LIBRARY / name).read_text(encoding="utf-8")
        assert ast.dump(ast.parse(stored)) == ast.dump(ast.parse(text)), f"{name}: run `make stubs`"


@pytest.mark.parametrize("cls", [ImageDataLoaders, Learner, Recorder])
def test_a_stub_has_every_method_that_its_class_has_in_the_end(cls):
    module = cls.__module__.rpartition(".")[2]
    body = ast.parse((LIBRARY / f"{module}.pyi").read_text()).body
    stub = next(node for node in body if getattr(node, "name", "") == cls.__name__)
    methods = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    assert {name for name, value in vars(cls).items() if callable(value)} <= methods


@pytest.mark.parametrize(("line", "expected"), [
    ("learn.lr_f", "lr_find"),
    ("learn.fine", "fine_tune"),
    ("learn.recorder.plot_l", "plot_loss"),
    ("learn.lr_find().", "plot"),
    ("ImageDataLoaders.from_f", "from_folder"),
    ("dls.show_", "show_batch"),
])
def test_an_editor_completes(line, expected):
    jedi = pytest.importorskip("jedi")
    source = ("from transfer_lessons.all import *\n"
              "dls = ImageDataLoaders.from_folder('photos')\n"
              "learn = vision_learner(dls)\n")
    script = jedi.Script(source + line, project=jedi.Project(ROOT, load_unsafe_extensions=False))
    names = {completion.name for completion in script.complete()}
    assert expected in names
