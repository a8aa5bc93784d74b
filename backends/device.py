"""The name of a place where arrays live: ``numpy``, ``numba``, ``cuda:1``."""

from __future__ import annotations

import functools
import importlib
import os

#: What launchers of MPI (Hydra, Open MPI, MVAPICH, Cray's, Slurm's, Flux) call a process's number on its machine.
LOCAL_RANK = (
    "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "PALS_LOCAL_RANKID", "SLURM_LOCALID",
    "FLUX_TASK_LOCAL_ID",
)  # fmt: skip


class Device:
    """A backend's name and, where there are several of its kind, an index.

    >>> Device.parse("cuda:1")
    device('cuda:1')
    >>> Device("cuda:1") == Device("cuda", 1), Device("numba").type
    (True, 'cpu')

    As in PyTorch a number alone is that of a GPU. "cuda" without one is GPU 0, or, where ``mpirun`` started several
    processes on this machine, this one's own. Raises ValueError for an index that is none, or is given twice.
    """

    __slots__ = ("index", "name")
    name: str
    index: int

    def __init__(self, type: str | int | Device, index: int | None = None) -> None:
        if isinstance(type, Device):
            name, number = type.name, type.index
        elif isinstance(type, int):
            name, number = "cuda", type
        else:
            name, colon, text = type.strip().lower().partition(":")
            if colon and (not text.isdigit() or index is not None):
                raise ValueError(f"device {type!r}: expected a name or name:index such as 'cuda:1', and one index")
            number = int(text) if colon else _of_name(name)
        self.name = name
        self.index = number if index is None else index

    @classmethod
    def parse(cls, text: str) -> Device:
        """From "cuda:1" or "numba". Raises ValueError when the index is not a whole number."""
        return cls(text)

    @property
    def type(self) -> str:
        """ "cuda" for NVIDIA GPUs, "cpu" for the rest."""
        return "cuda" if self.name == "cuda" else "cpu"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and (self.name, self.index) == (other.name, other.index)

    def __hash__(self) -> int:
        return hash((self.name, self.index))

    def __str__(self) -> str:
        return self.name if self.index == _of_name(self.name) else f"{self.name}:{self.index}"

    def __repr__(self) -> str:
        return f"device('{self}')"


def _of_name(name: str) -> int:
    """The index that a name alone means: of GPUs, which the processes of a machine get by turns, one each."""
    rank = _local_rank() if name == "cuda" else 0
    if rank == 0:
        return 0
    try:
        return rank % max(1, importlib.import_module("cupy").cuda.runtime.getDeviceCount())
    except Exception:  # CuPy is missing, or finds no driver: whoever uses the GPU is told
        return 0


@functools.cache
def _local_rank() -> int:
    return next((int(rank) for name in LOCAL_RANK if (rank := os.environ.get(name, "")).isdigit()), 0)
