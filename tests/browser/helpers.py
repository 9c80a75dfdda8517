"""A notebook server and a browser that test, benchmark and pictures share.

Only chromium from the system and the development environment are needed, for classic Notebook also
`.venv-colab`, which `make colab` builds. Every process started here ends with its context, also
when the block inside it fails.
"""
import asyncio
import base64
import ctypes
import io
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import classic
import nbconvert
import nbformat
import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, TimeoutError, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
APPS = {"lab": "lab/tree/{}?reset", "notebook": "notebooks/{}"}
ROOT = Path(__file__).parents[2]
CLASSIC = ROOT / ".venv-colab" / "bin" / "python"

# Runs all cells, or one, and gives the errors they ended with.
RUN = """async index => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  if (index === null) await window.jupyterapp.commands.execute('notebook:run-all-cells');
  else {
    panel.content.deselectAll();
    panel.content.activeCellIndex = index;
    await window.jupyterapp.commands.execute('notebook:run-cell');
  }
  await new Promise(resolve => setTimeout(resolve, 50));
  const ran = index === null ? panel.content.widgets : [panel.content.widgets[index]];
  return ran.flatMap(cell => cell.model.sharedModel.cell_type === 'code'
    ? cell.model.sharedModel.getOutputs().filter(output => output.output_type === 'error')
        .map(output => output.ename + ': ' + output.evalue) : []);
}"""

# Runs code that is in no cell and gives what it printed.
ASK = """async code => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const future = kernel.requestExecute({code, store_history: false});
  let text = '';
  future.onIOPub = message => {
    if (message.header.msg_type === 'stream') text += message.content.text;
    if (message.header.msg_type === 'error') text += message.content.evalue;
  };
  await future.done;
  return text;
}"""

# Scrolls to a cell and marks its place on the page.
FIND = """async index => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = index;
    await notebook.scrollToItem(index, 'start');
    notebook.widgets[index].node.dataset.tlCell = index;
}"""

# Starts a cell and does not wait for it; `window.tlDone` is there when it has ended.
START = """index => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.deselectAll();
    notebook.activeCellIndex = index;
    window.tlDone = window.jupyterapp.commands.execute('notebook:run-cell');
}"""

INTERRUPT = "window.jupyterapp.commands.execute('notebook:interrupt-kernel')"
SAVE = "window.jupyterapp.commands.execute('docmanager:save')"
CELL = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
READY = "window.jupyterapp?.shell?.currentWidget?.content?.widgets?.length"
OUTPUT = "[data-tl-cell='{}'] .jp-Cell-outputArea"

# Notes each change of a plot, when it was on the screen, and the slider's value at that moment.
WATCH = """([plot, slider]) => {
  window.tlWatch?.stop();
  const painted = [], keys = [];
  const after = () => new Promise(resolve => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => resolve(performance.now());
    channel.port2.postMessage(0);
  }));
  let waiting = false;
  const observer = new MutationObserver(async () => {
    const changed = performance.now();
    if (waiting) return;
    waiting = true;
    const images = plot.matches('img') ? [plot] : [...plot.querySelectorAll('img')];
    await Promise.all(images.map(image => image.decode().catch(() => 0)));
    requestAnimationFrame(() => { waiting = false; });
    const value = slider?.value ?? (slider?.matches('.ui-slider-handle')
      ? slider.style.left : slider?.getAttribute('aria-valuetext'));
    painted.push({changed, value, at: await after()});
  });
  observer.observe(plot, {subtree: true, childList: true, attributes: true, characterData: true});
  const note = event => keys.push(event.timeStamp);
  window.addEventListener('keydown', note, true);
  window.addEventListener('pointermove', event => { window.tlWatch.moved = event.timeStamp; }, true);
  window.tlWatch = {painted, keys, moved: 0, stop() {
    observer.disconnect();
    window.removeEventListener('keydown', note, true);
  }};
}"""

