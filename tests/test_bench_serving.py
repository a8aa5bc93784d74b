"""The measurement of the server: that it asks, counts and tells; not how fast anything is."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

for needed in ("fastapi", "uvicorn", "prometheus_client", "onnx", "onnxruntime"):
    pytest.importorskip(needed, reason=f"pip install {needed}")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a process has used is read from /proc")


@pytest.mark.parametrize("name", ["nnkit", "ONNX Runtime"])
def test_a_server_is_measured(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench import machine
    from bench.serving import command

    monkeypatch.setattr(machine, "pin", lambda: None)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    file = tmp_path / "numbers.json"
    given = ["--only", name, "--seconds", "0.2", "--rounds", "1", "--connections", "4", "--output", str(file)]
    assert command.run(parser.parse_args(given)) == 0
    told = json.loads(file.read_text())
    assert [(row["name"], row["wrong"]) for row in told["servers"]] == [(name, 0), (name, 0)]
    assert all(row["rate"] > 0 for row in told["servers"]) and f"| {name} | JSON |" in capsys.readouterr().out
