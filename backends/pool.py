"""A program's own memory: blocks that a later instruction of the same program may use again, and nothing else may.

While a step is recorded, an array that Python drops gives its block back, and the next instruction that needs
memory takes it. A replay runs the instructions in the same order, so no two live values ever share a block.
Everything here is about addresses: ``shadow`` gives those of a device's array too, which the host may not read.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register
LARGE = 1 << 14  # bytes
WASTE = 8  # a free block is cut for an array that needs at least this part of it

Array = Any
Block = tuple[int, int]  # size, address


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Like ``np.empty``, but a large array starts at a cache line: loops over it are a few per cent faster."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


class Lease:
    """What an array of the pool stands on; when the array and its views are gone, the block is free again."""

    __slots__ = ("__weakref__", "pool")

    def __init__(self, pool: Pool, block: Block) -> None:
        self.pool = pool
        pool.let(self, block)


class _Let(weakref.ref[Lease]):
    """The lease of a block, seen from the pool."""

    __slots__ = ("block",)
    block: Block


class _HostLease(Lease):
    """A lease that numpy makes an array of."""

    __slots__ = ("__array_interface__",)

    def __init__(self, pool: Pool, block: Block, shape: tuple[int, ...], dtype: np.dtype) -> None:
        super().__init__(pool, block)
        self.__array_interface__ = {"shape": shape, "typestr": dtype.str, "data": (block[1], False), "version": 3}


class Pool:
    """Memory for numpy arrays; ``peak`` is what it holds, in bytes. Another kind of memory is a subclass."""

    kind: type = np.ndarray  # of the arrays that it gives
    alignment = ALIGNMENT

    def __init__(self) -> None:
        self.free: list[Block] = []
        self._let: dict[int, _Let] = {}
        self._ended: list[_Let] = []
        self.peak = 0
        self._memory: list[Array] = []
        self._ranges: list[tuple[int, int]] = []
        self._starts: set[int] = set()  # of the ranges: blocks do not grow across them

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array over the smallest free block that fits, or its start; where none does, over a new one."""
        dtype = np.dtype(dtype)
        self._take_back()
        need = max(-(-math.prod(shape) * dtype.itemsize // self.alignment) * self.alignment, self.alignment)
        return self._leased(self._taken(need) or self._merged(need) or self._grow(need), shape, dtype)

    def let(self, lease: Lease, block: Block) -> None:
        """Take the block back when the lease is gone."""
        # Not by a method of the lease's: in Python code that runs when an object goes, Ctrl-C would be lost.
        seen = _Let(lease, self._ended.append)
        seen.block = block
        self._let[id(seen)] = seen

    def _take_back(self) -> None:
        ended, count = self._ended, len(self._ended)
        self.free += [self._let.pop(id(seen)).block for seen in ended[:count]]
        del ended[:count]

    def _taken(self, need: int) -> Block | None:
        """A free block cut to size; a very large one is left whole, for whatever needs it next time."""
        fitting = [block for block in self.free if need <= block[0] <= WASTE * need]
        if not fitting:
            return None
        size, address = min(fitting)
        self.free.remove((size, address))
        if size > need:
            self.free.append((size - need, address + need))
        return need, address

    def _merged(self, need: int) -> Block | None:
        """The same, after neighbouring free blocks have become one."""
        blocks = sorted((address, size) for size, address in self.free)
        self.free.clear()
        for address, size in blocks:
            if self.free and sum(self.free[-1]) == address and address not in self._starts:
                self.free[-1] = self.free[-1][0] + size, self.free[-1][1]
            else:
                self.free.append((size, address))
        return self._taken(need)

    def _grow(self, size: int) -> Block:
        memory = self._allocate(size)
        address = -(-_address(shadow(memory)) // self.alignment) * self.alignment
        self._keep(memory, address, size)
        return size, address

    def _keep(self, memory: Array, address: int, size: int) -> None:
        self._memory.append(memory)
        self._ranges.append((address, address + size))
        self._starts.add(address)
        self.peak += size

    # ---- what another kind of memory does otherwise ----------------------------------------------------------

    def _allocate(self, size: int) -> Array:
        """Bytes that contain ``size`` of them from a multiple of ``alignment`` on."""
        return np.empty(size + self.alignment, np.uint8)

    def _leased(self, block: Block, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """A contiguous array at the start of a block, with a lease of it."""
        return np.asarray(_HostLease(self, block, shape, dtype))

    def _bare(self, array: Array, memory: Array, offset: int) -> Array:
        """The same array on nothing but the pool's memory, from whose start it is ``offset`` bytes away."""
        return np.ndarray(array.shape, array.dtype, memory, offset, array.strides)

    # ---- which array lies where ------------------------------------------------------------------------------

    def adopt(self, array: Array) -> None:
        """Count an array that was made elsewhere as the pool's; it is never reused."""
        view = shadow(array)
        if view is not None:
            self._keep(array, _address(view), max(view.nbytes, 1))

    def owns(self, array: Array) -> bool:
        """Whether an array lies in this pool."""
        return self._place(array) is not None

    def _place(self, array: Array) -> int | None:
        view = shadow(array)
        if view is None:
            return None
        address = _address(view)
        return next((i for i, (start, end) in enumerate(self._ranges) if start <= address < end), None)

    def unleased(self, array: Array) -> Array:
        """An array of the pool without a lease: its block may be used again while this exists. Others as they are."""
        place = self._place(array) if isinstance(array, self.kind) else None
        if place is None:
            return array
        memory = self._memory[place]
        return self._bare(array, memory, _address(shadow(array)) - _address(shadow(memory)))

    def pieces(self) -> list[np.ndarray]:
        """The bytes that it gives blocks of, piece by piece; of the host's memory."""
        return [
            np.ndarray(end - start, np.uint8, memory, start - _address(memory))
            for memory, (start, end) in zip(self._memory, self._ranges, strict=True)
        ]

    def contents(self) -> list[Array]:
        """The pool's memory, piece by piece."""
        return [memory for memory in self._memory if isinstance(memory, self.kind)]


class _Place:
    """An address and a layout, for numpy to make an array of."""

    __slots__ = ("__array_interface__",)

    def __init__(self, address: int, array: Array) -> None:
        self.__array_interface__ = {
            "shape": array.shape,
            "strides": array.strides,
            "typestr": f"|V{array.itemsize}",
            "data": (address, False),
            "version": 3,
        }


def is_on_device(array: Any) -> bool:
    """Whether this is an array in the memory of a GPU."""
    return hasattr(type(array), "__cuda_array_interface__") and hasattr(array.data, "ptr")  # PyTorch's have the first


def shadow(array: Any) -> Any:
    """A numpy array with the address, the shape and the strides of any array; None for what is no array.

    Only for questions about addresses: of an array in a device's memory, no element may be looked at.
    """
    if isinstance(array, np.ndarray):
        return array
    return np.asarray(_Place(array.data.ptr, array)) if is_on_device(array) else host_view(array)


def host_view(array: Any) -> np.ndarray | None:
    """The memory of an array of any namespace as a numpy array; None where it is not in the host's memory."""
    if isinstance(array, np.ndarray):
        return array
    try:
        return np.asarray(array) if hasattr(array, "shape") else None
    except TypeError:
        return None


def storage(array: Any) -> Any:
    """An array as one that can be saved and set back, of numpy or cupy; None for one that is never written."""
    view = array if is_on_device(array) else host_view(array)
    return view if view is not None and getattr(view.flags, "writeable", True) else None


def overlap(x: Any, y: Any) -> bool:
    """Whether two arrays have memory in common; True where that is hard to tell."""
    first, second = shadow(x), shadow(y)
    if first is None or second is None:
        return x is y
    try:
        return np.shares_memory(first, second, max_work=1000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])
