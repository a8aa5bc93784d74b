"""The variables from outside that a recorded function reads: globals, its closure, attributes of its objects.

A recorded program has in it what they stood for. Before each replay it is compared, object by object, so that another
optimizer or another number under the same name is noticed, in small lists, dicts and arrays, too. What is inside
large ones and in objects of other libraries is not compared.
"""

from __future__ import annotations

import dis
import functools
import operator
import pickle
import random
import sys
from collections.abc import Iterable, Mapping
from types import CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.recording import MISSING, same
from nnkit.tensor import Tensor

LARGE = 32  # items of a list or dict; above that, only their number is looked at
SMALL = 4096  # bytes of an array; above that, it is not looked at
GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)


class Place(NamedTuple):
    """A name in the dict of a module, class or object, and what it stood for."""

    names: Mapping[str, Any]
    name: str
    value: Any


class _Slots(dict[str, Any]):
    """The attributes of an object that has no dict."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self._owner, name, default)


class Contents(NamedTuple):
    """A list, set or dict, and what was in it; of a large one only how much that was. Or a small array's bytes."""

    name: str
    container: Any
    size: int
    items: Any

    def hold(self) -> bool:
        """Whether the same objects, or numbers, are in it."""
        container = self.container
        if isinstance(container, np.ndarray):
            return container.tobytes() == self.items
        if len(container) != self.size:
            return False
        present = container.values() if isinstance(container, dict) else container
        return not any(map(operator.is_not, present, self.items))


class Variables:
    """What functions read from outside by name, also in functions of the user's that these call in turn.

    ``arguments`` are what the functions are called with: attributes of objects among these are watched, too.

    >>> scale = 2.0
    >>> variables = Variables([lambda x: scale * x])
    >>> variables.hold()
    True
    """

    def __init__(self, functions: Iterable[Any], arguments: Iterable[Any] = ()) -> None:
        self.modules: list[Any] = []  # those that the names stand for
        self._functions = list(functions)
        self._arguments = [argument for argument in arguments if not isinstance(argument, Tensor)]
        self._called: list[Any] = []
        self._attributes: set[str] = set()  # the names of attributes that any of the functions uses
        self._walk()

    def add(self, functions: Iterable[Any], modules: Iterable[Any]) -> None:
        """Watch further functions, and the functions, lists and dicts among attributes of modules."""
        self._functions += functions
        self._called += modules
        self._walk()

    # ---- finding ------------------------------------------------------------------------------------------

    def _walk(self) -> None:
        """Find everything; again as long as that finds functions which use other attributes of what was found."""
        known = -1
        while known < len(self._attributes):
            known = len(self._attributes)
            self.modules.clear()
            self._cells: list[tuple[Any, Any]] = []
            self._places: list[Place] = []
            self._contents: list[Contents] = []
            self._generators: list[tuple[str, Any, bytes]] = []
            self._iterators: list[str] = []
            self._seen: set[int] = set()
            for function in self._functions:
                self._add(_bare(function), called=False)
            for argument in self._arguments:
                self._add_value("an argument", argument)
            for module in self._called:
                self._add_module(module)

    def _add_module(self, module: Any) -> None:
        for name, value in [*vars(module).items(), *module.regularizers.items()]:
            if name[0] != "_" and value is not module.regularizers:  # which tells of changes itself
                self._add_value(name, value)

    def _add(self, function: Any, called: bool) -> None:
        if is_module(function):
            self._add_model(function)
        if isinstance(function, MethodType):
            self._add_attributes(function.__self__)
            function = function.__func__
        if not isinstance(function, FunctionType) or id(function) in self._seen:
            return
        if not _is_users(function) or (called and _is_installed(function.__code__.co_filename)):
            return  # what a library reads does not change
        self._seen.add(id(function))
        names, attributes = _names(function.__code__)
        self._attributes |= attributes
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            value = _contents(cell)
            if value is not MISSING:
                self._cells.append((cell, value))
                self._add_value(name, value)
        own = function.__globals__
        for name in names & own.keys():
            if not isinstance(own[name], ModuleType):
                self._places.append(Place(own, name, own[name]))
            self._add_value(name, own[name])

    def _add_value(self, name: str, value: Any) -> None:
        if isinstance(value, (list, tuple, dict, set)):
            self._add_contents(name, value)
        elif isinstance(value, np.ndarray):
            if value.nbytes <= SMALL:
                self._contents.append(Contents(name, value, value.size, value.tobytes()))
        elif is_module(value):
            self._add_model(value)
        elif not isinstance(value, Tensor):
            self._add_generator(name, value)
            self._add(_bare(value), called=True)
            self._add_attributes(value)

    def _add_model(self, model: Any) -> None:
        """The forward functions of a model's modules."""
        if id(model) not in self._seen:
            self._seen.add(id(model))
            self.modules.append(model)
            for module in with_parts([model]):
                self._add(module.forward, called=True)

    def _add_contents(self, name: str, container: Any) -> None:
        if id(container) in self._seen:
            return
        self._seen.add(id(container))
        items = tuple(container.values() if isinstance(container, dict) else container)
        items = items if len(items) <= LARGE else ()
        if not isinstance(container, tuple):
            self._contents.append(Contents(name, container, len(container), items))
        for item in items:
            self._add_value(name, item)

    def _add_attributes(self, value: Any) -> None:
        """Those attributes of the user's objects, classes and modules that the functions may read."""
        owner = value if isinstance(value, (type, ModuleType)) else type(value)
        if is_module(value) or id(value) in self._seen or not _is_users(owner):
            return
        self._seen.add(id(value))
        own = getattr(value, "__dict__", {})
        for name in self._attributes & own.keys():
            self._places.append(Place(own, name, own[name]))
            self._add_value(name, own[name])
        for kind in owner.__mro__ if isinstance(owner, type) else ():
            inherited = vars(kind) if _is_users(kind) else {}
            for name in self._attributes & inherited.keys() - own.keys():
                self._add_inherited(value, name, inherited)

    def _add_inherited(self, value: Any, name: str, inherited: Mapping[str, Any]) -> None:
        self._places.append(Place(inherited, name, inherited[name]))
        if isinstance(inherited[name], MemberDescriptorType):
            self._places.append(Place(_Slots(value), name, getattr(value, name, None)))
        elif not callable(inherited[name]):
            self._places.append(Place(getattr(value, "__dict__", {}), name, None))  # it may get one of its own
        self._add_value(name, inherited[name])

    def _add_generator(self, name: str, value: Any) -> None:
        """What gives something else every time: it may not move on while a step is recorded."""
        if isinstance(value, ModuleType):
            value = {np: np.random.rand if "random" in self._attributes else None, random: random.random}.get(value)
        source = value if isinstance(value, GENERATORS) else getattr(value, "__self__", None)
        if isinstance(source, GENERATORS):
            self._generators.append((name, source, pickle.dumps(source)))
        if hasattr(type(value), "__next__"):
            self._iterators.append(name)

    # ---- comparing ------------------------------------------------------------------------------------------

    def hold(self) -> bool:
        """Whether every name stands for the same object as before."""
        for cell, value in self._cells:
            if cell.cell_contents is not value:
                return False
        for names, name, value in self._places:
            if names.get(name) is not value:
                return False
        for contents in self._contents:
            if not contents.hold():
                return False
        return True

    def disturbed(self) -> str | None:
        """What the function, which has just run, did to its variables that a replay would not do; or None."""
        if any(not same(_contents(cell), value) for cell, value in self._cells):
            return "it changes a variable of its closure"
        for names, name, value in self._places:
            if not same(names.get(name), value):
                return f"it changes {name!r}, which is not its own"
        for contents in self._contents:
            if not contents.hold():
                return f"it changes {contents.name!r}, which is not its own"
        if any(pickle.dumps(generator) != state for _, generator, state in self._generators):
            return "it draws random numbers that are not nnkit's"
        return f"it uses an iterator, {self._iterators[0]!r}" if self._iterators else None


