"""What a CUDA stream is known by.

With CUPY_CUDA_PER_THREAD_DEFAULT_STREAM=1 every thread has a default stream of its own, and all of them have the same
address: they are told apart by their threads.
"""

from __future__ import annotations

import threading

#: The address of each thread's own default stream, ``cudaStreamPerThread``.
PER_THREAD = 2


class Thread:
    """A thread, for as long as it lives."""


class _Here(threading.local):
    def __init__(self) -> None:
        self.thread = Thread()


_here = _Here()


def identity(pointer: int) -> int | Thread:
    """What tells the stream at an address from all others: the address, or this thread."""
    return _here.thread if pointer == PER_THREAD else pointer
