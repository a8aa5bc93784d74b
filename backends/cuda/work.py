"""Work for the device alone: what an eager call runs at once, and a CUDA graph captures.

Each kind has a ``name``, ``run()``, which gives the work to the current stream of the current device and does not wait,
and ``bare(unleased)``: the same over arrays that hold no block of a program's pool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import cupy

from nnkit.backends.cuda import modules
from nnkit.backends.cuda.blas import Product
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


class Multiply(NamedTuple):
    """A matrix product of cuBLASLt."""

    product: Product

    @property
    def name(self) -> str:
        return "cuBLASLt"

    def run(self) -> None:
        self.product.run(cupy.cuda.get_current_stream().ptr)

    def bare(self, unleased: Unleased) -> Multiply:
        return Multiply(self.product._replace(arrays=unleased(self.product.arrays)))


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
