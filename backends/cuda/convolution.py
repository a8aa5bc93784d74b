"""Launches of convolutions: matrix products of cuBLASLt over patches, which lie in scratch memory.

With K the channels of a group times the taps, a group's output of one image is w (O, K) times its patches (K, P), and
the gradient of the patches w^T times dz (O, P): batches of products over images and groups. The gradient of w is one
product over the places of all images, for which patches and dz are written as (K, images, P) and (O, images, P).
Images are taken in pieces, so that patches need no more memory than ``MOST_BYTES``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.base import Scalar
from nnkit.backends.cuda import elementwise, images, products, strided
from nnkit.backends.cuda.arrays import FLOATS, aligned, scratch, why_not
from nnkit.backends.cuda.blas import Blas
from nnkit.backends.cuda.multiplying import multiplied
from nnkit.backends.cuda.strided import in_order
from nnkit.backends.cuda.work import Chain, Launch, Work
from nnkit.backends.precision import get_matmul_precision, is_half
from nnkit.backends.windows import Window
from nnkit.kernels.cuda import convolution as kernels
from nnkit.kernels.cuda.texts import Plan
from nnkit.kernels.formulas import ACTIVATIONS

Array = Any
#: Of patches, or their gradient, at a time.
MOST_BYTES = 64 << 20


class Unfit(Exception):
    """There is no kernel; the message says why. ``conv`` and ``conv_grad`` return it."""


class Layer(NamedTuple):
    """What a convolution's products depend on besides arrays."""

    library: Blas
    precision: str
    window: Window
    groups: int

    @property
    def taps(self) -> int:
        return math.prod(self.window.kernel)

    @property
    def pointwise(self) -> bool:
        """Whether a window is one place, and each place a window: then x is its own patches."""
        single = (1,) * len(self.window.kernel)
        return self.window == Window(single, single, ((0, 0),) * len(single), self.window.dilation)

    def product(self, x: Array, y: Array, out: Array, add: bool = False) -> Work:
        return _fit(multiplied(self.library, x, y, out, add, self.precision))

    def channelwise(self, w: Array, x: Array, out: Array) -> Work:
        """out = w x for w (G, rows, K), x (B, G, K, P), out (B, G, rows, P), which may have its channels last."""
        if out.strides[-1] == out.itemsize and (out.flags.c_contiguous or out.strides[-2] != out.itemsize):
            return self.product(w, x, out)
        return self.product(x.swapaxes(-1, -2), w.swapaxes(-1, -2), out.swapaxes(-1, -2))


def _fit(work: Work | str) -> Work:
    if isinstance(work, str):
        raise Unfit(work)
    return work


def _one_type(*arrays: Array | None) -> None:
    given = [a for a in arrays if a is not None]
    if given and (given[0].dtype not in FLOATS or any(a.dtype != given[0].dtype or not a.size for a in given)):
        raise Unfit(why_not(*given))


# ---- how arrays lie -------------------------------------------------------------------------------------------------


def _turned(x: Array) -> Array:
    """(B, C, *S) as (B, *S, C)."""
    return x.transpose(0, *range(2, x.ndim), 1)


def _lies(x: Array) -> str:
    """Whether channels come first or last in memory, or it lies otherwise."""
    return "first" if x.flags.c_contiguous else "last" if _turned(x).flags.c_contiguous else "otherwise"


