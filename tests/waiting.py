"""How tests wait: for what they are about, and for as long as that takes. Any machine may be slow, or stand still."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG = 1800.0  # seconds after which what is waited for will never come: no test passes or fails by it


def until(true: Callable[[], object]) -> None:
    """Wait for something to come true.

    >>> until(lambda: True)
    """
    end = time.monotonic() + HANG
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)
