"""Whether an exchange that begins while backward still runs is over earlier, with as many processes as cores.

What is computed stands for a backward: the product of each layer's gradient, the last layer's first. "after" exchanges
when all are there, "in parts" begins with each layer's when that is there: by MPI's Iallreduce, which is given time
after each layer, or in shared memory, by a meeting for each part.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import nnkit
from nnkit.parallel import MPI
from nnkit.parallel.rooms import Node

ROWS = 128


def parts(sizes: tuple[int, ...], mpi: MPI) -> dict[str, Callable[[], Any]]:
    """What computes and exchanges, by name."""
    node = Node.of(mpi.communicator)
    if node is None:
        raise RuntimeError("the two processes must be on one machine")
    shapes = [(fan_out, fan_in) for fan_in, fan_out in itertools.pairwise(sizes)][::-1]
    ends = [0, *itertools.accumulate(fan_in * fan_out for fan_in, fan_out in shapes)]
    own = node.zeros((ends[-1],), np.float32)
    room: Any = node.room_of(own)
    factors = [(np.ones((ROWS, shape[0]), np.float32), np.ones((ROWS, shape[1]), np.float32)) for shape in shapes]
    gradients = [own[first:end].reshape(shape) for first, end, shape in zip(ends, ends[1:], shapes, strict=False)]
    backend: Any = nnkit.ones(1).backend
    in_place = importlib.import_module("mpi4py.MPI").IN_PLACE
    begin: Any = mpi.communicator.Iallreduce

    def layers() -> Any:
        for (dy, x), out in zip(factors, gradients, strict=True):
            np.matmul(dy.T, x, out=out)
            yield out

    def merge(first: int, end: int) -> None:
        half = (end - first) // 2
        found = room.parts(np.float32, first + mpi.rank * half, first + (mpi.rank + 1) * half)
        backend.meet(room.counts, mpi.rank)
        backend.merge(found, [], None, found)

    def by_mpi_in_parts() -> None:
        requests: list[Any] = []
        for out in layers():
            requests.append(begin(in_place, out))
            for request in requests:
                request.Test()
        for request in requests:
            request.Wait()

    def by_mpi_after() -> None:
        list(layers())
        mpi.communicator.Allreduce(in_place, own)

    def shared_in_parts() -> None:
        for (first, end), _ in zip(itertools.pairwise(ends), layers(), strict=True):
            merge(first, end)
        backend.meet(room.counts, mpi.rank)

    def shared_after() -> None:
        list(layers())
        merge(0, ends[-1])
        backend.meet(room.counts, mpi.rank)

    return {
        "no exchange": lambda: list(layers()),
        "Allreduce after": by_mpi_after,
        "Iallreduce in parts": by_mpi_in_parts,
        "shared after": shared_after,
        "shared in parts": shared_in_parts,
    }
