"""cuBLASLt, NVIDIA's library of matrix products, through ctypes: the part of its C header that nnkit needs, no more.

A product is told to the library in pieces: a descriptor (transposed or not, what happens to the result), a layout for
each matrix, and preferences, from which it names an algorithm. Then one call with pointers and a stream computes it.
Numbers and signatures are those of ``cublasLt.h``; matrices are column-major, as everywhere in BLAS.
"""

from __future__ import annotations

import ctypes
import importlib
import weakref
from ctypes import POINTER, c_int, c_int64, c_size_t, c_uint64, c_void_p
from enum import IntEnum
from typing import Any

from nnkit.backends.errors import DeviceUnavailable

#: The library's file, by CUDA version.
SONAMES = ("libcublasLt.so.13", "libcublasLt.so.12")


class Status(IntEnum):
    """What every function returns."""

    SUCCESS = 0
    NOT_INITIALIZED = 1
    ALLOC_FAILED = 3
    INVALID_VALUE = 7
    ARCH_MISMATCH = 8
    MAPPING_ERROR = 11
    EXECUTION_FAILED = 13
    INTERNAL_ERROR = 14
    NOT_SUPPORTED = 15
    LICENSE_ERROR = 16


class DataType(IntEnum):
    """``cudaDataType``."""

    R_32F = 0
    R_64F = 1
    R_16F = 2
    R_16BF = 14


class ComputeType(IntEnum):
    """``cublasComputeType_t``: in what operands are multiplied and added. FAST: they may be rounded to it first."""

    COMPUTE_32F = 68
    COMPUTE_64F = 70
    COMPUTE_32F_FAST_16BF = 75
    COMPUTE_32F_FAST_TF32 = 77


class Operation(IntEnum):
    """``cublasOperation_t``."""

    N = 0
    T = 1


class Epilogue(IntEnum):
    """``cublasLtEpilogue_t``: what happens to the result D (m, n) = op(A) op(B) on its way to memory.

    BIAS adds a vector (m,) to every column, then RELU or GELU (by tanh) is applied; AUX stores what GELU reads.
    BGRADB leaves D alone and stores the sums of op(B) (k, n) over k, a vector (n,), where BIAS has its vector.
    """

    DEFAULT = 1
    RELU = 2
    BIAS = 4
    RELU_BIAS = 6
    GELU = 32
    GELU_BIAS = 36
    GELU_AUX = 160
    GELU_AUX_BIAS = 164
    BGRADB = 512


class DescriptorAttribute(IntEnum):
    """``CUBLASLT_MATMUL_DESC_*``."""

    TRANSA = 3
    TRANSB = 4
    EPILOGUE = 7
    BIAS_POINTER = 8
    EPILOGUE_AUX_POINTER = 11
    EPILOGUE_AUX_LD = 12


class LayoutAttribute(IntEnum):
    """``CUBLASLT_MATRIX_LAYOUT_*``."""

    BATCH_COUNT = 5
    STRIDED_BATCH_OFFSET = 6


class PreferenceAttribute(IntEnum):
    """``CUBLASLT_MATMUL_PREF_*``."""

    MAX_WORKSPACE_BYTES = 1
    REDUCTION_SCHEME_MASK = 3
    MIN_ALIGNMENT_A_BYTES = 5
    MIN_ALIGNMENT_B_BYTES = 6
    MIN_ALIGNMENT_C_BYTES = 7
    MIN_ALIGNMENT_D_BYTES = 8


#: ``CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE``: parts of a sum meet in the compute type, not in the type of the result.
REDUCTION_IN_COMPUTE_TYPE = 2


class Algorithm(ctypes.Structure):
    """``cublasLtMatmulAlgo_t``."""

    _fields_ = (("data", c_uint64 * 8),)


class HeuristicResult(ctypes.Structure):
    """``cublasLtMatmulHeuristicResult_t``."""

    _fields_ = (
        ("algorithm", Algorithm),
        ("workspace_size", c_size_t),
        ("state", c_int),
        ("waves_count", ctypes.c_float),
        ("reserved", c_int * 4),
    )


_CREATED = POINTER(c_void_p)
_ATTRIBUTE = (c_void_p, c_int, c_void_p, c_size_t)
#: Function -> its parameters; each returns a Status unless ``RESULTS`` says otherwise.
PARAMETERS: dict[str, tuple[Any, ...]] = {
    "cublasLtGetVersion": (),
    "cublasLtCreate": (_CREATED,),
    "cublasLtDestroy": (c_void_p,),
    "cublasLtMatmulDescCreate": (_CREATED, c_int, c_int),
    "cublasLtMatmulDescDestroy": (c_void_p,),
    "cublasLtMatmulDescSetAttribute": _ATTRIBUTE,
    "cublasLtMatrixLayoutCreate": (_CREATED, c_int, c_uint64, c_uint64, c_int64),
    "cublasLtMatrixLayoutDestroy": (c_void_p,),
    "cublasLtMatrixLayoutSetAttribute": _ATTRIBUTE,
    "cublasLtMatmulPreferenceCreate": (_CREATED,),
    "cublasLtMatmulPreferenceDestroy": (c_void_p,),
    "cublasLtMatmulPreferenceSetAttribute": _ATTRIBUTE,
    # handle, descriptor, layouts of A, B, C and D, preference, wanted, results, count
    "cublasLtMatmulAlgoGetHeuristic": (*[c_void_p] * 7, c_int, POINTER(HeuristicResult), POINTER(c_int)),
    # handle, descriptor, alpha, A, layout, B, layout, beta, C, layout, D, layout, algorithm, workspace, size, stream
    "cublasLtMatmul": (*[c_void_p] * 14, c_size_t, c_void_p),
}
RESULTS: dict[str, Any] = {"cublasLtGetVersion": c_size_t}


