"""Functions of arrays with Keras's names, arguments, types and results: ``keras.ops``.

They take tensors, arrays and numbers, and return tensors, on the tape; called on symbolic tensors they are parts of a
model. Files by family: ``elementwise``, ``comparing``, ``reducing``, ``shaping``, ``gathering``, ``creating``,
``products``, ``networks``, ``windows``, ``images``, ``filters``, ``fourier``, ``control``; ``types`` for element types.
"""

from __future__ import annotations

import importlib
from typing import Any

from nnkit.keras.ops.examples import EXAMPLES as _EXAMPLES
from nnkit.keras.ops.families import FAMILIES as _FAMILIES
from nnkit.keras.symbolic import symbolic
from nnkit.keras.told import tell as _tell
from nnkit.ops.examples import show_examples as _show_examples

# isort: off
# fmt: off
from nnkit.keras.ops.comparing import (
    allclose, equal, greater, greater_equal, isclose, isfinite, isin, isinf, isnan, isneginf, isposinf, isreal, less,
    less_equal, logical_and, logical_not, logical_or, logical_xor, nonzero, not_equal, select, signbit, where,
)
from nnkit.keras.ops.control import (
    associative_scan, cast, cond, convert_to_numpy, custom_gradient, dtype, fori_loop, is_tensor, map, ndim,
    saturate_cast, scan, shape, size, stop_gradient, switch, vectorize, vectorized_map, while_loop,
)
from nnkit.keras.ops.creating import (
    arange, array, bartlett, blackman, copy, empty, empty_like, eye, full, full_like, geomspace, hamming, hanning,
    identity, kaiser, linspace, logspace, meshgrid, ones, ones_like, tri, zeros, zeros_like,
)
from nnkit.keras.ops.elementwise import (
    abs, absolute, add, angle, arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, bitwise_and, bitwise_invert,
    bitwise_left_shift, bitwise_not, bitwise_or, bitwise_right_shift, bitwise_xor, cbrt, ceil, clip, conj, conjugate,
    cos, cosh, deg2rad, divide, divide_no_nan, erf, erfc, erfinv, exp, exp2, expm1, fabs, floor, floor_divide, fmax,
    fmin, fmod, heaviside, hypot, imag, ldexp, left_shift, log, log1p, log2, log10, logaddexp, logaddexp2, maximum,
    minimum, mod, multiply, nan_to_num, negative, power, rad2deg, real, reciprocal, right_shift, round, rsqrt, sign,
    sin, sinc, sinh, sqrt, square, subtract, tan, tanh, true_divide, trunc,
)
from nnkit.keras.ops.fourier import (
    extract_sequences, fft, fft2, ifft2, irfft, istft, rfft, stft,
)
from nnkit.keras.ops.gathering import (
    bincount, digitize, get_item, histogram, in_top_k, multi_hot, one_hot, scatter, scatter_update, searchsorted,
    segment_max, segment_min, segment_prod, segment_sum, slice, slice_update, take, take_along_axis, top_k, unique,
    unravel_index,
)
from nnkit.keras.ops.networks import (
    batch_normalization, binary_crossentropy, categorical_crossentropy, celu, ctc_decode, ctc_loss,
    dot_product_attention, elu, gelu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_swish, hard_tanh,
    layer_normalization, leaky_relu, log_sigmoid, log_softmax, normalize, relu, relu6, rms_normalization, selu, sigmoid,
    silu, soft_shrink, softmax, softplus, softsign, sparse_categorical_crossentropy, sparse_plus, sparse_sigmoid,
    sparsemax, squareplus, swish, tanh_shrink, threshold,
)
from nnkit.keras.ops.products import (
    cdist, cholesky, cholesky_inverse, corrcoef, correlate, cross, det, dot, eigh, einsum, inner, inv, kron, logdet,
    lstsq, matmul, matrix_rank, norm, outer, pinv, psnr, qr, slogdet, solve, solve_triangular, svd, tensordot, vdot,
)
from nnkit.keras.ops.reducing import (
    all, amax, amin, any, argmax, argmin, argpartition, argsort, average, count_nonzero, cumprod, cumsum, diff,
    logsumexp, max, mean, median, min, moments, nanargmax, nanargmin, nancumprod, nancumsum, nanmax, nanmean, nanmedian,
    nanmin, nanpercentile, nanprod, nanquantile, nanstd, nansum, nanvar, percentile, prod, ptp, quantile, sort, std,
    sum, trapezoid, var,
)
from nnkit.keras.ops.shaping import (
    append, array_split, broadcast_to, concatenate, depth_to_space, diag, diagflat, diagonal, dsplit, dstack,
    expand_dims, flip, fliplr, flipud, fold, hsplit, hstack, moveaxis, pad, ravel, rearrange, repeat, reshape, roll,
    rot90, space_to_depth, split, squeeze, stack, swapaxes, tile, trace, transpose, tril, triu, unfold, unstack, vander,
    view, vsplit, vstack,
)
from nnkit.keras.ops.types import convert_to_tensor
from nnkit.keras.ops.windows import (
    adaptive_average_pool, adaptive_max_pool, average_pool, conv, conv_transpose, depthwise_conv, max_pool,
    separable_conv,
)
# fmt: on
# isort: on

