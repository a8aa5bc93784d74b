"""Tensors that are still to come: what ``Input`` gives, and what layers and functions make of it.

A symbolic tensor has a shape, a dtype and a name, and knows the node that makes it: a layer or a function, with its
arguments. ``Model(inputs, outputs)`` is made of these nodes. A function of tensors becomes a part of a model where it
is decorated with :func:`symbolic`; the shape and dtype of what it returns are found by running it on small arrays of
two batch sizes: what differs between the two runs is None.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar

import numpy as np

from nnkit.backends.recording import paused
from nnkit.errors import ShapeError
from nnkit.keras.naming import automatic_name, numbered
from nnkit.recording.observer import call
from nnkit.recording.structures import rebuilt
from nnkit.tensors.creation import ones, zeros
from nnkit.tensors.random import Generator, using
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = [
    "KerasTensor",
    "Node",
    "Nodes",
    "Operation",
    "apply",
    "function_of",
    "holds_symbolic",
    "inferred",
    "leaves",
    "symbolic",
]

Function = TypeVar("Function", bound=Callable[..., Any])
Sizes: TypeAlias = tuple[int | None, ...]

#: The sizes that stand for unknown ones in the two runs: of the batch, and of every other axis.
RUNS = ((2, 5), (3, 7))
#: What a decorated function is called in files -> the function.
_FUNCTIONS: dict[str, Callable[..., Any]] = {}


class KerasTensor:
    """A tensor to come: what ``Input`` and layers called on it return.

    It has ``shape`` (None where a size is not known), ``dtype`` (a text) and ``name``, and takes Python's operators
    and slices, each a node of the model. It has no numbers: for those, make a ``Model`` of it and call that.

    Raises TypeError for a shape that is no list or tuple. Source: ``keras.KerasTensor``.

    >>> x = KerasTensor((None, 4), "float32", "x")
    >>> (x * 2.0)[:, :3].shape
    (None, 3)
    """

    __array_priority__ = 1000  # NumPy's operators leave theirs to this class
    __array_ufunc__ = None

    def __init__(self, shape: Any, dtype: Any = "float32", name: str | None = None) -> None:
        self.shape: Sizes = tuple(shape)
        self.dtype = str(np.dtype(dtype)) if not isinstance(dtype, str) else dtype
        self.name = automatic_name(type(self)) if name is None else name
        #: What makes it, and which of the results of that it is.
        self.node: Node | None = None
        self.index = 0

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    rank = ndim

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"

    def _has_no_value(self, *ignored: Any) -> Any:
        raise TypeError(
            f"{self!r} is symbolic: it has no numbers yet, so Python cannot look at them, and NumPy, nnkit.ops and "
            "other libraries cannot compute with it. Use layers, operators and functions of nnkit.keras.ops, or put "
            "the code into the method call of a Layer"
        )

    __bool__ = __int__ = __float__ = __index__ = __array__ = __iter__ = numpy = item = _has_no_value

    def __len__(self) -> int:
        if not self.shape or self.shape[0] is None:
            raise TypeError(f"{self!r} has no known length")
        return self.shape[0]

    def reshape(self, *shape: Any) -> Any:
        """In another shape, which may hold one -1."""
        return _reshape(self, tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)

    def squeeze(self, axis: int | None = None) -> Any:
        """Without the axis, or axes, of size 1."""
        return _squeeze(self, axis)

    def __deepcopy__(self, memo: dict[int, Any]) -> KerasTensor:
        return self  # nothing of it changes

    def __getitem__(self, key: Any) -> Any:
        return _get_item(self, key)


class Node:
    """One use of a layer or function: its arguments, in which symbolic tensors stand, and the tensors it makes."""

    def __init__(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> None:
        self.operation = operation
        self.args, self.kwargs, self.outputs = args, kwargs, outputs
        self.inputs = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, KerasTensor)]
        self.made = [leaf for leaf in leaves(outputs) if isinstance(leaf, KerasTensor)]
        for index, tensor in enumerate(self.made):
            tensor.node, tensor.index = self, index
        #: Which use of the operation it is.
        self.number = len(operation._inbound_nodes)
        operation._inbound_nodes.append(self)

    @property
    def is_input(self) -> bool:
        """Whether it is the node of an ``Input``."""
        return not self.inputs


class Nodes(list[Node]):
    """The uses of a layer; a copy of the layer begins without."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Nodes:
        return Nodes()

    def __reduce__(self) -> Any:
        return Nodes, ()


