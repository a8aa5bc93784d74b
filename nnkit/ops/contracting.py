"""Sums of products: vectors and matrices under their particular names, and ``einsum``. PyTorch's names and rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnkit.errors import ShapeError
from nnkit.ops import elementwise as e
from nnkit.ops import shape
from nnkit.ops.gathering import axis_of
from nnkit.ops.joining import unbind
from nnkit.ops.products import matmul
from nnkit.ops.promotion import pair
from nnkit.ops.rearranging import diagonal
from nnkit.ops.reductions import norm
from nnkit.ops.reductions import sum as summed
from nnkit.tensors.methods import op
from nnkit.tensors.tensor import Tensor


def _expect(name: str, x: Tensor, ndim: int, what: str) -> None:
    if x.ndim != ndim:
        raise ShapeError(f"{name}: expected {what} of {ndim} {'axis' if ndim == 1 else 'axes'}, got shape {x.shape}")


# ---- two vectors, a matrix and a vector, two matrices, batches ------------------------------------------------------


@op
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of the products of two vectors of one size.

    Raises ShapeError for others.

    >>> from nnkit import tensor
    >>> dot(tensor([1.0, 2.0]), tensor([3.0, 4.0]))
    tensor(11.)
    """
    _expect("dot", input, 1, "a vector")
    _expect("dot", tensor, 1, "a vector")
    return matmul(input, tensor)


@op
def inner(input: Tensor, other: Tensor) -> Tensor:
    """The sums of products over the last axes of both."""
    if input.ndim == 0 or other.ndim == 0:
        return e.mul(input, other)
    return tensordot(input, other, dims=([-1], [-1]))


@op
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """A matrix times a vector."""
    _expect("mv", input, 2, "a matrix")
    _expect("mv", vec, 1, "a vector")
    return matmul(input, vec)


@op
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """A matrix times a matrix; see ``matmul`` for more axes."""
    _expect("mm", input, 2, "a matrix")
    _expect("mm", mat2, 2, "a matrix")
    return matmul(input, mat2)


@op
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The matrices of a batch times those of another, (B, M, K) times (B, K, N); see ``matmul`` for broadcasting."""
    _expect("bmm", input, 3, "matrices in a batch")
    _expect("bmm", mat2, 3, "matrices in a batch")
    if input.shape[0] != mat2.shape[0]:
        raise ShapeError(f"bmm: expected two batches of one size, got {input.shape} and {mat2.shape}")
    return matmul(input, mat2)


@op
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Each element of one vector times each of another, as a matrix."""
    _expect("outer", input, 1, "a vector")
    _expect("outer", vec2, 1, "a vector")
    return e.mul(shape.unsqueeze(input, 1), vec2)


@op
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Each element of input times all of other, laid out as blocks."""
    ndim = max(input.ndim, other.ndim)
    a, b = (shape.reshape(t, (1,) * (ndim - t.ndim) + t.shape) for t in (input, other))
    left = shape.reshape(a, [n for size in a.shape for n in (size, 1)])
    right = shape.reshape(b, [n for size in b.shape for n in (1, size)])
    return shape.reshape(left * right, tuple(m * n for m, n in zip(a.shape, b.shape, strict=True)))


def _plus(input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    """beta input + alpha product; where beta is 0, input does not count, not even its NaN."""
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return (input if beta == 1 else input * beta) + product


@op
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta input + alpha (mat1 mat2)."""
    return _plus(input, mm(mat1, mat2), beta, alpha)


@op
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta input + alpha (mat vec)."""
    return _plus(input, mv(mat, vec), beta, alpha)


@op
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta input + alpha times the outer product of two vectors."""
    return _plus(input, outer(vec1, vec2), beta, alpha)


@op
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta input + alpha (batch1 batch2), for each of a batch."""
    return _plus(input, bmm(batch1, batch2), beta, alpha)


@op
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta input + alpha times the sum of the products of a batch."""
    return _plus(input, summed(bmm(batch1, batch2), 0), beta, alpha)


# ---- others ---------------------------------------------------------------------------------------------------------


@op
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal."""
    _expect("trace", input, 2, "a matrix")
    return summed(diagonal(input))


@op
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along an axis of size 3; the first one of that size unless ``dim`` says which.

    Of any dtype but bool; other axes broadcast. Raises ShapeError for other sizes, DtypeError for booleans. As
    ``torch.cross``.
    """
    a, b, _, sizes = pair("cross", input, other)
    a, b = shape.expand(a, sizes), shape.expand(b, sizes)
    if dim is None:
        dim = next((i for i, size in enumerate(sizes) if size == 3), None)
    if dim is None or sizes[axis_of(a, dim, "cross")] != 3:
        raise ShapeError(f"cross: expected an axis of size 3, got shapes {input.shape} and {other.shape}")
    axis = axis_of(a, dim, "cross")
    (a0, a1, a2), (b0, b1, b2) = unbind(a, axis), unbind(b, axis)
    return shape.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis)


@op
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """The p-norm of the difference of each row of x1 (..., M, D) and each of x2 (..., N, D): (..., M, N).

    Differences are taken before they are squared, whatever ``compute_mode`` says: no digits are lost. Both are of any
    dtype; whole numbers become floats. Raises ShapeError for rows of different lengths, TypeError for what is no
    Tensor. As ``torch.cdist``.
    """
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(f"cdist: expected rows of one length, got shapes {x1.shape} and {x2.shape}")
    return norm(shape.unsqueeze(x1, -2) - shape.unsqueeze(x2, -3), p, -1)


@op
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference.

    Two Tensors of any dtype whose shapes broadcast; a scalar. Raises ShapeError where they do not broadcast, DtypeError
    for what are no numbers. As ``torch.dist``.
    """
    return norm(input - other, p)


@op
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Sums of products over several axes: the last ``dims`` of a and the first of b, or those named in two lists."""
    if isinstance(dims, int):
        first: Sequence[int] = range(a.ndim - dims, a.ndim)
        second: Sequence[int] = range(dims)
    else:
        first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    left = [axis_of(a, d, "tensordot") for d in first]
    right = [axis_of(b, d, "tensordot") for d in second]
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ShapeError(f"tensordot: the axes {left} of {a.shape} and {right} of {b.shape} differ in size")
    free, other = [i for i in range(a.ndim) if i not in left], [i for i in range(b.ndim) if i not in right]
    size = math.prod(a.shape[i] for i in left)
    rows = shape.reshape(shape.permute(a, [*free, *left]), (math.prod(a.shape[i] for i in free), size))
    columns = shape.reshape(shape.permute(b, [*right, *other]), (size, math.prod(b.shape[i] for i in other)))
    return shape.reshape(matmul(rows, columns), (*(a.shape[i] for i in free), *(b.shape[i] for i in other)))


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of matrices in the order that needs the fewest multiplications; the outer two may be vectors."""
    parts = list(tensors)
    if len(parts) < 2:
        raise ShapeError(f"multi_dot: expected at least two matrices, got {len(parts)}")
    sizes = [parts[0].shape[0] if parts[0].ndim == 2 else 1, *(t.shape[-2:][0] for t in parts[1:])]
    sizes.append(parts[-1].shape[1] if parts[-1].ndim == 2 else 1)
    cost: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(len(parts))}
    for length in range(1, len(parts)):
        for i in range(len(parts) - length):
            j = i + length
            cost[i, j] = min(
                (cost[i, k][0] + cost[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return parts[i]
        k = cost[i, j][1]
        return matmul(product(i, k), product(k + 1, j))

    return product(0, len(parts) - 1)


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of several matrices: see ``multi_dot``."""
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices)
