"""Saying, once for each model, that its steps run without recording, and why."""

from __future__ import annotations

import warnings
from typing import Any
from weakref import WeakSet

__all__ = ["say_plain"]

_warned: WeakSet[Any] = WeakSet()  # models of which it was said


def say_plain(model: Any, reason: str) -> None:
    """Warn that a step of this model cannot be replayed."""
    if model not in _warned:
        _warned.add(model)
        name = type(model).__name__
        warnings.warn(f"a step of {name} cannot be replayed: {reason}; it runs without recording", stacklevel=3)
