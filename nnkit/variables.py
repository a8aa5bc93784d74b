"""The variables from outside that a recorded function reads: globals, its closure, attributes of its object.

A recorded program has in it what they stood for. Before each replay it is compared, object by object, so that another
optimizer or another number under the same name is noticed. What is inside lists and dicts is not compared.
"""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterable
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from nnkit.backends.recording import MISSING, same
from nnkit.tensor import Tensor


class Place(NamedTuple):
    """A name in the dict of a module or object, and what it stood for."""

    names: dict[str, Any]
    name: str
    value: Any


class Variables:
    """What functions read from outside by name, also in functions of the user's that these call in turn.

    >>> scale = 2.0
    >>> variables = Variables([lambda x: scale * x])
    >>> variables.hold()
    True
    """

    def __init__(self, functions: Iterable[Any], arguments: Iterable[Any] = ()) -> None:
        """``arguments`` are what the functions are called with: attributes of objects among these are watched, too."""
        functions, arguments = list(functions), list(arguments)
        self.objects: list[Any] = []  # what the names stand for
        self._cells: list[tuple[Any, Any]] = []
        self._places: list[Place] = []
        self._lists: list[tuple[str, Any, int]] = []
        self._seen: set[int] = set()
        self.add(*functions)
        for function in functions:
            names = _attribute_names(getattr(_bare(function), "__code__", None))
            for argument in arguments:
                self._add_value("an argument", argument, names)

    def add(self, *functions: Any) -> None:
        """Watch the variables of these functions, too."""
        for function in functions:
            self._add(_bare(function), called=False)

    def _add(self, function: Any, called: bool) -> None:
        if is_module(function):
            self.objects.append(function)
        if isinstance(function, MethodType):
            self._add_attributes(function.__self__, _attribute_names(getattr(function.__func__, "__code__", None)))
            function = function.__func__
        if not isinstance(function, FunctionType) or not _is_users(function) or id(function) in self._seen:
            return
        if called and "site-packages" in function.__code__.co_filename:
            return  # what an installed library reads does not change
        self._seen.add(id(function))
        self._add_function(function)

    def _add_function(self, function: FunctionType) -> None:
        attributes = _attribute_names(function.__code__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            value = _contents(cell)
            if value is not MISSING:
                self._cells.append((cell, value))
                self._add_value(name, value, attributes)
        own = function.__globals__
        for name in _global_names(function.__code__):
            if name in own and not isinstance(own[name], ModuleType):
                self._places.append(Place(own, name, own[name]))
                self._add_value(name, own[name], attributes)

    def _add_value(self, name: str, value: Any, attributes: set[str]) -> None:
        self.objects.append(value)
        if isinstance(value, (list, dict, set)):
            self._lists.append((name, value, len(value)))
        elif not isinstance(value, (type, Tensor)) and not is_module(value):
            self._add(_bare(value), called=True)
            self._add_attributes(value, attributes)

    def _add_attributes(self, value: Any, names: set[str]) -> None:
        """Those attributes of a plain object that a function may read."""
        own = getattr(value, "__dict__", None)
        plain = isinstance(own, dict) and _is_users(type(value)) and not isinstance(value, FunctionType)
        if plain and not is_module(value) and id(value) not in self._seen:
            self._seen.add(id(value))
            for name in names & own.keys():
                self._places.append(Place(own, name, own[name]))
                self._add_value(name, own[name], names)

    def hold(self) -> bool:
        """Whether every name stands for the same object as before."""
        for cell, value in self._cells:
            if cell.cell_contents is not value:
                return False
        for names, name, value in self._places:
            if names.get(name) is not value:
                return False
        return True

    def disturbed(self) -> str | None:
        """The name that the function, which has just run, gave another value, or whose list it filled; or None."""
        if any(not same(_contents(cell), value) for cell, value in self._cells):
            return "a variable of its closure"
        for names, name, value in self._places:
            if not same(names.get(name, MISSING), value):
                return repr(name)
        return next((repr(name) for name, value, size in self._lists if len(value) != size), None)


def is_module(value: Any) -> bool:
    """Whether this is an ``nnkit.nn.Module``: what those rely on is noted when they are called."""
    return "_forward_hooks" in getattr(value, "__dict__", ()) and not isinstance(value, FunctionType)


def _bare(function: Any) -> Any:
    """The function inside partials and compiled functions; the method that is called when an object is called."""
    while isinstance(function, functools.partial) or type(function).__module__ == "nnkit.compiled":
        function = function.func if isinstance(function, functools.partial) else function.function
    if isinstance(function, (FunctionType, MethodType)) or is_module(function) or isinstance(function, type):
        return function
    return getattr(function, "__call__", None)


def _is_users(value: Any) -> bool:
    return not (getattr(value, "__module__", None) or "").startswith(("nnkit.", "numpy"))


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return MISSING


def _codes(code: CodeType) -> Iterable[CodeType]:
    """The code of a function and of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _global_names(code: CodeType) -> set[str]:
    return {
        instruction.argval
        for part in _codes(code)
        for instruction in dis.get_instructions(part)
        if instruction.opname in ("LOAD_GLOBAL", "STORE_GLOBAL")
    }


def _attribute_names(code: CodeType | None) -> set[str]:
    return set() if code is None else {name for part in _codes(code) for name in part.co_names}
