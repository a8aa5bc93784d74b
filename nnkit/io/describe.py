"""A module as a description in JSON, and a module from a description.

``{"class": "Linear", "arguments": {"in_features": 4, ...}}`` is a registered class and what to
call it with; a container has its parts as ``"children"`` instead. ``{"again": n}`` is the
object that was described as number n, so that shared parts stay shared.
"""

from __future__ import annotations

from typing import Any

from nnkit import nn
from nnkit.errors import ModelFileError
from nnkit.io.codec import CannotDescribe, Json, decode, encode
from nnkit.io.registry import CONTAINERS, POSITIONAL, arguments_of, lookup, name_of

__all__ = ["build", "describe"]

# A shared part is described once, and a few levels of sharing could stand for any number of parts.
MOST_PLACES = 100_000


def describe(module: nn.Module) -> Json:
    """The description of ``module``; raises ``CannotDescribe`` that says which part has none, and why."""
    return _Describer().describe(module, type(module).__name__)


def build(description: Json) -> nn.Module:
    """A new module as described. Calls registered classes with plain values, and nothing else.

    Raises ``ModelFileError`` for a description that is malformed, names unknown classes, whose
    arguments a class refuses, or that repeats parts more often than ``MOST_PLACES``.
    """
    try:
        _Counter().places(description)
        module = _Builder().build(description)
    except RecursionError:
        raise ModelFileError("the description is nested too deeply") from None
    if not isinstance(module, nn.Module):
        raise ModelFileError(f"the file describes a {type(module).__name__}, which is no Module")
    return module


class _Describer:
    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def describe(self, instance: Any, place: str) -> Json:
        if id(instance) in self._numbers:
            return {"again": self._numbers[id(instance)]}
        self._numbers[id(instance)] = len(self._numbers)
        name = name_of(type(instance))
        if name is None:
            raise CannotDescribe(f"{place} is a {type(instance).__qualname__}, which is not registered")
        if type(instance) in CONTAINERS:
            parts = {key: self.describe(part, f"{place}.{key}") for key, part in instance._modules.items()}
            return {"class": name, "children": parts}
        arguments = {key: encode(value, self._special, (place, key)) for key, value in arguments_of(instance).items()}
        return {"class": name, "arguments": arguments}

    def _special(self, value: Any, path: tuple[Any, ...]) -> Json:
        """Registered classes and functions, registered objects, and modules (whose refusal says more)."""
        if callable(value) and (name := _name_if_any(value)) is not None:
            return {"registered": name}
        if isinstance(value, nn.Module) or name_of(type(value)) is not None:
            return {"object": self.describe(value, ".".join(map(str, path)))}
        return None


def _name_if_any(value: Any) -> str | None:
    try:
        return name_of(value)
    except TypeError:  # callable, but not hashable
        return None


class _Counter:
    """Counts the places in a model, before any part is made: a shared part is in several places.

    Numbers the objects as ``_Builder`` does. What is malformed counts nothing; the builder refuses it.
    """

    def __init__(self) -> None:
        self._places: list[int] = []

    def places(self, node: Json) -> int:
        """How many parts a description stands for, itself included."""
        if not isinstance(node, dict):
            return 0
        if set(node) == {"again"}:
            number = node["again"]
            known = type(number) is int and 0 <= number < len(self._places)
            return self._places[number] if known else 0
        number = len(self._places)
        self._places.append(0)
        inside = node.get("children")
        if isinstance(inside, dict):
            count = 1 + sum(map(self.places, inside.values()))
        else:
            count = 1 + self._in_value(node.get("arguments"))
        if count > MOST_PLACES:
            raise ModelFileError(
                f"the description repeats its parts so often that there are more than {MOST_PLACES:,} in the model"
            )
        self._places[number] = count
        return count

    def _in_value(self, value: Json) -> int:
        if isinstance(value, dict):
            return sum(self.places(v) if key == "object" else self._in_value(v) for key, v in value.items())
        return sum(map(self._in_value, value)) if isinstance(value, list) else 0


class _Builder:
    def __init__(self) -> None:
        self._built: list[Any] = []
        self._tags = {"object": self.build, "registered": lookup}

    def build(self, node: Json) -> Any:
        if isinstance(node, dict) and set(node) == {"again"}:
            return self._again(node["again"])
        if not isinstance(node, dict) or set(node) not in ({"class", "arguments"}, {"class", "children"}):
            raise ModelFileError(f"expected a class with its arguments or children, got {str(node)[:100]}")
        number = len(self._built)
        self._built.append(None)
        cls = lookup(node["class"])
        if not isinstance(cls, type):
            raise ModelFileError(f"{node['class']!r} is a function; expected a class")
        make = self._container if cls in CONTAINERS else self._object
        self._built[number] = make(cls, node)
        return self._built[number]

    def _again(self, number: Any) -> Any:
        if type(number) is not int or not 0 <= number < len(self._built) or self._built[number] is None:
            raise ModelFileError(f"the description refers back to object {str(number)[:50]}, which is not there")
        return self._built[number]

    def _container(self, cls: type, node: Json) -> Any:
        children = node.get("children")
        if not isinstance(children, dict):
            raise ModelFileError(f"{node['class']} needs its children by name")
        return _call(cls, [{name: self.build(child) for name, child in children.items()}], {})

    def _object(self, cls: type, node: Json) -> Any:
        arguments = node.get("arguments")
        if not isinstance(arguments, dict):
            raise ModelFileError(f"{node['class']} needs its arguments by name")
        values = {_parameter(name): decode(value, self._tags) for name, value in arguments.items()}
        by_position = values.pop(POSITIONAL, [])
        if not isinstance(by_position, list):
            raise ModelFileError(f"{node['class']} needs a list of the arguments given by position")
        from_config = getattr(cls, "from_config", None)
        if from_config is not None:
            return _call(from_config, [values], {})
        return _call(cls, by_position, values)


def _parameter(name: str) -> str:
    if name != POSITIONAL and (not name.isidentifier() or name.startswith("__")):
        raise ModelFileError(f"{name[:100]!r} is no name of an argument")
    return name


def _call(function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    try:
        return function(*args, **kwargs)
    except ModelFileError:
        raise
    except Exception as error:  # whatever a constructor raises, the file is at fault
        owner = getattr(function, "__self__", function)
        raise ModelFileError(f"{owner.__name__} refuses what the file gives it: {error}") from error
