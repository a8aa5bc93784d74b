"""Small models and data that the faults are provoked with."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from waiting import HANG

import nnkit
from nnkit import nn
from nnkit.io import load_weights, save_weights

_random = np.random.default_rng(3)
X = _random.normal(size=(40, 4)).astype(np.float32)
LABELS = np.arange(40) % 3
VALUES = X[:, :1].copy()
CLASSES = {"loss": "cross_entropy", "verbose": 0}
NUMBERS = {"loss": "mse", "verbose": 0}


def classifier() -> nn.Sequential:
    """Four features, three classes."""
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def regression() -> nn.Linear:
    """Four features, one number."""
    return nn.Linear(4, 1)


def weights(model: nn.Module) -> list[bytes]:
    """The weights, to the bit."""
    return [np.ascontiguousarray(tensor.numpy()).tobytes() for tensor in model.state_dict().values()]


def described(path: Path, **changes: Any) -> None:
    """Write a model file, and change entries of its description."""
    nn.Linear(3, 2).save(path)
    arrays, metadata = load_weights(path)
    save_weights(path, arrays, {"nnkit": json.dumps(json.loads(metadata["nnkit"]) | changes)})


def with_header(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """The bytes of a safetensors file with that header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def zipped() -> bytes:
    """A zip archive, as Keras writes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", b"{}")
    return buffer.getvalue()


def run(script: str, *arguments: object, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own; it must end well, unless ``check`` is False."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False, **options)
    assert not check or done.returncode == 0, done.stderr
    return done


def seeded(seed: int = 0) -> nn.Sequential:
    """``classifier`` with the weights of a seed."""
    nnkit.manual_seed(seed)
    return classifier()
