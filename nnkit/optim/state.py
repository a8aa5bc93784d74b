"""What an optimizer remembers of each parameter (momenta, averages), laid out like the parameters themselves.

One flat buffer for each block and each name: an update kernel walks values, gradients and state side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nnkit.backends.base import Array, Backend
from nnkit.optim.arena import Arena, Block, Run
from nnkit.tensors.tensor import Tensor

#: For each parameter (by ``id``): the names of its state, each with the value it starts from.
Wanted = Mapping[int, Mapping[str, float]]


def transfer(array: Array, source: Backend, out: Array, target: Backend) -> None:
    """Copy an array of the backend ``source`` into ``out`` of ``target``, cast to its dtype."""
    if source is not target:
        array = target.asarray(source.to_numpy(array))
    target.copy(array, out)


class State:
    """The flat state buffers beside an arena.

    Args:
        previous: the state before the parameters moved or the options changed; what it holds moves along.
        alone: leave the memory that other processes see, too.
    """

    def __init__(self, arena: Arena, wanted: Wanted, previous: State | None = None, alone: bool = False) -> None:
        self.slots, self.wanted = arena.slots, wanted
        self.windows = {id(block): arena.window(block) for block in arena.blocks()}
        self.buffers: dict[tuple[int, str], Array] = {}
        #: The buffers that live where other processes see them, too.
        self.shared: set[tuple[int, str]] = set()
        self._zero: set[tuple[int, str]] = set()  # the buffers that are new
        for key, slot in self.slots.items():
            for name in wanted[key]:
                if (id(slot.block), name) not in self.buffers:
                    self.buffers[id(slot.block), name] = self._buffer(slot.block, name, previous, alone)
        for key in self.slots:
            for name, initial in wanted[key].items():
                self._start(key, name, initial, previous)

    def _buffer(self, block: Block, name: str, previous: State | None, alone: bool) -> Array:
        key, (start, end) = (id(block), name), self.windows[id(block)]
        if previous is not None and previous.windows.get(id(block)) == (start, end):
            kept, is_shared = previous.buffers.get(key), key in previous.shared
            if kept is not None and not (alone and is_shared):
                self.shared |= {key} if is_shared else set()
                return kept
        self._zero.add(key)
        return block.backend.zeros((end - start,), block.dtype)

    def _start(self, key: int, name: str, initial: float, previous: State | None) -> None:
        backend = self.slots[key].block.backend
        if previous is None or key not in previous.slots or name not in previous.wanted[key]:
            if initial != 0.0 or (id(self.slots[key].block), name) not in self._zero:
                backend.fill(initial, self._view(key, name))
            return
        old_block = previous.slots[key].block
        if previous.buffers[id(old_block), name] is not self.buffers[id(self.slots[key].block), name]:
            transfer(previous._view(key, name), old_block.backend, self._view(key, name), backend)

    def _view(self, key: int, name: str) -> Array:
        slot = self.slots[key]
        start = self.windows[id(slot.block)][0]
        flat = self.buffers[id(slot.block), name][slot.start - start : slot.stop - start]
        return slot.block.backend.reshape(flat, tuple(slot.value.shape))

    def of(self, parameter: Tensor) -> dict[str, Array]:
        """One parameter's state by name, in its shape; empty while it has no place in the arena."""
        key = id(parameter)
        return {name: self._view(key, name) for name in self.wanted[key]} if key in self.slots else {}

    def flat(self, run: Run, name: str) -> Array:
        """The state beside a run of parameters, one-dimensional."""
        start = self.windows[id(run.block)][0]
        return self.buffers[id(run.block), name][run.start - start : run.stop - start]

    def is_shared(self, block: Block) -> bool:
        """Whether all state beside a block lives where other processes see it, too."""
        return all(key in self.shared for key in self.buffers if key[0] == id(block))

    def share(self, block: Block, memory: Callable[[tuple[int, int], Any], Array], part: slice) -> None:
        """Let the state beside a block move to memory that other processes see, too; this one fills ``part`` of it."""
        start, stop = self.windows[id(block)]
        keys = [key for key in self.buffers if key[0] == id(block)]
        for key, row in zip(keys, memory((len(keys), stop - start), block.dtype), strict=True):
            block.backend.copy(self.buffers[key][part], row[part])
            self.buffers[key] = row
        self.shared.update(keys)
