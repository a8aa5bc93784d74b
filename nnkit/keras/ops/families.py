"""What the functions of ``keras.ops`` have in common, by families: shapes, dtypes, errors and source, told in each.

They become part of the docstrings, as the examples do. ``floats`` are float16, bfloat16, float32 and float64;
``floatx`` is what whole numbers and booleans become where a result is of floats.
"""

from __future__ import annotations

__all__ = ["FAMILIES"]

NUMBERS = "Raises DtypeError for what are no numbers. Source: ``keras.ops.{name}``."
FITTING = "Raises ShapeError where they do not fit, DtypeError for what are no numbers. Source: ``keras.ops.{name}``."
SIZES = "Raises TypeError for what is no size. Source: ``keras.ops.{name}``."
MATRICES = "Raises ShapeError for others, DtypeError for what are no numbers. Source: ``keras.ops.{name}``."
CALLED = "Raises TypeError for what cannot be called, and what the function raises. Source: ``keras.ops.{name}``."

FLOATS = f"x: any shape, which the result has, and its floating dtype, or ``floatx``.\n{NUMBERS}"
SAME = f"x: any shape and dtype, which the result has, too.\n{NUMBERS}"
ARITHMETIC = f"x: any shape and dtype, which the result has, too; booleans become int32.\n{NUMBERS}"
TRUTHS = f"x: any shape and dtype; the result has x's shape, and is boolean.\n{NUMBERS}"
PAIRS = f"x1, x2: shapes that broadcast, any dtypes; the result has the common one.\n{FITTING}"
PAIRS_OF_NUMBERS = f"x1, x2: shapes that broadcast, any dtypes; the result has the common one, or int32.\n{FITTING}"
PAIRS_AS_FLOATS = f"x1, x2: shapes that broadcast; the result has the common floating dtype, or ``floatx``.\n{FITTING}"
COMPARED = f"x1, x2: shapes that broadcast, any dtypes; the result is boolean.\n{FITTING}"
BITS = "x: any shape, whole numbers or booleans.\nRaises DtypeError for others. Source: ``keras.ops.{name}``."
PAIRS_OF_BITS = f"x, y: shapes that broadcast, any dtypes of whole numbers or booleans.\n{FITTING}"
REDUCED = "x: any shape; the result is without the axes, or has them of size 1 with ``keepdims``"
ALONG = "x: any shape, which the result has, or (elements,) without an axis"
MOVED = f"Any shapes and dtypes; the result keeps the dtype.\n{NUMBERS}"
PLACES = f"Any shapes and dtypes.\n{NUMBERS}"
IMAGES = f"Images and kernels of one floating dtype, which the result has.\n{MATRICES}"
POOLED = f"Images (B, *S, C) of a floating dtype, which the result has.\n{MATRICES}"
MADE = f"The result is of that shape, of ``dtype``, or ``floatx``.\n{SIZES}"
WINDOW = "A vector of floats: (x,). Raises ValueError or TypeError for what is no size. Source: ``keras.ops.{name}``."
SQUARE = f"Square matrices of floats (..., n, n).\n{MATRICES}"
MATRIX = f"Matrices of floats (..., m, n).\n{MATRICES}"
SPECTRUM = "Two tensors of floats of one shape. Raises ShapeError for others. Source: ``keras.ops.{name}``."
LOOPED = f"Tensors in it may be of any shapes and dtypes.\n{CALLED}"