def _matrices(x: Array, groups: int) -> Array | None:
    """The view (B, groups, channels of each, places) of an array (B, C, *S), where it has one."""
    B, C, places = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    lies = _lies(x)
    if lies == "first":
        return x.reshape(B, groups, C // groups, places)
    return _turned(x).reshape(B, places, groups, C // groups).transpose(0, 2, 3, 1) if lies == "last" else None


def _seen(x: Array, groups: int) -> Array:
    """The same of an array that has one."""
    found = _matrices(x, groups)
    assert found is not None
    return found


def _pieces(images: int, nbytes: int) -> Iterator[slice]:
    """Images by as many as scratch memory holds, at ``nbytes`` each."""
    count = max(MOST_BYTES // nbytes, 1)
    return (slice(first, min(first + count, images)) for first in range(0, images, count))


# ---- forward --------------------------------------------------------------------------------------------------------


def conv(
    x: Array, w: Array, b: Array | None, window: Window, groups: int, activation: str, z: Array | None, out: Array,
    scalars: Sequence[Scalar] = (),
) -> Work | str:  # fmt: skip
    """x and w of one type, z and out of one type, in any layout."""
    library = products.blas()
    if isinstance(library, str):
        return library
    try:
        _one_type(x, w)
        _one_type(z, out)
        _one_type(b)
        layer = Layer(library, get_matmul_precision(), window, groups)
        return Chain(tuple(_forward(layer, x, w, b, activation, z, out, scalars)))
    except Unfit as error:
        return str(error)


def _forward(
    layer: Layer, x: Array, w: Array, b: Array | None, activation: str, z: Array | None, out: Array,
    scalars: Sequence[Scalar],
) -> Iterator[Work]:  # fmt: skip
    lie = {_lies(a) for a in (out, z) if a is not None}
    in_reach = lie in ({"first"}, {"last"})
    y = out if in_reach else scratch(out.shape, out.dtype)
    before_it = z if z is None or in_reach else scratch(z.shape, z.dtype)
    if b is not None:
        (b,), before = in_order(b)
        yield from before
    yield from _products(layer, x, w, y if before_it is None else before_it)
    if b is not None or activation != "identity" or z is not None:
        yield _finished(before_it, y, b, activation, scalars)
    for found, wanted in ((before_it, z), (y, out)):
        if found is not wanted:
            yield _fit(strided.copy(found, wanted))


def _products(layer: Layer, x: Array, w: Array, out: Array) -> Iterator[Work]:
    """The convolution alone, into an array whose channels lie first or last."""
    (w,), before = in_order(w)
    yield from before
    factor = w.reshape(layer.groups, w.shape[0] // layer.groups, math.prod(w.shape[1:]))
    seen = _matrices(x, layer.groups) if layer.pointwise else None
    results = _seen(out, layer.groups)
    if seen is not None:
        yield layer.channelwise(factor, seen, results)
        return
    B, C, places = x.shape[0], x.shape[1], out.shape[2:]
    size = C * layer.taps * math.prod(places) * x.itemsize
    room = scratch((min(max(MOST_BYTES // size, 1), B), C, layer.taps, *places), x.dtype)
    for part in _pieces(B, size):
        some = room[: part.stop - part.start]
        yield _fit(images.patches(x[part], layer.window, some))
        of_groups = some.reshape(len(some), layer.groups, factor.shape[-1], math.prod(places))
        yield layer.channelwise(factor, of_groups, results[part])


def _finished(z: Array | None, out: Array, b: Array | None, activation: str, scalars: Sequence[Scalar]) -> Work:
    """Bias and activation behind the products, which are in z where there is one, else in out."""
    if _lies(out) == "last":
        rows = [None if a is None else _turned(a).reshape(-1, out.shape[1]) for a in (z, out)]
        return products.finished(rows[0], rows[1], b, activation, scalars)
    arrays, bias = [a for a in (z, out, b) if a is not None], None if b is None else FLOATS[b.dtype]
    sizes = (*out.shape[:2], math.prod(out.shape[2:]))
    if out.size >= 2**32:
        raise Unfit("an array is too large")
    step = kernels.conv_step(
        activation, FLOATS[out.dtype], bias, z is not None, aligned(*(a for a in (z, out) if a is not None)), sizes
    )  # fmt: skip
    return Launch(step.source, step.grid, (*arrays, *step.sizes, *(float(s) for s in scalars)))


# ---- gradient -------------------------------------------------------------------------------------------------------


def conv_grad(
    x: Array, w: Array, kept: Array, dy: Array, window: Window, groups: int, activation: str, dz: Array,
    dx: Array | None, dw: Array | None, db: Array | None, add: tuple[bool, bool], scalars: Sequence[Scalar] = (),
) -> Work | str:  # fmt: skip
    """dy, kept and dz of one type, which is that of x and w where they are multiplied; dw and db contiguous."""
    library = products.blas()
    if isinstance(library, str):
        return library
    try:
        _one_type(dz, None if dw is None else x, None if dx is None else w)
        _one_type(dx)
        if any(a is not None and (not a.flags.c_contiguous or a.dtype not in FLOATS) for a in (dw, db)):
            return why_not(*(a for a in (dw, db) if a is not None))
        layer = Layer(library, get_matmul_precision(), window, groups)
        works: list[Work] = []
        if activation != "identity":
            works.append(_activation_grad(activation, dy, kept, dz, scalars))
        if _lies(dz) == "otherwise":
            (dz,), before = in_order(dz)
            works += before
        # What is added to comes last: where a kernel before it is missing, the reference body begins anew.
        if dx is not None:
            works += _input_grad(layer, w, dz, dx)
        if db is not None:
            works += _bias_grad(dz, db, add[1])
        if dw is not None:
            works += _weight_grad(layer, x, dz, dw, add[0])
        return Chain(tuple(works))
    except Unfit as error:
        return str(error)


def _activation_grad(activation: str, dy: Array, kept: Array, dz: Array, scalars: Sequence[Scalar]) -> Work:
    if all(_lies(a) == "last" for a in (dy, kept, dz)):
        dy, kept, dz = (_turned(a) for a in (dy, kept, dz))
    return _fit(elementwise.map(f"{ACTIVATIONS[activation]}_grad", (dy, kept), (dz,), scalars))


def _bias_grad(dz: Array, db: Array, add: bool) -> Iterator[Work]:
    """db = the sum of dz over images and places."""
    B, O, P = dz.shape[0], dz.shape[1], math.prod(dz.shape[2:])
    x, y = FLOATS[dz.dtype], FLOATS[db.dtype]
    if _lies(dz) == "last":
        yield from _planned(kernels.column_plan("sum", x, y, (1, B * P, O), add), _turned(dz), db)
        return
    over_places, over_images = kernels.channel_plans(x, y, (B, O, P), add)
    between = scratch((B * O,), over_places.partial_type)
    yield from _planned(over_places, dz, between)
    yield from _planned(over_images, between, db)


def _planned(plan: Plan, x: Array, out: Array) -> Iterator[Work]:
    """The steps of a reduction, the same memory between any two of them having room for all partial results."""
    *early, last = plan.steps
    for step in early:
        room = scratch((plan.partials,), plan.partial_type)
        yield Launch(step.source, step.grid, (x, room, *step.sizes))
        x = room
    yield Launch(last.source, last.grid, (x, out, *last.sizes))


def _weight_grad(layer: Layer, x: Array, dz: Array, dw: Array, add: bool) -> Iterator[Work]:
    """dw (O, C / groups, *kernel) = the sum over images of dz (O, P) times the transpose of patches (K, P)."""
    B, C, places = x.shape[0], x.shape[1], dz.shape[2:]
    P, O, G = math.prod(places), dz.shape[1], layer.groups
    size = (C * layer.taps + O) * P * x.itemsize
    count = min(max(MOST_BYTES // size, 1), B)
    exact = is_half(dw.dtype) and count < B  # pieces are not to be rounded one by one
    room = scratch((C * layer.taps * count * P,), x.dtype)
    turned = scratch((O * count * P,), x.dtype)
    sums = scratch(dw.shape, "float32") if exact else dw
    result = sums.reshape(G, O // G, C // G * layer.taps)
    for part in _pieces(B, size):
        n = part.stop - part.start
        left, works = _joined(dz[part], turned)
        yield from works
        if layer.pointwise and _lies(x) == "last":
            right = _turned(x[part]).reshape(n * P, C).transpose()
        else:
            some = room[: C * layer.taps * n * P].reshape(C, layer.taps, n, *places)
            axes = (2, 0, 1, *range(3, some.ndim))
            yield _fit(images.patches(x[part], layer.window, some.transpose(*axes)))
            right = some.reshape(C * layer.taps, n * P)
        of_groups = [a.reshape(G, len(a) // G, n * P) if a.flags.c_contiguous else _split(a, G) for a in (left, right)]
        more = part.start > 0 or (add and not exact)
        yield layer.product(of_groups[0], of_groups[1].swapaxes(-1, -2), result, more)
    if exact:
        formula, inputs = ("add", (dw, sums)) if add else ("identity", (sums,))
        yield _fit(elementwise.map(formula, inputs, (dw,)))


def _split(x: Array, groups: int) -> Array:
    """(rows, n), stored transposed, as (groups, rows of each, n)."""
    rows, n = x.shape
    return x.transpose().reshape(n, groups, rows // groups).transpose(1, 2, 0)


def _joined(dz: Array, room: Array) -> tuple[Array, list[Work]]:
    """dz (B, O, *P) as (O, B P): a view, or a copy in ``room``."""
    B, O, P = dz.shape[0], dz.shape[1], math.prod(dz.shape[2:])
    if B == 1 and _lies(dz) == "first":
        return dz.reshape(O, P), []
    if _lies(dz) == "last":
        return _turned(dz).reshape(B * P, O).transpose(), []
    some = room[: O * B * P].reshape(O, B, P)
    return some.reshape(O, B * P), [_fit(strided.copy(dz.reshape(B, O, P).transpose(1, 0, 2), some))]


def _input_grad(layer: Layer, w: Array, dz: Array, dx: Array) -> Iterator[Work]:
    """dx = at each place the sum of what windows see of it, of w^T dz."""
    (w,), before = in_order(w)
    yield from before
    factor = w.reshape(layer.groups, w.shape[0] // layer.groups, math.prod(w.shape[1:])).swapaxes(-1, -2)
    gradient = _seen(dz, layer.groups)
    seen = _matrices(dx, layer.groups) if layer.pointwise else None
    if seen is not None and (dx.dtype == w.dtype or (is_half(w.dtype) and dx.dtype == np.float32)):
        yield layer.channelwise(factor, gradient, seen)
        return
    B, C, places = dx.shape[0], dx.shape[1], dz.shape[2:]
    between = "float32" if is_half(w.dtype) else FLOATS[w.dtype]  # what is added up is not rounded before
    size = C * layer.taps * math.prod(places) * np.dtype(between).itemsize
    room = scratch((min(max(MOST_BYTES // size, 1), B), C, layer.taps, *places), between)
    for part in _pieces(B, size):
        some = room[: part.stop - part.start]
        of_groups = some.reshape(len(some), layer.groups, factor.shape[1], math.prod(places))
        yield layer.channelwise(factor, gradient[part], of_groups)
        yield _fit(images.patches_grad(some, layer.window, dx[part]))
