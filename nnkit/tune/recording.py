"""A pass over data as programs: one for whole batches, one for what is left at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnkit import ops
from nnkit.backends.base import Array
from nnkit.backends.pool import overlap
from nnkit.backends.program import Program
from nnkit.backends.recording import CannotCopy, recording
from nnkit.recording.observer.frames import observing
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor
from nnkit.training.batches import ArraySource, Batch
from nnkit.training.several import each

__all__ = ["programs_of"]

#: How often a step is recorded that leaves something otherwise than it found it.
ATTEMPTS = 3


def programs_of(
    step: Callable[[Batch], None], source: ArraySource, order: Tensor, cursor: Tensor, memory: Sequence[Array]
) -> dict[int, Program]:
    """Rows of a batch -> the program of ``step`` over so many from where ``cursor`` stands in ``order``.

    ``memory`` is all that it may write. Raises CannotCopy where the step cannot be replayed, or writes anything else.
    """

    def one(rows: int) -> None:
        take: Callable[[Tensor], Tensor] = lambda x: ops.take_batch(x, order, cursor, rows)  # noqa: E731
        data = source.data
        weight = None if data.weight is None else each(data.weight, take)
        step(Batch(each(data.x, take), each(data.y, take), weight))
        with no_grad():
            cursor.add_(rows)

    size, rest = source.batch_size, source.rows % source.batch_size
    found: dict[int, Program] = {}
    cursor.backend.fill(0.0, cursor.array)
    one(size)  # what is made once is made here
    for rows in [size, rest] if rest else [size]:
        cursor.backend.fill(0.0, cursor.array)
        found[rows] = _recorded(one, rows, cursor, memory)
    return found


def _recorded(one: Callable[[int], None], rows: int, cursor: Tensor, memory: Sequence[Array]) -> Program:
    reason: Any = None
    for _ in range(ATTEMPTS):
        work = cursor.backend.recorder()
        with recording(work), cursor.backend.batch_of(rows), observing(work) as observer:
            one(rows)
        cursor.backend.fill(0.0, cursor.array)
        if work.obstacles:
            raise CannotCopy(work.obstacles[0])
        if any(not any(overlap(array, own) for own in memory) for array in work.outside()):
            raise CannotCopy("it changes memory that is no parameter, buffer or state of the optimizer")
        reason = observer.lasting() or work.restless()
        if reason is None:
            program = work.finish()
            if program.checks:
                raise CannotCopy("it looks at values on the host")
            return program
    raise CannotCopy(reason)
