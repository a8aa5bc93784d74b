"""What the tests of ``nnkit.optim`` share: parameters with known values, and the comparison with PyTorch."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from reference import make_torch_values_optim as reference

import nnkit
from nnkit.nn import Parameter

#: The largest difference from PyTorch's float64: relative, and absolute near 0.
TOLERANCE = {"float32": (1e-4, 1e-6), "float64": (1e-11, 1e-13)}


@functools.cache
def stored() -> dict[str, np.ndarray]:
    """What PyTorch computed."""
    with np.load(reference.VALUES) as values:
        return dict(values)


def assert_close(actual: np.ndarray, name: str, dtype: str) -> None:
    rtol, atol = TOLERANCE[dtype]
    np.testing.assert_allclose(actual, stored()[name], rtol, atol)


def parameters(*shapes: tuple[int, ...], dtype: Any = None) -> list[Any]:
    """Parameters whose elements count 1, 2, 3, ... and go on from one parameter to the next."""
    made, start = [], 1
    for shape in shapes:
        count = math.prod(shape)
        values = np.arange(start, start + count, dtype=np.float64).reshape(shape)
        made.append(Parameter(nnkit.tensor(values.tolist(), dtype=dtype or nnkit.float32)))
        start += count
    return made


def backward(*learned: Any) -> None:
    """The gradient of half the sum of squares: each parameter's own value."""
    for parameter in learned:
        (0.5 * parameter * parameter).sum().backward()


def snapshot(tensors: list[Any]) -> list[bytes]:
    return [np.asarray(t.detach().tolist()).tobytes() for t in tensors]
