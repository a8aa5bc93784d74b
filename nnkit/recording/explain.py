"""``explain``: what a recorded step consists of, and how long each part of it takes.

A line stands for one instruction: a compiled kernel, or the reason why it is a call back into Python. The times are
those of replays; everything that these write is set back to what it was.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from nnkit.backends.pool import storage
from nnkit.backends.program import Program
from nnkit.backends.recording import Instruction
from nnkit.errors import GraphError
from nnkit.recording.compiled import Compiled, Recorded

__all__ = ["Explanation", "Row", "explain"]

CALLS = 5  # until the step must have been recorded
SECONDS = 0.2  # for measuring
MOST_ROUNDS = 200
WIDTH = 56  # of the column of kernels


class Row(NamedTuple):
    """One instruction; ``kernel`` is the kernel's name, or "Python: " and the reason; bytes are those of its arrays."""

    number: int
    instruction: str
    kernel: str
    shapes: tuple[tuple[int, ...], ...]
    nbytes: int
    microseconds: float


class Explanation:
    """The instructions of a recorded step as ``rows``, and as a table when printed.

    ``microseconds`` is the time of a whole replay, ``pool_bytes`` what the program's own memory holds, ``in_python``
    the number of instructions without a kernel. ``reason`` says why there is no program, with file and line; else
    it is None.
    """

    def __init__(self, name: str, reason: str | None = None) -> None:
        self.name = name
        self.reason = reason
        self.rows: list[Row] = []
        self.microseconds = 0.0
        self.pool_bytes = 0

    @property
    def in_python(self) -> int:
        """How many instructions are calls back into Python."""
        return sum(row.kernel.startswith("Python") for row in self.rows)

    def __str__(self) -> str:
        if self.reason is not None:
            return self.reason
        heads = ("", "instruction", "kernel", "shapes", "bytes", "µs")
        table = [heads, *(_cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        align = (str.rjust, str.ljust, str.ljust, str.ljust, str.rjust, str.rjust)
        lines = [
            "  ".join(put(cell, width) for put, cell, width in zip(align, line, widths, strict=True)) for line in table
        ]
        return "\n".join([*map(str.rstrip, lines), self._summary()])

    def _summary(self) -> str:
        return (
            f"{self.name}: {len(self.rows)} instructions, {self.in_python} of them in Python; "
            f"{self.microseconds:.1f} µs a replay; {self.pool_bytes} bytes of its own memory"
        )


def explain(step: Callable[..., Any], *args: Any, **options: Any) -> Explanation:
    """Print the program of ``step(*args, **options)`` as a table, and return it.

    ``step`` is a compiled function, or any function, which is compiled for this. It is called with the arguments until
    it has been recorded, which is up to five times and has all its effects; measuring has none. Where the step cannot
    be replayed, the text says why, with file and line. Raises TypeError for what cannot be called. Source: nnkit's own.

    >>> import nnkit
    >>> explanation = explain(lambda x: (x * 2.0).sum(), nnkit.ones(3))  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    instruction kernel ...
    >>> [row.instruction for row in explanation.rows]
    ['map', 'reduce']
    """
    step = getattr(step, "_calls", step)  # of a compiled module
    compiled = step if isinstance(step, Compiled) else Compiled(step)
    found = _recorded(compiled, args, options)
    if isinstance(found, Recorded):
        explanation = Explanation(compiled.name)
        with compiled.lock:
            _measure(found.program, explanation)
    else:
        explanation = Explanation(compiled.name, f"{compiled.name} cannot be replayed: {found}")
    print(explanation)
    return explanation


def _recorded(compiled: Compiled, args: Any, options: Any) -> Recorded | str:
    """The step's program, after as many calls as it takes; or why it has none."""
    found = compiled.find(*args, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reason is given below
        for _ in range(CALLS):
            if found is not None:
                break
            try:
                compiled(*args, **options)
            except GraphError as error:
                return str(error).partition("cannot be replayed: ")[2] or str(error)
            found = compiled.find(*args, **options)
    return compiled.restless if found is None else found


def _measure(program: Program, explanation: Explanation) -> None:
    steps = program.steps()
    rounds: list[list[int]] = []
    whole: list[int] = []

    def replay() -> None:
        program.replay()
        program.synchronize()

    with _unchanged(program) as restore:
        end = time.perf_counter() + SECONDS
        while len(rounds) < MOST_ROUNDS and (len(rounds) < 3 or time.perf_counter() < end):
            rounds.append([max(_nanoseconds(step.run) - _nanoseconds(step.idle), 0) for step in steps])
            restore()
            whole.append(_nanoseconds(replay))
            restore()
    times = [_median(column) / 1000 for column in zip(*rounds, strict=True)]
    explanation.rows = [_row(n, i, t) for n, (i, t) in enumerate(zip(program.instructions, times, strict=True))]
    explanation.microseconds = _median(whole) / 1000
    explanation.pool_bytes = program.pool.peak


def _median(numbers: Sequence[int]) -> int:
    return sorted(numbers)[len(numbers) // 2]


def _nanoseconds(call: Callable[[], object]) -> int:
    start = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - start


@contextmanager
def _unchanged(program: Program) -> Iterator[Callable[[], None]]:
    """Give a function that sets everything the program can write back to what it was, and call it at the end."""
    views = [storage(array) for array in [*program.kept, *program.pool.contents()]]
    saved = [(view, view.copy()) for view in views if view is not None]

    def restore() -> None:
        for view, values in saved:
            view[...] = values

    try:
        yield restore
    finally:
        restore()


def _row(number: int, instruction: Instruction, microseconds: float) -> Row:
    kernel = instruction.note if instruction.kernel is not None else f"Python: {instruction.note}"
    return Row(number, instruction.name, kernel, instruction.shapes, instruction.nbytes, microseconds)


def _cells(row: Row) -> tuple[str, ...]:
    shapes = " ".join("x".join(map(str, shape)) or "()" for shape in row.shapes)
    kernel = row.kernel if len(row.kernel) <= WIDTH else row.kernel[: WIDTH - 1] + "…"
    return str(row.number), row.instruction, kernel, shapes, str(row.nbytes), f"{row.microseconds:.2f}"