# Where a slider's thumb stands at its first and its last value and now, and its height on the page.
ENDS = """thumb => {
  const own = thumb.getBoundingClientRect();
  const track = (thumb.closest('.noUi-target, .ui-slider') ?? thumb).getBoundingClientRect();
  const edge = thumb.matches('input') ? 8 : 0;  // half of the thumb that chromium draws
  const past = thumb.closest('.ui-slider') ? 5 : 0;  // it reads whole pixels
  const [first, last] = [track.left + edge - past, track.right - edge + past];
  const done = (thumb.value - thumb.min) / (thumb.max - thumb.min);
  return [first, last, edge ? first + done * (last - first) : own.left + own.width / 2,
          own.top + own.height / 2];
}"""


@contextmanager
def chromium() -> Iterator[Browser | None]:
    """The system's chromium, headless; None where there is none."""
    found = [path for name in ("chromium", "chromium-browser", "google-chrome")
             if (path := shutil.which(name))]
    if not found:
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0], args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Delay:
    """A port in front of another one, where every byte arrives `seconds` later, each way."""

    def __init__(self, port: int):
        self.target, self.seconds, self.port = port, 0.0, free_port()
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(
            asyncio.start_server(self._connect, "127.0.0.1", self.port))
        self.ready.set()
        self.loop.run_forever()
        for task in (tasks := asyncio.all_tasks(self.loop)):
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    async def _connect(self, reader, writer) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader, writer) -> None:
        queue: asyncio.Queue = asyncio.Queue()

        async def deliver() -> None:
            while (item := await queue.get()) is not None:
                if (wait := item[0] - self.loop.time()) > 0:
                    await asyncio.sleep(wait)
                writer.write(item[1])
            writer.close()

        delivery = asyncio.create_task(deliver())
        try:
            while data := await reader.read(1 << 16):
                queue.put_nowait((self.loop.time() + self.seconds, data))
        except OSError:
            pass
        queue.put_nowait(None)
        await delivery

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)


def die_with_parent() -> None:
    """Has a new process end when this one does, even if this one is killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1 is PR_SET_PDEATHSIG


def end(process: subprocess.Popen) -> None:
    """Ends a server and its kernels, which run in sessions of their own."""
    started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
    for child in started:
        if child.is_running():
            child.kill()
    psutil.wait_procs(started, 5)


class Server:
    """A Jupyter server without a token: JupyterLab under /lab, Notebook 7 or 6 under /notebooks."""

    def __init__(self, url: str, folder: Path, delay: Delay):
        self.url, self.folder, self.delay = url, folder, delay

    def open(self, browser: Browser, app: str, name: str, height: int = 1000) -> Page:
        """A notebook of the server's folder, opened and not yet run."""
        page = browser.new_context(viewport={"width": 1100, "height": height}).new_page()
        place = APPS.get(app, APPS["notebook"]).format(name)
        page.goto(f"{self.url}/{place}", wait_until="commit")
        page.wait_for_selector(".jp-Notebook .jp-Cell, #notebook .cell", timeout=60_000)
        page.wait_for_function(READY if app in APPS else classic.READY, timeout=60_000)
        return page

    def close(self, page: Page) -> None:
        """Ends the page and every kernel of the server."""
        page.context.close()
        with urllib.request.urlopen(f"{self.url}/api/sessions") as answer:
            sessions = json.load(answer)
        for session in sessions:
            urllib.request.urlopen(urllib.request.Request(
                f"{self.url}/api/sessions/{session['id']}", method="DELETE"))


