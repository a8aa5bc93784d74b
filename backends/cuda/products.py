"""Launches of matrix products: ``matmul``, ``linear``, ``linear_grad`` through cuBLASLt, and what it leaves to kernels.

As in ``launches``, each function has the signature of its primitive and returns work, or the reason why there is none.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Collection, Sequence
from typing import Any

import cupy

from nnkit.backends.base import Scalar
from nnkit.backends.cuda import elementwise
from nnkit.backends.cuda.arrays import FLOATS, aligned, common_type, scratch, why_not
from nnkit.backends.cuda.blas import Blas, Gradients
from nnkit.backends.cuda.cublaslt import CublasError, Status
from nnkit.backends.cuda.pool import device_bytes
from nnkit.backends.cuda.streams import PER_THREAD
from nnkit.backends.cuda.work import Chain, Launch, Multiply, Work
from nnkit.backends.errors import DeviceUnavailable
from nnkit.backends.precision import get_matmul_precision
from nnkit.kernels.cuda import linear as linear_kernels
from nnkit.kernels.formulas import ACTIVATIONS

Array = Any

#: Activations that are left to cuBLASLt. None yet: that its relu lets NaN pass, as nnkit's does, and which gelu it has
#: was never seen on a GPU; ``python -m bench gpu`` shows both.
TRUSTED: tuple[str, ...] = ()
#: For each GPU: its cuBLASLt, or why it has none.
_found: dict[int, Blas | str] = {}
_lock = threading.Lock()


def blas() -> Blas | str:
    """cuBLASLt on the current device, or why there is none."""
    device = cupy.cuda.runtime.getDevice()
    found = _found.get(device)
    if found is None:
        with _lock:
            found = _found.get(device)
            if found is None:
                found = _found[device] = made(device)
    return found


def made(device: int, activations: Collection[str] = TRUSTED) -> Blas | str:
    """cuBLASLt for a GPU, which is the current one, or why there is none."""
    try:
        following = functools.partial(follow, device)
        return Blas(lambda nbytes: device_bytes(nbytes, device), activations=activations, follow=following)
    except (DeviceUnavailable, CublasError) as error:
        return str(error)


def prepare(stream: int) -> None:
    """Before products are captured in a stream: give it its workspace."""
    found = _found.get(cupy.cuda.runtime.getDevice())
    if isinstance(found, Blas):
        found.workspace(stream)


def follow(device: int, address: int) -> None:
    """Where the current stream, at this address, is one that CuPy made: let its workspace go when the stream does.

    Of one that something else made nobody here learns the end: it keeps its workspace.
    """
    stream = cupy.cuda.get_current_stream()
    if stream.ptr == address > PER_THREAD and isinstance(stream, cupy.cuda.Stream):
        weakref.finalize(stream, forget, device, address).atexit = False


def forget(device: int, stream: int) -> None:
    """A stream of a device is gone, and so may be its workspace."""
    found = _found.get(device)
    if isinstance(found, Blas):
        found.forget(stream)


def matmul(x: Array, y: Array, out: Array) -> Work | str:
    """Floats of one type, contiguous or transposed in their last two axes; batches too."""
    library = blas()
    if isinstance(library, str):
        return library
    try:
        product = library.matmul(x, y, out, precision=get_matmul_precision())
    except CublasError as error:
        return _not_offered(error)
    return product if isinstance(product, str) else Multiply(product)


def _not_offered(error: CublasError) -> str:
    """The reason, where the library does not have such a product; raises any other error."""
    if error.status != Status.NOT_SUPPORTED:
        raise error
    return str(error)


def linear(
    x: Array, w: Array, b: Array | None, activation: str, z: Array | None, out: Array, scalars: Sequence[Scalar] = ()
) -> Work | str:
    """Contiguous arrays: x and w of one type, z and out of one type."""
    library = blas()
    if isinstance(library, str):
        return library
    dtype = common_type(z, out)
    if common_type(x, w) is None or dtype is None or (b is not None and common_type(b) is None) or out.size == 0:
        return why_not(x, w, b, z, out)
    try:
        product = library.linear(x, w, b, activation, z, out, get_matmul_precision())
    except CublasError as error:
        return _not_offered(error)
    if isinstance(product, str):
        return product
    bias, done = (None if product.done.bias else b), product.done.activation
    if bias is None and done:
        return Multiply(product)
    arrays = [a for a in (z, out, bias) if a is not None]
    stored = None if bias is None else FLOATS[bias.dtype]
    name = "identity" if done else activation
    step = linear_kernels.linear_step(name, dtype, stored, z is not None, _wide(out, *arrays), *out.shape)
    numbers = [] if done else [float(s) for s in scalars]
    return Chain((Multiply(product), Launch(step.source, step.grid, (*arrays, *step.sizes, *numbers))))


def _wide(matrix: Array, *arrays: Array) -> bool:
    """Whether kernels may read four neighbours of a row at a time."""
    return matrix.shape[1] % 4 == 0 and aligned(*arrays)


def linear_grad(
    x: Array, w: Array, kept: Array, dy: Array, activation: str, dz: Array, dx: Array | None, dw: Array | None,
    db: Array | None, add: tuple[bool, bool], scalars: Sequence[Scalar] = (),
) -> Work | str:  # fmt: skip
    """Contiguous arrays: x and w of one type; dy, kept and dz of one type."""
    if common_type(x, w) is None or common_type(dy, kept, dz) is None or dz.size == 0 or x.size == 0:
        return why_not(x, w, kept, dy, dz)
    if db is not None and common_type(db) is None:
        return why_not(db)
    # Where an activation's gradient is computed, its sum costs nothing more.
    by_library = db if activation == "identity" else None
    gradients = _gradients(x, w, dz, dx, dw, by_library, add)
    if isinstance(gradients, str):
        return gradients
    before: Work | str = Chain(())
    if db is not None and not (by_library is db and gradients.db):
        before = _summed(activation, dy, kept, dz, db, add[1], scalars)
    elif activation != "identity":
        before = elementwise.map(f"{ACTIVATIONS[activation]}_grad", (dy, kept), (dz,), scalars)
    return before if isinstance(before, str) else Chain((before, *map(Multiply, gradients.products)))


def half_linear_grad(
    half: str, x: Array, w: Array, kept: Array, dy: Array, activation: str, dz: Array, dx: Array | None,
    dw: Array | None, db: Array | None, add: tuple[bool, bool], scalars: Sequence[Scalar] = (),
) -> Work | str:  # fmt: skip
    """As ``linear_grad``; dz is computed, summed and rounded in one go."""
    if dx is None and dw is None:
        return linear_grad(x, w, kept, dy, activation, dz, dx, dw, db, add, scalars)
    if common_type(x, w) != half or common_type(dy, kept) is None or dz.size == 0 or x.size == 0:
        return why_not(x, w, kept, dy)
    if db is not None and common_type(db) is None:
        return why_not(db)
    operand = scratch(dz.shape, half)
    gradients = _gradients(x, w, operand, dx, dw, None, add)
    if isinstance(gradients, str):
        return gradients
    if db is not None:
        before: Work | str = _summed(activation, dy, kept, operand, db, add[1], scalars)
    elif activation == "identity":
        before = elementwise.map("identity", (dy,), (operand,))
    else:
        before = elementwise.map(f"{ACTIVATIONS[activation]}_grad", (dy, kept), (operand,), scalars)
    return before if isinstance(before, str) else Chain((before, *map(Multiply, gradients.products)))


def _gradients(
    x: Array, w: Array, dz: Array, dx: Array | None, dw: Array | None, db: Array | None, add: tuple[bool, bool]
) -> Gradients | str:
    library = blas()
    if isinstance(library, str):
        return library
    try:
        return library.linear_grad(x, w, dz, dx, dw, db, add, get_matmul_precision())
    except CublasError as error:
        return _not_offered(error)


def _summed(
    activation: str, dy: Array, kept: Array, dz: Array, db: Array, add: bool, scalars: Sequence[Scalar]
) -> Work:
    """dz from dy, which it may be for identity, and the sum of its rows to db."""
    wide = _wide(dz, dy, kept, dz)
    types = linear_kernels.Gradients(*(FLOATS[a.dtype] for a in (dy, dz, db)))
    plan = linear_kernels.linear_grad_plan(activation, types, add, wide, *dz.shape)
    first, *rest = plan.steps
    sums = scratch((plan.partials,), plan.partial_type) if rest else db
    identity = activation == "identity"
    arrays = [dy, *([] if identity else [kept]), *([] if identity and types.dz == types.dy else [dz]), sums]
    numbers = [] if identity else [float(s) for s in scalars]
    works = [Launch(first.source, first.grid, (*arrays, *first.sizes, *numbers))]
    works += [Launch(step.source, step.grid, (sums, db, *step.sizes)) for step in rest]
    return Chain(tuple(works))
