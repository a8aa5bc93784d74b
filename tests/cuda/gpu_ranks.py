"""``mpiexec -n 2 python gpu_ranks.py FOLDER WORD`` trains on pretended GPUs; ranks write what they saw to FOLDER."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import stand_in
from stand_in.machine import Machine
from streamed_cublaslt import StreamedLibrary

import nnkit
from nnkit import nn
from nnkit.parallel import MPI
from nnkit.training.replay import Replay

X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 40)


def trained(parallel: Any, device: str) -> dict[str, Any]:
    """A short ``fit``; what it came to."""
    nnkit.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3)).to(device)
    history = model.fit(X, Y, loss="cross_entropy", epochs=3, batch_size=8, seed=5, verbose=0, parallel=parallel)
    return {"history": history.history, "device": str(model[0].weight.device), "index": model[0].weight.device.index}


def fails(machine: Machine) -> None:
    """NCCL cannot be set up in the process of rank 1."""
    from cupy.cuda.nccl import NcclError

    if MPI().rank == 1:
        machine.fail("ncclCommInitRank", 1, NcclError(2), 1)


def lacks(machine: Machine) -> None:
    """There is no NCCL in the process of rank 1."""
    if MPI().rank == 1:
        sys.modules["cupy.cuda.nccl"].available = False  # type: ignore[attr-defined]


def refuses_capture(machine: Machine) -> None:
    """NCCL runs, and lets no stream capture it."""
    from cupy.cuda.nccl import NcclCommunicator, NcclError

    reduce = NcclCommunicator.allReduce

    def uncaptured(self: Any, *arguments: int) -> None:
        if stand_in.queues.state_of(arguments[-1]).capture is not None:
            raise NcclError(5)
        reduce(self, *arguments)

    NcclCommunicator.allReduce = uncaptured


#: Word -> the device that each rank asks for, and what is different there.
CASES: dict[str, tuple[str, Callable[[Machine], None]]] = {
    "own": ("cuda", lambda machine: None),
    "shared": ("cuda:0", lambda machine: None),
    "fails": ("cuda", fails),
    "lacks": ("cuda", lacks),
    "uncaptured": ("cuda", refuses_capture),
}


@contextmanager
def on_the_emulator() -> Iterator[None]:
    """Kernels run as Python, and cuBLASLt is a stand-in."""
    from nnkit.backends.cuda import cublaslt, modules

    with (
        mock.patch.object(modules, "compile", stand_in.compile_source),
        mock.patch.object(cublaslt, "load", StreamedLibrary),
    ):
        yield


def pretended(*arguments: Any) -> dict[str, Any]:
    """``bench.gpu.sums.rank``, on pretended GPUs."""
    from bench.gpu import sums

    with stand_in.installed() as machine:
        machine.device_count = arguments[3] + 1
        with on_the_emulator():
            return sums.rank(*arguments)


def main() -> None:
    folder, word = sys.argv[1:]
    device, change = CASES[word]
    nnkit.set_device_fallback(False)
    with stand_in.installed() as machine, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        replayed = [0]
        replay = Replay._replay

        def counting(self: Replay, rows: int, times: int) -> int:
            replayed[0] += (done := replay(self, rows, times))
            return done

        with on_the_emulator(), mock.patch.object(Replay, "_replay", counting):
            change(machine)
            found = trained("mpi", device)
            assert trained("mpi", device) == found, "the second training begins with the communicator of the first"
            counts = dict(machine.counts)
        mpi = MPI()
        found |= {
            "replayed": replayed[0], "sums": counts.get("sums by NCCL", 0), "calls": counts.get("ncclAllReduce", 0),
            "met": counts.get("ncclCommInitRank", 0), "warned": [str(warning.message) for warning in caught],
        }  # fmt: skip
        Path(folder, f"{mpi.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
