"""The loop that walks a program: each row of its table is a kernel's address and that of its argument block."""

from __future__ import annotations

import functools
from typing import Any

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import memory_words

# Block: [table, rows, times].
RUNNER = """
def kernel(block):
    table = labels(block[0])
    for _ in range(block[2]):
        for row in range(block[1]):
            call(table[2 * row], table[2 * row + 1])
"""


@functools.cache
def runner_kernel() -> Kernel:
    """The compiled loop."""
    return load(Source("runner", RUNNER, lambda: memory_words("float64") | {"call": _call_word()}))


def _call_word() -> Any:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def call(context: Any, kernel: Any, block: Any) -> Any:
        def generate(ctx: Any, builder: Any, signature: Any, args: Any) -> Any:
            address = ir.IntType(64).as_pointer()
            function = builder.inttoptr(args[0], ir.FunctionType(ir.VoidType(), [address]).as_pointer())
            builder.call(function, [builder.inttoptr(args[1], address)])
            return ctx.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return call
