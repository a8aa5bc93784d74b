"""What the losses of every subject share: operands checked, and the reduction of what was computed."""

from __future__ import annotations

from nnkit.errors import DtypeError, ShapeError
from nnkit.nn.loss_options import check_reduction
from nnkit.ops.elementwise import check_float
from nnkit.ops.elementwise_losses import shapes_differ
from nnkit.tensors.tensor import Tensor

__all__ = ["matched", "reduced", "tensors"]


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """``losses`` as they are ("none"), or their mean or sum."""
    check_reduction(reduction)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def tensors(loss: str, **given: object) -> None:
    """Raise DtypeError for an operand that is no Tensor."""
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise DtypeError(f"{loss}: {name} must be a Tensor, got {type(value).__name__}: use nnkit.as_tensor")


def matched(loss: str, input: Tensor, target: Tensor) -> Tensor:
    """``target`` in the type of ``input``. Raises ShapeError unless the shapes are equal, DtypeError for no floats."""
    tensors(loss, input=input, target=target)
    check_float(f"{loss}: input", input)
    if input.shape != target.shape:
        raise ShapeError(f"{loss}: {shapes_differ(input.shape, target.shape)}")
    return target.to(input.dtype)
