"""Looking into values: containers, arrays, objects that an observed step uses, item by item or as a whole."""

from __future__ import annotations

import contextlib
import enum
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nnkit.backends.recording import MISSING
from nnkit.recording.observer.places import described, flat
from nnkit.recording.observer.understood import (
    CONTAINERS,
    IMMUTABLE,
    ITERATORS,
    is_our_class,
    is_ours,
    is_plain_class,
    lookup,
)
from nnkit.tensors.tensor import Tensor

if TYPE_CHECKING:
    from nnkit.recording.observer.observer import Observer

__all__ = ["look_into", "note_augmented", "note_entered", "note_set_item", "read_item"]

LARGE = 1024  # items of a container from outside: comparing more before each replay would cost more than it saves
SMALL = 4096  # bytes of an array from outside
MOST = 100_000  # values that one look goes through


def is_module(value: Any) -> bool:
    """Whether this is an ``nnkit.nn.Module``."""
    return (
        lookup(type(value), "register_forward_hook")[0] is not None
        and lookup(type(value), "_registries")[0] is not None
    )


def is_tensor(value: Any) -> bool:
    """Whether this is a Tensor: its values are read by the program itself, and reads on the host are told."""
    return Tensor in type.__getattribute__(type(value), "__mro__")


def look_into(observer: Observer, value: Any, strict: bool = False) -> None:
    """Note everything that is in a value from outside. ``strict``: it is given to code that may read all of it."""
    waiting, seen, count = [value], set(), 0
    while waiting and not observer.gone:
        one = waiting.pop()
        kind = type(one)
        if kind in IMMUTABLE or id(one) in seen or is_tensor(one):
            continue
        seen.add(id(one))
        count += 1
        if count > MOST:
            observer.give_up(f"it uses {described(value)} of more than {MOST} values: make it a Tensor")
        elif kind in (tuple, frozenset) or (issubclass(kind, tuple) and is_plain_class(kind)):
            waiting += tuple.__iter__(one) if issubclass(kind, tuple) else one
        elif kind in CONTAINERS:
            _look_into_container(observer, one)
            waiting += flat(dict(one)) if kind is types.MappingProxyType else flat(one)
        elif kind is slice:
            waiting += [one.start, one.stop, one.step]
        else:
            waiting += _look_at_object(observer, one, strict)


def _look_into_container(observer: Observer, container: Any) -> None:
    if observer.is_born(container):
        return
    if len(container) > LARGE:
        observer.give_up(
            f"it uses {described(container)} of {len(container)} items from outside, too many to compare each time: "
            "make it a tuple, or a Tensor"
        )
    elif isinstance(container, (type({}.keys()), type({}.values()), type({}.items()), types.MappingProxyType)):
        observer.give_up(f"it uses {described(container)} from outside: use the dict itself")
    else:
        observer.places.contents(container, f"the contents of {described(container)}")


def _look_at_object(observer: Observer, value: Any, strict: bool) -> list[Any]:
    """Note an object that is not a container of Python's; returns what is inside it that has to be looked into, too."""
    kind = type(value)
    if kind is np.ndarray:
        _look_into_array(observer, value)
    elif (
        issubclass(kind, (type, np.generic, np.ufunc, np.dtype))
        or isinstance(kind, enum.EnumMeta)
        or observer.is_born(value)
    ):
        pass
    elif is_module(value):
        observer.modules[id(value)] = value
    elif lookup(kind, "add_param_group")[0] is not None:  # an optimizer
        observer.places.kind(value)
    elif is_our_class(kind):
        return _of_our_object(observer, value)
    elif kind in ITERATORS:
        observer.give_up(f"it uses an iterator from outside ({described(value)}), which moves on")
    elif callable(value) or (not strict and is_plain_class(kind)):
        observer.places.kind(value)
    else:
        observer.give_up(
            f"it uses {described(value)} from outside, and what changes in that is not seen: "
            "use a number, a text, a list, a dict or a Tensor"
        )
    return []


