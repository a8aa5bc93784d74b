"""The vocabulary of formulas as compiled CPU code, and the words that kernels use on memory.

Everything here imports Numba, so it is built on first use and only when something has to be compiled.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from nnkit.kernels import arithmetic, formulas, special, updates
from nnkit.kernels.vocabulary import bind, table_of, where

#: The formulas of these names have a float32 version in ``special`` that vectorises.
FLOAT32_VERSIONS = {
    "exp": "exp32", "log": "log32", "tanh": "tanh32", "expm1": "expm1_32", "log1p": "log1p_32",
}  # fmt: skip


def all_formulas() -> dict[str, Any]:
    """Every formula that ``map`` knows: name -> plain Python function."""
    return table_of(arithmetic) | table_of(formulas) | table_of(updates)


@functools.cache
def compiled_formulas(dtype: str) -> dict[str, Any]:
    """Every formula, as a Numba function in float32 or float64 arithmetic: name -> dispatcher."""
    from numba import njit

    if np.dtype(dtype).kind != "f":  # formulas that run on whole numbers and booleans have no constants
        plain = bind(all_formulas(), {"where": scalar_words()["where"]}, wrap=njit(error_model="numpy"))
        return plain | {"larger": max, "smaller": min}
    constant = np.dtype(dtype).type
    # Inlined by force: a formula that stays a call keeps its loop from vectorising, and its object from loading
    # in a process without Numba. Without wrappers for Python and C, which nobody calls, it compiles faster.
    bare: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    compile = njit(error_model="numpy", fastmath={"contract", "nsz"}, forceinline=True, **bare)
    words = scalar_words() | {"sign": bind({"sign": _sign}, scalar_words(), constant, compile)["sign"]}
    if dtype == "float32":
        fast = bind({name: getattr(special, name) for name in _closure_of_fast()}, words, constant, compile)
        words |= {word: fast[version] for word, version in FLOAT32_VERSIONS.items()}
    return bind({"erf": special.erf} | all_formulas(), words, constant, compile)


def _closure_of_fast() -> list[str]:
    return list(FLOAT32_VERSIONS.values())


def _sign(x: Any) -> Any:
    return where(x > 0.0, 1.0, where(x < 0.0, -1.0, x))


@functools.cache
def scalar_words() -> dict[str, Any]:
    """The words on compiled scalars. Selects instead of branches, so that loops vectorise."""
    from numba import types
    from numba.extending import intrinsic

    def llvm_unary(name: str) -> Any:
        def word(context: Any, x: Any) -> Any:
            def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
                return builder.call(builder.module.declare_intrinsic(name, [args[0].type]), args)

            return x(x), generate

        return intrinsic(word)

    def extreme(comparison: str) -> Any:
        def word(context: Any, x: Any, y: Any) -> Any:
            def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
                chosen = builder.select(builder.fcmp_ordered(comparison, *args), *args)
                return builder.select(builder.fcmp_unordered("uno", args[0], args[0]), args[0], chosen)

            return x(x, x), generate

        return intrinsic(word)

    @intrinsic
    def where(context: Any, condition: Any, x: Any, y: Any) -> Any:
        return x(types.boolean, x, x), lambda _, builder, signature, args: builder.select(*args)

    return {
        **_bit_words(), "where": where, "maximum": extreme(">"), "minimum": extreme("<"),
        "absolute": llvm_unary("llvm.fabs"), "floor": llvm_unary("llvm.floor"),
        "rint": llvm_unary("llvm.rint"), "sqrt": llvm_unary("llvm.sqrt"),
        "exp": np.exp, "log": np.log,
        "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "expm1": np.expm1, "log1p": np.log1p, "power": np.power,
    }  # fmt: skip


def _bit_words() -> dict[str, Any]:
    """The words that set and read the exponent bits of a float32."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def power_of_two(context: Any, n: Any) -> Any:
        def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
            i32 = ir.IntType(32)
            biased = builder.add(builder.fptosi(args[0], i32), ir.Constant(i32, 127))
            return builder.bitcast(builder.shl(biased, ir.Constant(i32, 23)), ir.FloatType())

        return types.float32(types.float32), generate

    @intrinsic
    def exponent(context: Any, x: Any) -> Any:
        def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
            i32 = ir.IntType(32)
            bits = builder.sub(builder.bitcast(args[0], i32), ir.Constant(i32, 0x3F3504F3))  # sqrt(1/2)
            return builder.sitofp(builder.ashr(bits, ir.Constant(i32, 23)), ir.FloatType())

        return types.float32(types.float32), generate

    @intrinsic
    def mantissa(context: Any, x: Any) -> Any:
        def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
            i32 = ir.IntType(32)
            bits = builder.sub(builder.bitcast(args[0], i32), ir.Constant(i32, 0x3F3504F3))
            kept = builder.and_(bits, ir.Constant(i32, 0x007FFFFF))
            return builder.bitcast(builder.add(kept, ir.Constant(i32, 0x3F3504F3)), ir.FloatType())

        return types.float32(types.float32), generate

    return {"power_of_two": power_of_two, "exponent": exponent, "mantissa": mantissa}