#: Namespaces of these functions, imported when first asked for.
NAMESPACES = ("image", "linalg", "nn", "numpy")
#: Answered at once, for symbolic tensors too.
_PLAIN = ("is_tensor", "shape", "ndim", "dtype", "size", "convert_to_numpy", "vectorize", "custom_gradient")

# fmt: off
__all__ = [
    "abs", "absolute", "adaptive_average_pool", "adaptive_max_pool", "add", "all", "allclose", "amax", "amin",
    "angle", "any", "append", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "argmax", "argmin", "argpartition", "argsort", "array", "array_split", "associative_scan", "average",
    "average_pool", "bartlett", "batch_normalization", "binary_crossentropy", "bincount", "bitwise_and",
    "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
    "blackman", "broadcast_to", "cast", "categorical_crossentropy", "cbrt", "cdist", "ceil", "celu", "cholesky",
    "cholesky_inverse", "clip", "concatenate", "cond", "conj", "conjugate", "conv", "conv_transpose",
    "convert_to_numpy", "convert_to_tensor", "copy", "corrcoef", "correlate", "cos", "cosh", "count_nonzero",
    "cross", "ctc_decode", "ctc_loss", "cumprod", "cumsum", "custom_gradient", "deg2rad", "depth_to_space",
    "depthwise_conv", "det", "diag", "diagflat", "diagonal", "diff", "digitize", "divide", "divide_no_nan", "dot",
    "dot_product_attention", "dsplit", "dstack", "dtype", "eigh", "einsum", "elu", "empty", "empty_like", "equal",
    "erf", "erfc", "erfinv", "exp", "exp2", "expand_dims", "expm1", "extract_sequences", "eye", "fabs", "fft",
    "fft2", "flip", "fliplr", "flipud", "floor", "floor_divide", "fmax", "fmin", "fmod", "fold", "fori_loop",
    "full", "full_like", "gelu", "geomspace", "get_item", "glu", "greater", "greater_equal", "hamming", "hanning",
    "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "heaviside", "histogram", "hsplit",
    "hstack", "hypot", "identity", "ifft2", "imag", "in_top_k", "inner", "inv", "irfft", "is_tensor", "isclose",
    "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf", "isreal", "istft", "kaiser", "kron",
    "layer_normalization", "ldexp", "leaky_relu", "left_shift", "less", "less_equal", "linspace", "log", "log10",
    "log1p", "log2", "log_sigmoid", "log_softmax", "logaddexp", "logaddexp2", "logdet", "logical_and",
    "logical_not", "logical_or", "logical_xor", "logspace", "logsumexp", "lstsq", "map", "matmul", "matrix_rank",
    "max", "max_pool", "maximum", "mean", "median", "meshgrid", "min", "minimum", "mod", "moments", "moveaxis",
    "multi_hot", "multiply", "nan_to_num", "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean",
    "nanmedian", "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "ndim",
    "negative", "nonzero", "norm", "normalize", "not_equal", "one_hot", "ones", "ones_like", "outer", "pad",
    "percentile", "pinv", "power", "prod", "psnr", "ptp", "qr", "quantile", "rad2deg", "ravel", "real", "rearrange",
    "reciprocal", "relu", "relu6", "repeat", "reshape", "rfft", "right_shift", "rms_normalization", "roll", "rot90",
    "round", "rsqrt", "saturate_cast", "scan", "scatter", "scatter_update", "searchsorted", "segment_max",
    "segment_min", "segment_prod", "segment_sum", "select", "selu", "separable_conv", "shape", "sigmoid", "sign",
    "signbit", "silu", "sin", "sinc", "sinh", "size", "slice", "slice_update", "slogdet", "soft_shrink", "softmax",
    "softplus", "softsign", "solve", "solve_triangular", "sort", "space_to_depth",
    "sparse_categorical_crossentropy", "sparse_plus", "sparse_sigmoid", "sparsemax", "split", "sqrt", "square",
    "squareplus", "squeeze", "stack", "std", "stft", "stop_gradient", "subtract", "sum", "svd", "swapaxes", "swish",
    "switch", "take", "take_along_axis", "tan", "tanh", "tanh_shrink", "tensordot", "threshold", "tile", "top_k",
    "trace", "transpose", "trapezoid", "tri", "tril", "triu", "true_divide", "trunc", "unfold", "unique",
    "unravel_index", "unstack", "vander", "var", "vdot", "vectorize", "vectorized_map", "view", "vsplit", "vstack",
    "where", "while_loop", "zeros", "zeros_like",
]
# fmt: on

_show_examples(globals(), "nnkit.keras.ops", _EXAMPLES)
for _told, _names in _FAMILIES.items():
    _tell(globals(), _names.split(), _told)
_seen: dict[Any, Any] = {}
for _name in __all__:
    _function = globals()[_name]
    if _name not in _PLAIN:
        # Two names of one function are one part of a model.
        globals()[_name] = _seen[_function] = _seen.get(_function) or symbolic(_function)


def __getattr__(name: str) -> Any:
    if name in NAMESPACES:
        return importlib.import_module(f"nnkit.keras.ops.{name}")
    raise AttributeError(f"module 'nnkit.keras.ops' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
