"""Arrays to try kernels on."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.gpu.checks import Skip

HALVES = ("float16", "bfloat16")


def normal(*shape: int, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    """Normal numbers."""
    values = np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)
    return values.astype(type_named(dtype))


def type_named(name: str) -> Any:
    """The numpy type of a name. Raises Skip for bfloat16 without ml_dtypes."""
    if name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError as error:
        raise Skip("bfloat16 needs ml_dtypes") from error
    return np.dtype(ml_dtypes.bfloat16)
