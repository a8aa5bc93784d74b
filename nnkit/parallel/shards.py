"""Which rows belong to which process."""

from __future__ import annotations

from typing import Any

from nnkit.parallel.mpi import MPI
from nnkit.utils.data import Dataset, Subset

__all__ = ["shard"]


def shard(*data: Any, mpi: MPI | None = None, even: bool = True) -> Any:
    """This process's rows of arrays, Tensors, lists or a Dataset: one part after another, in the order of the ranks.

    ``even`` leaves out the last rows that do not go round, so that every process has as many batches: each step waits
    for all of them. Without it, the first ranks may have one row more. Returns a tuple where several were given; a
    Dataset becomes a Subset. Raises ValueError where their lengths differ, or there are fewer rows than processes.

    Source: nnkit's own, as ``torch.utils.data.distributed.DistributedSampler``.

    >>> shard([1, 2, 3])
    [1, 2, 3]
    >>> class Second(MPI):
    ...     rank, size = 1, 2
    >>> shard([1, 2, 3, 4, 5], mpi=Second()), shard([1, 2, 3, 4, 5], mpi=Second(), even=False)
    ([3, 4], [4, 5])
    """
    mpi = MPI() if mpi is None else mpi
    lengths = {len(part) for part in data}
    if len(lengths) != 1:
        raise ValueError(f"shard takes data of one length, got {[len(part) for part in data]}")
    (count,) = lengths
    if count < mpi.size:
        raise ValueError(f"there are {count} rows for {mpi.size} processes; each needs at least one")
    share = mpi.share(count // mpi.size * mpi.size if even else count)
    rows = slice(share.first, share.first + share.rows)
    own = tuple(Subset(part, range(rows.start, rows.stop)) if isinstance(part, Dataset) else part[rows]
                for part in data)  # fmt: skip
    return own[0] if len(own) == 1 else own
