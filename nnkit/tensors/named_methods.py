"""Tensor's methods that are the op of the same name, or that op in place: the families beyond ``methods``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnkit.tensors.methods import OPS, _in_place, _method

if TYPE_CHECKING:
    from nnkit.tensors.tensor import Tensor


def _called(name: str, op: str) -> Callable[..., Any]:
    """A method of a name that calls an op of another."""
    method = _method(op)
    method.__name__ = name
    return method


def _reshaped(name: str) -> Callable[..., Any]:
    """A method after which the tensor shows its own memory in another shape or order."""

    def method(self: Any, *args: Any, **options: Any) -> Tensor:
        return OPS["reshape_in"](self, name, *args, **options)

    method.__name__ = f"{name}_"
    method.__doc__ = f"``nnkit.ops.{name}`` in place: the same memory in another shape."
    return method


class NamedMethods:
    """What a Tensor can compute, by the names of ops."""

    __slots__ = ()

    # ---- elementwise ------------------------------------------------------------------------------------------------

    log2, log10, exp2, rsqrt, tan = (_method(n) for n in ("log2", "log10", "exp2", "rsqrt", "tan"))
    asin, acos, atan, sinh, cosh = (_method(n) for n in ("asin", "acos", "atan", "sinh", "cosh"))
    asinh, acosh, atanh, lgamma, digamma = (_method(n) for n in ("asinh", "acosh", "atanh", "lgamma", "digamma"))
    arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh
    deg2rad, rad2deg, erfc = (_method(n) for n in ("deg2rad", "rad2deg", "erfc"))
    sinc, ceil, trunc, frac, fmod = (_method(n) for n in ("sinc", "ceil", "trunc", "frac", "fmod"))
    fix = trunc
    atan2, hypot, logaddexp, logaddexp2 = (_method(n) for n in ("atan2", "hypot", "logaddexp", "logaddexp2"))
    arctan2 = atan2
    xlogy, copysign, signbit, float_power = (_method(n) for n in ("xlogy", "copysign", "signbit", "float_power"))
    lerp, addcmul, addcdiv, logit, heaviside = (
        _method(n) for n in ("lerp", "addcmul", "addcdiv", "logit", "heaviside")
    )
    isnan, isinf, isfinite, isposinf = (_method(n) for n in ("isnan", "isinf", "isfinite", "isposinf"))
    isneginf, nan_to_num, true_divide, positive = (
        _method(n) for n in ("isneginf", "nan_to_num", "true_divide", "positive")
    )
    floor_divide, remainder, floor_divide_, remainder_ = (
        *(_method(n) for n in ("floor_divide", "remainder")), *(_in_place(n) for n in ("floor_divide", "remainder"))
    )  # fmt: skip
    negative, absolute = _called("negative", "neg"), _called("absolute", "abs")
    log2_, log10_, exp2_, rsqrt_, tan_ = (_in_place(n) for n in ("log2", "log10", "exp2", "rsqrt", "tan"))
    asin_, acos_, atan_, sinh_, cosh_ = (_in_place(n) for n in ("asin", "acos", "atan", "sinh", "cosh"))
    asinh_, acosh_, atanh_, ceil_, trunc_ = (_in_place(n) for n in ("asinh", "acosh", "atanh", "ceil", "trunc"))
    frac_, fmod_, atan2_, hypot_, lerp_ = (_in_place(n) for n in ("frac", "fmod", "atan2", "hypot", "lerp"))
    addcmul_, addcdiv_, nan_to_num_, logit_ = (_in_place(n) for n in ("addcmul", "addcdiv", "nan_to_num", "logit"))
    lgamma_, digamma_, sinc_, xlogy_, copysign_ = (
        _in_place(n) for n in ("lgamma", "digamma", "sinc", "xlogy", "copysign")
    )
    true_divide_, divide_ = (_in_place(n) for n in ("true_divide", "div"))
    multiply_, subtract_, negative_ = _in_place("mul"), _in_place("sub"), _in_place("neg")

    def clamp_min(self, min: Any) -> Tensor:
        """Not less than a bound."""
        return OPS["clamp"](self, min, None)

    def clamp_max(self, max: Any) -> Tensor:
        """Not more than a bound."""
        return OPS["clamp"](self, None, max)

    def clamp_min_(self, min: Any) -> Tensor:
        """Not less than a bound, in place."""
        return OPS["assign"](self, "clamp", min, None)

    def clamp_max_(self, max: Any) -> Tensor:
        """Not more than a bound, in place."""
        return OPS["assign"](self, "clamp", None, max)

    # ---- comparison and logic ---------------------------------------------------------------------------------------

    isclose, allclose, equal, count_nonzero = (_method(n) for n in ("isclose", "allclose", "equal", "count_nonzero"))
    logical_and, logical_or, logical_xor, logical_not = (
        _method(n) for n in ("logical_and", "logical_or", "logical_xor", "logical_not")
    )
    bitwise_and, bitwise_or, bitwise_xor, bitwise_not = (
        _method(n) for n in ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")
    )
    bitwise_and_, bitwise_or_, bitwise_xor_, bitwise_not_ = (
        _in_place(n) for n in ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")
    )
    logical_and_, logical_or_, logical_xor_, logical_not_ = (
        _in_place(n) for n in ("logical_and", "logical_or", "logical_xor", "logical_not")
    )
    eq_, ne_, lt_, le_, gt_, ge_ = (_in_place(n) for n in ("eq", "ne", "lt", "le", "gt", "ge"))
    fmax, fmin, isin = (_method(n) for n in ("fmax", "fmin", "isin"))
    greater, greater_equal, less, less_equal, not_equal = (
        _called(name, op) for name, op in (
            ("greater", "gt"), ("greater_equal", "ge"), ("less", "lt"), ("less_equal", "le"), ("not_equal", "ne"),
        )
    )  # fmt: skip

    # ---- by number and by mask --------------------------------------------------------------------------------------

    gather, scatter, scatter_add, scatter_reduce = (
        _method(n) for n in ("gather", "scatter", "scatter_add", "scatter_reduce")
    )
    scatter_, scatter_add_, scatter_reduce_ = (_in_place(n) for n in ("scatter", "scatter_add", "scatter_reduce"))
    index_select, index_add, index_copy, index_fill = (
        _method(n) for n in ("index_select", "index_add", "index_copy", "index_fill")
    )
    index_add_, index_copy_, index_fill_ = (_in_place(n) for n in ("index_add", "index_copy", "index_fill"))
    index_put, put, index_put_, put_ = (
        _method("index_put"), _method("put"), _in_place("index_put"), _in_place("put"),
    )  # fmt: skip
    take, take_along_dim, nonzero, argwhere = (_method(n) for n in ("take", "take_along_dim", "nonzero", "argwhere"))
    masked_fill, masked_select, masked_scatter = (
        _method(n) for n in ("masked_fill", "masked_select", "masked_scatter")
    )
    masked_fill_, masked_scatter_ = (_in_place(n) for n in ("masked_fill", "masked_scatter"))

    # ---- by order ---------------------------------------------------------------------------------------------------

    sort, argsort, msort, topk, kthvalue = (_method(n) for n in ("sort", "argsort", "msort", "topk", "kthvalue"))
    median, nanmedian, mode, quantile = (_method(n) for n in ("median", "nanmedian", "mode", "quantile"))
    nanquantile, unique, unique_consecutive = (_method(n) for n in ("nanquantile", "unique", "unique_consecutive"))
    cumsum, cumprod, cummax, cummin = (_method(n) for n in ("cumsum", "cumprod", "cummax", "cummin"))
    cumsum_, cumprod_ = (_in_place(n) for n in ("cumsum", "cumprod"))
    logcumsumexp, diff, bincount, histc = (_method(n) for n in ("logcumsumexp", "diff", "bincount", "histc"))
    nansum, nanmean, amax, amin, aminmax = (_method(n) for n in ("nansum", "nanmean", "amax", "amin", "aminmax"))
    cov, corrcoef, renorm, renorm_ = (*(_method(n) for n in ("cov", "corrcoef", "renorm")), _in_place("renorm"))

    # ---- shape ------------------------------------------------------------------------------------------------------

    repeat, tile, repeat_interleave, roll = (_method(n) for n in ("repeat", "tile", "repeat_interleave", "roll"))
    rot90, movedim, tril, triu, fliplr, flipud = (
        _method(n) for n in ("rot90", "movedim", "tril", "triu", "fliplr", "flipud")
    )
    moveaxis = movedim
    diagonal, diag, diag_embed, diagflat = (_method(n) for n in ("diagonal", "diag", "diag_embed", "diagflat"))
    fill_diagonal_, tril_, triu_ = (_in_place(n) for n in ("fill_diagonal", "tril", "triu"))
    narrow, select, unfold, unflatten, unbind = (
        _method(n) for n in ("narrow", "select", "unfold", "unflatten", "unbind")
    )
    split, chunk, tensor_split = (_method(n) for n in ("split", "chunk", "tensor_split"))
    hsplit, vsplit, dsplit = (_method(n) for n in ("hsplit", "vsplit", "dsplit"))
    swapaxes = swapdims = _called("swapaxes", "transpose")
    unsqueeze_, squeeze_, transpose_ = (_reshaped(n) for n in ("unsqueeze", "squeeze", "transpose"))
    swapaxes_ = swapdims_ = transpose_

    def flip(self: Any, *axes: Any, dims: Any = None) -> Tensor:
        """The elements in the opposite order along axes."""
        return OPS["flip"](self, (axes[0] if len(axes) == 1 else axes) if dims is None else dims)

    def ravel(self: Any) -> Tensor:
        """One axis with all elements; a view where they lie in order."""
        return OPS["reshape"](self, (-1,))

    def view_as(self: Any, other: Tensor) -> Tensor:
        """The same memory in another tensor's shape."""
        return OPS["view"](self, other.shape)

    def reshape_as(self: Any, other: Tensor) -> Tensor:
        """The same elements in another tensor's shape."""
        return OPS["reshape"](self, other.shape)

    def expand_as(self: Any, other: Tensor) -> Tensor:
        """Axes of size 1 and new leading axes repeated to another tensor's shape; a view."""
        return OPS["expand"](self, other.shape)

    def t_(self: Any) -> Tensor:
        """The axes of a matrix exchanged, in place."""
        return OPS["reshape_in"](self, "permute", tuple(reversed(range(self.ndim))))

    def adjoint(self: Any) -> Tensor:
        """The last two axes exchanged."""
        return self.mT

    # ---- products and matrices --------------------------------------------------------------------------------------

    dot, inner, mv, mm, bmm = (_method(n) for n in ("dot", "inner", "mv", "mm", "bmm"))
    vdot, ger = _called("vdot", "dot"), _called("ger", "outer")
    outer, kron, trace, cross, dist = (_method(n) for n in ("outer", "kron", "trace", "cross", "dist"))
    addmm, addmv, addr, baddbmm, addbmm = (_method(n) for n in ("addmm", "addmv", "addr", "baddbmm", "addbmm"))
    addmm_, addmv_, addr_, baddbmm_, addbmm_ = (_in_place(n) for n in ("addmm", "addmv", "addr", "baddbmm", "addbmm"))
    inverse, pinverse = _called("inverse", "inv"), _called("pinverse", "pinv")
    det, slogdet, logdet, matrix_power, matrix_exp = (
        _method(n) for n in ("det", "slogdet", "logdet", "matrix_power", "matrix_exp")
    )
    cholesky, qr = _method("cholesky"), _method("qr")

    def svd(self: Any, some: bool = True) -> Any:
        """U, S and V (not its transpose) with self = U diag(S) V^T: see ``nnkit.linalg.svd``."""
        u, s, vh = OPS["svd"](self, not some)
        return u, s, vh.mT

    # ---- random -----------------------------------------------------------------------------------------------------

    multinomial, bernoulli = _method("multinomial"), _method("bernoulli")
    normal_, uniform_, bernoulli_, exponential_ = (
        _called(f"{n}_", f"{n}_in") for n in ("normal", "uniform", "bernoulli", "exponential")
    )
    log_normal_, cauchy_, geometric_, random_ = (
        _called(f"{n}_", f"{n}_in") for n in ("log_normal", "cauchy", "geometric", "random")
    )
