"""Variables: tensors that keep their place in memory and are given new values, with Keras's words for that.

``Layer.add_weight`` and ``Variable(…)`` make a :class:`Variable`, which is a parameter of nnkit's. The weights of
nnkit's own layers lie as PyTorch lays them out; what Keras shows of one is a :class:`WeightView`: the same memory with
the axes in Keras's order, on the tape and off it. Definitions: ``keras.Variable``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from nnkit.errors import ShapeError
from nnkit.keras import initializers
from nnkit.tensors.creation import as_tensor, empty, zeros
from nnkit.tensors.dtypes import as_dtype, is_float
from nnkit.tensors.memory import Version
from nnkit.tensors.tape import enable_grad, no_grad
from nnkit.tensors.tensor import Parameter, Tensor

if TYPE_CHECKING:
    from nnkit.nn import Module

__all__ = ["Variable", "VariableWords", "WeightView", "parameter_of", "put_gradient"]

Layout = Callable[[Tensor], Tensor]


class VariableWords:
    """What Keras's variables can do, for tensors."""

    #: What it is called, alone and with the name of the layer before it.
    name: str = "variable"
    path: str = "variable"
    #: What the value is made after an update.
    constraint: Any = None
    regularizer: Any = None
    autocast = True

    @property
    def value(self) -> Self:
        """The variable itself, which is a tensor."""
        return self

    def assign(self: Any, value: Any) -> Any:
        """Take a new value, of this shape. Returns the variable. Raises ShapeError for another shape.

        >>> v = Variable([1.0, 2.0]); v.assign([3.0, 4.0]).tolist()
        [3.0, 4.0]
        """
        with no_grad():
            given = as_tensor(value, dtype=self.dtype, device=self.device)
            if given.shape != self.shape:
                raise ShapeError(f"assign to {self.path!r}: expected shape {self.shape}, got {given.shape}")
            self.copy_(given)
        return self

    def assign_add(self: Any, value: Any) -> Any:
        """Add to the value; returns the variable.

        >>> v = Variable(1.0); v.assign_add(2.0).item()
        3.0
        """
        return self.assign(self.detach() + as_tensor(value, dtype=self.dtype, device=self.device).detach())

    def assign_sub(self: Any, value: Any) -> Any:
        """Take away from the value; returns the variable."""
        return self.assign(self.detach() - as_tensor(value, dtype=self.dtype, device=self.device).detach())

    def numpy(self: Any, *, force: bool = False) -> np.ndarray:
        """A copy of the value as a NumPy array."""
        return np.array(self.detach()._host())

    def __array__(self: Any, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.numpy().astype(dtype) if dtype is not None else self.numpy()


class Variable(VariableWords, Parameter):
    """A value that is kept and changed: learned where ``trainable``, else a counter, a statistic, a state.

    Args:
        initializer: the first value; or a function ``(shape, dtype=)``, an initializer or its name, with ``shape``.
        shape: the shape, where ``initializer`` is a function.
        dtype: the element type; that of the value, or the default float type.
        trainable: whether gradients are wanted; never of whole numbers.
        autocast, aggregation, synchronization: accepted; they change nothing here.
        name: what it is called.

    It is a Tensor. Raises UnknownNameError for an initializer that there is not, ValueError for one without a shape.
    Source: ``keras.Variable``.

    >>> count = Variable(0, dtype="int64", trainable=False, name="count")
    >>> count.assign_add(2).item(), count.name
    (2, 'count')
    """

    def __init__(
        self,
        initializer: Any = None,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str | None = None,
        synchronization: str | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        value = _first_value(initializer, shape, dtype)
        super().__init__(value, trainable and is_float(value.dtype))
        self.name = self.path = name or "variable"
        self._trainable = bool(trainable)

    @property
    def trainable(self) -> bool:
        """Whether training changes it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        self.requires_grad_(bool(value) and self.is_floating_point())

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={self.tolist()}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        made: Any = Parameter.__deepcopy__(self, memo)
        made.__dict__.update(copy.deepcopy(vars(self), memo))
        return made

    def __reduce__(self) -> Any:
        function, arguments = super().__reduce__()
        return function, arguments, vars(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _first_value(initializer: Any, shape: Sequence[int] | None, dtype: Any) -> Tensor:
    if isinstance(initializer, str):
        initializer = initializers.get(initializer)
    if initializer is None and shape is not None:
        return zeros(*shape, dtype=dtype)
    if callable(initializer) and not isinstance(initializer, Tensor):
        if shape is None:
            raise ValueError("Variable: a function as initializer needs shape=")
        made = initializer(tuple(shape)) if dtype is None else initializer(tuple(shape), dtype=dtype)
        return made if isinstance(made, Tensor) else as_tensor(made, dtype=dtype)
    value = initializer.detach().clone() if isinstance(initializer, Tensor) else np.array(initializer)
    if dtype is None and isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return as_tensor(value.astype(np.float32))
    made = as_tensor(value, dtype=None if dtype is None else as_dtype(dtype))
    if shape is not None and made.shape != tuple(shape):
        raise ShapeError(f"Variable: the value has shape {made.shape}, and shape={tuple(shape)} was asked for")
    return made


class WeightView(VariableWords, Tensor):
    """A parameter or buffer of a module, in the layout that Keras has it in; it follows where that is moved.

    Used in an op it is on the tape as a view of the parameter, so that gradients flow to that.
    """

    _gradient = view_of = _node = None  # it stands for another tensor, which has these

    def __init__(self, owner: Module, attribute: str, layout: Layout | None, name: str, path: str) -> None:
        self._owner, self._attribute, self._layout = owner, attribute, layout
        self.name, self.path = name, path
        self._seen: tuple[Any, Any] | None = None  # the memory of the source, and its view

    @property
    def source(self) -> Tensor:
        """The tensor of the module."""
        registry = self._owner._parameters if self._attribute in self._owner._parameters else self._owner._buffers
        found = registry[self._attribute]
        assert found is not None
        return found

    @property
    def array(self) -> Any:
        """The memory of the source, with its axes in Keras's order."""
        source = self.source
        if self._layout is None:
            return source.array
        if self._seen is None or self._seen[0] is not source.array:
            self._seen = source.array, self._layout(Tensor(source.array, source.backend)).array
        return self._seen[1]

    @property
    def backend(self) -> Any:
        return self.source.backend

    @property
    def _requires_grad(self) -> bool:  # type: ignore[override]
        return self.source._requires_grad

    @property
    def _shared(self) -> Version:  # type: ignore[override]
        return self.source.version

    @property
    def requires_grad(self) -> bool:
        """Whether training changes the source."""
        return self.source.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.source.requires_grad = value

    @property
    def trainable(self) -> bool:
        """Whether training changes it."""
        return self.source.requires_grad

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.source.requires_grad = value

    @property
    def constraint(self) -> Any:
        """What the weight is made after an update: a function of the module's tensor."""
        return self._owner.constraints.get(self._attribute)

    @property
    def regularizer(self) -> Any:
        """The penalty on the weight: a function of the module's tensor."""
        return self._owner.regularizers.get(self._attribute)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward left, in this layout."""
        gradient = self.source.grad
        return gradient if gradient is None or self._layout is None else self._layout(gradient)

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        put_gradient(self, value)

    def laid_out(self, tensor: Tensor) -> Tensor:
        """A tensor of the source's shape, such as its gradient, with the axes in Keras's order."""
        return tensor if self._layout is None else self._layout(tensor)

    def _edge(self) -> Any:
        source = self.source
        if not source.requires_grad:
            return None
        with enable_grad():
            return self.laid_out(source)._edge()

    def detach(self) -> Tensor:
        """The same memory, off the tape."""
        return self.laid_out(self.source.detach())

    def __deepcopy__(self, memo: dict[int, Any]) -> WeightView:
        return WeightView(
            copy.deepcopy(self._owner, memo), self._attribute, copy.deepcopy(self._layout, memo), self.name, self.path
        )

    def __reduce__(self) -> Any:
        return WeightView, (self._owner, self._attribute, self._layout, self.name, self.path)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={self.detach().tolist()}>"


def parameter_of(variable: Any) -> Any:
    """The tensor that an optimizer knows a variable as."""
    return variable.source if isinstance(variable, WeightView) else variable


def put_gradient(variable: Any, gradient: Tensor | None) -> None:
    """Let ``gradient``, laid out as the variable, be the gradient of its parameter."""
    parameter = parameter_of(variable)
    if gradient is None:
        parameter.forget_grad()
        return
    if gradient.shape != variable.shape:
        raise ShapeError(f"the gradient of {variable.shape} has shape {gradient.shape}")
    if isinstance(variable, WeightView) and variable._layout is not None:
        with no_grad():
            whole = empty(*parameter.shape, dtype=parameter.dtype, device=parameter.device)
            variable.laid_out(whole).copy_(gradient.detach())
        gradient = whole
    parameter.grad = gradient
