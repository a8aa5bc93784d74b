"""The gradients of an op with a kernel of its own, on the tape: the op is computed again, of ops that have them.

So the first order stays what the kernel makes it, and all others need no further formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nnkit.tensors.gradients import grad
from nnkit.tensors.results import changes, require_unchanged, result
from nnkit.tensors.tensor import Tensor

#: The outputs that a gradient may come for, from the op's inputs.
Again = Callable[..., Sequence[Tensor]]


class Remade:
    """How an op's outputs follow from its inputs by other ops; made when the op is computed."""

    def __init__(self, name: str, inputs: Sequence[Tensor], again: Again) -> None:
        self.name, self.inputs, self.again = name, tuple(inputs), again
        self.counts = [changes(t) for t in inputs]

    def gradients(self, arriving: Sequence[Tensor | None], wanted: Sequence[bool]) -> list[Tensor | None]:
        """The gradients of the inputs from those of the outputs, None for one that no gradient came for.

        Raises GradientError where an input was changed in place since.
        """
        require_unchanged(self.name, self.inputs, self.counts)
        beside = [_beside(t) for t in self.inputs]
        pairs = [pair for pair in zip(self.again(*beside), arriving, strict=True) if pair[1] is not None]
        moving = [t for t, one in zip(beside, wanted, strict=True) if one]
        seeds = [dy for _, dy in pairs]
        found = iter(grad([y for y, _ in pairs], moving, seeds, create_graph=True, allow_unused=True))
        return [next(found) if one else None for one in wanted]


def _beside(t: Tensor) -> Tensor:
    """The same memory, at a place of the tape right behind t: a way back ends there, whatever t depends on."""
    same = result("same", t.array, t.backend, (t,), lambda dy, into: (dy,), (), lambda dy, asked: (dy,))
    same.version = t.version
    t.version.shown(same, t)
    return same
