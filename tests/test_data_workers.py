"""Loaders with worker processes: the same batches, seeds of their own, and errors and deaths that are told."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from waiting import HANG

import nnkit
from nnkit import nn
from nnkit.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info


class Squares(Dataset):
    """Item i is (i, i * i)."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, float(index * index)


class Failing(Squares):
    """Item 3 does something that a dataset should not."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __getitem__(self, index: int) -> tuple[int, float]:
        if index == 3:
            if self.how == "raise":
                raise KeyError("no such file")
            if self.how == "exit":
                os._exit(5)
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(HANG)
        return super().__getitem__(index)


class Shared(IterableDataset):
    """0 … 9, of which each worker gives every second."""

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        return iter(range(10)) if info is None else iter(range(info.id, 10, info.num_workers))


class Whose(Dataset):
    """Which worker loads a sample, its process, and numbers of three streams."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        info = get_worker_info()
        assert info is not None and isinstance(info.dataset, Whose)
        numbers = [random.random(), float(np.random.random()), nnkit.rand(1).item()]  # noqa: NPY002
        return info.id, os.getpid(), numbers[0], numbers[1], numbers[2], START.get("number", -1)


START: dict[str, int] = {}


def begin(number: int) -> None:
    """What each worker does first."""
    START["number"] = number


def listed(loader: DataLoader) -> list[Any]:
    """The batches as lists of numbers."""
    return [part if isinstance(part, (int, float)) else part.tolist() for batch in loader for part in ends(batch)]


def ends(batch: Any) -> list[Any]:
    return batch if isinstance(batch, list) else [batch]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 2},
        {"batch_size": 3, "shuffle": True, "generator": 4},
        {"batch_size": 2, "drop_last": True, "prefetch_factor": 1},
        {"batch_size": None},
        {"batch_sampler": [[6, 0], [3]], "persistent_workers": True},
    ],
)
def test_batches_are_those_without_workers(device: str, options: dict[str, Any]) -> None:
    worker_options = ("prefetch_factor", "persistent_workers")
    plain = DataLoader(Squares(), **{name: v for name, v in options.items() if name not in worker_options})
    loader = DataLoader(Squares(), num_workers=2, **options)
    for _ in range(2):
        assert listed(loader) == listed(plain)
    assert all(str(part.device) == device for part in next(iter(loader)) if isinstance(part, nnkit.Tensor))


def test_streams_are_shared_out() -> None:
    assert sorted(n for batch in listed(DataLoader(Shared(), num_workers=2)) for n in batch) == list(range(10))
    assert listed(DataLoader(Shared(), batch_size=2, num_workers=2)) == [[0, 2], [1, 3], [4, 6], [5, 7], [8], [9]]


def test_each_worker_begins_with_its_number_and_seed() -> None:
    nnkit.manual_seed(5)
    loader = DataLoader(Whose(), num_workers=2, worker_init_fn=begin)
    rows = [[part.item() for part in batch] for batch in loader]
    assert [row[0] for row in rows] == [0, 1, 0, 1] == [row[5] for row in rows] and "number" not in START
    assert len({row[1] for row in rows}) == 2 and os.getpid() not in {row[1] for row in rows}
    assert len({row[2] for row in rows}) == len({row[3] for row in rows}) == len({row[4] for row in rows}) == 4
    nnkit.manual_seed(5)
    again = [[part.item() for part in batch] for batch in loader]
    assert [row[2:] for row in again] == [row[2:] for row in rows]


def test_workers_that_stay() -> None:
    loader = DataLoader(Whose(), num_workers=1, persistent_workers=True)
    first, second = ({batch[1].item() for batch in loader} for _ in range(2))
    assert first == second
    passing = DataLoader(Whose(), num_workers=1)
    assert {batch[1].item() for batch in passing} != {batch[1].item() for batch in passing}


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("raise", KeyError, r"in DataLoader worker 1:[\s\S]*no such file"),
        ("exit", RuntimeError, r"worker 1 \(process \d+\) ended unexpectedly, with exit status 5"),
        ("kill", RuntimeError, "killed by signal 9: often because memory ran out"),
        ("wait", RuntimeError, "timed out after 0.5 seconds: worker 0 gave no batch"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_told(how: str, error: type[Exception], message: str) -> None:
    # Time runs from the start of the workers: so the first batch is the one that never comes.
    options: dict[str, Any] = {"timeout": 0.5, "sampler": [3]} if how == "wait" else {}
    loader = DataLoader(Failing(how), num_workers=2, **options)
    with pytest.raises(error, match=message):
        list(loader)


def test_a_loop_that_is_left_ends_its_workers() -> None:
    loader = DataLoader(Whose(), num_workers=2)
    batches = iter(loader)
    process = next(batches)[1].item()
    batches.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_fit_takes_a_loader_with_workers(device: str) -> None:
    class Rows(Dataset):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            return np.array([index, 1.0], np.float32), index % 2

    losses = []
    for workers in (0, 2):
        nnkit.manual_seed(2)
        loader = DataLoader(Rows(), batch_size=4, shuffle=True, num_workers=workers)
        losses.append(nn.Linear(2, 2).fit(loader, loss="cross_entropy", epochs=2, verbose=0).history["loss"])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_other_ways_to_start_processes(start: str) -> None:
    loader = DataLoader(Squares(), batch_size=4, num_workers=1, multiprocessing_context=start)
    assert listed(loader) == listed(DataLoader(Squares(), batch_size=4))


def refuse(number: int) -> None:
    raise OSError("no such disk")


def test_a_worker_that_cannot_begin_says_so() -> None:
    with pytest.raises(OSError, match=r"in DataLoader worker 0:[\s\S]*no such disk"):
        list(DataLoader(Squares(), num_workers=1, worker_init_fn=refuse))


def test_tensors_are_read_here() -> None:
    loader = DataLoader(TensorDataset([1.0, 2.0, 3.0]), batch_size=2, num_workers=2, worker_init_fn=begin)
    assert listed(loader) == [[1.0, 2.0], [3.0]] and "number" not in START
