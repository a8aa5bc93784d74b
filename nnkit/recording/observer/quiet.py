"""Running code that is nnkit's alone without looking at each of its frames, which would cost more than it does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

__all__ = ["quietly"]

R = TypeVar("R")


def quietly(function: Callable[..., R], *arguments: object) -> R:
    """Call a function while this thread's profiler, by which frames are looked at, rests."""
    profiler = sys.getprofile()
    sys.setprofile(None)
    try:
        return function(*arguments)
    finally:
        sys.setprofile(profiler)
