"""Gradients of one tensor with respect to others, without touching anybody's ``.grad``."""

from __future__ import annotations

from collections.abc import Sequence

from nnkit.errors import GradientError
from nnkit.tape import backward
from nnkit.tensor import Tensor


def grad(
    loss: Tensor,
    tensors: Tensor | Sequence[Tensor],
    gradient: Tensor | None = None,
    retain_graph: bool = False,
) -> tuple[Tensor, ...]:
    """The gradients of ``loss`` with respect to ``tensors``, leaving every ``.grad`` as it is.

    ``loss`` is a scalar, or ``gradient`` has its shape. The result has one tensor for each of ``tensors``: zeros where
    the loss does not depend on it. Raises GradientError for a tensor that does not require grad.

    >>> import nnkit
    >>> x = nnkit.tensor(3.0, requires_grad=True)
    >>> nnkit.grad(x * x, x)
    (tensor(6.),)
    """
    wanted = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for number, tensor in enumerate(wanted):
        if not tensor.requires_grad:
            raise GradientError(f"tensors[{number}] does not require grad: set requires_grad=True before computing")
    seed = loss._seed(gradient, False)
    arrays = backward(loss._edge(), seed, retain_graph, [t._edge() for t in wanted])
    found = []
    for tensor, array in zip(wanted, arrays, strict=True):
        array = tensor.backend.zeros(tensor.shape, tensor.dtype) if array is None else array
        found.append(Tensor(array, tensor.backend))
    return tuple(found)
