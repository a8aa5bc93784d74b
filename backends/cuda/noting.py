"""A pretended GPU that says which kernels a real one would run: NumPy computes, and every kernel's source is noted.

It needs CuPy, but neither a GPU nor a driver. ``launches`` and its like look at an array's type, layout and address
alone, so they are shown CuPy's arrays over the memory of NumPy's. What cuBLASLt would add to a product, the bias or its
gradient, is known only on the GPU: both ways are noted.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import cupy
import numpy as np

from nnkit.backends import recording, registry
from nnkit.backends.attention import Rule
from nnkit.backends.base import Array
from nnkit.backends.cuda import products
from nnkit.backends.cuda.column_major import problem, view
from nnkit.backends.cuda.plans import Done
from nnkit.backends.cuda.preparing import PREPARED
from nnkit.backends.cuda.work import Chain, Launch, Work
from nnkit.backends.numpy import NumpyBackend
from nnkit.backends.windows import Window
from nnkit.kernels.cuda.compiler import Source

PLACE = 1 << 20  # of memory that nobody reads or writes; wide accesses may begin there

# ---- what cuBLASLt would do -----------------------------------------------------------------------------------------


class Offered(NamedTuple):
    """A product that nobody runs, and what of its layer it does."""

    done: Done = Done(True, True)


class Library:
    """In the place of ``blas.Blas``: takes what cuBLASLt can store, with the bias or its gradient, or without."""

    def __init__(self, bias: bool) -> None:
        self.bias = bias

    def matmul(self, x: Array, y: Array, out: Array, *rest: Any, **options: Any) -> Offered | str:
        """Nothing is left to a kernel."""
        found = problem(view(x), view(y), view(out))
        return found if isinstance(found, str) else Offered()

    def linear(
        self, x: Array, w: Array, b: Array | None, activation: str, z: Array | None, out: Array, *rest: Any
    ) -> Offered | str:
        """The activation is left to a kernel."""
        found = problem(view(x), view(w).transposed, view(out))
        done = Done(b is None or self.bias, activation == "identity" and z is None)
        return found if isinstance(found, str) else Offered(done)

    def weight_grad(
        self, x: Array, dz: Array, dw: Array, db: Array | None = None, add: bool = False, *rest: Any
    ) -> Offered | str:
        """The gradient of the bias may be left to a kernel."""
        found = problem(view(dz).transposed, view(x), view(dw))
        return found if isinstance(found, str) else Offered(Done(db is None or self.bias, True))

    def multiplies(self, half: str) -> bool:
        """Products of every half type."""
        return True


# ---- the device -----------------------------------------------------------------------------------------------------


class _Within(threading.local):
    """What a thread is at."""

    primitive = False  # one that the GPU does in one piece: what its body calls is not noted
    bias = True  # whether cuBLASLt is taken to do the bias


_within = _Within()


def _pointer(place: int, nbytes: int) -> Any:
    return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(place, max(nbytes, 1), None, 0), 0)


def _shown(value: Any) -> Any:
    """An argument as the functions that prepare work take it: CuPy's arrays in the place of NumPy's."""
    if isinstance(value, np.ndarray):
        return cupy.ndarray(value.shape, value.dtype, _pointer(value.ctypes.data, value.nbytes), value.strides)
    if isinstance(value, (Window, Rule)):
        return value
    return tuple(map(_shown, value)) if isinstance(value, (tuple, list)) else value


def _kernels(work: Work | str) -> Iterator[Source]:
    if isinstance(work, Launch):
        yield work.kernel
    elif isinstance(work, products.Last):
        yield work.launch.kernel
    elif isinstance(work, Chain):
        for part in work.parts:
            yield from _kernels(part)


def _body(name: str) -> Callable[..., None]:
    """A primitive that notes its kernels and then lets NumPy compute; without one its parts note theirs, as there."""
    body = getattr(NumpyBackend, name)
    plain = getattr(body, "__wrapped__", None)  # None where the body is made of primitives
    prepare = PREPARED[name]

    @functools.wraps(body)
    def whole(self: NotingBackend, *args: Any, **options: Any) -> None:
        before, _within.primitive = _within.primitive, True
        try:
            (plain or body)(self, *args, **options)
        finally:
            _within.primitive = before

    @functools.wraps(body)
    def primitive(self: NotingBackend, *args: Any, **options: Any) -> None:
        call = whole if _within.primitive or self.note(prepare, args, options) else plain
        if call is None:
            body(self, *args, **options)
        elif recording.recorder() is None:
            call(self, *args, **options)
        else:
            recording.note_call(call, "the GPU is only pretended", self, args, options)

    return primitive


class NotingBackend(NumpyBackend):
    """Arrays are ``numpy.ndarray``. ``noted`` are the kernels, by name; there is one GPU."""

    name = "cuda"

    def __init__(self, index: int = 0) -> None:
        if index:
            raise ValueError(f"expected GPU 0, the only one that is pretended, got {index}")
        super().__init__(index)
        self.noted: dict[str, Source] = {}
        self._latest: list[Work | str] = []  # what the last primitive may lead to

    def note(self, prepare: Callable[..., Work | str], args: Sequence[Any], options: dict[str, Any]) -> bool:
        """Note the kernels of a primitive; False where the GPU has no work for these arrays."""
        given, named = _shown(args), {key: _shown(value) for key, value in options.items()}
        found: Work | str = ""
        self._latest = []
        for bias in (True, False):
            _within.bias = bias
            with recording.paused(), cupy.cuda.using_allocator(functools.partial(_pointer, PLACE)):
                found = prepare(*given, **named)
            self.noted |= {source.name: source for source in _kernels(found)}
            self._latest.append(found)
        return not isinstance(found, str)

    def rounded(self, x: Array, half: str) -> Array:
        if x.dtype == half:
            return x
        out = self.empty(x.shape, half)
        anywhere = cupy.ndarray(out.shape, out.dtype, _pointer(PLACE, out.nbytes))
        for work in self._latest:  # what a layer has just written a program rounds by the same kernel
            last = None if isinstance(work, str) else products.writing(work, _shown(x))
            fused = "" if isinstance(work, str) or last is None else products.also_rounding(work, last, anywhere)
            self.noted |= {source.name: source for source in _kernels(fused)}
        self.copy(x, out)
        return out


for _name in PREPARED:  # of the others their parts note theirs
    setattr(NotingBackend, _name, _body(_name))


@contextmanager
def noting() -> Iterator[dict[str, Source]]:
    """``device="cuda"`` is the pretended GPU inside; gives the kernels that a real one would have run, by name."""
    asked, registered = products.blas, registry._registered.get("cuda")
    registry.register(NotingBackend, replace=True)
    products.blas = lambda: Library(_within.bias)  # type: ignore[assignment, return-value]
    try:
        backend = registry.get("cuda")
        assert isinstance(backend, NotingBackend)
        backend.noted.clear()  # those of trying whether it works
        yield backend.noted
    finally:
        products.blas = asked
        registry._registered.pop("cuda")
        if registered is not None:
            registry.register(registered, replace=True)
        registry.forget("cuda")