@contextmanager
def serve(folder: Path, *command: str | Path) -> Iterator[Server]:
    """Starts a server of a folder on a free port, with no settings but its own; waits until it answers."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="jupyter-") as home:
        own = {name: f"{home}/{name.lower()}" for name in (
            "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
        own |= {"PYTHONPATH": str(ROOT)}  # this checkout, also where the course is installed
        log = open(f"{home}/log", "w")  # noqa: SIM115  the server writes to it until it ends
        process = subprocess.Popen(
            [*command, "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"],
            env={**os.environ, **own, "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
            stdout=log, stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent)
        delay = Delay(port)
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5)
                    break
                except OSError:
                    time.sleep(0.2)
            else:
                raise RuntimeError(Path(home, "log").read_text())
            yield Server(f"http://127.0.0.1:{delay.port}", folder, delay)
        finally:
            end(process)
            log.close()
            delay.stop()


def jupyter(folder: Path) -> AbstractContextManager[Server]:
    """JupyterLab and Notebook 7, with the newest versions of everything."""
    return serve(folder, sys.executable, "-m", "jupyterlab",
                 "--ServerApp.port_retries=0", "--IdentityProvider.token=",
                 "--ServerApp.disable_check_xsrf=True", "--LabApp.expose_app_in_browser=True",
                 "--JupyterNotebookApp.expose_app_in_browser=True", "--LabApp.news_url=",
                 "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                 f"--ServerApp.root_dir={folder}")


def classic_notebook(folder: Path) -> AbstractContextManager[Server]:
    """Classic Notebook 6, with Colab's versions of everything; CLASSIC is its Python."""
    return serve(folder, CLASSIC, "-m", "notebook",
                 "--NotebookApp.port_retries=0", "--NotebookApp.token=",
                 "--NotebookApp.disable_check_xsrf=True", f"--NotebookApp.notebook_dir={folder}")


def write_notebook(file: Path, *sources: str) -> Path:
    """A notebook of these code cells, with no outputs."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), file)
    return file


def script(page: Page, name: str) -> str:
    """This module's script of that name, in classic Notebook the one for it."""
    is_classic = page.evaluate("!window.jupyterapp")
    return getattr(classic, name) if is_classic else globals()[name]


def run(page: Page, cell: int | None = None) -> None:
    """Runs the open notebook's cells, or one of them, until the kernel has done it all."""
    if errors := page.evaluate(script(page, "RUN"), cell):
        raise AssertionError(f"a cell failed: {errors}")


def ask(page: Page, code: str) -> str:
    """What the open notebook's kernel prints when it runs this code."""
    return page.evaluate(script(page, "ASK"), code).strip()


def start(page: Page, cell: int) -> None:
    """Starts a cell and does not wait for its end."""
    page.evaluate(script(page, "START"), cell)


def interrupt(page: Page) -> None:
    """Presses the notebook's stop button, and waits until the cell that was started has ended."""
    page.evaluate(script(page, "INTERRUPT"))
    page.evaluate("window.tlDone")


def save(page: Page) -> None:
    """Saves the open notebook."""
    page.evaluate(script(page, "SAVE"))


def output(page: Page, cell: int) -> Locator:
    """The output of a code cell, scrolled into view."""
    page.evaluate(script(page, "FIND"), cell)
    area = page.locator(script(page, "OUTPUT").format(cell))
    area.scroll_into_view_if_needed()
    return area


def controls(area: Locator, name: str) -> tuple[Locator, Locator]:
    """An explorer's picture and what moves it: a menu, or a slider that keeps to one photograph."""
    kind = "select" if name == "ConfusionExplorer" else ".noUi-handle, .ui-slider-handle"
    found = area.locator(kind).locator("visible=true")
    return area.locator("img.widget-image"), found.nth(int(name == "AugmentExplorer"))


def watch(plot: Locator, slider: Locator) -> None:
    """From now on, notes when the plot changes and what the slider says then."""
    plot.page.evaluate(WATCH, [plot.element_handle(), slider.element_handle()])


def watched(page: Page) -> tuple[list[dict], list[float], float]:
    """The plot's changes {changed, at, value}, the keys and the last move, times in milliseconds."""
    return page.evaluate("[tlWatch.painted, tlWatch.keys, tlWatch.moved]")


