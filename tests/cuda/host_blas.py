"""Arrays in host memory for tests of ``blas``, and how their results are compared."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from fake_cublaslt import FakeLibrary

from nnkit.backends.cuda.blas import Blas, Gradients, Product

STREAM = 0x5500000000
needs_ml_dtypes = pytest.mark.skipif(find_spec("ml_dtypes") is None, reason="bfloat16 needs ml_dtypes (test-cuda)")
HALVES = ("float16", pytest.param("bfloat16", marks=needs_ml_dtypes))
#: Largest error of a result of the type, relative to the largest element.
ERRORS = {"float64": 1e-13, "float32": 2e-6, "float16": 2e-3, "bfloat16": 1e-2}


def host_address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def host_memory(nbytes: int) -> np.ndarray:
    return np.empty(nbytes, np.uint8)


def dtype_named(name: str) -> np.dtype:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def array(shape: tuple[int, ...], dtype: str = "float32", seed: int = 0, stored: str = "rows") -> np.ndarray:
    """Normal numbers, in rows, transposed, in rows with a gap between them, or transposed with gaps."""
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype_named(dtype))
    turned, gaps = "turned" in stored, "gaps" in stored
    if turned:
        values = values.swapaxes(-1, -2)
    if gaps:
        wide = np.full((*values.shape[:-1], values.shape[-1] + 3), np.nan, values.dtype)
        wide[..., :-3] = values
        values = wide[..., :-3]
    else:
        values = np.ascontiguousarray(values)
    return values.swapaxes(-1, -2) if turned else values


def empty(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    return np.full(shape, np.nan, dtype_named(dtype))


def exact(x: np.ndarray) -> np.ndarray:
    return x.astype("float64")


def close(result: np.ndarray, expected: np.ndarray, error: float | None = None) -> None:
    error = ERRORS[result.dtype.name] if error is None else error
    assert result.shape == expected.shape
    assert np.abs(exact(result) - expected).max(initial=0.0) <= error * max(1.0, np.abs(expected).max(initial=0.0))


def run(product: Product | Gradients | str) -> Any:
    """Run what is no reason for a refusal."""
    assert not isinstance(product, str), product
    product.run(STREAM)
    return product


def blas_over(fake: FakeLibrary, **options: Any) -> Blas:
    """Blas over the stand-in and host memory."""
    return Blas(host_memory, fake, host_address, **options)
