"""The methods and operators of Tensor that compute something, by name.

Each op of ``nnkit.ops`` registers itself in ``OPS``; a method looks it up there. So imports point one way (ops build on
tensors), and a method cannot differ from its function. What each does is said where it is defined, in ``nnkit.ops``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from nnkit import dtypes

if TYPE_CHECKING:
    from nnkit.tensor import Tensor

# Aliases, because the class below has methods named float, int and bool.
Int = int
Flag = bool
Number = float
Dims = int | Sequence[int] | None

OPS: dict[str, Callable[..., Any]] = {}
F = TypeVar("F", bound=Callable[..., Any])


def op(function: F) -> F:
    """Register a function of tensors under its name, for Tensor's methods."""
    OPS[function.__name__] = function
    return function


def _method(name: str) -> Callable[..., Any]:
    """A method that calls the op of that name."""

    def method(self: Any, *args: Any, **options: Any) -> Any:
        return OPS[name](self, *args, **options)

    method.__name__ = name
    method.__doc__ = f"See ``nnkit.ops.{name}``."
    return method


def _in_place(name: str) -> Callable[..., Any]:
    """A method that writes what the op of that name makes of the tensor into it."""

    def method(self: Any, *args: Any, **options: Any) -> Any:
        return OPS["assign"](self, name, *args, **options)

    method.__name__ = f"{name}_"
    method.__doc__ = f"``nnkit.ops.{name}`` in place."
    return method


def _dims(dims: tuple[Any, ...]) -> tuple[Int, ...]:
    """Sizes or axes given one by one or as one sequence."""
    return tuple(dims[0]) if len(dims) == 1 and not isinstance(dims[0], int) else dims


