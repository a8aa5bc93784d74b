"""A program: the primitives of one step, recorded once and replayed without deciding anything again.

``ProgramRecorder`` notes instructions; ``Program`` replays them as a list of calls. ``KernelProgram`` is for
backends whose instructions are compiled kernels: consecutive ones form a table of (kernel, argument block) that
one compiled loop walks with Python's lock released; an instruction without a kernel is a call back into Python
between two tables.
"""

from __future__ import annotations

import ctypes
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nnkit.backends.pool import Pool
from nnkit.backends.recording import Array, Instruction
from nnkit.kernels.cpu.runner import runner_kernel

HERE = str(Path(__file__).parent)


class ProgramRecorder:
    """Notes what a thread runs; ``finish`` gives the program.

    Fixed after recording: the addresses in argument blocks. So the program keeps the pool, and every array that is
    not of the pool (weights, data, constants), alive as long as itself.
    """

    def __init__(self, program: type[Program]) -> None:
        self.pool = Pool()
        self.instructions: list[Instruction] = []
        self.kept: dict[int, Array] = {}
        self.checks: list[Callable[[], None]] = []
        self.inputs: list[Array] = []
        # What the caller notes about the world the step relies on: leaves it read, modules it called, places of
        # gradients with whether they had to be filled (None: the step did not ask before it set them).
        self.tensors: dict[int, Any] = {}
        self.modules: dict[int, Any] = {}
        self.optimizers: dict[int, Any] = {}
        self.flags: dict[int, tuple[Any, bool | None]] = {}
        self.obstacles: list[str] = []
        self.settled = True
        self.refuse: Callable[[str], Exception] | None = None
        self._program = program

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Memory of the program's own."""
        return self.pool.empty(shape, dtype)

    def note(self, instruction: Instruction, arrays: list[Array]) -> None:
        """Add an instruction. A kernel's instruction keeps only arrays that are not of the pool."""
        self.instructions.append(instruction)
        for array in arrays:
            if isinstance(array, np.ndarray) and not self.pool.owns(array):
                self.kept[id(array)] = array

    def touch(self, *tensors: Any) -> None:
        """Note the leaves that the step reads or writes; values made inside the program are its own affair."""
        for tensor in tensors:
            if tensor.node is None and not (isinstance(tensor.array, np.ndarray) and self.pool.owns(tensor.array)):
                self.tensors[id(tensor)] = tensor

    def obstacle(self, what: str) -> None:
        """Remember what cannot be replayed and where; raises it where the caller wants whole programs only."""
        self.obstacles.append(f"{what} at {_user_line()}")
        if self.refuse is not None:
            raise self.refuse(self.obstacles[-1])

    def unsettled(self) -> None:
        """The step laid out memory anew: what was noted before that does not fit what came after."""
        self.settled = False

    def check(self, array: Array, test: Callable[[], None]) -> None:
        """Keep a test of a program input for every replay; values made inside the program are not tested."""
        if isinstance(array, np.ndarray) and any(np.shares_memory(array, x) for x in self.inputs):
            self.checks.append(test)

    def finish(self) -> Program:
        """The program of what was noted."""
        return self._program(self.instructions, self.pool, list(self.kept.values()), self.checks)


def _user_line() -> str:
    """File and line of the innermost frame outside nnkit."""
    package = str(Path(HERE).parent)
    for frame in reversed(traceback.extract_stack()):
        inside = frame.filename.startswith((HERE, f"{package}/nnkit/", f"{package}/kernels/"))
        if not inside and "importlib" not in frame.filename:
            return f"{frame.filename}:{frame.lineno}"
    return "an unknown line"


class Program:
    """Recorded instructions as a list of calls."""

    def __init__(
        self, instructions: list[Instruction], pool: Pool, kept: list[Array], checks: list[Callable[[], None]]
    ) -> None:
        self.instructions = instructions
        self.pool = pool
        self.checks = checks
        self._kept = kept

    def replay(self, times: int = 1) -> None:
        """Run every instruction in order, ``times`` times over."""
        for _ in range(times):
            for instruction in self.instructions:
                instruction.call()


class KernelProgram(Program):
    """Recorded instructions as tables of kernels."""

    def __init__(
        self, instructions: list[Instruction], pool: Pool, kept: list[Array], checks: list[Callable[[], None]]
    ) -> None:
        super().__init__(instructions, pool, kept, checks)
        self._parts: list[Callable[[int], None]] = []
        rows: list[tuple[int, int]] = []
        for instruction in instructions:
            if instruction.kernel is not None and not instruction.kernel.pieces:
                rows.append((instruction.kernel.kernel.address, ctypes.addressof(instruction.kernel.block)))
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


def _repeated(call: Callable[[], None]) -> Callable[[int], None]:
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

    def __call__(self, times: int) -> None:
        if times == 1:
            self._call(self._address)
            return
        block = self._block(times)  # by name, so that it lives as long as the call
        self._call(ctypes.addressof(block))
