"""Classes and functions of the user's under names, by which configurations and files refer to them.

A file names a class, and the program that reads it must have it: registered by ``register_keras_serializable``, given
as ``custom_objects=``, or in a ``custom_object_scope``. Nothing is ever run out of a file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Self, TypeVar

from nnkit import nn
from nnkit.io import register_module

__all__ = [
    "CustomObjectScope", "custom_object_scope", "described", "found", "get_custom_objects", "get_registered_name",
    "get_registered_object", "register_keras_serializable",
]  # fmt: skip

Thing = TypeVar("Thing", bound=Callable[..., Any])

_by_name: dict[str, Any] = {}
_names: dict[Any, str] = {}
_custom: dict[str, Any] = {}  # what ``get_custom_objects`` gives out, to be filled


class _Scopes(threading.local):
    """The scopes that this thread is in, the innermost last."""

    def __init__(self) -> None:
        self.stack: list[Mapping[str, Any]] = []


_scopes = _Scopes()


class CustomObjectScope:
    """A block in which names stand for these classes and functions.

    Raises TypeError for what is no dict. Source: ``keras.utils.CustomObjectScope``.

    >>> with CustomObjectScope({"Twice": dict}):
    ...     found("Twice") is dict
    True
    """

    def __init__(self, *custom_objects: Mapping[str, Any]) -> None:
        self.objects: dict[str, Any] = {}
        for given in custom_objects:
            self.objects |= given

    def __enter__(self) -> Self:
        _scopes.stack.append(self.objects)
        return self

    def __exit__(self, *exception: Any) -> None:
        _scopes.stack.pop()


custom_object_scope = CustomObjectScope


def _filed(thing: Thing, package: str, name: str | None) -> Thing:
    """File a class or function under ``"package>name"``; one of that name before gives way."""
    whole = f"{package}>{name or thing.__name__}"
    _by_name[whole] = thing
    _names[thing] = whole
    return thing


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Thing], Thing]:
    """A decorator that lets files and configurations name a class or function, as ``"package>name"``.

    The decorator raises AttributeError for what has no name. Source: ``keras.utils.register_keras_serializable``.

    >>> @register_keras_serializable("doctest")
    ... class Twice:
    ...     factor = 2.0
    >>> get_registered_name(Twice), get_registered_object("doctest>Twice") is Twice
    ('doctest>Twice', True)
    """

    def register(thing: Thing) -> Thing:
        _filed(thing, package, name)
        if isinstance(thing, type) and issubclass(thing, nn.Module):
            register_module(thing, name=get_registered_name(thing))
        return thing

    return register


def get_custom_objects() -> dict[str, Any]:
    """A dict of names that hold everywhere: ``get_custom_objects()["Twice"] = Twice``.

    Source: ``keras.utils.get_custom_objects``.

    >>> get_custom_objects()
    {}
    """
    return _custom


def get_registered_name(obj: Any) -> str:
    """The name a class or function is registered under; else its own.

    Raises AttributeError for what has no name. Source: ``keras.utils.get_registered_name``.

    >>> get_registered_name(dict)
    'dict'
    """
    return _names.get(obj) or str(obj.__name__)


def registered_name(obj: Any) -> str | None:
    """The name that a class or function is registered under; None where it is under none."""
    try:
        return _names.get(obj)
    except TypeError:  # not hashable
        return None


def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """The class or function of that name, in scopes, registered, or in what is given; None where there is none.

    Raises nothing. Source: ``keras.utils.get_registered_object``.

    >>> get_registered_object("Twice", {"Twice": dict}), get_registered_object("Thrice")
    (<class 'dict'>, None)
    """
    known = found(name)
    if known is not None:
        return known
    for given in (custom_objects, module_objects):
        if given and name in given:
            return given[name]
    return None


def found(name: Any) -> Any:
    """The user's class or function of a name, with or without its package; None where there is none."""
    if not isinstance(name, str):
        return None
    last = name.rpartition(">")[2]
    for scope in reversed(_scopes.stack):
        for known in (name, last):
            if known in scope:
                return scope[known]
    for table in (_custom, _by_name):
        if name in table:
            return table[name]
    return _by_name.get(f"Custom>{name}")


def made(thing: Any, config: Any) -> Any:
    """What a class makes of a configuration; a function as it is."""
    if not isinstance(thing, type):
        return thing
    from_config = getattr(thing, "from_config", None)
    return thing(**(config or {})) if from_config is None else from_config(dict(config or {}))


def described(thing: Any) -> Any:
    """An object as ``{"class_name", "config"}``; a function by its registered name, else its own; None as it is."""
    if thing is None or isinstance(thing, (str, int, float, bool, Mapping)):
        return thing
    if isinstance(thing, (FunctionType, type)):
        return get_registered_name(thing)
    if not hasattr(thing, "get_config"):
        raise ValueError(f"{type(thing).__name__} cannot be described: it has no get_config()")
    return {"class_name": get_registered_name(type(thing)), "config": thing.get_config()}
