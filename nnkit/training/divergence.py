"""What to say when the loss turns NaN or infinite: when, at which learning rate, and where it began."""

from __future__ import annotations

from typing import Any

from nnkit.nn.module import Module
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor
from nnkit.training.batches import Batch
from nnkit.training.objective import Objective
from nnkit.training.weights import WeightSnapshot, first_not_finite, is_finite

__all__ = ["broken_gradient", "broken_loss", "broken_weights"]


ADVICE = (
    "The last finite weights were put back, the optimizer's state was not: make a new one. "
    "Lower the learning rate, clip gradients (clip_norm=1.0), or scale the data"
)


def broken_loss(objective: Objective, snapshot: WeightSnapshot, batch: Batch, when: str, rate: float) -> str:
    """The message where a loss is not finite; afterwards the model has the weights of ``snapshot``.

    The batch runs through the model twice: with the last finite weights (does the model break on it?), then
    with the weights as they were found (did the updates break them?).
    """
    model = objective.model
    found = WeightSnapshot(model)
    snapshot.restore()
    cause, loss_is_finite = _first_bad_module(objective, batch)
    if cause is not None:
        cause += ", already with the last finite weights"
    elif loss_is_finite:
        found.restore()
        parameter = first_not_finite(model)
        cause, _ = _first_bad_module(objective, batch)
        if cause is not None and parameter is not None:
            cause += f", after an update made {parameter!r} NaN or infinite"
    snapshot.restore()
    cause = cause or "every module's output is finite, so the loss itself overflowed or divided by zero"
    return f"the loss turned NaN or infinite at {when} (learning rate {rate:g}): {cause}. {ADVICE}"


def broken_weights(parameter: str, when: str, rate: float) -> str:
    """The message where the loss is still finite, but the weights are not."""
    return (
        f"parameter {parameter!r} is NaN or infinite after {when} (learning rate {rate:g}), although the loss was "
        f"finite: its gradient was not. {ADVICE}"
    )


def broken_gradient(parameter: str, when: str, rate: float) -> str:
    """The message where every loss was finite, and the gradient of some rows was not."""
    return (
        f"the gradient of {parameter!r} by the rows of this rank is NaN or infinite at {when} "
        f"(learning rate {rate:g}), although their loss is finite. {ADVICE}"
    )


def _first_bad_module(objective: Objective, batch: Batch) -> tuple[str | None, bool]:
    """The first module, in the order in which they finish, whose output is not finite; and whether the loss is."""
    model = objective.model
    bad: list[Module] = []

    def look(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not bad and isinstance(output, Tensor) and not is_finite(output):
            bad.append(module)

    handles = [module.register_forward_hook(look) for module in model.modules()]
    try:
        with no_grad():
            loss = objective(model(batch.x), batch).value
    finally:
        for handle in handles:
            handle.remove()
    if not bad:
        return None, is_finite(loss)
    name = next((name for name, module in model.named_modules() if module is bad[0]), "")
    place = f" {name!r}" if name else ""
    return f"the first module whose output went bad is{place} ({type(bad[0]).__name__})", is_finite(loss)
