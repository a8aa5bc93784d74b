"""Training on two processes beside PyTorch's DistributedDataParallel (gloo): steps, exchanges, and how they scale.

    python -m bench.lab.parallel [--rounds 15] [--launcher "mpiexec -bind-to core"]

starts itself on two processes, one thread each, and writes ``bench/results/ranks-PROCESSOR.json`` and ``.md``. All that
is compared takes turns in one run; tables show medians over the rounds, and ratios are taken round by round. A turn is
as many steps as fill some 50 milliseconds, begun together.

A step is Adam's, recorded, on the network and rows that the table names: with an exchange in it (``both``), without one
in both processes at once (``apart``), and in the first process while the other waits (``one``). The exchange alone is
nnkit's as a recorded step has it, MPI's Allreduce of as many numbers, and gloo's.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nnkit
from bench import machine
from bench.lab import parallel_page
from bench.lab.parallel_parts import parts
from nnkit import nn, optim
from nnkit.parallel import MPI

#: Sizes of the layers.
NETWORKS = ((784, 128, 10), (784, 512, 512, 10), (1024, 2048, 2048, 1000))
#: Rows of each process: half of a batch of 256, all of it, and few.
ROWS = (64, 128, 256)
TURN = 0.05  # seconds
RESULTS = machine.ROOT / "bench" / "results"


class Turn(NamedTuple):
    """What is timed; ``first_only``: in the process of rank 0, while the other waits."""

    run: Callable[[], Any]
    first_only: bool = False


def ours(sizes: tuple[int, ...], mpi: MPI) -> dict[str, Turn]:
    """Steps by nnkit, and what they exchange."""
    turns: dict[str, Turn] = {}
    for kind, of in (("both", mpi.optimizer), ("apart", lambda plain: plain)):
        model = _network(nn, sizes)
        mpi.broadcast(model)
        optimizer: Any = of(optim.Adam(model.parameters()))
        loss = nn.CrossEntropyLoss()

        def step(
            x: nnkit.Tensor, y: nnkit.Tensor, model: Any = model, optimizer: Any = optimizer, loss: Any = loss
        ) -> None:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()

        compiled = nnkit.compile(step)
        for rows in ROWS:
            x = nnkit.tensor(np.random.default_rng(rows + mpi.rank).random((rows, sizes[0]), np.float32))
            y = nnkit.tensor(np.arange(rows) % sizes[-1])
            turns[f"nnkit {kind} {rows}"] = Turn(lambda compiled=compiled, x=x, y=y: compiled(x, y))
            if kind == "apart":
                turns[f"nnkit one {rows}"] = Turn(turns[f"nnkit apart {rows}"].run, first_only=True)
        if kind == "both":
            turns["nnkit exchange"] = Turn(_exchange(optimizer, mpi))
            flat = np.zeros_like(optimizer.arena.blocks()[0].gradients)
            turns["MPI exchange"] = Turn(functools.partial(mpi.add_up, x.backend, flat))
    return turns


def _exchange(optimizer: Any, mpi: MPI) -> Callable[[], Any]:
    """The exchange as instructions, without the rest of a step."""

    @nnkit.compile
    def alone(x: nnkit.Tensor) -> None:
        mpi.mean(optimizer)

    for parameter in optimizer.arena.parameters:
        parameter.grad = nnkit.zeros(*parameter.shape)
    x = nnkit.ones(1)
    return lambda: alone(x)


def theirs(sizes: tuple[int, ...]) -> dict[str, Turn]:
    """The same by PyTorch and gloo."""
    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    turns: dict[str, Turn] = {}
    loss = torch.nn.CrossEntropyLoss()
    for kind in ("both", "apart"):
        plain = _network(torch.nn, sizes)
        model = DistributedDataParallel(plain) if kind == "both" else plain
        optimizer = torch.optim.Adam(model.parameters(), foreach=True)
        for rows in ROWS:
            x, y = torch.rand(rows, sizes[0]), torch.arange(rows) % sizes[-1]

            def step(model: Any = model, optimizer: Any = optimizer, x: Any = x, y: Any = y) -> None:
                optimizer.zero_grad()
                loss(model(x), y).backward()
                optimizer.step()

            turns[f"DDP {kind} {rows}"] = Turn(step)
            if kind == "apart":
                turns[f"DDP one {rows}"] = Turn(step, first_only=True)
    flat = torch.zeros(sum(parameter.numel() for parameter in model.parameters()))
    turns["gloo exchange"] = Turn(lambda: distributed.all_reduce(flat))
    return turns


def _network(words: Any, sizes: tuple[int, ...]) -> Any:
    layers: list[Any] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [words.Linear(fan_in, fan_out), words.ReLU()]
    return words.Sequential(*layers[:-1])


def measured(turns: Mapping[str, Turn], mpi: MPI, rounds: int) -> dict[str, list[list[float]]]:
    """Milliseconds of one call, by turn and round, in each of the processes that take part."""
    counts = {name: _count(turn, mpi) for name, turn in turns.items()}
    found: dict[str, list[list[float]]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            seconds = _timed(turn, counts[name], mpi)
            found[name].append([round(1e3 * value, 5) for value in mpi.gather(seconds) if value is not None])
    return found


def _count(turn: Turn, mpi: MPI) -> int:
    for _ in range(3):  # the first runs plainly, the second is recorded
        turn.run()
    seconds = _timed(turn, 2, mpi)
    return int(mpi.from_first(max(1, round(TURN / (seconds or TURN)))))


def _timed(turn: Turn, count: int, mpi: MPI) -> float | None:
    """Seconds of one call; None where this process only waits."""
    mpi.communicator.Barrier()
    if turn.first_only and mpi.rank:
        return None
    before = time.perf_counter()
    for _ in range(count):
        turn.run()
    return (time.perf_counter() - before) / count


def worker(folder: Path, rounds: int) -> None:
    """What each of the two processes does."""
    import torch

    mpi = MPI()
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=mpi.rank, world_size=mpi.size)
    times = {
        "-".join(map(str, sizes)): measured({**ours(sizes, mpi), **theirs(sizes)}, mpi, rounds) for sizes in NETWORKS
    }
    in_parts = measured({name: Turn(run) for name, run in parts(NETWORKS[-1], mpi).items()}, mpi, rounds)
    torch.distributed.destroy_process_group()
    if mpi.rank == 0:
        library = importlib.import_module("mpi4py.MPI").Get_library_version()
        said = {
            "mpi": " ".join(library.splitlines()[0].split()),
            "times": times,
            "parts": in_parts,
        }
        (folder / "found.json").write_text(json.dumps(said))


def main() -> None:
    reading = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reading.add_argument("--rounds", type=int, default=15)
    reading.add_argument("--launcher", default="mpiexec", help="with its options, but for the number of processes")
    reading.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    asked = reading.parse_args()
    if asked.worker:
        worker(asked.worker, asked.rounds)
        return
    launcher, *options = shlex.split(asked.launcher)
    launcher = shutil.which(launcher) or str(Path(sys.executable).parent / launcher)
    found = machine.describe(("mpi4py", "torch", "numpy", "numba"))
    found |= {"rounds": asked.rounds, "launcher": asked.launcher, "load_before": machine.load()}
    with tempfile.TemporaryDirectory() as folder:
        here = [sys.executable, "-m", "bench.lab.parallel", "--rounds", str(asked.rounds), "--worker", folder]
        environment = {**os.environ, "NNKIT_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run([launcher, *options, "-n", "2", *here], env=environment, check=True)
        found |= json.loads(Path(folder, "found.json").read_text())
    found["load_after"] = machine.load()
    place = RESULTS / f"ranks-{machine.slug(found['processor'], found['vectors'])}"
    place.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    page = parallel_page.page(found)
    place.with_suffix(".md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
