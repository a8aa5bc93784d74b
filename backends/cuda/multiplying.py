"""Matrix products of cuBLASLt as work for the device, whatever the library refuses.

    wanted = Wanted(ask, plain, done, finish)                     how a product is asked for, and what it comes down to
    work, done = wanted.work(library)                             or the reason (a str) why there is none

What the library does not offer, or refuses to run after it has offered it, is asked for in another way: in a plainer
product with the rest done by kernels of ours; where the GPU has no products of a half type, with operands widened to
float32 by a kernel. The numbers are those of the rounded operands everywhere, and a graph captures all of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import cupy
import numpy as np

from nnkit.backends.cuda import elementwise
from nnkit.backends.cuda.arrays import scratch
from nnkit.backends.cuda.blas import Blas, Product
from nnkit.backends.cuda.cublaslt import CublasError, Status
from nnkit.backends.cuda.plans import Done
from nnkit.backends.cuda.work import Chain, Multiply, PlainMultiply, Work
from nnkit.backends.pool import shadow
from nnkit.backends.precision import is_half

Array = Any
FLOAT32 = np.dtype(np.float32)
NOTHING_LEFT = Done(True, True)


#: x, y and out of a product, and whether it is added to out.
Plain = tuple[Array, Array, Array, bool]


class Wanted(NamedTuple):
    """A product, and how it is done where the library has none."""

    ask: Callable[[], Product | str]
    plain: Callable[[], Plain]  # the bare product
    done: Done  # what of the layer the bare product does
    finish: Callable[[Done, Done], Work]  # what was promised and what is done -> the work that is missing

    def work(self, library: Blas) -> tuple[Work, Done] | str:
        """The work, and what of the layer it does; or the reason why there is none. Raises CublasError."""
        try:
            product = self.ask()
        except CublasError as error:
            if error.status != Status.NOT_SUPPORTED:
                raise
            plain = self.plain()
            if not is_half(plain[0].dtype):
                return str(error)
            wide = _widened_product(library, *plain)
            return wide if isinstance(wide, str) else (wide, self.done)
        if isinstance(product, str):
            return product
        return Multiply(product, functools.partial(self._otherwise, library, product.done)), product.done

    def _otherwise(self, library: Blas, promised: Done) -> Work:
        """The same again, after the library refused to run what it had offered."""
        found = self.work(library)
        work, done = (PlainMultiply(*self.plain()), self.done) if isinstance(found, str) else found
        missing = (promised.bias and not done.bias) or (promised.activation and not done.activation)
        return Chain((work, self.finish(promised, done))) if missing else work


def multiplied(
    library: Blas, x: Array, y: Array, out: Array, add: bool = False, precision: str = "highest"
) -> Work | str:
    """out = x y, or out += x y."""
    wanted = Wanted(lambda: library.matmul(x, y, out, add, precision), lambda: (x, y, out, add), NOTHING_LEFT, _nothing)
    found = wanted.work(library)
    return found if isinstance(found, str) else found[0]


def _nothing(promised: Done, done: Done) -> Work:
    return Chain(())


# ---- operands of a half type that the GPU does not multiply ---------------------------------------------------------


def _widened_product(library: Blas, x: Array, y: Array, out: Array, add: bool) -> Work | str:
    library.warn_of_half(x.dtype.name, f" for {x.shape} times {y.shape}")
    left, right = _widened(x), _widened(y)
    if isinstance(left, str) or isinstance(right, str):
        return left if isinstance(left, str) else str(right)
    direct = out.dtype == FLOAT32
    target = out if direct else scratch(out.shape, "float32")
    product = multiplied(library, left[0], right[0], target, add and direct)
    if direct or isinstance(product, str):
        return product if isinstance(product, str) else Chain((left[1], right[1], product))
    inputs = (out, target) if add else (target,)
    last = elementwise.map("add" if add else "identity", inputs, (out,))
    return last if isinstance(last, str) else Chain((left[1], right[1], product, last))


def _widened(x: Array) -> tuple[Array, Work] | str:
    """x in float32 with its strides, and the work that makes it so, which goes over x's memory as it lies there."""
    low, high = np.lib.array_utils.byte_bounds(shadow(x))
    before, count = x.data.ptr - low, (high - low) // x.itemsize
    flat, wide = cupy.ndarray((count,), x.dtype, x.data - before), scratch((count,), "float32")
    work = elementwise.map("identity", (flat,), (wide,))
    if isinstance(work, str):
        return work
    grown = wide.itemsize // x.itemsize
    strides = tuple(stride * grown for stride in x.strides)
    return cupy.ndarray(x.shape, wide.dtype, wide.data + before * grown, strides), work
