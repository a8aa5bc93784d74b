"""Questions about NVIDIA GPUs, under PyTorch's names."""

from __future__ import annotations

from nnkit.backends import Device
from nnkit.backends.registry import failure


def is_available() -> bool:
    """Whether a GPU is usable: it allocated, computed and agreed with NumPy. Tried once, then remembered."""
    return failure(Device("cuda")) is None


def why_not() -> str | None:
    """The reason why no GPU is usable and the remedy, or None when one is."""
    return failure(Device("cuda"))


def device_count() -> int:
    """The number of usable GPUs."""
    count = 0
    while failure(Device("cuda", count)) is None:
        count += 1
    return count
