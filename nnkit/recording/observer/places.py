"""What a recorded step read from outside, place by place, and whether the same is still there.

A place is a name in a dict, a variable of a closure, an item of a list, ... ``Places.watch`` makes one function of all
of them, compiled for the purpose, because it runs before every replay. Nothing here calls code of the user's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.recording import MISSING, same

__all__ = ["Place", "Places", "described"]

SCALARS = (int, float, complex, str, bytes, bool, type(None))


class Place(NamedTuple):
    """One thing that was read: how to read it again, what it was, and how to check it in one expression."""

    read: Callable[[], Any]
    value: Any
    test: str  # with {o} the owner, {k} the key, {v} the value
    owner: Any
    key: Any
    name: str  # what messages call it

    def holds(self) -> bool:
        """Whether the same object, or an equal number or text, is there."""
        try:
            found = self.read()
        except (KeyError, IndexError, ValueError, AttributeError, TypeError):
            found = MISSING
        return same(found, self.value)


class Contents(NamedTuple):
    """All that is in a list, set or dict, or the bytes of an array."""

    container: Any
    items: Sequence[Any]

    def hold(self) -> bool:
        """Whether it still is what is in there."""
        container = self.container
        if isinstance(container, np.ndarray):
            array = np.asarray(container)
            return (array.shape, array.dtype, array.tobytes()) == self.items
        present = flat(container)
        return len(present) == len(self.items) and all(map(operator.is_, present, self.items))

    def equal(self) -> bool:
        """Whether the same or equal numbers and texts are in there."""
        if isinstance(self.container, np.ndarray):
            return self.hold()
        present = flat(self.container)
        return len(present) == len(self.items) and all(map(same, present, self.items))


def flat(container: Any) -> list[Any]:
    """The items of a container; of a dict also the keys."""
    return [*container.keys(), *container.values()] if isinstance(container, dict) else list(container)


def contents_of(container: Any) -> Contents:
    """What is in a container now."""
    if isinstance(container, np.ndarray):
        return Contents(container, (container.shape, container.dtype, container.tobytes()))
    return Contents(container, flat(container))


def described(value: Any) -> str:
    """A type in words: "a deque"."""
    name = getattr(type(value), "__name__", "object")
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


class Places:
    """All places that a step read, each once: the first reading counts."""

    def __init__(self) -> None:
        self._places: dict[Any, Place] = {}
        self._contents: dict[int, tuple[Contents, str]] = {}

    def __len__(self) -> int:
        return len(self._places) + len(self._contents)

    # ---- noting -------------------------------------------------------------------------------------------------

    def name(self, owner: Any, names: Mapping[str, Any], name: str, value: Any = MISSING) -> None:
        """``names[name]``, of the names of ``owner`` (a module, a class, an object); MISSING where it is not there."""
        key = ("name", id(owner), name)
        if key not in self._places:
            test = "{k} not in {o}" if value is MISSING else "{o}[{k}] is {v}"
            read = lambda: names.get(name, MISSING)  # noqa: E731
            self._places[key] = Place(read, value, test, names, name, name)

    def inherited(self, kind: type, name: str) -> None:
        """``kind.name``, where the class or one that it inherits from has it."""
        for one in kind.__mro__:
            found = vars(one).get(name, MISSING)
            self.name(one, vars(one), name, found)
            if found is not MISSING:
                return

    def cell(self, cell: Any, name: str, value: Any) -> None:
        """A variable of a closure."""
        key = ("cell", id(cell), "")
        if key not in self._places:
            self._places[key] = Place(lambda: cell.cell_contents, value, "{o}.cell_contents is {v}", cell, "", name)

    def item(self, container: Any, index: Any, value: Any) -> None:
        """``container[index]`` of a list or dict."""
        key = ("item", id(container), (type(index), index))
        if key not in self._places:
            test = "{o}[{k}] is {v}"
            read = lambda: container[index]  # noqa: E731
            self._places[key] = Place(read, value, test, container, index, f"[{index!r}]")

    def slot(self, descriptor: Any, owner: Any, name: str, value: Any) -> None:
        """An attribute that lies in a slot."""
        key = ("slot", id(owner), name)
        if key not in self._places:
            read = lambda: descriptor.__get__(owner, type(owner))  # noqa: E731
            self._places[key] = Place(read, value, "{k}({o}) is {v}", owner, descriptor.__get__, name)

    def kind(self, owner: Any) -> None:
        """The class of an object."""
        key = ("kind", id(owner), "")
        if key not in self._places:
            read = lambda: type(owner)  # noqa: E731
            self._places[key] = Place(read, type(owner), "{k}({o}) is {v}", owner, type, "class")

    def code(self, function: Any) -> None:
        """What a function does, and its default arguments."""
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            key = (name, id(function), "")
            if key not in self._places:
                value = getattr(function, name)
                read = lambda name=name: getattr(function, name)  # noqa: E731
                self._places[key] = Place(read, value, "{o}." + name + " is {v}", function, "", name)
        if function.__kwdefaults__:
            self.contents(function.__kwdefaults__, "__kwdefaults__")

    def contents(self, container: Any, name: str) -> None:
        """All that is in a list, set, dict or array."""
        if id(container) not in self._contents:
            self._contents[id(container)] = contents_of(container), name

    # ---- checking -----------------------------------------------------------------------------------------------

    def broken(self) -> str | None:
        """The name of the first place where something else is now, or None."""
        for place in self._places.values():
            if not place.holds():
                return place.name
        for contents, name in self._contents.values():
            if not contents.equal():
                return name
        return None

    def watch(self) -> Callable[[], bool]:
        """A function that says whether every place holds; a step that read nothing pays nothing."""
        if not len(self):
            return lambda: True
        bound: dict[str, Any] = {"broken": self.broken}
        tests = []
        for number, place in enumerate(self._places.values()):
            names = {"o": f"o{number}", "k": f"k{number}", "v": f"v{number}"}
            bound |= {names["o"]: place.owner, names["k"]: place.key, names["v"]: place.value}
            tests.append(place.test.format(**names))
        for number, (contents, _) in enumerate(self._contents.values()):
            bound[f"hold{number}"] = contents.hold
            tests.append(f"hold{number}()")
        parameters = ", ".join(f"{name}={name}" for name in bound)
        lines = [
            f"def watch({parameters}):",
            "  try:",
            f"    if {' and '.join(tests)}: return True",
            "  except (KeyError, IndexError, ValueError, AttributeError, TypeError): pass",
            "  return broken() is None",  # equal numbers hold, too
        ]
        namespace = dict(bound)
        # Compiled first: a KeyboardInterrupt while a text is executed ends the process with 130, whoever catches it.
        exec(compile("\n".join(lines), "<places>", "exec"), namespace)
        return namespace["watch"]
