"""The page of a model: who is answered, and what is refused. A real server, without a browser."""
import http.client
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from test_app import Predictor, png

from transfer_lessons import cli
from transfer_lessons.app import MAX_BYTES
from transfer_lessons.serve import check_port, serve, served

gradio_client = pytest.importorskip("gradio_client")


@pytest.fixture(scope="module")
def address():
    with served(Predictor(title="White <b>or</b> not")) as address:
        yield address


@pytest.fixture(scope="module")
def client(address):
    return gradio_client.Client(address, verbose=False)


def get(address: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def post_file(address: str, content: bytes) -> tuple[int, str]:
    """Uploads as the page does, without its own check."""
    body = (b'--part\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
            + content + b"\r\n--part--\r\n")
    request = urllib.request.Request(f"{address}/gradio_api/upload", body, {
        "Content-Type": "multipart/form-data; boundary=part"})
    return get_response(request)


def get_response(request: urllib.request.Request) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ask(client, file: Path):
    return client.predict(gradio_client.handle_file(file), api_name="/predict")


def test_an_image_is_answered_as_the_predictor_answers(client, tmp_path):
    file = tmp_path / "cat.png"
    file.write_bytes(png(204))
    sentence, seen, label = ask(client, file)
    assert sentence == "cat.png: white (80 %)."
    expected = Predictor().predict(file).probabilities
    assert {row["label"]: row["confidence"] for row in label["confidences"]} == pytest.approx(expected)
    assert Path(seen if isinstance(seen, str) else seen["path"]).exists()


@pytest.mark.case("serve: an upload that is no image", "refused with a sentence")
def test_what_is_no_image_gets_a_sentence(client, tmp_path):
    for name, content in {"notes.txt": b"Dear all", "cat.png": png()[:50], "empty.png": b""}.items():
        file = tmp_path / name
        file.write_bytes(content)
        sentence, seen, label = ask(client, file)
        assert sentence.startswith(f"{name}: ") and sentence.endswith(".")
        assert seen is None and not label.get("confidences")


@pytest.mark.case("serve: an upload of more than 20 MB", "refused while it arrives")
def test_a_large_upload_is_refused_while_it_arrives(address):
    status, said = post_file(address, bytes(MAX_BYTES + 1))
    assert status == 413 and "maximum allowed size" in said
    status, said = post_file(address, png())
    assert status == 200, said


@pytest.mark.case("serve: another computer, or another name for this one (DNS rebinding)", "no answer")
def test_only_this_computer_is_answered_and_only_under_its_own_names(address):
    port = int(address.rsplit(":", 1)[1])
    assert address.startswith("http://127.0.0.1:")
    assert get(address)[0] == get(address, Host=f"localhost:{port}")[0] == 200
    for name in ("evil.example", f"evil.example:{port}", "192.168.1.2"):
        assert get(address, Host=name)[0] == 400
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; asks for the address that would
            other = probe.getsockname()[0]
        except OSError:
            other = "127.0.0.2"  # no network: another address of this computer
    if other == "127.0.0.1":
        other = "127.0.0.2"
    with pytest.raises(OSError):
        http.client.HTTPConnection(other, port, timeout=5).connect()


@pytest.mark.case("serve: a request for a file of this computer", "refused")
def test_no_file_of_this_computer_is_given_away(address, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png())
    for path in (secret, Path("settings.ini").resolve(), Path("/etc/hostname")):
        assert get(f"{address}/gradio_api/file={path}")[0] in (403, 404)
        body = json.dumps({"data": [{"path": str(path), "meta": {"_type": "gradio.FileData"}}]}).encode()
        request = urllib.request.Request(f"{address}/gradio_api/call/predict", body,
                                         {"Content-Type": "application/json"})
        status, said = get_response(request)
        if status == 200:
            _, said = get(f"{address}/gradio_api/call/predict/{json.loads(said)['event_id']}")
        assert "event: error" in said or status >= 400, "it was read"


def test_the_page_asks_nobody_else(address):
    status, page = get(address)
    assert status == 200
    assert "fonts.googleapis" not in page
    config = json.loads(get(f"{address}/config")[1])
    assert config["analytics_enabled"] is False
    assert "&lt;b&gt;or&lt;/b&gt;" in json.dumps(config), "a title is no HTML"


def test_afterwards_nobody_answers_and_uploads_are_gone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = dict(os.environ)
    with served(Predictor()) as address:
        changed = {name for name, value in os.environ.items() if before.get(name) != value}
        assert changed == {"GRADIO_TEMP_DIR"}
        assert post_file(address, png())[0] == 200
        assert list(tmp_path.rglob("a.png"))
    assert not list(tmp_path.rglob("a.png"))
    assert dict(os.environ) == before
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=5)


@pytest.mark.parametrize("port", [0, -1, 65536, "80", 1.5, True])
def test_a_port_is_a_whole_number_in_range(port):
    with pytest.raises(ValueError, match="port must be a whole number"):
        check_port(port)


@pytest.mark.case("serve: a port that is taken", "said at once, with what to do")
def test_a_port_that_is_taken_is_said_before_anything_is_loaded(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert cli.main(["serve", str(tmp_path / "gone"), "--port", str(number)]) == 1
    assert f"port {number} cannot be had" in capsys.readouterr().err


@pytest.mark.case("serve: a file that is no export", "one line, exit status 1; nothing is started")
@pytest.mark.parametrize("content", [None, b"", b"Dear all", b"\x80\x04\x95\x10"])
def test_a_file_that_is_no_export_is_said_in_one_line(content, tmp_path, capsys):
    file = tmp_path / "model.safetensors"
    if content is not None:
        file.write_bytes(content)
    assert cli.main(["serve", str(file)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("transfer-lessons: ") and "model.safetensors" in said.err


def test_without_gradio_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr("transfer_lessons.serve.load_predictor", lambda file: Predictor())
    assert cli.main(["serve", "model.safetensors"]) == 1
    assert "pip install 'transfer_lessons[ship]'" in capsys.readouterr().err


def test_the_command_prints_the_address_and_ctrl_c_ends_it(monkeypatch, capsys):
    def wake_up(seconds):
        raise KeyboardInterrupt
    monkeypatch.setattr("transfer_lessons.serve.load_predictor", lambda file: Predictor())
    monkeypatch.setattr("transfer_lessons.serve.time.sleep", wake_up)
    monkeypatch.setattr("transfer_lessons.serve.served", lambda predictor, port: _Address())
    assert cli.main(["serve", "model.safetensors"]) == 130
    assert "http://127.0.0.1:7860" in capsys.readouterr().out
    with pytest.raises(ValueError, match="file must be a path"):
        serve(3)


class _Address:
    def __enter__(self):
        return "http://127.0.0.1:7860"

    def __exit__(self, *error):
        return None
