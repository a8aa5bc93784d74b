"""Launches of matrix products: ``matmul``, ``linear``, ``linear_grad`` through cuBLASLt, and what it leaves to kernels.

As in ``launches``, each function has the signature of its primitive and returns work, or the reason why there is none.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import cupy

from nnkit.backends.base import Scalar
from nnkit.backends.cuda import elementwise
from nnkit.backends.cuda.arrays import FLOATS, KEPT, aligned, common_type, scratch, why_not
from nnkit.backends.cuda.blas import Blas
from nnkit.backends.cuda.cublaslt import CublasError
from nnkit.backends.cuda.multiplying import NOTHING_LEFT, Wanted, multiplied
from nnkit.backends.cuda.plans import Done
from nnkit.backends.cuda.pool import device_bytes
from nnkit.backends.cuda.streams import PER_THREAD
from nnkit.backends.cuda.work import Chain, Launch, Unleased, Work
from nnkit.backends.errors import DeviceUnavailable
from nnkit.backends.precision import get_matmul_precision
from nnkit.kernels.cuda import linear as linear_kernels
from nnkit.kernels.cuda.texts import Plan, Step
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


def multiplies(half: str) -> bool:
    """Whether products take operands of this half type on the current GPU, or have to get them rounded in float32."""
    library = blas()
    return isinstance(library, str) or library.multiplies(half)


def matmul(x: Array, y: Array, out: Array) -> Work | str:
    """Floats of one type, contiguous or transposed in their last two axes; batches too."""
    library = blas()
    return library if isinstance(library, str) else multiplied(library, x, y, out, precision=get_matmul_precision())


def linear(
    x: Array, w: Array, b: Array | None, activation: str, z: Array | None, out: Array, scalars: Sequence[Scalar] = ()
) -> Work | str:
    """Contiguous arrays: x and w of one type, z and out of one type."""
    library, precision = blas(), get_matmul_precision()
    if isinstance(library, str):
        return library
    if common_type(x, w) is None or common_type(z, out) is None or (b is not None and common_type(b) is None):
        return why_not(x, w, b, z, out)
    if out.size == 0:
        return why_not(out)
    target = out if z is None else z

    def finish(promised: Done, done: Done) -> Work:
        """The bias and the activation, as far as they were promised and are not done."""
        bias = b if promised.bias and not done.bias else None
        if promised.activation and not done.activation:
            return finished(z, out, bias, activation, scalars)
        return finished(None, target, bias, "identity", ())

    wanted = Wanted(
        lambda: library.linear(x, w, b, activation, z, out, precision),
        lambda: (x, w.transpose(), target, False),
        Done(b is None, activation == "identity" and z is None),
        finish,
    )
    found = wanted.work(library)
    if isinstance(found, str):
        return found
    product, done = found
    return product if done == NOTHING_LEFT else Chain((product, finish(NOTHING_LEFT, done)))


class Last(NamedTuple):
    """What is left of a layer after its product: a kernel, and what it was chosen for."""

    launch: Launch
    z: Array | None
    out: Array
    bias: Array | None
    activation: str
    scalars: tuple[float, ...]

    @property
    def name(self) -> str:
        return self.launch.name

    @property
    def reads(self) -> list[Array]:
        """What the kernel reads and writes."""
        return [a for a in (self.z, self.out, self.bias) if a is not None]

    def run(self) -> None:
        self.launch.run()

    def bare(self, unleased: Unleased) -> Last:
        z, out, bias = unleased((self.z, self.out, self.bias))
        return Last(self.launch.bare(unleased), z, out, bias, self.activation, self.scalars)


def finished(
    z: Array | None, out: Array, bias: Array | None, activation: str, scalars: Sequence[Scalar],
    rounded: Array | None = None,
) -> Last:  # fmt: skip
    """What is left of a layer whose product is in z where there is one, else in out; ``rounded`` is to be out too."""
    arrays = [a for a in (z, out, rounded, bias) if a is not None]
    numbers = tuple(map(float, scalars)) if scalars else ()
    types = out.dtype, None if bias is None else bias.dtype, None if rounded is None else rounded.dtype
    step = _linear_step(activation, types, z is not None, _wide(out, *arrays), out.shape)
    launch = Launch(step.source, step.grid, (*arrays, *step.sizes, *numbers))
    return Last(launch, z, out, bias, activation, numbers)


@functools.lru_cache(KEPT)
def _linear_step(activation: str, types: tuple[Any, ...], keeps: bool, wide: bool, shape: tuple[int, int]) -> Step:
    """The kernel for an output, a bias and a rounded output of these types, the last two None where there are none."""
    stored, bias, half = (None if dtype is None else FLOATS[dtype] for dtype in types)
    assert stored is not None
    return linear_kernels.linear_step(activation, stored, bias, keeps, wide, *shape, half)


def writing(work: Work | None, x: Array) -> Last | None:
    """The last kernel of work, where it is a layer's that writes x, of float32, and nothing beside it."""
    if isinstance(work, Chain) and work.parts:
        return writing(work.parts[-1], x)
    if not isinstance(work, Last) or FLOATS.get(x.dtype) != "float32" or not x.flags.c_contiguous:
        return None
    return work if (x.data.ptr, x.nbytes, x.dtype) == (work.out.data.ptr, work.out.nbytes, work.out.dtype) else None


