"""Samplers and datasets of ``utils.data``: which numbers come, how often, from which stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit.errors import DataError
from nnkit.utils.data import (
    ChainDataset,
    ConcatDataset,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    StackDataset,
    SubsetRandomSampler,
    WeightedRandomSampler,
    default_convert,
    random_split,
)
from nnkit.utils.data.dataloader import default_collate as from_dataloader
from nnkit.utils.data.dataset import Subset as FromDataset
from nnkit.utils.data.sampler import BatchSampler as FromSampler


class Letters(IterableDataset):
    """Some letters, one after another."""

    def __init__(self, letters: str) -> None:
        self.letters = letters

    def __iter__(self) -> Iterator[str]:
        return iter(self.letters)

    def __len__(self) -> int:
        return len(self.letters)


MADE: dict[str, Callable[[Any], Any]] = {
    "random": lambda g: RandomSampler(range(9), generator=g),
    "with replacement": lambda g: RandomSampler(range(9), replacement=True, num_samples=20, generator=g),
    "more than there are": lambda g: RandomSampler(range(9), num_samples=20, generator=g),
    "subset": lambda g: SubsetRandomSampler([4, 8, 15, 16, 23, 42], generator=g),
    "weighted": lambda g: WeightedRandomSampler([1.0, 2.0, 3.0, 4.0], 20, generator=g),
    "weighted, none twice": lambda g: WeightedRandomSampler([1.0, 2.0, 3.0, 4.0], 3, replacement=False, generator=g),
}


@pytest.mark.parametrize("name", MADE)
def test_orders_come_from_the_stream_that_was_named(name: str) -> None:
    make = MADE[name]
    by_seed, again = make(7), make(7)
    assert len(list(by_seed)) == len(by_seed)
    assert [list(by_seed), list(by_seed)] == [list(again) and list(again), list(again)]
    first = list(make(nnkit.Generator().manual_seed(3)))
    nnkit.manual_seed(11)
    assert list(make(nnkit.Generator().manual_seed(3))) == first
    own = list(make(None))
    nnkit.manual_seed(11)
    assert list(make(None)) == own


def test_what_is_drawn() -> None:
    assert sorted(SubsetRandomSampler([4, 8, 15])) == [4, 8, 15]
    twice = list(RandomSampler(range(5), num_samples=13, generator=1))
    assert sorted(twice[:5]) == sorted(twice[5:10]) == list(range(5)) and len(set(twice[10:])) == 3
    counts = Counter(RandomSampler(range(4), replacement=True, num_samples=4000, generator=1))
    assert set(counts) == set(range(4)) and all(850 < count < 1150 for count in counts.values())
    assert list(RandomSampler([], generator=1)) == []


def test_weights_are_shares() -> None:
    counts = Counter(WeightedRandomSampler(nnkit.tensor([0.0, 1.0, 3.0, 0.0]), 8000, generator=2))
    assert set(counts) == {1, 2} and abs(counts[2] / counts[1] - 3.0) < 0.3
    chosen = [tuple(WeightedRandomSampler([1.0, 1.0, 8.0], 1, False, generator=seed)) for seed in range(400)]
    assert abs(chosen.count((2,)) / 400 - 0.8) < 0.08
    assert sorted(WeightedRandomSampler([1.0, 0.0, 2.0], 2, replacement=False)) == [0, 2]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_processes_share_all_numbers_out(shuffle: bool, drop_last: bool) -> None:
    parts = [DistributedSampler(range(10), 3, rank, shuffle, seed=4, drop_last=drop_last) for rank in range(3)]
    numbers = [list(part) for part in parts]
    assert [len(part) for part in parts] == [len(each) for each in numbers] == [3 if drop_last else 4] * 3
    assert len({number for each in numbers for number in each}) == (9 if drop_last else 10)
    parts[0].set_epoch(1)
    assert (list(parts[0]) != numbers[0]) is shuffle
    assert sorted(DistributedSampler(range(4))) == [0, 1, 2, 3]


def test_datasets_beside_and_behind_one_another() -> None:
    pair = StackDataset([1, 2, 3], "abc")
    assert len(pair) == 3 and pair[1] == (2, "b")
    assert (
        list(ChainDataset([Letters("ab"), Letters("c")])) == ["a", "b", "c"] and len(Letters("ab") + Letters("c")) == 3
    )
    loader = DataLoader(Letters("abcde"), batch_size=2)
    assert list(loader) == [["a", "b"], ["c", "d"], ["e"]] and len(loader) == 3
    assert ConcatDataset([pair, pair])[4] == (2, "b")


def test_split_by_shares_with_a_generator() -> None:
    first, second = (random_split(range(9), [0.5, 0.5], nnkit.Generator().manual_seed(42)) for _ in range(2))
    assert [len(part) for part in first] == [5, 4] and [p.indices for p in first] == [p.indices for p in second]


def test_samples_one_by_one(device: str) -> None:
    rows = [np.array([1.0, 2.0], np.float32), np.array([3.0, 4.0], np.float32)]
    loader = DataLoader(rows, batch_size=None)  # type: ignore[arg-type]
    assert [row.tolist() for row in loader] == [[1.0, 2.0], [3.0, 4.0]] and len(loader) == 2
    assert default_convert((1, "a"))[1] == "a"


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: WeightedRandomSampler([1.0, -1.0], 1), ValueError, "at least 0"),
    (lambda: WeightedRandomSampler([0.0], 1), ValueError, "not all 0"),
    (lambda: WeightedRandomSampler([float("nan")], 1), ValueError, "finite"),
    (lambda: WeightedRandomSampler([[1.0]], 1), ValueError, "one number for each sample"),  # type: ignore[list-item]
    (lambda: WeightedRandomSampler([1.0, 0.0], 2, False), ValueError, "only 1 weights are above 0"),
    (lambda: WeightedRandomSampler([1.0], 0), ValueError, "num_samples must be"),
    (lambda: RandomSampler([1], num_samples=-1), ValueError, "num_samples must be"),
    (lambda: RandomSampler([1], replacement=3), TypeError, "replacement must be"),  # type: ignore[arg-type]
    (lambda: DistributedSampler([1], 2, 2), ValueError, "rank must be from 0 to 1"),
    (lambda: StackDataset([1], [1, 2]), DataError, "one length, got 1, 2"),
    (lambda: StackDataset(), ValueError, "at least one"),
    (lambda: list(ChainDataset([[1]])), TypeError, "use ConcatDataset"),
    (lambda: DataLoader([1], batch_sampler=[[0]], drop_last=True), ValueError, "leave batch_size"),
    (lambda: DataLoader(Letters("a"), sampler=[0]), ValueError, "its own order"),
    (lambda: DataLoader([1], batch_size=None, drop_last=True), ValueError, "leave it out"),
    (lambda: DataLoader([1], num_workers=-1), ValueError, "num_workers must be"),
    (lambda: DataLoader([1], timeout=-1), ValueError, "timeout must be"),
    (lambda: DataLoader([1], prefetch_factor=2), ValueError, "pass num_workers too"),
    (lambda: DataLoader([1], persistent_workers=True), ValueError, "pass num_workers too"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_wrong_use(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_names_stand_in_pytorchs_modules() -> None:
    names = (from_dataloader, FromDataset, FromSampler)
    assert [name.__name__ for name in names] == ["default_collate", "Subset", "BatchSampler"]
