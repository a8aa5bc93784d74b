"""Values that a thread has for a ``with`` block, such as whether ops are put on the tape: they end as it does.

Ctrl-C may come as Python begins to run a method ``__exit__``, and what that was to set back stays as it is for good. So
a block ends by the ``__exit__`` of a lock, which is C code and cannot be interrupted: the innermost block whose lock is
still held is the one that counts.
"""

from __future__ import annotations

import threading
from typing import Any, Generic, TypeVar

__all__ = ["Block", "Present"]

V = TypeVar("V")
Lock: Any = type(threading.RLock())


class _Scope(Lock):
    """A block that has begun: the lock is held until it ends."""

    __slots__ = ("block", "by_hand", "outer", "value")


def _begun(block: Block | None, by_hand: bool) -> Any:
    scope = _Scope()
    scope.acquire()
    scope.block, scope.by_hand, scope.outer = block, by_hand, None
    return scope


class Present(threading.local, Generic[V]):
    """A value of each thread's own: what it was set to; inside blocks, that of the innermost.

    >>> present = Present(1)
    >>> with Block(present, 2): present.value
    2
    >>> present.value
    1
    """

    def __init__(self, value: V) -> None:
        self.scope = _begun(None, False)  # the innermost; where it has none around it, its value is the one
        self.scope.value = value
        self.next: Any = None  # of which ``with`` has looked up the end, and not called the beginning yet

    @property
    def value(self) -> V:
        """The value now."""
        found: V = self.innermost().value
        return found

    @value.setter
    def value(self, value: V) -> None:
        self.innermost().value = value

    def innermost(self) -> Any:
        """The innermost block that has not ended."""
        scope = self.scope
        while scope.outer is not None and not scope._is_owned():
            scope = self.scope = scope.outer
        return scope


class _End:
    """``__exit__`` of a block: for ``with``, which looks it up before it begins, and for those who call it by hand."""

    def __get__(self, block: Block | None, kind: type) -> Any:
        if block is None:
            return lambda block, *exception: block.__exit__(*exception)
        present = block.present
        scope = present.innermost()
        if scope.block is block and scope.by_hand:
            return scope.__exit__
        scope = present.next = _begun(block, False)
        return scope.__exit__


class Block:
    """``with Block(present, value):`` gives this thread another value inside. It may be entered again."""

    def __init__(self, present: Present[Any], value: Any) -> None:
        self.present, self.inside = present, value

    def __enter__(self) -> None:
        present = self.present
        scope, present.next = present.next, None
        if scope is None or scope.block is not self:
            scope = _begun(self, True)
        scope.value, scope.outer = self.inside, present.innermost()
        present.scope = scope

    __exit__ = _End()