def also_rounding(work: Work, last: Last, rounded: Array) -> Work:
    """Work with that last kernel, which is to write its output to ``rounded``, too: apart from what it reads.

    What only the product before it reads may be ``rounded``: by then the product is over.
    """
    if isinstance(work, Chain):
        return Chain((*work.parts[:-1], also_rounding(work.parts[-1], last, rounded)))
    _, z, out, bias, activation, scalars = last
    return finished(z, out, bias, activation, scalars, rounded.reshape(out.shape)).launch


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
    by_library = db if activation == "identity" and not add[1] else None
    gradients = _gradients(x, w, dz, dx, dw, by_library, add[0])
    if isinstance(gradients, str):
        return gradients
    before: Work | str = Chain(())
    if db is not None and not gradients.db:
        before = _summed(activation, dy, kept, dz, db, add[1], scalars)
    elif activation != "identity":
        before = elementwise.map(f"{ACTIVATIONS[activation]}_grad", (dy, kept), (dz,), scalars)
    return before if isinstance(before, str) else Chain((before, *gradients.products))


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
    gradients = _gradients(x, w, operand, dx, dw, None, add[0])
    if isinstance(gradients, str):
        return gradients
    if db is not None:
        before: Work | str = _summed(activation, dy, kept, operand, db, add[1], scalars)
    elif activation == "identity":
        before = elementwise.map("identity", (dy,), (operand,))
    else:
        before = elementwise.map(f"{ACTIVATIONS[activation]}_grad", (dy, kept), (operand,), scalars)
    return before if isinstance(before, str) else Chain((before, *gradients.products))


class Gradients(NamedTuple):
    """The products of a layer's gradient, and whether they sum db, too."""

    products: list[Work]
    db: bool


def _gradients(
    x: Array, w: Array, dz: Array, dx: Array | None, dw: Array | None, db: Array | None, add: bool
) -> Gradients | str:
    """``db`` is written, where the library can; ``add``: dw is added to."""
    library, precision = blas(), get_matmul_precision()
    if isinstance(library, str):
        return library
    products, db_is_done = [], False
    if dw is not None:
        wanted = Wanted(
            lambda: library.weight_grad(x, dz, dw, db, add, precision),
            lambda: (dz.transpose(), x, dw, add),
            Done(db is None, True),
            lambda promised, done: _summed("identity", dz, dz, dz, db, False, ()),
        )
        found = wanted.work(library)
        if isinstance(found, str):
            return found
        products.append(found[0])
        db_is_done = db is not None and found[1].bias
    if dx is not None:
        product = multiplied(library, dz, w, dx, precision=precision)
        if isinstance(product, str):
            return product
        products.append(product)
    return Gradients(products, db_is_done)


def _summed(
    activation: str, dy: Array, kept: Array, dz: Array, db: Array, add: bool, scalars: Sequence[Scalar]
) -> Work:
    """dz from dy, which it may be for identity, and the sum of its rows to db."""
    wide = _wide(dz, dy, kept, dz)
    plan = _linear_grad_plan(activation, (dy.dtype, dz.dtype, db.dtype), add, wide, dz.shape)
    first, *rest = plan.steps
    sums = scratch((plan.partials,), plan.partial_type) if rest else db
    identity = activation == "identity"
    arrays = [dy, *([] if identity else [kept]), *([] if identity and dz.dtype == dy.dtype else [dz]), sums]
    numbers = [] if identity else [float(s) for s in scalars]
    works = [Launch(first.source, first.grid, (*arrays, *first.sizes, *numbers))]
    works += [Launch(step.source, step.grid, (sums, db, *step.sizes)) for step in rest]
    return Chain(tuple(works))


@functools.lru_cache(KEPT)
def _linear_grad_plan(activation: str, types: tuple[Any, ...], add: bool, wide: bool, shape: tuple[int, int]) -> Plan:
    """The kernels for dy, dz and db of these types."""
    named = linear_kernels.Gradients(*(FLOATS[dtype] for dtype in types))
    return linear_kernels.linear_grad_plan(activation, named, add, wide, *shape)
