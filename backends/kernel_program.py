"""A program of compiled kernels: the CPU's.

Consecutive instructions that have kernels form a table of (kernel, argument block), which one compiled loop walks with
Python's lock released; an instruction without a kernel is a call back into Python between two tables.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.backends.pool import Pool
from nnkit.backends.program import Program, Step, nothing
from nnkit.backends.recording import Array, Instruction
from nnkit.kernels.cpu.runner import runner_kernel


class KernelProgram(Program):
    """Recorded instructions as tables of kernels."""

    def __init__(
        self, instructions: list[Instruction], pool: Pool, kept: list[Array], checks: list[Callable[[], None]]
    ) -> None:
        super().__init__(instructions, pool, kept, checks)
        self._parts: list[Callable[[int], None]] = []
        rows: list[tuple[int, int]] = []
        for instruction in instructions:
            row = _table_row(instruction)
            if row is not None:
                rows.append(row)
                continue
            self._add_table(rows)
            rows = []
            self._parts.append(_repeated(instruction.call))
        self._add_table(rows)
        self._whole = self._parts[0] if len(self._parts) == 1 else None

    def _add_table(self, rows: list[tuple[int, int]]) -> None:
        if rows:
            self._parts.append(_Table(rows))

    def replay(self, times: int = 1) -> None:
        if self._whole is not None:
            self._whole(times)
            return
        for _ in range(times):
            for part in self._parts:
                part(1)

    def steps(self) -> list[Step]:
        empty = _Table([])
        return [
            Step(instruction.call, nothing) if row is None else Step(_Table([row]).once, empty.once)
            for instruction, row in zip(self.instructions, map(_table_row, self.instructions), strict=True)
        ]


def _table_row(instruction: Instruction) -> tuple[int, int] | None:
    """The addresses of an instruction's kernel and argument block; None where it is more than one kernel, or none."""
    launch = instruction.kernel
    if launch is None or launch.pieces:
        return None
    return launch.kernel.address, ctypes.addressof(launch.block)


def _repeated(call: Callable[[], object]) -> Callable[[int], None]:
    def run(times: int) -> None:
        for _ in range(times):
            call()

    return run


class _Table:
    """Kernels to run one after the other, by one call that releases Python's lock."""

    def __init__(self, rows: list[tuple[int, int]]) -> None:
        self._rows = np.array(rows, np.int64)
        self._call = runner_kernel().call
        self._once = self._block(1)
        self._address = ctypes.addressof(self._once)

    def _block(self, times: int) -> Any:
        return (ctypes.c_int64 * 3)(self._rows.ctypes.data, len(self._rows), times)

    def once(self) -> None:
        """Run the kernels once."""
        self._call(self._address)

    def __call__(self, times: int) -> None:
        if times == 1:
            self._call(self._address)
            return
        block = self._block(times)  # by name, so that it lives as long as the call
        self._call(ctypes.addressof(block))
