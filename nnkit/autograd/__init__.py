"""Gradients under PyTorch's names: ``grad``, ``backward``, own functions, checks against differences, Jacobians."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnkit.autograd import function, functional
from nnkit.autograd.anomaly import detect_anomaly, set_detect_anomaly
from nnkit.autograd.differences import gradcheck, gradgradcheck
from nnkit.autograd.function import Function
from nnkit.tensors import gradients
from nnkit.tensors.gradients import backward
from nnkit.tensors.tape import enable_grad, no_grad, set_grad_enabled
from nnkit.tensors.tensor import Tensor

__all__ = [
    "Function", "Variable", "backward", "detect_anomaly", "enable_grad", "function", "functional", "grad", "gradcheck",
    "gradgradcheck", "no_grad", "set_detect_anomaly", "set_grad_enabled",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """``nnkit.grad`` with PyTorch's defaults: an input that the outputs do not depend on is an error.

    With ``allow_unused`` its gradient is None, with ``materialize_grads`` zeros. ``only_inputs`` is always so. A
    gradient has the shape and dtype of its input. Raises GradientError, and NotImplementedError for
    ``is_grads_batched``: call it for each of the gradients.

    >>> import nnkit
    >>> x, unused = nnkit.tensor(2.0, requires_grad=True), nnkit.tensor(1.0, requires_grad=True)
    >>> grad(x * x, (x, unused), allow_unused=True)
    (tensor(4.), None)
    """
    if is_grads_batched:
        raise NotImplementedError("is_grads_batched: call grad once for each of grad_outputs, or use func.vmap")
    if materialize_grads and not allow_unused:
        allow_unused = None
    return gradients.grad(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads)


def Variable(data: Tensor, requires_grad: bool = False, volatile: bool = False) -> Tensor:
    """The tensor itself, which requires grad as said: variables have been tensors since PyTorch 0.4.

    It has any shape and dtype; raises DtypeError where whole numbers are to require grad.

    >>> import nnkit
    >>> Variable(nnkit.zeros(1), requires_grad=True).requires_grad
    True
    """
    if requires_grad:
        data.requires_grad_()
    return data
