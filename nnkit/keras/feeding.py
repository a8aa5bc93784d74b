"""Batches for the loop of Keras's models: of arrays in any structure, loaders, datasets and generators.

An item is x, (x, y) or (x, y, sample_weight); each of them an array or a list, tuple or dict of arrays. What a step
gets is the same in tensors on the model's device: x alone where there are no targets.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from nnkit import ops
from nnkit.errors import DataError, ShapeError
from nnkit.recording.structures import leaves, rebuilt
from nnkit.tensors import random
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.tensor import Tensor
from nnkit.utils.data import DataLoader, Dataset

__all__ = ["Batches", "Feed", "arrays_feed", "feed_of", "pack", "rows_of", "split_validation", "unpack"]


def pack(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """One item of data: ``x`` alone where there is nothing else (``keras.utils.pack_x_y_sample_weight``)."""
    if y is None:
        return x if not isinstance(x, (tuple, list)) else (x,)
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack(data: Any) -> tuple[Any, Any, Any]:
    """An item of data as (x, y, sample_weight), None for what it lacks (``keras.utils.unpack_x_y_sample_weight``).

    >>> unpack(1), unpack((1, 2))
    ((1, None, None), (1, 2, None))
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if len(data) > 3:
        raise DataError(f"a batch has {len(data)} parts; expected x, (x, y) or (x, y, sample_weight)")
    x, y, weight = (*data, None, None, None)[:3]
    return x, y, weight


class Batches:
    """How arrays become tensors on a device.

    Args:
        device: where to.
        dtype: the type of floats.
        whole: whether inputs of whole numbers stay so, for layers that read them.
    """

    def __init__(self, device: Any, dtype: Any, whole: bool) -> None:
        self.device, self.dtype, self.whole = device, dtype, whole

    def item(self, data: Any) -> Any:
        """One item in tensors."""
        x, y, weight = unpack(data)
        return pack(self.inputs(x), self._targets(y), self._targets(weight))

    def inputs(self, x: Any) -> Any:
        """Inputs in tensors."""
        return rebuilt(_as_arrays(x), lambda leaf: self._tensor(leaf, "x"))

    def _targets(self, y: Any) -> Any:
        return None if y is None else rebuilt(_as_arrays(y), lambda leaf: self._tensor(leaf, "y"))

    def _tensor(self, leaf: Any, name: str) -> Any:
        if leaf is None:
            return None
        if isinstance(leaf, Tensor):
            kind = self.dtype if leaf.is_floating_point() else leaf.dtype
            return leaf.detach().to(device=self.device, dtype=kind)
        array = np.asarray(leaf)
        if array.dtype.kind not in "biuf":
            return array  # texts, for layers that read them
        floats = array.dtype.kind == "f" or (name == "x" and array.dtype.kind in "iu" and not self.whole)
        return as_tensor(array, dtype=self.dtype if floats else None, device=self.device)


