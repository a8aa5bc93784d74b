"""Optimizers whose step begins with an exchange."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnkit.optim import Optimizer
from nnkit.optim.arena import filled_runs
from nnkit.tensors.creation import full
from nnkit.tensors.tape import enable_grad, no_grad

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
        if self.mpi.size > 1:  # type: ignore[attr-defined]
            _average(optimizer, self.mpi, samples)  # type: ignore[attr-defined]
        super().step()  # type: ignore[misc]
        return loss


def _average(optimizer: Any, mpi: MPI, samples: int | None) -> None:
    optimizer.prepare()
    runs = list(filled_runs(optimizer.arena.parameters))
    with no_grad():
        for block in optimizer.arena.blocks():
            weight = 1.0 if samples is None else float(samples)
            total = full((1,), weight, dtype=str(block.dtype), device=block.backend.device)
            if samples is None:
                total = total * float(mpi.size)
            else:
                mpi.add_up(block.backend, total.array)
            factor = (weight / total).array
            for run in runs:
                if run.block is block:
                    part = block.gradients[run.start : run.stop]
                    block.backend.map("mul", (part, block.backend.broadcast_to(factor, part.shape)), (part,))
    mpi.exchange(optimizer)


def exchanging(optimizer: Optimizer, mpi: MPI) -> Optimizer:
    """An optimizer of a subclass that shares everything with ``optimizer``."""
    if isinstance(optimizer, Exchanging):
        raise ValueError("this optimizer exchanges its gradients already; give the one that it was made of")
    name = type(optimizer).__name__
    made: Any = object.__new__(type(name, (Exchanging, type(optimizer)), {"mpi": mpi}))
    made.__dict__ = optimizer.__dict__
    return made
