"""Trainings whose processes have rows of their own, beside those of one process that has the same batches.

``mpiexec -n 2 python own_parts_cases.py FOLDER`` writes what each rank saw to FOLDER.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from parallel_cases import SOME, W, X, Y, fitted, network

import nnkit
from nnkit import nn, optim
from nnkit.errors import DataError
from nnkit.parallel import MPI
from nnkit.training import EarlyStopping, RunCheckpoint

Found = dict[str, Any]
#: By the number of processes: how many rows each has, and gives to a batch.
ROWS = {2: (60, 37), 3: (40, 30, 27)}
SIZES = {2: 8, 3: 5}


class Data:
    """The data of ``size`` processes: the rows of this one, of ``rank``; or, where that is None, batches of all."""

    def __init__(self, size: int, rank: int | None = None) -> None:
        self.size, self.rank = size, rank
        ends = list(itertools.accumulate(ROWS[size], initial=0))
        self.parts = [slice(start, stop) for start, stop in itertools.pairwise(ends)]
        self.parallel = None if rank is None else MPI(data="own")

    def batches(self, *arrays: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """What makes each batch: of this process, or of all."""
        each = SIZES[self.size]
        chosen = self.parts if self.rank is None else [self.parts[self.rank]]
        pieces = [[part[start : start + each] for start in range(0, len(part), each)]
                  for part in (np.arange(97)[rows] for rows in chosen)]  # fmt: skip
        joined = [np.concatenate(each) for each in itertools.zip_longest(*pieces, fillvalue=np.arange(0))]
        return [tuple(array[rows] for array in arrays) for rows in joined]

    def fit(self, model: nn.Module, *arrays: np.ndarray, held: bool = False, **options: Any) -> Found:
        """Without shuffling, so that the batches are the same."""
        if held:
            whole = X[::-1].copy(), arrays[1][::-1].copy()
            options["validation_data"] = whole if self.rank is None else tuple(a[self.parts[self.rank]] for a in whole)
        if self.rank is None:
            return fitted(model, self.batches(*arrays), None, None, batch_size=None, shuffle=False, **options)
        x, y, *weight = (array[self.parts[self.rank]] for array in arrays)
        size = SIZES[self.size] * self.size
        more = {"sample_weight": weight[0]} if weight else {}
        return fitted(model, x, y, self.parallel, batch_size=size, shuffle=False, **more, **options)


def dropout(data: Data) -> Found:
    return data.fit(network(nn.Dropout(0.5)), X, Y, held=True, metrics=["accuracy"])


def weighted(data: Data) -> Found:
    return data.fit(network(), X, Y, W, clip_norm=0.5)


def balanced(data: Data) -> Found:
    """By the labels of all."""
    if data.rank is None:
        return data.fit(network(), X, Y, (97 / (3 * np.bincount(Y)))[Y])
    return data.fit(network(), X, Y, class_weight="balanced")


def ignored(data: Data) -> Found:
    loss = nn.CrossEntropyLoss(weight=nnkit.tensor([1.0, 2.0, 0.5]))
    return data.fit(network(), X, SOME, loss=loss, held=True)


def ranking(data: Data) -> Found:
    model = nn.Sequential(nn.Linear(10, 1))
    return data.fit(model, X, (Y > 0).reshape(-1, 1), loss="bce_with_logits", metrics=["auc"], held=True)


def stopped(data: Data) -> Found:
    stop, model = EarlyStopping("val_loss", patience=2), network()
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    found = data.fit(model, X, Y, held=True, epochs=40, callbacks=[stop], optimizer=optimizer)
    return {**found, "best": stop.best_epoch}


def plainly(data: Data) -> Found:
    return data.fit(network(nn.Dropout(0.3)), X, Y, compile=False)


def streamed(data: Data) -> Found:
    with mock.patch.object(type(nnkit.ones(1).backend), "keeps", lambda self, nbytes: False):
        with mock.patch("nnkit.training.streamed.WINDOW", 24 * 48):
            return data.fit(network(nn.Dropout(0.5)), X, Y, held=True)


def loader(data: Data) -> Found:
    batches = data.batches(X, Y)
    return fitted(network(nn.Dropout(0.5)), batches, None, data.parallel, batch_size=None, metrics=["accuracy"])


def some_steps(data: Data) -> Found:
    """Of eight batches each epoch has four."""
    if data.rank is None:
        endless = itertools.cycle(data.batches(X, Y))
        return fitted(network(), endless, None, None, batch_size=None, steps_per_epoch=4)
    return data.fit(network(), X, Y, steps_per_epoch=4)


def batch_normed(data: Data) -> Found:
    if data.rank is not None:
        data.parallel = MPI(data="own", batch_statistics="all")
    model = network(nn.BatchNorm1d(16))
    return data.fit(model, X, Y, held=True, optimizer=optim.SGD(model.parameters(), lr=0.05))


CASES: dict[str, Callable[[Data], Found]] = {
    case.__name__: case
    for case in (
        dropout, weighted, balanced, ignored, ranking, stopped, plainly, streamed, loader, some_steps, batch_normed,
    )
}  # fmt: skip


# ---- what no single process does ----------------------------------------------------------------------------------


def shuffled(data: Data, **options: Any) -> Found:
    x, y = (array[data.parts[data.rank or 0]] for array in (X, Y))
    return fitted(network(nn.Dropout(0.3)), x, y, data.parallel, batch_size=16, metrics=["accuracy"], **options)


def standing(data: Data) -> Found:
    """With a rate of nearly 0: the losses and metrics are those of all rows, each counted once."""
    model = network()
    x, y = (array[data.parts[data.rank or 0]] for array in (X, Y))
    optimizer = optim.SGD(model.parameters(), lr=1e-30)
    found = fitted(model, x, y, data.parallel, optimizer=optimizer, metrics=["accuracy"], epochs=2)
    expected = network().evaluate(X, Y, loss="cross_entropy", metrics=["accuracy"])
    return {"found": found["history"], "expected": expected}


def resumed(data: Data) -> Found:
    path = Path(sys.argv[1], "run-{epoch}-{step}")
    whole = shuffled(data, callbacks=[RunCheckpoint(path, every=3)])
    MPI().gather(None)  # rank 0 has written
    again = shuffled(data, resume=Path(sys.argv[1], "run-1-3"))
    return {"whole": whole, "again": again}


def refusals(data: Data) -> dict[str, str]:
    rank = MPI().rank
    normed = MPI(data="own", batch_statistics="own")
    batches = data.batches(X, Y)
    pairs: Iterator[Any] = iter(batches)
    found = {}
    for name, x, y, parallel, options in (
        ("batch size", X, Y, data.parallel, {"batch_size": 1}),
        ("generator", pairs, None, data.parallel, {"batch_size": None, "epochs": 1}),
        ("statistics", X[data.parts[rank]], Y[data.parts[rank]], normed, {}),
        ("words", X, Y, MPI(data="own" if rank == 1 else "all"), {}),
        ("validation", X, Y, data.parallel, {"validation_data": (X, Y) if rank == 1 else None}),
        ("kinds", X if rank else batches, Y if rank else None, data.parallel, {"batch_size": None}),
        ("checkpoint", batches, None, data.parallel, {"batch_size": None, "callbacks": [RunCheckpoint("never")]}),
    ):
        try:
            fitted(network(), x, y, parallel, **options)
        except (DataError, ValueError) as error:
            found[name] = str(error)
    return found


def main() -> None:
    mpi = MPI()
    data = Data(mpi.size, mpi.rank)
    found: dict[str, Any] = {name: case(data) for name, case in CASES.items()}
    data = Data(mpi.size, mpi.rank)
    found |= {"shuffled": shuffled(data), "shuffled again": shuffled(data), "standing": standing(data)}
    found |= {"resumed": resumed(data), "refusals": refusals(data)}
    Path(sys.argv[1], f"{mpi.size}-{mpi.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
