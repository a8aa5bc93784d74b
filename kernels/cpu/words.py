"""The vocabulary of formulas as compiled CPU code, and the words that kernels use on memory.

Everything here imports Numba, so it is built on first use and only when something has to be compiled.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from nnkit.kernels import special
from nnkit.kernels.cpu import target
from nnkit.kernels.derivatives import ALONG, known
from nnkit.kernels.registered import FORMULAS
from nnkit.kernels.vocabulary import bind, where

#: The formulas of these names have a float32 version in ``special`` that vectorises.
FLOAT32_VERSIONS = {
    "exp": "exp32", "log": "log32", "tanh": "tanh32", "expm1": "expm1_32", "log1p": "log1p_32", "erf": "erf32",
}  # fmt: skip


def compiled_formulas(dtype: str) -> dict[str, Any]:
    """Every formula but derived ones, as a Numba function in float32 or float64 arithmetic: name -> dispatcher."""
    return _compiled_formulas(dtype, sum(ALONG not in name for name in FORMULAS))


def derived_formula(dtype: str, name: str) -> Any:
    """The dispatcher of one formula that is a derivative; it is derived here, where that has not been done yet."""
    known(name)
    words, constant, compile = _meaning(dtype)
    return bind({name: FORMULAS[name]}, words | compiled_formulas(dtype), constant, compile)[name]


@functools.cache
def _compiled_formulas(dtype: str, registered: int) -> dict[str, Any]:
    from numba import njit

    written = {name: formula for name, formula in FORMULAS.items() if ALONG not in name}
    if np.dtype(dtype).kind != "f":  # formulas that run on whole numbers and booleans have no constants
        plain = bind(written, {"where": scalar_words()["where"]}, wrap=njit(error_model="numpy"))
        return plain | {"larger": max, "smaller": min}
    words, constant, compile = _meaning(dtype)
    own = {} if "erf" in words else {"erf": special.erf}
    return bind(own | written, words, constant, compile)


@functools.cache
def _meaning(dtype: str) -> tuple[dict[str, Any], Any, Any]:
    """The words of formulas on floats, what becomes of their numbers, and what compiles them."""
    from numba import njit

    constant = np.dtype(dtype).type
    # Inlined by force: a formula that stays a call keeps its loop from vectorising, and its object from loading
    # in a process without Numba. Without wrappers for Python and C, which nobody calls, it compiles faster.
    bare: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    compile = njit(error_model="numpy", fastmath={"contract", "nsz"}, forceinline=True, **bare)
    words = scalar_words() | {"sign": bind({"sign": _sign}, scalar_words(), constant, compile)["sign"]}
    if dtype == "float32":
        fast = bind({name: getattr(special, name) for name in _closure_of_fast()}, words, constant, compile)
        words |= {word: fast[version] for word, version in FLOAT32_VERSIONS.items()}
    return words, constant, compile


def _closure_of_fast() -> list[str]:
    return list(FLOAT32_VERSIONS.values())


def _sign(x: Any) -> Any:
    return where(x > 0.0, 1.0, where(x < 0.0, -1.0, 0.0))


@functools.cache
def scalar_words() -> dict[str, Any]:
    """The words on compiled scalars. Selects instead of branches, so that loops vectorise."""
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    def llvm_unary(name: str) -> Any:
        def word(context: Any, x: Any) -> Any:
            def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
                return builder.call(builder.module.declare_intrinsic(name, [args[0].type]), args)

            return x(x), generate

        return intrinsic(word)

    @intrinsic
    def greatest(context: Any, x: Any, y: Any) -> Any:
        """The larger, NaN when either is NaN; unlike ``maximum`` it vectorises where it runs along a row."""

        def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = args[0].type
            name = f"llvm.maximum.{kind.intrinsic_name}"
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind, kind]), name)
            return builder.call(function, args)

        return x(x, x), generate

    def extreme(comparison: str) -> Any:
        def word(context: Any, x: Any, y: Any) -> Any:
            def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
                if isinstance(args[1], ir.Constant):  # no NaN, so one comparison, which holds for a NaN of x, will do
                    return builder.select(builder.fcmp_unordered(comparison, *args), *args)
                chosen = builder.select(builder.fcmp_ordered(comparison, *args), *args)
                return builder.select(builder.fcmp_unordered("uno", args[0], args[0]), args[0], chosen)

            return x(x, x), generate

        return intrinsic(word)

    @intrinsic
    def where(context: Any, condition: Any, x: Any, y: Any) -> Any:
        return x(types.boolean, x, x), lambda _, builder, signature, args: builder.select(*args)

    return {
        **_bit_words(), "where": where, "greatest": greatest, "maximum": extreme(">"), "minimum": extreme("<"),
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


def _prefetch(to_write: bool) -> Any:
    """The word that begins to fetch the cache line of an element: to read it, or to be the only one who has it."""
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    def prefetch(context: Any, memory: Any, index: Any) -> Any:
        def generate(ctx: Any, builder: Any, signature: Any, args: Any) -> Any:
            i32, at = ir.IntType(32), ir.IntType(8).as_pointer()
            kind = ir.FunctionType(ir.VoidType(), [at, i32, i32, i32])
            function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            place = builder.bitcast(builder.gep(args[0], [args[1]]), at)
            how = [ir.Constant(i32, k) for k in (int(to_write), 3, 1)]  # again and again; data
            builder.call(function, [place, *how])
            return ctx.get_dummy_value()

        return types.void(memory, types.int64), generate

    return intrinsic(prefetch)


@functools.cache
def memory_words(dtype: str) -> dict[str, Any]:
    """The words that kernels use on raw memory: ``pointer`` to elements, ``scalar`` of float64 and others."""
    from llvmlite import ir
    from numba import from_dtype, njit, types
    from numba.extending import intrinsic

    def pointer_to(element: Any) -> Any:
        def word(context: Any, address: Any) -> Any:
            signature = types.CPointer(element)(address)
            return signature, lambda c, builder, s, args: builder.inttoptr(args[0], c.get_value_type(s.return_type))

        return intrinsic(word)

    element = from_dtype(np.dtype(dtype))

    @intrinsic
    def address(context: Any, memory: Any) -> Any:
        """Where a pointer leads to, as a number."""
        return types.int64(memory), lambda c, builder, s, args: builder.ptrtoint(args[0], ir.IntType(64))

    @intrinsic
    def plain(context: Any, value: Any, zero: Any) -> Any:
        """The value, made with a zero that LLVM does not know to be one.

        Else it turns a choice between a new and the old value of an element in place into a masked store, which on
        processors with AVX2 takes ten times as long as the rest of the loop.
        """

        def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
            bits = ir.IntType(value.bitwidth)
            none = args[1] if value.bitwidth == 64 else builder.trunc(args[1], bits)
            mixed = builder.xor(builder.bitcast(args[0], bits), none)
            return builder.bitcast(mixed, args[0].type)

        return value(value, types.int64), generate

    double = pointer_to(types.float64)
    cast = np.dtype(dtype).type

    @njit
    def scalar(address: int) -> Any:
        return cast(double(address)[0])

    return {
        "pointer": pointer_to(element), "labels": pointer_to(types.int64), "scalar": scalar, "double": double,
        "prefetch": _prefetch(False), "prefetch_to_write": _prefetch(True), "address": address, "plain": plain,
        "element": cast, "byte": pointer_to(types.uint8),
    }  # fmt: skip


@functools.cache
def control_words() -> dict[str, Any]:
    """The words that run other kernels: ``call`` of a kernel on a block, and ``stack``, memory until it returns."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    i64 = ir.IntType(64)

    @intrinsic
    def call(context: Any, kernel: Any, block: Any) -> Any:
        """Run the kernel at an address on the block at an address."""

        def generate(ctx: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(ir.VoidType(), [i64.as_pointer()])
            function = builder.inttoptr(args[0], kind.as_pointer())
            builder.call(function, [builder.inttoptr(args[1], i64.as_pointer())])
            return ctx.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    @intrinsic(prefer_literal=True)
    def stack(context: Any, nbytes: Any) -> Any:
        """The address of so many bytes, aligned for the widest register; the number is a literal."""
        if not isinstance(nbytes, types.IntegerLiteral):
            return None

        def generate(ctx: Any, builder: Any, signature: Any, args: Any) -> Any:
            with builder.goto_entry_block():
                space = builder.alloca(ir.ArrayType(ir.IntType(8), nbytes.literal_value))
                space.align = 64
            return builder.ptrtoint(space, i64)

        return types.int64(nbytes), generate

    return {"call": call, "stack": stack}


@functools.cache
def shared_words() -> dict[str, Any]:
    """The words on int64 numbers, by address, that several threads read and write."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    number, i64 = types.int64, ir.IntType(64)

    def at(builder: Any, address: Any) -> Any:
        return builder.inttoptr(address, i64.as_pointer())

    @intrinsic
    def read(context: Any, address: Any) -> Any:
        def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.load_atomic(at(builder, args[0]), "seq_cst", 8)

        return number(number), generate

    @intrinsic
    def write(context: Any, address: Any, value: Any) -> Any:
        def generate(ctx: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.store_atomic(args[1], at(builder, args[0]), "seq_cst", 8)
            return ctx.get_dummy_value()

        return types.void(number, number), generate

    @intrinsic
    def add(context: Any, address: Any, value: Any) -> Any:
        """Add to a number; returns what it was."""

        def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.atomic_rmw("add", at(builder, args[0]), args[1], "seq_cst")

        return number(number, number), generate

    @intrinsic
    def zeros(context: Any, bits: Any) -> Any:
        """How many bits from the right are 0, of a number that is not."""

        def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

        return number(number), generate

    @intrinsic
    def exchange(context: Any, address: Any, old: Any, new: Any) -> Any:
        """Set a number if it is ``old``; returns whether it was."""

        def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
            pair = builder.cmpxchg(at(builder, args[0]), args[1], args[2], "seq_cst", "seq_cst")
            return builder.extract_value(pair, 1)

        return types.boolean(number, number, number), generate

    return {"read": read, "write": write, "add": add, "exchange": exchange, "zeros": zeros} | _waiting_words()


def _waiting_words() -> dict[str, Any]:
    """The words of a loop that waits for another thread; what they become depends on the processor."""
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def pause(context: Any) -> Any:
        """Tell the processor that this is a waiting loop."""

        def generate(ctx: Any, builder: Any, signature: Any, args: Any) -> Any:
            machine = target.architecture()
            if machine == "x86_64":
                hint = ir.FunctionType(ir.VoidType(), [])
                builder.call(cgutils.get_or_insert_function(builder.module, hint, "llvm.x86.sse2.pause"), [])
            elif machine == "aarch64":
                hint = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
                function = cgutils.get_or_insert_function(builder.module, hint, "llvm.aarch64.hint")
                builder.call(function, [ir.Constant(ir.IntType(32), 1)])  # yield
            return ctx.get_dummy_value()

        return types.void(), generate

    @intrinsic
    def cycles(context: Any) -> Any:
        """The processor's time stamp; always 0 where a program may not read it."""

        def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
            if target.architecture() != "x86_64":
                return ir.Constant(ir.IntType(64), 0)
            stamp = ir.FunctionType(ir.IntType(64), [])
            return builder.call(cgutils.get_or_insert_function(builder.module, stamp, "llvm.readcyclecounter"), [])

        return types.int64(), generate

    return {"pause": pause, "cycles": cycles}
