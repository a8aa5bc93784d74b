"""What a recording did, in a form that can be compared with what another recording of the same step did.

A step that is what it was gives the same instructions with the same constants on the same memory. Memory of the
program's own lies elsewhere in every recording: there the order in which arrays were made is compared.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.pool import Pool, shadow

__all__ = ["Trace"]

Array = Any


class _Own(NamedTuple):
    """An array in a program's own memory."""

    number: int  # the how-manieth that was made
    offset: int  # bytes from its start
    layout: tuple[Any, ...]

    def differs(self, other: Any) -> str | None:
        return None if self == other else "works on other memory"


class _Outside(NamedTuple):
    """An array that is not the program's own: weights, data, constants."""

    array: Array

    def differs(self, other: Any) -> str | None:
        if not isinstance(other, _Outside):
            return "works on other memory"
        one, two = shadow(self.array), shadow(other.array)
        if one is None or two is None:
            return None if self.array is other.array else "works on another array"
        if _layout(self.array) != _layout(other.array):
            return "works on an array of another shape or type"
        if one.ctypes.data == two.ctypes.data:
            return None
        if isinstance(self.array, np.ndarray) and isinstance(other.array, np.ndarray):
            return None if self.array.tobytes() == other.array.tobytes() else "uses other constants"
        return None  # constants in a device's memory, which comparing would wait for


class _Plain(NamedTuple):
    """Anything else among the arguments: a number, a name, a shape."""

    value: Any

    def differs(self, other: Any) -> str | None:
        if not isinstance(other, _Plain) or repr(self.value) != repr(other.value):
            return f"uses {getattr(other, 'value', 'an array')!r} in place of {self.value!r}"
        return None


class _Note(NamedTuple):
    name: str
    arguments: list[_Own | _Outside | _Plain]


class Trace:
    """The primitives of one recording with their arguments."""

    def __init__(self) -> None:
        self._notes: list[_Note] = []
        self._made: list[tuple[int, int]] = []  # where the program's own arrays begin and end

    def made(self, array: Array) -> None:
        """Note an array of the program's own: it may lie where another lay that is gone."""
        view = shadow(array)
        if view is not None:
            start = int(view.ctypes.data)
            self._made.append((start, start + max(view.nbytes, 1)))

    def add(self, name: str, given: Any, pool: Pool) -> None:
        """Note a primitive and what it was given: arrays, numbers, names, in tuples, lists and dicts."""
        arguments: list[_Own | _Outside | _Plain] = []
        self._collect(given, pool, arguments)
        self._notes.append(_Note(name, arguments))

    def _collect(self, value: Any, pool: Pool, into: list[Any]) -> None:
        if isinstance(value, dict):
            value = [item for pair in sorted(value.items()) for item in pair]
        if isinstance(value, (tuple, list)):
            into.append(_Plain(len(value)))
            for item in value:
                self._collect(item, pool, into)
        elif not hasattr(value, "shape") or not hasattr(value, "dtype"):
            into.append(_Plain(value))
        elif pool.owns(value):
            into.append(self._own(value))
        else:
            into.append(_Outside(value))

    def _own(self, array: Array) -> _Own:
        address = int(shadow(array).ctypes.data)
        for number in range(len(self._made) - 1, -1, -1):
            start, end = self._made[number]
            if start <= address < end:
                return _Own(number, address - start, _layout(array))
        return _Own(-1, 0, _layout(array))

    def difference(self, later: Trace) -> str | None:
        """What a later recording did otherwise, in words; None where it did the same."""
        for number, (one, two) in enumerate(zip(self._notes, later._notes, strict=False), 1):
            if one.name != two.name or len(one.arguments) != len(two.arguments):
                return f"instruction {number} was {one.name} and is {two.name}"
            for mine, its in zip(one.arguments, two.arguments, strict=True):
                found = mine.differs(its)
                if found is not None:
                    return f"instruction {number}, {one.name}, {found}"
        if len(self._notes) != len(later._notes):
            return f"it had {len(self._notes)} instructions and has {len(later._notes)}"
        return None


def _layout(array: Array) -> tuple[Any, ...]:
    return tuple(array.shape), str(array.dtype), getattr(array, "strides", None)
