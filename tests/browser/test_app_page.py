"""The app in chromium: in JupyterLab and Notebook 7 by ipywidgets, and as the page that `serve` makes."""
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import (
    APPS,
    ROOT,
    die_with_parent,
    end,
    free_port,
    jupyter,
    output,
    run,
    wait_until,
    write_notebook,
)
from PIL import Image

from transfer_lessons.datasets import icons
from transfer_lessons.export import load_predictor
from transfer_lessons.learner import vision_learner

CELLS = ["""from transfer_lessons.all import *
from transfer_lessons.export import load_predictor
predictor = load_predictor("icons.safetensors", device="cpu")""",
         "PredictApp(predictor)"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model in a file, an image, and what people upload instead of one."""
    folder = tmp_path_factory.mktemp("app")
    torch.manual_seed(0)
    learn = vision_learner(icons(size=32, device="cpu"))
    learn.export(folder / "icons.safetensors", title="Icons <b>of</b> OpenMoji")
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    (folder / "notes.jpg").write_text("Dear all, it rains.")
    (folder / "huge.jpg").write_bytes(bytes(21 * 2**20))
    return folder


@pytest.fixture(scope="module")
def said(folder):
    """What the app is to say of the image."""
    predictor = load_predictor(folder / "icons.safetensors", device="cpu")
    return f"noise.png: {predictor.describe(predictor.predict(folder / 'noise.png'))}."


# In a notebook

@pytest.fixture(scope="module")
def server(folder):
    with jupyter(folder) as server:
        yield server


@pytest.fixture(scope="module", params=APPS)
def area(request, server, browser, folder):
    """The output of the cell that shows the app."""
    name = f"{request.param}.ipynb"
    write_notebook(folder / name, *CELLS)
    page = server.open(browser, request.param, name)
    run(page)
    yield output(page, 1)
    server.close(page)


def choose(area, file: Path) -> None:
    """Press the upload button and choose a file."""
    with area.page.expect_file_chooser() as chooser:
        area.get_by_role("button", name="Upload an image").click()
    chooser.value.set_files(file)


def sentence(area) -> str:
    return area.locator("[role=status]").inner_text()


def test_an_upload_in_a_notebook_is_answered(area, folder, said):
    picture = area.locator("img.widget-image")
    before = picture.get_attribute("src")
    choose(area, folder / "noise.png")
    wait_until(area.page, lambda: sentence(area) == said)
    wait_until(area.page, lambda: picture.get_attribute("src") != before)


def test_what_is_no_image_gets_a_sentence_in_a_notebook(area, folder, said):
    choose(area, folder / "notes.jpg")
    wait_until(area.page, lambda: sentence(area).startswith("notes.jpg: not an image"))
    choose(area, folder / "noise.png")
    wait_until(area.page, lambda: sentence(area) == said)


# As a page

@pytest.fixture(scope="module")
def address(folder):
    """Where `transfer-lessons serve` shows the model."""
    command = [sys.executable, "-m", "transfer_lessons.cli", "serve", folder / "icons.safetensors"]
    process = subprocess.Popen([*map(str, command), "--port", str(free_port())], text=True,
                               env={**os.environ, "PYTHONPATH": str(ROOT)}, preexec_fn=die_with_parent,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found, said + process.stdout.read()
        yield found[0]
    finally:
        end(process)


@pytest.fixture(scope="module")
def page(browser, address):
    """The page, in a browser without any other network; what it asked for elsewhere is noted."""
    page = browser.new_context(viewport={"width": 1000, "height": 900}).new_page()
    page.asked_elsewhere = []

    def route(request):
        if request.request.url.startswith((address, "data:", "blob:")):
            request.continue_()
        else:
            page.asked_elsewhere.append(request.request.url)
            request.abort()

    page.route("**/*", route)
    page.goto(address)
    page.wait_for_selector("input[type=file]", state="attached")
    yield page
    page.context.close()


@pytest.fixture
def fresh(page):
    """The page, as it is when it has just been opened."""
    page.reload()
    page.wait_for_selector("input[type=file]", state="attached")
    return page


def test_the_page_has_the_models_title_and_asks_nobody_else(fresh):
    assert fresh.get_by_role("heading", level=1).inner_text() == "Icons <b>of</b> OpenMoji"
    assert fresh.asked_elsewhere == []


def test_an_upload_on_the_page_is_answered(fresh, folder, said):
    fresh.set_input_files("input[type=file]", folder / "noise.png")
    answer = fresh.get_by_label("Answer")
    wait_until(fresh, lambda: answer.input_value() == said)
    predictor = load_predictor(folder / "icons.safetensors", device="cpu")
    likeliest = list(predictor.predict(folder / "noise.png").probabilities.items())[:5]
    shown = fresh.locator("[data-testid$=-confidence-set], .confidence-set").all_inner_texts()
    assert len(shown) == 5
    for text, (name, probability) in zip(shown, likeliest, strict=True):
        assert name in text and f"{round(100 * probability)}%" in text.replace(" ", "")


def test_what_is_no_image_gets_a_sentence_on_the_page(fresh, folder):
    fresh.set_input_files("input[type=file]", folder / "notes.jpg")
    answer = fresh.get_by_label("Answer")
    wait_until(fresh, lambda: answer.input_value().startswith("notes.jpg: not an image"))


def test_a_file_of_more_than_20_mb_is_refused_on_the_page(fresh, folder):
    fresh.set_input_files("input[type=file]", folder / "huge.jpg")
    toast = fresh.get_by_text("maximum allowed size of 20")
    wait_until(fresh, lambda: toast.count() > 0)
    assert fresh.get_by_label("Answer").input_value() == ""
