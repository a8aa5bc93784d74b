"""Exchanging gradients between two processes: MPI's Allreduce as nnkit calls it, beside PyTorch's gloo.

    python -m bench.lab.parallel            # starts itself by mpiexec -n 2, one thread each

In one run and in turns, for each network: one exchange of all gradients (nnkit's flat buffer by MPI, a flat buffer of
as many numbers by gloo), and one step of Adam: nnkit's recorded step with ``MPI().optimizer``, PyTorch's
``DistributedDataParallel``, which exchanges while backward still runs; and nnkit's step without an exchange, in both
processes at once. Medians of the slower rank, in milliseconds.

On two cores of an AMD EPYC (Zen 4), shared (load 2.3 to 3.3), MPICH 5, PyTorch 2.13, medians of four runs: an
exchange takes 0.13 to 0.33 ms for 784-128-10, 0.03 to 0.12 of gloo's; 0.4 to 1.7 ms for 784-512-512-10, 0.14 to
0.36; 11 to 13 ms for 1024-2048-2048-1000 (8.3 million numbers), 0.29 to 0.33. A step takes 0.15 to 0.24, 0.28 to 0.41
and 0.54 to 0.58 of DDP's. The largest network's takes 1.4 to 1.5 times as long as without an exchange: more than the
exchange alone, for the slower process is waited for, and a mean is taken.
"""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nnkit
from nnkit import nn, optim
from nnkit.parallel import MPI

#: Sizes of the layers, and the rows of each process.
NETWORKS = (((784, 128, 10), 64), ((784, 512, 512, 10), 64), ((1024, 2048, 2048, 1000), 64))
ROUNDS = 15


def ours(sizes: tuple[int, ...], rows: int, mpi: MPI) -> dict[str, Callable[[], Any]]:
    """An exchange, a step with it, and one without."""
    found: dict[str, Callable[[], Any]] = {}
    x = nnkit.tensor(np.ones((rows, sizes[0]), np.float32))
    y = nnkit.tensor(np.arange(rows) % sizes[-1])
    for name, of in (("step", mpi.optimizer), ("alone", lambda plain: plain)):
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
        mpi.broadcast(model)
        optimizer, loss = of(optim.Adam(model.parameters())), nn.CrossEntropyLoss()

        def step(
            x: nnkit.Tensor, y: nnkit.Tensor, model: Any = model, optimizer: Any = optimizer, loss: Any = loss
        ) -> None:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()

        compiled = nnkit.compile(step)
        found[name] = lambda compiled=compiled: compiled(x, y)  # type: ignore[misc]
        if name == "step":
            found["exchange"] = lambda optimizer=optimizer: mpi.exchange(optimizer)  # type: ignore[misc]
    return found


def theirs(sizes: tuple[int, ...], rows: int) -> dict[str, Callable[[], Any]]:
    """The same by PyTorch and gloo."""
    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    layers: list[Any] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    model = DistributedDataParallel(torch.nn.Sequential(*layers[:-1]))
    optimizer, loss = torch.optim.Adam(model.parameters(), foreach=True), torch.nn.CrossEntropyLoss()
    x, y = torch.ones(rows, sizes[0]), torch.arange(rows) % sizes[-1]
    flat = torch.zeros(sum(parameter.numel() for parameter in model.parameters()))

    def step() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return {"torch step": step, "torch exchange": lambda: distributed.all_reduce(flat)}


def measured(runs: dict[str, Callable[[], Any]], mpi: MPI) -> dict[str, float]:
    """Medians in milliseconds, taken in turns; of each round the slower rank's."""
    for run in runs.values():
        for _ in range(4):
            run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            mpi.communicator.Barrier()
            before = time.perf_counter()
            for _ in range(3):
                run()
            times[name].append(max(mpi.gather(time.perf_counter() - before)) / 3)
    return {name: 1e3 * statistics.median(found) for name, found in times.items()}


def worker(place: str) -> None:
    """What each of the two processes does."""
    import torch

    mpi = MPI()
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{place}", rank=mpi.rank, world_size=mpi.size)
    for sizes, rows in NETWORKS:
        found = measured({**ours(sizes, rows, mpi), **theirs(sizes, rows)}, mpi)
        if mpi.rank == 0:
            name = "-".join(map(str, sizes))
            print(
                f"{name:22} {rows} rows each | "
                f"exchange: {found['exchange']:.3f} ms, gloo {found['torch exchange']:.3f} "
                f"(ratio {found['exchange'] / found['torch exchange']:.2f}) | step: {found['step']:.2f} ms, DDP "
                f"{found['torch step']:.2f}, without exchange {found['alone']:.2f}",
                flush=True,
            )
    torch.distributed.destroy_process_group()


def main() -> None:
    if len(sys.argv) > 1:
        worker(sys.argv[1])
        return
    launcher = shutil.which("mpiexec") or str(Path(sys.executable).parent / "mpiexec")
    with tempfile.TemporaryDirectory() as folder:
        print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors", flush=True)
        command = [launcher, "-n", "2", sys.executable, "-m", "bench.lab.parallel", f"{folder}/meeting"]
        environment = {**os.environ, "NNKIT_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
