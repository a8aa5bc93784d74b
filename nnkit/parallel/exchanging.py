"""Optimizers whose step begins with an exchange."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnkit.optim import Optimizer
from nnkit.tensors.tape import enable_grad

if TYPE_CHECKING:
    from nnkit.parallel.mpi import MPI

__all__ = ["Exchanging", "exchanging"]


class Exchanging:
    """What a class of optimizers gets besides: ``step`` after the mean of the gradients over all processes."""

    def step(self, closure: Callable[[], Any] | None = None, *, samples: int | None = None) -> Any:
        """See ``MPI.optimizer``."""
        optimizer: Any = self
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        optimizer.mpi.mean(optimizer, samples)
        with optimizer.mpi.divided(optimizer):
            super().step()  # type: ignore[misc]
        return loss


def exchanging(optimizer: Optimizer, mpi: MPI) -> Optimizer:
    """An optimizer of a subclass that shares everything with ``optimizer``."""
    if isinstance(optimizer, Exchanging):
        raise ValueError("this optimizer exchanges its gradients already; give the one that it was made of")
    name = type(optimizer).__name__
    made: Any = object.__new__(type(name, (Exchanging, type(optimizer)), {"mpi": mpi}))
    made.__dict__ = optimizer.__dict__
    return made
