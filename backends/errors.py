"""The errors of this floor: a device that cannot be used, that failed, or whose memory is too small; a bad matrix."""

from __future__ import annotations


class DeviceUnavailable(RuntimeError):
    """A device cannot be used; the message names the failed stage and the remedy."""


class MatrixError(RuntimeError):
    """A matrix has no inverse, no solution or no such factors."""


class DeviceFault(RuntimeError):
    """A GPU failed while it was working; the message says what it did, what CUDA said, and what to do now."""


class DeviceOutOfMemory(MemoryError):
    """A GPU's memory is too small.

    asked and free are bytes, and largest_batch the number of rows that would about fit, or None where that is unknown.
    """

    def __init__(self, message: str, asked: int, free: int, largest_batch: int | None = None) -> None:
        super().__init__(message)
        self.asked, self.free, self.largest_batch = asked, free, largest_batch
