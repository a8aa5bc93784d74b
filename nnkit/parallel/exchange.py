"""What processes add up together: arrays, and the gradients of an optimizer.

Between the processes of one machine gradients are not sent: they live in memory that all of them see, each adds up a
part of everybody's and writes it to everybody's place: a reduce-scatter and an all-gather in one pass. Between machines
each then adds its part up with those who have the same part there. All of it is instructions of a recorded step. The
update that follows is divided in the same way (``updates``).
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.neighbours import Neighbours
from nnkit.backends.recording import note_call, paused, recorder
from nnkit.optim import Optimizer
from nnkit.optim.arena import Block, has_gradient
from nnkit.parallel.gpus import team_of
from nnkit.parallel.rooms import Node, Room
from nnkit.parallel.updates import divided, is_elementwise, own_part, shared_blocks
from nnkit.parallel.watch import Waiting

__all__ = ["Exchange", "Weight", "exchange_of"]

REASON = "it is exchanged between processes"


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
        self._may_share = self._may_divide = True
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
        mine = own_part(len(whole_parts[0]), rank, len(whole_parts))
        parts = [part[mine] for part in whole_parts]
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

    def divided(self, optimizer: Optimizer) -> AbstractContextManager[None]:
        """Inside, a step of the optimizer, after an exchange, is divided where it can be; see ``updates``."""
        if self._node is None or not is_elementwise(optimizer):
            return contextlib.nullcontext()
        optimizer.prepare()
        if self._may_divide:
            self._share_state(self._node, optimizer)
        return divided(self._node, optimizer)

    def _share_state(self, node: Node, optimizer: Optimizer) -> None:
        """Let the state of blocks whose numbers are shared be one for the processes of this machine."""
        for block in shared_blocks(node, optimizer):
            if optimizer.shares_state(block):
                continue
            start, stop = optimizer.arena.window(block)
            own = own_part(stop - start, node.rank, node.size)
            try:
                with self.waiting:
                    optimizer.share_state(block, node.place, own)
            except MemoryError:  # in every process
                self._may_divide = False
                return

    def _share_memory(self, optimizer: Optimizer) -> None:
        """Let gradients on the host live where the processes of this machine see them, and the values of a step that
        can be divided: this is done once."""
        blocks = [block for block in optimizer.arena.blocks() if _is_for_neighbours(block)]
        if not blocks or not self._may_share:
            return
        if self._node is None:
            with self.waiting:
                self._node = Node.of(self.communicator)
            self._may_share = self._node is not None
            if self._node is not None:
                self.waiting.also(self._node.meetings)
        divides = self._may_divide and is_elementwise(optimizer)
        strangers = [block for block in blocks if not self._is_at_home(block, divides)]
        if not strangers:
            return
        at_work = recorder()
        if at_work is not None:
            at_work.unsettled()
        with paused(), self.waiting:
            for block in strangers:
                self._move(optimizer, block, divides)
            optimizer.prepare()

    def _is_at_home(self, block: Block, divides: bool) -> bool:
        if self._node is None:
            return True
        return all(self._node.room_of(array) for array in (block.gradients, *([block.values] if divides else [])))

    def _move(self, optimizer: Optimizer, block: Block, divides: bool) -> None:
        slots = optimizer.arena.slots
        members = [p for p in optimizer.arena.parameters if id(p) in slots and slots[id(p)].block is block]
        if self._may_share:
            try:
                Block.of(members, lambda length, dtype: self._memory(block.backend, divides, length, dtype))
            except MemoryError:  # in every process
                self._may_share = False

    def _memory(self, backend: Backend, divides: bool, length: int, dtype: Any) -> tuple[Any, Any]:
        """Values and gradients in rooms; values where there is room for both."""
        assert self._node is not None
        gradients = self._node.zeros((length,), dtype)
        if divides and self._may_divide:
            try:
                return self._node.zeros((length,), dtype), gradients
            except MemoryError:  # in every process
                self._may_divide = False
        return backend.zeros((length,), dtype), gradients


def _is_for_neighbours(block: Block) -> bool:
    return isinstance(block.backend, Neighbours) and str(block.dtype) in ("float32", "float64")


_made: list[Exchange] = []


def exchange_of(communicator: Any, waiting: Waiting) -> Exchange:
    """The one of this communicator, which waits so where it is new: shared memory is made once."""
    found = next((made for made in _made if made.communicator == communicator), None)
    if found is None:
        found = Exchange(communicator, waiting)
        _made.append(found)
    return found


@functools.cache
def _in_place() -> Any:
    return importlib.import_module("mpi4py.MPI").IN_PLACE
