"""Trainings over processes that end early, are resumed, or wait: ``mpiexec -n 2 python parallel_fates.py FOLDER WORD``
does what the word says (see ``FATES`` and ``TOLD``).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from parallel_cases import X, Y, digest, fitted, network, whole_run
from waiting import HANG, until

import nnkit
from nnkit import nn, optim
from nnkit.parallel import MPI, watch
from nnkit.training import RunCheckpoint
from nnkit.training.callbacks import Callback


def saved_within() -> None:
    whole_run("mpi", callbacks=[RunCheckpoint(Path(sys.argv[1], "run-{epoch}-{step}"), every=4)])


def goes_on() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = whole_run("mpi", resume=Path(sys.argv[1], "run-1-4"))
    if MPI().rank == 0:
        print(json.dumps({**found, "said": [str(warning.message) for warning in said]}))


def dies_writing() -> None:
    """Rank 0 is killed when it has written all but the name of its second checkpoint."""
    calls = [RunCheckpoint(Path(sys.argv[1], "run"))]
    replace, times = os.replace, iter(range(10))
    dying = lambda *paths: os.kill(os.getpid(), signal.SIGKILL) if next(times) else replace(*paths)  # noqa: E731
    with mock.patch("os.replace", dying):
        fitted(network(), X, Y, "mpi", callbacks=calls)


class Fate(Callback):
    """In the process of rank 1, in the second epoch: what ends it."""

    def __init__(self, end: Callable[[], None]) -> None:
        self.end = end

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        if MPI().rank == 1 and epoch == 1:
            self.end()


def raises() -> None:
    raise RuntimeError("the disk is full")


def heard(model: nn.Module, x: Any, y: Any, batch_size: int = 16) -> None:
    try:
        fitted(model, x, y, "mpi", loss="mse", shuffle=False, batch_size=batch_size)
    except nnkit.errors.DivergenceError as error:
        print(f"{MPI().rank} heard: {error}", flush=True)


class Root(nn.Module):
    """A root, whose slope is infinite at 0: where the first feature is 0, the gradient is NaN and the value is not."""

    def __init__(self) -> None:
        super().__init__()
        nnkit.manual_seed(3)
        self.inner = nn.Linear(10, 3)

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return (self.inner(x) * x[:, :1]).abs().sqrt()


def breaks() -> None:
    """The loss of a row of rank 1 is infinite."""
    y = np.zeros((96, 3), np.float32)
    y[12] = 1e38  # of rows 0 to 15, in the second half
    heard(network(), X[:96], y)


def bad_gradient() -> None:
    """The gradient of a row of rank 1 is NaN, in the second step of three."""
    x = X[:48].copy()
    x[16 + 12, 0] = 0.0
    heard(Root(), x, np.zeros((48, 3), np.float32))


def bad_last_gradient() -> None:
    """The same in the only step of an epoch."""
    x = X[:16].copy()
    x[12, 0] = 0.0
    heard(Root(), x, np.zeros((16, 3), np.float32))


def sleeps() -> None:
    """Rank 1 does not come to the exchange that rank 0 waits in."""
    watch.LOOKS = HANG  # it answers, sooner or later
    MPI().gather(None)
    if MPI().rank == 1:
        time.sleep(HANG)
    MPI(timeout=1.0).gather(None)


def sleeps_before_a_step() -> None:
    """Rank 0 waits for rank 1 within a kernel of a recorded step."""
    watch.LOOKS = HANG
    mpi, model = MPI(timeout=1.0), network()
    optimizer = mpi.optimizer(optim.SGD(model.parameters(), lr=0.1))

    @nnkit.compile
    def step(x: nnkit.Tensor) -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    for number in range(6):
        if mpi.rank == 1 and number == 5:
            time.sleep(HANG)
        assert MPI().rank == mpi.rank  # who else asks for the rank does not change how long is waited
        step(nnkit.tensor(X))


def stopped_by_hand() -> None:
    """Rank 1 does not even answer."""
    stat = Path(f"/proc/{MPI().gather(os.getpid())[1]}/stat")
    if MPI().rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    until(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "T")
    MPI(timeout=1.0).gather(None)


def at_once(communicators: list[Any]) -> list[str]:
    """Trainings in a thread for each communicator, and the weights that they came to."""
    models = [network(nn.Dropout(0.3)) for _ in communicators]

    def train(number: int) -> None:
        parallel = MPI(communicators[number])
        fitted(models[number], X, Y, parallel, seed=number, epochs=30, batch_size=8 + number)

    threads = [threading.Thread(target=train, args=(number,)) for number in range(len(models))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [digest(model) for model in models]


def threads() -> None:
    """Each with a communicator of its own: to the bit as one after the other."""
    copies = [MPI().communicator.Dup() for _ in range(2)]
    found = at_once(copies)
    for number, copy in enumerate(copies):
        model = network(nn.Dropout(0.3))
        fitted(model, X, Y, MPI(copy), seed=number, epochs=30, batch_size=8 + number)
        assert digest(model) == found[number]
    print(f"{MPI().rank} found {found}", flush=True)


def threads_of_one() -> None:
    """Both over all processes."""
    at_once([MPI().communicator] * 2)


FATES: dict[str, Callable[[], None]] = {
    "raises": raises,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exits": lambda: sys.exit(3),
    "exits at once": lambda: os._exit(3),
}

TOLD: dict[str, Callable[[], None]] = {
    told.__name__: told
    for told in (
        breaks,
        bad_gradient,
        bad_last_gradient,
        sleeps,
        sleeps_before_a_step,
        stopped_by_hand,
        saved_within,
        goes_on,
        threads,
        threads_of_one,
        dies_writing,
    )
}


def main() -> None:
    word = sys.argv[2]
    if word in FATES:
        fitted(network(), X, Y, "mpi", epochs=50, callbacks=[Fate(FATES[word])])
    else:
        TOLD[word]()


if __name__ == "__main__":
    main()
