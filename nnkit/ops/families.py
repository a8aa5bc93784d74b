"""What the ops of a family have in common: shapes, dtypes, errors and whose name it is; see ``docstrings``."""

from __future__ import annotations

__all__ = ["LINALG", "OPS"]

MATRICES = """
A has shape (..., M, N), float32 or float64, and every matrix of a batch is done alike. Raises ShapeError for fewer
than two axes, DtypeError for whole numbers. Source: ``torch.linalg.{name}``.
"""
SQUARE = """
A has shape (..., N, N), float32 or float64, and every matrix of a batch is done alike. Raises ShapeError for what
is not square, DtypeError for whole numbers. Source: ``torch.linalg.{name}``.
"""
SYSTEMS = """
A has shape (..., N, N), B (..., N, K) or (..., N), both float32 or both float64. Raises MatrixError for a singular
matrix, ShapeError where sizes do not fit, DtypeError for whole numbers. Source: ``torch.linalg.{name}``.
"""
NORMS = """
The tensor is of any shape, float32 or float64. Raises ShapeError for an axis that it does not have, DtypeError for
whole numbers, ValueError for an unknown order. Source: ``torch.linalg.{name}``.
"""
PAIRS = """
Both are of any dtype, which is promoted, and their shapes broadcast. Raises ShapeError where sizes do not fit,
DtypeError for what is neither a Tensor nor numbers. Source: ``torch.linalg.{name}``.
"""
CHAINS = """
Matrices (M, K) and (K, N), of any dtype. Raises ShapeError for fewer than two, and where sizes do not fit. Source:
``torch.linalg.{name}``.
"""
LEAST = """
A has shape (..., M, N), B (..., M, K), float32 or float64. Raises ShapeError where sizes do not fit, DtypeError for
whole numbers. Source: ``torch.linalg.{name}``.
"""
DIAGONALS = """
A has shape (..., M, N), of any dtype. Raises ShapeError for an axis that it does not have, and for the same one
twice. Source: ``torch.linalg.{name}``.
"""
#: Those of ``nnkit.linalg``.
LINALG = (
    (MATRICES, "cond matrix_rank pinv qr svd svdvals"),
    (SQUARE, "cholesky det eigh eigvalsh inv matrix_exp matrix_power slogdet"),
    (SYSTEMS, "solve solve_triangular"),
    (NORMS, "matrix_norm norm vector_norm"),
    (PAIRS, "cross matmul vecdot"),
    (CHAINS, "multi_dot"),
    (LEAST, "lstsq"),
    (DIAGONALS, "diagonal"),
)

