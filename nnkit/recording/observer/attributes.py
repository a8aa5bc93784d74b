"""``owner.name``, read and set: where Python would find it, without calling anything of the user's."""

from __future__ import annotations

import collections
import enum
import functools
import random
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nnkit.backends.recording import MISSING
from nnkit.recording.observer.places import described
from nnkit.recording.observer.understood import CONTAINERS, IMMUTABLE, ITERATORS, is_our_class, is_ours, lookup
from nnkit.recording.observer.values import is_module, is_tensor, look_into

if TYPE_CHECKING:
    from nnkit.recording.observer.observer import Observer

__all__ = ["note_set", "read"]

GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
RANDOM = "it draws random numbers that are not nnkit's: use nnkit.rand, nnkit.randn, nn.Dropout;"
REGISTRIES = ("_parameters", "_buffers", "_modules")
TUPLE_FIELD = type(vars(collections.namedtuple("_Pair", ["one"]))["one"])
METHODS = (
    types.FunctionType, classmethod, staticmethod, types.BuiltinFunctionType, types.MethodDescriptorType,
    types.WrapperDescriptorType, types.ClassMethodDescriptorType,
)  # fmt: skip
#: Types in C whose attributes say nothing that could change.
FIXED = (
    int,
    float,
    complex,
    bool,
    str,
    bytes,
    range,
    slice,
    np.generic,
    np.dtype,
    types.MethodType,
    types.FunctionType,
)
#: Types in C whose attributes lie where Python looks for them.
GENERIC = (
    {object, type, tuple, frozenset, types.SimpleNamespace, functools.partial, np.ndarray, *FIXED}
    | IMMUTABLE
    | CONTAINERS
    | ITERATORS
)


def read(observer: Observer, owner: Any, name: str) -> Callable[[], Any] | None:
    """Note what ``owner.name`` is; returns what to call for it, where it is code of the user's that makes it."""
    kind = type(owner)
    if kind is types.ModuleType:
        _read_module(observer, owner, name)
    elif issubclass(kind, type):
        _read_class(observer, owner, name)
    elif kind is super:
        _note_class(observer, _after(owner), name)
    elif kind is np.ndarray:
        look_into(observer, owner)
    elif isinstance(owner, GENERATORS):
        observer.give_up(RANDOM)
    else:
        return _read_object(observer, owner, name)
    return None


def _read_module(observer: Observer, owner: types.ModuleType, name: str) -> None:
    names = vars(owner)
    if name in names:
        observer.places.name(names, names, name, names[name])
    elif names.get("__name__", "").partition(".")[0] != "nnkit":  # whose modules load some of their parts when asked
        observer.give_up(f"it reads {name} of module {names.get('__name__')}, which makes it anew")


def _read_class(observer: Observer, owner: type, name: str) -> None:
    if type(owner).__name__ not in ("type", "ABCMeta", "EnumType", "EnumMeta", "_ProtocolMeta"):
        if lookup(type(owner), name)[0] is not None or lookup(type(owner), "__getattribute__")[0] is not type:
            observer.give_up(f"it reads {name} of a class that decides itself what that is")
            return
    _note_class(observer, type.__getattribute__(owner, "__mro__"), name)


def _after(owner: Any) -> tuple[type, ...]:
    """The classes that ``super()`` looks into."""
    bases = type.__getattribute__(owner.__self_class__, "__mro__")
    return bases[bases.index(owner.__thisclass__) + 1 :]


def _note_class(observer: Observer, bases: tuple[type, ...], name: str) -> Any:
    """Note the first of some classes that has a name, and that those before it do not have it; what it is there."""
    for base in bases:
        names = type.__getattribute__(base, "__dict__")
        users = base is not object and not is_our_class(base) and base.__flags__ & 512  # not a class made in C
        if name in names:
            if users:
                observer.places.name(base, names, name, names[name])
            return names[name]
        if users:
            observer.places.name(base, names, name)
    return MISSING


def _read_object(observer: Observer, owner: Any, name: str) -> Callable[[], Any] | None:
    kind = type(owner)
    where, _ = lookup(kind, "__getattribute__")
    if where is not object and not _is_known(where):
        observer.give_up(f"it reads {name} of {described(owner)}, whose class decides itself what attributes are")
        return None
    own = own_names(owner)
    where, found = lookup(kind, name)
    if where is not None and _is_data(found):
        return _read_descriptor(observer, owner, name, where, found)
    if is_module(owner):
        observer.modules[id(owner)] = owner
    if own is not None and name in own:
        _note_own(observer, owner, own, name, own[name])
        return None
    if own is not None:
        _note_own(observer, owner, own, name, MISSING)
    if where is None:
        return _read_missing(observer, owner, own, name)
    if not is_tensor(owner):
        observer.places.kind(owner)
        _note_class(observer, type.__getattribute__(kind, "__mro__"), name)
    if not isinstance(found, METHODS) and lookup(type(found), "__get__")[0] is not None and not is_our_class(where):
        observer.give_up(f"it reads {name} of {described(owner)}, which {described(found)} makes")
    return None


