"""The pretended machine: GPUs whose memory is the host's, what was called on them, and what goes wrong on request.

Device memory is host memory with garbage in it; an address is the host's own, so a kernel's emulator reads it where
it lies. Every call of the CUDA runtime or driver comes through ``call``, which counts it and raises what a test asked
for with ``fail``.
"""

from __future__ import annotations

import bisect
import os
import threading
from collections import Counter

import numpy as np

from .clock import CALL, Clock
from .errors import STICKY, CUDADriverError, CUDARuntimeError, named

#: Calls that tell about the machine and work also when nothing else does; and those that ask no device.
ALWAYS = {"cudaDriverGetVersion", "cudaRuntimeGetVersion"}
UNHURT = {"cudaGetDevice", "cudaGetDeviceCount"}
GARBAGE = 0xFF  # a byte: NaN as a float, -1 as an integer


class _Local(threading.local):
    device = 0


class Machine:
    """What all parts of the stand-in share; ``reset`` makes it as new."""

    def __init__(self) -> None:
        self.local = _Local()
        self.reset()

    def reset(self) -> None:
        """Two GPUs of 256 MiB, compute capability 9.0, nothing allocated, nothing failing, copies done at once."""
        self.device_count = 2
        self.memory_size = 1 << 28
        self.capability = (9, 0)
        self.driver_version, self.runtime_version = 13000, 13020
        self.late: set[str] = set()  # of "copy" (host and device) and "kernel": what streams do only when they must
        self.nvrtc = True  # False: no kernel of CuPy's own runs, what only fills or copies elements included
        self.per_thread = False  # CUPY_CUDA_PER_THREAD_DEFAULT_STREAM=1
        self.clock = Clock()
        self.counts: Counter[str] = Counter()
        self.faults: list[tuple[str, int, int, Exception]] = []
        self.poison: int | None = None
        self.process = os.getpid()
        self.started = False
        self.used: Counter[int] = Counter()
        self.lock = threading.RLock()  # of the two tables of memory
        self.starts: list[int] = []
        self.blocks: dict[int, tuple[np.ndarray, int, int]] = {}  # start -> bytes, size, device (-1: pinned host)
        self.compiled: set[str] = set()
        self.local.device = 0

    # ---- calls -------------------------------------------------------------------------------------------

    def call(self, name: str, driver: bool = False) -> None:
        """Count a call, and raise what is to go wrong with it."""
        self.counts[name] += 1
        self.clock.wait(self.clock.now + CALL)
        error = CUDADriverError if driver else CUDARuntimeError
        for wanted, first, last, fault in self.faults:
            if wanted == name and first <= self.counts[name] <= last:
                if getattr(fault, "status", None) in STICKY:
                    self.poison = fault.status
                raise fault
        if name in ALWAYS:
            return
        if self.driver_version == 0 or self.driver_version // 1000 < self.runtime_version // 1000:
            raise CUDARuntimeError(35)
        if self.device_count == 0:
            raise CUDARuntimeError(100)
        if self.started and os.getpid() != self.process:
            raise error(3)
        if self.poison is not None and name not in UNHURT:
            raise error(self.poison)
        if name != "cudaGetDeviceCount":
            self.started, self.process = True, os.getpid()

    def fail(self, name: str, at: int, error: str | Exception, times: int) -> None:
        """The ``at``-th call of ``name`` from now on, and ``times`` - 1 more, raise ``error``."""
        raised = (
            named(error, name.startswith("cu") and not name.startswith("cuda")) if isinstance(error, str) else error
        )
        first = self.counts[name] + at
        self.faults.append((name, first, first + times - 1, raised))

    # ---- memory ------------------------------------------------------------------------------------------

    def allocate(self, size: int, device: int) -> int:
        """The address of new memory full of garbage; raises cudaErrorMemoryAllocation where there is too little."""
        if device >= 0 and self.used[device] + size > self.memory_size:
            raise CUDARuntimeError(2)
        memory = np.empty(size + 512, np.uint8)
        offset = -memory.ctypes.data % 512
        memory = memory[offset : offset + size]
        memory[:] = GARBAGE
        start = memory.ctypes.data
        with self.lock:
            bisect.insort(self.starts, start)
            self.blocks[start] = memory, size, device
            self.used[device] += size
        return start

    def free(self, start: int) -> None:
        """Give memory back; what still reads it there later is caught by ``view``."""
        with self.lock:
            if start not in self.blocks:
                raise CUDARuntimeError(1)
            memory, size, device = self.blocks.pop(start)
            self.starts.remove(start)
            self.used[device] -= size
        memory[:] = GARBAGE

    def block(self, address: int) -> tuple[np.ndarray, int, int, int] | None:
        """The block that an address lies in: its bytes, start, size and device."""
        with self.lock:
            at = bisect.bisect_right(self.starts, address) - 1
            if at < 0:
                return None
            start = self.starts[at]
            memory, size, device = self.blocks[start]
        return (memory, start, size, device) if address < start + max(size, 1) else None

    def view(self, address: int, size: int | None = None) -> np.ndarray:
        """The bytes at an address; outside of allocated memory, the error that poisons the context."""
        found = self.block(address)
        if found is None or (size is not None and address + size > found[1] + found[2]):
            self.poison = 700
            raise CUDARuntimeError(700)
        memory, start, whole, _ = found
        return memory[address - start : whole if size is None else address - start + size]


machine = Machine()


def current_device() -> int:
    """The number of this thread's current device."""
    return machine.local.device


def use_device(index: int) -> None:
    """Make a device this thread's current one."""
    machine.call("cudaSetDevice")
    if not 0 <= index < machine.device_count:
        raise CUDARuntimeError(101)
    machine.local.device = index


def host_bytes(address: int, size: int) -> np.ndarray:
    """Bytes of ordinary host memory at an address."""
    import ctypes

    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def anywhere(address: int, size: int) -> np.ndarray:
    """Bytes at an address of the device, of pinned memory or of the host."""
    return machine.view(address, size) if machine.block(address) is not None else host_bytes(address, size)
