"""A stand-in for cuBLASLt: the same C functions, called through ctypes like the real ones, computing with NumPy.

It keeps what is set on descriptors and layouts, and multiplies the matrices in host memory at the addresses that a call
passes: column-major, leading dimensions, batch steps, alpha, beta and epilogues as the header defines them. It is
strict: a product for which its algorithm was not chosen, pointers less aligned than was promised, or an attribute of
the wrong size is refused with a real status.

    fake = FakeLibrary()                                   give it where the library is expected
    fake.refuse(Epilogue.BIAS)                             no algorithm for this epilogue
    fake.lack(DataType.R_16BF)                             nor for this type, on this GPU
    fake.refuse_to_run(lambda named: named.number < 2)     of the algorithms that it names, not the first two
    fake.fail("cublasLtMatmul", Status.ALLOC_FAILED)       the next call of a function fails
    fake.products                                          what each product was
    fake.counts["cublasLtMatmulAlgoGetHeuristic"]          how often a function was called
    fake.pause = function                                  called at the end of every function
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from nnkit.backends.cuda.cublaslt import (
    PARAMETERS,
    RESULTS,
    Algorithm,
    ComputeType,
    DataType,
    DescriptorAttribute,
    Epilogue,
    LayoutAttribute,
    PreferenceAttribute,
    Status,
)

#: Kind of object -> attribute -> bytes of its value.
SIZES: dict[str, dict[int, int]] = {
    "MatmulDesc": {
        DescriptorAttribute.TRANSA: 4, DescriptorAttribute.TRANSB: 4, DescriptorAttribute.EPILOGUE: 4,
        DescriptorAttribute.BIAS_POINTER: 8, DescriptorAttribute.EPILOGUE_AUX_POINTER: 8,
        DescriptorAttribute.EPILOGUE_AUX_LD: 8,
    },
    "MatrixLayout": {LayoutAttribute.BATCH_COUNT: 4, LayoutAttribute.STRIDED_BATCH_OFFSET: 8},
    "MatmulPreference": dict.fromkeys(PreferenceAttribute, 4) | {PreferenceAttribute.MAX_WORKSPACE_BYTES: 8},
}  # fmt: skip
POINTERS = (DescriptorAttribute.BIAS_POINTER, DescriptorAttribute.EPILOGUE_AUX_POINTER)
WITH_AUX = {Epilogue.GELU_AUX, Epilogue.GELU_AUX_BIAS}
WITH_BIAS = {Epilogue.BIAS, Epilogue.RELU_BIAS, Epilogue.GELU_BIAS, Epilogue.GELU_AUX_BIAS}
#: How many algorithms the heuristic knows for a product.
NAMED = 3
#: Bits of mantissa that operands of float32 keep.
MANTISSA = {ComputeType.COMPUTE_32F_FAST_TF32: 10, ComputeType.COMPUTE_32F_FAST_16BF: 7}


class Made(NamedTuple):
    """An object of the library: its kind, what it was created with, and what was set."""

    kind: str
    arguments: tuple[int, ...]
    attributes: dict[int, int]


class Named(NamedTuple):
    """An algorithm that the heuristic named: for what, and its number among those that it named at once."""

    number: int
    epilogue: Epilogue
    compute: ComputeType
    type: DataType  # of A and B


class Ran(NamedTuple):
    """One product that was computed: sizes as BLAS has them, D (m, n)."""

    m: int
    n: int
    k: int
    batch: int
    epilogue: Epilogue
    compute: ComputeType
    stream: int
    workspace: int
    reductions: int | None  # the schemes that were allowed, where some were not
    algorithm: int  # its number among those that the heuristic named


class Refused(Exception):
    """A function returns this status."""


class FakeLibrary:
    def __init__(self) -> None:
        self.products: list[Ran] = []
        self.counts: Counter[str] = Counter()
        self.objects: dict[int, Made] = {}
        self.pause: Callable[[], None] = lambda: None
        self._algorithms: list[tuple[Any, ...]] = []
        self._refused: dict[int, str] = {}
        self._lacking: frozenset[ComputeType | DataType] = frozenset()
        self._refuses_to_run: Callable[[Named], bool] = lambda named: False
        self._refusal = Status.NOT_SUPPORTED
        self._failures: dict[str, int] = {}
        for name, parameters in PARAMETERS.items():
            function = ctypes.CFUNCTYPE(RESULTS.get(name, ctypes.c_int), *parameters)
            setattr(self, name, function(self._counted(name)))

    def refuse(self, *epilogues: Epilogue, how: str = "status") -> None:
        """The heuristic has nothing for these any more: by its status, by an empty list, or by the results' state.

        "first state": only its first result cannot be used.
        """
        self._refused |= dict.fromkeys(epilogues, how)

    def lack(self, *types: ComputeType | DataType) -> None:
        """The GPU has no products in these compute types, or of these types of operands."""
        self._lacking = frozenset(types)

    def refuse_to_run(self, test: Callable[[Named], bool], status: Status = Status.NOT_SUPPORTED) -> None:
        """The heuristic names these algorithms, but they are not run: the call returns this status."""
        self._refuses_to_run, self._refusal = test, status

    def fail(self, function: str, status: int) -> None:
        """The next call of the function does nothing and returns this status."""
        self._failures[function] = status

    # ---- how a C function is found ----------------------------------------------------------------------------------

    def _counted(self, name: str) -> Callable[..., int]:
        body = self._body(name)

        def function(*arguments: Any) -> int:
            self.counts[name] += 1
            if name in self._failures:
                return self._failures.pop(name)
            try:
                return int(body(*arguments) or 0)
            except Refused as error:
                return int(error.args[0])
            finally:
                self.pause()

        return function

    def _body(self, name: str) -> Callable[..., int | None]:
        fixed: dict[str, Callable[..., int | None]] = {
            "cublasLtGetVersion": lambda: 131000,
            "cublasLtMatmulAlgoGetHeuristic": self._heuristic,
            "cublasLtMatmul": self._matmul,
        }
        if name in fixed:
            return fixed[name]
        for ending, body in (("Create", self._create), ("Destroy", self._destroy), ("SetAttribute", self._set)):
            if name.endswith(ending):
                kind = name.removeprefix("cublasLt").removesuffix(ending)
                return lambda *arguments: body(kind, *arguments)
        raise NotImplementedError(name)

    def _create(self, kind: str, created: Any, *arguments: int) -> None:
        pointer = 0x7F5500000000 + 64 * self.counts.total()  # past 32 bits, as real ones are
        self.objects[pointer] = Made(kind, arguments, {})
        created[0] = pointer

    def _destroy(self, kind: str, pointer: int) -> None:
        require(self.objects.pop(pointer).kind == kind)

    def _set(self, kind: str, pointer: int, attribute: int, value: int, size: int) -> None:
        require(SIZES[kind].get(attribute) == size)
        self.objects[pointer].attributes[attribute] = int.from_bytes(ctypes.string_at(value, size), "little")

    # ---- the two functions that do something ----------------------------------------------------------------------

    def _heuristic(
        self, handle: int, descriptor: int, a: int, b: int, c: int, d: int, preference: int, wanted: int,
        results: Any, count: Any,
    ) -> None:  # fmt: skip
        operation, settings = self.objects[descriptor].attributes, self.objects[preference].attributes
        layouts = [Layout(self.objects[pointer]) for pointer in (a, b, c, d)]
        require(self.objects[handle].kind == "" and wanted > 0)
        self._check(self.objects[descriptor], layouts)
        how = self._refused.get(operation[DescriptorAttribute.EPILOGUE])
        require(how != "status", Status.NOT_SUPPORTED)
        compute = self.objects[descriptor].arguments[0]
        require(not self._lacking & {compute, layouts[0].type}, Status.NOT_SUPPORTED)
        alignments = [settings[PreferenceAttribute[f"MIN_ALIGNMENT_{name}_BYTES"]] for name in "ABCD"]
        for pointer in POINTERS:
            require(operation.get(pointer, 0) % min(alignments) == 0)
        fixed = {key: value for key, value in operation.items() if key not in POINTERS}
        workspace = settings[PreferenceAttribute.MAX_WORKSPACE_BYTES]
        reductions = settings.get(PreferenceAttribute.REDUCTION_SCHEME_MASK)
        epilogue = Epilogue(operation[DescriptorAttribute.EPILOGUE])
        for number in range(min(wanted, NAMED)):
            named = Named(number, epilogue, ComputeType(compute), DataType(layouts[0].type))
            self._algorithms.append((descriptor, fixed, (a, b, c, d), alignments, workspace, reductions, named))
            results[number].algorithm.data[0] = len(self._algorithms) - 1
            results[number].workspace_size = workspace
            usable = how != "state" and (how != "first state" or number > 0)
            results[number].state = Status.SUCCESS if usable else Status.NOT_SUPPORTED
        count[0] = 0 if how == "none" else min(wanted, NAMED)

    def _check(self, descriptor: Made, layouts: list[Layout]) -> None:
        """What the library demands of types and sizes."""
        compute, scale = descriptor.arguments
        a, b, c, d = layouts
        operation = descriptor.attributes
        double = compute == ComputeType.COMPUTE_64F
        require((scale == DataType.R_64F) == double == (a.type == DataType.R_64F))
        require(a.type == b.type and d.type in (a.type, DataType.R_32F) and (d.type == DataType.R_64F) == double)
        require(a.type == DataType.R_32F or compute not in MANTISSA)
        require(all(x.leading >= x.rows > 0 < x.columns and x.batch == d.batch for x in layouts))
        m, k = a.shape(operation[DescriptorAttribute.TRANSA])
        require((k, d.columns) == b.shape(operation[DescriptorAttribute.TRANSB]) and (d.rows, c.rows) == (m, m))
        if operation[DescriptorAttribute.EPILOGUE] in WITH_AUX:
            leading = operation[DescriptorAttribute.EPILOGUE_AUX_LD]
            require(leading % 8 == 0 and leading >= m)

    def _matmul(
        self, handle: int, descriptor: int, alpha: int, a: int, in_a: int, b: int, in_b: int, beta: int, c: int,
        in_c: int, d: int, in_d: int, algorithm: int, workspace: int, size: int, stream: int | None,
    ) -> None:  # fmt: skip
        self._agree_to_run(algorithm)
        chosen = self._algorithms[Algorithm.from_address(algorithm).data[0]]
        operation = self.objects[descriptor].attributes
        fixed = {key: value for key, value in operation.items() if key not in POINTERS}
        require(chosen[:3] == (descriptor, fixed, (in_a, in_b, in_c, in_d)) and size >= chosen[4])
        for pointer, alignment in zip((a, b, c, d), chosen[3], strict=True):
            require(pointer % alignment == 0)
        for key in POINTERS:
            require(operation.get(key, 0) % min(chosen[3]) == 0)
        ctypes.memset(workspace, 0xFF, 64), ctypes.memset(workspace + size - 64, 0xFF, 64)
        compute, scale = self.objects[descriptor].arguments
        number = ctypes.c_double if scale == DataType.R_64F else ctypes.c_float
        layouts = [Layout(self.objects[pointer]) for pointer in (in_a, in_b, in_c, in_d)]
        left = layouts[0].operand(a, operation[DescriptorAttribute.TRANSA], compute)
        right = layouts[1].operand(b, operation[DescriptorAttribute.TRANSB], compute)
        result = number.from_address(alpha).value * (left @ right)
        if number.from_address(beta).value:
            result = result + number.from_address(beta).value * layouts[2].at(c).astype(result.dtype)
        out = layouts[3]
        out.at(d)[...] = self._epilogue(operation, out, right, result).astype(out.dtype)
        self.products.append(Ran(
            out.rows, out.columns, left.shape[2], out.batch, Epilogue(operation[DescriptorAttribute.EPILOGUE]),
            ComputeType(compute), stream or 0, workspace, chosen[5], chosen[6].number,
        ))  # fmt: skip

    def _agree_to_run(self, algorithm: int) -> None:
        named = self._algorithms[Algorithm.from_address(algorithm).data[0]][6]
        require(not self._refuses_to_run(named), self._refusal)

    def _epilogue(self, operation: dict[int, int], out: Layout, right: np.ndarray, result: np.ndarray) -> np.ndarray:
        epilogue = Epilogue(operation[DescriptorAttribute.EPILOGUE])
        if epilogue in WITH_BIAS:
            bias = array_at(operation[DescriptorAttribute.BIAS_POINTER], out.rows, out.dtype)
            result = result + bias.astype(result.dtype)[:, None]
        if epilogue in WITH_AUX:
            leading = operation[DescriptorAttribute.EPILOGUE_AUX_LD]
            aux = Layout(Made("MatrixLayout", (out.type, out.rows, out.columns, leading), {}))
            aux.at(operation[DescriptorAttribute.EPILOGUE_AUX_POINTER])[...] = result.astype(out.dtype)
        if epilogue == Epilogue.BGRADB:
            sums = array_at(operation[DescriptorAttribute.BIAS_POINTER], out.columns, out.dtype)
            sums[:] = right[0].sum(axis=0).astype(out.dtype)
        if epilogue in (Epilogue.RELU, Epilogue.RELU_BIAS):
            return np.maximum(result, 0)
        if epilogue in (Epilogue.GELU, Epilogue.GELU_BIAS, *WITH_AUX):
            return 0.5 * result * (1 + np.tanh(np.sqrt(2 / np.pi) * (result + 0.044715 * result**3)))
        return result


def require(condition: bool, status: Status = Status.INVALID_VALUE) -> None:
    """Refuse the call unless the condition holds."""
    if not condition:
        raise Refused(status)


def numpy_type(kind: int) -> np.dtype:
    """The NumPy type of a cudaDataType."""
    if kind == DataType.R_16BF:
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype({DataType.R_32F: "float32", DataType.R_64F: "float64", DataType.R_16F: "float16"}[DataType(kind)])


def array_at(address: int, count: int, dtype: np.dtype) -> np.ndarray:
    """Host memory as an array."""
    return np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(address), dtype)


def rounded(x: np.ndarray, bits: int) -> np.ndarray:
    """Finite float32 values with so many bits of mantissa, to the nearest, ties to even."""
    drop = 23 - bits
    raw = x.view(np.uint32)
    half = np.uint32((1 << (drop - 1)) - 1) + ((raw >> np.uint32(drop)) & np.uint32(1))
    return ((raw + half) & np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)).view(np.float32)


class Layout:
    """A matrix layout, decoded."""

    def __init__(self, made: Made) -> None:
        self.type, self.rows, self.columns, self.leading = made.arguments
        self.batch = made.attributes.get(LayoutAttribute.BATCH_COUNT, 1)
        self.step = made.attributes.get(LayoutAttribute.STRIDED_BATCH_OFFSET, 0)
        self.dtype = numpy_type(self.type)

    def shape(self, transposed: int) -> tuple[int, int]:
        """Rows and columns after the operation."""
        return (self.columns, self.rows) if transposed else (self.rows, self.columns)

    def at(self, address: int) -> np.ndarray:
        """The matrices (batch, rows, columns) at an address, to be read and written."""
        count = (self.batch - 1) * self.step + (self.columns - 1) * self.leading + self.rows
        strides = tuple(self.dtype.itemsize * step for step in (self.step, 1, self.leading))
        return as_strided(array_at(address, count, self.dtype), (self.batch, self.rows, self.columns), strides)

    def operand(self, address: int, transposed: int, compute: int) -> np.ndarray:
        """op(matrix) in the type and with the precision that is computed in."""
        values = self.at(address).astype(np.float64 if self.dtype == np.float64 else np.float32)
        if compute in MANTISSA:
            values = rounded(values, MANTISSA[ComputeType(compute)])
        return values.swapaxes(1, 2) if transposed else values
