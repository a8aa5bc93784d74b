"""Hooks: functions of the user's that are called on the way, and the handles that take them away again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from nnkit.recording.state import changed

__all__ = ["HookHandle", "add_hook"]

_keys = itertools.count()


class HookHandle:
    """Takes a registered hook away again: ``handle.remove()``, or at the end of ``with handle:``."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
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


def add_hook(hooks: dict[int, Any], hook: Callable[..., Any], takes: str = "gradient") -> HookHandle:
    """Put ``hook`` at the end of ``hooks``, and return the handle that removes it. Raises TypeError for no function."""
    if not callable(hook):
        raise TypeError(f"hook must be a function ({takes}), got {type(hook).__name__}")
    handle = HookHandle(hooks, next(_keys))
    hooks[handle._key] = hook
    changed()
    return handle
