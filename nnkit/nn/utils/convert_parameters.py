"""The parameters of a model as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of all parameters, one after another, in one vector on the tape.

    They may have any shapes, and dtypes that are promoted. Raises ShapeError where there are none. Source:
    ``torch.nn.utils.parameters_to_vector``.

    >>> import nnkit
    >>> parameters_to_vector([nnkit.ones(1, 2), nnkit.zeros(1)]).tolist()
    [1.0, 1.0, 0.0]
    """
    return ops.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the elements of a vector into the parameters, in place.

    The vector has any float dtype. Raises ShapeError for another length than the parameters have together, TypeError
    for what is no Tensor. Source: ``torch.nn.utils.vector_to_parameters``.

    >>> import nnkit
    >>> w = nnkit.nn.Parameter(nnkit.zeros(1, 2))
    >>> vector_to_parameters(nnkit.tensor([3.0, 4.0]), [w]); w.tolist()
    [[3.0, 4.0]]
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vec: expected a Tensor, got {type(vec).__name__}")
    given = list(parameters)
    count = sum(parameter.numel() for parameter in given)
    if vec.shape != (count,):
        raise ShapeError(f"vec: the parameters have {count} elements together, got shape {vec.shape}")
    first = 0
    with no_grad():
        for parameter in given:
            parameter.copy_(vec[first : first + parameter.numel()].reshape(parameter.shape))
            first += parameter.numel()
