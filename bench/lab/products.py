"""Matrix products by BLAS, and by ``kernels.cpu.products``: why nnkit multiplies matrices itself.

On AMD EPYC (Zen 5, AVX-512, 2 cores, one thread each), OpenBLAS 0.3.30 SkylakeX kernels, SciPy 1.17, Numba 0.68, in
float32, GFLOP/s:

    which, rows x columns, length of the sums   BLAS   tiles
    dot     32 x   32,   20                       30      79
    dot     32 x   64,   64                       76     108
    dot     32 x   64,  784                      103     192
    dot    128 x  128,  784                      169     202
    dot    256 x 2048, 1024                      188     192
    outer   32 x   20,   32                       41      77
    outer   64 x  784,   32                      137     220
    outer  128 x  784,  128                      172     221
    outer  512 x  512,  512                      196     216
    outer 2048 x 2048,  256                      201     209

With LLVM and OpenBLAS both held to AVX2 (Haswell) on the same processor the tiles are ahead on the small ones (58 to 25
on the first line) and behind on the largest (80 to 106 on the last). BLAS copies both factors into an order of its own
first, which small products do not pay back; the layouts of a linear layer need no copy. Besides, two BLAS libraries in
one process (NumPy's and SciPy's) have threads that wait for work by spinning, against each other. SciPy's call from
Python is part of its time: about 0.7 us.
Run: ``env -u OPENBLAS_CORETYPE OPENBLAS_NUM_THREADS=1 python -m bench.lab.products``.
"""

from __future__ import annotations

import ctypes

import numpy as np
from scipy.linalg.blas import sgemm

from bench.scaling import repeated, seconds_per_call
from nnkit.backends.pool import aligned_empty
from nnkit.kernels.cpu import products
from nnkit.kernels.cpu.compiler import Kernel

#: Result's rows, its columns, length of the sums; which product of a linear layer.
CASES = [
    (32, 32, 20, "dot"), (32, 64, 64, "dot"), (32, 64, 784, "dot"), (128, 128, 784, "dot"), (256, 2048, 1024, "dot"),
    (32, 20, 32, "outer"), (64, 784, 32, "outer"), (128, 784, 128, "outer"), (512, 512, 512, "outer"),
    (2048, 2048, 256, "outer"),
]  # fmt: skip


def filled(*shape: int) -> np.ndarray:
    """Random numbers at the start of a cache line."""
    out = aligned_empty(shape, np.float32)
    out[...] = np.random.default_rng(0).random(shape)
    return out


def main() -> None:
    """Time both for the products of the training benchmarks: x w^T (dot) and dz^T x (outer)."""
    outer = products.outer_kernel("float32")
    for M, N, K, kind in CASES:
        y, z = filled(M, N), filled(M, N)
        if kind == "dot":
            left, right = filled(M, K), filled(N, K)
            kernel: Kernel = (
                products.small_dot_kernel("float32") if K <= products.SMALL else products.dot_kernel("float32")
            )
            sizes = [M, N, K, K, K, N, 0, outer.address]
            call = lambda: sgemm(1.0, right.T, left.T, c=z.T, trans_a=True, overwrite_c=True)  # noqa: B023, E731
        else:
            left, right = filled(K, M), filled(K, N)
            kernel, sizes = outer, [M, N, K, 1, M, N, N, 0, 0]
            call = lambda: sgemm(1.0, right.T, left.T, c=z.T, trans_b=True, overwrite_c=True)  # noqa: B023, E731
        work = 2e-9 * M * N * K
        block = (ctypes.c_int64 * (3 + len(sizes)))(left.ctypes.data, right.ctypes.data, y.ctypes.data, *sizes)
        mine = seconds_per_call(repeated(lambda: kernel.call(ctypes.addressof(block))), 20)  # noqa: B023
        theirs = seconds_per_call(repeated(call), 20)
        assert np.allclose(y, z, rtol=1e-3, atol=1e-3)
        print(f"{kind:5} {M:4} x {N:4}, sums of {K:4}: BLAS {work / theirs:4.0f}, tiles {work / mine:4.0f} GFLOP/s")


if __name__ == "__main__":
    main()
