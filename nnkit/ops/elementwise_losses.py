"""The loss of each element by a formula, with its gradient; no broadcasting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnkit.backends.base import FORMULAS
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.kernels.vocabulary import element_names
from nnkit.ops.elementwise import check_float, formula_scalars
from nnkit.ops.mapped import mapped
from nnkit.tensors.memory import Gradient
from nnkit.tensors.results import Asked, result, same_backend
from nnkit.tensors.tensor import Tensor

#: The losses per element: formulas of a prediction y and a target t.
LOSSES = tuple(name for name, formula in FORMULAS.items() if element_names(formula) == ("y", "t"))


def elementwise_loss(prediction: Tensor, target: Tensor, name: str, **scalars: float) -> Tensor:
    """The loss of each element by a formula of ``kernels.formulas``, no broadcasting.

    Both have one shape, which the result has, and the prediction's float type. The gradient reaches the prediction and,
    where the loss depends on the difference alone, the target. Raises ShapeError for two shapes, DtypeError for a
    prediction of integers, UnknownNameError for an unknown name. Source: nnkit's own, behind PyTorch's and Keras's
    losses.

    >>> import nnkit
    >>> elementwise_loss(nnkit.tensor([1.0, 2.0]), nnkit.tensor([3.0, 2.0]), "squared_error")
    tensor([4., 0.])
    """
    if name not in LOSSES:
        raise UnknownNameError("loss", name, LOSSES)
    check_float("prediction", prediction)
    if prediction.shape != target.shape:
        raise ShapeError(shapes_differ(prediction.shape, target.shape))
    backend = same_backend(name, prediction, target)
    target = target.to(prediction.dtype)
    numbers = formula_scalars(name, scalars)
    loss = backend.empty(prediction.shape, prediction.dtype)
    arrays = prediction.array, target.array
    backend.map(name, arrays, (loss,), numbers)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any, Any]:
        dx = backend.empty(prediction.shape, prediction.dtype)
        backend.map(f"{name}_grad", (dy, *arrays), (dx,), numbers)
        dt = None
        if into[1] is not None:
            dt = backend.empty(prediction.shape, prediction.dtype)
            backend.map("neg", (dx,), (dt,))
        return (dx if into[0] is not None else None, dt)

    if name.startswith("binary"):
        target = target.detach()
    both = prediction, target

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor | None, Tensor | None]:
        dx = mapped(f"{name}_grad", (dy, *both), numbers)
        return dx, mapped("neg", (dx,)) if asked.wanted[1] else None

    return result(name, loss, backend, both, pullback, (both, both), rule)


def shapes_differ(prediction: tuple[int, ...], target: tuple[int, ...]) -> str:
    """The message for a loss whose prediction and target have different shapes, with the fix."""
    fix = "give each prediction its target"
    if math.prod(prediction) == math.prod(target):
        fix = f"reshape the target with y.reshape({prediction})"
    if prediction[-1:] == (1,) and target == prediction[:-1]:
        fix = "reshape the target with y.reshape(-1, 1)"
    elif target[-1:] == (1,) and prediction == target[:-1]:
        fix = "reshape the target with y.reshape(-1)"
    return f"target: expected shape {prediction} like the prediction's, got {target}; {fix}"