#: What to tell -> the functions.
FAMILIES: dict[str, str] = {
    FLOATS: """angle arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil celu cos cosh deg2rad elu erf erfc erfinv
        exp exp2 expm1 fabs floor gelu hard_shrink hard_sigmoid hard_silu hard_tanh layer_normalization leaky_relu log
        log10 log1p log2 log_sigmoid log_softmax normalize rad2deg reciprocal relu6 rms_normalization rsqrt selu sigmoid
        silu sin sinc sinh soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax sqrt squareplus
        tan tanh tanh_shrink threshold""",
    SAME: """abs array conj convert_to_tensor copy empty_like flip fliplr flipud imag nan_to_num ones_like real
        relu round sort stop_gradient tril triu trunc view zeros_like""",
    ARITHMETIC: "clip negative sign square",
    TRUTHS: "isfinite isinf isnan isneginf isposinf isreal logical_not signbit",
    PAIRS: "add fmax fmin maximum minimum multiply",
    PAIRS_OF_NUMBERS: "floor_divide fmod mod power subtract",
    PAIRS_AS_FLOATS: "arctan2 divide divide_no_nan heaviside hypot logaddexp logaddexp2",
    COMPARED: "equal greater greater_equal isclose less less_equal logical_and logical_or logical_xor not_equal",
    BITS: "bitwise_not",
    PAIRS_OF_BITS: "bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor",
    f"{REDUCED}, and is boolean.\n{NUMBERS}": "all any",
    f"{REDUCED}, and x's dtype.\n{NUMBERS}": "amax amin max min nanmax nanmin ptp",
    f"{REDUCED}, and x's dtype, with int32 for booleans.\n{NUMBERS}": "nanprod nansum prod sum",
    f"{REDUCED}, and its floating dtype, or ``floatx``.\n{NUMBERS}": """average logsumexp mean median moments nanmean
        nanmedian nanpercentile nanquantile nanstd nanvar norm percentile quantile std var""",
    f"{REDUCED}, and is int32.\n{NUMBERS}": "argmax argmin count_nonzero nanargmax nanargmin",
    f"{ALONG}, and x's dtype, with int32 for booleans.\n{NUMBERS}": "cumprod cumsum nancumprod nancumsum",
    f"{ALONG}, and is int32.\n{NUMBERS}": "argpartition argsort",
    MOVED: """append array_split broadcast_to concatenate diag diagflat diagonal diff dsplit dstack expand_dims
        extract_sequences get_item hsplit hstack meshgrid moveaxis pad ravel rearrange repeat reshape roll rot90
        scatter_update slice slice_update split squeeze stack swapaxes take take_along_axis tile top_k trace transpose
        unfold unique unstack vander vsplit vstack where""",
    f"x: any shape and dtype; the result has x's shape, and ``dtype``.\n{NUMBERS}": "cast full_like saturate_cast",
    PLACES: """bincount convert_to_numpy digitize dtype histogram isin ndim nonzero scatter searchsorted segment_max
        segment_min segment_prod segment_sum shape size unravel_index""",
    f"Class numbers of any shape, integers; the result is of ``dtype``, or ``floatx``.\n{NUMBERS}": "multi_hot one_hot",
    f"x1, x2: any shapes and dtypes that fit; the result has the common dtype.\n{FITTING}": """cdist cross dot inner
        kron matmul outer tensordot vdot""",
    f"x1: any shape of floats, which the result has; x2: whole numbers that broadcast.\n{FITTING}": "ldexp",
    f"x1, x2: any shapes that broadcast, any dtypes; one boolean.\n{FITTING}": "allclose",
    f"Vectors (n,) and (m,), of any dtype of numbers.\n{FITTING}": "correlate",
    f"Any shape; the result has the floating dtype, or ``floatx``.\n{FITTING}": "corrcoef glu psnr trapezoid",
    f"Integers of shape (n,), and floats (n, classes); the result is boolean.\n{FITTING}": "in_top_k",
    f"x: floats; mean and variance: vectors along the axis.\n{FITTING}": "batch_normalization",
    f"All floats; the result is without the axis of classes.\n{FITTING}": """categorical_crossentropy
        sparse_categorical_crossentropy""",
    f"Both of one shape of floats, which the result has.\n{FITTING}": "binary_crossentropy",
    f"Labels and lengths are integers, outputs floats.\n{FITTING}": "ctc_decode ctc_loss",
    f"All floats; the result is (B, T, heads, F).\n{FITTING}": "dot_product_attention",
    "Operands of any shapes and dtypes that fit the notation.\nRaises ShapeError for others."
    " Source: ``keras.ops.einsum``.": "einsum",
    IMAGES: """conv conv_transpose depth_to_space depthwise_conv fold
        separable_conv space_to_depth""",
    POOLED: "adaptive_average_pool adaptive_max_pool average_pool max_pool",
    MADE: "empty eye full identity ones tri zeros",
    "The result is of shape (n,), int32 for whole numbers, else ``floatx``.\nRaises TypeError for what is no number."
    " Source: ``keras.ops.arange``.": "arange",
    f"start, stop: shapes that broadcast; the result has an axis of ``num`` more, and is of floats.\n{NUMBERS}":
        "geomspace linspace logspace",
    WINDOW: "bartlett blackman hamming hanning kaiser",
    SQUARE: "cholesky cholesky_inverse det eigh inv logdet slogdet solve solve_triangular",
    MATRIX: "lstsq matrix_rank pinv qr svd",
    SPECTRUM: "fft fft2 ifft2 irfft istft",
    f"x: any shape of floats (..., n).\n{NUMBERS}": "rfft stft",
    LOOPED: "associative_scan map scan vectorize vectorized_map while_loop",
    "Tensors in it may be of any shapes and dtypes. Raises what the functions raise. Source: ``keras.ops.{name}``.":
        "cond fori_loop switch",
    "Conditions and choices of shapes that broadcast, any dtypes.\nRaises ValueError where they are not as many."
    " Source: ``keras.ops.select``.": "select",
    "Any shape and dtype. Raises nothing. Source: ``keras.ops.is_tensor``.": "is_tensor",
    "Source: ``keras.ops.{name}``.": "custom_gradient",
}  # fmt: skip
