"""Messages from the page for some widgets, handled while a cell is running; all others wait their turn."""
# Written by `make stubs`: the module, and the methods that later modules add to it.
from collections.abc import Callable
from typing import Any
import ipywidgets as widgets
import queue

__all__ = ['usual_receiver', 'WidgetMessages']

def usual_receiver(kernel: Any) -> Callable[[list], Any] | None:
    """What a kernel does with a message from the page.

    Args:
        kernel: that of a notebook, or None

    Returns:
        a function of the message's parts; None where nobody sends messages, or we do not know
    """

class WidgetMessages:
    """In its `with` block, a running cell hears some widgets: `handle` does what they were told.

    Args:
        *heard: the widgets; messages for anything else wait until the cell has ended
    """
    ids: Any
    heard: Any
    usual: Callable[[list], Any] | None
    kernel: Any
    kept: queue.SimpleQueue

    def __init__(self, *heard: widgets.Widget):
        ...

    def __enter__(self) -> 'WidgetMessages':
        ...

    def __exit__(self, *error: Any) -> None:
        ...

    def receive_with(self, receiver: Callable[[list], Any]) -> None:
        """Have the kernel give the page's messages to `receiver` from now on."""

    def sort(self, parts: list) -> Any:
        """Keep a message for our widgets; pass on any other."""

    def handle(self) -> None:
        """Do what the page has asked of our widgets since the last call. It does not wait."""

    def say(self, state: str, message: dict) -> None:
        """Tell the page that a message is being dealt with ("busy"), or has been ("idle")."""
