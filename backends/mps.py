"""PyTorch's questions about Apple's GPUs, which nnkit has no backend for: the device "mps" is the CPU."""

from __future__ import annotations


def is_available() -> bool:
    """False.

    >>> is_available(), is_built()
    (False, False)
    """
    return False


def is_built() -> bool:
    """False."""
    return False
