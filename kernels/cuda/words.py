"""The words that a CUDA kernel's text may use, with their two meanings: on the host for the emulator, and compiled.

A kernel is written for one thread. It knows its place by ``thread()`` in its block, ``block()`` in the grid and
``lane()`` in its warp of 32; ``threads()``, ``blocks()`` and ``grid_size()`` count, and ``grid_thread()`` numbers the
threads of the whole grid. Threads of a block share memory (``shared(256, float32)``) and wait for one another by
``barrier()``. Threads of a warp read one another's values by ``shuffle_xor(value, lane_mask)`` and
``shuffle_down(value, delta)``, and ``ballot(condition)`` tells each for which lanes it holds, in the bits of a number
whose lowest set bit is number ``lowest_bit(number)``. A whole warp has to take part in these, and a whole block in a
barrier. Numbers are cast by ``element`` (to the type computed in), ``number`` (the same, of a float64 scalar) and
``to_float32``, ``to_float64``, ``to_int64``, ``to_uint64``, ``to_uint32``, ``to_uint8``. Sixteen-bit floats are bits in
memory: ``load_float16(bits)``, ``store_float16(value)``, and so for bfloat16. ``high_product(a, b)`` are the upper 32
bits of a product of two uint32. ``load4(x, i)`` reads elements 4 i to 4 i + 3 in accesses of up to 16 bytes, to which
the pointer has to be aligned, ``store4(y, i, a, b, c, d)`` writes them; so do ``load8`` and ``store8`` with eight.
Every formula is a word, computed in ``dtype``; of numbers, ``larger`` and ``smaller`` see NaN, ``max`` and ``min`` do
not. ``fast_exponential(x)`` is the formula ``exponential`` in two instructions in float32, where its relative error is
at most 2**-22 + |x| 2**-23, and what is less than 2**-126 becomes 0. Numba widens integers where they meet: cast
results to uint32 again.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from nnkit.kernels import special
from nnkit.kernels.registered import FORMULAS
from nnkit.kernels.vocabulary import bind, maximum, minimum, where

#: A parameter's type -> the numpy type of its memory, or of the scalar. Sixteen-bit floats are bits.
STORED = {
    "float32*": np.float32, "float64*": np.float64, "float16*": np.uint16, "bfloat16*": np.uint16,
    "int64*": np.int64, "uint32*": np.uint32, "uint8*": np.uint8, "int64": np.int64, "float64": np.float64,
}  # fmt: skip
LOG2E = 1.4426950408889634
#: The types that memory may be shared as, and numbers cast to.
NUMBERS = ("float32", "float64", "int64", "uint64", "uint32", "uint8")


def sign(x: Any) -> Any:
    return where(x > 0.0, 1.0, where(x < 0.0, -1.0, 0.0))


# ---- on the host ----------------------------------------------------------------------------------------------------


def host_words(dtype: str) -> dict[str, Any]:
    """The words that need no block: formulas in ``dtype``, casts and conversions, on numpy's scalars."""
    return _host_words(dtype, len(FORMULAS))


@functools.cache
def _host_words(dtype: str, registered: int) -> dict[str, Any]:
    kind = np.dtype(dtype).type
    ufuncs = {name: getattr(np, name) for name in (
        "exp", "log", "sqrt", "sin", "cos", "tanh", "expm1", "log1p", "floor", "rint", "absolute", "power",
        "maximum", "minimum",
    )}  # fmt: skip
    words: dict[str, Any] = {**ufuncs, "where": where}
    # Constants are fractions and infinities: formulas that run on whole numbers and booleans use none.
    constant: Any = kind if np.dtype(dtype).kind == "f" else float
    words |= bind({"sign": sign, "erf": special.erf}, words, constant)
    casts: dict[str, Any] = {f"to_{name}": np.dtype(name).type for name in NUMBERS}
    types: dict[str, Any] = {name: np.dtype(name).type for name in NUMBERS}
    bits = {
        "high_product": lambda a, b: np.uint32(np.uint64(a) * np.uint64(b) >> np.uint64(32)),
        "load_float16": lambda bits: np.float32(bits.view(np.float16)),
        "store_float16": lambda value: np.float16(np.float32(value)).view(np.uint16),
        "load_bfloat16": lambda bits: (np.uint32(bits) << np.uint32(16)).view(np.float32),
        "store_bfloat16": bfloat16_bits,
    }
    formulas = bind(FORMULAS, words, constant)
    fast = (lambda x: np.exp2(x * kind(LOG2E))) if dtype == "float32" else formulas["exponential"]
    return formulas | casts | types | bits | {"element": kind, "number": kind, "fast_exponential": fast}


