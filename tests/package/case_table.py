"""Write tests/CASES.md: what can go wrong, what happens then, and the tests that hold it.

The rows are the tests' own markers: `@pytest.mark.case("truncated JPEG", "scan names the file")`.
"""
import ast
import html
from pathlib import Path

from house import ROOT

TABLE = ROOT / "tests" / "CASES.md"
HEADING = """# What can go wrong, and what happens then
Written from the tests' markers by `make export`. Each row is held by the tests it names.

| case | what happens | tests |
| --- | --- | --- |
"""


def cases(file: Path) -> list[tuple[str, str, str]]:
    """Name, behaviour and test of every `case` marker in a file."""
    found = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.case":
                name, behaviour = (ast.literal_eval(argument) for argument in decorator.args)
                found.append((name, behaviour, node.name))
    return found


def table() -> str:
    """The page: a row per case; tests that hold the same one share it."""
    tests: dict[tuple[str, str], list[str]] = {}
    for file in sorted(ROOT.glob("tests/**/test_*.py")):
        for name, behaviour, test in cases(file):
            name, behaviour = (html.escape(text, quote=False).replace("|", "&#124;")
                               for text in (name, behaviour))
            place = f"[{test.removeprefix('test_')}]({file.relative_to(ROOT / 'tests').as_posix()})"
            tests.setdefault((name, behaviour), []).append(place)
    rows = [f"| {name} | {behaviour} | {'<br>'.join(places)} |"
            for (name, behaviour), places in tests.items()]
    return HEADING + "\n".join(row for row in rows) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
    print(f"tests/CASES.md has {table().count(chr(10)) - HEADING.count(chr(10))} rows")
