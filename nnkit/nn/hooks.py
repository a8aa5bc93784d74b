"""Forward hooks: functions that look at, or replace, what a module computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnkit import handles
from nnkit.handles import HookHandle

__all__ = ["ForwardHook", "HookHandle", "add_hook"]

#: (module, positional arguments, output) -> None, or the output to use instead.
ForwardHook = Callable[[Any, tuple[Any, ...], Any], Any]


def add_hook(hooks: dict[int, ForwardHook], hook: ForwardHook) -> HookHandle:
    """Put ``hook`` at the end of ``hooks``, and return the handle that removes it."""
    return handles.add_hook(hooks, hook, "module, args, output")