# ---- errors ---------------------------------------------------------------------------------------------------------

HINTS: dict[int, str] = {
    Status.NOT_INITIALIZED: "no usable GPU, a driver older than this cuBLASLt needs, or no memory left for its handle",
    Status.ALLOC_FAILED: "the GPU has too little free memory: use a smaller batch",
    Status.ARCH_MISMATCH: "this GPU is too old for the type or the operation: use float32",
    Status.EXECUTION_FAILED: "a kernel failed on the GPU, this one or one before it on the same device",
    Status.NOT_SUPPORTED: "cuBLASLt does not offer this product on this GPU",
}


class CublasError(RuntimeError):
    """A function of cuBLASLt failed; ``status`` says how."""

    def __init__(self, function: str, status: int, about: str = "") -> None:
        self.status = status
        name = next((f"CUBLAS_STATUS_{known.name}" for known in Status if known == status), f"status {status}")
        super().__init__(": ".join(filter(None, (f"{function} failed with {name}", HINTS.get(status), about))))


class CublasOutOfMemory(CublasError, MemoryError):
    """CUBLAS_STATUS_ALLOC_FAILED; as a MemoryError it is caught with those of arrays."""


def check(status: int, function: str, about: str = "") -> None:
    """Raise CublasError, or CublasOutOfMemory, unless the status is success.

    >>> check(0, "cublasLtMatmul")
    >>> check(13, "cublasLtMatmul")
    Traceback (most recent call last):
        ...
    nnkit.backends.cuda.cublaslt.CublasError: cublasLtMatmul failed with CUBLAS_STATUS_EXECUTION_FAILED: a kernel \
failed on the GPU, this one or one before it on the same device
    """
    if status != Status.SUCCESS:
        raise (CublasOutOfMemory if status == Status.ALLOC_FAILED else CublasError)(function, status, about)


# ---- the library and its objects ------------------------------------------------------------------------------------


def load() -> Any:
    """The library, its functions declared. Raises DeviceUnavailable, with the remedy, where there is none."""
    causes = []
    try:
        found = importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib("cublasLt")
        names = (found.abs_path, *SONAMES) if found.abs_path else SONAMES
    except (ImportError, RuntimeError) as error:  # no cuda-pathfinder, or it finds nothing
        causes.append(str(error).partition("\n")[0])
        names = SONAMES
    for name in names:
        try:
            return declare(ctypes.CDLL(name))
        except (OSError, AttributeError) as error:
            causes.append(str(error))
    raise DeviceUnavailable(
        "cuBLASLt was not found: pip install nvidia-cublas (CUDA 13) or nvidia-cublas-cu12 (CUDA 12), or put the "
        f"folder of {SONAMES[0]} into LD_LIBRARY_PATH. Tried: {'; '.join(causes)}"
    )


def declare(library: Any) -> Any:
    """Give the functions their parameters and results, without which ctypes cuts pointers to 32 bits."""
    for name, parameters in PARAMETERS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = parameters, RESULTS.get(name, c_int)
    return library


class Object:
    """An object of the library, freed when nothing refers to it any more.

    ``kind`` is the part of the C names between ``cublasLt`` and ``Create``: MatmulDesc, MatrixLayout,
    MatmulPreference, or empty for a handle.
    """

    __slots__ = ("__weakref__", "_kind", "_library", "pointer")

    def __init__(self, library: Any, kind: str, *arguments: int) -> None:
        created = c_void_p()
        name = f"cublasLt{kind}Create"
        check(getattr(library, name)(ctypes.byref(created), *arguments), name)
        self._library, self._kind = library, kind
        self.pointer = int(created.value or 0)
        # Not at exit: by then the driver may be gone.
        weakref.finalize(self, getattr(library, f"cublasLt{kind}Destroy"), self.pointer).atexit = False

    def set(self, attribute: int, value: Any) -> int:
        """Set an attribute from a ctypes number of the header's type; returns the status."""
        function = getattr(self._library, f"cublasLt{self._kind}SetAttribute")
        return int(function(self.pointer, attribute, ctypes.byref(value), ctypes.sizeof(value)))
