"""Types in ``help()`` as a reader writes them: ``bias: bool = True``, not ``bias: 'bool' = True``.

Annotations are texts here (PEP 563), which costs an import nothing; but what shows a signature shows a text's quotes,
as ``help()`` does up to Python 3.13. So they become texts that show themselves without, once there is somebody to show
them to: when ``pydoc``, which the first ``help()`` imports, or IPython's inspector is. Their value stays what it was.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any, ForwardRef

__all__ = ["unquote_when_shown"]

#: Modules that show signatures.
SHOWING = ("pydoc", "IPython.core.oinspect")
#: Where what is made of functions keeps them: methods of a class, cached functions and properties, properties.
INSIDE = ("__wrapped__", "func", "fget", "fset", "fdel")


class Unquoted(str):
    """An annotation, which shows itself without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Finder:
    """First of ``sys.meta_path``; finds nothing itself, and sees what is imported: of a package, and what shows it."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.shown = any(name in sys.modules for name in SHOWING)
        if self.shown:
            self.unquote_all()

    def is_ours(self, name: str) -> bool:
        return name == self.package or name.startswith(f"{self.package}.")

    def unquote_all(self) -> None:
        for name, module in list(sys.modules.items()):
            if self.is_ours(name):
                unquote(module)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """For a module of the package, what the others find, with a loader that unquotes what it has loaded."""
        if name in SHOWING and not self.shown:
            self.shown = True
            self.unquote_all()
        if not self.is_ours(name):
            return None
        others = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((found for found in others if found is not None), None)
        if spec is not None and spec.loader is not None:
            load = functools.partial(self.load, spec.loader.exec_module)
            spec.loader.exec_module = load  # type: ignore[method-assign]
        return spec

    def load(self, execute: Callable[[ModuleType], None], module: ModuleType) -> None:
        execute(module)
        if self.shown:
            unquote(module)


def unquote(module: ModuleType) -> None:
    """Make the annotations of a module, of the classes that it makes, and of all functions in it and them, Unquoted."""
    package = module.__name__.partition(".")[0]
    _unquote_all(vars(module).get("__annotations__", {}))
    things, seen = list(vars(module).values()), set[int]()
    while things:
        thing = things.pop()
        if isinstance(thing, FunctionType):
            if (thing.__module__ or "").partition(".")[0] == package:
                _unquote_all(thing.__annotations__)
        elif isinstance(thing, type) and thing.__module__ == module.__name__ and id(thing) not in seen:
            seen.add(id(thing))
            _unquote_all(vars(thing).get("__annotations__", {}))
            things += vars(thing).values()
        elif hasattr(type(thing), "__get__"):
            things += [getattr(thing, name, None) for name in INSIDE]


def _unquote_all(annotations: dict[str, Any]) -> None:
    for name, written in annotations.items():
        if isinstance(written, (str, ForwardRef)):  # the second is a named tuple's
            annotations[name] = Unquoted(getattr(written, "__forward_arg__", written))


def unquote_when_shown(package: str) -> None:
    """From when something that shows signatures is imported on, show those of a package without quotes."""
    sys.meta_path.insert(0, Finder(package))
