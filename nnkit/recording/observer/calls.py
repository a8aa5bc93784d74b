"""``function(...)`` in an observed step: a twin where it is the user's, itself where it is known, else an obstacle."""

from __future__ import annotations

import builtins
import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nnkit.backends.recording import MISSING
from nnkit.recording.observer.attributes import GENERATORS, RANDOM
from nnkit.recording.observer.places import described
from nnkit.recording.observer.understood import (
    ARRAY_READING,
    CLASSES,
    CONTAINERS,
    HIGHER,
    IMMUTABLE,
    ITERATORS,
    LOOK_AT_TYPES,
    PURE,
    READING,
    belongs_in_a_step,
    is_our_class,
    is_our_function,
    is_trusted,
    lookup,
)
from nnkit.recording.observer.values import is_module, look_into, read_item

if TYPE_CHECKING:
    from nnkit.recording.observer.observer import Observer

__all__ = ["Plan", "plan"]

ADVICE = "compute it outside the step, and pass the result as an argument, or keep it in a Tensor"


class Plan(NamedTuple):
    """What to call; whether containers that it returns are the step's own; and with what, if not the same."""

    run: Callable[..., Any] | None
    makes: bool = False
    arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None


AS_IT_IS = Plan(None)


def plan(observer: Observer, function: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Plan:
    """How to call a function so that all it reads and does is noted."""
    kind = type(function)
    if kind is types.FunctionType:
        return _of_function(observer, function, None, arguments, options)
    if kind is types.MethodType:
        return _of_method(observer, function, arguments, options)
    if id(function) in PURE or id(function) in HIGHER or kind is np.ufunc:
        return _of_pure(observer, function, arguments, options)
    if kind in (types.BuiltinFunctionType, types.MethodWrapperType):
        return _of_builtin(observer, function, arguments, options)
    if issubclass(kind, type):
        return _of_class(observer, function, arguments, options)
    if kind is functools.partial:
        look_into(observer, function.keywords)
        given = (*function.args, *arguments), {**function.keywords, **options}
        return Plan(functools.partial(observer.call, function.func), arguments=given)
    return _of_object(observer, function, arguments, options)


def _given(observer: Observer, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Note all that is in arguments of a function that looks into them unobserved."""
    for argument in (*arguments, *options.values()):
        if type(argument) not in IMMUTABLE:
            look_into(observer, argument, strict=True)


# ---- functions and methods ------------------------------------------------------------------------------------------


def _of_function(
    observer: Observer,
    function: types.FunctionType,
    owner: Any,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> Plan:
    if is_our_function(function):
        if not belongs_in_a_step(function):
            observer.give_up(f"it calls {function.__qualname__}, which is no part of a step")
        inner = getattr(function, "__wrapped__", None)
        # Else it is a mode of the tape around a user's function, which is observed inside.
        if inner is None or (type(inner) is types.FunctionType and is_our_function(inner)):
            _given(observer, arguments, options)
        return Plan(function if owner is None else types.MethodType(function, owner), makes=True)
    if is_trusted(function.__code__, function.__module__ or ""):
        return _unknown(observer, function)
    twin = observer.twin(function)
    if twin is None:
        return AS_IT_IS
    makes = bool(function.__code__.co_flags & inspect.CO_GENERATOR)
    return Plan(twin if owner is None else types.MethodType(twin, owner), makes)


def _of_method(
    observer: Observer, method: types.MethodType, arguments: tuple[Any, ...], options: dict[str, Any]
) -> Plan:
    function, owner = method.__func__, method.__self__
    if not isinstance(function, types.FunctionType):
        return Plan(functools.partial(observer.call, function, owner))
    if is_our_function(function):
        look_into(observer, owner)
    elif is_our_class(type(owner)) and is_trusted(function.__code__, function.__module__ or ""):
        _given(observer, arguments, options)  # a mixin of Python's, over methods of ours
        return AS_IT_IS
    return _of_function(observer, function, owner, arguments, options)


def _of_object(observer: Observer, value: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Plan:
    """An object with ``__call__``: a module for one."""
    compiled = getattr(value, "function", None) if type(value).__module__ == "nnkit.recording.compiled" else None
    if compiled is not None:
        return Plan(functools.partial(observer.call, compiled))
    where, function = lookup(type(value), "__call__")
    if where is None or not isinstance(function, types.FunctionType):
        return _unknown(observer, value)
    if is_module(value):
        observer.modules[id(value)] = value
    elif not is_our_class(type(value)):
        observer.places.kind(value)
        observer.places.name(where, type.__getattribute__(where, "__dict__"), "__call__", function)
    else:
        look_into(observer, value)
    return _of_function(observer, function, value, arguments, options)


# ---- Python's own ---------------------------------------------------------------------------------------------------


def _of_pure(observer: Observer, function: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Plan:
    if id(function) not in LOOK_AT_TYPES:
        _given(observer, arguments, options)
    if id(function) in HIGHER:
        given = tuple(map(observer.telling, arguments)), {n: observer.telling(x) for n, x in options.items()}
        return Plan(function, makes=True, arguments=given)
    return Plan(_bearing(observer, function), makes=True)


def _bearing(observer: Observer, function: Any) -> Any:
    """The same; an array that it makes is the step's own."""
    if not (type(function) is np.ufunc or getattr(function, "__module__", "") == "numpy"):
        return function

    def call(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        if isinstance(result, np.ndarray) and not any(_shares(result, argument) for argument in arguments):
            observer.bear(result)
        return result

    return call


def _shares(array: np.ndarray, other: Any) -> bool:
    return isinstance(other, np.ndarray) and np.may_share_memory(array, other)


def _of_builtin(observer: Observer, function: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Plan:
    """A function or method written in C."""
    if function in (getattr, hasattr, setattr):
        return Plan(functools.partial(NAMED[function], observer))
    owner = function.__self__
    name, kind = function.__name__, type(owner)
    if owner is None or kind is types.ModuleType:
        return _unknown(observer, function)
    if kind in (int, float, complex, bool, str, bytes, tuple, range, frozenset) or issubclass(kind, np.generic):
        _given(observer, arguments, options)
        return Plan(function, makes=True)
    if observer.is_born(owner) and (kind in CONTAINERS or kind in ITERATORS):
        _given_values(observer, name, arguments)
        return Plan(function, makes=name in READING.get(kind, ()))
    if kind in (list, dict, set) and name in READING.get(kind, ()):
        return _of_reading(observer, function, arguments, options)
    if kind is np.ndarray and name in ARRAY_READING:
        look_into(observer, owner)
        _given(observer, arguments, options)
        return Plan(function, makes=True)
    if owner in (dict, int, float, bytes, str) and isinstance(owner, type):
        _given(observer, arguments, options)
        return Plan(function, makes=True)
    if kind in CONTAINERS:
        observer.give_up(f"it calls {name} of {described(owner)} from outside, which a replay would not")
        return AS_IT_IS
    if name == "__init__" and function.__qualname__ == "object.__init__":
        return AS_IT_IS
    return _unknown(observer, function)


def _given_values(observer: Observer, name: str, arguments: tuple[Any, ...]) -> None:
    """What is put into the step's own container is only kept; what is unpacked or compared is looked into."""
    if name not in ("append", "appendleft", "insert"):
        for argument in arguments:
            look_into(observer, argument)


def _of_reading(observer: Observer, function: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Plan:
    owner, name = function.__self__, function.__name__
    if name == "get" and arguments and type(arguments[0]) in (int, str) and arguments[0] in owner:
        read_item(observer, owner, arguments[0])
    else:
        look_into(observer, owner)
    return Plan(function, makes=True)


def _getattr(observer: Observer, owner: Any, name: str, /, *default: Any) -> Any:
    try:
        return observer.attribute(owner, name)
    except AttributeError:
        if default:
            return default[0]
        raise


def _hasattr(observer: Observer, owner: Any, name: str, /) -> bool:
    return _getattr(observer, owner, name, MISSING) is not MISSING


def _setattr(observer: Observer, owner: Any, name: str, value: Any, /) -> None:
    observer.set_attribute(value, owner, name)


NAMED: dict[Any, Callable[..., Any]] = {getattr: _getattr, hasattr: _hasattr, setattr: _setattr}

# ---- classes ---------------------------------------------------------------------------------------------------------


def _of_class(observer: Observer, kind: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Plan:
    if kind in CLASSES:
        if id(kind) not in LOOK_AT_TYPES:
            _given(observer, arguments, options)
        return Plan(kind, makes=True)
    if is_our_class(kind) or issubclass(kind, np.generic):
        _given(observer, arguments, options)
        return Plan(lambda *values, **named: observer.bear(kind(*values, **named)))
    if issubclass(kind, BaseException) and not isinstance(lookup(kind, "__init__")[1], types.FunctionType):
        return AS_IT_IS
    if issubclass(kind, tuple) and lookup(kind, "_fields")[0] is not None:
        return Plan(kind)
    return _of_users_class(observer, kind)


def _of_users_class(observer: Observer, kind: Any) -> Plan:
    where, _ = lookup(kind, "__new__")
    plain = where is object or (where is not None and is_our_class(where))
    if not plain or type(kind).__name__ not in ("type", "ABCMeta"):
        return _unknown(observer, kind)
    made_by, begin = lookup(kind, "__init__")
    if made_by is None or not isinstance(begin, types.FunctionType) or is_our_class(made_by):
        return Plan(lambda *values, **named: observer.bear(kind(*values, **named)))
    observer.places.name(made_by, type.__getattribute__(made_by, "__dict__"), "__init__", begin)
    if _is_made_by_dataclasses(kind, begin):
        observer.known[id(begin.__code__)] = begin.__code__
        return Plan(lambda *values, **named: observer.bear(kind(*values, **named)))

    def construct(*values: Any, **named: Any) -> Any:
        made = observer.bear(kind.__new__(kind))
        observer.call(begin, made, *values, **named)
        return made

    return Plan(construct)


def _is_made_by_dataclasses(kind: type, begin: types.FunctionType) -> bool:
    """Whether an ``__init__`` sets the fields of a dataclass and does nothing else."""
    fields = lookup(kind, "__dataclass_fields__")[1]
    return (
        begin.__code__.co_filename == "<string>"
        and fields is not None
        and lookup(kind, "__post_init__")[0] is None
        and all(field.default_factory is dataclasses.MISSING for field in fields.values())
    )


def is_random(value: Any) -> bool:
    """Whether this is of Python's or NumPy's modules of random numbers."""
    return bool(
        {"random", "secrets"} & {*str(getattr(value, "__module__", "")).split("."), getattr(value, "__name__", "")}
    )


def _unknown(observer: Observer, function: Any) -> Plan:
    source = getattr(function, "__self__", None)
    if isinstance(source, GENERATORS) or is_random(function) or is_random(source):
        observer.give_up(RANDOM)
        return AS_IT_IS
    name = getattr(function, "__qualname__", None) or described(function)
    module = getattr(function, "__module__", None)
    if module and module != builtins.__name__:
        name = f"{module}.{name}"
    observer.give_up(f"it calls {name}, and what that reads or changes is not known: {ADVICE};")
    return AS_IT_IS
