"""Primitives of a backend as functions without arguments, ready to be timed: called from Python, or recorded.

The sizes of matrices are ``BATCH`` x size and size x size; elementwise work has size x size elements.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nnkit import backends
from nnkit.backends import Backend
from nnkit.backends.recording import recording
from nnkit.kernels.philox import PURPOSES

BATCH = 128
Call = Callable[[], None]
#: Adam's scalars after many steps: direction, decay, shrink, fresh1, beta2, fresh2, rate, least.
ADAM = (1.0, 0.0, 1.0, 0.1, 0.999, 0.001, 1e-3, 1e-8)


def usable_backends() -> list[str]:
    """The backends that work here, by name."""
    return [row.name for row in backends.devices() if row.usable]


def values(backend: Backend, *shape: int, seed: int = 0) -> Any:
    """Normal numbers in float32 on the device."""
    return backend.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


def linear(backend: Backend, size: int) -> Call:
    """relu(x w^T + b)."""
    x, w, b = values(backend, BATCH, size), values(backend, size, size), values(backend, size)
    out = backend.empty((BATCH, size), np.float32)
    return lambda: backend.linear(x, w, b, "relu", None, out)


def linear_gradient(backend: Backend, size: int) -> Call:
    """The gradients of ``linear`` in x, w and b."""
    x, w, y, dy = (values(backend, n, size) for n in (BATCH, size, BATCH, BATCH))
    dz, dx, dw = (backend.empty((n, size), np.float32) for n in (BATCH, BATCH, size))
    db = backend.empty((size,), np.float32)
    return lambda: backend.linear_grad(x, w, y, dy, "relu", dz, dx, dw, db, (False, False))


def matmul(backend: Backend, size: int) -> Call:
    """A product of a batch with a square matrix."""
    x, y, out = (values(backend, n, size) for n in (BATCH, size, BATCH))
    return lambda: backend.matmul(x, y, out)


def gelu(backend: Backend, size: int) -> Call:
    """GELU, the exact one."""
    x, out = values(backend, size, size), backend.empty((size, size), np.float32)
    return lambda: backend.map("gelu", (x,), (out,))


def gelu_gradient(backend: Backend, size: int) -> Call:
    """The gradient of GELU."""
    dy, x, out = (values(backend, size, size, seed=seed) for seed in range(3))
    return lambda: backend.map("gelu_grad", (dy, x), (out,))


def cross_entropy(backend: Backend, size: int) -> Call:
    """Softmax cross-entropy of ``size`` classes, with its gradient."""
    z, dz = values(backend, BATCH, size), backend.empty((BATCH, size), np.float32)
    labels = backend.asarray(np.random.default_rng(0).integers(0, size, BATCH))
    loss = backend.empty((BATCH,), np.float32)
    return lambda: backend.cross_entropy(z, labels, None, loss, dz)


def softmax(backend: Backend, size: int) -> Call:
    """Softmax over rows."""
    x, out = values(backend, BATCH, size), backend.empty((BATCH, size), np.float32)
    return lambda: backend.softmax(x, False, out)


def softmax_gradient(backend: Backend, size: int) -> Call:
    """The gradient of softmax."""
    dy, y, out = (values(backend, BATCH, size, seed=seed) for seed in range(3))
    return lambda: backend.softmax_grad(dy, y, False, out)


def total(backend: Backend, size: int) -> Call:
    """The sum of a matrix over its rows."""
    x, out = values(backend, size, size), backend.empty((size,), np.float32)
    return lambda: backend.reduce("sum", x, (0,), out)


def take_rows(backend: Backend, size: int) -> Call:
    """A batch of rows, gathered."""
    x, out = values(backend, 8 * BATCH, size), backend.empty((BATCH, size), np.float32)
    rows = backend.asarray(np.random.default_rng(0).permutation(8 * BATCH)[:BATCH])
    return lambda: backend.take_rows(x, rows, out)


def take_rows_gradient(backend: Backend, size: int) -> Call:
    """A batch of rows, added to their places."""
    y, out = values(backend, BATCH, size), backend.zeros((8 * BATCH, size), np.float32)
    rows = backend.asarray(np.random.default_rng(0).permutation(8 * BATCH)[:BATCH])
    return lambda: backend.add_rows(y, rows, out)


def dropout(backend: Backend, size: int) -> Call:
    """Dropout, which is also its own gradient."""
    x, out = values(backend, size, size), backend.empty((size, size), np.float32)
    key = backend.asarray(np.array([1, 2]))
    return lambda: backend.dropout(x, 0.1, key, out)


def uniform(backend: Backend, size: int) -> Call:
    """Random numbers."""
    key, out = backend.asarray(np.array([1, 2])), backend.empty((size, size), np.float32)
    return lambda: backend.uniform(key, PURPOSES["dropout"], out)


def adam(backend: Backend, size: int) -> Call:
    """One Adam update of size x size parameters."""
    return adam_of(backend, size * size)


def adam_of(backend: Backend, count: int) -> Call:
    """One Adam update of ``count`` parameters, its scalars in device memory as in an optimizer's step."""
    parameter, gradient = (values(backend, count, seed=seed) for seed in range(2))
    average, square = (backend.zeros((count,), np.float32) for _ in range(2))
    scalars = [backend.asarray(np.array([value])) for value in ADAM]
    inputs, outputs = (parameter, gradient, average, square), (parameter, average, square)
    return lambda: backend.map("adam", inputs, outputs, scalars)


class Primitive(NamedTuple):
    """A primitive to be timed, and the sizes that tell something."""

    make: Callable[[Backend, int], Call]
    sizes: tuple[int, ...] = (32, 256, 1024)


PRIMITIVES = {
    "linear": Primitive(linear),
    "linear gradient": Primitive(linear_gradient),
    "matmul": Primitive(matmul),
    "gelu": Primitive(gelu),
    "gelu gradient": Primitive(gelu_gradient),
    "cross-entropy with gradient": Primitive(cross_entropy, (10, 1000)),
    "softmax": Primitive(softmax, (10, 1000)),
    "softmax gradient": Primitive(softmax_gradient, (10, 1000)),
    "sum": Primitive(total),
    "take rows": Primitive(take_rows, (20, 784)),
    "take rows gradient": Primitive(take_rows_gradient, (20, 784)),
    "dropout": Primitive(dropout),
    "uniform": Primitive(uniform),
    "adam": Primitive(adam),
}


def recorded(backend: Backend, call: Call) -> Callable[[int], None]:
    """The call as a program: a function that replays it a number of times."""
    recorder = backend.recorder()
    with recording(recorder):
        call()
    return recorder.finish().replay
