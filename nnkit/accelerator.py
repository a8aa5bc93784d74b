"""PyTorch's words for "the GPU, whichever there is": here an NVIDIA GPU, or none."""

from __future__ import annotations

from typing import Any

from nnkit import cuda
from nnkit.backends import Device

__all__ = [
    "current_accelerator", "current_device_idx", "current_device_index", "device_count", "device_index",
    "is_available", "set_device_idx", "set_device_index", "synchronize",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


is_available = cuda.is_available
device_count = cuda.device_count
current_device_index = current_device_idx = cuda.current_device
set_device_index = set_device_idx = cuda.set_device
synchronize = cuda.synchronize
device_index = cuda.device
memory_allocated = cuda.memory_allocated
memory_reserved = cuda.memory_reserved
max_memory_allocated = cuda.max_memory_allocated
reset_peak_memory_stats = cuda.reset_peak_memory_stats
empty_cache = cuda.empty_cache


def current_accelerator(check_available: bool = False) -> Any:
    """``device("cuda")`` where a GPU is usable, else None.

    Raises nothing. Source: ``torch.accelerator.current_accelerator``.

    >>> current_accelerator() is None or current_accelerator().type
    True
    """
    return Device("cuda") if cuda.is_available() else None
