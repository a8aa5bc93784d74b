"""Dropout with the four numbers of a Philox block in an inner loop: what the kernel was, and why it no longer is.

An inner loop over the lanes with a bounds check in it keeps LLVM from computing several blocks side by side. On
AMD EPYC (Zen 5), Numba 0.68, float32, one thread: 1.37 ns a number in a loop, 0.87 ns with the lanes written out
and the rest after the loop. (Before the generator was inlined by force, the loop took some 10 ns.)
Run: ``python -m bench.lab.random_lanes``.
"""

from __future__ import annotations

import ctypes
import time

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.random import _words, dropout_kernel
from nnkit.kernels.philox import PURPOSES

LANES = """
def kernel(block):
    first, n, key, purpose = block[0] // 4, block[1], labels(block[2]), u32(block[3])
    x, p, y = pointer(block[4]), scalar(block[5]), pointer(block[6])
    keep = element(1) / (element(1) - p)
    s0, s1, d0, d1 = u32(key[0]), u32(key[0] >> 32), u32(key[1]), u32(key[1] >> 32)
    for q in range((n + 3) // 4):
        c0, c1, c2, c3 = philox_block(u32(first + q), purpose, d0, d1, s0, s1)
        for lane in range(4):
            i = q * 4 + lane
            if i < n:
                u = element(c0 >> u32(8)) * element(5.9604644775390625e-08)
                y[i] = x[i] * keep if u >= p else element(0)
            c0, c1, c2, c3 = c1, c2, c3, c0
"""


def main(count: int = 256 * 2048) -> None:
    """Time both on one thread, and check that they agree."""
    lanes = load(Source("lab_lanes", LANES, _words, ("float32",)))
    x, key, p = np.ones(count, np.float32), np.array([1, 2], np.int64), np.array([0.1])
    results = []
    for name, kernel in (("lanes in a loop", lanes), ("lanes written out", dropout_kernel("float32"))):
        y = np.empty_like(x)
        arguments = [0, count, key.ctypes.data, PURPOSES["dropout"], x.ctypes.data, p.ctypes.data, y.ctypes.data]
        print(f"{name:18} {best(kernel, arguments) / count * 1e9:6.2f} ns a number")
        results.append(y)
    assert (results[0] == results[1]).all()


def best(kernel: Kernel, arguments: list[int], rounds: int = 20) -> float:
    """The shortest of some rounds, in seconds."""
    block = (ctypes.c_int64 * len(arguments))(*arguments)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        kernel.call(ctypes.addressof(block))
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