class Operation:
    """A function as a part of a model; ``function`` is one that :func:`symbolic` decorated.

    It has a ``name``, unique in the model, and no weights.
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self.function = function
        self.called = called_in_files(function)
        self.name = numbered(self.called.rpartition(".")[2].strip("_")) if name is None else name
        self._inbound_nodes = Nodes()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return call(self.function, *args, **kwargs)

    def symbolically(self, *args: Any, **kwargs: Any) -> Any:
        """A node of a call with symbolic tensors."""
        return apply(self, args, kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Operation:
        return Operation(self.function, self.name)

    def __reduce__(self) -> Any:
        return _operation, (self.called, self.name)

    def __repr__(self) -> str:
        return f"<Operation {self.name}>"


def _operation(called: str, name: str) -> Operation:
    return Operation(function_of(called), name)


# ---- the hook -------------------------------------------------------------------------------------------------


def symbolic(function: Function) -> Function:
    """A decorator: a call with symbolic tensors among the arguments (in lists and dicts, too) makes a node.

    The function must work with Tensors of any batch size. Files name it by its module and name, so it must be a
    function of a module.

    >>> x = KerasTensor((None, 4))
    >>> @symbolic
    ... def doubled(x):
    ...     return x * 2.0
    >>> doubled(x).shape
    (None, 4)
    """

    @functools.wraps(function)
    def chosen(*args: Any, **kwargs: Any) -> Any:
        if holds_symbolic(args, kwargs):
            return apply(Operation(chosen), args, kwargs)
        return call(function, *args, **kwargs)

    name = _file_name(function)
    _FUNCTIONS[name] = chosen
    chosen.called_in_files = name  # type: ignore[attr-defined]
    return chosen  # type: ignore[return-value]


def holds_symbolic(*values: Any) -> bool:
    """Whether a symbolic tensor is among values, or in lists, tuples and dicts among them.

    >>> holds_symbolic(1, [KerasTensor((None, 2))]), holds_symbolic(1, [2])
    (True, False)
    """
    for value in values:
        kind = type(value)
        if kind is KerasTensor or isinstance(value, KerasTensor):
            return True
        if (kind is tuple or kind is list or isinstance(value, (tuple, list))) and holds_symbolic(*value):
            return True
        if isinstance(value, dict) and holds_symbolic(*value.values()):
            return True
    return False


def apply(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any = None) -> Any:
    """Make a node of a call of ``operation``, and return its symbolic results.

    ``outputs``: what is returned, where that is known; otherwise it is found by running ``operation``.
    """
    found = inferred(operation, args, kwargs, operation.name) if outputs is None else outputs
    node = Node(operation, args, kwargs, found)
    if not node.made:
        operation._inbound_nodes.pop()
    return found


def function_of(name: str) -> Callable[..., Any]:
    """The decorated function that a file names; KeyError where there is none."""
    return _FUNCTIONS[name]


def called_in_files(function: Any) -> str:
    """The name that files have for a decorated function."""
    return str(function.called_in_files)


def _file_name(function: Callable[..., Any]) -> str:
    family = function.__module__.removeprefix("nnkit.keras.").split(".")[0]
    return f"{family}.{function.__name__}"


# ---- shapes, by running ---------------------------------------------------------------------------------------


def inferred(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Any:
    """What a call with symbolic arguments returns: symbolic tensors in the structure that ``function`` gives.

    Raises what the function raises, as a ShapeError or TypeError that names it and the shapes of its inputs.
    """
    tensors = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, KerasTensor)]
    runs = RUNS if any(None in tensor.shape for tensor in tensors) else RUNS[:1]
    found = []
    for batch, other in runs:

        def stand_in(leaf: Any, batch: int = batch, other: int = other) -> Any:
            return _small(leaf, batch, other) if isinstance(leaf, KerasTensor) else leaf

        try:
            with no_grad(), paused(), using(Generator(0)), np.errstate(all="ignore"):
                found.append(function(*rebuilt(args, stand_in), **rebuilt(kwargs, stand_in)))
        except (ShapeError, TypeError, ValueError, IndexError) as error:
            shapes = ", ".join(str(tensor.shape) for tensor in tensors)
            kind: type[Exception] = TypeError if isinstance(error, TypeError) else ShapeError
            raise kind(f"{name} cannot be called on symbolic tensors of shape {shapes}: {error}") from error
    return _compared(name, found[0], found[-1])


def _small(tensor: KerasTensor, batch: int, other: int) -> Tensor:
    """An array of the shape with sizes for the unknown ones; of 1, or of 0 where it may be a place."""
    shape = tuple((other if axis else batch) if size is None else size for axis, size in enumerate(tensor.shape))
    make = ones if tensor.dtype.startswith(("float", "bfloat")) else zeros
    return make(shape, dtype=tensor.dtype)


def _compared(name: str, one: Any, other: Any) -> Any:
    """A symbolic tensor for each pair of Tensors: sizes that differ are not known."""
    if isinstance(one, Tensor):
        shape = (size if size == also else None for size, also in zip(one.shape, other.shape, strict=True))
        return KerasTensor(shape, str(np.dtype(one.dtype)))
    if isinstance(one, np.ndarray):
        raise TypeError(f"{name} returned a NumPy array for symbolic tensors; a part of a model must return Tensors")
    if isinstance(one, (tuple, list)):
        parts = [_compared(name, part, also) for part, also in zip(one, other, strict=True)]
        return type(one)(*parts) if hasattr(one, "_fields") else type(one)(parts)
    if isinstance(one, dict):
        return {key: _compared(name, part, other[key]) for key, part in one.items()}
    return one if one == other else None


def leaves(value: Any) -> Iterator[Any]:
    """What is inside lists, tuples and dicts; of a dict in the order of its keys, as Keras has it.

    >>> list(leaves([1, {"b": 2, "a": (3,)}]))
    [1, 3, 2]
    """
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from leaves(value[key])
    else:
        yield value


# ---- operators ------------------------------------------------------------------------------------------------


@symbolic
def _get_item(x: Any, key: Any) -> Any:
    return x[key]


@symbolic
def _reshape(x: Any, shape: Any) -> Any:
    return x.reshape(*shape)


@symbolic
def _squeeze(x: Any, axis: int | None) -> Any:
    return x.squeeze() if axis is None else x.squeeze(axis)


def _operator(name: str, function: Callable[..., Any], arguments: int) -> Callable[..., Any]:
    """One of Python's operators as a function that files can name."""
    made: Any = (lambda x: function(x)) if arguments == 1 else (lambda x, y: function(x, y))
    made.__name__, made.__module__ = name, __name__
    return symbolic(made)


