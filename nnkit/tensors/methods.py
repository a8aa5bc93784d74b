"""The methods and operators of Tensor that compute something, by name.

Each op of ``nnkit.ops`` registers itself in ``OPS``; a method looks it up there. So imports point one way (ops build on
tensors), and a method cannot differ from its function. What each does is said where it is defined, in ``nnkit.ops``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from nnkit.errors import GradientError, ShapeError

if TYPE_CHECKING:
    from nnkit.tensors.tensor import Tensor

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


#: Words of PyTorch's for an argument -> ours, for functions that have the second and not the first.
WORDS = {"axis": "dim", "keepdims": "keepdim", "input": "x", "other": "y"}
#: Words about how elements lie in memory, which is a kernel's matter here: without effect.
OF_MEMORY = ("memory_format", "layout", "pin_memory")


def spoken(function: F) -> F:
    """The function, which takes other words of PyTorch's for its arguments, and ``out=``, a tensor for its result.

    ``axis`` is dim, ``keepdims`` keepdim, input and other the first two arguments. Raises TypeError for an argument
    that is used as a Tensor and is none.
    """

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return in_our_words(function, args, options) if options else function(*args)
        except AttributeError as error:
            _refuse_others(function, (*args, *options.values()), error)
            raise

    return call  # type: ignore[return-value]


def _refuse_others(function: Callable[..., Any], given: tuple[Any, ...], error: AttributeError) -> None:
    """Raise TypeError where what lacks an attribute is an argument, or one of a list, which a Tensor would have had."""
    parts = [part for argument in given if isinstance(argument, (list, tuple, str)) for part in argument]
    if any(error.obj is argument for argument in (*given, *parts)) and not isinstance(error.obj, Methods):
        kind = type(error.obj).__name__
        raise TypeError(
            f"{function.__name__}: expected a Tensor, got {kind}; make it one with nnkit.tensor(x)"
        ) from None


def in_our_words(function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Call a function with the names that it has for arguments."""
    names = _names(function)
    out = None if "out" in names else options.pop("out", None)
    for word in OF_MEMORY:
        if word in options and word not in names:
            del options[word]
    for word, ours in WORDS.items():
        if word in options and word not in names and ours in names:
            options[ours] = options.pop(word)
    found = function(*args, **options)
    return found if out is None else _put_into(out, found)


@functools.cache
def _names(function: Callable[..., Any]) -> tuple[str, ...]:
    code = inspect.unwrap(function).__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _put_into(out: Any, found: Any) -> Any:
    """A result as the values of tensors that were given for it; their shapes follow."""
    if isinstance(out, tuple):
        return (
            type(found)(*map(_put_into, out, found)) if hasattr(found, "_fields") else tuple(map(_put_into, out, found))
        )
    if found.requires_grad:
        raise GradientError("out=: a result on the tape cannot be written into a tensor: leave out=, or use no_grad()")
    if out.shape != found.shape:
        out.resize_(found.shape)
    return OPS["copy_into"](out, found)


def _method(name: str) -> Callable[..., Any]:
    """A method that calls the op of that name."""

    def method(self: Any, *args: Any, **options: Any) -> Any:
        if options:
            return in_our_words(OPS[name], (self, *args), options)
        return OPS[name](self, *args)

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

    def __floordiv__(self, other: Any) -> Tensor:
        return OPS["floor_divide"](self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return OPS["floor_divide"](other, self)

    def __mod__(self, other: Any) -> Tensor:
        return OPS["remainder"](self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return OPS["remainder"](other, self)

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

    def __xor__(self, other: Any) -> Tensor:
        return OPS["bitwise_xor"](self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

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

    def __imod__(self, other: Any) -> Tensor:
        return OPS["assign"](self, "remainder", other)

    def __ifloordiv__(self, other: Any) -> Tensor:
        return OPS["assign"](self, "floor_divide", other)

    def __ixor__(self, other: Any) -> Tensor:
        return OPS["assign"](self, "bitwise_xor", other)

    def __lshift__(self, other: Any) -> Tensor:
        return OPS["bitwise_left_shift"](self, other)

    def __rshift__(self, other: Any) -> Tensor:
        return OPS["bitwise_right_shift"](self, other)

    def add_(self, other: Any, alpha: Any = 1) -> Tensor:
        """Add ``alpha * other`` in place."""
        plain = isinstance(alpha, int) and alpha == 1
        return OPS["assign"](self, "add", other if plain else OPS["mul"](alpha, other))

    def sub_(self, other: Any, alpha: Any = 1) -> Tensor:
        """Subtract ``alpha * other`` in place."""
        plain = isinstance(alpha, int) and alpha == 1
        return OPS["assign"](self, "sub", other if plain else OPS["mul"](alpha, other))

    def mul_(self, other: Any) -> Tensor:
        """Multiply in place."""
        return OPS["assign"](self, "mul", other)

    def div_(self, other: Any, rounding_mode: str | None = None) -> Tensor:
        """Divide in place."""
        if rounding_mode is None:
            return OPS["assign"](self, "div", other)
        return OPS["assign"](self, "div", other, rounding_mode=rounding_mode)

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
    logsumexp, matmul = (_method(n) for n in ("logsumexp", "matmul"))

    def max(self, dim: Any = None, keepdim: Flag = False, axis: Any = None, keepdims: Flag = False) -> Any:
        """The greatest element; along ``dim``, a pair (values, indices); with a tensor, the elementwise maximum."""
        return OPS["extreme"](self, "max", dim if axis is None else axis, keepdim or keepdims)

    def min(self, dim: Any = None, keepdim: Flag = False, axis: Any = None, keepdims: Flag = False) -> Any:
        """The least element; along ``dim``, a pair (values, indices); with a tensor, the elementwise minimum."""
        return OPS["extreme"](self, "min", dim if axis is None else axis, keepdim or keepdims)

    # ---- shape ------------------------------------------------------------------------------------------------------

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements under another shape; one size may be -1."""
        return OPS["reshape"](self, _dims(shape))

    def view(self, *shape: Any) -> Tensor:
        """Like ``reshape``, and surely in the same memory; an error where that cannot be."""
        return OPS["view"](self, _dims(shape))

    def permute(self, *axes: Any, dims: Any = None) -> Tensor:
        """The axes in another order."""
        return OPS["permute"](self, _dims(axes) if dims is None else tuple(dims))

    def expand(self, *shape: Any, size: Any = None) -> Tensor:
        """Repeat axes of size 1; -1 keeps a size."""
        return OPS["expand"](self, _dims(shape) if size is None else tuple(size))

    def broadcast_to(self, shape: Sequence[Int]) -> Tensor:
        """Repeat axes of size 1 and new leading axes."""
        return OPS["expand"](self, tuple(shape))

    def contiguous(self, memory_format: Any = None) -> Tensor:
        """With its elements in order in memory: the tensor itself where they are, else a copy."""
        return OPS["contiguous"](self)

    flatten, squeeze, unsqueeze, transpose = (_method(n) for n in ("flatten", "squeeze", "unsqueeze", "transpose"))
    clone, where = (_method(n) for n in ("clone", "where_self"))

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return OPS["permute"](self, tuple(reversed(range(self.ndim))))  # type: ignore[attr-defined]

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return OPS["transpose"](self, -2, -1)

    mH = H = mT  # there are no complex numbers here

    def t(self) -> Tensor:
        """The axes of a matrix exchanged. Raises ShapeError for more than two."""
        if self.ndim > 2:  # type: ignore[attr-defined]
            raise ShapeError(f"t: expected at most two axes, got shape {self.shape}; use .mT or .permute")  # type: ignore[attr-defined]
        return self.T
