"""Other names of PyTorch's for ops, and functions that are a method or a property of a tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnkit.ops import choice, contracting, elementwise, linear_algebra, matrices, rearranging, shape
from nnkit.tensors import dtypes
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.methods import op
from nnkit.tensors.tensor import Tensor

clip = choice.clamp
asarray = as_tensor
subtract, multiply, divide = elementwise.sub, elementwise.mul, elementwise.div
negative, absolute = elementwise.neg, elementwise.abs
ger, vdot = contracting.outer, contracting.dot
swapaxes = swapdims = shape.transpose
moveaxis = rearranging.movedim
inverse, pinverse = linear_algebra.inv, matrices.pinv


def ravel(input: Tensor) -> Tensor:
    """One axis with all elements; a view where they lie in order."""
    return shape.reshape(input, (-1,))


def t(input: Tensor) -> Tensor:
    """The axes of a matrix exchanged; a view."""
    return input.t()


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def is_tensor(obj: Any) -> bool:
    """Whether this is a tensor.

    Never raises. As ``torch.is_tensor``.
    """
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the elements are floats."""
    return input.is_floating_point()


def is_complex(input: Tensor) -> bool:
    """False: there are no complex numbers here.

    For any shape and dtype; never raises. As ``torch.is_complex``.
    """
    return False


def is_nonzero(input: Tensor) -> bool:
    """Whether the one element is not 0.

    A Tensor of one element, of any dtype. Raises ShapeError for more elements. As ``torch.is_nonzero``.

    The Tensor may have any shape.
    """
    return bool(input)


@op
def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians."""
    return elementwise.mul(input, math.pi / 180)


@op
def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees."""
    return elementwise.mul(input, 180 / math.pi)


@op
def erfc(input: Tensor) -> Tensor:
    """1 - erf(x)."""
    return elementwise.sub(1, elementwise.erf(input))


def promote_types(type1: Any, type2: Any) -> np.dtype:
    """The type of a result of tensors of two types.

    Types are dtypes or their names. Raises DtypeError for an unknown one. As ``torch.promote_types``.

    >>> promote_types("int64", "float16")
    dtype('float16')
    """
    return dtypes.promote(dtypes.as_dtype(type1), dtypes.as_dtype(type2))


def can_cast(from_: Any, to: Any) -> bool:
    """Whether results of one type may be written into tensors of the other: not floats into whole numbers.

    Types are dtypes or their names. Raises DtypeError for an unknown one. As ``torch.can_cast``.
    """
    return dtypes.can_become(dtypes.as_dtype(from_), dtypes.as_dtype(to))


@op
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """Not less than a bound."""
    return choice.clamp(input, min)


@op
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """Not more than a bound."""
    return choice.clamp(input, None, max)


def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """U, S and V (not its transpose) with input = U diag(S) V^T: see ``nnkit.linalg.svd``.

    Of matrices (..., M, N), float32 or float64. Raises ShapeError for fewer than two axes, DtypeError for whole
    numbers. As ``torch.svd``.

    >>> import nnkit
    >>> svd(nnkit.tensor([[3.0]]))[1]
    tensor([3.])
    """
    u, s, vh = linear_algebra.svd(input, not some)
    return u, s, vh.mT


def qr(input: Tensor, some: bool = True) -> linear_algebra.Orthogonal:
    """``nnkit.linalg.qr``: reduced where ``some``, else complete.

    Of matrices (..., M, N), float32 or float64. Raises ShapeError for fewer than two axes, DtypeError for whole
    numbers. As ``torch.qr``.

    >>> import nnkit
    >>> qr(nnkit.tensor([[2.0]]))[1].abs()
    tensor([[2.]])
    """
    return linear_algebra.qr(input, "reduced" if some else "complete")


def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """``nnkit.linalg.cholesky``.

    Of matrices (..., N, N), float32 or float64. Raises MatrixError where one is not positive definite, ShapeError where
    it is not square. As ``torch.cholesky``.

    >>> import nnkit
    >>> cholesky(nnkit.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    return linear_algebra.cholesky(input, upper=upper)
