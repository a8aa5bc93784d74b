"""Finding the processes that mpirun started, and ending all of them when one of them fails."""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

__all__ = ["abort", "before_all_end", "end_all", "end_together", "world"]

#: What launchers of MPI (Hydra, Open MPI, PMIx, Slurm's and Cray's) tell each process that they start.
LAUNCHED = (
    "PMI_RANK", "PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "MPI_LOCALRANKID",
    "PALS_RANKID",
)  # fmt: skip


#: Seconds in which a launcher passes on what a process said last; Abort ends the launcher, too.
HEARD = 0.5


def world() -> Any:
    """The communicator of all processes that mpirun started; None where it did not start this one.

    Raises ImportError where it did and mpi4py is missing.
    """
    if not any(name in os.environ for name in LAUNCHED):
        return None
    try:
        return importlib.import_module("mpi4py.MPI").COMM_WORLD
    except ImportError as error:
        raise ImportError(
            f'this process was started by mpirun, and mpi4py cannot be used: {error}. pip install "nnkit-engine[mpi]"'
        ) from error
    except RuntimeError as error:  # mpi4py's wheels look for the library when they are loaded
        raise ImportError(f"mpi4py finds no MPI library: {error}. Install MPICH or Open MPI") from error


_ended: list[Any] = []


def end_together(communicator: Any) -> None:
    """Let an error that nobody catches in this process end the others too: they would wait for it for ever."""
    if not _ended:
        before = sys.excepthook

        def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            abort(_ended[0], kind, error, trace, before)

        sys.excepthook = tell
        _ended.append(communicator)


def abort(communicator: Any, kind: Any, error: Any, trace: Any, before: Any = None) -> None:
    """Say which rank failed and by what, then end every process."""
    whole = said = ""
    try:
        if before not in (None, sys.__excepthook__):
            before(kind, error, trace)
        said = "".join(traceback.format_exception_only(kind, error)).strip()
        whole = "".join(traceback.format_exception(kind, error, trace))
    finally:
        end_all(communicator, f"rank {communicator.Get_rank()}: {said}", whole)


#: What is called before every process ends because of one of them.
before_all_end: list[Callable[[], None]] = []


def end_all(communicator: Any, said: str, before: str = "") -> None:
    """End every process, after a line that says why."""
    try:
        for call in before_all_end:
            call()
        sys.stderr.write(f"{before}{said}; all ranks end\n")
        sys.stderr.flush()
        sys.stdout.flush()
        time.sleep(HEARD)
    finally:
        communicator.Abort(1)
