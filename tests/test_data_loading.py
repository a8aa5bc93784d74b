"""Datasets, samplers, loaders, and generators of batches in ``fit``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.errors import DataError
from nnkit.training import LambdaCallback
from nnkit.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)

X = np.arange(20, dtype=np.float32).reshape(10, 2)
LABELS = np.arange(10) % 3


class Squares(Dataset):
    """Item i is (i, i * i)."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, float(index * index)


class Counting(IterableDataset):
    """0, 1, 2, 3, 4, without a length."""

    def __iter__(self) -> Iterator[Any]:
        return iter(range(5))


def values(loader: DataLoader) -> list[Any]:
    """The batches as lists."""
    return [[part.tolist() for part in batch] if isinstance(batch, list) else batch.tolist() for batch in loader]


# ---- datasets ---------------------------------------------------------------------------------------------


def test_a_tensor_dataset_holds_rows(device: str) -> None:
    data = TensorDataset(X, LABELS)
    assert len(data) == 10
    x, y = data[3]
    assert x.tolist() == [6.0, 7.0] and y.item() == 0 and str(x.device) == device
    assert [part.tolist() for part in data.gather([9, 0, 9])] == [X[[9, 0, 9]].tolist(), [0, 0, 0]]


def test_subsets_and_joined_datasets(device: str) -> None:
    data = TensorDataset(X, LABELS)
    part = Subset(data, [7, 2])
    assert len(part) == 2 and part[0][0].tolist() == X[7].tolist()
    assert part.gather([1, 0])[0].tolist() == X[[2, 7]].tolist()
    joined = data + part
    assert len(joined) == 12 and joined[11][0].tolist() == X[2].tolist() == joined[-1][0].tolist()
    assert Subset(Squares(), [4])[0] == (4, 16.0)
    with pytest.raises(IndexError, match="index 12 is out of range for 12 samples"):
        joined[12]


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [
        ([7, 3], [7, 3]),
        ([0.5, 0.5], [5, 5]),
        ([0.75, 0.25], [8, 2]),
        ([0.35, 0.35, 0.3], [4, 3, 3]),
        ([10, 0], [10, 0]),
    ],
)
def test_random_split_gives_every_sample_once(lengths: list[float], sizes: list[int]) -> None:
    parts = random_split(TensorDataset(X), lengths, generator=4)
    assert [len(part) for part in parts] == sizes
    assert sorted(index for part in parts for index in part.indices) == list(range(10))
    again = random_split(TensorDataset(X), lengths, generator=4)
    assert [part.indices for part in again] == [part.indices for part in parts]


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([7, 4], "add up to the 10 samples"),
        ([0.5, 0.4], "add up to 1"),
        ([11, -1], "at least 0"),
        ([1.5, -0.5], "at least 0"),
    ],
)
def test_wrong_splits(lengths: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_split(TensorDataset(X), lengths)


# ---- orders -----------------------------------------------------------------------------------------------


def test_samplers() -> None:
    assert list(SequentialSampler(X)) == list(range(10)) and len(SequentialSampler(X)) == 10
    random = RandomSampler(X, generator=1)
    first, second = list(random), list(random)
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    again = RandomSampler(X, generator=1)
    assert [list(again), list(again)] == [first, second]
    assert list(BatchSampler(range(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert [len(BatchSampler(range(5), 2, drop_last=drop)) for drop in (False, True)] == [3, 2]


def test_the_order_without_a_seed_follows_manual_seed(device: str) -> None:
    orders = []
    for seed in (1, 1, 2):
        nnkit.manual_seed(seed)
        loader = DataLoader(TensorDataset(LABELS.cumsum()), batch_size=10, shuffle=True)
        orders.append(values(loader) + values(loader))
    assert orders[0] == orders[1] != orders[2]


# ---- loaders ----------------------------------------------------------------------------------------------


def second_parts(rows: list[Any]) -> nnkit.Tensor:
    """A collate function of one's own."""
    return nnkit.tensor([part for _, part in rows])


LOADERS: list[tuple[Callable[[], DataLoader], list[Any]]] = [
    (lambda: DataLoader(Squares(), batch_size=2), [[[0, 1], [0.0, 1.0]], [[2, 3], [4.0, 9.0]], [[4], [16.0]]]),
    (lambda: DataLoader(Squares(), batch_size=2, drop_last=True), [[[0, 1], [0.0, 1.0]], [[2, 3], [4.0, 9.0]]]),
    (lambda: DataLoader(Squares()), [[[i], [float(i * i)]] for i in range(5)]),
    (lambda: DataLoader(TensorDataset([1.0, 2.0, 3.0]), 2), [[[1.0, 2.0]], [[3.0]]]),
    (lambda: DataLoader(TensorDataset([1.0, 2.0, 3.0]), 2, sampler=[2, 0]), [[[3.0, 1.0]]]),
    (lambda: DataLoader(TensorDataset([1.0, 2.0, 3.0]), batch_sampler=[[2], [0, 1]]), [[[3.0]], [[1.0, 2.0]]]),
    (lambda: DataLoader(Counting(), 2), [[0, 1], [2, 3], [4]]),
    (lambda: DataLoader(Counting(), 2, drop_last=True), [[0, 1], [2, 3]]),
    (lambda: DataLoader(Squares(), 3, collate_fn=second_parts), [[0.0, 1.0, 4.0], [9.0, 16.0]]),
    (lambda: DataLoader(Subset(TensorDataset([1.0, 2.0, 3.0]), [2, 1]), 2), [[[3.0, 2.0]]]),
]  # fmt: skip


@pytest.mark.parametrize(("make", "expected"), LOADERS)
def test_batches_of_a_loader(make: Callable[[], DataLoader], expected: list[Any], device: str) -> None:
    loader = make()
    assert values(loader) == expected
    assert values(loader) == expected  # a loader can be read again
    if not isinstance(loader.dataset, Counting):
        assert len(loader) == len(expected)


def test_a_shuffled_loader_gives_every_row_once(device: str) -> None:
    loader = DataLoader(TensorDataset(X, LABELS), batch_size=3, shuffle=True, generator=5)
    epochs = [values(loader), values(loader)]
    for epoch in epochs:
        assert [len(y) for _, y in epoch] == [3, 3, 3, 1]
        rows = sorted((*x, y) for xs, ys in epoch for x, y in zip(xs, ys, strict=True))
        assert rows == sorted((*x, y) for x, y in zip(X.tolist(), LABELS.tolist(), strict=True))
    assert epochs[0] != epochs[1]


def test_rows_of_tensors_are_gathered_at_once(device: str) -> None:
    class NeverByItem(TensorDataset):
        def __getitem__(self, index: Any) -> Any:
            raise AssertionError("read by item")

    assert sum(len(y) for _, y in DataLoader(NeverByItem(X, LABELS), batch_size=4, shuffle=True)) == 10


def test_collating(device: str) -> None:
    batch = default_collate([{"x": X[i], "name": str(i), "t": nnkit.tensor(X[i])} for i in range(2)])
    assert batch["x"].tolist() == batch["t"].tolist() == X[:2].tolist() and batch["name"] == ["0", "1"]
    assert default_collate([True, False]).dtype == np.bool_
    assert default_collate([1.0, 2.0]).dtype == np.float64  # as in PyTorch
    assert default_collate([np.float64(1.0)]).dtype == np.float64
    with pytest.raises(DataError, match=r"sample 1 of the batch has shape \(1,\), sample 0 has \(2,\)"):
        default_collate([X[0], X[0, :1]])
    with pytest.raises(TypeError, match="samples of type object cannot be stacked"):
        default_collate([object()])


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: DataLoader(Squares(), batch_size=0), ValueError, "batch_size must be an integer of at least 1, got 0"),
    (lambda: DataLoader(Squares(), shuffle=True, sampler=[1]), ValueError, "shuffle=True cannot be combined"),
    (lambda: DataLoader(Counting(), shuffle=True), ValueError, "shuffle=True cannot be combined"),
    (lambda: RandomSampler(X, generator="a"), TypeError, "generator must be a Generator, a seed"),
    (lambda: TensorDataset(X, LABELS[:3]), DataError, "tensors of one length, got 10, 3"),
    (lambda: TensorDataset(), ValueError, "at least one tensor"),
    (lambda: ConcatDataset([]), ValueError, "at least one dataset"),
    (lambda: Dataset()[0], NotImplementedError, "Dataset has no __getitem__ method"),
    (lambda: iter(IterableDataset()), NotImplementedError, "IterableDataset has no __iter__ method"),
    (lambda: iter(Sampler()), NotImplementedError, "Sampler has no __iter__ method"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_wrong_use(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_fit_on_datasets_and_loaders(device: str) -> None:
    class Rows(Dataset):
        def __len__(self) -> int:
            return 10

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            return X[index] / 20, int(LABELS[index])

    losses = []
    for data in (Rows(), DataLoader(Rows(), batch_size=4), DataLoader(TensorDataset(X / 20, LABELS), batch_size=4)):
        nnkit.manual_seed(2)
        history = nn.Linear(2, 3).fit(data, loss="cross_entropy", batch_size=4, epochs=2, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    assert losses[0] == losses[1] == losses[2] and losses[0][1] < losses[0][0]


# ---- generators -------------------------------------------------------------------------------------------


def classifier() -> nn.Module:
    return nn.Linear(2, 3)


def batches(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for _ in range(count):
        yield X, LABELS


def test_a_generator_that_ends_early(device: str) -> None:
    with pytest.warns(UserWarning, match=r"the data ended after 1 of 2 steps .*training ends with this epoch"):
        history = classifier().fit(batches(3), loss="cross_entropy", steps_per_epoch=2, epochs=5, verbose=0)
    assert history.epoch == [0, 1] and history.stopped_by == "end of data"


def test_a_generator_that_ends_between_epochs(device: str) -> None:
    with pytest.warns(UserWarning, match="the data ended after 0 of 2 steps"):
        history = classifier().fit(batches(4), loss="cross_entropy", steps_per_epoch=2, epochs=5, verbose=0)
    assert history.epoch == [0, 1] and history.stopped_by == "end of data"


def test_a_list_that_is_shorter_than_the_epoch(device: str) -> None:
    with pytest.warns(UserWarning, match=r"the data ended after 3 of 4 steps .*the epoch is shorter"):
        history = classifier().fit(list(batches(3)), loss="cross_entropy", steps_per_epoch=4, epochs=2, verbose=0)
    assert history.epoch == [0, 1]


def test_a_generator_that_is_needed_twice(device: str) -> None:
    with pytest.raises(ValueError, match="x is a generator, which can be read only once, and epochs=2: pass steps"):
        classifier().fit(batches(3), loss="cross_entropy", epochs=2, verbose=0)
    with pytest.raises(DataError, match="validation_data is a generator, which can be read only once"):
        classifier().fit(X, LABELS, loss="cross_entropy", validation_data=batches(3), verbose=0)


def test_a_generator_that_raises(device: str) -> None:
    def failing() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from batches(2)
        raise OSError("disk gone")

    with pytest.raises(DataError, match="the data raised OSError at batch 2: disk gone") as caught:
        classifier().fit(failing(), loss="cross_entropy", verbose=0)
    assert isinstance(caught.value.__cause__, OSError)


def test_empty_batches_without_end_end_with_an_error(device: str) -> None:
    def nothing() -> Iterator[Any]:
        while True:
            yield np.zeros((0, 4), np.float32), np.zeros(0, np.int64)

    with (
        warnings.catch_warnings(),
        pytest.raises(DataError, match="yielded 1000 empty batches in a row, up to batch 999"),
    ):
        warnings.simplefilter("ignore")
        classifier().fit(nothing(), loss="cross_entropy", steps_per_epoch=2, verbose=0)


@pytest.mark.parametrize("compile", [True, False])
def test_arrays_are_gone_through_in_epochs_of_so_many_steps(device: str, compile: bool) -> None:
    """As in Keras: the next epoch goes on where the last ended, and the one in which the data end is shorter."""
    seen: list[float] = []

    def loss(prediction: nnkit.Tensor, target: nnkit.Tensor) -> nnkit.Tensor:
        return (prediction * 0.0).mean() + target.mean()

    x, steps = np.arange(10.0).reshape(10, 1), []
    count = LambdaCallback(
        on_epoch_begin=lambda epoch: steps.append(0),
        on_batch_end=lambda step, logs: steps.append(steps.pop() + 1),
        on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]),
    )
    options = {"batch_size": 1, "shuffle": False, "epochs": 6, "steps_per_epoch": 3, "compile": compile, "verbose": 0}
    with pytest.warns(
        UserWarning, match=r"the data ended after 1 of 3 steps \(steps_per_epoch\); the epoch is shorter"
    ):
        nn.Linear(1, 1).fit(x, x, loss=loss, optimizer="sgd", callbacks=[count], **options)
    assert steps == [3, 3, 3, 1, 3, 3] and seen == [1.0, 4.0, 7.0, 9.0, 1.0, 4.0]
    with pytest.warns(UserWarning, match="the data ended after 10 of 12 steps"):
        nn.Linear(1, 1).fit(x, x, loss=loss, optimizer="sgd", callbacks=[count], **options | {"steps_per_epoch": 12})
    assert steps[6:] == [10] * 6


def test_a_shuffled_pass_over_arrays_is_one_pass_in_several_epochs(device: str) -> None:
    x, seen = np.arange(12.0).reshape(12, 1), []

    def loss(prediction: nnkit.Tensor, target: nnkit.Tensor) -> nnkit.Tensor:
        return (prediction * 0.0).mean() + target.mean()

    note = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]))
    options = {"batch_size": 2, "epochs": 6, "steps_per_epoch": 2, "seed": 0, "verbose": 0}
    nn.Linear(1, 1).fit(x, x, loss=loss, optimizer="sgd", callbacks=[note], **options)
    assert sum(seen[:3]) == sum(seen[3:]) == pytest.approx(3 * 5.5) and seen[:3] != seen[3:]


def test_an_empty_batch_is_skipped(device: str) -> None:
    with pytest.warns(UserWarning, match="batch 1 is empty and was skipped"):
        history = classifier().fit([(X, LABELS), (X[:0], LABELS[:0])], loss="cross_entropy", verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_a_generator_without_batches(device: str) -> None:
    with pytest.raises(DataError, match="the training data yielded no batch"):
        classifier().fit(batches(0), loss="cross_entropy", verbose=0)
    with pytest.raises(DataError, match="the data to evaluate on yielded no batch"):
        classifier().evaluate(batches(0), loss="cross_entropy")
    with pytest.raises(DataError, match="the data to predict yielded no batch"):
        classifier().predict(batches(0))


@pytest.mark.parametrize("item", [X, (X,), (X, LABELS, None, None), {"x": X}, (X, 3)])
def test_items_that_are_no_batches(item: Any, device: str) -> None:
    with pytest.raises(DataError, match=r"the item of batch 0 is a .*; expected \(x, y\) or \(x, y, sample_weight\)"):
        classifier().fit(iter([item]), loss="cross_entropy", verbose=0)
