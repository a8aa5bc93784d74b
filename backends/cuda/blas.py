"""Matrix products on an NVIDIA GPU: plain, batched, and as a linear layer with bias and activation in the same kernel.

    blas = Blas(lambda nbytes: cupy.empty(nbytes, cupy.uint8))    one for each device, made while it is the current one
    product = blas.linear(x, w, b, "relu", None, out)             a Product, or the reason (a str) why there is none
    product.run(stream)                                           one kernel on that stream
    product.done                                                  Done(bias, activation): False is left to the caller

cuBLASLt chooses an algorithm for each shape once; the choice is kept as a plan, and later calls pass pointers only.
A run allocates nothing, waits for nothing and is given its stream and workspace, so a CUDA graph can capture it, after
``blas.workspace(stream)`` and one run as warm-up. Launch such a graph on the stream on which it was captured: on
another one it could meet other products in the workspace.

What the library may do to a result on its way to memory (epilogues):
  linear       BIAS; RELU and GELU where nnkit's formula is the same, which for GELU is the one by tanh; GELU_AUX, which
               also keeps the value before the activation. Where the library does not offer one for a type and shape,
               the next plainer one is taken, down to none, and ``done`` says so.
  linear_grad  BGRADB: db, summed while dz is read for dw. It cannot add to what db holds: that is left to the caller.
Not used: DRELU and DGELU apply the gradient of the layer *before* to dx, so two layers would have to know of each
other, and RELU_AUX's bit mask serves only them; they save one pass over dz, which relu_grad makes from y alone.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from nnkit.backends.cuda import cublaslt
from nnkit.backends.cuda.column_major import Problem, View, problem, view
from nnkit.backends.cuda.cublaslt import ComputeType, CublasError, Epilogue, Object, Status
from nnkit.backends.cuda.plans import MOST_ALIGNED, WORKSPACE, Done, Plan, Refused, Request, offered
from nnkit.backends.cuda.streams import Thread, identity

Array = Any
#: x, y (or w), the bias or its gradient, z, and the output, of which the third and fourth may be None.
Arrays = tuple[Array, Array, Array | None, Array | None, Array]
Views = tuple[View, View, View | None, View | None, View]

#: Plans kept; then the oldest is dropped, for a program that meets every batch size there is.
PLANS = 2048
#: How float32 operands are multiplied; "high" may round them to TF32 (10 bits of mantissa), "medium" to bfloat16 (7).
PRECISIONS = {
    "highest": ComputeType.COMPUTE_32F,
    "high": ComputeType.COMPUTE_32F_FAST_TF32,
    "medium": ComputeType.COMPUTE_32F_FAST_16BF,
}
#: The types to which float32 operands may be rounded, which not every GPU has.
ROUNDED = {ComputeType.COMPUTE_32F_FAST_TF32: "TF32", ComputeType.COMPUTE_32F_FAST_16BF: "bfloat16"}
#: Activation -> its epilogues, without and with a bias.
FUSED = {"relu": (Epilogue.RELU, Epilogue.RELU_BIAS), "gelu_tanh": (Epilogue.GELU, Epilogue.GELU_BIAS)}
#: The same where z is wanted too. ReLU's gradient reads y, so it has none.
FUSED_KEEPING_Z = {"gelu_tanh": (Epilogue.GELU_AUX, Epilogue.GELU_AUX_BIAS)}
#: GELU_AUX wants the rows of z at multiples of so many elements.
LEADING_Z = 8


class Missing(NamedTuple):
    """There is no plan: the library offers none for this product."""

    about: str


class Product(NamedTuple):
    """A product ready to run, as often as wanted, on these arrays."""

    plan: Plan
    blas: Blas
    pointers: tuple[int, int, int, int, int]
    arrays: Arrays

    @property
    def done(self) -> Done:
        """What of the layer this does; the caller does the rest, on z where there is one, else on the output."""
        return self.plan.request.done

    def run(self, stream: int) -> None:
        """Compute on the CUDA stream with this address. Raises CublasError, or CublasOutOfMemory.

        It raises Refused, with nothing computed, where the library refuses what it has offered: asked for once more,
        the product comes in another way, or with the reason why there is none.
        """
        try:
            self.plan.run(*self.pointers, self.blas.workspace(stream), stream)
        except Refused:
            self.blas.refuse(self.plan)
            raise


class Gradients(NamedTuple):
    """The products of a layer's gradient, and whether they leave nothing to do for db."""

    products: tuple[Product, ...]
    db: bool

    def run(self, stream: int) -> None:
        """Compute on the CUDA stream with this address. Raises CublasError, or CublasOutOfMemory."""
        for product in self.products:
            product.run(stream)


