"""Parameters in a list or by name, as parts of a module."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self

from nnkit.nn.module import Module
from nnkit.recording.state import changed
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = ["ParameterDict", "ParameterList"]


def _parameter(value: Any, place: object) -> Parameter:
    """A parameter as it is; a tensor becomes one, as in PyTorch."""
    if isinstance(value, Parameter):
        return value
    if isinstance(value, Tensor):
        return Parameter(value)
    raise TypeError(f"item {place!r} must be a Parameter or a Tensor, got {type(value).__name__}")


class ParameterList(Module):
    """A list of parameters, which are found as the module's own.

    Tensors become parameters. Raises TypeError for what is neither. Source: ``torch.nn.ParameterList``.

    >>> import nnkit
    >>> weights = ParameterList([nnkit.ones(2), nnkit.zeros(3)])
    >>> len(weights), weights[-1].tolist(), [name for name, _ in weights.named_parameters()]
    (2, [0.0, 0.0, 0.0], ['0', '1'])
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def append(self, value: Any) -> Self:
        """Add a parameter at the end."""
        number = len(self)
        self.register_parameter(str(number), _parameter(value, number))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end."""
        for value in values:
            self.append(value)
        return self

    def pop(self, idx: int = -1) -> Parameter:
        """Remove the parameter at a place, the last one unless given, and return it."""
        row = list(self)
        value = row.pop(idx)
        self._parameters.clear()
        changed()
        self.extend(row)
        return value

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(list(self._parameters.values()))  # type: ignore[arg-type]

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return list(self)[index]

    def __setitem__(self, index: int, value: Any) -> None:
        name = str(range(len(self))[index])
        self.register_parameter(name, _parameter(value, index))

    def extra_repr(self) -> str:
        return "\n".join(f"({name}): {_line(value)}" for name, value in self._parameters.items())


class ParameterDict(Module):
    """Parameters by name, which are found as the module's own.

    Tensors become parameters. Raises TypeError for what is neither. Source: ``torch.nn.ParameterDict``.

    >>> import nnkit
    >>> weights = ParameterDict({"left": nnkit.ones(2)})
    >>> "left" in weights, list(weights.keys())
    (True, ['left'])
    """

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        self.update(parameters or ())

    def update(self, parameters: Any) -> None:
        """Add or replace parameters by name."""
        given = parameters.items() if isinstance(parameters, (Mapping, ParameterDict)) else parameters
        for name, value in given:
            self[name] = value

    def pop(self, key: str) -> Parameter:
        """Remove the parameter called ``key`` and return it."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove every parameter."""
        self._parameters.clear()
        changed()

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter called ``key``, or ``default`` where there is none."""
        return self._parameters.get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The parameter called ``key``, which is put there where there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def __getitem__(self, key: str) -> Parameter:
        return self._parameters[key]  # type: ignore[return-value]

    def __setitem__(self, key: str, value: Any) -> None:
        self.register_parameter(key, _parameter(value, key))

    def __delitem__(self, key: str) -> None:
        del self._parameters[key]
        changed()

    def __contains__(self, key: object) -> bool:
        return key in self._parameters

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._parameters))

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._parameters.keys()

    def values(self) -> ValuesView[Parameter | None]:
        """The parameters."""
        return self._parameters.values()

    def items(self) -> ItemsView[str, Parameter | None]:
        """Names and parameters."""
        return self._parameters.items()

    def extra_repr(self) -> str:
        return "\n".join(f"({name}): {_line(value)}" for name, value in self._parameters.items())


def _line(value: Any) -> str:
    return f"Parameter of {value.dtype}, shape {tuple(value.shape)}"
