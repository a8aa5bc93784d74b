"""Training on several processes, of one machine or of many: each computes on its rows of every batch.

``model.fit(x, y, ..., parallel="mpi")``, started by ``mpirun -n 4 python train.py``, trains as one process does; a loop
of one's own takes ``MPI().optimizer(optimizer)`` and ``shard(data)``. Started without mpirun both run in one process.
It needs mpi4py (``pip install "nnkit-engine[mpi]"``) and an MPI.
"""

from nnkit.parallel.mpi import MPI
from nnkit.parallel.shards import shard

__all__ = ["MPI", "shard"]


def __dir__() -> list[str]:
    return sorted(__all__)
