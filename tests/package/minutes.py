"""Prints how long each notebook takes to read: 200 words or 15 lines of code a minute."""
import json
import sys
from pathlib import Path


def reading_time(file: Path) -> tuple[int, int, int]:
    """Words of prose, lines of code, minutes."""
    words, lines = 0, 0
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            words += len(source.split())
        elif cell["cell_type"] == "code":
            code = [line.strip() for line in source.splitlines()]
            lines += sum(1 for line in code if line and not line.startswith("#"))
    return words, lines, round(words / 200 + lines / 15)


def main(files: list[str]) -> None:
    print(f"{'notebook':<28} {'words':>6} {'code':>6} {'minutes':>8}")
    for name in files:
        words, lines, minutes = reading_time(Path(name))
        print(f"{Path(name).stem:<28} {words:>6} {lines:>6} {minutes:>8}")


if __name__ == "__main__":
    main(sys.argv[1:])
