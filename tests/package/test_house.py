"""The library as a house: imports go down, modules and functions stay small, nothing is untyped."""
import ast
import re

import pytest
from house import (
    BY_HAND,
    COMMANDS,
    FLOORS,
    LIBRARY,
    ROOT,
    exported_modules,
    functions,
    imported_modules,
    patched_class,
    tree,
)

MODULES = exported_modules()
NAMEDTUPLE = {"_asdict", "_fields", "_make", "_replace"}  # public in spite of their names


def test_every_module_has_a_floor():
    assert set(MODULES) == set(FLOORS), "a module without a floor, or a floor without a module"


def test_a_module_imports_only_from_floors_below():
    wrong = []
    for number, module in enumerate(FLOORS):
        below = FLOORS[:number]
        imported = imported_modules(module)
        upward = sorted(imported - set(below))
        wrong += [f"{module} imports {name}" for name in upward]
        steps = [name for name in below if name in imported]
        print(f"{number + 1:>3} {module:<18} {' '.join(steps) or '-'}")  # pytest -s draws the staircase
    assert not wrong, f"arrows that point up: {wrong}"


def test_contributing_draws_the_same_house():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \d+ \| `(\w+)` \|", text, re.M) == FLOORS[::-1]


@pytest.mark.parametrize("module", [*MODULES, *COMMANDS])
def test_a_module_says_what_it_holds(module):
    assert ast.get_docstring(tree(module)), "no `> sentence` in the title cell of its notebook"


@pytest.mark.parametrize("module", [*MODULES, *COMMANDS])
def test_a_module_is_read_in_one_sitting(module):
    lines = len((LIBRARY / f"{module}.py").read_text().splitlines())
    assert lines <= 330, f"{lines} lines: split the subject, do not pack the lines"


@pytest.mark.parametrize("module", [*MODULES, *COMMANDS])
def test_a_function_fits_on_a_screen(module):
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions(module)}
    long = {name: length for name, length in long.items() if length > 50}
    assert not long, f"{long}: more than 50 lines"


def public(node: ast.FunctionDef) -> bool:
    """Whether a function is for others: no underscore before its name, or a special method."""
    return not node.name.startswith("_") or node.name.endswith("__")


@pytest.mark.parametrize("module", [*MODULES, *COMMANDS])
def test_every_argument_and_result_is_typed(module):
    for node in filter(public, functions(module)):
        given = [*node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        untyped = [arg.arg for arg in given if arg is not None and arg.annotation is None
                   and arg.arg not in ("self", "cls")]
        assert not untyped, f"{node.name}: {untyped} have no type"
        says = node.returns is not None or node.name == "__init__"
        assert says, f"{node.name} does not say what it returns"


@pytest.mark.parametrize("module", [*MODULES, *COMMANDS])
def test_every_public_function_and_class_has_a_docstring(module):
    kinds = (ast.FunctionDef, ast.ClassDef)
    silent = [node.name for node in tree(module).body if isinstance(node, kinds)
              and not node.name.startswith("_") and not ast.get_docstring(node)]
    assert not silent


def listed_arguments(node: ast.FunctionDef | ast.ClassDef) -> list[str] | None:
    """Names in a docstring's list of arguments, without * and **; None without a list."""
    _, title, section = (ast.get_docstring(node) or "").partition("Args:\n")
    if not title:
        return None
    section = re.split(r"^\w+:$", section, maxsplit=1, flags=re.M)[0]  # Returns:, Raises:
    return re.findall(r"^    \**(\w+)(?: \(.*\))?:", section, re.M)


def signature_arguments(node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    """Names in a signature; a class's are those of `__init__` or, in a dataclass, its fields."""
    if isinstance(node, ast.ClassDef):
        maker = [part for part in node.body if getattr(part, "name", "") == "__init__"]
        if not maker:
            return [part.target.id for part in node.body if isinstance(part, ast.AnnAssign)]
        node = maker[0]
    args = node.args
    given = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    names = [arg.arg for arg in given if arg is not None and arg.arg not in ("self", "cls")]
    return names[1:] if patched_class(node) and args.args[0].arg not in ("self", "cls") else names


@pytest.mark.parametrize("module", [*MODULES, *COMMANDS])
def test_a_docstring_lists_the_arguments_of_the_signature(module):
    for node in ast.walk(tree(module)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            listed = listed_arguments(node)
            assert listed in (None, signature_arguments(node)), node.name


def own_private_names() -> set[str]:
    """Every `_name` that the library itself defines or gives an object."""
    found = set()
    for module in [*MODULES, *COMMANDS]:
        for node in ast.walk(tree(module)):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return found


@pytest.mark.parametrize("module", [*MODULES, *COMMANDS])
def test_nothing_private_of_other_libraries_is_used(module):
    own = own_private_names() | NAMEDTUPLE
    wrong = []
    for node in ast.walk(tree(module)):
        names = []
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        elif (isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr")
              and isinstance(node.args[1], ast.Constant)):
            names = [node.args[1].value]
        wrong += [name for name in names if re.match("_[^_]", name) and name not in own]
        wrong += [name for name in names if name == "ctypes"]
    assert not wrong, f"{wrong} may change without a word"


def test_the_names_that_a_star_import_brings_are_few_and_exist():
    import transfer_lessons.all as everything
    names = everything.__all__
    assert len(names) == len(set(names)) <= 80
    assert all(hasattr(everything, name) for name in names)


def test_importing_modules_by_hand_are_known():
    found = {file.stem for file in LIBRARY.glob("*.py")}
    assert found - set(MODULES) == BY_HAND | {"_modidx"}