class Methods:
    """What a Tensor can compute."""

    __slots__ = ()

    # ---- arithmetic -----------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return OPS["add"](self, other)

    def __radd__(self, other: Any) -> Tensor:
        return OPS["add"](self, other)

    def __sub__(self, other: Any) -> Tensor:
        return OPS["sub"](self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return OPS["sub"](other, self)

    def __mul__(self, other: Any) -> Tensor:
        return OPS["mul"](self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return OPS["mul"](self, other)

    def __truediv__(self, other: Any) -> Tensor:
        return OPS["div"](self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return OPS["div"](other, self)

    def __pow__(self, other: Any) -> Tensor:
        return OPS["pow"](self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return OPS["pow"](other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return OPS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return OPS["matmul"](other, self)

    def __neg__(self) -> Tensor:
        return OPS["neg"](self)

    def __abs__(self) -> Tensor:
        return OPS["abs"](self)

    def __invert__(self) -> Tensor:
        return OPS["bitwise_not"](self)

    def __and__(self, other: Any) -> Tensor:
        return OPS["bitwise_and"](self, other)

    def __or__(self, other: Any) -> Tensor:
        return OPS["bitwise_or"](self, other)

    # ---- comparison: elementwise, and so a tensor is hashed by identity ----------------------------------------

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return OPS["eq"](self, other) if other is not None else NotImplemented

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return OPS["ne"](self, other) if other is not None else NotImplemented

    def __lt__(self, other: Any) -> Tensor:
        return OPS["lt"](self, other)

    def __le__(self, other: Any) -> Tensor:
        return OPS["le"](self, other)

    def __gt__(self, other: Any) -> Tensor:
        return OPS["gt"](self, other)

    def __ge__(self, other: Any) -> Tensor:
        return OPS["ge"](self, other)

    __hash__ = object.__hash__

    # ---- in place ---------------------------------------------------------------------------------------------

    def __iadd__(self, other: Any) -> Tensor:
        return OPS["assign"](self, "add", other)

    def __isub__(self, other: Any) -> Tensor:
        return OPS["assign"](self, "sub", other)

    def __imul__(self, other: Any) -> Tensor:
        return OPS["assign"](self, "mul", other)

    def __itruediv__(self, other: Any) -> Tensor:
        return OPS["assign"](self, "div", other)

    def __ipow__(self, other: Any) -> Tensor:
        return OPS["assign"](self, "pow", other)

    def __iand__(self, other: Any) -> Tensor:
        return OPS["assign"](self, "bitwise_and", other)

    def __ior__(self, other: Any) -> Tensor:
        return OPS["assign"](self, "bitwise_or", other)

    def add_(self, other: Any, alpha: Number = 1) -> Tensor:
        """Add ``alpha * other`` in place."""
        return OPS["assign"](self, "add", other if alpha == 1 else OPS["mul"](other, alpha))

    def sub_(self, other: Any, alpha: Number = 1) -> Tensor:
        """Subtract ``alpha * other`` in place."""
        return OPS["assign"](self, "sub", other if alpha == 1 else OPS["mul"](other, alpha))

    def mul_(self, other: Any) -> Tensor:
        """Multiply in place."""
        return OPS["assign"](self, "mul", other)

    def div_(self, other: Any) -> Tensor:
        """Divide in place."""
        return OPS["assign"](self, "div", other)

    def copy_(self, source: Any) -> Tensor:
        """Take the values of ``source`` (broadcast, cast, from any device) in place."""
        return OPS["copy_into"](self, source)

    def fill_(self, value: Number) -> Tensor:
        """Set every element in place."""
        return OPS["fill_in"](self, value)

    def zero_(self) -> Tensor:
        """Set every element to 0 in place."""
        return OPS["fill_in"](self, 0)

    def clamp_(self, min: Number | None = None, max: Number | None = None) -> Tensor:
        """Limit every element in place."""
        return OPS["assign"](self, "clamp", min=min, max=max)

    clip_ = clamp_
    exp_, log_, log1p_, expm1_, sqrt_ = (_in_place(n) for n in ("exp", "log", "log1p", "expm1", "sqrt"))
    square_, abs_, neg_, sign_, erf_ = (_in_place(n) for n in ("square", "abs", "neg", "sign", "erf"))
    sin_, cos_, tanh_, sigmoid_, relu_ = (_in_place(n) for n in ("sin", "cos", "tanh", "sigmoid", "relu"))
    reciprocal_, floor_, round_, pow_ = (_in_place(n) for n in ("reciprocal", "floor", "round", "pow"))

    def __getitem__(self, index: Any) -> Tensor:
        return OPS["getitem"](self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        OPS["setitem"](self, index, value)

    # ---- elementwise functions and activations --------------------------------------------------------------------

    add, sub, mul, div, pow = (_method(n) for n in ("add", "sub", "mul", "div", "pow"))
    subtract, multiply, divide = sub, mul, div
    eq, ne, lt, le, gt, ge = (_method(n) for n in ("eq", "ne", "lt", "le", "gt", "ge"))
    exp, log, log1p, expm1, sqrt = (_method(n) for n in ("exp", "log", "log1p", "expm1", "sqrt"))
    square, abs, neg, sign, erf = (_method(n) for n in ("square", "abs", "neg", "sign", "erf"))
    sin, cos, tanh, sigmoid, relu = (_method(n) for n in ("sin", "cos", "tanh", "sigmoid", "relu"))
    reciprocal, floor, round, clamp = (_method(n) for n in ("reciprocal", "floor", "round", "clamp"))
    maximum, minimum, softmax, log_softmax = (_method(n) for n in ("maximum", "minimum", "softmax", "log_softmax"))
    clip = clamp

    # ---- reductions and products ----------------------------------------------------------------------------------

    sum, mean, prod, var, std, norm = (_method(n) for n in ("sum", "mean", "prod", "var", "std", "norm"))
    all, any, argmax, argmin = (_method(n) for n in ("all", "any", "argmax", "argmin"))
    logsumexp, matmul, dot, mm = (_method(n) for n in ("logsumexp", "matmul", "matmul", "matmul"))

    def max(self, dim: Any = None, keepdim: Flag = False, axis: Any = None) -> Any:
        """The greatest element; along ``dim``, a pair (values, indices); with a tensor, the elementwise maximum."""
        return OPS["extreme"](self, "max", dim if axis is None else axis, keepdim)

    def min(self, dim: Any = None, keepdim: Flag = False, axis: Any = None) -> Any:
        """The least element; along ``dim``, a pair (values, indices); with a tensor, the elementwise minimum."""
        return OPS["extreme"](self, "min", dim if axis is None else axis, keepdim)

    # ---- shape ------------------------------------------------------------------------------------------------------

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements under another shape; one size may be -1."""
        return OPS["reshape"](self, _dims(shape))

    def view(self, *shape: Any) -> Tensor:
        """Like ``reshape``, and surely in the same memory; an error where that cannot be."""
        return OPS["view"](self, _dims(shape))

    def permute(self, *dims: Any) -> Tensor:
        """The axes in another order."""
        return OPS["permute"](self, _dims(dims))

    def expand(self, *shape: Any) -> Tensor:
        """Repeat axes of size 1; -1 keeps a size."""
        return OPS["expand"](self, _dims(shape))

    def broadcast_to(self, shape: Sequence[Int]) -> Tensor:
        """Repeat axes of size 1 and new leading axes."""
        return OPS["expand"](self, tuple(shape))

    flatten, squeeze, unsqueeze, transpose = (_method(n) for n in ("flatten", "squeeze", "unsqueeze", "transpose"))
    clone, contiguous, where = (_method(n) for n in ("clone", "contiguous", "where_self"))

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return OPS["permute"](self, tuple(reversed(range(self.ndim))))  # type: ignore[attr-defined]

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return OPS["transpose"](self, -2, -1)

    def t(self) -> Tensor:
        """The axes in reverse order."""
        return self.T

    # ---- element types
    # ------------------------------------------------------------------------------------------------

    def float(self) -> Tensor:
        """As float32."""
        return OPS["to"](self, None, dtypes.float32)

    def half(self) -> Tensor:
        """As float16."""
        return OPS["to"](self, None, dtypes.float16)

    def bfloat16(self) -> Tensor:
        """As bfloat16; needs the package ml_dtypes."""
        return OPS["to"](self, None, "bfloat16")

    def double(self) -> Tensor:
        """As float64."""
        return OPS["to"](self, None, dtypes.float64)

    def long(self) -> Tensor:
        """As int64."""
        return OPS["to"](self, None, dtypes.int64)

    def int(self) -> Tensor:
        """As int32."""
        return OPS["to"](self, None, dtypes.int32)

    def bool(self) -> Tensor:
        """As booleans: whether each element is not 0."""
        return self if self.dtype == dtypes.bool_ else OPS["ne"](self, 0)  # type: ignore[attr-defined, return-value]