def own_names(owner: Any) -> dict[str, Any] | None:
    """An object's own attributes, or None where it has no dict."""
    descriptor = lookup(type(owner), "__dict__")[1]
    known = isinstance(descriptor, (types.GetSetDescriptorType, types.MemberDescriptorType))
    own = descriptor.__get__(owner) if known else None
    return own if type(own) is dict else None


def _is_data(found: Any) -> bool:
    return lookup(type(found), "__set__")[0] is not None or lookup(type(found), "__delete__")[0] is not None


def _is_known(kind: type | None) -> bool:
    return kind is not None and (kind in GENERIC or is_our_class(kind) or issubclass(kind, (np.generic, BaseException)))


def _note_own(observer: Observer, owner: Any, own: dict[str, Any], name: str, value: Any) -> None:
    if not observer.is_born(owner) and (id(own), name) not in observer.effects:
        observer.places.name(own, own, name, value)


def _read_missing(observer: Observer, owner: Any, own: dict[str, Any] | None, name: str) -> Callable[[], Any] | None:
    """An attribute that neither the object nor its class has: ``__getattr__`` makes it, or it is an error."""
    where, getter = lookup(type(owner), "__getattr__")
    if where is not None and is_our_class(where):
        registries = [own[registry] for registry in REGISTRIES if own is not None and registry in own]
        for registry in registries:
            if name in registry:
                _note_own(observer, owner, registry, name, registry[name])
    elif isinstance(getter, types.FunctionType):
        observer.places.kind(owner)
        return functools.partial(observer.call, getter, owner, name)
    elif where is not None:
        observer.give_up(f"it reads {name} of {described(owner)}, which {described(getter)} makes")
    elif own is None and not is_tensor(owner):
        observer.give_up(f"it asks {described(owner)} for {name}")
    else:
        observer.places.kind(owner)
        _note_class(observer, type.__getattribute__(type(owner), "__mro__"), name)
    return None


def _read_descriptor(observer: Observer, owner: Any, name: str, where: type, found: Any) -> Callable[[], Any] | None:
    """An attribute whose class says how to read it: a property, a slot."""
    kind = type(owner)
    if is_our_class(where):
        if is_module(owner):
            observer.modules[id(owner)] = owner
        elif not is_tensor(owner):
            look_into(observer, owner)
    elif type(found) is property and isinstance(found.fget, types.FunctionType):
        observer.places.kind(owner)
        _note_class(observer, type.__getattribute__(kind, "__mro__"), name)
        if not is_ours(found.fget.__code__.co_filename):
            return functools.partial(observer.call, found.fget, owner)
    elif type(found) is types.MemberDescriptorType and where is not None and where.__flags__ & 512:
        if not observer.is_born(owner) and (id(owner), name) not in observer.effects:
            observer.places.kind(owner)
            observer.places.slot(found, owner, name, found.__get__(owner, kind))
    elif isinstance(kind, enum.EnumMeta) and name in ("name", "value"):
        pass
    elif name in ("__dict__", "__class__") and type(found) is types.GetSetDescriptorType:
        observer.places.kind(owner)
    elif not issubclass(kind, FIXED) and type(found) is not TUPLE_FIELD:
        observer.give_up(f"it reads {name} of {described(owner)}, and what changes that is not seen")
    return None


# ---- setting ----------------------------------------------------------------------------------------------------


def note_set(observer: Observer, owner: Any, name: str) -> None:
    """Note that ``owner.name`` is about to be set."""
    kind = type(owner)
    if is_tensor(owner) or observer.is_born(owner):
        return
    if issubclass(kind, type) or kind is types.ModuleType:
        names = type.__getattribute__(owner, "__dict__") if issubclass(kind, type) else vars(owner)
        observer.set((id(owner), name), lambda: names.get(name, MISSING), name)
        return
    where, _ = lookup(kind, "__setattr__")
    base, found = lookup(kind, name)
    if where is not object and (where is None or not is_our_class(where)):
        observer.give_up(f"it sets {name} of {described(owner)}, whose class decides itself what that does")
    elif base is not None and type(found) is types.MemberDescriptorType:
        observer.set((id(owner), name), lambda: _slot(found, owner), f"{kind.__name__}.{name}")
    elif base is not None and _is_data(found):
        if not is_our_class(base):
            observer.give_up(f"it sets {name} of {described(owner)}, which {described(found)} does")
    else:
        names = _holder(owner, name)
        observer.set((id(names), name), lambda: names.get(name, MISSING), f"{kind.__name__}.{name}")


def _slot(descriptor: Any, owner: Any) -> Any:
    try:
        return descriptor.__get__(owner, type(owner))
    except AttributeError:
        return MISSING


def _holder(owner: Any, name: str) -> dict[str, Any]:
    """The dict in which an attribute lies, or would: of a module's, a registry."""
    own = own_names(owner)
    if own is None:
        raise TypeError("an object without attributes")
    for registry in REGISTRIES:
        if is_module(owner) and name in own.get(registry, ()):
            return own[registry]
    return own
