"""Matrix products with all threads, beside OpenBLAS: ``python -m bench.lab.products_in_turns [threads]``.

Each library has a process of its own and they take turns, because OpenBLAS's threads go on spinning for milliseconds
after a product and would take the processor from whoever comes next. Both multiply NumPy arrays through their public
door: ``backend.matmul``, recorded and replayed as in a training step, and ``numpy.matmul``. Rates are medians in
GFLOP/s, and in brackets the best, which other processes disturb least; ``NNKIT_VECTORS=avx2`` and
``OPENBLAS_CORETYPE=Haswell`` together hold both to AVX2.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np

from bench.lab.products import Product, filled
from bench.primitives import recorded
from bench.scaling import Run, repeated, seconds_per_call

ROUNDS, QUIET = 7, 0.2  # OpenBLAS spins for a tenth of a second

CASES = [
    Product(256, 2048, 2048, "dot"), Product(256, 2048, 2048, "outer"), Product(2048, 2048, 256, "grad"),
    Product(1024, 1024, 1024, "dot"), Product(1024, 1024, 1024, "outer"), Product(1024, 1024, 1024, "grad"),
    Product(2048, 2048, 2048, "dot"), Product(2048, 2048, 2048, "outer"), Product(2048, 2048, 2048, "grad"),
    Product(32, 64, 784, "dot"), Product(32, 64, 64, "dot"), Product(32, 64, 64, "outer"),
    Product(64, 784, 32, "grad"), Product(64, 64, 32, "grad"),
    Product(128, 128, 784, "dot"), Product(128, 784, 128, "grad"),
    Product(128, 512, 512, "dot"), Product(128, 512, 512, "outer"), Product(512, 512, 128, "grad"),
]  # fmt: skip


def _operands(product: Product) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    M, N, K, kind = product
    left = filled(K, M).T if kind == "grad" else filled(M, K)
    right = filled(N, K).T if kind == "dot" else filled(K, N)
    return left, right, filled(M, N)


#: From two factors and the place of their product: what multiplies them a number of times.
Make = Callable[[np.ndarray, np.ndarray, np.ndarray], Run]


def _nnkit(threads: int) -> Make:
    import nnkit

    nnkit.set_num_threads(threads)
    backend = nnkit.ones(1).backend
    return lambda x, y, out: recorded(backend, lambda: backend.matmul(x, y, out))


def _openblas(threads: int) -> Make:
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    return lambda x, y, out: repeated(lambda: np.matmul(x, y, out=out))


def _serve(pipe: Connection, make: Callable[[int], Make], threads: int) -> None:
    """For each product that comes answer with the seconds of one."""
    of, ready = make(threads), dict[Product, Run]()
    while (product := pipe.recv()) is not None:
        if product not in ready:
            ready[product] = of(*_operands(product))
        pipe.send(seconds_per_call(ready[product], 3))


def main(threads: int = 2) -> None:
    """A line for each product: both rates and their ratio."""
    context, pipes = multiprocessing.get_context("spawn"), {}
    for name, make in (("nnkit", _nnkit), ("OpenBLAS", _openblas)):
        pipes[name], theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, make, threads), daemon=True).start()
    for product in CASES:
        seconds: dict[str, list[float]] = {name: [] for name in pipes}
        for number in range(ROUNDS + 1):
            for name, pipe in pipes.items():
                pipe.send(product)
                found = pipe.recv()
                time.sleep(QUIET)
                if number:
                    seconds[name].append(found)
        work = 2e-9 * product.M * product.N * product.K
        own, blas = ([work / statistics.median(found), work / min(found)] for found in seconds.values())
        rates = ", ".join(
            f"{name} {rate[0]:4.0f} ({rate[1]:.0f})" for name, rate in (("nnkit", own), ("OpenBLAS", blas))
        )
        size = f"{product.kind:5} {product.M:4} x {product.N:4}, {product.K:4}"
        print(f"{size}: {rates}, ratio {own[0] / blas[0]:.2f} ({own[1] / blas[1]:.2f})", flush=True)
    for pipe in pipes.values():
        pipe.send(None)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
