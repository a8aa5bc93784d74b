"""A program of kernels, run over the memory of others that are alike: many small networks by what one was recorded on.

The kernels' argument blocks are 64-bit numbers, of which some are addresses. A copy of the program has blocks of its
own, in which the addresses of what it is to work on are those of another's memory, and a pool of its own. So every copy
makes the calls of the program, in its order: it computes what the program would compute there, to the bit. A copy is
one call to whoever runs it: each thread takes whole copies, and runs as many steps of one as are asked for, while its
memory lies in the processor's nearest cache.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nnkit.backends.cpu.launch import Launch
from nnkit.backends.cpu.table import Table
from nnkit.backends.pool import ALIGNMENT, Pool
from nnkit.backends.recording import CannotCopy, Instruction
from nnkit.kernels.cpu import compiler
from nnkit.kernels.cpu.runner import runner_kernel

#: Numbers from here on may be addresses. Where memory lies below, an address could not be told from a size.
LOW, HIGH = 1 << 32, 1 << 48
#: Bytes between the memories of two copies, so that they do not meet in the same sets of a cache.
APART = 5 * ALIGNMENT


class Copies:
    """Copies of a program for ``others``: arrays for each copy, laid out as ``own``, which the program works on.

    ``numbers``: a Python number that the program was recorded with -> what stands in its place in each copy.
    Raises CannotCopy where the program calls Python, or an address is of memory that nobody named.
    """

    def __init__(
        self, instructions: Sequence[Instruction], pool: Pool, fixed: Sequence[Any], own: Sequence[Any],
        others: Sequence[Sequence[Any]], numbers: Mapping[float, Sequence[float]],
    ) -> None:  # fmt: skip
        for instruction in instructions:
            if instruction.kernel is None:
                raise CannotCopy(f"{instruction.name} runs in Python: {instruction.note}")
        launches = [instruction.kernel for instruction in instructions]
        found = _Found(launches)
        self._count = len(others)
        self._alive = [launches, list(others), pool, list(fixed)]
        moved = _Moves(self._count)
        for place, array in enumerate(own):
            moved.add(array, [other[place] for other in others])
        self._add_memory(moved, pool.pieces())
        self._add_memory(moved, [array for array in found.arrays if not moved.has(array)])
        boxes = self._add_numbers(moved, found.boxes, numbers)
        self._blocks, at = self._add_blocks(moved, found.blocks)
        stays = [*((a.ctypes.data, a.nbytes) for a in fixed if isinstance(a, np.ndarray)), *boxes]
        # A call in a block: any kernel of this process, which no launch need name.
        stays += [(kernel.address, 1) for kernel in compiler._loader().kernels.values()]
        self._blocks += moved.steps(self._blocks[0], stays)
        tables = [array for array in found.arrays if array.dtype == np.int64]
        if any(moved.steps(table.reshape(-1), stays).any() for table in tables):
            raise CannotCopy("an array, which copies have as it is, leads to memory of the program's")
        self._tables(launches, at)

    # ---- memory of their own ------------------------------------------------------------------------------

    def _add_memory(self, moved: _Moves, arrays: Sequence[np.ndarray]) -> None:
        """Each copy has memory like these arrays, which begin as they are."""
        starts, size = [], 0
        for array in arrays:
            size += -(-size // ALIGNMENT) * ALIGNMENT - size + array.ctypes.data % ALIGNMENT
            starts.append(size)
            size += array.nbytes
        size = -(-size // ALIGNMENT) * ALIGNMENT + APART
        memory = np.empty(self._count * size + ALIGNMENT, np.uint8)
        first = -memory.ctypes.data % ALIGNMENT
        self._alive.append(memory)
        for array, start in zip(arrays, starts, strict=True):
            places = [memory[first + k * size + start :][: array.nbytes] for k in range(self._count)]
            flat = np.ndarray(array.nbytes, np.uint8, array)
            for place in places:
                place[...] = flat
            moved.add(array, places)

    def _add_numbers(
        self, moved: _Moves, boxes: Sequence[ctypes.c_double], numbers: Mapping[float, Sequence[float]]
    ) -> list[tuple[int, int]]:
        """Boxes of numbers: those that are another in each copy, and the addresses of those that are not."""
        missing = numbers.keys() - {box.value for box in boxes}
        if missing:
            raise CannotCopy(f"the number {min(missing)} is not one that a kernel reads")
        stay = []
        for box in boxes:
            if box.value in numbers:
                values = np.array(numbers[box.value], np.float64)
                moved.add(np.ctypeslib.as_array(ctypes.pointer(box), (1,)), list(values[:, None]))
                self._alive.append(values)
            else:
                stay.append((ctypes.addressof(box), 8))
        return stay

    def _add_blocks(self, moved: _Moves, blocks: Sequence[Any]) -> tuple[np.ndarray, dict[int, int]]:
        """The argument blocks of every copy, as yet all the same, and where each begins in them, by its address."""
        starts = np.cumsum([0, *(len(block) for block in blocks)])
        words = np.empty((self._count, starts[-1]), np.int64)
        for block, start in zip(blocks, starts, strict=False):
            words[:, start : start + len(block)] = np.frombuffer(block, np.int64)
            moved.add(np.frombuffer(block, np.int64), [row[start : start + len(block)] for row in words])
        return words, {ctypes.addressof(b): int(s) for b, s in zip(blocks, starts, strict=False)}

    # ---- running ------------------------------------------------------------------------------------------

    def _tables(self, launches: Sequence[Launch], at: Mapping[int, int]) -> None:
        stages = [stage for launch in launches for stage in launch.addresses()]
        counts = [len(stage) for stage in stages]
        firsts = np.cumsum([0, *counts])[:-1]
        self._stages = np.ascontiguousarray(np.stack([firsts, counts], axis=1), np.int64)
        calls = [call for stage in stages for call in stage]
        self._calls = np.empty((self._count, len(calls), 2), np.int64)
        self._calls[:, :, 0] = [kernel for kernel, _ in calls]
        begin = self._blocks.ctypes.data + self._blocks.strides[0] * np.arange(self._count)[:, None]
        self._calls[:, :, 1] = begin + 8 * np.array([at[block] for _, block in calls])
        self._runs = np.zeros((self._count, 8), np.int64)
        self._runs[:, 0], self._runs[:, 2] = self._stages.ctypes.data, len(stages)
        self._runs[:, 1] = self._calls.ctypes.data + self._calls.strides[0] * np.arange(self._count)
        self._table: tuple[tuple[int, ...], Table] | None = None

    def run(self, which: Sequence[int], times: int = 1) -> None:
        """Run the copies with these numbers, each ``times`` times over; the threads share them."""
        chosen = tuple(which)
        if not chosen:
            return
        self._runs[:, 3] = times
        if self._table is None or self._table[0] != chosen:
            address, begin, width = runner_kernel().address, self._runs.ctypes.data, self._runs.strides[0]
            self._table = chosen, Table([[(address, begin + width * k) for k in chosen]])
        self._table[1].run()


class _Found:
    """What launches point to: argument blocks, boxes of numbers, and memory that they keep between runs."""

    def __init__(self, launches: Sequence[Launch]) -> None:
        self.blocks: list[Any] = []
        self.boxes: list[ctypes.c_double] = []
        self.arrays: list[np.ndarray] = []
        seen: set[int] = set()
        for thing in _things(launches):
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            if isinstance(thing, ctypes.c_double):
                self.boxes.append(thing)
            elif isinstance(thing, np.ndarray):
                self.arrays.append(thing)
            elif isinstance(thing, ctypes.Array) and thing._type_ is ctypes.c_int64:
                self.blocks.append(thing)


def _things(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, Launch):
            yield from _things(value.stages)
            yield from _things(value.alive)
        elif isinstance(value, (list, tuple)):
            yield from _things(value)
        else:
            yield value


class _Moves:
    """Ranges of memory, and by how much they lie elsewhere for each copy."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._ranges: dict[int, tuple[int, list[int]]] = {}

    def add(self, array: np.ndarray, others: Sequence[np.ndarray]) -> None:
        """What lies in ``array`` is in these arrays for the copies."""
        at = array.ctypes.data
        alike = all(other.nbytes == array.nbytes for other in others)
        if at < LOW or not array.flags.c_contiguous or not alike or len(others) != self._count:
            raise CannotCopy("memory lies where its addresses cannot be told from sizes, or is not laid out alike")
        if array.nbytes:
            self._ranges[at] = array.nbytes, [other.ctypes.data - at for other in others]

    def has(self, array: np.ndarray) -> bool:
        """Whether an array lies in one of the ranges."""
        at = array.ctypes.data
        return any(start <= at < start + size for start, (size, _) in self._ranges.items())

    def steps(self, words: np.ndarray, stays: Sequence[tuple[int, int]]) -> np.ndarray:
        """By how much each word changes in each copy: not at all where it is no address, or of what ``stays``."""
        starts = np.array(sorted(self._ranges), np.int64)
        ends = np.array([start + self._ranges[start][0] for start in starts.tolist()], np.int64)
        if (starts[1:] < ends[:-1]).any():
            raise CannotCopy("two parts of its memory overlap")
        moves = np.array([self._ranges[start][1] for start in starts.tolist()], np.int64)
        place = np.searchsorted(starts, words, side="right") - 1
        inside = (place >= 0) & (words < ends[place])
        for word in words[~inside & (words >= LOW) & (words < HIGH)].tolist():
            if not any(start <= word < start + max(size, 1) for start, size in stays):
                raise CannotCopy("it uses memory of its own that is not a parameter, a buffer or the optimizer's")
        return np.where(inside, moves[place].T, 0)