def bfloat16_bits(value: Any) -> np.uint16:
    """The bits of the nearest bfloat16, ties to even; NaN stays NaN.

    >>> hex(bfloat16_bits(1.00390625)), hex(bfloat16_bits(float("nan")))
    ('0x3f80', '0x7fc0')
    """
    number = np.float32(value)
    if number != number:
        return np.uint16(0x7FC0)
    bits = int(number.view(np.uint32))
    return np.uint16((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)


# ---- compiled -------------------------------------------------------------------------------------------------------


class Toolchain(NamedTuple):
    """What the words need of a compiler of Numba's family."""

    cuda: Any  # its module of intrinsics: cuda.threadIdx, cuda.syncthreads
    library: Any  # its module of CUDA's mathematics, libdevice
    types: Any
    device: Callable[[Any], Any]  # turns a Python function into one that kernels may call
    access: Callable[[], dict[str, Any]]  # load4, load8, store4 and store8
    choices: Callable[[], dict[str, Any]]  # where, maximum and minimum of floats
    power: Callable[[], Any]  # 2**x of a float32, by the one instruction for it


#: Words that a compiler is given as its own expressions: each function of ours costs it milliseconds to inline.
#: Numbers go by way of uint32, because a compiler that knows them not to be negative divides by shifting.
EXPRESSIONS = {
    "thread()": "int64(uint32(cuda.threadIdx.x))",
    "block()": "int64(uint32(cuda.blockIdx.x))",
    "lane()": "(int64(uint32(cuda.threadIdx.x)) & 31)",
    "threads()": "THREADS",
    "blocks()": "int64(uint32(cuda.gridDim.x))",
    "grid_thread()": "(int64(uint32(cuda.blockIdx.x)) * THREADS + int64(uint32(cuda.threadIdx.x)))",
    "grid_size()": "(int64(uint32(cuda.gridDim.x)) * THREADS)",
    "barrier()": "cuda.syncthreads()",
    "shared(": "cuda.shared.array(",
    "shuffle_xor(": "cuda.shfl_xor_sync(0xFFFFFFFF, ",
    "shuffle_down(": "cuda.shfl_down_sync(0xFFFFFFFF, ",
}


def device_text(text: str) -> str:
    """A kernel's text in the compiler's own expressions.

    >>> device_text("y[thread()] = shuffle_xor(x, 1)")
    'y[int64(uint32(cuda.threadIdx.x))] = cuda.shfl_xor_sync(0xFFFFFFFF, x, 1)'
    """
    words = "|".join(map(re.escape, EXPRESSIONS))
    return re.sub(rf"(?<![\w.])(?:{words})", lambda found: EXPRESSIONS[found[0]], text)


def device_words(dtype: str, chain: Toolchain) -> dict[str, Any]:
    """The other words compiled."""
    return _device_words(dtype, chain, len(FORMULAS))


@functools.cache
def _device_words(dtype: str, chain: Toolchain, registered: int) -> dict[str, Any]:
    types = chain.types
    casts = {f"to_{name}": getattr(types, name) for name in NUMBERS}
    named = {name: getattr(types, name) for name in NUMBERS}
    kind = types.boolean if dtype == "bool" else getattr(types, dtype)
    words = {"element": kind, "number": kind, "cuda": chain.cuda}
    return _device_formulas(dtype, chain, registered) | casts | named | _bit_words(chain) | chain.access() | words


@functools.cache
def _device_formulas(dtype: str, chain: Toolchain, registered: int) -> dict[str, Any]:
    if np.dtype(dtype).kind != "f":  # formulas that run on whole numbers and booleans have no constants
        return bind(FORMULAS, plain_choices(chain.device), wrap=chain.device)
    constant = np.dtype(dtype).type
    words = chain.choices() | _mathematics(dtype, chain.library)
    words |= bind({"sign": sign}, words, constant, chain.device)
    formulas = bind(FORMULAS, words, constant, chain.device)
    return formulas | {"fast_exponential": _fast_exponential(chain) if dtype == "float32" else formulas["exponential"]}


def _fast_exponential(chain: Toolchain) -> Any:
    power, log2e = chain.power(), np.float32(LOG2E)

    def fast_exponential(x: Any) -> Any:
        return power(x * log2e)

    return chain.device(fast_exponential)


def _mathematics(dtype: str, library: Any) -> dict[str, Any]:
    """CUDA's own functions; those in float32 end in f."""
    names = {
        "exp": "exp", "log": "log", "sqrt": "sqrt", "sin": "sin", "cos": "cos", "tanh": "tanh", "expm1": "expm1",
        "log1p": "log1p", "erf": "erf", "floor": "floor", "rint": "rint", "absolute": "fabs", "power": "pow",
    }  # fmt: skip
    end = "f" if dtype == "float32" else ""
    return {word: getattr(library, name + end) for word, name in names.items()}


@functools.cache
def _bit_words(chain: Toolchain) -> dict[str, Any]:
    """Words on bits, and on sixteen-bit floats, whose arithmetic is done in float32."""
    cuda, library, types = chain.cuda, chain.library, chain.types
    i16, u16, i32, u32 = types.int16, types.uint16, types.int32, types.uint32
    i64, f32 = types.int64, types.float32

    def load_float16(bits: Any) -> Any:
        return library.half2float(i16(bits))

    def store_float16(value: Any) -> Any:
        return u16(library.float2half_rn(f32(value)))

    def load_bfloat16(bits: Any) -> Any:
        return library.int_as_float(i32(u32(bits) << u32(16)))

    def store_bfloat16(value: Any) -> Any:
        bits = u32(library.float_as_int(f32(value)))
        rounded = u16(u32(bits + u32(0x7FFF) + (u32(bits >> u32(16)) & u32(1))) >> u32(16))
        return rounded if value == value else u16(0x7FC0)

    def high_product(a: Any, b: Any) -> Any:
        return u32(library.umulhi(i32(a), i32(b)))

    def ballot(condition: Any) -> Any:
        return i64(u32(cuda.ballot_sync(0xFFFFFFFF, condition)))

    def lowest_bit(number: Any) -> Any:
        return i64(library.ffsll(number) - 1)

    words = (ballot, lowest_bit, high_product, load_float16, store_float16, load_bfloat16, store_bfloat16)
    return {word.__name__: chain.device(word) for word in words}


def llvm_access(intrinsic: Callable[[Any], Any], types: Any) -> dict[str, Any]:
    """Neighbours in accesses of up to 16 bytes, for compilers that speak LLVM."""
    from llvmlite import ir

    i16, i32 = ir.IntType(16), ir.IntType(32)

    def pointer(context: Any, builder: Any, kind: Any, count: int, args: Any) -> tuple[Any, int]:
        # Eight elements of sixteen bits are moved as four words: as they are, they would be moved in two halves.
        paired = (count, kind.bitwidth) == (8, 16)
        vector = ir.VectorType(i32, 4) if paired else ir.VectorType(context.get_data_type(kind), count)
        return builder.gep(builder.bitcast(args[0], vector.as_pointer()), [args[1]]), 2 if paired else 1

    def align(kind: Any, count: int) -> int:
        return min(16, count * kind.bitwidth // 8)

    def load(count: int) -> Any:
        def word(_: Any, x: Any, group: Any) -> Any:
            several = types.UniTuple(x.dtype, count)

            def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                place, paired = pointer(context, builder, x.dtype, count, args)
                vector = builder.load(place, align=align(x.dtype, count))
                elements = [builder.extract_element(vector, ir.Constant(i32, k)) for k in range(count // paired)]
                if paired == 2:
                    halves = [(word, builder.lshr(word, ir.Constant(i32, 16))) for word in elements]
                    elements = [builder.trunc(half, i16) for pair in halves for half in pair]
                return context.make_tuple(builder, several, elements)

            return several(x, types.int64), generate

        return intrinsic(word)

    def stored(y: Any, count: int) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place, paired = pointer(context, builder, y.dtype, count, args)
            elements = args[2:]
            if paired == 2:
                wide = [builder.zext(element, i32) for element in elements]
                highs = [builder.shl(high, ir.Constant(i32, 16)) for high in wide[1::2]]
                elements = [builder.or_(low, high) for low, high in zip(wide[::2], highs, strict=True)]
            vector = ir.Constant(place.type.pointee, ir.Undefined)
            for k, element in enumerate(elements):
                vector = builder.insert_element(vector, element, ir.Constant(i32, k))
            builder.store(vector, place, align=align(y.dtype, count))
            return context.get_dummy_value()

        return types.void(y, types.int64, *[y.dtype] * count), generate

    @intrinsic
    def store4(_: Any, y: Any, group: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        return stored(y, 4)

    @intrinsic
    def store8(_: Any, y: Any, group: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
        return stored(y, 8)

    return {"load4": load(4), "load8": load(8), "store4": store4, "store8": store8}


def plain_access(device: Callable[[Any], Any]) -> dict[str, Any]:
    """The same words for other compilers: one access an element."""

    def load4(x: Any, group: Any) -> Any:
        i = 4 * group
        return x[i], x[i + 1], x[i + 2], x[i + 3]

    def load8(x: Any, group: Any) -> Any:
        i = 8 * group
        return x[i], x[i + 1], x[i + 2], x[i + 3], x[i + 4], x[i + 5], x[i + 6], x[i + 7]

    def store4(y: Any, group: Any, a: Any, b: Any, c: Any, d: Any) -> None:
        i = 4 * group
        y[i], y[i + 1], y[i + 2], y[i + 3] = a, b, c, d

    def store8(y: Any, group: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> None:
        i = 8 * group
        y[i], y[i + 1], y[i + 2], y[i + 3] = a, b, c, d
        y[i + 4], y[i + 5], y[i + 6], y[i + 7] = e, f, g, h

    return {word.__name__: device(word) for word in (load4, load8, store4, store8)}


def llvm_choices(intrinsic: Callable[[Any], Any], types: Any) -> dict[str, Any]:
    """Selects instead of branches, for compilers that speak LLVM. They also compile faster than functions."""

    @intrinsic
    def where(_: Any, condition: Any, x: Any, y: Any) -> Any:
        return x(types.boolean, x, x), lambda context, builder, signature, args: builder.select(*args)

    def extreme(comparison: str) -> Any:
        def word(_: Any, x: Any, y: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                chosen = builder.select(builder.fcmp_ordered(comparison, *args), *args)
                return builder.select(builder.fcmp_unordered("uno", args[0], args[0]), args[0], chosen)

            return x(x, x), generate

        return intrinsic(word)

    return {"where": where, "maximum": extreme(">="), "minimum": extreme("<=")}


def llvm_power(intrinsic: Callable[[Any], Any], types: Any) -> Any:
    """2**x by the processor's own instruction, for compilers that speak LLVM."""
    from llvmlite import ir

    @intrinsic
    def power(_: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()])
            return builder.call(ir.InlineAsm(kind, "ex2.approx.ftz.f32 $0, $1;", "=f,f"), args)

        return types.float32(types.float32), generate

    return power


def plain_choices(device: Callable[[Any], Any]) -> dict[str, Any]:
    """The same words as ``vocabulary`` has them, without its annotations, which a compiler would look at."""
    words = (where, maximum, minimum)
    return {word.__name__: device(FunctionType(word.__code__, {}, word.__name__)) for word in words}
