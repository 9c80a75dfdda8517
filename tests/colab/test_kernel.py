"""What Colab's kernel, ipykernel 6.17.1, does with many messages at once."""
import json
import time
from pathlib import Path

import nbformat
import pytest
from helpers import ROOT
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager

COLAB = Path(__file__).with_name("startup.py")
SMALL = """
import torch
from torch import nn
from transfer_lessons.all import *
from transfer_lessons.datasets import draw_icons
images, labels = draw_icons(24)
few = [i for name in ("animal", "building") for i in [i for i, k in enumerate(labels) if k == name][:12]]
dls = ImageDataLoaders.from_files([images[i] for i in few], [labels[i] for i in few],
                                  is_valid=[i % 4 == 0 for i in range(24)], size=16, bs=8, augment=False,
                                  device="cpu")
body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU())
model = nn.Sequential(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
learn = Learner(dls, model)
order = []
"""


class Kernel:
    """A running kernel, and all that it has published since the last question."""

    def __init__(self, manager):
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def send(self, kind: str, **content) -> str:
        """Send a message and wait for nothing; its id."""
        message = self.client.session.msg(kind, content)
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def execute(self, code: str) -> str:
        return self.send("execute_request", code=code, silent=False, store_history=True,
                         user_expressions={}, allow_stdin=False, stop_on_error=True)

    def published(self, until: str, seconds: float = 60) -> list[dict]:
        """What is published until the kernel is done with that message."""
        messages = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=seconds)
            messages.append(message)
            if message["parent_header"].get("msg_id") == until and is_idle(message):
                return messages
        raise AssertionError(f"the kernel was not done after {seconds} s")

    def ask(self, code: str) -> str:
        """What the kernel prints when it runs this code."""
        messages = self.published(self.execute(code))
        failed = [message["content"]["evalue"] for message in messages if message["msg_type"] == "error"]
        assert not failed, failed
        return "".join(message["content"]["text"] for message in messages
                       if message["msg_type"] == "stream").strip()


def is_idle(message: dict) -> bool:
    return message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"