@functools.cache
def memory_words(dtype: str) -> dict[str, Any]:
    """The words that kernels use on raw memory: ``pointer`` to elements, ``scalar`` of float64, ``gemm`` and others."""
    from numba import from_dtype, njit, types
    from numba.extending import intrinsic

    def pointer_to(element: Any) -> Any:
        def word(context: Any, address: Any) -> Any:
            signature = types.CPointer(element)(address)
            return signature, lambda c, builder, s, args: builder.inttoptr(args[0], c.get_value_type(s.return_type))

        return intrinsic(word)

    element = from_dtype(np.dtype(dtype))
    double = pointer_to(types.float64)
    cast = np.dtype(dtype).type

    @njit
    def scalar(address: int) -> Any:
        return cast(double(address)[0])

    return {
        "pointer": pointer_to(element), "labels": pointer_to(types.int64), "scalar": scalar,
        "gemm": _gemm_word(element), "double": double, "element": cast, "byte": pointer_to(types.uint8),
    }  # fmt: skip


def _gemm_word(element: Any) -> Any:
    """The word ``gemm``: a call of BLAS by address."""
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def gemm(context: Any, function: Any, ta: Any, tb: Any, m: Any, n: Any, k: Any, a: Any, lda: Any, b: Any,
             ldb: Any, beta: Any, c: Any, ldc: Any) -> Any:  # fmt: skip
        """c = op(a) op(b) + beta c in column-major order, by the BLAS routine at address ``function``.

        ta and tb are the ASCII codes of N and T; sizes are int64 and become BLAS's 32-bit integers here.
        """
        i64 = types.int64
        signature = types.void(i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64)

        def generate(ctx: Any, builder: Any, sig: Any, args: Any) -> Any:
            real = ctx.get_value_type(element)
            byte = ir.IntType(8)

            def by_address(value: Any) -> Any:
                slot = cgutils.alloca_once_value(builder, value)
                return builder.bitcast(slot, byte.as_pointer())

            def integer(value: Any) -> Any:
                return by_address(builder.trunc(value, ir.IntType(32)))

            def letter(value: Any) -> Any:
                return by_address(builder.trunc(value, byte))

            def memory(value: Any) -> Any:
                return builder.inttoptr(value, byte.as_pointer())

            fn, t1, t2, m_, n_, k_, a_, lda_, b_, ldb_, beta_, c_, ldc_ = args
            arguments = [
                letter(t1), letter(t2), integer(m_), integer(n_), integer(k_), by_address(ir.Constant(real, 1.0)),
                memory(a_), integer(lda_), memory(b_), integer(ldb_), by_address(builder.sitofp(beta_, real)),
                memory(c_), integer(ldc_),
            ]  # fmt: skip
            kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer()] * len(arguments))
            builder.call(builder.inttoptr(fn, kind.as_pointer()), arguments)
            return ctx.get_dummy_value()

        return signature, generate

    return gemm
