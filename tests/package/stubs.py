"""Writes a stub (.pyi) for every module whose classes get methods by @patch: `make stubs` runs this.

`Learner` grows from lesson to lesson: `lr_find` joins it in lr_finder.py, `fine_tune` in
fine_tuning.py. Python sees that when it runs; a type checker and an editor read only, and miss it.
A stub says what the class looks like once everything is imported, with the docstrings, so that
`learn.lr_` completes and a wrong argument is underlined. Checkers prefer it to the module beside it.
"""
import ast
import re
from copy import deepcopy

from house import LIBRARY, exported_modules, patched_class, tree

KEPT_DECORATORS = {"contextmanager", "dataclass", "property", "classmethod", "staticmethod",
                   "overload", "abstractmethod"}
BUILTIN_RESULTS = {"len": "int", "round": "int", "float": "float", "int": "int", "str": "str",
                   "bool": "bool", "callable": "bool", "hasattr": "bool", "isinstance": "bool"}


class Library:
    """The exported modules, parsed, and where each class and each patched method stands."""

    def __init__(self) -> None:
        self.trees = {module: tree(module) for module in exported_modules()}
        self.home: dict[str, str] = {}
        self.methods: dict[str, list[tuple[str, ast.FunctionDef]]] = {}
        self.results: dict[str, str] = {}  # what each function returns
        for module, parsed in self.trees.items():
            for node in parsed.body:
                if isinstance(node, ast.ClassDef):
                    self.home[node.name] = module
                elif isinstance(node, ast.FunctionDef) and node.returns is not None:
                    self.results[node.name] = ast.unparse(node.returns)
        for module, parsed in self.trees.items():
            for node in parsed.body:
                if name := patched_class(node):
                    self.methods.setdefault(name, []).append((module, node))

    def stubbed(self) -> list[str]:
        """Modules that need a stub."""
        return sorted({self.home[name] for name in self.methods})

    def origin(self, name: str, module: str) -> str | None:
        """The import statement that brings a name of one module into another one."""
        for node in self.trees[module].body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    if name == (alias.asname or alias.name).split(".")[0]:
                        single = deepcopy(node)
                        single.names = [alias]
                        return ast.unparse(single)
            elif name in defined_names(node):
                return f"from .{module} import {name}"
        return None  # a builtin


def defined_names(node: ast.AST) -> set[str]:
    """Names that a statement at the top of a module defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()


def names_in(*nodes: ast.AST | None) -> set[str]:
    """All names that expressions mention."""
    return {part.id for node in nodes if node is not None for part in ast.walk(node)
            if isinstance(part, ast.Name)}


def is_literal(node: ast.AST) -> bool:
    """Whether a default can stand in a stub as it is."""
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def decorator_name(node: ast.AST) -> str:
    """The last word of a decorator: "contextmanager" of `@contextlib.contextmanager`."""
    called = node.func if isinstance(node, ast.Call) else node
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def signature(function: ast.FunctionDef) -> ast.FunctionDef:
    """A function without its body: types, literal defaults, docstring."""
    found = deepcopy(function)
    found.decorator_list = [decorator for decorator in function.decorator_list
                            if decorator_name(decorator) in KEPT_DECORATORS]
    elided = ast.Constant(...)
    found.args.defaults = [node if is_literal(node) else elided for node in found.args.defaults]
    found.args.kw_defaults = [node if node is None or is_literal(node) else elided
                              for node in found.args.kw_defaults]
    text = ast.get_docstring(function, clean=False)
    found.body = [ast.Expr(ast.Constant(text) if text else elided)]
    return found


def as_method(function: ast.FunctionDef) -> ast.FunctionDef:
    """A patched function as it would stand in the body of its class."""
    method = signature(function)
    method.args.args[0].annotation = None
    for decorator in function.decorator_list:
        for option in getattr(decorator, "keywords", []):
            if option.arg == "cls_method":
                method.decorator_list.append(ast.Name("classmethod"))
            elif option.arg == "as_prop":
                method.decorator_list.append(ast.Name("property"))
    return method


def annotations(function: ast.FunctionDef) -> list[ast.AST | None]:
    """Every type that a signature mentions."""
    args = function.args
    given = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return [function.returns, *(arg.annotation for arg in given if arg is not None)]


def type_of(value: ast.AST, parameters: dict[str, ast.AST | None], library: Library) -> str:
    """What an attribute holds, from the expression that it is first given; `Any` where unclear."""
    if isinstance(value, ast.Name) and parameters.get(value.id) is not None:
        return ast.unparse(parameters[value.id])
    if isinstance(value, ast.Constant) and type(value.value) in (bool, int, float, str):
        return type(value.value).__name__
    if isinstance(value, ast.Compare):
        return "bool"
    if isinstance(value, ast.JoinedStr):
        return "str"
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        name = value.func.id
        if name in library.home or name == "Path":
            return name
        if name == "list" and isinstance(value.args[0], ast.Name):
            given = parameters.get(value.args[0].id)
            inside = re.fullmatch(r"Sequence\[(.+)\]", ast.unparse(given)) if given else None
            return f"list[{inside[1]}]" if inside else "list"
        return library.results.get(name) or BUILTIN_RESULTS.get(name, "Any")
    return "Any"


def attributes(method: ast.FunctionDef, library: Library) -> dict[str, str]:
    """The attributes that a method gives `self`, and the type of each."""
    parameters = {arg.arg: arg.annotation for arg in [*method.args.args, *method.args.kwonlyargs]}
    found: dict[str, str] = {}
    declared: dict[str, str] = {}
    for node in ast.walk(method):
        if isinstance(node, ast.AnnAssign) and is_own(node.target):
            declared[node.target.attr] = ast.unparse(node.annotation)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if is_own(target):
                    found.setdefault(target.attr, type_of(node.value, parameters, library))
                for part in filter(is_own, getattr(target, "elts", [])):  # of self.a, self.b = ...
                    found.setdefault(part.attr, "Any")
    return found | declared


def is_own(target: ast.AST) -> bool:
    """Whether an assignment's target is an attribute of `self`."""
    return isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"


