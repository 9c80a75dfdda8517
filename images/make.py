"""Takes the images of README and index out of the lessons' stored outputs: each is a real run."""
import base64
import io
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image
from playwright.sync_api import Locator

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/browser"))
from helpers import ENDS, chromium, offline  # noqa: E402

ROOT = Path(__file__).parents[1]
# image: (lesson, what the source of the cell that drew it contains)
PLOTS = {
    "fine_tuning.png": ("10_fine_tuning", "Pretraining is worth more"),
}
SCRUBBER = ("u6_scrubber", "LRScrubber(sweep)")


def stored(lesson: str, text: str, kind: str) -> str:
    """The last output of a MIME type by the first cell that contains the text and has one."""
    for cell in nbformat.read(ROOT / "nbs" / f"{lesson}.ipynb", 4).cells:
        found = [output.data[kind] for output in cell.get("outputs", [])
                 if output.get("data", {}).get(kind)]
        if text in cell.source and found:
            return found[-1]
    raise SystemExit(f"{lesson}: no {kind} by a cell with {text!r}; run `make lessons` first")


def predicted(scrubber: Locator, image: Path) -> None:
    """A scrubber with a verdict, and the pointer on its curve."""
    scrubber.get_by_role("button", name="good", exact=True).click()
    scrubber.locator("svg").first.hover(position={"x": 250, "y": 150})
    scrubber.screenshot(path=image)


def dragged(scrubber: Locator, animation: Path) -> None:
    """A scrubber whose slider is dragged from the lowest learning rate to the highest, and back."""
    page, slider = scrubber.page, scrubber.locator("input[type=range]")
    first, last, now, middle = slider.evaluate(ENDS)
    ticks, start = int(slider.get_attribute("max")), int(slider.input_value())
    page.mouse.move(now, middle)
    page.mouse.down()
    frames, times = [], []
    for tick in [*range(0, ticks, 2), *range(ticks, start, -3), start]:
        page.mouse.move(first + (last - first) * tick / ticks, middle)
        frames.append(Image.open(io.BytesIO(scrubber.screenshot())).convert("RGB"))
        times.append(80)
    page.mouse.up()
    times[-1] = 2500  # milliseconds
    palette = frames[-1].quantize(32, method=Image.Quantize.FASTOCTREE)  # keeps orange
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    frames[0].save(animation, save_all=True, append_images=frames[1:], duration=times, loop=0,
                   optimize=True)


def main() -> None:
    for name, (lesson, text) in PLOTS.items():
        (ROOT / "images" / name).write_bytes(base64.b64decode(stored(lesson, text, "image/png")))
        print(f"images/{name} from {lesson}")
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        page_file = Path(folder, "scrubber.html")
        page_file.write_text(f"<meta charset=utf-8>{stored(*SCRUBBER, 'text/html')}")
        for name, take, scale in (("scrubber.png", predicted, 2), ("scrubber.gif", dragged, 1)):
            page = offline(browser, page_file, [], scale)
            take(page.locator(".tl-scrubber"), ROOT / "images" / name)
            print(f"images/{name} from {SCRUBBER[0]}")


if __name__ == "__main__":
    main()
