"""The CPU with compiled kernels: NumPy, and where a kernel fits the arrays at hand, the kernel.

``launches`` prepares the kernels; here is the one place that picks. For each primitive a ``prepare`` function
looks at the arrays and returns the kernel and its argument block, or None, and then NumPy's body runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from nnkit.backends import launches
from nnkit.backends.launches import Launch
from nnkit.backends.numpy import NumpyBackend


def picks(prepare: Callable[..., Launch | None]) -> Callable[..., None]:
    """The primitive named like ``prepare``: its kernel where ``prepare`` says so, else NumPy's body."""
    body = getattr(NumpyBackend, prepare.__name__)

    @functools.wraps(body)
    def primitive(self: NumpyBackend, *args: Any, **options: Any) -> None:
        launch = prepare(*args, **options)
        if launch is None:
            body(self, *args, **options)
        else:
            launch.run()

    return primitive


class NumbaBackend(NumpyBackend):
    """Arrays are ``numpy.ndarray``."""

    name = "numba"

    map = picks(launches.map)
    linear = picks(launches.linear)
    linear_grad = picks(launches.linear_grad)
    matmul = picks(launches.matmul)
    softmax = picks(launches.softmax)
    cross_entropy = picks(launches.cross_entropy)
    uniform = picks(launches.uniform)
    dropout = picks(launches.dropout)

    def versions(self) -> str:
        return f"numba {numba.__version__}, numpy {np.__version__}"
