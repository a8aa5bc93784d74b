"""A launch: kernels on argument blocks, in stages, and the helpers that the functions preparing one share.

The calls of one stage may run at the same time, on several threads; a stage begins when the one before has ended.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.base import Scalar
from nnkit.backends.cpu.table import Table
from nnkit.backends.threads import get_num_threads
from nnkit.kernels.cpu.compiler import Kernel

FLOATS = {np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}
INT64 = np.dtype(np.int64)
TYPES = FLOATS | {INT64: "int64", np.dtype(np.bool_): "bool"}
#: Bytes that a loop reads and writes, from which on it is shared: some 5 microseconds' worth.
LARGE = 1 << 18


class Call(NamedTuple):
    """A kernel and its argument block."""

    kernel: Kernel
    block: Any


class Launch:
    """Calls in stages, and what their blocks point to and nobody else may hold."""

    __slots__ = ("_table", "alive", "name", "stages")

    def __init__(self, name: str, stages: Sequence[Sequence[Call]], *alive: Any) -> None:
        self.name = name
        self.stages = stages
        self.alive = alive
        self._table: Table | None = None

    def run(self) -> None:
        """Run the kernels now."""
        if self._table is not None:
            self._table.run()
        elif any(len(stage) > 1 for stage in self.stages):
            self._table = Table(self.addresses())
            self._table.run()
        else:
            for ((kernel, block),) in self.stages:
                kernel.call(ctypes.addressof(block))

    def addresses(self) -> list[list[tuple[int, int]]]:
        """For each stage its calls: the addresses of kernel and block."""
        return [[(kernel.address, ctypes.addressof(block)) for kernel, block in stage] for stage in self.stages]


def new_call(kernel: Kernel, arguments: Sequence[int]) -> Call:
    """A call of a kernel on these arguments."""
    return Call(kernel, (ctypes.c_int64 * len(arguments))(*arguments))


def new_launch(kernel: Kernel, arguments: Sequence[int], *alive: Any) -> Launch:
    """The launch of one kernel."""
    return Launch(kernel.name, [[new_call(kernel, arguments)]], *alive)


def shares(size: int, step: int, pieces: int) -> Iterable[tuple[int, int]]:
    """(first, count) of at most so many pieces of ``size`` elements; each begins at a multiple of ``step``."""
    share = -(-size // (pieces * step)) * step
    return [(first, min(share, size - first)) for first in range(0, size, share)]


def cut(launch: Launch, size: int, moving: dict[int, int], width: int, count: int = 1, step: int = 64) -> Launch:
    """The launch of one loop, as several calls where it is large: ``size`` elements of ``width`` bytes in all.

    ``moving``: place in the block -> bytes an element, for what lies further on in a later piece; ``count`` is the
    place of the number of elements. A piece begins at a multiple of ``step``.
    """
    threads = get_num_threads()
    if size * width < LARGE or threads < 2:
        return launch
    ((kernel, whole),) = launch.stages[0]
    calls = []
    for first, length in shares(size, step, threads):
        block = type(whole)(*whole)
        block[count] = length
        for place, stride in moving.items():
            block[place] += first * stride
        calls.append(Call(kernel, block))
    return Launch(launch.name, [calls], *launch.alive)


# ---- arrays ---------------------------------------------------------------------------------------------------


def _documented_address(array: np.ndarray) -> int:
    return array.ctypes.data


def _field_address(array: np.ndarray) -> int:
    # The data pointer is the first field of the array object, behind Python's object header. Reading it costs a tenth
    # of ``array.ctypes.data``, which builds two objects; it is checked below and not used where it disagrees.
    return ctypes.c_size_t.from_address(id(array) + object.__basicsize__).value


_sample = np.arange(6.0).reshape(2, 3)[1:]
address = _field_address if _field_address(_sample) == _sample.ctypes.data else _documented_address


def address_or_0(array: np.ndarray | None) -> int:
    """The address of an array's first element; 0 for None."""
    return 0 if array is None else address(array)


def common_type(*arrays: np.ndarray) -> str | None:
    """The float type that all of these contiguous arrays share, or None."""
    dtype = arrays[0].dtype
    for array in arrays:
        if array.dtype != dtype or not array.flags.c_contiguous:
            return None
    return FLOATS.get(dtype)


def why_not(*arrays: np.ndarray) -> str:
    """Why ``common_type`` found none, in words."""
    types = sorted({str(a.dtype) for a in arrays})
    if len(types) > 1 or types[0] not in FLOATS.values():
        return f"element types {', '.join(types)}"
    return "an array is not contiguous" if not all(a.flags.c_contiguous for a in arrays) else "an array is empty"


def number_addresses(scalars: Sequence[Scalar]) -> tuple[list[int], list[Any]]:
    """Addresses of float64 scalars: a device scalar's own, or that of a box made for a Python number; and the boxes."""
    boxes = [s if isinstance(s, np.ndarray) else ctypes.c_double(s) for s in scalars]
    return [address(b) if isinstance(b, np.ndarray) else ctypes.addressof(b) for b in boxes], boxes
