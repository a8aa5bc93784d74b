"""The machine's own limits: matrix products, copies, and how near nnkit's optimizer comes. Runs inside a worker."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bench.machine import THREADS
from bench.primitives import adam_of, recorded
from bench.scaling import repeated, seconds_per_call
from nnkit import backends

GEMM_SIZE = 2048
#: Memory that a copy touches, from what fits the innermost caches to what fits none.
COPY_BYTES = (1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 29)
STATE_BYTES = 16  # of memory per parameter: parameter, gradient, two averages
ADAM_BYTES = 28  # read: parameter, gradient, two averages; written: parameter, two averages
#: The parameters of 784-128-10 and of 1024-2048-2048-1000.
ADAM_SIZES = (101_770, 8_344_552)


def measure(quick: bool = False) -> dict[str, Any]:
    """Operations/s of a matrix product, bytes/s of copies, and Adam beside a copy that touches as much memory."""
    turns = 3 if quick else 9
    backend = backends.get("cpu")
    adam = []
    for count in ADAM_SIZES:
        seconds = seconds_per_call(recorded(backend, adam_of(backend, count)), turns)
        copy = copy_bytes_per_second(STATE_BYTES * count, turns)
        adam.append({"parameters": count, "bytes_per_second": ADAM_BYTES * count / seconds, "copy": copy})
    return {
        "gemm_flops": gemm_flops_per_second(turns),
        "copies": [[size, copy_bytes_per_second(size, turns)] for size in COPY_BYTES],
        "adam": adam,
        "backend": backend.name,
    }


def gemm_flops_per_second(turns: int) -> float:
    """SciPy's sgemm on two square matrices, with all threads."""
    blas = importlib.import_module("scipy.linalg.blas")
    random = np.random.default_rng(0)
    shape = (GEMM_SIZE, GEMM_SIZE)
    x, y, out = (np.asfortranarray(random.standard_normal(shape, np.float32)) for _ in range(3))
    seconds = seconds_per_call(repeated(lambda: blas.sgemm(1.0, x, y, c=out, overwrite_c=True)), turns)
    return 2.0 * GEMM_SIZE**3 / seconds


def copy_bytes_per_second(size: int, turns: int) -> float:
    """Bytes/s, read and written, of NumPy copying ``size`` / 2 bytes: by one thread or by all, whichever is faster."""
    source, target = np.ones(size // 2, np.uint8), np.ones(size // 2, np.uint8)
    parts = list(zip(np.array_split(target, THREADS), np.array_split(source, THREADS), strict=True))
    with ThreadPoolExecutor(THREADS) as pool:
        together = seconds_per_call(repeated(lambda: list(pool.map(lambda part: np.copyto(*part), parts))), turns)
    alone = seconds_per_call(repeated(lambda: np.copyto(target, source)), turns)
    return size / min(alone, together)
