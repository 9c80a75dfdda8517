"""Runs one lesson as Colab does; started by colab.py with the Python of its environment.

Colab's kernel is no more than ipykernel with modules of its own: `google.colab` is there, and the
front end sends no ids of cells.
"""
import shutil
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

STARTUP = Path(__file__).with_name("startup.py")


def main(lesson: Path, folder: Path) -> None:
    startup = Path(folder, "ipythondir", "profile_default", "startup")
    startup.mkdir(parents=True, exist_ok=True)
    shutil.copy(STARTUP, startup / "00-colab.py")
    notebook = nbformat.read(lesson, 4)
    NotebookClient(notebook, timeout=900, kernel_name="python3",
                   resources={"metadata": {"path": str(folder)}}).execute()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
