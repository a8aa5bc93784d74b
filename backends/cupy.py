"""NVIDIA GPUs through CuPy: the reference bodies over CuPy's arrays."""

from __future__ import annotations

from typing import Any

import array_api_compat.cupy as xp
import cupy
import numpy as np

from nnkit.backends.base import Array, Backend
from nnkit.backends.recording import note_host_read


class CupyBackend(Backend):
    """Arrays are ``cupy.ndarray`` on GPU number ``index``."""

    name = "cuda"
    xp = xp

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        with cupy.cuda.Device(self.device.index):
            return cupy.empty(shape, dtype)

    def asarray(self, values: Any, dtype: Any = None) -> Array:
        with cupy.cuda.Device(self.device.index):
            return cupy.asarray(np.array(values, dtype=dtype, order="C"))

    def to_numpy(self, array: Array) -> np.ndarray:
        note_host_read()
        return cupy.asnumpy(array)

    def synchronize(self) -> None:
        cupy.cuda.Device(self.device.index).synchronize()

    def versions(self) -> str:
        driver = cupy.cuda.runtime.driverGetVersion()
        return f"cupy {cupy.__version__}, CUDA driver {driver // 1000}.{driver % 1000 // 10}"
