"""What holds the project together: one source, one direction of imports, a size one can read."""
import ast
import configparser
import io
import json
import re
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "transfer_lessons"
LESSONS = sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))


def exported_modules() -> dict[str, str]:
    """Module name by lesson name, in reading order."""
    modules = {}
    for lesson in LESSONS:
        for cell in nbformat.read(lesson, 4).cells:
            if match := re.match(r"#\| default_exp (\w+)", cell.source):
                modules[lesson.stem] = match[1]
    return modules


def code_lines(file: Path) -> int:
    """Lines that hold code: all but blank lines, comments and docstrings."""
    source = file.read_text()
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
               tokenize.ENCODING, tokenize.ENDMARKER)
    lines = {line for token in tokenize.generate_tokens(io.StringIO(source).readline)
             if token.type not in skipped for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        text = getattr(body[0], "value", None) if isinstance(body, list) and body else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            lines -= set(range(body[0].lineno, body[0].end_lineno + 1))
    return len(lines)


def test_modules_import_only_from_earlier_lessons():
    earlier = set()
    for module in exported_modules().values():
        for node in ast.walk(ast.parse((LIBRARY / f"{module}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level:  # nbdev makes imports relative,
                assert not node.module.startswith("transfer_lessons"), "one line, for nbdev to see"
            elif isinstance(node, ast.ImportFrom):
                names = [node.module] if node.module else [alias.name for alias in node.names]
                assert set(names) <= earlier, f"{module} imports {names}, not all of them earlier"
                assert node.names[0].name != "*", f"{module} imports * from {node.module}"
        earlier.add(module)
    assert {"data", "losses", "learner", "interpretation"} <= earlier


def test_the_exported_library_stays_small():
    lines = {name: code_lines(LIBRARY / f"{name}.py") for name in exported_modules().values()}
    laboratory = sum(lines[name] for name in ("precompute", "sweep", "widgets"))
    assert sum(lines.values()) - laboratory < 1400, lines
    assert laboratory < 950, lines


def test_exported_functions_fit_on_a_screen():
    for module in exported_modules().values():
        for node in ast.walk(ast.parse((LIBRARY / f"{module}.py").read_text())):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1
                assert length <= 45, f"{module}.{node.name} has {length} lines"


def test_every_public_argument_and_result_is_typed():
    for module in exported_modules().values():
        tree = ast.parse((LIBRARY / f"{module}.py").read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            untyped = [a.arg for a in node.args.args + node.args.kwonlyargs
                       if a.annotation is None and a.arg not in ("self", "cls")]
            assert not untyped, f"{module}.{node.name}: {untyped} have no type"
            assert node.returns is not None, f"{module}.{node.name} does not say what it returns"


def test_a_list_of_arguments_in_a_docstring_is_that_of_the_signature():
    listed = 0
    for module in exported_modules().values():
        for node in ast.walk(ast.parse((LIBRARY / f"{module}.py").read_text())):
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                continue
            _, args, section = (ast.get_docstring(node) or "").partition("Args:\n")
            if not args:
                continue
            section = section.partition("Returns:\n")[0]
            maker = [n for n in getattr(node, "body", []) if getattr(n, "name", "") == "__init__"]
            given = (maker[0] if maker else node).args
            names = [a.arg for a in given.args + given.kwonlyargs if a.arg not in ("self", "cls")]
            names += [f"**{given.kwarg.arg}"] if given.kwarg else []
            assert re.findall(r"^    ([*\w]+):", section, re.M) == names, f"{module}.{node.name}"
            listed += 1
    assert listed > 60


def test_library_and_readme_are_what_the_notebooks_say(tmp_path):
    copy = tmp_path / "project"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv*", ".git", "runs", "models"))
    scripts = Path(sys.executable).parent
    subprocess.run(["make", "-o", ".venv/dev", "export", f"BIN={scripts}"], cwd=copy, check=True,
                   capture_output=True)
    for file in [*LIBRARY.glob("*.py"), ROOT / "README.md"]:
        assert (copy / file.relative_to(ROOT)).read_text() == file.read_text(), \
            f"{file.name} differs from the notebooks: run `make export`"


def test_every_target_of_make_does_something():
    targets = re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert {"run", "test", "bench"} <= set(targets)
    for target in targets:
        said = subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True,
                              capture_output=True, text=True).stdout
        assert "Nothing to be done" not in said, f"make {target}"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_lesson_is_clean(lesson):
    cells = nbformat.read(lesson, 4).cells
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        output.get("data", {}).pop("image/png", None)  # its letters may spell anything
    text = json.dumps(cells)
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert not re.search(r"/(root|work|tmp|home)/", text), "a path of some machine"
    outputs = [output for cell in code for output in cell.outputs]
    assert not re.search(r"\d+it/s|\d%\|", text) and all(
        any(o.get("data", {"text": o.get("text")}).values()) for o in outputs
    ), "what a progress bar left behind: run `make lessons`"
    assert outputs, "no outputs stored: run `make lessons`"
    assert not any(o.output_type == "error" for o in outputs), "an error is stored"
    assert not any(o.get("name") == "stderr" for o in outputs), "a warning is stored"
    assert all(cell.get("execution_count") is None for cell in code), "run nbdev-clean"
    assert len({cell.id for cell in cells}) == len(cells)
    assert max(len(cell.source.splitlines()) for cell in code) <= 60
    assert "transfer_lessons" in json.dumps(code[0].source) or "default_exp" in code[0].source


def test_metadata_stands_in_one_place():
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(ROOT / "settings.ini")
    settings = settings["DEFAULT"]
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"].keys() == {"name", "dynamic"}
    assert project["project"]["name"] == settings["name"] == settings["lib_name"]
    assert project["tool"]["nbdev"]["lib_path"] == settings["lib_name"]
    shown = subprocess.run([sys.executable, "setup.py", "--quiet", "--name", "--description"],
                           cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert settings["name"] in shown and settings["description"] in shown
