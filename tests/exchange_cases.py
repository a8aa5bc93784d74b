"""Exchanges of gradients on every way there is.

``mpiexec -n 4 python exchange_cases.py FOLDER`` writes what each rank saw to FOLDER. Gradients are whole numbers: their
sums are exact in any order.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import nnkit
from nnkit import nn, optim
from nnkit.parallel import MPI, rooms
from nnkit.parallel.exchange import Exchange

SIZES = (300, 41, 7)  # layers: some 13 thousand numbers


class NoRoom(rooms.Room):
    """A window that only the first rank gets."""

    def __init__(self, node: Any, nbytes: int) -> None:
        super().__init__(node, nbytes)
        if node.Get_rank():
            raise RuntimeError("no space left on device")


class OneRoom(rooms.Room):
    """A window of which only the first rank gets a second one at once."""

    made = 0

    def __init__(self, node: Any, nbytes: int) -> None:
        super().__init__(node, nbytes)
        OneRoom.made += 1
        if OneRoom.made == 2 and node.Get_rank():
            raise RuntimeError("no space left on device")


def machines(*sizes: int) -> Any:
    """Let so many ranks after one another be on one machine."""
    starts = np.cumsum(sizes)
    return mock.patch.object(
        rooms, "neighbours", lambda everybody: everybody.Split(int((everybody.rank >= starts).sum()), everybody.rank)
    )


#: How gradients go: what makes it so, and how many rooms there are in the end: for gradients and weights of each type
WAYS: dict[str, tuple[Any, int]] = {
    "one machine": (machines(4), 4),
    "two machines": (machines(2, 2), 4),
    "unequal machines": (machines(3, 1), 0),
    "a machine each": (machines(1, 1, 1, 1), 0),
    "no window": (mock.patch.object(rooms, "Room", NoRoom), 0),
    "no window for weights": (mock.patch.object(rooms, "Room", OneRoom), 2),
}


def network(device: str, dtype: str) -> nn.Sequential:
    nnkit.manual_seed(1)
    model = nn.Sequential(nn.Linear(*SIZES[:2]), nn.Tanh(), nn.Linear(*SIZES[1:]))
    return model.to(device, dtype)


def exchanged(mpi: MPI, exchange: Exchange, device: str, dtype: str, means: Any) -> list[Any]:
    """The gradients after an exchange of ``means``: None, sums; "equal", means; else each rank's number of samples."""
    model = network(device, dtype)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    mpi._exchange = exchange
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = nnkit.full(parameter.shape, float(2**mpi.rank + number), dtype=dtype, device=device)
    if means is None:
        mpi.exchange(optimizer)
    else:
        mpi.mean(optimizer, None if means == "equal" else means[mpi.rank])
    found = [parameter.grad.numpy() for parameter in model.parameters() if parameter.grad is not None]
    assert all((part == part.flat[0]).all() and str(part.dtype) == dtype for part in found)
    return [float(part.flat[0]) for part in found]


def recorded(mpi: MPI, exchange: Exchange) -> dict[str, Any]:
    """Steps of a recorded training, and what the program does from the exchange on."""
    model = network("numba", "float32")
    mpi._exchange = exchange
    optimizer = mpi.optimizer(optim.Adam(model.parameters(), lr=0.01))
    x = nnkit.tensor(np.random.default_rng(mpi.rank).normal(size=(5, SIZES[0])).astype(np.float32))

    @nnkit.compile
    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    losses = [step(x).item() for _ in range(6)]
    ((found,),) = step.programs.values()
    last = found.program.instructions[-9:]
    names = [(at.name, at.kernel is not None) for at in last]
    updated = max(at.shapes[0][0] for at in last if at.name == "map")
    weights = [parameter.detach().numpy().tobytes().hex() for parameter in model.parameters()]
    return {"losses": losses, "names": names, "weights": weights, "updated": updated}


def main() -> None:
    mpi = MPI()
    found: dict[str, Any] = {}
    for way, (making, _) in WAYS.items():
        with making:
            exchange = Exchange(mpi.communicator, mpi._waiting)
            for device in ("numpy", "numba"):
                for dtype in ("float32", "float64"):
                    for means in (None, "equal", [1, 2, 3, 2]):
                        values = exchanged(mpi, exchange, device, dtype, means)
                        found.setdefault(f"{means}", []).append((f"{way}, {device}, {dtype}", values))
                        gc.collect()
            steps = recorded(mpi, exchange)
            exchange._may_divide = False
            steps["undivided"] = recorded(mpi, exchange)
        node = exchange._node
        found[way] = {**steps, "rooms": 0 if node is None else len(node._rooms)}
    Path(sys.argv[1], f"{mpi.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
