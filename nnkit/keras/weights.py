"""The weights of a layer: made, listed, counted, frozen and set, in Keras's order and layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from nnkit import nn
from nnkit.errors import ShapeError
from nnkit.keras import constraints, initializers, regularizers
from nnkit.keras.variable import Variable, WeightView
from nnkit.tensors.creation import tensor
from nnkit.tensors.dtypes import as_dtype, is_float
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["WithWeights", "assign_weights"]

#: Attributes of every layer that hold no parts.
INTERNAL = frozenset(
    (
        "_modules",
        "_parameters",
        "_buffers",
        "_made_with",
        "_views",
        "_losses",
        "_settings",
        "_steps",
        "_simple_metrics",
        "_lists_after",
    )
)
#: How a weight that was given no name is filed until it is an attribute.
UNNAMED = "weight_"
#: What nnkit's modules call a weight, and what Keras does.
NAMES = {"weight": "kernel", "kernel_rows": "kernel", "recurrent_rows": "recurrent_kernel"}


class WithWeights(nn.Module):
    """The part of Layer that has weights, its own and those of the layers in it."""

    name: str
    built: bool
    _trainable: bool
    #: What a weight is called, where it is not as ``NAMES`` has it.
    weight_names: ClassVar[Mapping[str, str]] = {}
    #: What stands before the layer's name in the paths of its weights: the Sequential model that it was added to.
    scope = ""
    #: What stands between the layer's name and that of a weight: a recurrent layer's cell.
    inner_scope = ""

    # ---- parts --------------------------------------------------------------------------------------------

    def _parts_by_name(self) -> Mapping[str, nn.Module | None]:
        """The parts that are attributes, and those in lists, tuples and dicts that are, in the order they were set."""
        known = {id(module) for module in self._modules.values()}
        listed: dict[int, dict[str, nn.Module]] = {}
        after = vars(self).get("_lists_after", {})
        for name, value in vars(self).items():
            if type(value) in (list, tuple, dict) and value and name not in INTERNAL:
                for place, module in _modules_in(name, value):
                    if id(module) not in known:
                        known.add(id(module))
                        listed.setdefault(after.get(name, len(self._modules)), {})[place] = module
        if not listed:
            return dict(self._modules)
        parts: dict[str, nn.Module | None] = {}
        for number, (name, part) in enumerate(self._modules.items()):
            parts |= listed.pop(number, {})
            parts[name] = part
        for rest in listed.values():
            parts |= rest
        return parts

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Variable) and "_parameters" in vars(self):
            key = next((key for key, known in self._parameters.items() if known is value), name)
            if key != name and not key.startswith(UNNAMED):  # It has a name already, and need not be filed twice.
                object.__setattr__(self, name, value)
                return
            if key != name:
                self._rename(key, name)
        elif type(value) in (list, tuple, dict) and "_modules" in vars(self) and name not in INTERNAL:
            vars(self).setdefault("_lists_after", {}).setdefault(name, len(self._modules))
        super().__setattr__(name, value)

    def _rename(self, key: str, name: str) -> None:
        """File a weight without a name under that of its attribute."""
        del self._parameters[key]
        for registry in (self.regularizers, self.constraints):
            if key in registry:
                registry[name] = registry.pop(key)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_views", "_losses")}

    # ---- making -------------------------------------------------------------------------------------------

    def add_weight(
        self,
        shape: Sequence[int] | None = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str | None = None,
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """A new weight of this layer; for use in ``build`` or ``__init__``.

        Args:
            shape: its shape; () by default.
            initializer: a name, an initializer or a function of a shape: Glorot's uniform, zeros for whole numbers.
            dtype: its type; that of the layer's variables by default.
            trainable: whether training changes it.
            regularizer: a name, a regularizer or a function of the weight: what is added to the loss.
            constraint: a name, a constraint or a function: what the weight is made after an update.
            autocast, aggregation, overwrite_with_gradient: accepted; they change nothing here.
            name: what it is called.
        """
        if isinstance(shape, str):
            raise ValueError(f"add_weight: give the name as a keyword: add_weight(shape=…, name={shape!r})")
        kind = as_dtype(self.variable_dtype if dtype is None else dtype)
        make = initializers.get(initializer)
        if make is None:
            make = initializers.GlorotUniform() if is_float(kind) else initializers.Zeros()
        variable = Variable(make, shape=() if shape is None else tuple(shape), dtype=kind, trainable=trainable)
        variable.name = name or "variable"
        variable.path = f"{self.scope}{self.name}/{variable.name}"
        key = self._free_name(name)
        self.register_parameter(key, variable)
        penalty, limit = regularizers.get(regularizer), constraints.get(constraint)
        variable.regularizer, variable.constraint = penalty, limit
        if penalty is not None:
            self.regularizers[key] = penalty
        constraints.constrain(self, key, limit)
        if not self._trainable:
            variable.requires_grad_(False)
        return variable

    @property
    def variable_dtype(self) -> str:
        """The type of the weights."""
        raise NotImplementedError

    def _free_name(self, name: str | None) -> str:
        """A name to file a weight under."""
        wanted = (name or f"{UNNAMED}{len(self._parameters)}").replace(".", "_").replace("/", "_")
        taken = self._parameters.keys() | self._buffers.keys() | self._modules.keys()
        number, found = 0, wanted
        while found in taken or hasattr(type(self), found):
            number += 1
            found = f"{wanted}_{number}"
        return found

    # ---- listing ------------------------------------------------------------------------------------------

    def layout_of(self, weight: Tensor) -> Callable[[Tensor], Tensor] | None:
        """A function of one of this layer's tensors, or of one of its shape: a view with the axes in Keras's order.

        None where they are so already.
        """
        return None

    def keras_layout(self, weight: Tensor) -> Tensor:
        """A view of one of this layer's tensors with the axes in Keras's order, off the tape."""
        layout = self.layout_of(weight)
        return weight.detach() if layout is None else layout(weight.detach())

    def shown(self, owner: nn.Module, attribute: str) -> Any:
        """The tensor ``owner.attribute`` as a variable of Keras's; the same object every time."""
        tensor = getattr(owner, attribute)
        if tensor is None or isinstance(tensor, Variable):
            return tensor
        views: dict[Any, WeightView] = self.__dict__.setdefault("_views", {})
        found = views.get((id(owner), attribute))
        if found is None:
            name = self.weight_names.get(attribute) or NAMES.get(attribute, attribute)
            inside = self.inner_scope if owner is self else f"{_place_of(owner, self)}"
            path = f"{self.scope}{self.name}/{inside}{name}"
            layout = self.layout_of(tensor)
            found = views[id(owner), attribute] = WeightView(owner, attribute, layout, name, path)
        return found

    def _parts(self) -> tuple[list[tuple[nn.Module, str]], list[Any]]:
        """Where the tensors are that are this layer's own (owner, attribute), and the layers inside it, each once."""
        places: list[tuple[nn.Module, str]] = []
        layers: list[Any] = []
        modules: list[nn.Module] = [self]
        while modules:
            module = modules.pop(0)
            kept = [name for name in module._buffers if name not in module._transient_buffers]
            own = [(name, module._parameters[name]) for name in module._parameters]
            learned = [n for n, p in own if p is not None and getattr(p, "_trainable", True)]
            states = [n for n, p in own if p is not None and not getattr(p, "_trainable", True)]
            places += [(module, n) for n in (*learned, *states, *kept) if getattr(module, n) is not None]
            for child in module.children():
                if isinstance(child, WithWeights):
                    layers.append(child)
                else:
                    modules.append(child)
        return places, layers

    def _own_variables(self) -> list[Any]:
        return [self.shown(owner, attribute) for owner, attribute in self._parts()[0]]

    def _collect(self, trainable: tuple[bool, ...], seen: set[int]) -> Iterator[Any]:
        for variable in self._own_variables():
            if variable.requires_grad in trainable and id(variable) not in seen:
                seen.add(id(variable))
                yield variable
        for layer in self._parts()[1]:
            yield from layer._collect(trainable, seen)

    @property
    def weights(self) -> list[Any]:
        """The weights in Keras's order and layout, as variables: they are in the layer's memory."""
        return list(self._collect((True, False), set()))

    @property
    def trainable_weights(self) -> list[Any]:
        """The weights that training changes."""
        return list(self._collect((True,), set()))

    @property
    def non_trainable_weights(self) -> list[Any]:
        """The weights that training leaves alone."""
        return list(self._collect((False,), set()))

    @property
    def variables(self) -> list[Any]:
        """All weights."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Any]:
        """The weights that training changes."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Any]:
        """The weights that training leaves alone."""
        return self.non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights. Setting it sets it in the layers inside, too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for module in self.modules():
            if isinstance(module, WithWeights):
                module._trainable = bool(value)
        self.requires_grad_(bool(value))

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Learn every weight (True) that can be learned, or freeze them (False)."""
        for parameter in self.parameters():
            wanted = requires_grad and getattr(parameter, "_trainable", True) and parameter.is_floating_point()
            parameter.requires_grad_(wanted)
        return self

    # ---- values -------------------------------------------------------------------------------------------

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights as NumPy arrays, in the order and layout of :attr:`weights`."""
        return [np.array(weight.detach().numpy()) for weight in self.weights]

    def set_weights(self, weights: Iterable[Any]) -> None:
        """Overwrite the weights with arrays in the order and layout of :attr:`weights`.

        Raises:
            ShapeError: the number of arrays or a shape differs; nothing is then changed.
        """
        assign_weights(self.name, self.weights, weights)

    def count_params(self) -> int:
        """The number of weights, counted one by one."""
        self.require_built()
        return sum(weight.numel() for weight in self.weights)

    def require_built(self) -> None:
        """Raise ValueError where the layer has not met its input's size yet."""
        if not self.built:
            raise ValueError(
                f"{self.name!r} is not built, so it has no weights yet; state the input's shape "
                "(input_shape=, or build(input_shape)), or call it on data first"
            )


