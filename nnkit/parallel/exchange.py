"""What processes add up together: arrays, and the gradients of an optimizer."""

from __future__ import annotations

import functools
import importlib
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.recording import note_call, recorder
from nnkit.optim import Optimizer
from nnkit.optim.arena import has_gradient

__all__ = ["Exchange"]

REASON = "it is exchanged between processes"


class Exchange:
    """Sums over the processes of one of mpi4py's communicators; part of a recorded step, as a call between its
    kernels."""

    def __init__(self, communicator: Any, waiting: AbstractContextManager[None]) -> None:
        self.communicator = communicator
        #: What is to be entered around all that waits for other processes.
        self.waiting = waiting

    def add_up(self, backend: Backend, *arrays: Any) -> None:
        """Let each contiguous array become its sum over all processes."""
        for array in arrays:
            if recorder() is None:
                self._add_up(backend, array)
            else:
                note_call(_named(self._add_up), REASON, backend, (array,), {})

    def _add_up(self, backend: Backend, array: Any) -> None:
        inside = isinstance(array, np.ndarray)
        host = array if inside else backend.download(array)
        with self.waiting:
            self.communicator.Allreduce(_in_place(), host)
        if not inside:
            backend.upload(host, array)

    def gradients(self, optimizer: Optimizer) -> None:
        """Let the optimizer's gradients become their sums over all processes: one call for each of its flat buffers,
        of which there is usually one."""
        optimizer.prepare()
        arena = optimizer.arena
        for parameter in arena.parameters:
            slot = arena.slots.get(id(parameter))
            if slot is not None and has_gradient(parameter):
                slot.settle()
        for block in arena.blocks():
            start, stop = arena.window(block)
            self.add_up(block.backend, block.gradients[start:stop])


@functools.cache
def _in_place() -> Any:
    return importlib.import_module("mpi4py.MPI").IN_PLACE


def _named(method: Any) -> Any:
    """A function for an instruction, with a plain name."""

    def exchange(backend: Backend, array: Any) -> None:
        method(backend, array)

    return exchange
