"""A program of compiled kernels: the CPU's.

Consecutive instructions that have kernels form one table; an instruction without a kernel is a call back into Python
between two tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nnkit.backends.cpu.copies import Copies
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
        self._parts: list[Table | _Call] = []
        stages: list[list[Addresses]] = []
        for instruction in instructions:
            if instruction.kernel is not None:
                stages += instruction.kernel.addresses()
                continue
            self._add_table(stages)
            stages = []
            self._parts.append(_Call(instruction.call))
        self._add_table(stages)
        self._whole = self._parts[0] if len(self._parts) == 1 else None

    def _add_table(self, stages: list[list[Addresses]]) -> None:
        if stages:
            self._parts.append(Table(stages))

    def replay(self, times: int = 1) -> None:
        if self._whole is not None:
            self._whole.run(times)
            return
        for _ in range(times):
            for part in self._parts:
                part.run()

    def once(self) -> Callable[[], object]:
        return self.replay if self._whole is None else self._whole.once()

    def copies(
        self, own: Sequence[Array], others: Sequence[Sequence[Array]], numbers: Mapping[float, Sequence[float]]
    ) -> Copies:
        return Copies(self.instructions, self.pool, self.kept, own, others, numbers)

    def steps(self) -> list[Step]:
        return [_step(instruction) for instruction in self.instructions]


def _step(instruction: Instruction) -> Step:
    if instruction.kernel is None:
        return Step(instruction.call, nothing)
    return Step(Table(instruction.kernel.addresses()).run, Table([]).run)


class _Call:
    """An instruction without a kernel, between two tables."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call

    def once(self) -> Callable[[], object]:
        return self._call

    def run(self, times: int = 1) -> None:
        for _ in range(times):
            self._call()
