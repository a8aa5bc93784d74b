"""A program of compiled kernels: the CPU's.

Consecutive instructions that have kernels form one table; an instruction without a kernel is a call back into Python
between two tables.
"""

from __future__ import annotations

from collections.abc import Callable

from nnkit.backends.cpu.table import Addresses, Table
from nnkit.backends.pool import Pool
from nnkit.backends.program import Program, Step, nothing
from nnkit.backends.recording import Array, Instruction


class KernelProgram(Program):
    """Recorded instructions as tables of kernels."""

    def __init__(
        self, instructions: list[Instruction], pool: Pool, kept: list[Array], checks: list[Callable[[], None]]
    ) -> None:
        super().__init__(instructions, pool, kept, checks)
        self._parts: list[Callable[[int], None]] = []
        stages: list[list[Addresses]] = []
        for instruction in instructions:
            if instruction.kernel is not None:
                stages += instruction.kernel.addresses()
                continue
            self._add_table(stages)
            stages = []
            self._parts.append(_repeated(instruction.call))
        self._add_table(stages)
        self._whole = self._parts[0] if len(self._parts) == 1 else None

    def _add_table(self, stages: list[list[Addresses]]) -> None:
        if stages:
            self._parts.append(Table(stages).run)

    def replay(self, times: int = 1) -> None:
        if self._whole is not None:
            self._whole(times)
            return
        for _ in range(times):
            for part in self._parts:
                part(1)

    def steps(self) -> list[Step]:
        return [_step(instruction) for instruction in self.instructions]


def _step(instruction: Instruction) -> Step:
    if instruction.kernel is None:
        return Step(instruction.call, nothing)
    return Step(Table(instruction.kernel.addresses()).run, Table([]).run)


def _repeated(call: Callable[[], object]) -> Callable[[int], None]:
    def run(times: int) -> None:
        for _ in range(times):
            call()

    return run
