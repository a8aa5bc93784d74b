"""Whether what a model draws in training can be keyed by its samples' places: looked for before the first step.

Of a tensor alone nobody can tell which axis the samples are: with 8 of them and 8 steps of time (8, 8, 3) is either. So
the model runs on two rows and on three, and what is drawn has to grow with them along the axis that it is keyed by.
"""

from __future__ import annotations

from typing import Any

from nnkit.nn.module import Module
from nnkit.tensors import random
from nnkit.tensors.shares import Draw, drawing
from nnkit.tensors.tape import no_grad
from nnkit.training.several import each
from nnkit.training.weights import WeightSnapshot

__all__ = ["check_places"]

ROWS = (2, 3)


def check_places(model: Module, x: Any) -> None:
    """Raise NotImplementedError, with the module's name, where random numbers are drawn whose samples lie elsewhere
    than along the first axis. ``x`` are inputs; with fewer than three nothing is looked at, nor in evaluation."""
    if not model.training or x.shape[0] < max(ROWS):
        return
    before = WeightSnapshot(model)
    few, more = (_drawn(model, _first(x, rows)) for rows in ROWS)
    before.restore()  # running statistics
    for (name, small), (_, large) in zip(few, more, strict=False):
        axis = small.axis
        if (*small.shape[axis : axis + 1], *large.shape[axis : axis + 1]) != ROWS:
            raise NotImplementedError(
                f"{name} draws random numbers of shape {small.shape} for {ROWS[0]} samples and {large.shape} for "
                f"{ROWS[1]}: in a batch divided among processes axis {axis} must be the samples, by whose places they "
                "are keyed. Give it the samples first, or leave it out"
            )


def _first(x: Any, rows: int) -> Any:
    return each(x, lambda tensor: tensor[:rows])


def _drawn(model: Module, x: Any) -> list[tuple[str, Draw]]:
    """What is drawn in a forward pass, each with the module that it is inside of."""
    found: list[tuple[str, Draw]] = []
    inside = ["the model"]
    names = {id(module): f"{name or 'the model'} ({type(module).__name__})" for name, module in model.named_modules()}
    handles = [module.register_forward_pre_hook(lambda module, _: inside.append(names[id(module)]))
               for module in model.modules()]  # fmt: skip
    handles += [module.register_forward_hook(lambda *_: _leave(inside)) for module in model.modules()]
    try:
        with random.preserved(), no_grad(), drawing(lambda draw: found.append((inside[-1], draw))):
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _leave(inside: list[str]) -> None:
    inside.pop()