def _of_our_object(observer: Observer, value: Any) -> list[Any]:
    """The settings of a loss, metric, ... of nnkit's; optimizers and backends tell of their changes themselves."""
    kind = type(value)
    if kind.__module__.startswith(("nnkit.backends", "nnkit.optim")) or getattr(kind, "is_on_the_device", False):
        return []
    names = lookup(kind, "__dict__")[1]
    own = names.__get__(value) if names is not None else {}
    for name, attribute in list(own.items()):
        if not isinstance(attribute, np.ndarray):
            observer.places.name(own, own, name, attribute)
    return [attribute for attribute in own.values() if not isinstance(attribute, np.ndarray)]


def _look_into_array(observer: Observer, array: np.ndarray) -> None:
    if observer.is_born(array):
        return
    if array.dtype.hasobject or array.nbytes > SMALL:
        observer.give_up(
            f"it uses a NumPy array of {array.nbytes} bytes from outside, too large to compare each time: make it a "
            "Tensor once, and change that in place"
        )
    else:
        observer.places.contents(array, "the contents of a NumPy array")


# ---- items ------------------------------------------------------------------------------------------------------


def read_item(observer: Observer, container: Any, index: Any) -> Callable[[Any, Any], Any] | None:
    """Note ``container[index]``; returns what to call instead, where that is code of the user's."""
    kind = type(container)
    if kind in (tuple, str, bytes, range) or observer.is_born(container) or is_tensor(container):
        look_into(observer, index)
    elif kind in (list, dict) and type(index) in (int, str, bool, float, type(None)):
        found = _item(container, index)
        if found is MISSING or (id(container), index) in observer.effects:
            look_into(observer, container)
        else:
            observer.places.item(container, index, found)
    elif kind in CONTAINERS:
        look_into(observer, container)
        if hasattr(kind, "__missing__") and index not in container:
            observer.give_up(f"it adds a value to {described(container)} from outside")
    else:
        return _item_of_object(observer, container, index)
    return None


def _item_of_object(observer: Observer, container: Any, index: Any) -> Callable[[Any, Any], Any] | None:
    kind = type(container)
    where, function = lookup(kind, "__getitem__")
    if is_module(container):
        observer.modules[id(container)] = container
    if where is None or not isinstance(function, types.FunctionType):
        look_into(observer, container, strict=True)
    elif not is_ours(function.__code__.co_filename):
        observer.places.kind(container)
        return lambda owner, key: observer.call(function, owner, key)
    elif not is_module(container):
        look_into(observer, container)
    return None


def _item(container: Any, index: Any) -> Any:
    try:
        return container[index]
    except (KeyError, IndexError, TypeError):
        return MISSING


def note_set_item(observer: Observer, container: Any, index: Any) -> None:
    """Note ``container[index] = ...``."""
    if is_tensor(container) or observer.is_born(container):
        return
    kind = type(container)
    if kind in (list, dict) and type(index) in (int, str):
        name = f"an item of {described(container)} from outside ([{index!r}])"
        observer.set((id(container), index), lambda: _item(container, index), name)
    elif not is_our_class(kind):
        observer.give_up(f"it sets an item of {described(container)} from outside, which a replay would not")


def note_augmented(observer: Observer, value: Any) -> None:
    """Note that ``+=`` and the like may change a value in place."""
    kind = type(value)
    if is_tensor(value) or observer.is_born(value) or issubclass(kind, (tuple, frozenset, np.generic)):
        return
    if not is_our_class(kind):
        observer.give_up(f"it changes {described(value)} from outside in place, which a replay would not")


def note_entered(observer: Observer, context: Any) -> None:
    """Note what a ``with`` enters: nnkit's words, and nothing that could hold state."""
    kind = type(context)
    if kind is contextlib.nullcontext or is_our_class(kind) or is_plain_class(kind):
        return  # where that is the user's code, it is seen to run
    generator = getattr(context, "gen", None) if isinstance(context, contextlib._GeneratorContextManager) else None
    if generator is None or not is_ours(generator.gi_code.co_filename):
        observer.give_up(f"it enters {described(context)}, and what that changes is not seen")
