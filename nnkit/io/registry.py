"""The closed list of classes that a model file may name.

A file says "Linear with in_features=4"; this list says which class "Linear" is. A name that is
not on it is an error, never an import. What a module was made with is noted while it is being
made, so that classes need no code of their own for it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from nnkit import nn
from nnkit.errors import ModelFileError, nearest_names
from nnkit.io.codec import CannotDescribe

__all__ = ["CONTAINERS", "arguments_of", "lookup", "name_of", "register_module"]

Registered = TypeVar("Registered", bound=Callable[..., Any])

_by_name: dict[str, Callable[..., Any]] = {}
_names: dict[Callable[..., Any], str] = {}

#: nnkit's own that are registered when a file first asks for them: name -> module.
LATER = {"onnx.Network": "nnkit.onnx.network"}
#: Who else knows classes by name, and names of classes: other vocabularies, for what their users register there.
finders: list[Callable[[str], Any]] = []
namers: list[Callable[[Any], str | None]] = []

POSITIONAL = "*"
# Described by their parts, whatever they were made with.
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# Where something lives is decided when it is loaded.
PLACEMENT = "device"
# The attribute that holds what an object was made with, and what stands there for an argument that is
# itself an attribute: such a one is read when the object is saved, for it may have been changed.
NOTED = "_constructor_arguments"
MIRRORED = ...  # the one mark that stays itself when the object is copied or pickled
MISSING = object()


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
    the class. Raises ``ValueError`` for a name that another class has. Source: nnkit's own.

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
    known = _names.get(target)
    if known is None:
        known = next((name for name in (namer(target) for namer in namers) if name is not None), None)
    return known


def lookup(name: object) -> Callable[..., Any]:
    """The class or function registered under ``name``; raises ``ModelFileError`` with the nearest names."""
    if isinstance(name, str) and name in _by_name:
        return _by_name[name]
    if isinstance(name, str) and len(name) <= 200:
        for find in finders:
            known: Callable[..., Any] | None = find(name)
            if known is not None:
                return known
    if isinstance(name, str) and name in LATER:
        importlib.import_module(LATER[name])
        return _by_name[name]
    shown = repr(name)[:100]
    if isinstance(name, str) and name.startswith("keras."):
        raise ModelFileError(
            f"the file needs {shown}: it was saved by the Keras vocabulary; load it with "
            "nnkit.keras.models.load_model, or import nnkit.keras first"
        )
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
    noted: dict[str, Any] | None = getattr(instance, "__dict__", {}).get(NOTED)
    if noted is None:
        raise CannotDescribe(f"this {type(instance).__name__} was made before its class was registered")
    return {name: _attribute(instance, name) if value is MIRRORED else value for name, value in noted.items()}


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
    if isinstance(target, type) and target not in _names and target not in CONTAINERS:
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
            self.__dict__[NOTED] = _noted(signature.bind(self, *args, **kwargs), self)

    cls.__init__ = __init__  # type: ignore[misc]


def _noted(bound: inspect.BoundArguments, instance: Any) -> dict[str, Any]:
    """The arguments by name; MIRRORED in place of one that became an attribute of the same name and value."""
    bound.apply_defaults()
    parameters = list(bound.signature.parameters.values())[1:]
    star = any(p.kind is p.VAR_POSITIONAL and bound.arguments[p.name] for p in parameters)
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
    noted = {name: MIRRORED if _same(_attribute(instance, name), value) else value for name, value in values.items()}
    return noted | ({POSITIONAL: by_position} if by_position else {})


def _attribute(instance: Any, name: str) -> Any:
    """An ordinary attribute or a part of a module; properties are not asked, for they run code."""
    own = vars(instance)
    return own[name] if name in own else own.get("_modules", {}).get(name, MISSING)


def _same(attribute: Any, argument: Any) -> bool:
    if attribute is argument:
        return True
    plain = isinstance(argument, bool | int | float | str)
    return plain and type(attribute) is type(argument) and bool(attribute == argument)