def key_to_paint(plot: Locator, slider: Locator, presses: int = 60, span: int = 30) -> list[float]:
    """Milliseconds from each arrow key to the frame with its curve; infinite where none came in 2 s."""
    page = plot.page
    slider.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(400)
    watch(plot, slider)
    for press in range(presses):
        page.keyboard.press("ArrowLeft" if press // span % 2 else "ArrowRight")
        with suppress(TimeoutError):
            page.wait_for_function("tlWatch.painted.some(one => one.changed > tlWatch.keys.at(-1))",
                                   timeout=2000, polling=10)
        page.wait_for_timeout(20 + 7 * (press % 5))
    painted, keys, _ = watched(page)
    return [next((one["at"] - key for one in painted if one["changed"] > key), math.inf)
            for key in keys]


def drag(plot: Locator, slider: Locator, ticks: int = 64, pace: float = 0.03) -> list[dict]:
    """Drags a slider's thumb from left to right, a tick every `pace` seconds; the plot's changes."""
    page = slider.page
    slider.scroll_into_view_if_needed()
    first, last, now, middle = slider.evaluate(ENDS)
    page.mouse.move(now, middle)
    page.mouse.down()
    page.mouse.move(first, middle, steps=4)
    page.wait_for_timeout(400)
    watch(plot, slider)
    began = time.perf_counter()
    for number, place in enumerate(np.linspace(first, last, ticks)):
        time.sleep(max(0, began + number * pace - time.perf_counter()))
        page.mouse.move(place, middle)
    page.mouse.up()
    page.wait_for_timeout(200)
    return watched(page)[0]


def wait_until(page: Page, is_true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a condition holds; on a busy machine that may take long."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, f"not true after {seconds} s"
        page.wait_for_timeout(100)


def settled(page: Page, quiet: int = 1500) -> float:
    """Milliseconds from the last move of the mouse to the plot's last change, once it rests."""
    page.wait_for_timeout(quiet)
    painted, _, moved = watched(page)
    return painted[-1]["at"] - moved


@contextmanager
def screencast(page: Page) -> Iterator[list[Image.Image]]:
    """Every frame that the browser paints meanwhile."""
    frames: list[Image.Image] = []
    session = page.context.new_cdp_session(page)

    def keep(event: dict) -> None:
        frames.append(Image.open(io.BytesIO(base64.b64decode(event["data"]))))
        session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

    session.on("Page.screencastFrame", keep)
    session.send("Page.startScreencast", {"format": "jpeg", "quality": 80, "everyNthFrame": 1})
    try:
        page.wait_for_timeout(200)
        frames.clear()  # the first may be what a screenshot left: another size, another place
        yield frames
        page.wait_for_timeout(200)
    finally:
        session.send("Page.stopScreencast")
        session.detach()


def blank_frames(frames: list[Image.Image], plot: Locator) -> int:
    """How many frames lost most of the plot's dark pixels, to get them back soon after.

    A curve that leaves the plot takes its pixels along for good, and a picture that stood for three
    frames is one of the explorer's: coming back to it is no flicker.
    """
    box, view = plot.bounding_box(), plot.page.viewport_size
    dark = []
    for frame in frames:
        scale = frame.width / view["width"]
        area = frame.convert("L").crop([round(side * scale) for side in (
            box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])])
        dark.append(int((np.asarray(area) < 200).sum()))
    usual = np.median(dark)
    stood = {a for a, b, c in zip(dark, dark[1:], dark[2:], strict=False) if a == b == c}
    return sum(now < usual / 10 or now not in stood and now < min(
                   max(dark[max(i - 3, 0):i], default=0), max(dark[i + 1:i + 4], default=0)) / 2
               for i, now in enumerate(dark))


def offline(browser: Browser, page_file: Path, refused: list[str], scale: float = 1) -> Page:
    """A page from a file, in a browser that reaches no network; what it asked for is noted."""
    context = browser.new_context(viewport={"width": 1000, "height": 900},
                                  device_scale_factor=scale)

    def gate(route) -> None:
        if route.request.url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            refused.append(route.request.url)
            route.abort()

    context.route("**/*", gate)
    page = context.new_page()
    page.goto(page_file.as_uri(), wait_until="load")
    return page


def export(notebook: Path, page_file: Path) -> Path:
    """The static page of a notebook, as nbconvert makes it, its pictures found where they were."""
    text, _ = nbconvert.HTMLExporter().from_filename(str(notebook))
    base = f'<head><base href="{notebook.resolve().as_uri()}">'
    page_file.write_text(text.replace("<head>", base, 1))
    return page_file
