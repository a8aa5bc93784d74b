"""Data that comes in batches by number: ``PyDataset``, and what the functions ``…_dataset_from_…`` return."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["Batched", "PyDataset", "split_dataset"]


class PyDataset:
    """Batches by number: a subclass defines ``__len__`` and ``__getitem__(i)``, which returns (x, y) or (x, y, weight).

    ``on_epoch_end`` is called after each pass. ``workers``, ``use_multiprocessing`` and ``max_queue_size`` are kept;
    the batches are made where they are used.

    >>> class Squares(PyDataset):
    ...     def __len__(self): return 2
    ...     def __getitem__(self, i): return [i], [i * i]
    >>> list(Squares())
    [([0], [0]), ([1], [1])]
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__(self), the number of batches")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(self, index), which returns a batch")

    @property
    def num_batches(self) -> int | None:
        """The number of batches; a subclass without ``__len__`` says it here."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before each pass."""

    def on_epoch_end(self) -> None:
        """Called after each pass."""

    def __iter__(self) -> Iterator[Any]:
        self.on_epoch_begin()
        for index in range(self.num_batches or 0):
            yield self[index]
        self.on_epoch_end()


class Batched(PyDataset):
    """Rows that are made when they are wanted, in batches, in another order at each pass where ``shuffle``.

    A subclass defines ``rows(places)``: the rows with these numbers. ``map``, ``take``, ``skip``, ``prefetch`` and
    ``cache`` are there as of a ``tf.data.Dataset``, as far as they make sense of batches.
    """

    def __init__(self, count: int, batch_size: int | None, shuffle: bool = False, seed: int | None = None) -> None:
        super().__init__()
        self.count, self.batch_size, self.shuffle = count, batch_size, shuffle
        self._random = np.random.default_rng(seed)
        self._order = np.arange(count)

    def rows(self, places: np.ndarray) -> Any:
        """The rows with these numbers."""
        raise NotImplementedError

    def __len__(self) -> int:
        return math.ceil(self.count / (self.batch_size or 1))

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        size = self.batch_size or 1
        found = self.rows(self._order[index % len(self) * size :][:size])
        return found if self.batch_size else _each(lambda part: part[0], found)

    def on_epoch_begin(self) -> None:
        if self.shuffle:
            self._order = self._random.permutation(self.count)

    def map(self, function: Callable[..., Any], *ignored: Any, **options: Any) -> Derived:
        """Each batch through a function of its parts."""
        return Derived(self, function=function)

    def take(self, count: int) -> Derived:
        """The first batches."""
        return Derived(self, last=count)

    def skip(self, count: int) -> Derived:
        """Without the first batches."""
        return Derived(self, first=count)

    def prefetch(self, *ignored: Any) -> Batched:
        """Itself: nothing is made ahead."""
        return self

    cache = with_options = prefetch


class Derived(Batched):
    """Some of the batches of another, each through a function."""

    def __init__(
        self, source: Batched, first: int = 0, last: int | None = None, function: Callable[..., Any] | None = None
    ) -> None:
        super().__init__(source.count, source.batch_size)
        self.source, self.first, self.function = source, first, function
        self.last = len(source) if last is None or last < 0 else min(last, len(source))

    def __len__(self) -> int:
        return max(self.last - self.first, 0)

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        found = self.source[self.first + index % len(self)]
        if self.function is None:
            return found
        return self.function(*found) if isinstance(found, tuple) else self.function(found)

    def on_epoch_begin(self) -> None:
        self.source.on_epoch_begin()

    def __getattr__(self, name: str) -> Any:
        if name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)


class Rows(Batched):
    """Arrays side by side, in batches."""

    def __init__(self, data: Any, **options: Any) -> None:
        parts: list[Any] = []
        _each(parts.append, data)
        super().__init__(len(parts[0]), **options)
        self.data = data

    def rows(self, places: np.ndarray) -> Any:
        return _each(lambda part: part[places], self.data)


def _each(function: Callable[[Any], Any], data: Any) -> Any:
    if isinstance(data, (list, tuple)):
        return type(data)(_each(function, part) for part in data)
    return {key: _each(function, part) for key, part in data.items()} if isinstance(data, dict) else function(data)


def split_dataset(
    dataset: Any, left_size: float | None = None, right_size: float | None = None, shuffle: bool = False,
    seed: int | None = None, preferred_backend: str | None = None,
) -> tuple[Rows, Rows]:  # fmt: skip
    """Arrays, or a dataset, in two parts, whose items are single rows.

    Args:
        dataset: an array, a tuple, list or dict of arrays of one length, or something to loop over.
        left_size, right_size: a share from 0 to 1, or a number of rows; what is not given is the rest.
        shuffle, seed: whether rows are first put in random order, and how.
        preferred_backend: taken, and without effect.

    >>> left, right = split_dataset(np.arange(5), left_size=0.6)
    >>> [int(row) for row in left], [int(row) for row in right]
    ([0, 1, 2], [3, 4])
    """
    data = _whole(dataset)
    parts: list[np.ndarray] = []
    _each(parts.append, data)
    count = len(parts[0])
    if any(len(part) != count for part in parts):
        raise ValueError(f"split_dataset: arrays must have one length; got {[len(part) for part in parts]}")
    left, right = _sizes(left_size, right_size, count)
    order = np.random.default_rng(seed).permutation(count) if shuffle else np.arange(count)
    halves = (order[:left], order[left : left + right])
    first, second = (Rows(_each(operator.itemgetter(rows), data), batch_size=None) for rows in halves)
    return first, second


def _whole(dataset: Any) -> Any:
    """The data as arrays."""
    if isinstance(dataset, (tuple, dict)) or (isinstance(dataset, list) and hasattr(dataset[0], "__array__")):
        return _each(np.asarray, dataset)
    if hasattr(dataset, "__array__") or isinstance(dataset, list):
        return np.asarray(dataset)
    if isinstance(dataset, Batched) and dataset.batch_size:
        return _joined(list(dataset), np.concatenate)
    return _joined(list(dataset), np.stack)


def _joined(rows: list[Any], join: Callable[[list[Any]], np.ndarray]) -> Any:
    first = rows[0]
    if isinstance(first, (list, tuple)):
        return type(first)(_joined([row[k] for row in rows], join) for k in range(len(first)))
    if isinstance(first, dict):
        return {key: _joined([row[key] for row in rows], join) for key in first}
    return join([np.asarray(row) for row in rows])


def _sizes(left: float | None, right: float | None, count: int) -> tuple[int, int]:
    if left is None and right is None:
        raise ValueError("split_dataset: give left_size, right_size, or both")
    found = []
    for name, size in (("left_size", left), ("right_size", right)):
        whole = isinstance(size, int) and not isinstance(size, bool)
        if size is not None and not (0 < size < count if whole else isinstance(size, float) and 0 <= size <= 1):
            raise ValueError(f"split_dataset: {name} must be a share from 0 to 1 or a number of rows; got {size!r}")
        found.append(None if size is None else int(size) if whole else size)
    first, second = found
    if first is None:
        rows = round(second * count) if isinstance(second, float) else int(second or 0)
        return count - rows, rows
    rows = round(first * count) if isinstance(first, float) else int(first)
    if second is None:
        return rows, count - rows
    more = round(second * count) if isinstance(second, float) else int(second)
    if rows + more > count:
        raise ValueError(f"split_dataset: {rows} and {more} rows are more than there are, {count}")
    return rows, more