ELEMENTS_OF_FLOATS = """
A Tensor of any shape; the result has its shape and dtype, and of whole numbers and booleans the default float type.
Raises TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
ELEMENTS_OF_NUMBERS = """
A Tensor of any shape, of floats or whole numbers; the result has its shape and dtype. Raises DtypeError for
booleans, TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
ELEMENTS = """
A Tensor of any shape and dtype; the result has its shape and dtype. Raises TypeError for what is no Tensor. Source:
``torch.{name}``.
"""
FRACTIONS = """
A float Tensor of any shape; the result has its shape and dtype. Raises TypeError for what is no Tensor. Source:
``torch.{name}``.
"""
PROPERTIES = """
A Tensor of any shape and dtype; the result has its shape and is bool. Raises TypeError for what is no Tensor.
Source: ``torch.{name}``.
"""
COMPARISONS = """
Tensors of any dtype, or one and a number, whose shapes broadcast; the result is bool. Raises ShapeError where they
do not broadcast, TypeError for what is neither a Tensor nor numbers. Source: ``torch.{name}``.
"""
ARITHMETIC = """
Tensors, or one and a number, whose shapes broadcast; the dtype is that of ``result_type``. Raises ShapeError where
they do not broadcast, TypeError for what is neither a Tensor nor numbers. Source: ``torch.{name}``.
"""
ARITHMETIC_OF_FLOATS = """
Tensors, or one and a number, whose shapes broadcast; the dtype is that of ``result_type``, and of whole numbers the
default float type. Raises ShapeError where they do not broadcast, TypeError for what is neither a Tensor nor
numbers. Source: ``torch.{name}``.
"""
ONLY_FLOATS = """
Tensors, or one and a number, whose shapes broadcast; the dtype is that of ``result_type``. Raises ShapeError where
they do not broadcast, DtypeError where none is of floats, and for what is neither a Tensor nor numbers. Source:
``torch.{name}``.
"""
BITS = """
Tensors of whole numbers (or, but for shifts, booleans), or one and a number, whose shapes broadcast. Raises
ShapeError where they do not broadcast, DtypeError for floats. Source: ``torch.{name}``.
"""
BOUNDS = """
The Tensor is of any shape and dtype, the bound is a number or a Tensor that broadcasts with it. Raises ShapeError
where they do not broadcast, DtypeError for what is neither. Source: ``torch.{name}``.
"""
THREE = """
Tensors of numbers whose shapes broadcast. Raises ShapeError where they do not broadcast, DtypeError for what is no
Tensor. Source: ``torch.{name}``.
"""
CLOSE = """
Two Tensors of one dtype whose shapes broadcast. Raises ShapeError where they do not broadcast, DtypeError for two
dtypes, TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
REDUCTIONS = """
A Tensor of any shape and dtype; the result has that dtype, and lacks the axes of ``dim``, or all, or has size 1
there with ``keepdim``. Raises ShapeError for an axis that it does not have, TypeError for what is no Tensor.
Source: ``torch.{name}``.
"""
EXTREMES = """
A Tensor of any shape and dtype with at least one element, of whose dtype the elements are; indices are int64. The
result lacks the axes of ``dim``, or has size 1 there with ``keepdim``. Raises ShapeError for an axis that it does
not have, and for no elements, TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
MIDDLES = """
A Tensor of any shape and dtype, of whose dtype the elements are; indices are int64. The result lacks the axis
``dim``, or has size 1 there with ``keepdim``. Raises ShapeError for an axis that it does not have, TypeError for
what is no Tensor. Source: ``torch.{name}``.
"""
REDUCTIONS_TO_WHOLE = """
A Tensor of any shape; the result lacks the axes of ``dim``, or all, or has size 1 there with ``keepdim``. Floats
keep their dtype. Raises ShapeError for an axis that it does not have, TypeError for what is no Tensor. Source:
``torch.{name}``.
"""
REDUCTIONS_TO_FLOATS = """
A Tensor of any shape; the result lacks the axes of ``dim``, or all, or has size 1 there with ``keepdim``. It has
the Tensor's float dtype, or of whole numbers the default one. Raises ShapeError for an axis that it does not have,
TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
REDUCTIONS_OF_FLOATS = """
A Tensor of floats, of any shape; the result has its dtype, and lacks the axes of ``dim``, or all, or has size 1
there with ``keepdim``. Raises ShapeError for an axis that it does not have, DtypeError for whole numbers, TypeError
for what is no Tensor. Source: ``torch.{name}``.
"""
TRUTHS = """
A Tensor of any shape and dtype; the result is bool, and lacks the axes of ``dim``, or all, or has size 1 there with
``keepdim``. Raises ShapeError for an axis that it does not have, TypeError for what is no Tensor. Source:
``torch.{name}``.
"""
SCANS = """
A Tensor of any shape; the result has its shape, and where nothing else is said its dtype. Raises ShapeError for an
axis that it does not have, TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
SCANS_OF_FLOATS = """
A Tensor of floats, of any shape; the result has its shape and dtype. Raises ShapeError for an axis that it does not
have, DtypeError for whole numbers. Source: ``torch.{name}``.
"""
NEIGHBOURS = """
A Tensor of any dtype with at least one axis. Raises ShapeError for an axis that it does not have, and where places
and points differ in number, TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
AXES = """
A Tensor of any dtype, which the result has. Raises ShapeError for an axis that it does not have, TypeError for what
is no Tensor. Source: ``torch.{name}``.
"""
SIZES = """
A Tensor of any dtype, which the result has. Raises ShapeError for sizes that do not fit, TypeError for what is no
Tensor. Source: ``torch.{name}``.
"""
ANY_AXES = """
A Tensor of any shape and dtype; the result has its dtype. Raises TypeError for what is no Tensor. Source:
``torch.{name}``.
"""
TURNED = """
A Tensor of any dtype, which the result has, with enough axes. Raises ShapeError for fewer, TypeError for what is no
Tensor. Source: ``torch.{name}``.
"""
TRIANGLES = """
A Tensor (..., M, N) of any dtype; the result has its shape and dtype. Raises ShapeError for fewer than two axes,
TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
JOINED = """
Tensors, in a list or tuple, of any dtypes, which are promoted. Raises ShapeError where their sizes do not fit,
TypeError for what are no Tensors. Source: ``torch.{name}``.
"""
SEVERAL = """
Tensors, one by one, of any dtype. Raises ShapeError where their sizes do not fit, TypeError for what is no Tensor.
Source: ``torch.{name}``.
"""
CUT = """
A Tensor of any dtype, which the pieces have. Raises ShapeError where it lacks the axis, or cannot be cut so,
TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
PRODUCTS = """
Of any dtypes, which are promoted. Raises ShapeError for other numbers of axes, and where sizes do not fit,
TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
SUMS_AND_PRODUCTS = """
Of any dtypes, which are promoted; input broadcasts to the shape of the product. Raises ShapeError where sizes do
not fit, TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
WHOLE_TENSORS = """
Tensors of any shape and dtype; dtypes are promoted. Raises TypeError for what is no Tensor. Source:
``torch.{name}``.
"""
PLACES = """
input is of any dtype, which the result has; index is int64. Raises ShapeError for an axis that it does not have or
an index that does not fit, IndexError for one out of range, DtypeError for one that is not of whole numbers,
TypeError for an input that is no Tensor. Source: ``torch.{name}``.
"""
MASKS = """
input is of any shape and dtype, mask a bool Tensor that broadcasts with it. Raises ShapeError where they do not
broadcast, DtypeError for a mask that is not bool, TypeError for an input that is no Tensor. Source:
``torch.{name}``.
"""
SORTED = """
A Tensor of any shape and dtype; values have its dtype, indices are int64. Raises ShapeError for an axis that it
does not have, TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
SHARES = """
A Tensor of floats, of any shape; the result has its dtype. Raises ShapeError for an axis that it does not have,
DtypeError for whole numbers, TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
COUNTED = """
A Tensor of floats, of any shape. Raises DtypeError for whole numbers, TypeError for what is no Tensor. Source:
``torch.{name}``.
"""
BUCKETS = """
Tensors of any dtype. Raises ShapeError for boundaries that do not fit, DtypeError for what is neither a Tensor nor
numbers. Source: ``torch.{name}``.
"""
STATISTICS = """
A vector, or a matrix (variables, observations), of floats or whole numbers, which become floats. Raises ShapeError
for more axes, TypeError for what is no Tensor. Source: ``torch.{name}``.
"""
DRAWS = """
The result has input's shape. Raises DtypeError for whole numbers, TypeError for what is no Tensor. Source:
``torch.{name}``.
"""
QUESTIONS = """
A Tensor of any shape and dtype; the answer is Python's. Raises TypeError for what is no Tensor. Source:
``torch.{name}``.
"""
#: Those of PyTorch's top level.
OPS = (
    (
        ELEMENTS_OF_FLOATS,
        "acos acosh asin asinh atan atanh cos cosh deg2rad digamma erf erfc exp exp2 expm1 lgamma log log10 log1p log2"
        " logit rad2deg reciprocal rsqrt sigmoid sin sinc sinh sqrt tan tanh",
    ),
    (ELEMENTS_OF_NUMBERS, "abs ceil floor neg positive relu round trunc"),
    (ELEMENTS, "clone nan_to_num sign square"),
    (FRACTIONS, "frac"),
    (PROPERTIES, "isfinite isinf isnan isneginf isposinf logical_not signbit"),
    (COMPARISONS, "eq ge gt le logical_and logical_or logical_xor lt ne"),
    (ARITHMETIC, "add floor_divide fmax fmin fmod heaviside maximum minimum mul pow remainder rsub sub"),
    (ARITHMETIC_OF_FLOATS, "atan2 copysign div true_divide xlogy"),
    (ONLY_FLOATS, "hypot logaddexp logaddexp2"),
    (BITS, "bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor"),
    (BOUNDS, "clamp clamp_max clamp_min"),
    (THREE, "addcdiv addcmul"),
    (CLOSE, "allclose isclose"),
    (REDUCTIONS, "nanmedian"),
    (EXTREMES, "amax amin aminmax argmax argmin max min mode"),
    (MIDDLES, "kthvalue median"),
    (REDUCTIONS_TO_WHOLE, "count_nonzero nansum prod sum"),
    (REDUCTIONS_TO_FLOATS, "logsumexp mean norm std std_mean var var_mean"),
    (REDUCTIONS_OF_FLOATS, "nanmean"),
    (TRUTHS, "all any"),
    (SCANS, "cummax cummin cumprod cumsum"),
    (SCANS_OF_FLOATS, "log_softmax logcumsumexp softmax"),
    (NEIGHBOURS, "diff trapezoid"),
    (AXES, "diag_embed diagonal flip movedim narrow permute roll rot90 select squeeze transpose unfold unsqueeze"),
    (SIZES, "broadcast_to diag flatten repeat reshape tile unflatten"),
    (ANY_AXES, "diagflat ravel"),
    (TURNED, "fliplr flipud t"),
    (TRIANGLES, "tril triu"),
    (JOINED, "cat column_stack dstack hstack row_stack stack"),
    (SEVERAL, "broadcast_tensors cartesian_prod meshgrid"),
    (CUT, "chunk dsplit hsplit split tensor_split unbind vsplit"),
    (PRODUCTS, "bmm chain_matmul dot inner mm mv outer tensordot trace"),
    (SUMS_AND_PRODUCTS, "addbmm addmm addmv addr baddbmm"),
    (WHOLE_TENSORS, "atleast_1d atleast_2d atleast_3d block_diag kron"),
    (PLACES, "gather index_add index_copy index_fill index_select put scatter scatter_add scatter_reduce take"),
    (MASKS, "masked_fill masked_scatter masked_select"),
    (SORTED, "argsort sort topk"),
    (SHARES, "nanquantile quantile"),
    (COUNTED, "histc histogram"),
    (BUCKETS, "bucketize searchsorted"),
    (STATISTICS, "corrcoef cov"),
    (DRAWS, "bernoulli poisson"),
    (QUESTIONS, "is_floating_point numel"),
)
