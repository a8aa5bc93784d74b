"""Tensor: an array on a device, and the tape that made it. The surface is PyTorch's.

Here is what a tensor is: memory, device, gradient. What can be computed with it is in ``methods``, by name, and the
mathematics in ``nnkit.ops``, which builds on this file; what it becomes elsewhere in ``conversions``.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from nnkit import backends
from nnkit.backends import Device
from nnkit.backends.recording import recorder
from nnkit.errors import DtypeError, GradientError, ShapeError
from nnkit.recording.state import changed, looks
from nnkit.tensors import dtypes
from nnkit.tensors.conversions import Conversions
from nnkit.tensors.element_types import ElementTypes
from nnkit.tensors.lent import Lent
from nnkit.tensors.memory import Gradient, Version
from nnkit.tensors.methods import OPS, Methods
from nnkit.tensors.named_methods import NamedMethods
from nnkit.tensors.printing import shown
from nnkit.tensors.tape import Node, no_grad
from nnkit.tensors.views import View

#: What stands in the place of a backend where a user calls ``Tensor(data)`` or ``Tensor(2, 3)``.
NOT_BACKENDS = {type(None), bool, int, float, np.int64, np.int32}


class Size(tuple):
    """A shape, as ``Tensor.size()`` gives it: a tuple that says so.

    >>> Size([2, 3]), Size((2, 3)).numel(), Size((2, 3)) == (2, 3)
    (torch.Size([2, 3]), 6, True)
    """

    __slots__ = ()

    def numel(self) -> int:
        """How many elements a tensor of this shape has."""
        return math.prod(self)

    def __getitem__(self, index: Any) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: Any) -> Any:
        return Size(tuple.__add__(self, tuple(other)))

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"


class Tensor(Conversions, ElementTypes, NamedMethods, Methods):
    """An n-dimensional array on a device.

    Made by ``nnkit.tensor`` and by ops. As PyTorch's old ``Tensor(2, 3)`` it has these sizes and values that are not
    set, as ``Tensor([2, 3])`` this data, in the default float type. Raises TypeError for anything else, ShapeError for
    sizes below 0.

    >>> import nnkit
    >>> x = nnkit.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward(); x.grad
    tensor([2., 4.])
    """

    __slots__ = (
        "__weakref__", "_followers",
        "_gradient", "_node", "_requires_grad", "_shared", "array", "backend", "view_of", "watch"
    )  # fmt: skip
    __array_priority__ = 1000.0  # numpy's operators give way to ours

    def __init__(self, array: Any = None, backend: Any = None, requires_grad: Any = False, *more: Any) -> None:
        if type(backend) in NOT_BACKENDS:  # called by a user: Tensor(data), Tensor(2, 3)
            given = tuple(x for x in (array, backend, requires_grad) if x is not None and x is not False) + more
            made = OPS["of_data_or_sizes"](given)
            array, backend, requires_grad = made.array, made.backend, False
        self.array = array
        self.backend = backend
        self._shared: Version | None = None
        self.view_of: View | None = None
        self._node: Node | None = None
        self._gradient: Gradient | None = None
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
        return Size(self.array.shape) if dim is None else self.shape[dim]

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
        body = shown(self._host(), "tensor(")
        extra = "" if self.dtype in (dtypes.float32, dtypes.int64, dtypes.bool_) else f", dtype={self.dtype}"
        with no_grad():  # to show a view is not to use it
            node = self.node
        if node is not None:
            extra += f", grad_fn={node}"
        elif self._requires_grad:
            extra += ", requires_grad=True"
        return f"tensor({body}{extra})"

    # ---- gradients --------------------------------------------------------------------------------------------

    @property
    def node(self) -> Node | None:
        """Its place on the tape; None for a leaf."""
        view = self.view_of
        if view is not None and view.base._node is not view.seen:
            view.renew(self)
        return self._node

    @node.setter
    def node(self, node: Node | None) -> None:
        self._node = node

    @property
    def version(self) -> Version:
        """How often this memory was changed in place: one count for all views of it."""
        shared = self._shared
        if shared is None:
            shared = self._shared = Version()
        return shared

    @version.setter
    def version(self, version: Version) -> None:
        self._shared = version

    @property
    def _version(self) -> int:
        """How often this memory was changed in place, through whichever view; PyTorch's name for it."""
        return self.version.count

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by hand rather than by an op on the tape."""
        return self.node is None

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to it; can be set on leaves of a float type."""
        return self._requires_grad or (self._node if self.view_of is None else self.node) is not None

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
        shown = place.shown
        if shown is None or shown.array is not place.array:
            looks.count += 1
            shown = place.shown = Tensor(place.array, self.backend)
            shown.version = place.version = Lent(shown)
        return shown

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
        """Be without gradient. Its memory is used again, so whoever still holds ``grad`` or views of it gets a copy."""
        self.gradient.empty()

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Tensor | Sequence[Tensor] | None = None,
    ) -> None:
        """Add the gradients of this tensor to every leaf's ``grad``, or to that of ``inputs``.

        ``gradient`` has this tensor's shape and may be left out for a scalar. With ``create_graph`` the gradients are
        on the tape themselves. Raises GradientError for a tensor that is not on the tape, for a non-scalar without
        ``gradient``, and for a second backward without ``retain_graph`` (by default as ``create_graph``).
        """
        OPS["backward"](self, gradient, retain_graph, create_graph, inputs)

    @property
    def grad_fn(self) -> Node | None:
        """What made it, on the tape; None for a leaf."""
        return self.node

    def retain_grad(self) -> None:
        """Keep this tensor's gradient in ``grad`` too when backward passes it, though it is no leaf."""
        OPS["retain_grad"](self)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Any:
        """Call ``hook(gradient)`` when this tensor's gradient is known; what it returns, unless None, replaces that.

        Returns a handle, whose ``remove()`` ends it. Raises GradientError for a tensor that does not require grad.
        """
        return OPS["register_hook"](self, hook)

    def _edge(self) -> Any:
        """What a node that uses this tensor points to."""
        node = self._node if self.view_of is None else self.node
        if node is not None:
            return node
        return self if self._requires_grad else None

    def detach(self) -> Tensor:
        """The same memory, off the tape."""
        at_work = recorder()
        if at_work is not None:
            at_work.touch(self)
        same = Tensor(self.array, self.backend)
        same._shared = version = self.version
        version.shown(same, self)
        return self._followed(same)

    def detach_(self) -> Tensor:
        """Take the tensor off the tape, in place. Raises GradientError for a view, which has no place there."""
        if self.view_of is not None and self.node is not None:
            raise GradientError("detach_ of a view: use y = x.detach(), or detach what it is a view of")
        self._node = None
        self.requires_grad = False
        return self

    def _followed(self, same: Tensor) -> Tensor:
        """Note a tensor of the same memory, where an optimizer may yet move that."""
        if type(self) is not Tensor and type(self._gradient) in (Gradient, type(None)):
            followers = [found for found in getattr(self, "_followers", ()) if found() is not None]
            self._followers = [*followers, weakref.ref(same)]
        return same

    @property
    def data(self) -> Tensor:
        """The same memory, off the tape, and ``backward`` does not see what is changed so; assigning replaces it."""
        at_work = recorder()
        if at_work is not None:
            at_work.touch(self)
        same = Tensor(self.array, self.backend)
        self.version.shown(same, self)
        return self._followed(same)

    @data.setter
    def data(self, value: Tensor) -> None:
        if (value.backend, value.shape, value.dtype) != (self.backend, self.shape, self.dtype):
            self._gradient = None
        before, self.array, self.backend = self.array, value.array, value.backend
        changed(self, "array", before)

    # ---- copies ----------------------------------------------------------------------------------------------

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


class Parameter(Tensor):
    """A leaf tensor that a module trains.

    ``data`` is of any shape, of floats unless ``requires_grad=False``. Raises DtypeError for whole numbers that are to
    have gradients. As ``torch.nn.Parameter``.

    >>> import nnkit
    >>> nnkit.Parameter(nnkit.zeros(2)).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            data = OPS["tensor"]([] if data is None else data)
        super().__init__(data.array, data.backend, requires_grad)
        self.version = data.version
        self.version.shown(self, data)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


def _restore(kind: type[Tensor], values: np.ndarray, device: str, requires_grad: bool) -> Tensor:
    """Rebuild a pickled tensor; on a machine that lacks its device it goes where the fallback says."""
    backend = backends.get(device)
    restored = kind.__new__(kind)
    Tensor.__init__(restored, backend.asarray(values), backend, requires_grad)
    return restored


def written(*tensors: Tensor) -> None:
    """Say that tensors were changed in place by other means than their own methods."""
    at_work = recorder()
    for tensor in tensors:
        version = tensor._shared or tensor.version
        version.count += 1
        if at_work is not None:
            at_work.write(tensor)
