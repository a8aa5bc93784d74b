"""Tensor: an array on a device, and the tape that made it. The surface is PyTorch's.

Here is what a tensor is: memory, device, gradient. What can be computed with it is in ``nnkit.methods``, by name,
and the mathematics in ``nnkit.ops``, which builds on this file.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nnkit import backends, dtypes
from nnkit.backends import Backend, Device
from nnkit.backends.recording import note_host_read, recorder
from nnkit.errors import DeviceError, DtypeError, GradientError, ShapeError
from nnkit.methods import OPS, Methods
from nnkit.state import changed
from nnkit.tape import Gradient, Node, Pullback, backward, is_grad_enabled, set_apart

_default_device = ["cpu"]


def set_default_device(device: str | Device) -> None:
    """The device of tensors made without ``device=``. Raises ValueError for an unknown name."""
    backends.get(device)
    _default_device[0] = str(device)
    changed()


def get_default_device() -> Device:
    """The device of tensors made without ``device=``: the best CPU backend unless set otherwise."""
    return backends.get(_default_device[0]).device


def resolve(device: str | Device | None) -> Backend:
    """The backend of a device; None means the default."""
    return backends.get(_default_device[0] if device is None else device)


class Tensor(Methods):
    """An n-dimensional array on a device. Made by ``nnkit.tensor`` and by ops.

    >>> import nnkit
    >>> x = nnkit.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward(); x.grad
    tensor([2., 4.])
    """

    __slots__ = ("__weakref__", "_followers", "_grad_view", "_gradient", "_requires_grad", "array", "backend", "node")
    __array_priority__ = 1000.0  # numpy's operators give way to ours

    def __init__(self, array: Any, backend: Backend, requires_grad: bool = False) -> None:
        self.array = array
        self.backend = backend
        self.node: Node | None = None
        self._gradient: Gradient | None = None
        self._grad_view: Tensor | None = None
        self._requires_grad = False
        if requires_grad:
            at_work = recorder()
            if at_work is not None:
                at_work.born[id(self)] = self
            self.requires_grad = True

    # ---- what it is -----------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The size along each axis."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype:
        """The element type, as numpy's dtype object."""
        return self.backend.dtype_of(self.array)

    @property
    def device(self) -> Device:
        """Where it lives."""
        return self.backend.device

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.array.shape)

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size along one axis."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.array.shape)

    def is_floating_point(self) -> bool:
        """Whether the elements are floats."""
        return dtypes.is_float(self.dtype)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        body = np.array2string(self._host(), separator=", ", prefix="tensor(", precision=4)
        extra = "" if self.dtype in (dtypes.float32, dtypes.int64, dtypes.bool_) else f", dtype={self.dtype}"
        if self.node is not None:
            extra += f", grad_fn=<{self.node.name}>"
        elif self._requires_grad:
            extra += ", requires_grad=True"
        return f"tensor({body}{extra})"

    # ---- gradients --------------------------------------------------------------------------------------------

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by hand rather than by an op on the tape."""
        return self.node is None

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to it; can be set on leaves of a float type."""
        return self._requires_grad or self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.node is not None:
            raise GradientError("requires_grad can be set on leaves only; use .detach() to cut a result off the tape")
        if value and not self.is_floating_point():
            raise DtypeError(f"requires_grad: expected a float tensor, got {self.dtype}; convert it with .float()")
        if bool(value) is not self._requires_grad:
            self._requires_grad = bool(value)
            changed(self, "requires_grad", not value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set ``requires_grad`` and return the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def gradient(self) -> Gradient:
        """The place where backward writes this leaf's gradient."""
        if self._gradient is None:
            self._gradient = Gradient()
        return self._gradient

    @gradient.setter
    def gradient(self, place: Gradient | None) -> None:
        before, self._gradient = self._gradient, place
        if before is not None:
            changed(self, "_gradient", before)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward left, or None."""
        place = self._gradient
        if place is None or not place.filled:
            return None
        if self._grad_view is None or self._grad_view.array is not place.array:
            self._grad_view = Tensor(place.array, self.backend)
        return self._grad_view

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is None:
            self.forget_grad()
            return
        if value.shape != self.shape:
            raise ShapeError(f"grad: expected shape {self.shape} like the tensor's, got {value.shape}")
        given = value.detach().to(self.device, self.dtype).array
        self.forget_grad()
        self.gradient.accumulate(self.backend, given)

    def forget_grad(self) -> None:
        """Be without gradient. Its memory is used again, so whoever still holds ``grad`` gets a copy."""
        view, self._grad_view = self._grad_view, None
        if view is not None and self.gradient.filled and sys.getrefcount(view) > 2:
            set_apart(view, self.gradient.array)
        self.gradient.filled = False

    def backward(self, gradient: Tensor | None = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the gradients of this tensor to every leaf's ``grad``.

        ``gradient`` has this tensor's shape and may be left out for a scalar. Raises GradientError for a tensor that is
        not on the tape, for a non-scalar without ``gradient``, for a second backward without ``retain_graph``, and for
        ``create_graph`` (gradients here are first order).
        """
        seed = self._seed(gradient, create_graph)
        backward(self._edge(), seed, retain_graph, None)

    def _seed(self, gradient: Tensor | None, create_graph: bool) -> Any:
        if create_graph:
            raise GradientError(
                "create_graph=True: gradients of gradients are not supported; gradients here are first order"
            )
        if not self.requires_grad:
            raise GradientError(
                "backward of a tensor that does not depend on any tensor with requires_grad=True, "
                "or that was computed under no_grad()"
            )
        if gradient is None:
            if self.numel() != 1:
                raise GradientError(
                    f"backward of a tensor of shape {self.shape}: expected a scalar; reduce it first, "
                    "e.g. loss.mean().backward(), or pass gradient= of the same shape"
                )
            seed = self.backend.empty(self.shape, self.dtype)
            self.backend.fill(1, seed)
            return seed
        if gradient.shape != self.shape:
            raise ShapeError(f"gradient: expected shape {self.shape} like the tensor's, got {gradient.shape}")
        same_backend("backward", self, gradient)
        return gradient.to(self.dtype).array

    def _edge(self) -> Any:
        """What a node that uses this tensor points to."""
        if self.node is not None:
            return self.node
        return self if self._requires_grad else None

    def detach(self) -> Tensor:
        """The same memory, off the tape."""
        at_work = recorder()
        if at_work is not None:
            at_work.touch(self)
        same = Tensor(self.array, self.backend)
        if type(self) is not Tensor and type(self._gradient) in (Gradient, type(None)):  # An optimizer may yet move it.
            followers = [found for found in getattr(self, "_followers", ()) if found() is not None]
            self._followers = [*followers, weakref.ref(same)]
        return same

    @property
    def data(self) -> Tensor:
        """The same memory, off the tape; assigning replaces the memory."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if (value.backend, value.shape, value.dtype) != (self.backend, self.shape, self.dtype):
            self._gradient = None
        before, self.array, self.backend = self.array, value.array, value.backend
        changed(self, "array", before)

    # ---- to the host and elsewhere ------------------------------------------------------------------------------

    def _host(self) -> np.ndarray:
        return self.backend.to_numpy(self.array)

    def numpy(self) -> np.ndarray:
        """The values as a numpy array, sharing memory on a CPU. Raises GradientError while on the tape."""
        if self.requires_grad:
            raise GradientError("numpy() of a tensor that requires grad: use .detach().numpy()")
        return self._host()

    def item(self) -> Any:
        """The one element as a Python number."""
        if self.numel() != 1:
            raise ShapeError(f"item() needs a tensor of one element, got shape {self.shape}")
        return self._host().item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self._host().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        host = self._host()
        if dtype is not None and host.dtype != dtype:
            return host.astype(dtype)
        return host.copy() if copy else host

    def __dlpack__(self, **options: Any) -> Any:
        note_host_read()
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"only integer tensors can be used as an index, got {self.dtype}")
        return int(self.item())

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ShapeError(f"the truth value of a tensor of shape {self.shape} is ambiguous: use .any() or .all()")
        return bool(self.item())

    def __format__(self, specification: str) -> str:
        return format(self.item(), specification) if self.numel() == 1 and specification else str(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None:
            raise GradientError("deepcopy of a tensor on the tape: only leaves can be copied; use .detach() first")
        copy = type(self).__new__(type(self))
        Tensor.__init__(copy, OPS["clone"](self.detach()).array, self.backend, self._requires_grad)
        memo[id(self)] = copy
        return copy

    def __reduce__(self) -> Any:
        if self.node is not None:
            raise GradientError("a tensor on the tape cannot be pickled; use .detach() first")
        return _restore, (type(self), np.array(self._host()), str(self.device), self._requires_grad)

    def to(self, *targets: Any, device: Any = None, dtype: Any = None) -> Tensor:
        """On another device and/or of another element type; itself where nothing changes."""
        for target in targets:
            if isinstance(target, Tensor):
                device, dtype = target.device, target.dtype
            elif isinstance(target, Device) or (isinstance(target, str) and not _is_dtype(target)):
                device = target
            elif target is not None:
                dtype = target
        return OPS["to"](self, device, dtype)

    def cpu(self) -> Tensor:
        """On the best CPU backend, or itself when it is on a CPU already."""
        return self if self.device.type == "cpu" else self.to("cpu")

    def cuda(self, index: int = 0) -> Tensor:
        """On an NVIDIA GPU."""
        return self.to(Device("cuda", index))

    def type_as(self, other: Tensor) -> Tensor:
        """Of another tensor's element type."""
        return self.to(other.dtype)


class Parameter(Tensor):
    """A leaf tensor that a module trains.

    >>> import nnkit
    >>> nnkit.Parameter(nnkit.zeros(2)).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            data = OPS["tensor"](data)
        super().__init__(data.array, data.backend, requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


def _restore(kind: type[Tensor], values: np.ndarray, device: str, requires_grad: bool) -> Tensor:
    """Rebuild a pickled tensor; on a machine that lacks its device it goes where the fallback says."""
    backend = backends.get(device)
    restored = kind.__new__(kind)
    Tensor.__init__(restored, backend.asarray(values), backend, requires_grad)
    return restored


def _is_dtype(text: str) -> bool:
    try:
        dtypes.as_dtype(text)
    except TypeError:
        return False
    return True


def result(name: str, array: Any, backend: Backend, inputs: Sequence[Tensor], pullback: Pullback) -> Tensor:
    """An op's output as a tensor, on the tape when a gradient may be wanted."""
    out = Tensor(array, backend)
    at_work = recorder()
    if at_work is not None:
        at_work.touch(*inputs)
    if is_grad_enabled():
        edges = tuple(x._edge() for x in inputs)
        if any(edge is not None for edge in edges):
            out.node = Node(name, backend, edges, pullback)
    return out


def same_backend(name: str, *tensors: Tensor) -> Backend:
    """The backend that all tensors live on. Raises DeviceError when they live on several."""
    backend = tensors[0].backend
    for other in tensors[1:]:
        if other.backend is not backend:
            raise DeviceError(
                f"{name}: expected all tensors on one device, got {str(backend.device)!r} and "
                f"{str(other.device)!r}; move one with .to({str(backend.device)!r})"
            )
    return backend
