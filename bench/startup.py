"""From ``import nnkit`` to the first finished step of ``fit``, in new processes, kernel cache warm and cold."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from bench import machine
from bench.own import SEED_PROGRAM

TARGET = 0.5  # seconds, warm

FIRST_STEP = """
import time
start = time.perf_counter()
import nnkit
from nnkit import nn
imported = time.perf_counter()
import numpy as np
x, y = np.random.default_rng(0).standard_normal((128, 784), np.float32), np.zeros(128, np.int64)
model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
model.fit(x, y, loss="cross_entropy", optimizer="adam", epochs=1, batch_size=128, verbose=0)
print(imported - start, time.perf_counter() - start)
"""


def first_step(cache: str | None = None) -> tuple[float, float]:
    """Seconds until the import is done, and until the first step is; in a new process."""
    environment = machine.worker_environment() | ({"NNKIT_CACHE": cache} if cache else {})
    done = subprocess.run(
        [sys.executable, "-c", FIRST_STEP], env=environment, capture_output=True, text=True, check=True
    )
    imported, finished = map(float, done.stdout.split())
    return imported, finished


def program() -> float:
    """Seconds of the whole process of the example ``seed_004_keras_binary.py``, from its start to its end."""
    start = time.perf_counter()
    environment = machine.worker_environment()
    subprocess.run([sys.executable, str(SEED_PROGRAM)], env=environment, capture_output=True, check=True)
    return time.perf_counter() - start


def measure(quick: bool = False) -> dict[str, Any]:
    """Medians of new processes with a warm cache, and one with an empty cache."""
    first_step()
    warm = [first_step() for _ in range(3 if quick else 7)]
    with tempfile.TemporaryDirectory() as empty:
        cold = first_step(empty)
    return {
        "import": statistics.median(imported for imported, _ in warm),
        "warm": statistics.median(finished for _, finished in warm),
        "cold": cold[1],
        "target": TARGET,
        "program": program(),
    }
