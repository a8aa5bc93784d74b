"""The closed list of classes that a model file may name.

A file says "Linear with in_features=4"; this list says which class "Linear" is. A name that is
not on it is an error, never an import. What a module was made with is noted while it is being
made, so that classes need no code of their own for it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, overload

from nnkit.errors import ModelFileError, nearest_names
from nnkit.io.codec import CannotDescribe

__all__ = ["arguments_of", "lookup", "name_of", "register_module"]

Registered = TypeVar("Registered", bound=Callable[..., Any])

_by_name: dict[str, Callable[..., Any]] = {}
_names: dict[Callable[..., Any], str] = {}

POSITIONAL = "*"
# Where something lives is decided when it is loaded.
PLACEMENT = "device"


class Arguments(NamedTuple):
    """What an object was made with.

    ``mirrored`` names the arguments that became an attribute of the same name and value. Those
    are read from the object when it is saved, for they may have been changed since.
    """

    values: dict[str, Any]
    mirrored: frozenset[str]


@overload
def register_module(target: Registered, *, name: str | None = None) -> Registered: ...
@overload
def register_module(target: None = None, *, name: str | None = None) -> Callable[[Registered], Registered]: ...
def register_module(
    target: Registered | None = None, *, name: str | None = None
) -> Registered | Callable[[Registered], Registered]:
    """Lets model files name a class of modules, or a function that modules are made with: a decorator.

    A registered module is described by the arguments of its constructor: None, booleans,
    numbers, texts, dtypes, lists, tuples and dicts of these, and registered objects. A class
    whose constructor takes other things defines ``get_config(self) -> dict`` and, where that is
    not simply a call with these arguments, ``from_config(cls, config)`` as a class method.

    ``name`` is the class's own name unless given. It stands in files, so keep it when you rename
    the class. Raises ``ValueError`` for a name that another class has.

    >>> from nnkit import nn
    >>> @register_module(name="doctest.Twice")
    ... class Twice(nn.Module):
    ...     def forward(self, x):
    ...         return x + x
    """
    if target is None:
        return functools.partial(_register, name=name)
    return _register(target, name)


def name_of(target: Callable[..., Any]) -> str | None:
    """The name under which a class or function is registered, or None."""
    return _names.get(target)


def lookup(name: object) -> Callable[..., Any]:
    """The class or function registered under ``name``; raises ``ModelFileError`` with the nearest names."""
    if isinstance(name, str) and name in _by_name:
        return _by_name[name]
    shown = repr(name)[:100]
    near = nearest_names(name, _by_name) if isinstance(name, str) and len(name) <= 100 else []
    hint = f"did you mean {' or '.join(map(repr, near))}? If not, " if near else ""
    raise ModelFileError(
        f"the file needs {shown}, which is not registered; {hint}decorate it with @nnkit.register_module "
        "in your program before you load the file, or upgrade nnkit if it is part of it"
    )


def arguments_of(instance: Any) -> dict[str, Any]:
    """What to make a registered object of the same kind with, by parameter name.

    Arguments that can only be given by position stand together under ``"*"``. Raises
    ``CannotDescribe`` for an object that was made before its class was registered.
    """
    if hasattr(type(instance), "get_config"):
        return dict(instance.get_config())
    noted: Arguments | None = getattr(instance, "__dict__", {}).get("_constructor_arguments")
    if noted is None:
        raise CannotDescribe(f"this {type(instance).__name__} was made before its class was registered")
    now = {name: getattr(instance, name, noted.values[name]) for name in noted.mirrored}
    return noted.values | now


def _register(target: Registered, name: str | None = None) -> Registered:
    if not callable(target) or not hasattr(target, "__qualname__"):
        raise TypeError(f"register_module expects a class or a function, got {type(target).__name__}")
    name = target.__name__ if name is None else name
    if not isinstance(name, str) or not name or name.startswith("_") or len(name) > 100:
        raise ValueError(f"name must be a text of 1 to 100 characters, not beginning with '_', got {name!r}")
    holder = _by_name.get(name)
    # A class that is defined anew, as in a notebook's cell, takes its own place.
    if holder is not None and _identity(holder) != _identity(target):
        raise ValueError(
            f"the name {name!r} belongs to {'.'.join(_identity(holder))}; "
            f'choose another: @nnkit.register_module(name="mine.{name}")'
        )
    if isinstance(target, type) and target not in _names:
        _note_arguments(target)
    _by_name[name] = target
    _names[target] = name
    return target


def _identity(target: Callable[..., Any]) -> tuple[str, str]:
    return target.__module__, target.__qualname__


def _note_arguments(cls: type) -> None:
    """Makes the constructor of ``cls`` note what it was called with."""
    construct: Callable[..., None] = cls.__init__  # type: ignore[misc]
    signature = inspect.signature(construct)

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        if type(self) is cls and hasattr(self, "__dict__"):  # not while a subclass is being made
            self.__dict__["_constructor_arguments"] = _noted(signature.bind(self, *args, **kwargs), self)

    cls.__init__ = __init__  # type: ignore[misc]


def _noted(bound: inspect.BoundArguments, instance: Any) -> Arguments:
    bound.apply_defaults()
    parameters = list(bound.signature.parameters.values())[1:]
    star = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL and bound.arguments[p.name]), None)
    values: dict[str, Any] = {}
    by_position: list[Any] = []
    for parameter in parameters:
        value = bound.arguments[parameter.name]
        if parameter.kind is parameter.VAR_KEYWORD:
            values |= value
        elif parameter.kind is parameter.VAR_POSITIONAL:
            by_position += value
        elif parameter.kind is parameter.POSITIONAL_ONLY or (star and parameter.kind is not parameter.KEYWORD_ONLY):
            by_position.append(value)
        elif parameter.name != PLACEMENT:
            values[parameter.name] = value
    mirrored = frozenset(name for name, value in values.items() if _same(getattr(instance, name, ...), value))
    if by_position:
        values[POSITIONAL] = by_position
    return Arguments(values, mirrored)


def _same(attribute: Any, argument: Any) -> bool:
    if attribute is argument:
        return True
    plain = isinstance(argument, bool | int | float | str)
    return plain and type(attribute) is type(argument) and bool(attribute == argument)