def late_attributes(name: str, library: Library) -> dict[str, str]:
    """Attributes that only methods added by @patch give a class, and their types."""
    node = next(part for part in library.trees[library.home[name]].body
                if isinstance(part, ast.ClassDef) and part.name == name)
    own = {attribute for part in node.body if isinstance(part, ast.FunctionDef)
           for attribute in attributes(part, library)}
    own |= {given for part in node.body for given in defined_names(part)}
    found: dict[str, str] = {}
    for _, method in library.methods.get(name, []):
        for attribute, kind in attributes(method, library).items():
            if attribute not in own:
                found.setdefault(attribute, kind)
    return found


def class_stub(node: ast.ClassDef, library: Library) -> ast.ClassDef:
    """A class with all its attributes and methods, those added by @patch included."""
    stub = deepcopy(node)
    methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    others = [part for part in node.body if not isinstance(part, ast.FunctionDef)]
    declared = {name for part in others for name in defined_names(part)}
    found = late_attributes(node.name, library)
    for method in reversed(methods):  # the first one decides, as a rule `__init__`
        found |= attributes(method, library)
    lines = [f"{name}: {kind}" for name, kind in found.items() if name not in declared]
    stub.body = [*others, *(ast.parse(line).body[0] for line in lines)]
    stub.body += [signature(method) for method in methods]
    stub.body += [as_method(method) for _, method in library.methods.get(node.name, [])]
    return stub


def imports_for(body: list[ast.AST], module: str, library: Library) -> list[str]:
    """The import statements that the names in a stub need, and no more."""
    sources = {module} | {origin for name, home in library.home.items() if home == module
                          for origin, _ in library.methods.get(name, [])}
    found = {"from typing import Any"} if "Any" in names_in(*body) else set()
    own = {name for node in body for name in defined_names(node)}
    for used in names_in(*body) - own - {"Any"}:
        statements = (library.origin(used, source) for source in [module, *sorted(sources)])
        found.add(next((statement for statement in statements if statement), ""))
    return sorted(found - {""})


def stub(module: str, library: Library) -> str:
    """The text of a module's stub."""
    body: list[ast.AST] = []
    for node in library.trees[module].body:
        if isinstance(node, ast.FunctionDef):
            if patched_class(node) is None:
                body.append(signature(node))
        elif isinstance(node, ast.ClassDef):
            body.append(class_stub(node, library))
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            body.append(node)
    heading = ast.get_docstring(library.trees[module]) or f"Module {module}."
    lines = [f'"""{heading}"""',
             "# Written by `make stubs`: the module, and the methods that later modules add to it."]
    lines += imports_for(body, module, library)
    return "\n".join([*lines, "", ast.unparse(ast.Module(body, []))]) + "\n"


def stubs() -> dict[str, str]:
    """File name and text of every stub."""
    library = Library()
    return {f"{module}.pyi": stub(module, library) for module in library.stubbed()}


def main() -> None:
    written = stubs()
    for file in LIBRARY.glob("*.pyi"):
        if file.name not in written:
            file.unlink()
    for name, text in written.items():
        (LIBRARY / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
