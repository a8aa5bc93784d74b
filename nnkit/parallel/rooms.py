"""Memory that the processes of one machine (a node) all see, by MPI's shared windows: where their gradients live,
their weights, and, once for all of them, what an optimizer keeps."""

from __future__ import annotations

import importlib
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Node", "Place", "Room"]

#: Bytes before the gradients, a page: how often the process has come to a meeting, and what it counts in a mean.
HEAD = 4096
WEIGHT = 64  # bytes from the start, on a cache line of its own


class Window:
    """Memory that all processes of a node see, to which this one adds so many bytes.

    It is lent as an array, and free again when this process holds neither that array nor a view of it.
    """

    def __init__(self, node: Any, added: int, nbytes: int) -> None:
        self._window = importlib.import_module("mpi4py.MPI").Win.Allocate_shared(added, 1, comm=node)
        self.rank, self.size, self.nbytes = node.Get_rank(), node.Get_size(), nbytes
        self._lent: Callable[[], np.ndarray | None] = lambda: None

    def segment(self, rank: int) -> Any:
        """What the process of this rank has added."""
        return self._window.Shared_query(rank)[0]

    def is_free(self) -> bool:
        """Whether this process holds nothing of it."""
        return self._lent() is None

    def lend(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Memory as an array of this shape."""
        bare = self._bare(dtype, math.prod(shape))
        self._lent = weakref.ref(bare)  # which every view of it holds
        return bare.reshape(shape)

    def _bare(self, dtype: Any, count: int) -> np.ndarray:
        raise NotImplementedError

    def has(self, array: Any) -> bool:
        """Whether it was lent as this array."""
        lent = self._lent()
        return lent is not None and isinstance(array, np.ndarray) and array.ctypes.data == lent.ctypes.data


class Place(Window):
    """One array for all processes of a node, in which is what was there before."""

    def __init__(self, node: Any, nbytes: int) -> None:
        super().__init__(node, nbytes if node.Get_rank() == 0 else 0, nbytes)

    def _bare(self, dtype: Any, count: int) -> np.ndarray:
        return np.frombuffer(self.segment(0), dtype, count)


class Room(Window):
    """Of each process of a node its count of meetings, its weight, and numbers of its own, which are lent as zeros."""

    def __init__(self, node: Any, nbytes: int) -> None:
        super().__init__(node, (1 + -(-nbytes // HEAD)) * HEAD, nbytes)
        self._segments = [self.segment(rank) for rank in range(self.size)]
        self.counts = [np.frombuffer(segment, np.int64, 1) for segment in self._segments]
        self.weights = [np.frombuffer(segment, np.float64, 1, WEIGHT) for segment in self._segments]
        self.counts[self.rank][0] = 0

    def _bare(self, dtype: Any, count: int) -> np.ndarray:
        bare = np.frombuffer(self._segments[self.rank], dtype, count, HEAD)
        bare[...] = 0
        return bare

    def parts(self, dtype: Any, start: int, stop: int) -> list[np.ndarray]:
        """Elements start to stop of every process's array, in the order of the ranks."""
        first = HEAD + start * np.dtype(dtype).itemsize
        return [np.frombuffer(segment, dtype, stop - start, first) for segment in self._segments]

    def meetings(self) -> tuple[int, bool]:
        """To how many meetings this process has come, and whether one of the others has not come to the last yet."""
        own = self.counts[self.rank].item()
        return own, any(count.item() < own for count in self.counts)


class Node:
    """The processes of one machine among those of a communicator, and the rooms that they share.

    communicator: of them alone. across: of those, one on each machine, that have the same rank within theirs; None
    where there is one machine.
    """

    def __init__(self, everybody: Any, communicator: Any) -> None:
        self._everybody, self.communicator = everybody, communicator
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()
        alone = self.size == everybody.Get_size()
        self.across = None if alone else everybody.Split(self.rank, everybody.Get_rank())
        self._rooms: list[Room] = []
        self._places: list[Place] = []

    @classmethod
    def of(cls, everybody: Any) -> Node | None:
        """The node of this process; None, in every process, where nodes have one process each, or not all as many."""
        communicator = neighbours(everybody)
        sizes = set(everybody.allgather(communicator.Get_size()))
        return cls(everybody, communicator) if len(sizes) == 1 and sizes != {1} else None

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array of zeros in a room: one that is free in every process of the node, or a new one.

        All processes call it at once. Raises MemoryError, in every process, where one has no such memory.
        """
        found: np.ndarray = self._lent(self._rooms, Room, shape, dtype)
        return found

    def place(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array that is one for all processes of the node, with anything in it; otherwise as ``zeros``."""
        found: np.ndarray = self._lent(self._places, Place, shape, dtype)
        return found

    def _lent(self, windows: list[Any], kind: Callable[[Any, int], Any], shape: tuple[int, ...], dtype: Any) -> Any:
        need = math.prod(shape) * np.dtype(dtype).itemsize
        own = {number for number, window in enumerate(windows) if window.is_free() and window.nbytes >= need}
        free = set.intersection(*self.communicator.allgather(own))
        made, failed = None, None
        if not free:
            try:
                made = kind(self.communicator, need)
            except Exception as error:  # MPI's own kind, which is not imported here
                failed = error
        if any(self._everybody.allgather(failed is not None)):
            raise MemoryError(f"a process has no shared window of {need} bytes") from failed
        if made is not None:
            windows.append(made)
            return made.lend(shape, dtype)
        return min((windows[number] for number in sorted(free)), key=lambda window: window.nbytes).lend(shape, dtype)

    def room_of(self, array: Any) -> Room | None:
        """The room that was lent as this array."""
        return next((room for room in self._rooms if room.has(array)), None)

    def meetings(self) -> tuple[int, bool]:
        """The same over all rooms; from whatever thread one asks."""
        found = [room.meetings() for room in self._rooms]
        return sum(count for count, _ in found), any(waits for _, waits in found)


def neighbours(everybody: Any) -> Any:
    """Those of a communicator's processes that can share memory with this one, as a communicator."""
    return everybody.Split_type(importlib.import_module("mpi4py.MPI").COMM_TYPE_SHARED)
