"""Comparing whole tensors and with tolerance, and the rest of logic: what ``choice`` does not have of it."""

from __future__ import annotations

from typing import Any

from nnkit.errors import DtypeError, ShapeError
from nnkit.ops import choice, reductions
from nnkit.ops.elementary import isnan
from nnkit.ops.elementwise import binary
from nnkit.ops.promotion import operand, pair
from nnkit.ops.shape import reshape, unsqueeze
from nnkit.tensors import dtypes
from nnkit.tensors.methods import Dims, op
from nnkit.tensors.tensor import Tensor


@op
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Whether |input - other| <= atol + rtol |other|.

    NaN is close to NaN where ``equal_nan``. Raises DtypeError for tensors of two types, as PyTorch does.

    >>> from nnkit import tensor
    >>> isclose(tensor([1.0, 2.0]), tensor([1.0 + 1e-7, 3.0]))
    tensor([ True, False])
    """
    if input.dtype != other.dtype:
        raise DtypeError(f"isclose: expected two tensors of one type, got {input.dtype} and {other.dtype}")
    x, y = input.detach(), other.detach()
    same = x == y
    if x.dtype == dtypes.bool_:
        return same
    if not x.is_floating_point():
        x, y = x.to(dtypes.float64), y.to(dtypes.float64)
    distance = (x - y).abs()
    close = same | ((distance <= atol + y.abs() * rtol) & (distance < float("inf")))
    return close | (isnan(x) & isnan(y)) if equal_nan else close


@op
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close, as a Python bool: see ``isclose``."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@op
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same elements, as a Python bool.

    Of any dtype. Raises TypeError for what is no Tensor. As ``torch.equal``.
    """
    return input.shape == other.shape and bool((input.detach() == other.detach()).all())


@op
def logical_xor(input: Tensor, other: Any) -> Tensor:
    """Whether one of two elements is not 0, and the other is."""
    x, y, _, _ = pair("logical_xor", input, other)
    return choice.bitwise_xor(x.bool(), y.bool())


@op
def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """How many elements are not 0, int64."""
    return reductions.sum(input.detach().bool(), dim)


@op
def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two elements; the other one where one is NaN."""
    return _beside_nan("larger", input, other)


@op
def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two elements; the other one where one is NaN."""
    return _beside_nan("smaller", input, other)


def _beside_nan(which: str, x: Any, y: Any) -> Tensor:
    x, y, _, _ = pair("fmax" if which == "larger" else "fmin", x, y)
    if not x.is_floating_point():
        return x.maximum(y) if which == "larger" else x.minimum(y)
    name, formula = "fmax" if which == "larger" else "fmin", f"{which}_known"
    return binary(name, formula, x, y, (f"{formula}_grad", f"{formula}_other_grad"))


@op
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is one of ``test_elements``.

    Both of any shape and dtype; bool, in the first one's shape. Raises DtypeError for what are no numbers. As
    ``torch.isin``.

    >>> from nnkit import tensor
    >>> isin(tensor([1, 2, 3]), tensor([3, 1]))
    tensor([ True, False,  True])
    """
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise TypeError("isin: expected at least one Tensor, got none")
    beside = elements if isinstance(elements, Tensor) else test_elements
    x, among = operand(elements, beside, "isin"), operand(test_elements, beside, "isin")
    found = (unsqueeze(x, -1) == reshape(among, (-1,))).any(-1)
    return ~found if invert else found


def _whole(name: str, x: Tensor, y: Tensor) -> None:
    if x.is_floating_point() or x.dtype == dtypes.bool_:
        raise DtypeError(f"{name}: expected whole numbers, got {x.dtype}")


@op
def bitwise_left_shift(input: Any, other: Any) -> Tensor:
    """input times 2 to the power other, of whole numbers."""
    x, y, _, _ = pair("bitwise_left_shift", input, other)
    _whole("bitwise_left_shift", x, y)
    return x * 2**y


@op
def bitwise_right_shift(input: Any, other: Any) -> Tensor:
    """input over 2 to the power other, rounded down, of whole numbers."""
    x, y, _, _ = pair("bitwise_right_shift", input, other)
    _whole("bitwise_right_shift", x, y)
    return x // 2**y


@op
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> reductions.MinMax:
    """The least and the greatest elements, of all or along an axis, as (min, max)."""
    if input.numel() == 0:
        raise ShapeError(f"aminmax: expected at least one element, got shape {input.shape}")
    return reductions.MinMax(reductions.amin(input, dim, keepdim), reductions.amax(input, dim, keepdim))


greater, greater_equal, less, less_equal, not_equal = choice.gt, choice.ge, choice.lt, choice.le, choice.ne
