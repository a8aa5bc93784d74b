"""Hooks: functions that look at, or replace, what a module is given and what it computed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from nnkit.recording.state import changed
from nnkit.tensors.handles import HookHandle

__all__ = ["ForwardHook", "HookHandle", "add_hook", "after_forward", "before_forward"]

#: (module, positional arguments, output) -> None, or the output to use instead; one that is called before forward
#: gets no output, and gives the arguments to use instead.
ForwardHook = Callable[..., Any]

_keys = itertools.count()


class WithKeywords:
    """A hook that is given the keyword arguments too."""

    def __init__(self, hook: ForwardHook) -> None:
        self.hook = hook


def add_hook(
    hooks: dict[int, ForwardHook], hook: ForwardHook, prepend: bool = False, with_kwargs: bool = False
) -> HookHandle:
    """Put ``hook`` at the end of ``hooks``, or at the beginning, and return the handle that removes it."""
    if not callable(hook):
        raise TypeError(f"hook must be a function (module, args, output), got {type(hook).__name__}")
    handle = HookHandle(hooks, next(_keys))
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[handle._key] = WithKeywords(hook) if with_kwargs else hook  # type: ignore[assignment]
    hooks.update(others)
    changed()
    return handle


def before_forward(
    module: Any, hooks: Iterable[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of forward, after every hook that is called before it."""
    for hook in list(hooks):
        if type(hook) is WithKeywords:
            found = hook.hook(module, args, kwargs)
            if found is not None:
                args, kwargs = found
        elif (found := hook(module, args)) is not None:
            args = found if isinstance(found, tuple) else (found,)
    return args, kwargs


def after_forward(module: Any, hooks: Iterable[Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    """The output of forward, after every hook that is called behind it."""
    for hook in list(hooks):
        keywords = type(hook) is WithKeywords
        found = hook.hook(module, args, kwargs, output) if keywords else hook(module, args, output)
        output = output if found is None else found
    return output
