"""The built-in data sets: there offline, and an error within seconds where a download cannot be."""
import re
import socket
import sys
import threading
import time
import types
import urllib.request
import zlib
from pathlib import Path
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
from PIL import Image

from transfer_lessons import datasets
from transfer_lessons.copies import content_digest
from transfer_lessons.datasets import (
    cache_folder,
    draw_icons,
    flowers,
    icons,
    pets,
    solar,
    write_pets_stand_in,
)


def noise(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(params=["refused", "hanging"])
def no_network(request, monkeypatch):
    """No connection: refused at once, or the look-up of a name that never comes back."""
    over = threading.Event()
    def refuse(*_, **__):
        raise OSError("Network is unreachable")
    def hang(*_, **__):
        over.wait(60)
        raise OSError("too late")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse if request.param == "refused" else hang)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield
    over.set()


@pytest.mark.filterwarnings("error")
def test_icons_are_there_offline_all_different_and_named(no_network):
    dls = icons(size=32, device="cpu")
    sources = dls.train.dataset.sources + dls.valid.dataset.sources
    assert len(dls.vocab) == 11 and len(sources) > 600 and dls.bs == 16
    assert len({content_digest(source) for source in sources}) == len(sources)
    assert len({source.info["name"] for source in sources}) == len(sources)
    assert {*dls.train.dataset.targets} == {*dls.valid.dataset.targets} == {*range(11)}


def test_icons_are_drawn_at_any_size_on_white():
    images, labels = draw_icons(24)
    assert len(images) == len(labels) and {image.size for image in images} == {(24, 24)}
    assert all(image.getpixel((0, 0)) == (255, 255, 255) for image in images)


def test_solar_cells_from_the_installed_package():
    pytest.importorskip("elpv_dataset", reason="the extra [solar] is not installed")
    dls = solar(size=32, device="cpu")
    targets = dls.train.dataset.targets + dls.valid.dataset.targets
    assert dls.vocab == ["defective", "functional"] and len(targets) == 2624
    assert abs(np.mean(targets) - 0.687) < 0.01, "68.7 % are functional at threshold 0.5"


def test_solar_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "elpv_dataset.utils", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'transfer_lessons[solar]'")):
        solar()
    with pytest.raises(ValueError, match="threshold must be a fraction"):
        solar(threshold=50)


@pytest.fixture
def scipy_labels(monkeypatch):
    """Stands in for scipy's reader of the labels of Flowers-102: six images of two species."""
    module = types.ModuleType("scipy.io")
    module.loadmat = lambda file, squeeze_me: {"labels": np.array([1, 102] * 15)}
    monkeypatch.setitem(sys.modules, "scipy", types.ModuleType("scipy"))
    monkeypatch.setitem(sys.modules, "scipy.io", module)


@pytest.mark.parametrize("load, name", [(pets, "Oxford-IIIT Pets"), (flowers, "Flowers-102")])
def test_without_a_network_the_error_comes_soon_and_says_what_where_and_what_to_do(
        no_network, scipy_labels, tmp_path, load, name):
    (tmp_path / "oxford-iiit-pet" / "images").mkdir(parents=True)  # what an interruption left
    (tmp_path / "flowers-102" / "jpg").mkdir(parents=True)
    start = time.perf_counter()
    with pytest.raises(ConnectionError) as caught:
        load(tmp_path)
    assert time.perf_counter() - start < 8, "a name that is never found takes a minute"
    for part in (name, str(tmp_path), "Connect to the internet and try again, or copy"):
        assert part in str(caught.value)


def test_a_server_that_replies_with_an_error_is_there(monkeypatch):
    def missing(url, timeout):
        raise HTTPError(url, 404, "Not Found", None, None)
    def away(url, timeout):
        raise URLError("no route")
    monkeypatch.setattr(datasets, "urlopen", missing)
    assert datasets._replies("https://example.invalid", seconds=30)
    monkeypatch.setattr(datasets, "urlopen", away)
    assert not datasets._replies("https://example.invalid")


