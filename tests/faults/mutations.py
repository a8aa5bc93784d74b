"""Every small change of a nested state, and of the bytes of a file."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

import nnkit

#: What a damaged or hostile state may hold anywhere.
ODD: list[Any] = [
    None, True, -1, 0, 7, 1.5, float("nan"), float("inf"), -0.5, 10**400, "x", "", [], [1], (1, 2, 3), {}, {"a": 1},
    {0: 1}, object, np.zeros(3), np.array("a"), np.float32("nan"), nnkit.zeros(2, 2), nnkit.tensor(3), b"x",
]  # fmt: skip


def places(state: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything inside a nested state."""
    if path:
        yield path
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, (list, tuple)) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def changed(state: Any, path: tuple[Any, ...], change: Any) -> Any:
    """A copy of a nested state in which ``change(container, key)`` has been done at ``path``."""
    if len(path) == 1:
        return change(state, path[0])
    inner = changed(state[path[0]], path[1:], change)
    return put(inner)(state, path[0])


def put(value: Any) -> Any:
    """The change that puts ``value`` in a place."""

    def change(container: Any, key: Any) -> Any:
        if isinstance(container, dict):
            return {**container, key: value}
        items = [*container]
        items[key] = value
        return type(container)(items)

    return change


def remove(container: Any, key: Any) -> Any:
    """The change that leaves a place out."""
    if isinstance(container, dict):
        return {name: value for name, value in container.items() if name != key}
    return type(container)(item for index, item in enumerate(container) if index != key)


def double(container: Any, key: Any) -> Any:
    """The change that gives a place twice."""
    if isinstance(container, dict):
        return {**container, f"{key}2": container[key]}
    return type(container)([*container, copy.copy(container[key])])


def mutations(state: Any) -> Iterator[tuple[str, Any]]:
    """Each place of a state with each odd value, left out, and doubled: a name and the changed state."""
    for path in places(state):
        name = ".".join(map(str, path))
        for value in ODD:
            yield f"{name} = {str(value)[:20]}", changed(state, path, put(value))
        yield f"without {name}", changed(state, path, remove)
        yield f"{name} twice", changed(state, path, double)


def mutated_bytes(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """``count`` random damages of a file: bytes changed, cut, repeated, swapped or inserted; the header more often."""
    source = random.Random(seed)
    for _ in range(count):
        data = bytearray(content)
        for _ in range(source.choice((1, 1, 1, 2, 4, 16))):
            at = source.randrange(max(1, min(len(data), source.choice((16, 400, len(data) or 1)))))
            kind = source.randrange(6)
            if kind == 0:
                data[at : at + 1] = bytes([source.randrange(256)])
            elif kind == 1:
                data[at : at + 1] = bytes([(data[at] if at < len(data) else 0) ^ (1 << source.randrange(8))])
            elif kind == 2:
                del data[at : at + source.choice((1, 8, len(data)))]
            elif kind == 3:
                data[at:at] = data[at : at + source.randrange(1, 40)]
            elif kind == 4:
                data[at:at] = source.choice((b"9" * 20, b"-1", b'"', b"}", b"[" * 50, b"\xff\xfe", b"null", b"1e999"))
            else:
                data[at : at + 8] = source.choice((0, 1, 2**31, 2**32, 2**63, 2**64 - 1)).to_bytes(8, "little")
        yield bytes(data)
