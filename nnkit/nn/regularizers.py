"""Penalties on the size of weights, added to the loss while training.

They pull weights towards 0: L2 shrinks large weights most (ridge, Hoerl and Kennard 1970), L1 makes small
ones exactly 0 (lasso, Tibshirani 1996). A module keeps them in ``regularizers``, and ``Module.penalty`` sums
them. Any function of a Tensor that returns a scalar is a regularizer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnkit import ops
from nnkit.recording.state import Watched, changed
from nnkit.tensors.tensor import Tensor

__all__ = ["L1L2", "Regularizers"]


class Regularizers(dict[str, Callable[[Tensor], Tensor]]):
    """Name of a parameter -> its penalty or constraint. A change of it is a change to every step recorded with it."""


def _telling(name: str) -> Callable[..., Any]:
    method = getattr(dict, name)

    def call(self: Regularizers, *args: Any, **options: Any) -> Any:
        result = method(self, *args, **options)
        changed()
        return result

    call.__name__ = name
    return call


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(Regularizers, _name, _telling(_name))


class L1L2(Watched):
    """``l1 * sum(|w|) + l2 * sum(w**2)``, a scalar: Keras's definition (no factor 1/2).

    Raises ValueError for a weight below 0.

    >>> import nnkit
    >>> L1L2(l1=0.5, l2=0.25)(nnkit.tensor([1.0, -2.0])).item()
    2.75
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        for name, value in (("l1", l1), ("l2", l2)):
            if not 0.0 <= value < float("inf"):
                raise ValueError(f"{name} must be a number >= 0, got {value!r}")
        self.l1 = float(l1)
        self.l2 = float(l2)

    def __call__(self, weight: Tensor) -> Tensor:
        terms = []
        if self.l1:
            terms.append(ops.sum(ops.abs(weight)) * self.l1)
        if self.l2 or not terms:
            terms.append(ops.sum(ops.square(weight)) * self.l2)
        return terms[0] if len(terms) == 1 else terms[0] + terms[1]

    def __repr__(self) -> str:
        return f"L1L2(l1={self.l1}, l2={self.l2})"