def test_a_proxy_is_asked_where_there_is_one(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked = []
        def reply():
            connection, _ = server.accept()
            asked.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.0 502 Bad Gateway\r\n\r\n")
            connection.close()
        threading.Thread(target=reply, daemon=True).start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        urllib.request.install_opener(urllib.request.build_opener())  # which reads the environment
        try:
            assert datasets._replies("http://nobody.invalid", seconds=30)
        finally:
            urllib.request.install_opener(None)
    assert b"nobody.invalid" in asked[0]


def test_a_download_that_breaks_off_is_one_error_that_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "_replies", lambda url: True)
    def broken(root, download=False):
        raise RuntimeError("File not found or corrupted." if download else "Dataset not found")
    with pytest.raises(ConnectionError, match="could not be downloaded to .*corrupted.*Try again"):
        datasets._downloaded(broken, "Broken", tmp_path)


def test_pets_on_disk_need_no_network(no_network, tmp_path):
    root = tmp_path / "oxford-iiit-pet"
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    names = [f"{breed}_{number}" for number in range(20) for breed in ("Bengal", "great_dane")]
    lines = [f"{name} {1 + name.startswith('great')} 1 1\n" for name in names]
    (root / "annotations" / "trainval.txt").write_text("".join(lines))
    for name in names:
        noise(zlib.crc32(name.encode())).save(root / "images" / f"{name}.jpg")
    dls = pets(tmp_path, size=16, bs=4, device="cpu")
    assert dls.vocab == ["Bengal", "great_dane"]
    assert len(dls.train.dataset) + len(dls.valid.dataset) == 40


@pytest.mark.case("no network, and no pets", "within seconds, and how to get them by hand")
def test_how_to_get_pets_by_hand_is_said_and_works(no_network, tmp_path):
    with pytest.raises(ConnectionError, match=r"images.tar.gz and annotations.tar.gz.*oxford-iiit-pet"):
        pets(tmp_path)
    write_pets_stand_in(tmp_path, per_class=6)  # what was unpacked
    dls = pets(tmp_path, size=16, bs=4, device="cpu")
    assert dls.c == 11 and len(dls.train.dataset) + len(dls.valid.dataset) == 66


def test_a_stand_in_has_the_layout_of_the_pets(tmp_path):
    folder = write_pets_stand_in(tmp_path / "new", per_class=5) / "oxford-iiit-pet"
    names = [line.split()[0] for line in (folder / "annotations" / "trainval.txt").open()]
    files = {file.stem: Image.open(file) for file in (folder / "images").glob("*.jpg")}
    assert sorted(names) == sorted(files) and len(names) == 55
    assert {file.format for file in files.values()} == {"JPEG"}
    with pytest.raises(ValueError, match="per_class must be"):
        write_pets_stand_in(tmp_path, per_class=0)


def test_flowers_are_labelled_by_number(monkeypatch, scipy_labels, tmp_path):
    (tmp_path / "flowers-102" / "jpg").mkdir(parents=True)
    for number in range(1, 31):
        noise(number).save(tmp_path / "flowers-102" / "jpg" / f"image_{number:05}.jpg")
    monkeypatch.setattr(datasets, "Flowers102", lambda root: None)
    dls = flowers(tmp_path, size=16, bs=4, device="cpu")
    assert dls.vocab == ["001", "102"]
    for part in (dls.train.dataset, dls.valid.dataset):
        assert all(int(Path(source).stem[-5:]) % 2 == (target == 0)
                   for source, target in zip(part.sources, part.targets, strict=True))


def test_flowers_without_scipy_say_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ImportError, match="pip install scipy"):
        flowers(tmp_path)


def test_downloads_are_kept_where_the_system_wants_them():
    assert cache_folder().is_absolute() and "transfer_lessons" in cache_folder().parts
