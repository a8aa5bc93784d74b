"""Saying that something runs without recording, at the line of the user's that started it."""

from __future__ import annotations

import sys
import warnings
from itertools import count
from typing import Any

__all__ = ["say_unrecorded"]


def say_unrecorded(message: str) -> None:
    """Warn that something runs without recording; the warning names the nearest line outside nnkit."""
    warnings.warn(f"{message}; it runs without recording", stacklevel=_level(sys._getframe(1)))


def _level(frame: Any) -> int:
    """The ``stacklevel`` of the first frame outside nnkit, seen from the caller of ``say_unrecorded``'s frame."""
    for level in count(2):
        if frame is None or not str(frame.f_globals.get("__name__", "")).startswith("nnkit."):
            return level
        frame = frame.f_back
    raise AssertionError
