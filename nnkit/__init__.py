"""nnkit: neural networks for one machine, written once, run on a laptop CPU or an NVIDIA GPU.

``import nnkit as torch`` speaks PyTorch's vocabulary; ``nnkit.keras`` Keras's; ``nnkit.sklearn`` scikit-learn's.

A map:

- tensors and what is computed with them: ``nnkit.tensor``, ``zeros``, ``rand``, ``matmul``, ``sum`` …; all of that in
  ``nnkit.ops``; ``linalg``, ``random``, ``distributions``; gradients: ``backward``, ``grad``, ``autograd``, ``func``
- networks: ``nn`` (layers, losses, ``nn.functional``, ``nn.init``), ``optim`` (optimizers, schedules, averaging)
- training: every Module has ``fit``, ``evaluate``, ``predict``, ``save``; callbacks, metrics: ``training``
- data: ``datasets``, ``preprocessing`` (tables, scaling, splitting), ``utils.data`` (loaders and samplers)
- several processes: ``parallel`` (MPI), or ``fit(parallel="mpi")``
- speed: ``compile`` records a step and replays it without Python, ``explain`` prints what was recorded
- devices: ``devices()`` lists them; ``cuda``, ``amp``, ``set_num_threads``; a backend of your own: ``backends``
- models in use: ``registry`` (published versions), ``serve`` (``python -m nnkit serve``: answers over HTTP)
- files: ``save``, ``load``, ``save_checkpoint``, ``io``; what is wrong with a machine: ``python -m nnkit doctor``
"""

import builtins
import importlib
import math
from types import ModuleType
from typing import Any

try:
    import nnkit.backends
except ModuleNotFoundError as error:
    if error.name != "nnkit.backends":
        raise
    raise ImportError(
        "this is nnkit's source folder, and what is installed is a copy of it, whose parts are not found from here: "
        "run Python from another folder, or install the folder itself: pip install -e ."
    ) from None

from nnkit import accelerator, amp, cuda, errors, io, linalg, nn, ops, optim, random, training, utils, version
from nnkit.backends import Device as device
from nnkit.backends import DeviceRow, DeviceUnavailable, devices, set_device_fallback
from nnkit.backends.threads import get_num_threads, set_num_threads
from nnkit.io import load, load_checkpoint, load_state_dict, register_module, save, save_checkpoint
from nnkit.ops.aliases import asarray, cholesky, qr, svd
from nnkit.ops.promotion import result_type
from nnkit.optim import GradScaler
from nnkit.recording.compiled import compile
from nnkit.recording.explain import explain
from nnkit.switches import (
    are_deterministic_algorithms_enabled,
    get_deterministic_debug_mode,
    is_deterministic_algorithms_warn_only_enabled,
    set_deterministic_debug_mode,
    set_flush_denormal,
    use_deterministic_algorithms,
)  # fmt: skip
from nnkit.tensors import dtypes
from nnkit.tensors.default_device import get_default_device, set_default_device
from nnkit.tensors.gradients import grad
from nnkit.tensors.limits import finfo, iinfo
from nnkit.tensors.methods import spoken
from nnkit.tensors.precision import (
    autocast,
    get_float32_matmul_precision,
    get_matmul_precision,
    set_float32_matmul_precision,
    set_matmul_precision,
)
from nnkit.tensors.printing import set_printoptions
from nnkit.tensors.random import Generator, default_generator, get_rng_state, initial_seed, manual_seed, set_rng_state
from nnkit.tensors.random_tensors import rand, rand_like, randint, randn, randn_like, randperm
from nnkit.tensors.tape import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from nnkit.tensors.tensor import Parameter, Size, Tensor
from nnkit.utils.signatures import unquote_when_shown
from nnkit.version import __version__

