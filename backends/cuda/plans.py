"""Plans: a product described to cuBLASLt once, with the algorithms that it names, to be called with pointers.

A ``Request`` is one way to have a product computed. ``offered`` asks the library for it and returns the plan, or None
where the library has no algorithm for that type, shape and epilogue. What it names it may still refuse to run: then
the next algorithm is taken, and those that were refused are not tried again.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable
from ctypes import c_int, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from typing import Any, NamedTuple

from nnkit.backends.cuda import cublaslt
from nnkit.backends.cuda.column_major import Matrix, Problem
from nnkit.backends.cuda.cublaslt import (
    ComputeType,
    CublasError,
    DataType,
    DescriptorAttribute,
    Epilogue,
    HeuristicResult,
    LayoutAttribute,
    Object,
    PreferenceAttribute,
    Status,
    check,
)

#: Bytes of memory that an algorithm may use while it runs.
WORKSPACE = 32 << 20
#: Algorithms that the library is asked for, the fastest first.
ALGORITHMS = 8
#: Bytes: the widest access of a kernel. To promise more would let the algorithm, and with it the last bits of a result,
#: depend on where a view happens to begin.
MOST_ALIGNED = 16

DATA_TYPES = {
    "float32": DataType.R_32F, "float64": DataType.R_64F, "float16": DataType.R_16F, "bfloat16": DataType.R_16BF,
}  # fmt: skip
#: Statuses by which the library says that it does not offer something.
NOT_OFFERED = (Status.NOT_SUPPORTED, Status.INVALID_VALUE, Status.ARCH_MISMATCH)
#: 1 and 0 where the library reads them, in the type that it scales in: float64 for products of float64.
_ONE_AND_ZERO = {
    DataType.R_32F: (ctypes.c_float(1.0), ctypes.c_float(0.0)),
    DataType.R_64F: (ctypes.c_double(1.0), ctypes.c_double(0.0)),
}


class Done(NamedTuple):
    """What of a layer the library does itself; True also where there is nothing to do."""

    bias: bool
    activation: bool


class Request(NamedTuple):
    """One way to have a product computed."""

    problem: Problem
    compute: ComputeType
    add: bool = False  # to what the output holds
    epilogue: Epilogue = Epilogue.DEFAULT
    done: Done = Done(True, True)
    uses_vector: bool = False  # the epilogue reads the bias or writes its gradient
    leading_z: int = 0  # the epilogue writes z, whose rows are this far apart, in elements
    into_z: bool = False  # the product itself goes to z, and the caller applies the activation from there


class Refused(CublasError):
    """The library refused to run every algorithm that it had named for a plan. Nothing has been computed."""


#: The descriptor, the layouts of A, B and D, and what the heuristic named.
Held = tuple[Object, Object, Object, Object, "ctypes.Array[HeuristicResult]"]


class Plan:
    """A request that the library offers: descriptor, layouts and algorithms."""

    __slots__ = ("_cell", "_descriptor", "_held", "_lock", "_multiply", "_pointed", "_set", "request")

    def __init__(self, library: Any, handle: int, request: Request, held: Held) -> None:
        self.request = request
        self._held = held  # as long as the addresses below are in use
        self._multiply = _product_at(library, handle, request, held)
        self._descriptor = held[0].pointer
        self._set = library.cublasLtMatmulDescSetAttribute
        self._lock = threading.Lock()
        self._cell = c_void_p()
        self._pointed: dict[int, int] = {}

    def run(self, a: int, b: int, d: int, vector: int, z: int, workspace: int, stream: int) -> None:
        """Compute with these addresses; ``vector`` and ``z`` are 0 where the epilogue has none.

        Raises Refused where no algorithm is left, and CublasError.
        """
        if not vector and not z:
            self._multiply(a, b, d, workspace, stream)
            return
        with self._lock:  # A descriptor holds the pointers of one call at a time.
            if vector:
                self._point(DescriptorAttribute.BIAS_POINTER, vector)
            if z:
                self._point(DescriptorAttribute.EPILOGUE_AUX_POINTER, z)
            self._multiply(a, b, d, workspace, stream)

    def _point(self, attribute: int, address: int) -> None:
        if self._pointed.get(attribute) != address:
            self._cell.value = address
            status = self._set(self._descriptor, attribute, ctypes.addressof(self._cell), ctypes.sizeof(self._cell))
            check(status, "cublasLtMatmulDescSetAttribute")
            self._pointed[attribute] = address


def _product_at(library: Any, handle: int, request: Request, held: Held) -> Callable[[int, int, int, int, int], None]:
    """A function of A, B, D, workspace and stream; the rest is bound, as integers: what ctypes converts fastest."""
    descriptor, in_a, in_b, in_d = (made.pointer for made in held[:4])
    one, zero = _ONE_AND_ZERO[_scale_type(request)]
    alpha, beta = ctypes.addressof(one), ctypes.addressof(one if request.add else zero)
    algorithms = [ctypes.addressof(result.algorithm) for result in held[4] if result.state == Status.SUCCESS]
    multiply, offsets, about = library.cublasLtMatmul, request.problem.offsets, str(request.problem)

    def product_at(a: int, b: int, d: int, workspace: int, stream: int) -> None:
        for algorithm in tuple(algorithms):
            status = multiply(
                handle, descriptor, alpha, a, in_a, b, in_b, beta, d, in_d, d, in_d, algorithm, workspace, WORKSPACE,
                stream,
            )  # fmt: skip
            if not status:
                return
            if status not in NOT_OFFERED:
                check(status, "cublasLtMatmul", about)
            with contextlib.suppress(ValueError):  # another thread may have been refused it too
                algorithms.remove(algorithm)
        raise Refused("cublasLtMatmul", Status.NOT_SUPPORTED, about)

    def products_at(a: int, b: int, d: int, workspace: int, stream: int) -> None:
        for to_a, to_b, to_d in offsets:  # the first finds the algorithm for all
            product_at(a + to_a, b + to_b, d + to_d, workspace, stream)

    return product_at if len(offsets) == 1 else products_at


def alignment_of(*addresses: int) -> int:
    """The largest power of two, up to 16, that divides every address.

    >>> alignment_of(1024, 8)
    8
    """
    bits = MOST_ALIGNED
    for address in addresses:
        bits |= address
    return bits & -bits


def offered(library: Any, handle: int, request: Request, alignment: int) -> Plan | None:
    """The plan for arrays that are aligned so, in bytes; None where the library names no algorithm.

    Raises CublasError when the library fails in another way.
    """
    problem = request.problem
    alignment = alignment_of(alignment, *(place for offset in problem.offsets for place in offset))
    descriptor = Object(library, "MatmulDesc", request.compute, _scale_type(request))
    for attribute, value in _attributes(request, alignment):
        status = descriptor.set(attribute, value)
        if status in NOT_OFFERED:
            return None
        check(status, "cublasLtMatmulDescSetAttribute")
    a, b, d = (_layout(library, matrix, problem.batch) for matrix in (problem.a, problem.b, problem.d))
    preference = _preference(library, problem, alignment)
    results, count = (HeuristicResult * ALGORITHMS)(), c_int()
    pointers = (o.pointer for o in (descriptor, a, b, d, d, preference))
    status = library.cublasLtMatmulAlgoGetHeuristic(handle, *pointers, ALGORITHMS, results, ctypes.byref(count))
    if status in NOT_OFFERED:
        return None
    check(status, "cublasLtMatmulAlgoGetHeuristic", str(problem))
    for result in results[count.value :]:  # which the library did not fill
        result.state = Status.NOT_SUPPORTED
    if all(result.state != Status.SUCCESS for result in results):
        return None
    return Plan(library, handle, request, (descriptor, a, b, d, results))


def _scale_type(request: Request) -> DataType:
    return DataType.R_64F if request.compute == ComputeType.COMPUTE_64F else DataType.R_32F


def _attributes(request: Request, alignment: int) -> list[tuple[DescriptorAttribute, Any]]:
    problem = request.problem
    attributes: list[tuple[DescriptorAttribute, Any]] = [
        (DescriptorAttribute.TRANSA, c_int32(problem.transpose_a)),
        (DescriptorAttribute.TRANSB, c_int32(problem.transpose_b)),
        (DescriptorAttribute.EPILOGUE, c_uint32(request.epilogue)),
    ]
    # Until a call sets the real pointers, the library reads from these only how aligned they are.
    if request.uses_vector:
        attributes.append((DescriptorAttribute.BIAS_POINTER, c_void_p(alignment)))
    if request.leading_z:
        attributes.append((DescriptorAttribute.EPILOGUE_AUX_POINTER, c_void_p(alignment)))
        attributes.append((DescriptorAttribute.EPILOGUE_AUX_LD, c_int64(request.leading_z)))
    return attributes


def _layout(library: Any, matrix: Matrix, batch: int) -> Object:
    layout = Object(library, "MatrixLayout", DATA_TYPES[matrix.dtype], matrix.rows, matrix.columns, matrix.leading)
    if batch > 1:
        for attribute, value in (
            (LayoutAttribute.BATCH_COUNT, c_int32(batch)),
            (LayoutAttribute.STRIDED_BATCH_OFFSET, c_int64(matrix.step)),
        ):
            check(layout.set(attribute, value), "cublasLtMatrixLayoutSetAttribute")
    return layout


def _preference(library: Any, problem: Problem, alignment: int) -> Object:
    preference = Object(library, "MatmulPreference")
    settings: list[tuple[PreferenceAttribute, Any]] = [(PreferenceAttribute.MAX_WORKSPACE_BYTES, c_uint64(WORKSPACE))]
    for matrix in "ABCD":
        settings.append((PreferenceAttribute[f"MIN_ALIGNMENT_{matrix}_BYTES"], c_uint32(alignment)))
    if problem.d.dtype in ("float16", "bfloat16"):  # or long sums would be rounded in the middle
        settings.append((PreferenceAttribute.REDUCTION_SCHEME_MASK, c_uint32(cublaslt.REDUCTION_IN_COMPUTE_TYPE)))
    for attribute, value in settings:
        check(preference.set(attribute, value), "cublasLtMatmulPreferenceSetAttribute")
    return preference
