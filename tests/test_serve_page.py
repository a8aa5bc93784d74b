"""The page of a server in a browser without a window, and without a network but this machine's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser import Browser, missing
from servers import Server
from waiting import until

import nnkit
import nnkit.monitor
from nnkit import nn
from nnkit.preprocessing import Table
from nnkit.registry import Registry

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


def test_versions_the_card_and_drift_are_shown(tmp_path: Path) -> None:
    pytest.importorskip("scipy", reason="pip install scipy")
    random = np.random.default_rng(0)
    reference = nnkit.monitor.reference(random.random((2000, 2)), names=["height", HOSTILE])
    registry = Registry(tmp_path / "registry")
    for note in ("the first", HOSTILE):
        registry.publish(nn.Linear(2, 1), "sum", metrics={"mse": 0.25}, reference=reference, notes=note)
    registry.promote("sum", 1)
    with Server(tmp_path / "registry", "--name", "sum") as server, Browser(tmp_path) as browser:
        browser.open(server.address)
        shown = browser.until("#versions", HOSTILE)
        assert "champion" in shown and "mse 0.25" in shown
        assert "Linear" in browser.text("#card") and browser.text("#version") == "1"

        def drifted() -> bool:
            """After more rows, of which the server lays so many aside as it has time for."""
            rows = random.random((100, 2)) + [2.0, 0.0]
            assert server.predict({"rows": rows.tolist()})[0] == 200
            return server.metric("nnkit_drifted_inputs") == 1

        until(drifted)
        assert "height" in browser.until("#drift", "drifts")
        registry.promote("sum", 2)
        browser.until("#version", "2")
        browser.until("#versions tr.current", HOSTILE)
        assert browser.run("return window.hit") is None and browser.complaints() == []


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