def assign_weights(owner: str, current: Sequence[Tensor], given: Iterable[Any]) -> None:
    """Copy the arrays ``given`` into the Tensors ``current``; nothing changes unless all shapes fit."""
    arrays = [np.asarray(array.detach().numpy() if isinstance(array, Tensor) else array) for array in given]
    if len(arrays) != len(current):
        raise ShapeError(
            f"set_weights of {owner!r} expects {len(current)} arrays, got {len(arrays)}; "
            f"the expected shapes are {[tuple(weight.shape) for weight in current]}"
        )
    for position, (weight, array) in enumerate(zip(current, arrays, strict=True)):
        if tuple(weight.shape) != array.shape:
            raise ShapeError(
                f"set_weights of {owner!r}: array {position} must have shape {tuple(weight.shape)}, "
                f"got {array.shape}; nothing was changed"
            )
    with no_grad():
        for weight, array in zip(current, arrays, strict=True):
            weight.copy_(tensor(array, dtype=weight.dtype, device=weight.device))


def _modules_in(name: str, value: Any) -> Iterator[tuple[str, nn.Module]]:
    """The modules in a container, with dotted names: the attribute's, then the place's."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for place, item in items:
        whole = f"{name}.{str(place).replace('.', '_')}"
        if isinstance(item, nn.Module):
            yield whole, item
        elif type(item) in (list, tuple, dict):
            yield from _modules_in(whole, item)


def _place_of(owner: nn.Module, layer: nn.Module) -> str:
    """What stands between a layer and a part of it in a path, unless there is one part alone."""
    parts = [(name, part) for name, part in layer.named_children() if not isinstance(part, WithWeights)]
    return next((f"{name}/" for name, part in parts if part is owner and len(parts) > 1), "")
