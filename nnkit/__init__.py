"""nnkit: neural networks for one machine, written once, run on a laptop CPU or an NVIDIA GPU.

``import nnkit as torch`` speaks PyTorch's vocabulary; ``nnkit.keras`` Keras's; ``nnkit.sklearn`` scikit-learn's.
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

from nnkit import accelerator, amp, cuda, dtypes, errors, io, nn, ops, optim, random, training, utils, version
from nnkit.backends import Device as device
from nnkit.backends import DeviceRow, DeviceUnavailable, devices, set_device_fallback
from nnkit.backends.threads import get_num_threads, set_num_threads
from nnkit.compiled import compile
from nnkit.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)  # fmt: skip
from nnkit.creation import (
    as_tensor as asarray,
)
from nnkit.dtypes import (
    bool_,
    double,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    int8,
    int16,
    int32,
    int64,
    long,
    set_default_dtype,
    short,
    uint8,
)  # fmt: skip
from nnkit.explain import explain
from nnkit.gradients import grad
from nnkit.io import load, load_checkpoint, load_state_dict, register_module, save, save_checkpoint
from nnkit.ops import (
    abs,
    add,
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    cat,
    clamp,
    clone,
    cos,
    div,
    dropout,
    eq,
    erf,
    exp,
    expm1,
    flatten,
    floor,
    ge,
    gt,
    le,
    log,
    log1p,
    log_softmax,
    logical_and,
    logical_not,
    logical_or,
    logsumexp,
    lt,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    mul,
    ne,
    neg,
    norm,
    permute,
    pow,
    prod,
    reciprocal,
    relu,
    reshape,
    round,
    sigmoid,
    sign,
    sin,
    softmax,
    split,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    sub,
    sum,
    tanh,
    transpose,
    unsqueeze,
    var,
    where,
)  # fmt: skip
from nnkit.optim import GradScaler
from nnkit.precision import (
    autocast,
    get_float32_matmul_precision,
    get_matmul_precision,
    set_float32_matmul_precision,
    set_matmul_precision,
)
from nnkit.printing import set_printoptions
from nnkit.questions import finfo, iinfo, is_floating_point, is_nonzero, is_tensor, numel
from nnkit.random import Generator, default_generator, get_rng_state, initial_seed, manual_seed, set_rng_state
from nnkit.switches import (
    are_deterministic_algorithms_enabled,
    get_deterministic_debug_mode,
    is_deterministic_algorithms_warn_only_enabled,
    set_deterministic_debug_mode,
    set_flush_denormal,
    use_deterministic_algorithms,
)  # fmt: skip
from nnkit.tape import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from nnkit.tensor import Parameter, Size, Tensor, get_default_device, set_default_device
from nnkit.typed import (
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
    set_default_tensor_type,
)  # fmt: skip
from nnkit.version import __version__

mm = matmul
# PyTorch's names that would hide Python's own here.
_BUILTIN_NAMES = {"float": float32, "int": int32, "bool": bool_}
pi, e, inf, nan = math.pi, math.e, math.inf, math.nan
strided = "strided"  # the one layout; a word of ``layout=``
has_mps = has_cudnn = has_mkl = False


def __getattr__(name: str) -> Any:
    """The vocabularies and data sets, imported when first asked for."""
    if name in ("autograd", "datasets", "func", "keras", "preprocessing", "sklearn", "testing"):
        return importlib.import_module(f"nnkit.{name}")
    if name == "bfloat16":  # needs a package that may not be there
        return dtypes.bfloat16
    if name in _BUILTIN_NAMES:
        return _BUILTIN_NAMES[name]
    if name == "has_cuda":
        return cuda.is_available()
    raise AttributeError(f"module 'nnkit' has no attribute {name!r}")


#: What ``from nnkit import *`` brings: all but modules, and but what would hide Python's own words (abs, sum, ...).
__all__ = sorted(
    name
    for name, value in globals().items()
    if name[0] != "_" and not isinstance(value, ModuleType) and value is not Any and not hasattr(builtins, name)
) + ["nn", "optim"]
