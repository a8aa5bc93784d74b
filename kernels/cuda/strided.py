"""A CUDA kernel that copies between arrays whose elements lie in any regular way: turned, cut, repeated, backwards."""

from __future__ import annotations

import functools

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.texts import indented

THREADS = 256
#: Bytes of an element -> the type that it is copied as.
UNITS = {1: "uint8", 2: "float16", 4: "uint32", 8: "int64"}
#: Axes that do not merge with their neighbours, at most.
MOST_AXES = 6


@functools.cache
def strided_kernel(itemsize: int, axes: int) -> Source:
    """y = x. Arguments: x, y, n elements, where x begins, and for each axis its size and its steps in x and in y.

    Sizes and steps count elements. n is below 2**32, and no step of y is 0.

    >>> print(strided_kernel(4, 2).text)
    def kernel(x, y, n, source, n0, x0, y0, n1, x1, y1):
        i = grid_thread()
        if i < n:
            target = 0
            rest = to_int64(to_uint32(to_uint32(i) // to_uint32(n1)))
            source += (i - rest * n1) * x1
            target += (i - rest * n1) * y1
            i = rest
            y[target + i * y0] = x[source + i * x0]
    """
    lines = ["target = 0"]
    for k in range(axes - 1, 0, -1):
        lines += [
            # Places are found in 32 bits, because dividing longer numbers is slow.
            f"rest = to_int64(to_uint32(to_uint32(i) // to_uint32(n{k})))",
            f"source += (i - rest * n{k}) * x{k}",
            f"target += (i - rest * n{k}) * y{k}",
            "i = rest",
        ]
    lines.append("y[target + i * y0] = x[source + i * x0]")
    names = ["x", "y", "n", "source", *(f"{letter}{k}" for k in range(axes) for letter in "nxy")]
    text = f"def kernel({', '.join(names)}):\n    i = grid_thread()\n    if i < n:\n{indented(lines, 2)}"
    memory = f"{UNITS[itemsize]}*"
    parameters = (memory, memory, *("int64",) * (2 + 3 * axes))
    return Source(f"copy_strided_{itemsize}_{axes}", text, parameters, "int64", THREADS)
