"""Type-checks the library with mypy, methods added by @patch included: `make types` runs this.

A checker does not see what @patch does. So it reads a copy of the library in which each class that
grows by @patch inherits the declarations of its methods, on the same lines as in the original.
The stubs are checked too, by a few lines that use what a learner uses (uses_types.py).
"""
import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

from house import LIBRARY, ROOT, patched_class
from stubs import Library, annotations, as_method, late_attributes, names_in

COPY = ROOT / "build" / "types"


def declarations(library: Library) -> str:
    """A stub with one class of declarations for every class that grows by @patch."""
    imports, classes = {"from typing import Any"}, []
    for name, methods in library.methods.items():
        classes.append(f"class {name}Methods:")
        classes += [f"    {attribute}: {kind}"
                    for attribute, kind in late_attributes(name, library).items()]
        for module, function in methods:
            method = as_method(function)
            method.body = [ast.Expr(ast.Constant(...))]
            classes += [f"    {line}" for line in ast.unparse(method).splitlines()]
            for used in names_in(*annotations(method), *annotations(function),
                                 *method.decorator_list):
                imports.add(library.origin(used, module) or "")
    return "\n".join([*sorted(imports), *classes]) + "\n"


def with_declarations(text: str, names: list[str]) -> str:
    """A module whose classes inherit their declarations; every line keeps its number."""
    wanted = ", ".join(f"{name}Methods" for name in names)
    text = re.sub("^__all__ = ", f"from ._methods import {wanted}; __all__ = ", text, flags=re.M)
    for name in names:
        text = re.sub(rf"^class {name}(?:\((.*)\))?:",
                      lambda found, name=name: f"class {name}({name}Methods, {found[1] or 'object'}):",
                      text, flags=re.M)
    return text


def write_copy() -> None:
    """The library as the checker sees it."""
    library = Library()
    shutil.rmtree(COPY, ignore_errors=True)
    package = COPY / LIBRARY.name
    shutil.copytree(LIBRARY, package, ignore=shutil.ignore_patterns("*.pyi", "__pycache__"))
    (package / "_methods.pyi").write_text(declarations(library))
    for module, tree in library.trees.items():
        file = package / f"{module}.py"
        lines = file.read_text().splitlines(keepends=True)
        for node in tree.body:  # two classes may have methods of one name
            if name := patched_class(node):
                line = node.lineno - 1
                own = f"def {name}_{node.name}"
                lines[line] = lines[line].replace(f"def {node.name}", own, 1)
                if node.args.args[0].arg == "cls":
                    lines[line] = lines[line].replace(f"cls: {name}", f"cls: type[{name}]", 1)
        text = "".join(lines)
        names = [name for name in library.methods if library.home[name] == module]
        file.write_text(with_declarations(text, names) if names else text)


def mypy(*arguments: str | Path, folder: Path) -> int:
    """Run mypy there, with the settings of pyproject.toml."""
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml",
               "--cache-dir", ROOT / ".mypy_cache", *arguments]
    return subprocess.run(command, cwd=folder, check=False).returncode


def main() -> int:
    write_copy()
    library = mypy("-p", "transfer_lessons", folder=COPY)
    use = mypy("--follow-imports", "silent", Path(__file__).with_name("uses_types.py"), folder=ROOT)
    return library or use


if __name__ == "__main__":
    sys.exit(main())
