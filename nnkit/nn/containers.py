"""Modules that hold modules: in a row that runs (Sequential), in a list, or by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Self, overload

from nnkit.nn.activations import fused_formula
from nnkit.nn.convolution import Conv1d, Conv2d, Conv3d
from nnkit.nn.linear import Linear
from nnkit.nn.module import Module
from nnkit.nn.pooling import fused_pool
from nnkit.recording.state import changed
from nnkit.tensors.tensor import Tensor

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


class _Row(Module):
    """Modules in order, named "0", "1", ...: what Sequential and ModuleList share."""

    def _row(self) -> list[Module]:
        return list(self._modules.values())  # type: ignore[arg-type]

    def _renumber(self, modules: Iterable[Module]) -> None:
        self._modules.clear()
        changed()
        self.extend(modules)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        number = len(self)
        _require_module(type(self).__name__, number, module)
        while str(number) in self._modules:  # A slice keeps its names.
            number += 1
        self.add_module(str(number), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before place ``index``; those behind it are renumbered."""
        row = self._row()
        row.insert(index, module)
        self._renumber(row)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._row())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))  # type: ignore[call-arg]
        return self._row()[self._place(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        _require_module(type(self).__name__, index, module)
        self.add_module(list(self._modules)[self._place(index)], module)

    def __delitem__(self, index: int | slice) -> None:
        row = self._row()
        del row[index if isinstance(index, slice) else self._place(index)]
        self._renumber(row)

    def pop(self, key: int | slice = -1) -> Any:
        """Remove the module at a place, the last one unless given, and return it."""
        module = self[key]
        del self[key]
        return module

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> Self:
        return type(self)([*self, *other])  # type: ignore[call-arg]

    def __contains__(self, module: object) -> bool:
        return any(module is own for own in self._row())

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def _place(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {type(self).__name__} of {len(self)} modules")
        return index % len(self)


class Sequential(_Row):
    """Modules that run one after another: ``Sequential(a, b)``, ``Sequential([a, b])`` or an OrderedDict of
    names.

    A Linear or a convolution directly followed by an elementwise activation runs as one fused op, with the same result;
    so does a Conv2d with a MaxPool2d behind it. What passes is of any shape and dtype.

    >>> import nnkit
    >>> model = Sequential(Linear(4, 3), nnkit.nn.ReLU())
    >>> model(nnkit.zeros(2, 4)).shape, len(model), model[1]
    ((2, 3), 2, ReLU())
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                _require_module("Sequential", name, module)
                self.add_module(name, module)
        elif len(modules) == 1 and isinstance(modules[0], (list, tuple)):
            self.extend(modules[0])
        else:
            self.extend(modules)

    def forward(self, input: Tensor) -> Any:
        """Run every module on the output of the one before it."""
        x = input
        row = self._row()
        index = 0
        while index < len(row):
            layer, following = row[index], row[index + 1 : index + 3]
            fused = _fused(layer, following) if following else 0
            if fused:
                x = _together(layer, following[:fused], x)
            else:
                x = layer(x)
            index += 1 + fused
        return x


#: Layers whose activation can be fused -> their forward, which must be what it was.
FUSING: dict[type[Module], Any] = {layer: layer.forward for layer in (Linear, Conv1d, Conv2d, Conv3d)}


def _fused(layer: Module, following: Sequence[Module]) -> int:
    """How many of the modules that follow can be applied inside the product of ``layer`` unnoticed: an activation, and
    behind a convolution of images a pool.
    """
    forward = FUSING.get(type(layer))
    if forward is None or type(layer).forward is not forward or "forward" in vars(layer):
        return 0
    hooks = layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks
    if hooks or getattr(layer, "activation", None) is not None:
        return 0
    count = int(fused_formula(following[0]) is not None and not following[0]._backward_hooks)
    pooled = isinstance(layer, Conv2d) and len(following) > count and fused_pool(following[count]) is not None
    return count + pooled


def _together(layer: Any, following: Sequence[Module], x: Any) -> Any:
    """``layer`` and what ``_fused`` counts behind it."""
    pool = fused_pool(following[-1])
    if pool is None:
        return layer.activated(x, following[0])
    return layer.activated(x, following[0] if len(following) > 1 else None, pool)


class ModuleList(_Row):
    """A list of modules whose parameters are found; it has no forward of its own.

    >>> layers = ModuleList([Linear(2, 2), Linear(2, 1)])
    >>> [name for name, _ in layers.named_parameters()]
    ['0.weight', '0.bias', '1.weight', '1.bias']
    """

    def __init__(self, modules: Iterable[Module] | Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.extend(modules.values() if isinstance(modules, Mapping) else modules or ())


class ModuleDict(Module):
    """Modules by name, in the order they were added.

    >>> heads = ModuleDict({"mean": Linear(2, 1), "scale": Linear(2, 1)})
    >>> heads["mean"].out_features, list(heads)
    (1, ['mean', 'scale'])
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(modules or ())

    def clear(self) -> None:
        """Remove every module."""
        self._modules.clear()
        changed()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules by name."""
        given = modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules
        for name, module in dict(given).items():
            self[name] = module

    def pop(self, name: str) -> Module:
        """Remove the module called ``name`` and return it."""
        module = self[name]
        del self[name]
        return module

    def __getitem__(self, name: str) -> Module:
        return self._modules[name]  # type: ignore[return-value]

    def __setitem__(self, name: str, module: Module) -> None:
        _require_module("ModuleDict", name, module)
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        del self._modules[name]
        changed()

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> ValuesView[Module | None]:
        """The modules."""
        return self._modules.values()

    def items(self) -> ItemsView[str, Module | None]:
        """Names and modules."""
        return self._modules.items()


def _require_module(container: str, place: object, module: object) -> None:
    if not isinstance(module, Module):
        hint = ": make an instance, with parentheses" if isinstance(module, type) else ""
        name = module.__name__ if isinstance(module, type) else type(module).__name__
        raise TypeError(f"{container} item {place!r} must be a Module, got {name}{hint}")