@pytest.fixture(scope="module")
def kernel(colab_python, tmp_path_factory):
    """A kernel of Colab's environment, with the course of this checkout."""
    folder = tmp_path_factory.mktemp("kernels")
    spec = {"argv": [str(colab_python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Colab", "language": "python", "env": {"PYTHONPATH": str(ROOT)}}
    (folder / "colab").mkdir()
    (folder / "colab" / "kernel.json").write_text(json.dumps(spec))
    specs = KernelSpecManager(kernel_dirs=[str(folder)], ensure_native_kernel=False)
    manager = KernelManager(kernel_name="colab", kernel_spec_manager=specs)
    manager.start_kernel(cwd=str(folder))
    kernel = Kernel(manager)
    kernel.ask(COLAB.read_text())
    kernel.ask(SMALL)
    yield kernel
    kernel.client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_the_kernel_is_colabs(kernel):
    said = kernel.ask("import ipykernel, ipywidgets, IPython, sys\n"
                      "print(ipykernel.__version__, ipywidgets.__version__, IPython.__version__,\n"
                      "      *sys.version_info[:2])")
    assert said == "6.17.1 7.7.1 7.34.0 3 13"


@pytest.mark.case("Run All: cells that follow short live curves", "run in their order")
@pytest.mark.parametrize("live", [0, 6, 19])
def test_twenty_cells_by_run_all_stay_in_order(kernel, live):
    kernel.ask("order.clear()")
    cells = [f"order.append({number})" for number in range(20)]
    cells[live] += "\nwith LossCurves(learn):\n    learn.fit(1)"
    sent = [kernel.execute(cell) for cell in cells]
    kernel.published(sent[-1])
    assert json.loads(kernel.ask("print(order)")) == list(range(20))


@pytest.mark.case("Run All: the learning rate is turned by hand while cells wait",
                  "the running cell hears it, the others run in their order")
def test_a_turned_learning_rate_is_heard_at_once_and_no_cell_runs_out_of_order(kernel):
    kernel.ask("order.clear()\ncurves = LossCurves(learn, pace=0.1)")
    slider = kernel.ask("print(curves.controls['lr'].model_id)")
    cells = [f"order.append({number})" for number in range(20)]
    cells[6] += "\nwith curves:\n    learn.fit(10)"
    sent = [kernel.execute(cell) for cell in cells]
    kinds = ["display_data", "comm_msg"]  # the curves are there, then they move
    while kinds:
        if kernel.client.get_iopub_msg(timeout=60)["msg_type"] == kinds[0]:
            kinds.pop(0)
    for lr in (0.1, 0.2, 0.5):
        kernel.send("comm_msg", comm_id=slider,
                    data={"method": "update", "state": {"value": lr}, "buffer_paths": []})
    kernel.published(sent[-1])
    assert json.loads(kernel.ask("print(order)")) == list(range(20))
    assert float(kernel.ask("print(curves.turns[-1][1])")) == 0.5
    assert float(kernel.ask("print(learn.recorder.lrs[-1][-1])")) == 0.5


@pytest.mark.case("Colab: a slider is dragged faster than an image is drawn",
                  "images come with a move, those in between are left out, the last never")
def test_images_come_within_the_moves_message_and_the_last_move_is_drawn(kernel):
    kernel.ask("e = OneCycleExplorer()\nslider = e.controls['pct_start']")
    slider, image = kernel.ask("print(slider.model_id, e.image.model_id)").split()
    values = [round(0.01 * number, 2) for number in range(1, 101)]
    sent = [kernel.send("comm_msg", comm_id=slider,
                        data={"method": "update", "state": {"value": value}, "buffer_paths": []})
            for value in values]
    messages = kernel.published(sent[-1])
    done = set()
    images = []
    for message in messages:
        parent = message["parent_header"].get("msg_id")
        if is_idle(message):
            done.add(parent)
        elif message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == image:
            assert parent in sent and parent not in done, "an image outside of any message"
            images.append(parent)
    assert images[-1] == sent[-1]
    assert len(images) < len(values) / 2, "stale moves were drawn"
    assert kernel.ask("print(e.image.value == (e.redraw(), e.image.value)[1], slider.value)") == "True 1.0"
    time.sleep(0.6)
    late = kernel.ask("print(e.is_scheduled)")
    assert late == "False"


def test_numbers_of_parameters_are_whole_numbers_with_this_matplotlib(kernel):
    said = kernel.ask("import matplotlib, re\ne = FreezeExplorer(learn)\n"
                      "print(matplotlib.__version__, *[text.get_text() for text in e.figure.axes[0].texts])")
    version, *texts = said.split()
    assert version == "3.10.0"
    assert {"112", "8", "10"} <= set(texts)
    assert not [text for text in texts if text.endswith(".0")]


@pytest.mark.case("stopping where the lesson invites to", "every cell after it works")
def test_the_lesson_goes_on_after_the_stop_button(kernel):
    cells = [cell.source for cell in nbformat.read(ROOT / "nbs" / "08_training_loop.ipynb", 4).cells
             if cell.cell_type == "code" and not cell.source.startswith("#| default_exp")]
    stopped = 0
    for cell in cells:
        if "with LossCurves(" not in cell or "check(" in cell:  # an exercise that is blank trains nothing
            kernel.ask(cell)
            continue
        sent = kernel.execute(cell)
        kinds = ["display_data", "comm_msg"]  # the curves are there, then they move
        while kinds:
            if kernel.client.get_iopub_msg(timeout=60)["msg_type"] == kinds[0]:
                kinds.pop(0)
        kernel.manager.interrupt_kernel()
        errors = [message for message in kernel.published(sent) if message["msg_type"] == "error"]
        assert not errors
        stopped += 1
        steps = int(kernel.ask("print(len(learn.recorder.losses))"))
        assert 0 < steps < 3 * int(kernel.ask("print(len(learn.dls.train))"))
    assert stopped == 1


def test_names_of_classes_are_no_markup(kernel):
    kernel.ask("e = CrossEntropyExplorer(vocab=['<b>$x$</b>', '&amp;', 'plain'])")
    said = kernel.ask("print(*[c.description for c in e.controls.values()], sep='\\n')").split("\n")
    assert said[1:] == ["&lt;b&gt;<span>$</span>x<span>$</span>&lt;/b&gt;", "&amp;amp;", "plain"]
    assert kernel.ask("from transfer_lessons.explorers import read_description\n"
                      "print(*map(read_description, e.controls.values()), sep='|')"
                      ) == "target class|<b>$x$</b>|&amp;|plain"
