"""``cupy.cuda.nccl``: communicators whose processes meet at a socket of this machine and add up in the order of ranks.

Like NCCL it refuses two processes on one GPU and streams of other devices, and what it is given runs when its stream
comes to it, also out of a graph, and then waits for the others.
"""

from __future__ import annotations

import tempfile
import time
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from . import queues
from .machine import current_device, machine

NCCL_SUM, NCCL_PROD, NCCL_MAX, NCCL_MIN, NCCL_AVG = range(5)
NCCL_INT8 = NCCL_CHAR = 0
NCCL_UINT8 = 1
NCCL_INT32 = NCCL_INT = 2
NCCL_UINT32, NCCL_INT64, NCCL_UINT64 = 3, 4, 5
NCCL_FLOAT16 = NCCL_HALF = 6
NCCL_FLOAT32 = NCCL_FLOAT = 7
NCCL_FLOAT64 = NCCL_DOUBLE = 8
NCCL_BFLOAT16 = 9
_VERSION = 22707
_IDENTITY = 128  # bytes
PATIENCE = 1800.0  # seconds for the other ranks to come

_TYPES = {
    NCCL_INT8: "i1", NCCL_UINT8: "u1", NCCL_INT32: "i4", NCCL_UINT32: "u4", NCCL_INT64: "i8", NCCL_UINT64: "u8",
    NCCL_FLOAT16: "f2", NCCL_FLOAT32: "f4", NCCL_FLOAT64: "f8", NCCL_BFLOAT16: ml_dtypes.bfloat16,
}  # fmt: skip
_STATUS = {
    0: "NCCL_ERROR_SUCCESS: no error",
    1: "NCCL_ERROR_UNHANDLED_CUDA_ERROR: unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
    2: "NCCL_ERROR_SYSTEM_ERROR: unhandled system error (run with NCCL_DEBUG=INFO for details)",
    3: "NCCL_ERROR_INTERNAL_ERROR: internal error - please report this issue to the NCCL developers",
    4: "NCCL_ERROR_INVALID_ARGUMENT: invalid argument (run with NCCL_DEBUG=WARN for details)",
    5: "NCCL_ERROR_INVALID_USAGE: invalid usage (run with NCCL_DEBUG=WARN for details)",
    6: "NCCL_ERROR_REMOTE_ERROR: remote process exited or there was a network error",
}


class NcclError(RuntimeError):
    """A status of NCCL's that is not success."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(_STATUS[status])


def get_version() -> int:
    return _VERSION


def get_build_version() -> int:
    return _VERSION


def get_unique_id() -> bytes:
    machine.call("ncclGetUniqueId")
    path = Path(tempfile.mkdtemp(prefix="nccl")) / "meet"
    return str(path).encode().ljust(_IDENTITY, b"\0")


class NcclCommunicator:
    """One process's end of a communicator on its current device."""

    def __init__(self, ndev: int, commId: bytes, rank: int, config: Any = None) -> None:
        assert len(commId) == _IDENTITY
        if not 0 <= rank < ndev:
            raise NcclError(4)
        self._size, self._rank, self._device = ndev, rank, current_device()
        self._ends: list[Any] = []
        path = commId.rstrip(b"\0").decode()
        status = self._gather(path) if rank == 0 else self._come(path)
        machine.call("ncclCommInitRank")
        if status:
            raise NcclError(status)

    def _gather(self, path: str) -> int:
        with Listener(path, "AF_UNIX", backlog=self._size) as listener:
            ends = [listener.accept() for _ in range(self._size - 1)]
        said = {end: end.recv() for end in ends}  # each one's rank and device
        self._ends = sorted(ends, key=lambda end: said[end][0])
        devices = {self._device, *(device for _, device in said.values())}
        status = 5 if len(devices) < self._size else 0
        for end in ends:
            end.send(status)
        return status

    def _come(self, path: str) -> int:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                end = Client(path, "AF_UNIX")
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > until:
                    raise NcclError(2) from None
                time.sleep(0.01)
        end.send((self._rank, self._device))
        self._ends = [end]
        return int(end.recv())

    def allReduce(self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int) -> None:
        machine.call("ncclAllReduce")
        assert op == NCCL_SUM, "the stand-in only adds up"
        state, nbytes = queues.state_of(stream), count * np.dtype(_TYPES[datatype]).itemsize
        if state.device != self._device:
            raise NcclError(1)

        def run() -> None:
            machine.counts["sums by NCCL"] += 1
            part = machine.view(sendbuf, nbytes).view(_TYPES[datatype])
            machine.view(recvbuf, nbytes).view(_TYPES[datatype])[:] = self._sum(part)

        queues.submit(state, "ncclAllReduce", "kernel", run, ((sendbuf, nbytes), (recvbuf, nbytes)))

    def _sum(self, own: np.ndarray) -> np.ndarray:
        if self._rank:
            self._ends[0].send_bytes(own.tobytes())
            return np.frombuffer(self._ends[0].recv_bytes(), own.dtype)
        total = own.copy()
        for end in self._ends:
            total += np.frombuffer(end.recv_bytes(), own.dtype)
        for end in self._ends:
            end.send_bytes(total.tobytes())
        return total

    def check_async_error(self) -> None:
        machine.call("ncclCommGetAsyncError")

    def size(self) -> int:
        return self._size

    def rank_id(self) -> int:
        return self._rank

    def device_id(self) -> int:
        return self._device

    def destroy(self) -> None:
        machine.call("ncclCommDestroy")
        raise AssertionError("NCCL would wait here for every graph that has captured the communicator")

    def __del__(self) -> None:
        machine.counts["ncclCommDestroy"] += 1
