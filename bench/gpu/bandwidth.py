"""Work that is bound by memory, beside a plain copy on the same device, turn by turn. Runs inside a process."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.gpu.epilogues import seconds
from bench.gpu.workloads import TRAFFIC, fitting
from bench.measure import summary
from bench.primitives import ADAM
from nnkit import backends
from nnkit.kernels.philox import PURPOSES

COLUMNS = 4096
CLASSES = 32768
COPY = 2**30  # bytes that the copy reads, at most
TURN = 0.03  # seconds

Call = Callable[[], object]


def measure(key: str, rounds: int, most: int = 1 << 62) -> dict[str, Any]:
    """Bytes/s of one row of ``TRAFFIC`` and of a copy, and their ratio round by round; of at most ``most`` elements."""
    cupy = importlib.import_module("cupy")
    traffic, backend = TRAFFIC[key], backends.get("cuda")
    count = min(fitting(traffic, int(cupy.cuda.runtime.memGetInfo()[0])), most)
    call = MADE[key](backend, count)
    half = min(COPY, count * traffic.held // 2)
    copy = copying(backend, half)
    work, copies = [], []
    for _ in range(rounds):
        copies.append(2 * half / seconds(backend, copy, 1, TURN))
        work.append(count * traffic.moved / seconds(backend, call, 1, TURN))
    return {
        "title": traffic.title,
        "count": count,
        "wanted": traffic.elements,
        "bytes_per_second": summary(work),
        "copy": summary(copies),
        "share": summary([w / c for w, c in zip(work, copies, strict=True)]),
    }


def copying(backend: Any, nbytes: int) -> Call:
    """A copy of so many bytes on the device."""
    x, y = (filled(backend, nbytes // 4, seed) for seed in range(2))
    return lambda: backend.copy(x, y)


def filled(backend: Any, count: int, seed: int = 0, shape: tuple[int, ...] | None = None) -> Any:
    """Numbers in [0, 1) in float32, made on the device: zeros may be faster than what comes in practice."""
    out = backend.empty((count,) if shape is None else shape, np.float32)
    backend.uniform(backend.asarray(np.array([seed, 1])), PURPOSES["sample"], out)
    return out


def adam(backend: Any, count: int) -> Call:
    """One update of ``count`` parameters, its scalars in device memory."""
    parameter, gradient, average, square = (filled(backend, count, seed) for seed in range(4))
    scalars = [backend.asarray(np.array([value])) for value in ADAM]
    inputs, outputs = (parameter, gradient, average, square), (parameter, average, square)
    return lambda: backend.map("adam", inputs, outputs, scalars)


def gelu(backend: Any, count: int) -> Call:
    """What follows the product of a layer: the bias is added to z, which is kept, and y = gelu(z)."""
    linear = importlib.import_module("nnkit.kernels.cuda.linear")
    work = importlib.import_module("nnkit.backends.cuda.work")
    shape = count // COLUMNS, COLUMNS
    z, y, b = filled(backend, count, 0, shape), backend.empty(shape, np.float32), filled(backend, COLUMNS, 1)
    step = linear.linear_step("gelu", "float32", "float32", True, True, *shape)
    launch = work.Launch(step.source, step.grid, (z, y, b, *step.sizes))
    backend.fill(0.0, b)  # or z would grow with every call
    return lambda: launch.run()


def gelu_grad(backend: Any, count: int) -> Call:
    """dz from dy and z, and db, the sum of dz's rows."""
    shape = count // COLUMNS, COLUMNS
    z, dy = (filled(backend, count, seed, shape) for seed in range(2))
    dz, db = backend.empty(shape, np.float32), backend.empty((COLUMNS,), np.float32)
    x, w = filled(backend, shape[0], 2, (shape[0], 1)), filled(backend, COLUMNS, 3, (COLUMNS, 1))
    return lambda: backend.linear_grad(x, w, z, dy, "gelu", dz, None, None, db, (False, False))


def cross_entropy(backend: Any, count: int) -> Call:
    """Losses and gradient of many rows."""
    classes = min(CLASSES, count)
    rows = count // classes
    z, dz = filled(backend, count, 0, (rows, classes)), backend.empty((rows, classes), np.float32)
    labels = backend.asarray(np.random.default_rng(0).integers(0, classes, rows))
    loss = backend.empty((rows,), np.float32)
    return lambda: backend.cross_entropy(z, labels, None, loss, dz)


MADE: dict[str, Callable[[Any, int], Call]] = {
    "adam": adam, "gelu": gelu, "gelu_grad": gelu_grad, "cross_entropy": cross_entropy,
}  # fmt: skip
