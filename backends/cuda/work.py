"""Work for the device alone: what an eager call runs at once, and a CUDA graph captures.

Each kind has a ``name``, ``run()``, which gives the work to the current stream of the current device and does not wait,
and ``bare(unleased)``: the same over arrays that hold no block of a program's pool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import cupy
import numpy as np

from nnkit.backends.cuda import modules
from nnkit.backends.cuda.blas import Product
from nnkit.backends.cuda.plans import Refused
from nnkit.backends.precision import is_half
from nnkit.kernels.cuda.compiler import Source

Array = Any
Unleased = Callable[[Any], Any]


class Work(Protocol):
    """What the device can do without Python."""

    @property
    def name(self) -> str:
        """What is launched."""

    def run(self) -> None:
        """Give it to the current stream."""

    def bare(self, unleased: Unleased) -> Work:
        """The same, holding no block of a program's pool."""


class Launch(NamedTuple):
    """A kernel over ``grid`` blocks. Arguments: cupy arrays for pointers, Python ints and floats for scalars."""

    kernel: Source
    grid: int
    arguments: tuple[Any, ...]

    @property
    def name(self) -> str:
        return self.kernel.name

    def run(self) -> None:
        kernel = self.kernel
        modules.function(kernel)((self.grid, 1, 1), (kernel.threads, 1, 1), self.arguments)

    def bare(self, unleased: Unleased) -> Launch:
        return self._replace(arguments=unleased(self.arguments))


class Transfer(NamedTuple):
    """A copy between contiguous arrays of one type and size on one device."""

    x: Array
    out: Array

    @property
    def name(self) -> str:
        return "copy of memory"

    def run(self) -> None:
        self.out.data.copy_from_device_async(self.x.data, self.out.nbytes)

    def bare(self, unleased: Unleased) -> Transfer:
        return Transfer(unleased(self.x), unleased(self.out))


class Multiply:
    """A matrix product of cuBLASLt.

    ``otherwise`` gives other work with the same result, for when the library refuses to run what it has offered. The
    first run finds that out; what is kept of the work afterwards, as ``bare``, is what has run.
    """

    def __init__(self, product: Product, otherwise: Callable[[], Work] | None = None) -> None:
        self.product = product
        self._otherwise = otherwise
        self._instead: Work | None = None

    @property
    def name(self) -> str:
        return "cuBLASLt" if self._instead is None else self._instead.name

    def run(self) -> None:
        if self._instead is None:
            try:
                self.product.run(cupy.cuda.get_current_stream().ptr)
                return
            except Refused:
                if self._otherwise is None:
                    raise
                otherwise = self._otherwise
            self._instead = otherwise()
        self._instead.run()

    def bare(self, unleased: Unleased) -> Work:
        if self._instead is not None:
            return self._instead.bare(unleased)
        return Multiply(self.product._replace(arrays=unleased(self.product.arrays)))


class PlainMultiply(NamedTuple):
    """A matrix product by CuPy's own function, where cuBLASLt has none: no graph can capture it."""

    x: Array
    y: Array
    out: Array
    add: bool

    @property
    def name(self) -> str:
        return "cupy.matmul"

    def run(self) -> None:
        x, y = (a.astype(np.float32) if is_half(a.dtype) else a for a in (self.x, self.y))
        z = cupy.matmul(x, y)
        self.out[...] = self.out + z if self.add else z

    def bare(self, unleased: Unleased) -> PlainMultiply:
        return PlainMultiply(unleased(self.x), unleased(self.y), unleased(self.out), self.add)


class Chain(NamedTuple):
    """One work after the other."""

    parts: tuple[Work, ...]

    @property
    def name(self) -> str:
        return " + ".join(part.name for part in self.parts)

    def run(self) -> None:
        for part in self.parts:
            part.run()

    def bare(self, unleased: Unleased) -> Chain:
        return Chain(tuple(part.bare(unleased) for part in self.parts))
