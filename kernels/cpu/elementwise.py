"""One compiled loop per formula: ``out[i] = formula(inputs[i], scalars)`` over contiguous memory.

Argument block: [n, inputs…, scalars…, outputs…], all addresses but n. Scalars are float64 in memory and become the
element type once a call. An output may be one of the inputs; such a pair shares a name in the loop, because to
LLVM two names for one address mean that the loop cannot be vectorised.
"""

from __future__ import annotations

import functools

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import all_formulas, compiled_formulas, memory_words
from nnkit.kernels.vocabulary import element_names, scalar_names


@functools.cache
def map_kernel(formula: str, dtype: str, aliases: tuple[int, ...]) -> Kernel:
    """The loop over ``formula``; aliases[k] is the input that output k overwrites, or -1."""
    text = map_text(formula, aliases)
    name = f"map_{formula}_{dtype}_{'_'.join('n' if a < 0 else str(a) for a in aliases)}"
    return load(Source(name, text, lambda: memory_words(dtype) | compiled_formulas(dtype)))


def map_text(formula: str, aliases: tuple[int, ...]) -> str:
    """The text of the loop.

    >>> print(map_text("scale", (0,)))
    def kernel(block):
        n = block[0]
        x0 = pointer(block[1])
        s0 = scalar(block[2])
        for i in range(n):
            x0[i] = scale(x0[i], s0)
    """
    elements = len(element_names(all_formulas()[formula]))
    scalars = len(scalar_names(all_formulas()[formula]))
    lines = ["def kernel(block):", "    n = block[0]"]
    lines += [f"    x{k} = pointer(block[{1 + k}])" for k in range(elements)]
    lines += [f"    s{k} = scalar(block[{1 + elements + k}])" for k in range(scalars)]
    results = []
    for k, alias in enumerate(aliases):
        if alias < 0:
            lines.append(f"    y{k} = pointer(block[{1 + elements + scalars + k}])")
        results.append(f"y{k}[i]" if alias < 0 else f"x{alias}[i]")
    arguments = [f"x{k}[i]" for k in range(elements)] + [f"s{k}" for k in range(scalars)]
    lines += ["    for i in range(n):", f"        {', '.join(results)} = {formula}({', '.join(arguments)})"]
    return "\n".join(lines)
