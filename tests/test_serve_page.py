"""The page of a server in a browser without a window, and without a network but this machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Browser, missing
from servers import Server

import nnkit
from nnkit import nn
from nnkit.preprocessing import Table

for needed in ("fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(needed, reason="pip install fastapi uvicorn prometheus_client")
pytestmark = pytest.mark.skipif(missing(), reason="apt-get install chromium chromium-driver")

HOSTILE = '<img src=x onerror="window.hit=1">'


def test_a_network_is_looked_at_and_tried(tmp_path: Path) -> None:
    nnkit.manual_seed(0)
    path = tmp_path / "digits.safetensors"
    nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).save(path)
    with Server(path) as server, Browser(tmp_path) as browser:
        browser.open(server.address)
        browser.until("#status", "ok")
        version = server.get("/health")["version"]
        assert (browser.text("#name"), browser.text("#version")) == ("digits", version)
        assert "Linear(in_features=4, out_features=8" in browser.until("#model", "Linear")
        assert "digits.safetensors" in browser.text("#card")

        browser.write("#row", "1, 2 3;4")
        browser.click("#try button[type=submit]")
        shown = browser.until("#answer", "version")
        outputs = server.predict({"rows": [[1, 2, 3, 4]]})[1]["outputs"][0]
        assert all(f"{value:.4g}"[:5] in shown for value in outputs)

        browser.write("#row", "[1, 2]")
        browser.click("#try button[type=submit]")
        browser.until("#refused", "x has shape (1, 2); the model's first layer, Linear(in_features=4")
        browser.write("#row", "1 2 3 four")
        browser.click("#try button[type=submit]")
        browser.until("#refused", "four is no number")
        browser.click("#random")
        browser.click("#try button[type=submit]")
        browser.until("#answer", "version")
        assert "median" in browser.until("#latency", "ms")

        path.write_bytes(b"no model")
        browser.until("#status", "degraded")
        browser.until("#failure", "could not be loaded: ModelFileError")
        complaints = [line for line in browser.complaints() if "422" not in line]
        assert complaints == []


def test_a_table_is_asked_by_a_form_and_no_text_of_it_becomes_markup(tmp_path: Path) -> None:
    nnkit.manual_seed(0)
    frame = {HOSTILE: [20.0, 40.0, None], "city": ["Rome", HOSTILE, "Rome"], "left": ["no", HOSTILE, "no"]}
    table = Table().fit(frame, "left")
    path = tmp_path / "churn.safetensors"
    nn.Sequential(nn.Linear(table.width, 1)).reads(table).save(path)
    with Server(path) as server, Browser(tmp_path) as browser:
        browser.open(server.address)
        browser.until("#fields", HOSTILE)
        assert browser.run("return document.querySelectorAll('#fields select, #fields input').length") == 2
        browser.write("#fields select", "Rome")
        browser.write("#fields input", "33.5")
        browser.click("#try button[type=submit]")
        shown = browser.until("#answer", "label: ")
        told = server.predict({"rows": [{HOSTILE: 33.5, "city": "Rome"}]})[1]
        assert f"label: {told['labels'][0]}" in shown
        assert browser.run("return window.hit") is None
        assert browser.run("return document.querySelectorAll('main img').length") == 0
        assert browser.complaints() == []


def test_it_can_be_read_on_a_narrow_screen(tmp_path: Path) -> None:
    path = tmp_path / "wide.safetensors"
    nn.Linear(300, 100).save(path)
    with Server(path) as server, Browser(tmp_path) as browser:
        browser._call("POST", "/window/rect", {"width": 500, "height": 900})
        browser.open(server.address)
        browser.click("#zeros")
        browser.click("#try button[type=submit]")
        browser.until("#answer", "version")
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
