"""Forward hooks: functions that look at, or replace, what a module computed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from nnkit.state import changed

__all__ = ["ForwardHook", "HookHandle", "add_hook"]

#: (module, positional arguments, output) -> None, or the output to use instead.
ForwardHook = Callable[[Any, tuple[Any, ...], Any], Any]

_keys = itertools.count()


class HookHandle:
    """Takes a registered hook away again: ``handle.remove()``, or at the end of ``with handle:``."""

    def __init__(self, hooks: dict[int, ForwardHook], key: int) -> None:
        self._hooks = hooks
        self._key = key

    def remove(self) -> None:
        """Remove the hook; a second call does nothing."""
        self._hooks.pop(self._key, None)
        changed()

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def add_hook(hooks: dict[int, ForwardHook], hook: ForwardHook) -> HookHandle:
    """Put ``hook`` at the end of ``hooks``, and return the handle that removes it."""
    if not callable(hook):
        raise TypeError(f"hook must be a function (module, args, output), got {type(hook).__name__}")
    handle = HookHandle(hooks, next(_keys))
    hooks[handle._key] = hook
    changed()
    return handle
