"""What the host takes to prepare eager calls on a GPU: decided anew at each, and with what follows from layouts kept.

CuPy's own arrays stand over addresses that nobody reads, so their attributes cost what they cost there (some 0.1 µs
each; they are counted), and a library that offers every product stands for cuBLASLt. Needs CuPy, but no GPU. Not
counted: the launch, and CuPy's pool. Least of 99 times 200 calls, on a shared 2-core AMD EPYC, in µs:

    reduce: rows, columns             3.1, 5.3     2.6, 4.8
    cross_entropy                     3.6          3.1
    map: relu, add of a row           2.5, 2.8     2.5, 2.8
    copy: in order, to half           5.7, 3.9     5.6, 3.9
    copy of columns, of what is turned 16, 26      6.3, 8.9
    linear: relu; gelu, z kept        12.6, 13.1   8.3, 8.8
    linear_grad: relu, identity       19.8, 13.7   13.6, 11.4
    half_linear_grad                  21.3         14.9
    matmul                            5.0          4.6

A plan of a reduction, which is kept on both sides, took 4.7 µs more. What is left of ``linear_grad`` are two products,
whose plans are looked up by the layouts of their arrays at 3 µs each; one decision for all of them would spare perhaps
5 µs, and say everything twice.

Run: ``python -m bench.lab.preparing``, or with a word of a line's name to have those profiled.
"""

from __future__ import annotations

import cProfile
import itertools
import pstats
import sys
import timeit
from collections.abc import Callable, Iterator
from typing import Any

import cupy
import numpy as np

from nnkit.backends.cuda import elementwise, launches, moves, products
from nnkit.backends.cuda.blas import Blas
from nnkit.backends.cuda.plans import Request

CALLS = 200
_places = itertools.count(1 << 20, 1 << 28)  # far apart, and where wide accesses may begin


class Offering(Blas):
    """cuBLASLt, as far as it is asked for plans: it has the first of each."""

    def _first_offered(self, requests: Any, alignment: int) -> Any:
        return Offer(requests[0])


class Offer:
    """A plan that nobody runs."""

    def __init__(self, request: Request) -> None:
        self.request = request


class Library:
    """In the place of the C library: every function succeeds."""

    def __getattr__(self, name: str) -> Callable[..., int]:
        return lambda *arguments: 0


def memory(nbytes: int) -> Any:
    """Memory that is not there."""
    return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(next(_places), max(nbytes, 1), None, 0), 0)


def array(*shape: int, dtype: Any = np.float32) -> Any:
    """An array of CuPy's."""
    kind = np.dtype(dtype)
    return cupy.ndarray(shape, kind, memory(int(np.prod(shape)) * kind.itemsize))


def layer(half: str | None = None) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A layer of 784 to 128, 128 rows: forward, backward."""
    x, w, b, y, dy, dz = array(128, 784), array(128, 784), array(128), *(array(128, 128) for _ in range(3))
    dx, dw, db, bare = array(128, 784), array(128, 784), array(128), (False, False)
    yield "linear relu", lambda: products.linear(x, w, b, "relu", None, y)
    yield "linear gelu, z kept", lambda: products.linear(x, w, b, "gelu", dz, y)
    yield "linear identity", lambda: products.linear(x, w, b, "identity", None, y)
    yield "linear_grad relu", lambda: products.linear_grad(x, w, y, dy, "relu", dz, dx, dw, db, bare)
    yield "linear_grad identity", lambda: products.linear_grad(x, w, y, dy, "identity", dy, dx, dw, db, bare)
    a, v = array(128, 784, dtype=np.float16), array(128, 784, dtype=np.float16)
    yield (
        "half_linear_grad relu",
        lambda: products.half_linear_grad("float16", a, v, y, dy, "relu", dz, dx, dw, db, bare),
    )
    yield "matmul", lambda: products.matmul(x, w.T, y)


def calls() -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is prepared, by name."""
    table, column, row, one = array(8192, 1024), array(8192), array(1024), array(1)
    whole = array(1 << 20)
    yield "reduce rows", lambda: launches.reduce("sum", table, (1,), column)
    yield "reduce columns", lambda: launches.reduce("sum", table, (0,), row)
    yield "reduce all", lambda: launches.reduce("sum", whole, (0,), one)
    z, labels, loss, dz = array(128, 10), array(128, dtype=np.int64), array(128), array(128, 10)
    yield "cross_entropy", lambda: launches.cross_entropy(z, labels, None, loss, dz)
    x, y, out, half = array(128, 128), array(128), array(128, 128), array(128, 128, dtype=np.float16)
    yield "map relu", lambda: elementwise.map("relu", (x,), (out,))
    yield "map add, a row", lambda: elementwise.map("add", (x, y), (out,))
    yield "map with a scalar", lambda: elementwise.map("scale", (x,), (out,), (0.5,))
    small, other, turned, part = array(33), array(33), x.T, array(128, 256)[:, :128]
    yield "copy", lambda: moves.copy(small, other)
    yield "copy to half", lambda: moves.copy(x, half)
    yield "copy of memory", lambda: moves.copy(x, out)
    yield "copy of columns", lambda: moves.copy(part, out)
    yield "copy of what is turned", lambda: moves.copy(turned, out)
    yield from layer()


def main(chosen: list[str]) -> None:
    """Time what is prepared, or profile what is chosen."""
    library = Offering(lambda nbytes: array(nbytes, dtype=np.uint8), Library(), activations=products.TRUSTED)
    products.blas = lambda: library
    room = memory(1 << 28)
    with cupy.cuda.using_allocator(lambda nbytes: room):
        for name, call in calls():
            if not chosen:
                took = min(timeit.repeat(call, number=CALLS, repeat=99)) / CALLS
                print(f"{name:26}{took * 1e6:6.2f} µs")
            elif any(word in name for word in chosen):
                call()
                with cProfile.Profile() as profile:
                    for _ in range(10 * CALLS):
                        call()
                print(name)
                pstats.Stats(profile).sort_stats("tottime").print_stats(14)


if __name__ == "__main__":
    main(sys.argv[1:])
