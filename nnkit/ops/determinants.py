"""Determinants of matrices (..., N, N), their logarithms and gradients. PyTorch's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from nnkit.ops import shape
from nnkit.ops.choice import where
from nnkit.ops.linear_algebra import factors_of, inv, mT, on_tape, require_square, svd_factors
from nnkit.ops.products import matmul
from nnkit.tensors import dtypes
from nnkit.tensors.creation import eye
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import op
from nnkit.tensors.results import OUTPUT, Asked, result
from nnkit.tensors.tensor import Tensor


@op
def det(A: Tensor) -> Tensor:
    """The determinant; its gradient, the cofactors, is exact for singular matrices too.

    With ``create_graph`` it is made by the inverse, and a singular matrix raises MatrixError.
    """
    require_square("det", A)
    a = A.detach()
    (y,) = factors_of("det", [a], [A.shape[:-2]])

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        u, s, vh = svd_factors(a, True)
        sign = (_determinant(u) * _determinant(vh)).sign()
        size = s.shape[-1]
        others = where(eye(size, dtype=dtypes.bool_, device=a.device), 1.0, shape.unsqueeze(s, -2)).prod(-1)
        scaled = u * shape.unsqueeze(others * shape.unsqueeze(Tensor(dy, a.backend) * sign, -1), -2)
        return (matmul(scaled, vh).array,)

    def rule(dy: Tensor, asked: Asked) -> Sequence[Tensor]:
        return _of_logarithm(dy * asked.output(y.array), A)

    return result("det", y.array, a.backend, (A,), pullback, ((A, OUTPUT),), rule)


def _determinant(a: Tensor) -> Tensor:
    return factors_of("det", [a], [a.shape[:-2]])[0]


class SignAndLogarithm(NamedTuple):
    """A determinant as its sign and the logarithm of its absolute value."""

    sign: Tensor
    logabsdet: Tensor


@op
def slogdet(A: Tensor) -> SignAndLogarithm:
    """The sign of the determinant, and the logarithm of its absolute value, which does not overflow."""
    require_square("slogdet", A)
    a = A.detach()
    sign, logarithm = factors_of("slogdet", [a], [A.shape[:-2]] * 2)

    return SignAndLogarithm(sign, on_tape("slogdet", logarithm, (A,), _of_logarithm, (a,), lambda y: (A,)))


def _of_logarithm(dy: Tensor, a: Tensor) -> Sequence[Tensor]:
    return (shape.unsqueeze(shape.unsqueeze(dy, -1), -1) * mT(inv(a)),)


@op
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant; NaN where that is negative.

    Of matrices (..., N, N), float32 or float64. Raises ShapeError for what is not square, DtypeError for whole numbers.
    As ``torch.logdet``.
    """
    sign, logarithm = slogdet(input)
    return where(sign < 0, float("nan"), logarithm)
