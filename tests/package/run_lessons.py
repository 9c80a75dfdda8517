"""Runs notebooks from top to bottom and stores their outputs, clean: `make lessons` runs this."""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

WIDGET = "application/vnd.jupyter.widget-view+json"


def says_something(output: nbformat.NotebookNode) -> bool:
    """Whether a reader sees anything of an output; a progress bar that is done leaves blanks."""
    if output.output_type == "error":
        return True
    if output.output_type == "stream":
        return bool(output.text.strip())
    shown = output.get("data", {})
    rich = [value for kind, value in shown.items() if kind != "text/plain"]
    return any(str(value).strip() for value in rich or shown.values())


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Remove what means nothing without a kernel: live widgets (their image stays) and blanks."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET, None)
        cell.outputs = [output for output in cell.outputs if says_something(output)]


def run(file: Path) -> None:
    """Run one notebook in its folder and store its outputs."""
    notebook = nbformat.read(file, 4)
    client = NotebookClient(notebook, timeout=900, coalesce_streams=True,
                            store_widget_state=False, resources={"metadata": {"path": str(file.parent)}})
    client.execute()
    tidy(notebook)
    nbformat.write(notebook, file)


def main(files: list[str]) -> None:
    os.environ["TRANSFER_LESSONS_PROGRESS"] = f"{tempfile.mkdtemp()}/progress.json"  # of nobody
    for name in files:
        began = time.monotonic()
        run(Path(name))
        print(f"== {name}: {time.monotonic() - began:.0f} s", flush=True)
        subprocess.run([Path(sys.executable).parent / "nbdev-clean", "--fname", name], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
