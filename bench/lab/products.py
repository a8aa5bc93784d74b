"""Matrix products by BLAS, and by ``kernels.cpu.products`` and ``panels``: why nnkit multiplies matrices itself.

On 2 cores of an Intel Xeon (model 207, Emerald Rapids; load 12 to 16, run at ``chrt -r 5``, the better of two runs),
OpenBLAS 0.3.30, Numba 0.68, one thread, float32, GFLOP/s; left held to AVX2 (OpenBLAS's Haswell kernels), right with
AVX-512 (SkylakeX), where two multiply-adds a cycle would be some 160:

    which, rows x columns, length of the sums   BLAS  tiles  panels     BLAS  tiles  panels
    dot     32 x   32,   20                       17     36      32       20     56      42
    dot     32 x   64,   64                       36     61      54       49     95      74
    dot     32 x   64,  784                       44     71      59       70    148      98
    dot    128 x  128,  784                       58     58      76      122    150     143
    dot    128 x  512,  512                       67     72      77      128    142     153
    dot    256 x 2048, 1024                       76     69      83      138    144     157
    dot    256 x 2048, 2048                       73     64      83      136    129     152
    outer   32 x   20,   32                       17     35      30       21     51      40
    outer  128 x  512,  512                       69     75      74      117    148     146
    outer  256 x 2048, 2048                       71     60      69      104    132     147
    outer 1024 x 1024, 1024                       81     58      82      132    118     151
    outer 2048 x 2048, 2048                       81     49      79      154    117     164
    grad    64 x  784,   32                       50     71      66       82    131     140
    grad   128 x  784,  128                       63     68      75      126    162     148
    grad   512 x  512,  512                       79     52      80      138    117     139
    grad  2048 x 1024,  256                       81     43      80      136     79     156
    grad  2048 x 2048,  256                       78     42      79      140     83     156

``outer`` and ``grad`` take panels from 2**24 multiplications on with 16 registers, from 2**27 on with AVX-512; ``dot``
where weights have 4 MiB and 7 MiB: panels are faster there from some 64 or 128 rows on and slower below. With few rows
panels are not packed (``thin``). BLAS copies both factors into an order of its own first, which small products do not
pay back; the layouts of a linear layer need no copy.

What this processor gained by, each measured beside the kernel before in one process: to pack the next panel between
the tiles, from memory that they have fetched, a tenth with 256 rows; to fetch the result of the tile below, step
by step and as if to be read, a tenth in gradients of weights of 16 MiB. Fetched as if to be written, into the
first cache, it costs more than it gains. Blocks of 1024 terms, tiles of 12 or 14 rows by 2 registers, and blocks
that fit the first cache (192 or 256 terms) gave nothing or less.

Besides, two BLAS libraries in one process (NumPy's and SciPy's) have threads that wait for work by spinning, against
each other. SciPy's call from Python is part of its time: 0.7 us. Both threads: ``bench.lab.products_in_turns``.
Run: ``env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OPENBLAS_NUM_THREADS=1 python -m bench.lab.products``; held to AVX2:
``env -u OPENBLAS_L2_SIZE OPENBLAS_CORETYPE=Haswell OPENBLAS_NUM_THREADS=1 NNKIT_VECTORS=avx2 python -m ...``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg.blas import sgemm

from bench.scaling import repeated, seconds_per_call
from nnkit.backends.pool import aligned_empty
from nnkit.kernels.cpu import panels, products
from nnkit.kernels.cpu.compiler import Kernel


class Product(NamedTuple):
    """y (M, N): x w^T ("dot"), dz^T x ("grad"), or x y ("outer"), with sums of K terms."""

    M: int
    N: int
    K: int
    kind: str


CASES = [
    Product(32, 32, 20, "dot"), Product(32, 64, 64, "dot"), Product(32, 64, 784, "dot"), Product(128, 128, 784, "dot"),
    Product(128, 512, 512, "dot"), Product(256, 2048, 1024, "dot"), Product(256, 2048, 2048, "dot"),
    Product(32, 20, 32, "outer"), Product(128, 512, 512, "outer"), Product(256, 2048, 2048, "outer"),
    Product(1024, 1024, 1024, "outer"), Product(2048, 2048, 2048, "outer"),
    Product(64, 784, 32, "grad"), Product(128, 784, 128, "grad"), Product(512, 512, 512, "grad"),
    Product(2048, 1024, 256, "grad"), Product(2048, 2048, 256, "grad"),
]  # fmt: skip


def filled(*shape: int) -> np.ndarray:
    """Random numbers at the start of a cache line."""
    out = aligned_empty(shape, np.float32)
    out[...] = np.random.default_rng(0).random(shape)
    return out


def runner(kernel: Kernel, *arguments: np.ndarray | int) -> Callable[[], None]:
    """A call of a kernel on these arguments."""
    block = (ctypes.c_int64 * len(arguments))(*(a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments))

    def call(alive: tuple[np.ndarray | int, ...] = arguments) -> None:
        kernel.call(ctypes.addressof(block))

    return call


def contenders(product: Product) -> dict[str, tuple[Callable[[], None], np.ndarray]]:
    """Name -> a call, and where its result is."""
    M, N, K, kind = product
    left = filled(K, M) if kind == "grad" else filled(M, K)
    right = filled(N, K) if kind == "dot" else filled(K, N)
    ours, copied, theirs, room = filled(M, N), filled(M, N), filled(M, N), filled(panels.room_bytes("float32", N) // 4)
    orders = ("across" if kind == "grad" else "along"), ("along" if kind == "dot" else "across")
    tall, lda, ldb = panels.tall("float32", M), left.shape[1], right.shape[1]
    if kind == "dot":
        small = K <= products.SMALL
        tiles = products.small_dot_kernel("float32") if small else products.dot_kernel("float32")
        rest = [K, K, N, 0, products.outer_kernel("float32").address, 0]
    else:
        tiles, rest = products.outer_kernel("float32"), [*((1, M) if kind == "grad" else (K, 1)), N, N, 0, 0]

    def blas() -> None:
        options = {"trans_a": kind == "dot", "trans_b": kind == "grad"}
        sgemm(1.0, right.T, left.T, c=theirs.T, overwrite_c=True, **options)

    packed = [left, right, copied, M, N, K, lda, ldb, N, 0, 0, tall, room if M > tall else 0]
    return {
        "BLAS": (blas, theirs),
        "tiles": (runner(tiles, left, right, ours, M, N, K, *rest), ours),
        "panels": (runner(panels.panels_kernel("float32", *orders), *packed), copied),
    }


def main() -> None:
    """Time all three for the products of the training benchmarks, turn by turn, and name the fastest."""
    for product in CASES:
        work, best = 2e-9 * product.M * product.N * product.K, dict[str, float]()
        calls = contenders(product)
        for _ in range(3):
            for name, (call, _) in calls.items():
                best[name] = min(best.get(name, np.inf), seconds_per_call(repeated(call), 7))
        results = [result for _, result in calls.values()]
        assert all(np.allclose(results[0], result, rtol=1e-3, atol=1e-3) for result in results)
        rates = ", ".join(f"{name} {work / seconds:4.0f}" for name, seconds in best.items())
        print(
            f"{product.kind:5} {product.M:4} x {product.N:4}, {product.K:4}: {rates}; {min(best, key=best.__getitem__)}"
        )


if __name__ == "__main__":
    main()
