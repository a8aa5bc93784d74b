"""From a trained network to one in use: published in a registry, served over HTTP, replaced, and put back.

python examples/serve_digits.py             some ten seconds; makes the folder registry/
python -m nnkit serve registry --name digits    afterwards, to look at its page: http://127.0.0.1:8000

Two networks learn handwritten digits, a small one and a better one. The first is published as the champion and served;
the server is asked about digits that neither has seen, while the second takes over, and then the first again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from typing import Any

import numpy as np

import nnkit
from nnkit import nn
from nnkit.datasets import digits
from nnkit.registry import Registry

SEED = 0


def trained(width: int, epochs: int, x: np.ndarray, y: np.ndarray) -> nn.Module:
    """One hidden layer."""
    nnkit.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    model.fit(x, y, loss="cross_entropy", optimizer="adam", epochs=epochs, batch_size=32, verbose=0, seed=SEED)
    return model


def ask(address: str, path: str, rows: Any = None) -> dict[str, Any]:
    """What the server says; with rows, what it makes of them."""
    body = None if rows is None else json.dumps({"rows": rows}).encode()
    request = urllib.request.Request(address + path, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def served(address: str, x: np.ndarray, y: np.ndarray) -> tuple[str, float]:
    """The version that answers, and which share of the digits it reads rightly."""
    told = ask(address, "/predict", x.tolist())
    return told["version"], float((np.argmax(told["outputs"], axis=1) == y).mean())


def until(address: str, version: str) -> None:
    """Wait until the server has followed: a second at most, where the machine has nothing else to do."""
    while ask(address, "/health")["version"] != version:
        time.sleep(0.1)


def main(arguments: Sequence[str] | None = None) -> list[tuple[str, float]]:
    """Returns version and accuracy: at first, after the promotion, after the rollback."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registry", default="registry", help="the folder")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args(arguments)
    (x, y), (x_test, y_test) = digits.load_data()
    x, x_test = x.reshape(-1, 64) / 16, x_test.reshape(-1, 64) / 16

    registry = Registry(options.registry)
    versions = []
    for width, epochs in ((8, options.epochs // 2), (128, options.epochs)):
        model = trained(width, epochs, x, y)
        result = model.evaluate(x_test, y_test, loss="cross_entropy", metrics=["accuracy"], verbose=0)
        notes = f"{width} hidden units, {epochs} epochs"
        versions.append(registry.publish(model, "digits", metrics=result, data=(x, y), notes=notes))
        print(f"published version {versions[-1].number}: {notes}, accuracy {result['accuracy']:.3f}")
    first, second = (version.number for version in versions)
    registry.promote("digits", first)

    command = [sys.executable, "-m", "nnkit", "serve", options.registry, "--name", "digits", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline().strip()
            print(line)
            address = line.rpartition(" ")[2]
            found = [served(address, x_test, y_test)]
            registry.promote("digits", second)
            until(address, str(second))
            found.append(served(address, x_test, y_test))
            registry.rollback("digits")
            until(address, str(first))
            found.append(served(address, x_test, y_test))
            latency = ask(address, "/health")["latency"]
        finally:
            server.terminate()
    for what, (version, accuracy) in zip(("champion", "promoted", "rolled back"), found, strict=True):
        print(f"{what:12} version {version} reads {accuracy:.1%} of {len(y_test)} digits")
    print(f"{latency['requests']} requests, the median took {latency['p50_ms']:.1f} ms; status {server.returncode}")
    return found


if __name__ == "__main__":
    main()
