"""What processes add up together: arrays, and the gradients of an optimizer.

Between the processes of one machine gradients are not sent: they live in memory that all of them see, each adds up a
part of everybody's and writes it to everybody's place: a reduce-scatter and an all-gather in one pass. Between machines
each then adds its part up with those who have the same part there. All of it is instructions of a recorded step.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.neighbours import Neighbours
from nnkit.backends.recording import note_call, paused, recorder
from nnkit.optim import Optimizer
from nnkit.optim.arena import Block, has_gradient
from nnkit.parallel.gpus import team_of
from nnkit.parallel.rooms import Node, Room
from nnkit.parallel.watch import Waiting

__all__ = ["Exchange", "Weight", "exchange_of"]

REASON = "it is exchanged between processes"
#: Processes add up parts that begin at multiples of so many elements: no two of them write to one cache line.
STEP = 64


class Weight(NamedTuple):
    """What a process counts in a mean over all of them; ``whole`` is the sum of what they count, None if that is not
    known before."""

    own: float
    whole: float | None


class Exchange:
    """Sums over the processes of one of mpi4py's communicators."""

    def __init__(self, communicator: Any, waiting: Waiting) -> None:
        self.communicator = communicator
        #: What is to be entered around all that waits for other processes, but for kernels.
        self.waiting = waiting
        self._may_share = True
        self._node: Node | None = None

    def add_up(self, backend: Backend, *arrays: Any) -> None:
        """Let each contiguous array become its sum over all processes; part of a recorded step, as a call,
        or between GPUs that can as a kernel of NCCL's."""
        team = team_of(self.communicator, backend, self.waiting)
        for array in arrays:
            if team is not None and team.takes(array):
                team.add_up(array)
            else:
                self._reduce(self.communicator, backend, array)

    def _reduce(self, communicator: Any, backend: Backend, array: Any) -> None:
        def exchange(backend: Backend, array: Any) -> None:
            inside = isinstance(array, np.ndarray)
            host = array if inside else backend.download(array)
            with self.waiting:
                communicator.Allreduce(_in_place(), host)
            if not inside:
                backend.upload(host, array)

        if recorder() is None:
            exchange(backend, array)
        else:
            note_call(exchange, REASON, backend, (array,), {})

    # ---- gradients ----------------------------------------------------------------------------------------

    def gradients(self, optimizer: Optimizer, weight: Weight | None = None) -> None:
        """Let the optimizer's gradients become their sums over all processes, or their mean by each one's weight."""
        optimizer.prepare()
        self._share_memory(optimizer)
        arena = optimizer.arena
        for parameter in arena.parameters:
            slot = arena.slots.get(id(parameter))
            if slot is not None and has_gradient(parameter):
                slot.settle()
        for block in arena.blocks():
            start, stop = arena.window(block)
            room = None if self._node is None else self._node.room_of(block.gradients)
            if room is None:
                self._send(block.backend, block.gradients[start:stop], weight)
            else:
                self._merge(block.backend, room, room.parts(block.dtype, start, stop), weight)

    def _send(self, backend: Backend, part: Any, weight: Weight | None) -> None:
        """By MPI's Allreduce."""
        if weight is not None:
            factor = backend.empty((1,), backend.dtype_of(part))
            backend.fill(weight.own, factor)
            backend.map("div", (factor, self._whole(backend, weight, backend.dtype_of(part))), (factor,))
            backend.map("mul", (part, backend.broadcast_to(factor, part.shape)), (part,))
        self.add_up(backend, part)

    def _merge(self, backend: Any, room: Room, whole_parts: list[np.ndarray], weight: Weight | None) -> None:
        """By memory that the processes of a machine share: this one adds up its part, and gives it to all."""
        assert self._node is not None
        rank, across = self._node.rank, self._node.across
        parts = _parts_of(whole_parts, rank)
        own, others = parts[rank], [part for k, part in enumerate(parts) if k != rank]
        weights, whole = [], None
        if weight is not None:
            backend.fill(weight.own, room.weights[rank])
            weights = room.weights
            whole = None if across is None else self._whole(backend, weight, np.float64)
        backend.meet(room.counts, rank)
        if len(own):
            backend.merge(parts, weights, whole, parts if across is None else [own])
            if across is not None:
                self._reduce(across, backend, own)
                backend.merge([own], [], None, others)
        backend.meet(room.counts, rank)

    def _whole(self, backend: Backend, weight: Weight, dtype: Any) -> Any:
        """The sum of the weights, on the device."""
        found = backend.empty((1,), dtype)
        backend.fill(weight.own if weight.whole is None else weight.whole, found)
        if weight.whole is None:
            self.add_up(backend, found)
        return found

    # ---- memory -------------------------------------------------------------------------------------------

    def _share_memory(self, optimizer: Optimizer) -> None:
        """Let gradients on the host live where the processes of this machine see them: this is done once."""
        blocks = [block for block in optimizer.arena.blocks() if _is_for_neighbours(block)]
        if not blocks or not self._may_share:
            return
        if self._node is None:
            with self.waiting:
                self._node = Node.of(self.communicator)
            self._may_share = self._node is not None
            if self._node is not None:
                self.waiting.also(self._node.meetings)
        strangers = [block for block in blocks if self._node is not None and not self._node.room_of(block.gradients)]
        if not strangers:
            return
        at_work = recorder()
        if at_work is not None:
            at_work.unsettled()
        with paused(), self.waiting:
            for block in strangers:
                self._move(optimizer, block)
            optimizer.prepare()

    def _move(self, optimizer: Optimizer, block: Block) -> None:
        slots = optimizer.arena.slots
        members = [p for p in optimizer.arena.parameters if id(p) in slots and slots[id(p)].block is block]
        if self._may_share and self._node is not None:
            try:
                Block.of(members, self._node.zeros)
            except MemoryError:  # in every process
                self._may_share = False


def _is_for_neighbours(block: Block) -> bool:
    return isinstance(block.backend, Neighbours) and str(block.dtype) in ("float32", "float64")


def _parts_of(arrays: list[np.ndarray], rank: int) -> list[np.ndarray]:
    """Of each process's array the elements that the process of this rank adds up.

    >>> [len(_parts_of([np.zeros(200)] * 3, rank)[0]) for rank in range(3)]
    [128, 72, 0]
    """
    share = -(-len(arrays[0]) // (len(arrays) * STEP)) * STEP
    return [array[rank * share : (rank + 1) * share] for array in arrays]


_made: list[Exchange] = []


def exchange_of(communicator: Any, waiting: Waiting) -> Exchange:
    """The one of this communicator, which waits so from now on: shared memory is made once."""
    found = next((made for made in _made if made.communicator == communicator), None)
    if found is None:
        found = Exchange(communicator, waiting)
        _made.append(found)
    found.waiting = waiting
    return found


@functools.cache
def _in_place() -> Any:
    return importlib.import_module("mpi4py.MPI").IN_PLACE