#: Python's name of an operator -> Keras's, and whether it has a mirror image, for a number on the left.
BINARY = {
    "add": ("add", True), "sub": ("subtract", True), "mul": ("multiply", True), "truediv": ("true_divide", True),
    "floordiv": ("floor_divide", True), "mod": ("mod", True), "pow": ("power", True), "matmul": ("matmul", True),
    "and_": ("logical_and", True), "or_": ("logical_or", True), "xor": ("logical_xor", True),
    "lt": ("less", False), "le": ("less_equal", False), "gt": ("greater", False), "ge": ("greater_equal", False),
    "ne": ("not_equal", False),
}  # fmt: skip
UNARY = {"neg": "negative", "abs": "absolute", "invert": "logical_not"}


def _add_operators() -> None:
    for short, (name, mirrored) in BINARY.items():
        named, plain = _operator(name, getattr(operator, short), 2), short.strip("_")
        setattr(KerasTensor, f"__{plain}__", lambda self, other, named=named: named(self, other))
        if mirrored:
            setattr(KerasTensor, f"__r{plain}__", lambda self, other, named=named: named(other, self))
    for short, name in UNARY.items():
        named = _operator(name, getattr(operator, short), 1)
        setattr(KerasTensor, f"__{short}__", lambda self, named=named: named(self))


_add_operators()
