"""A running cell hears its slider, and nothing else: on a real kernel, with the page played by a client."""
import subprocess

import pytest
from ipywidgets import IntSlider
from jupyter_client.manager import start_new_kernel

from transfer_lessons.widget_messages import WidgetMessages, usual_receiver

PREPARE = """
import time
from ipywidgets import IntSlider
from transfer_lessons.widget_messages import WidgetMessages
slider, other, order = IntSlider(), IntSlider(), []
print(slider.model_id, other.model_id)
"""
TRAIN = """
with WidgetMessages(slider) as messages:
    print("listening")
    until = time.monotonic() + 30
    while slider.value < 7 and time.monotonic() < until:
        messages.handle()
        time.sleep(0.01)
order.append(f"heard {slider.value}, the other is at {other.value}")
"""


class Page:
    """What a notebook's page does, as far as a kernel can see."""
    def __init__(self):
        self.manager, self.client = start_new_kernel(stderr=subprocess.DEVNULL)

    def run(self, code: str) -> str:
        said = []
        self.client.execute_interactive(code, timeout=60, output_hook=lambda message: said.append(
            message["content"].get("text", "")))
        return "".join(said).strip()

    def queue(self, code: str, wait_for: str = "") -> None:
        self.client.execute(code)
        while wait_for and self.message()["content"].get("text", "").strip() != wait_for:
            pass

    def message(self) -> dict:
        return self.client.get_iopub_msg(timeout=60)

    def send(self, msg_type: str, content: dict) -> str:
        message = self.client.session.msg(msg_type, content)
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def move(self, model_id: str, value: int) -> str:
        data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
        return self.send("comm_msg", {"comm_id": model_id, "data": data})


@pytest.fixture(scope="module")
def kernel():
    page = Page()
    yield page
    page.client.stop_channels()
    page.manager.shutdown_kernel(now=True)


def test_a_running_cell_hears_its_slider_and_the_others_wait(kernel):
    slider, other = kernel.run(PREPARE).split()
    kernel.queue(TRAIN, "listening")
    kernel.queue("order.append('cell 1')")
    kernel.move(other, 3)
    moves = [kernel.move(slider, value) for value in (2, 5, 7)]
    kernel.queue("order.append(f'cell 2, the other is at {other.value}')")
    states = []
    while ("idle", moves[-1]) not in states:  # else a page would not send the next one
        message = kernel.message()
        if message["msg_type"] == "status":
            states.append((message["content"]["execution_state"], message["parent_header"]["msg_id"]))
    assert [id for state, id in states if state == "idle" and id in moves] == moves
    assert kernel.run("print(*order, sep='; ')") == (
        "heard 7, the other is at 0; cell 1; cell 2, the other is at 3")


def test_afterwards_everything_goes_its_usual_way(kernel):
    slider, _ = kernel.run(PREPARE).split()
    kernel.queue(TRAIN, "listening")
    kernel.move(slider, 7)
    assert kernel.run("print(slider.value)") == "7"
    kernel.move(slider, 9)
    assert kernel.run("print(slider.value)") == "9"


def test_what_is_not_understood_is_passed_on(kernel):
    slider, _ = kernel.run(PREPARE).split()
    kernel.queue(TRAIN, "listening")
    kernel.send("comm_msg", {"comm_id": "nobody", "data": {}})
    kernel.send("comm_msg", {})
    kernel.send("no_such_request", {"comm_id": slider})
    kernel.move(slider, 8)
    assert kernel.run("print(order)") == "['heard 8, the other is at 0']"


def test_an_error_in_the_block_gives_the_kernel_back(kernel):
    slider, _ = kernel.run(PREPARE).split()
    kernel.run("with WidgetMessages(slider):\n    1 / 0")
    kernel.move(slider, 4)
    assert kernel.run("print(slider.value)") == "4"


def test_without_a_kernel_nothing_happens():
    assert usual_receiver(None) is None
    with WidgetMessages(IntSlider()) as messages:
        messages.handle()


@pytest.mark.parametrize("wrong", [None, 3, "slider"])
def test_only_widgets_can_be_heard(wrong):
    with pytest.raises(ValueError, match="heard must be of type Widget"):
        WidgetMessages(wrong)
