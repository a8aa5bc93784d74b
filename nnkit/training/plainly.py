"""Saying, once for each model, that its steps run without recording, and why."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from nnkit.recording.plainly import say_unrecorded

__all__ = ["say_plain"]

_warned: WeakSet[Any] = WeakSet()  # models of which it was said


def say_plain(model: Any, reason: str) -> None:
    """Warn that a step of this model cannot be replayed."""
    if model not in _warned:
        _warned.add(model)
        say_unrecorded(f"a step of {type(model).__name__} cannot be replayed: {reason}")
