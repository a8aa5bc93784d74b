"""A communicator of two processes, of which the other one always has what this one has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn, optim
from nnkit.parallel import MPI, exchange, mpi, rooms
from nnkit.parallel.watch import Watch


class Alone:
    """The processes of this one's machine, on which the other is not."""

    def Get_size(self) -> int:
        return 1


class Twin:
    """What is used of mpi4py's communicators."""

    def Get_rank(self) -> int:
        return 0

    def Get_size(self) -> int:
        return 2

    def allgather(self, value: Any) -> list[Any]:
        return [value, value]

    def bcast(self, value: Any, root: int = 0) -> Any:
        return value

    def Allreduce(self, send: Any, receive: np.ndarray) -> None:
        receive *= 2


def with_twin(monkeypatch: pytest.MonkeyPatch) -> MPI:
    """The first of two processes; nothing of MPI is needed."""
    monkeypatch.setattr(exchange, "_in_place", lambda: None)
    monkeypatch.setattr(rooms, "neighbours", lambda everybody: Alone())
    monkeypatch.setattr(mpi, "end_together", lambda communicator: None)
    monkeypatch.setattr(mpi, "watch_of", Watch)
    return MPI(Twin())


def check_loop(device: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A recorded step of one's own is that of one process to the bit, where the other has the same; the step."""
    found, steps = [], []
    for exchanged in (False, True):
        nnkit.manual_seed(1)
        model = nn.Linear(3, 2).to(device)
        optimizer: Any = optim.SGD(model.parameters(), lr=0.1)
        if exchanged:
            optimizer = with_twin(monkeypatch).optimizer(optimizer)

        @nnkit.compile
        def step(x: nnkit.Tensor, model: Any = model, optimizer: Any = optimizer) -> nnkit.Tensor:
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        x = nnkit.ones(4, 3, device=device)
        found.append([step(x).item() for _ in range(4)])
        steps.append(step)
    assert found[0] == found[1]
    return steps[1]


def check_fit(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``fit`` over batches whose halves are equal gives the losses of one process."""
    part = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    x = np.concatenate([part, part, part[:2], part[:2]])  # batches of 10 and 4 rows
    found = []
    for parallel in (None, with_twin(monkeypatch)):
        nnkit.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).to(device)
        options: Any = {
            "loss": "mse",
            "epochs": 5,
            "batch_size": 10,
            "shuffle": False,
            "verbose": 0,
            "metrics": ["mae"],
        }
        found.append(model.fit(x, x[:, :1], parallel=parallel, **options).history)
    for name, values in found[0].items():
        np.testing.assert_allclose(found[1][name], values, rtol=1e-5)