def is_module(value: Any) -> bool:
    """Whether this is an ``nnkit.nn.Module``: what those rely on is noted when they are called."""
    return "_forward_hooks" in getattr(value, "__dict__", ()) and not isinstance(value, FunctionType)


def with_parts(modules: Iterable[Any]) -> list[Any]:
    """Modules and all their parts, each once."""
    found: dict[int, Any] = {}
    left = list(modules)
    while left:
        module = left.pop()
        if id(module) not in found:
            found[id(module)] = module
            left.extend(part for part in vars(module)["_modules"].values() if part is not None)
    return list(found.values())


def _bare(function: Any) -> Any:
    """The function inside partials and compiled functions; the method that is called when an object is called."""
    while isinstance(function, functools.partial) or type(function).__module__ == "nnkit.compiled":
        function = function.func if isinstance(function, functools.partial) else function.function
    if isinstance(function, (FunctionType, MethodType)) or is_module(function) or isinstance(function, type):
        return function
    return function.__call__ if callable(function) else None


def _is_users(value: Any) -> bool:
    """Whether a function, class or module is neither nnkit's nor Python's nor an installed library's."""
    if isinstance(value, ModuleType):
        return _is_users_name(value.__name__) and not _is_installed(getattr(value, "__file__", None) or "")
    return _is_users_name(getattr(value, "__module__", None) or "")


def _is_users_name(module: str) -> bool:
    package = module.partition(".")[0]
    return package not in ("nnkit", "numpy", "builtins") and package not in sys.stdlib_module_names


def _is_installed(path: str) -> bool:
    return "site-packages" in path


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return MISSING


@functools.lru_cache(maxsize=256)
def _names(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The globals that a function and the functions inside it use, and all names, attributes among them."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "STORE_GLOBAL")}
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner, attributes = _names(constant)
            found |= inner
            names |= attributes
    return frozenset(found), frozenset(names)
