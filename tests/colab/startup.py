"""What makes a kernel look like Colab's; it also refuses every connection but to this machine."""
import socket
import sys
import types
from importlib.machinery import ModuleSpec

colab = types.ModuleType("google.colab")
colab.__spec__ = ModuleSpec("google.colab", None)  # Accelerate looks whether it can be found
try:
    import google  # protobuf has a place in it, too
except ImportError:
    google = sys.modules["google"] = types.ModuleType("google")
google.colab = colab
sys.modules["google.colab"] = colab

_connect = socket.socket.connect


def _connect_here(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"no network in this test: {address}")
    return _connect(self, address)


socket.socket.connect = _connect_here
