"""Sums over processes that have a GPU each, by NCCL: work for the device, which a step's graph captures with the rest.

All processes make their ``Team`` at once, of an identity that one of them draws and the others are told. NCCL takes an
operation to be captured in all of them or in none, and refuses two processes on one GPU. Source: NCCL's user guide.
"""

from __future__ import annotations

import ctypes
import socket
import warnings
from typing import Any, NamedTuple

import cupy
import numpy as np

from nnkit.backends import recording
from nnkit.backends.cuda import faults
from nnkit.backends.errors import DeviceFault

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # CuPy warns where the library is not there; ``missing`` says so when it matters
    from cupy.cuda import nccl

Array = Any

#: What may be added up, and NCCL's name of it.
TYPES = {
    "float16": "NCCL_FLOAT16", "bfloat16": "NCCL_BFLOAT16", "float32": "NCCL_FLOAT32", "float64": "NCCL_FLOAT64",
    "int32": "NCCL_INT32", "int64": "NCCL_INT64",
}  # fmt: skip
#: Status of NCCL -> what it usually comes of, and what to do.
REMEDIES = {
    1: "A call of CUDA failed: see whether GPU memory is left (nvidia-smi), and what NCCL_DEBUG=INFO prints",
    2: "A call of the system failed: too little shared memory (in a container: docker run --shm-size=1g), or the "
    "processes do not reach one another: NCCL_SOCKET_IFNAME names the network interface, NCCL_DEBUG=INFO says more",
    3: "See what NCCL_DEBUG=WARN prints; the processes must have one version of NCCL",
    4: "The processes must run one program on arrays of one size: see what NCCL_DEBUG=WARN prints",
    5: "Each process needs a GPU of its own: start no more processes on a machine than it has GPUs",
    6: "Another process has ended, or the network between them is broken: its own message says why",
}


def missing() -> str | None:
    """Why there is no NCCL here, and the remedy; None where there is."""
    if nccl.available:
        return None
    return f"CuPy finds no NCCL: pip install nvidia-nccl-cu{cupy.cuda.runtime.runtimeGetVersion() // 1000}"


def new_identity() -> bytes:
    """What the processes of one Team have in common; drawn by one of them."""
    return bytes(nccl.get_unique_id())


def place(index: int) -> str:
    """What tells GPU ``index`` of this machine from every other, whatever each process calls it."""
    return f"{socket.gethostname()} {cupy.cuda.runtime.deviceGetPCIBusId(index)}"


def told(error: Exception, doing: str, device: str) -> Exception:
    """The error to raise in place of one of NCCL's, which names what was done and the remedy; others as ``faults``
    tells them."""
    if not isinstance(error, getattr(nccl, "NcclError", ())):
        return faults.translate(error, doing, device)
    remedy = REMEDIES.get(getattr(error, "status", 0), "See what NCCL_DEBUG=WARN prints")
    return DeviceFault(f"{device}: NCCL failed while {doing}: {error}. {remedy}")


class Team:
    """This process's place, ``rank`` of ``size``, among those that add up together; on GPU ``index``.

    Waits for the others. Raises DeviceFault where NCCL refuses.
    """

    def __init__(self, size: int, rank: int, identity: bytes, index: int) -> None:
        self.index = index
        self._device = f"cuda:{index}"
        try:
            with cupy.cuda.Device(index):
                self._communicator = nccl.NcclCommunicator(size, identity, rank)
        except RuntimeError as error:
            raise told(error, "the processes met", self._device) from error
        # Destroying a communicator waits for every graph that has captured it, and Python may free those later: so
        # it is left to the end of the process.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._communicator))

    def takes(self, array: Array) -> bool:
        """Whether NCCL can add it up."""
        return array.dtype.name in TYPES and bool(array.flags.c_contiguous) and array.device.id == self.index

    def add_up(self, array: Array) -> None:
        """Let an array become its sum over the processes; noted where a step is recorded. Raises DeviceFault."""
        work = AllReduce(self, array)
        with cupy.cuda.Device(self.index):
            try:
                self._communicator.check_async_error()
            except RuntimeError as error:
                raise told(error, "adding up gradients before", self._device) from error
            work.run()
        at_work = recording.recorder()
        if at_work is not None:
            bare = work.bare(at_work.unleased)
            at_work.note(recording.describe("add_up", bare, bare.run, bare.name, [array]), [array], ((self, array), {}))

    def give(self, array: Array) -> None:
        """Give the sum to the current stream of the team's GPU, which is the current device."""
        kind = getattr(nccl, TYPES[np.dtype(array.dtype).name])
        stream = cupy.cuda.get_current_stream().ptr
        try:
            self._communicator.allReduce(array.data.ptr, array.data.ptr, array.size, kind, nccl.NCCL_SUM, stream)
        except RuntimeError as error:
            raise told(error, "adding up gradients", self._device) from error


class AllReduce(NamedTuple):
    """An array that becomes its sum over the processes of a team."""

    team: Team
    array: Array

    @property
    def name(self) -> str:
        return "NCCL's allReduce"

    def run(self) -> None:
        self.team.give(self.array)

    def bare(self, unleased: Any) -> AllReduce:
        return AllReduce(self.team, unleased(self.array))