# The words of PyTorch's main module, as many to a line as it holds.
# isort: off
# fmt: off
from nnkit.ops import (
    abs, absolute, acos, acosh, add, addbmm, addcdiv, addcmul, addmm, addmv, addr, all, allclose, amax, amin, aminmax,
    any, arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, argmax, argmin, argsort, argwhere, asin, asinh,
    atan, atan2, atanh, atleast_1d, atleast_2d, atleast_3d, baddbmm, bernoulli, bincount, bitwise_and,
    bitwise_left_shift, bitwise_not, bitwise_or, bitwise_right_shift, bitwise_xor, block_diag, bmm, broadcast_tensors,
    broadcast_to, bucketize, can_cast, cartesian_prod, cat, cdist, ceil, chain_matmul, cholesky_solve, chunk, clamp,
    clamp_max, clamp_min, clip, clone, column_stack, combinations, concat, concatenate, copysign, corrcoef, cos, cosh,
    count_nonzero, cov, cross, cummax, cummin, cumprod, cumsum, deg2rad, det, diag, diag_embed, diagflat, diagonal,
    diff, digamma, dist, div, divide, dot, dropout, dsplit, dstack, einsum, eq, equal, erf, erfc, exp, exp2, expm1, fix,
    flatten, flip, fliplr, flipud, float_power, floor, floor_divide, fmax, fmin, fmod, frac, gather, ge, ger, greater,
    greater_equal, gt, heaviside, histc, histogram, hsplit, hstack, hypot, index_add, index_copy, index_fill, index_put,
    index_select, inner, inverse, is_complex, is_floating_point, is_nonzero, is_tensor, isclose, isfinite, isin, isinf,
    isnan, isneginf, isposinf, kron, kthvalue, le, lerp, less, less_equal, lgamma, log, log1p, log2, log10, log_softmax,
    logaddexp, logaddexp2, logcumsumexp, logdet, logical_and, logical_not, logical_or, logical_xor, logit, logsumexp,
    lt, masked_fill, masked_scatter, masked_select, matmul, matrix_exp, matrix_power, max, maximum, mean, median,
    meshgrid, min, minimum, mm, mode, moveaxis, movedim, msort, mul, multinomial, multiply, mv, nan_to_num, nanmean,
    nanmedian, nanquantile, nansum, narrow, ne, neg, negative, nonzero, norm, normal, not_equal, numel, outer, permute,
    pinverse, poisson, positive, pow, prod, promote_types, put, quantile, rad2deg, randint_like, ravel, reciprocal,
    relu, remainder, renorm, repeat, repeat_interleave, reshape, roll, rot90, round, row_stack, rsqrt, rsub, scatter,
    scatter_add, scatter_reduce, searchsorted, select, sigmoid, sign, signbit, sin, sinc, sinh, slogdet, softmax, sort,
    split, sqrt, square, squeeze, stack, std, std_mean, sub, subtract, sum, swapaxes, swapdims, t, take, take_along_dim,
    tan, tanh, tensor_split, tensordot, tile, topk, trace, transpose, trapezoid, trapz, tril, tril_indices, triu,
    triu_indices, true_divide, trunc, unbind, unflatten, unfold, unique, unique_consecutive, unsqueeze, var, var_mean,
    vdot, vsplit, vstack, where, xlogy,
)
from nnkit.tensors.creation import (
    arange, as_tensor, empty, empty_like, eye, from_dlpack, from_numpy, full, full_like, linspace, logspace, ones,
    ones_like, scalar_tensor, tensor, zeros, zeros_like,
)
from nnkit.tensors.dtypes import (
    bool_, double, float16, float32, float64, get_default_dtype, half, int8, int16, int32, int64, long,
    set_default_dtype, short, uint8,
)
from nnkit.tensors.typed import (
    BoolTensor, ByteTensor, CharTensor, DoubleTensor, FloatTensor, HalfTensor, IntTensor, LongTensor, ShortTensor,
    set_default_tensor_type,
)
# fmt: on
# isort: on

#: The modules whose functions are spoken of in PyTorch's ways.
_SPOKEN = ("nnkit.ops", "nnkit.tensors.creation", "nnkit.tensors.random_tensors")
# Functions take PyTorch's other words for their arguments, and out=; inside of nnkit nobody uses those.
for _name, _function in list(globals().items()):
    if getattr(_function, "__module__", "").startswith(_SPOKEN) and callable(_function):
        globals()[_name] = spoken(_function)
# PyTorch's names that would hide Python's own here.
_BUILTIN_NAMES = {"float": float32, "int": int32, "bool": bool_}
pi, e, inf, nan = math.pi, math.e, math.inf, math.nan
strided = "strided"  # the one layout; a word of ``layout=``
has_mps = has_cudnn = has_mkl = False


#: Modules that are imported when first asked for.
_LATER = (
    "autograd", "datasets", "distributed", "distributions", "func", "keras", "onnx", "plot", "preprocessing", "serve",
    "sklearn", "testing", "tune",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """The vocabularies and data sets, imported when first asked for."""
    if name in _LATER:
        return importlib.import_module(f"nnkit.{name}")
    if name == "bfloat16":  # needs a package that may not be there
        return dtypes.bfloat16
    if name in _BUILTIN_NAMES:
        return _BUILTIN_NAMES[name]
    if name == "has_cuda":
        return cuda.is_available()
    raise AttributeError(f"module 'nnkit' has no attribute {name!r}")


#: What lies in this module and is no word of nnkit's: rooms of the house, and what this file works with.
_NO_WORDS = {
    "Any",
    "ModuleType",
    "builtins",
    "importlib",
    "kernels",
    "math",
    "recording",
    "spoken",
    "tensors",
    "unquote_when_shown",
}
_PUBLIC = {name for name in globals() if name[0] != "_"} - _NO_WORDS
#: What ``from nnkit import *`` brings: all but modules, and but what would hide Python's own words (abs, sum, ...).
__all__ = sorted(
    name for name in _PUBLIC if not isinstance(globals()[name], ModuleType) and not hasattr(builtins, name)
) + ["nn", "optim"]


def __dir__() -> list[str]:
    return sorted(_PUBLIC | {*_LATER, *_BUILTIN_NAMES, "bfloat16", "has_cuda", "__version__"})


unquote_when_shown(__name__)
