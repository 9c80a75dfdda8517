"""Takes the pictures of README and index out of the lessons' stored outputs: each is a real run."""
import base64
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
# picture: (lesson, what the source of the cell that drew it contains)
PICTURES = {
    "fine_tuning.png": ("09_fine_tuning", "Old knowledge is worth more"),
    "lr_find.png": ("08_lr_finder", "learn.lr_find("),
    "top_losses.png": ("13_interpretation", "plot_top_losses("),
}


def stored_picture(lesson: str, text: str) -> bytes:
    "The last picture drawn by the first cell that contains the text and drew one."
    for cell in nbformat.read(ROOT / "nbs" / f"{lesson}.ipynb", 4).cells:
        drawn = [output.data["image/png"] for output in cell.get("outputs", [])
                 if "image/png" in output.get("data", {})]
        if text in cell.source and drawn:
            return base64.b64decode(drawn[-1])
    raise SystemExit(f"{lesson}: no picture by a cell with {text!r}; run `make lessons` first")


for name, (lesson, text) in PICTURES.items():
    (ROOT / "images" / name).write_bytes(stored_picture(lesson, text))
    print(f"images/{name} from {lesson}")