def _as_arrays(value: Any) -> Any:
    """Data as arrays: a list of numbers is one array, a list of arrays is several."""
    if isinstance(value, Mapping):
        return {name: _as_arrays(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        if any(isinstance(leaf, (np.ndarray, Tensor)) or hasattr(leaf, "__array__") for leaf in value):
            return type(value)(_as_arrays(part) for part in value)
        return np.asarray(value)
    if hasattr(value, "to_numpy"):  # a frame or a column of one
        return value.to_numpy()
    return value


def rows_of(data: Any) -> int:
    """How many samples an item has."""
    first = next((leaf for leaf in leaves(data) if getattr(leaf, "ndim", 0)), None)
    return 1 if first is None else int(first.shape[0])


class Feed(Protocol):
    """Where an epoch's batches come from."""

    #: Batches of an epoch, where that is known.
    steps: int | None
    #: Whether there will be no more.
    exhausted: bool

    def epoch(self) -> Iterator[Any]:
        """The batches of the next epoch."""

    def restart(self) -> None:
        """Let the next epoch begin where the data do, if they can be had again."""


class ArrayFeed:
    """Arrays on the device, cut into batches; with ``limit`` an epoch has as many, and the next goes on from there."""

    def __init__(self, data: Any, batch_size: int, shuffle: bool = False, limit: int | None = None) -> None:
        self.data, self.batch_size, self.shuffle, self.limit = data, batch_size, shuffle, limit
        self.rows = rows_of(data)
        whole = -(-self.rows // batch_size)
        self.steps: int | None = whole if limit is None else min(limit, whole)
        self.exhausted = False
        self._pass: Iterator[Any] | None = None
        self._left = 0

    def epoch(self) -> Iterator[Any]:
        """The batches of the next epoch."""
        if self._pass is None or not self._left:
            self._pass, self._left = self._batches(), -(-self.rows // self.batch_size)
        wanted = self._left if self.limit is None else self.limit
        if self.limit is not None and self._left < wanted:
            _say_end(self._left, wanted)
        for _ in range(min(wanted, self._left)):
            self._left -= 1
            yield next(self._pass)

    def restart(self) -> None:
        """Let the next epoch begin with the first sample."""
        self._pass = None

    def _batches(self) -> Iterator[Any]:
        order = random.permutation(self.rows) if self.shuffle else None
        for start in range(0, self.rows, self.batch_size):
            stop = min(start + self.batch_size, self.rows)
            yield self._taken(start, stop, order)

    def _taken(self, start: int, stop: int, order: np.ndarray | None) -> Any:
        numbers: dict[Any, Tensor] = {}

        def part(leaf: Any) -> Any:
            if leaf is None:
                return None
            if not isinstance(leaf, Tensor):
                return leaf[start:stop] if order is None else leaf[order[start:stop]]
            if order is None:
                return leaf[start:stop]
            if leaf.device not in numbers:
                numbers[leaf.device] = as_tensor(order[start:stop], device=leaf.device)
            return ops.take_rows(leaf, numbers[leaf.device], checked=True)

        return rebuilt(self.data, part)


class IterableFeed:
    """Batches as something else yields them; a generator goes on where the last epoch ended."""

    def __init__(self, source: Any, batches: Batches, limit: int | None = None) -> None:
        self.source, self.batches, self.limit = source, batches, limit
        self.exhausted = False
        length = _length(source)
        self.steps = limit if length is None else length if limit is None else min(limit, length)
        self._once = isinstance(source, Iterator)
        self._iterator: Iterator[Any] | None = iter(source) if self._once else None

    def epoch(self) -> Iterator[Any]:
        """The batches of the next epoch."""
        if self._iterator is None:
            self._iterator = self._items()
        done = 0
        while self.limit is None or done < self.limit:
            item = next(self._iterator, _END)
            if item is _END:
                self._iterator = iter(()) if self._once else None
                self.exhausted = self._once
                if self.limit is not None:
                    _say_end(done, self.limit)
                return
            yield self.batches.item(item)
            done += 1
        if not self._once and self.steps is not None and self.limit is None:
            self._iterator = None

    def restart(self) -> None:
        """Let the next epoch begin with the first batch, where that can be had again."""
        if not self._once:
            self._iterator = None

    def _items(self) -> Iterator[Any]:
        source = self.source
        if not hasattr(source, "__iter__"):  # a PyDataset
            return (source[number] for number in range(len(source)))
        return iter(source)

    def end_epoch(self) -> None:
        """Tell a data set that an epoch has ended."""
        ended = getattr(self.source, "on_epoch_end", None)
        if ended is not None and not hasattr(self.source, "__iter__"):  # which tells it by itself
            ended()


_END = object()


def _length(source: Any) -> int | None:
    try:
        return len(source)
    except TypeError:
        return None


def _say_end(done: int, limit: int) -> None:
    warnings.warn(f"the data ended after {done} of {limit} steps; the epoch is shorter", stacklevel=3)


def is_array_like(x: Any) -> bool:
    """Whether this is an array of samples, or a structure of such arrays."""
    if isinstance(x, (np.ndarray, Tensor)) or hasattr(x, "to_numpy"):
        return True
    if isinstance(x, Mapping):
        return bool(x) and all(is_array_like(part) for part in x.values())
    if isinstance(x, (list, tuple)):
        first = x[0] if x else None
        return isinstance(first, (int, float, str, bool, list, np.generic)) or (
            bool(x) and all(is_array_like(part) for part in x)
        )
    return hasattr(x, "__array__") and not isinstance(x, Iterable)


def arrays_feed(
    data: tuple[Any, Any, Any], batches: Batches, batch_size: int, shuffle: bool = False, limit: int | None = None
) -> ArrayFeed:
    """The feed of arrays (x, y, sample_weight), checked to have as many samples each."""
    moved = batches.item(pack(*data) if data[1] is not None or data[2] is None else (data[0], None, data[2]))
    counts = {leaf.shape[0] for leaf in leaves(moved) if getattr(leaf, "ndim", 0)}
    if len(counts) > 1:
        raise ShapeError(f"x, y and sample_weight have different numbers of samples: {sorted(counts)}")
    if counts == {0} or not counts:
        raise DataError("the data have no samples; expected at least one")
    return ArrayFeed(moved, batch_size, shuffle, limit)


def feed_of(
    x: Any, y: Any, weight: Any, batches: Batches, batch_size: int | None, shuffle: bool = False,
    limit: int | None = None,
) -> Feed:  # fmt: skip
    """The feed of whatever ``fit`` and its sisters were given."""
    size = 32 if batch_size is None else batch_size
    if y is not None or is_array_like(x):
        return arrays_feed((x, y, weight), batches, size, shuffle, limit)
    if weight is not None:
        raise DataError("sample_weight goes with arrays; a loader yields (x, y, sample_weight) instead")
    if isinstance(x, Dataset) and not hasattr(x, "__iter__"):
        x = DataLoader(x, batch_size=size, shuffle=shuffle)
    if not hasattr(x, "__iter__") and not hasattr(x, "__getitem__"):
        raise DataError(f"x is a {type(x).__name__}; expected arrays, or something that yields batches")
    return IterableFeed(x, batches, limit)


def split_validation(data: tuple[Any, Any, Any], share: float) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
    """The first part of arrays (x, y, sample_weight), and the last ``share`` of them."""
    x, y, weight = (None if part is None else _as_arrays(part) for part in data)
    rows = rows_of(x)
    cut = int(rows * (1.0 - share))
    if cut in (0, rows):
        raise ValueError(f"validation_split={share} of {rows} samples leaves nothing for training or for validation")

    def part_of(rows: slice) -> tuple[Any, ...]:
        def taken(leaf: Any) -> Any:
            return None if leaf is None else leaf[rows]

        return tuple(None if part is None else rebuilt(part, taken) for part in (x, y, weight))

    return part_of(slice(0, cut)), part_of(slice(cut, None))
