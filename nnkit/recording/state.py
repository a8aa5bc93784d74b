"""A count of changes to what recorded programs rely on: which memory a parameter has, whether it is trained, how a
module is set.

Whoever has changed such a thing calls ``changed``. A program that sees the count it saw last need not look any
further; else it checks everything it relied on, once. A step that makes such changes itself is told to its recorder.
"""

from __future__ import annotations

from typing import Any

from nnkit.backends.recording import recorder, same


class _Changes:
    count = 0


changes = _Changes()


#: The same of gradients that somebody looked at.
looks = _Changes()


class Watched:
    """An object that recorded programs may rely on: setting an attribute anew is a change."""

    def __setattr__(self, name: str, value: Any) -> None:
        there, before = name in self.__dict__, self.__dict__.get(name)
        object.__setattr__(self, name, value)
        if there and not same(before, value):
            changed(self, name, before)


def changed(owner: Any = None, name: str = "", before: Any = None) -> None:
    """Something that a recorded program may rely on is different now: ``owner.name``, where it is one attribute."""
    changes.count += 1
    at_work = recorder()
    if at_work is not None:
        at_work.changed(owner, name, before)