def device_address(array: Array) -> int:
    """Where a CuPy array begins in device memory."""
    address: int = array.data.ptr
    return address


class Blas:
    """cuBLASLt on the device that is current when this is made; any number of threads may use it.

    ``allocate`` returns an array of so many bytes of device memory; ``activations`` are those whose epilogue may be
    used, for a backend that found the library's to differ from the formula; ``follow`` is told of each stream that is
    given a workspace, and has to call ``forget`` when the stream goes. Raises DeviceUnavailable without the library,
    CublasError without a usable GPU.
    """

    def __init__(
        self,
        allocate: Callable[[int], Array],
        library: Any = None,
        address: Callable[[Array], int] = device_address,
        activations: Collection[str] = tuple(FUSED),
        follow: Callable[[int], None] = lambda stream: None,
    ) -> None:
        self.activations = frozenset(activations)
        self._library = cublaslt.load() if library is None else library
        self._handle = Object(self._library, "")
        self._allocate = allocate
        self._address = address
        self._follow = follow
        self._lock = threading.Lock()
        self._warned: set[str] = set()
        self._refused: set[Request] = set()
        self._halves: dict[str, bool] = {}
        self._plans: dict[Any, Plan | Missing | str] = {}
        self._workspaces: dict[int, tuple[int, Array]] = {}
        self._of_threads: WeakKeyDictionary[Thread, tuple[int, Array]] = WeakKeyDictionary()

    @property
    def version(self) -> str:
        """The library's version, as "13.10.0"."""
        number = self._library.cublasLtGetVersion()
        return f"{number // 10000}.{number // 100 % 100}.{number % 100}"

    # ---- products -------------------------------------------------------------------------------------------------

    def matmul(
        self, x: Array, y: Array, out: Array, add: bool = False, precision: str = "highest"
    ) -> Product | str:  # fmt: skip
        """out (..., m, n) = x (..., m, k) y (..., k, n), batch axes broadcast; ``add``: added to what out holds.

        float32, float64, or float16 or bfloat16 into that type or float32. x and y may be stored transposed. Raises
        ValueError where shapes do not fit or the precision is unknown.
        """
        return self._product(_matmul, (x, y, None, None, out), (add, precision))

    def linear(
        self, x: Array, w: Array, b: Array | None, activation: str, z: Array | None, out: Array,
        precision: str = "highest",
    ) -> Product | str:  # fmt: skip
        """out = activation(x w^T + b): x (M, I), w (O, I), b (O,), out (M, O); z (M, O) keeps the value before.

        Where ``done.activation`` is False, z, or out where z is None, holds x w^T, plus b where ``done.bias``.
        """
        return self._product(_linear, (x, w, b, z, out), (activation, activation in self.activations, precision))

    def linear_grad(
        self, x: Array, w: Array, dz: Array, dx: Array | None, dw: Array | None, db: Array | None,
        add: tuple[bool, bool], precision: str = "highest",
    ) -> Gradients | str:  # fmt: skip
        """dx = dz w, dw = dz^T x and db = the sum of dz over its rows, each where given; dz (M, O).

        ``add`` says whether dw and db are added to what is there instead. Where ``db`` of the result is False, db is
        untouched and left to the caller.
        """
        products, db_is_done = [], db is None
        if dw is not None:
            vector = None if add[1] else db
            product = self.weight_grad(x, dz, dw, vector, add[0], precision)
            if isinstance(product, str):
                return product
            products.append(product)
            db_is_done = db_is_done or (vector is not None and product.done.bias)
        if dx is not None:
            product = self.matmul(dz, w, dx, False, precision)
            if isinstance(product, str):
                return product
            products.append(product)
        return Gradients(tuple(products), db_is_done)

    def weight_grad(
        self, x: Array, dz: Array, dw: Array, db: Array | None = None, add: bool = False, precision: str = "highest"
    ) -> Product | str:  # fmt: skip
        """dw = dz^T x, or dw += dz^T x; where ``done.bias``, also db = the sum of dz over its rows."""
        return self._product(_weight_grad, (dz, x, db, None, dw), (add, precision))

    # ---- workspaces -------------------------------------------------------------------------------------------------

    def workspace(self, stream: int) -> int:
        """The address of the stream's workspace, 32 MiB, allocated when first asked for.

        A thread's own default stream has one for each thread, which goes with it.
        """
        known = identity(stream)
        table: Any = self._of_threads if isinstance(known, Thread) else self._workspaces
        found = table.get(known)
        if found is None:
            with self._lock:
                found = table.get(known)
                if found is None:
                    memory = self._allocate(WORKSPACE)
                    found = table[known] = self._address(memory), memory
                    self._follow(stream)
        address: int = found[0]
        return address

    def forget(self, stream: int) -> None:
        """Let go of the workspace of a stream that is destroyed: the next one may have its address.

        What the old one was given may still run, so the memory has to be of a kind that waits for that when it is
        freed.
        """
        self._workspaces.pop(stream, None)

    # ---- plans ------------------------------------------------------------------------------------------------------

    def _product(
        self, requests: Callable[..., list[Request] | str], arrays: Arrays, options: tuple[Any, ...]
    ) -> Product | str:
        address = self._address
        if address is device_address:  # one call less for each array
            left, right, vector, z, out = [0 if a is None else a.data.ptr for a in arrays]
        else:
            left, right, vector, z, out = [0 if a is None else address(a) for a in arrays]
        bits = MOST_ALIGNED | left | right | vector | z | out
        alignment = bits & -bits
        kinds = [None if a is None else (a.shape, a.strides, a.dtype) for a in arrays]
        key = (requests, options, alignment, *kinds)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._planned(key, requests, arrays, options, alignment)
        if isinstance(plan, str):
            return plan
        if isinstance(plan, Missing):
            raise CublasError("cublasLtMatmulAlgoGetHeuristic", Status.NOT_SUPPORTED, plan.about)
        request = plan.request
        to, vector = (z if request.into_z else out), (vector if request.uses_vector else 0)
        return Product(plan, self, (right, left, to, vector, z if request.leading_z else 0), arrays)

    def _planned(
        self, key: Any, requests: Callable[..., list[Request] | str], arrays: Arrays, options: tuple[Any, ...],
        alignment: int,
    ) -> Plan | Missing | str:  # fmt: skip
        with self._lock:
            plan = self._plans.get(key)
            if plan is None:
                wanted = requests(tuple(None if a is None else view(a) for a in arrays), *options)
                plan = wanted if isinstance(wanted, str) else self._first_offered(wanted, alignment)
                if len(self._plans) >= PLANS:
                    self._plans.pop(next(iter(self._plans)))
                self._plans[key] = plan
        return plan

    def refuse(self, plan: Plan) -> None:
        """The library refused to run this plan: let products that have it be asked for in another way."""
        with self._lock:
            self._refused.add(plan.request)
            for key in [key for key, known in self._plans.items() if known is plan]:
                del self._plans[key]

    def _first_offered(self, requests: Sequence[Request], alignment: int) -> Plan | Missing:
        for request in requests:
            if request in self._refused:
                continue
            plan = offered(self._library, self._handle.pointer, request, alignment)
            if plan is not None:
                return plan
        about, compute = str(requests[-1].problem), requests[0].compute
        if compute in ROUNDED:  # a GPU of compute capability 7.5 has neither TF32 nor bfloat16
            found = self._first_offered([r._replace(compute=ComputeType.COMPUTE_32F) for r in requests], alignment)
            rounded = ROUNDED[compute]
            if isinstance(found, Plan):
                self._warn(f"in {rounded}", f"no product in {rounded} on this GPU for {about}: float32 is used there")
            return found
        return Missing(about)

    # ---- half types --------------------------------------------------------------------------------------------------

    def multiplies(self, half: str) -> bool:
        """Whether there are products of operands of this half type; says so once where there are none."""
        found = self._halves.get(half)
        if found is None:
            side = View((64, 64), (64, 1), half, 2)
            usual = problem(side, side, View((64, 64), (64, 1), "float32", 4))
            assert not isinstance(usual, str)
            with self._lock:
                plan = offered(self._library, self._handle.pointer, Request(usual, ComputeType.COMPUTE_32F), 16)
                found = self._halves.setdefault(half, plan is not None)
        if not found:
            self.warn_of_half(half)
        return found

    def warn_of_half(self, half: str, about: str = "") -> None:
        """Say once that operands of this type are multiplied as float32."""
        self._warn(half, f"no product of {half} on this GPU{about}: operands rounded to it are multiplied as float32")

    def _warn(self, what: str, said: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            warnings.warn(f"cuBLASLt offers {said}, more exact and slower (said once)", RuntimeWarning, stacklevel=2)


# ---- what to ask for, the best first ---------------------------------------------------------------------------------


def _matmul(views: Views, add: bool, precision: str) -> list[Request] | str:
    x, y, _, _, out = views
    found = problem(x, y, out)
    return found if isinstance(found, str) else [Request(found, _compute_type(x, precision), add)]


def _linear(views: Views, activation: str, may_fuse: bool, precision: str) -> list[Request] | str:
    x, w, b, z, out = views
    into_out = problem(x, w.transposed, out)
    into_target = into_out if z is None else problem(x, w.transposed, z)
    if isinstance(into_out, str) or isinstance(into_target, str):
        return into_out if isinstance(into_out, str) else str(into_target)
    compute = _compute_type(x, precision)
    with_bias, nothing_more = b is not None, activation == "identity" and z is None
    requests = []
    epilogues = (FUSED if z is None else FUSED_KEEPING_Z).get(activation) if may_fuse else None
    if epilogues and _fits_vector(b, out) and _fits_z(z, into_target, out):
        leading = 0 if z is None else into_target.d.leading
        epilogue = epilogues[with_bias]
        requests.append(Request(into_out, compute, False, epilogue, Done(True, True), with_bias, leading))
    plain = Request(into_target, compute, done=Done(not with_bias, nothing_more), into_z=z is not None)
    if with_bias and _fits_vector(b, out if z is None else z):
        requests.append(plain._replace(epilogue=Epilogue.BIAS, done=Done(True, nothing_more), uses_vector=True))
    return [*requests, plain]


def _weight_grad(views: Views, add: bool, precision: str) -> list[Request] | str:
    dz, x, db, _, dw = views
    found = problem(dz.transposed, x, dw)
    if isinstance(found, str):
        return found
    plain = Request(found, _compute_type(x, precision), add, done=Done(db is None, True))
    if db is None or not _fits_vector(db, dw, dz.shape[1]):
        return [plain]
    return [plain._replace(epilogue=Epilogue.BGRADB, done=Done(True, True), uses_vector=True), plain]


def _fits_vector(vector: View | None, out: View, size: int | None = None) -> bool:
    """Whether a bias or its gradient is stored as the library takes it. Raises ValueError for a wrong shape."""
    if vector is None:
        return True
    expected = (out.shape[1] if size is None else size,)
    if vector.shape != expected:
        raise ValueError(f"linear: expected a bias of shape {expected}, got {vector.shape}")
    return vector.dtype == out.dtype and (vector.strides == (1,) or vector.shape == (1,))


def _fits_z(z: View | None, into_z: Problem, out: View) -> bool:
    return z is None or (z.dtype == out.dtype and into_z.d.leading % LEADING_Z == 0)


def _compute_type(x: View, precision: str) -> ComputeType:
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    if x.dtype == "float64":
        return ComputeType.COMPUTE_64F
    return PRECISIONS[precision] if x.dtype == "float32" else ComputeType.COMPUTE_32F
