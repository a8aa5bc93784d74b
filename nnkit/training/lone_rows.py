"""A last batch of one row, whose channels have no variance: found before the training instead of at an epoch's end."""

from __future__ import annotations

import math
from typing import Any

from nnkit.errors import ShapeError
from nnkit.nn.module import Module
from nnkit.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from nnkit.tensors.tape import no_grad
from nnkit.training.batches import ArraySource, Source
from nnkit.training.modes import evaluating

__all__ = ["refuse_lone_rows"]

BATCH_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)


def refuse_lone_rows(model: Module, source: Source) -> None:
    """Raise ShapeError where a batch of ``source`` has one row, and gives a batch normalization one value a channel."""
    if not isinstance(source, ArraySource) or (source.batch_size > 1 and source.rows % source.batch_size != 1):
        return
    layers: dict[str, Module] = {
        name: module for name, module in model.named_modules() if isinstance(module, BATCH_NORMS)
    }
    name = _with_one_value(model, layers, source) if layers else None
    if name is not None:
        raise ShapeError(
            f"batch_size={source.batch_size} leaves a batch of 1 of the {source.rows} samples, and "
            f"{name} ({type(layers[name]).__name__}) needs more than 1 value for each channel in training: the "
            "variance would be 0. Choose another batch_size, or leave a sample out"
        )


def _with_one_value(model: Module, layers: dict[str, Module], source: ArraySource) -> str | None:
    """The name of the first layer that sees one value a channel of one sample."""
    lone: list[str] = []

    def watching(name: str) -> Any:
        def look(module: Module, given: tuple[Any, ...], output: Any) -> None:
            if math.prod(given[0].shape[2:]) == 1:
                lone.append(name)

        return look

    handles = [layer.register_forward_hook(watching(name)) for name, layer in layers.items()]
    try:
        with evaluating(model), no_grad():
            model(source.sample().x)
    finally:
        for handle in handles:
            handle.remove()
    return lone[0] if lone else None
