"""Arrays on an NVIDIA GPU: making them, moving them to and from the host and other devices, and views of them.

This is a whole backend: its primitives are the reference bodies, over CuPy's functions. ``backend`` adds kernels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import array_api_compat.cupy as xp
import cupy
import numpy as np

from nnkit.backends.base import Backend
from nnkit.backends.cuda import faults, memory, uploads
from nnkit.backends.cuda.graph import GraphProgram, lane_of
from nnkit.backends.cuda.pool import DevicePool, duplicate
from nnkit.backends.cuda.span import Span
from nnkit.backends.memory import HostStream
from nnkit.backends.program import ProgramRecorder
from nnkit.backends.recording import Array, note_host_read, recorder

#: The part of the free memory that training data may fill, so that the training itself has room.
SHARE = 0.5
F = TypeVar("F", bound=Callable[..., Any])


def on_device(method: F) -> F:
    """A method of a backend that runs while its GPU is the current device; CUDA's errors come out in nnkit's words."""

    @functools.wraps(method)
    def call(self: CupyArrays, *args: Any, **options: Any) -> Any:
        faults.check()
        try:
            if cupy.cuda.runtime.getDevice() == self.index:
                return method(self, *args, **options)
            with cupy.cuda.Device(self.index):
                return method(self, *args, **options)
        except (RuntimeError, MemoryError) as error:
            faults.give(error, f"running {method.__name__}", str(self.device))

    return call  # type: ignore[return-value]


def _axes_in_memory(x: Array) -> tuple[int, ...] | None:
    """The order of x's axes in which it is contiguous; None where there is none."""
    axes = tuple(sorted(range(x.ndim), key=lambda axis: -x.strides[axis]))
    return axes if x.transpose(axes).flags.c_contiguous else None


class CupyArrays(Backend):
    """Arrays are ``cupy.ndarray`` on GPU ``index``."""

    name = "cuda"
    xp = xp

    def __init__(self, index: int = 0) -> None:
        super().__init__(index)
        self.index = index
        faults.started()

    @contextmanager
    def batch_of(self, rows: int) -> Iterator[None]:
        with cupy.cuda.Device(self.index), memory.batch_of(rows):
            yield

    @on_device
    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        at_work = recorder()
        return self._new(shape, dtype) if at_work is None else at_work.allocate(shape, dtype)

    def _new(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Memory of CuPy's pool."""
        dtype = np.dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        return memory.allocate(lambda: cupy.empty(shape, dtype), nbytes, str(self.device))

    @on_device
    def asarray(self, values: Any, dtype: Any = None) -> Array:
        host = np.asarray(values) if isinstance(values, np.ndarray) else np.array(values, dtype=dtype)
        native = (host.dtype if dtype is None else np.dtype(dtype)).newbyteorder("=")
        made = self._new(host.shape, native)
        if made.nbytes > uploads.LARGE:
            uploads.of_device(self.index).send(host, made)
        else:  # a copy of memory, where cupy.asarray fills an array of no axes by a kernel
            made.set(np.array(host, dtype=native, order="C"))
        return made

    def to_numpy(self, array: Array) -> np.ndarray:
        note_host_read()
        return self.download(array)

    @on_device
    def download(self, x: Array) -> np.ndarray:
        try:
            return cupy.asnumpy(x)
        except RuntimeError as error:
            faults.give(error, "reading values from the GPU", str(self.device))

    @on_device
    def upload(self, x: np.ndarray, out: Array) -> None:
        axes = _axes_in_memory(out)
        if axes is None:
            out[...] = self.asarray(x)
        elif out.nbytes > uploads.LARGE:
            uploads.of_device(self.index).send(x.transpose(axes), out.transpose(axes))
        else:
            out.transpose(axes).set(np.asarray(x.transpose(axes), order="C"))

    @on_device
    def transfer(self, x: Array, out: Array) -> None:
        axes = _axes_in_memory(out)
        if axes is not None and x.transpose(axes).flags.c_contiguous:
            out.data.copy_from_device_async(x.data, out.nbytes)
        else:
            out[...] = x

    @on_device
    def duplicate(self, x: Array) -> Array:
        return memory.allocate(lambda: duplicate(x), x.nbytes, str(self.device))

    def native(self, dtype: Any) -> np.dtype:
        return np.dtype(dtype)

    def dtype_of(self, array: Array) -> np.dtype:
        return array.dtype

    @on_device
    def synchronize(self) -> None:
        cupy.cuda.Device(self.index).synchronize()

    @on_device
    def span(self) -> Span:
        return Span(self.index)

    @on_device
    def keeps(self, nbytes: int) -> bool:
        return nbytes <= SHARE * memory.free_bytes()

    @on_device
    def host_stream(self, sources: Sequence[np.ndarray], rows: int, types: Sequence[np.dtype]) -> HostStream:
        return memory.HostStream(sources, rows, types)

    @on_device
    def recorder(self) -> ProgramRecorder:
        return ProgramRecorder(functools.partial(GraphProgram, lane_of(self.index)), DevicePool(self.index))

    def versions(self) -> str:
        driver = cupy.cuda.runtime.driverGetVersion()
        return f"cupy {cupy.__version__}, CUDA driver {driver // 1000}.{driver % 1000 // 10}"

    # ---- views ----------------------------------------------------------------------------------------------

    @on_device
    def view(self, x: Array, shape: tuple[int, ...]) -> Array | None:
        if x.flags.c_contiguous:
            return x.reshape(shape)
        part = x.view()
        try:
            part.shape = shape
        except AttributeError:  # what cupy says where elements would have to move
            return None
        return part

    @on_device
    def permute(self, x: Array, axes: tuple[int, ...]) -> Array:
        return x.transpose(axes)

    @on_device
    def broadcast_to(self, x: Array, shape: tuple[int, ...]) -> Array:
        return cupy.broadcast_to(x, shape)
