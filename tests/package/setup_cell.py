"""Writes the set-up cell, the same in every notebook, from settings.ini: `make export` runs this.

In Colab nobody has the course installed, so the cell installs it: from this repository at the
notebook's own branch or tag, so that library and notebook are of one version, or from the package
index once settings.ini says `on_pypi = yes`.
"""
import nbformat
from house import NOTEBOOKS, settings, version

MARK = 'find_spec("transfer_lessons")'
CELL = '''\
from importlib.util import find_spec
if {mark} is None:  # as in Colab
    %pip install -q {source}
try:
    from transfer_lessons.all import *
except ImportError as error:
    raise SystemExit(f"{{error}}. Connect to the internet and run this cell again.") from None
device = default_device()'''


def install_source() -> str:
    """What pip is told to install."""
    chosen = settings()
    if chosen.getboolean("on_pypi"):
        return f"{chosen['name']}=={version()}"
    return f"https://github.com/{chosen['user']}/{chosen['repo']}/archive/{chosen['branch']}.zip"


def setup_cell() -> str:
    """The source of the set-up cell."""
    return CELL.format(mark=MARK, source=install_source())


def first_place(notebook: nbformat.NotebookNode) -> int:
    """Where the set-up cell goes: before the first cell of code, nbdev's directive aside."""
    return next(number for number, cell in enumerate(notebook.cells)
                if cell.cell_type == "code" and "default_exp" not in cell.source)


def main() -> None:
    for file in NOTEBOOKS:
        notebook = nbformat.read(file, 4)
        cell = next((cell for cell in notebook.cells if MARK in cell.source), None)
        if cell is None:
            cell = nbformat.v4.new_code_cell()
            notebook.cells.insert(first_place(notebook), cell)
        if cell.source != setup_cell():
            cell.source = setup_cell()
            nbformat.write(notebook, file)
            print(f"set-up cell of {file.name}")


if __name__ == "__main__":
    main()
