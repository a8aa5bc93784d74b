"""Where batches come from: arrays that already are on the device, or an iterable that yields batches.

Both kinds of source give, per epoch, an iterator of ``Batch``. An array source moves the data once; an epoch is a
permutation, and a batch is a gather of rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nnkit import ops, random
from nnkit.creation import as_tensor
from nnkit.errors import DataError
from nnkit.tensor import Tensor

__all__ = ["ArraySource", "Batch", "IterableSource", "Source"]

_END = object()


@dataclass(frozen=True)
class Batch:
    """Rows on the device: x (B, ...), y (B, ...), weight (B,) or None."""

    x: Tensor
    y: Tensor
    weight: Tensor | None = None

    @property
    def rows(self) -> int:
        """B, the number of samples."""
        return self.x.shape[0]


class Source(Protocol):
    """What the training loop knows about its data."""

    @property
    def steps(self) -> int | None:
        """Batches per epoch; None where nobody knows."""

    @property
    def exhausted(self) -> bool:
        """Whether there will be no further epoch."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of the next epoch, which is epoch ``number``."""

    def recall(self, step: int) -> Batch:
        """Batch number ``step`` of the present epoch again; it is not older than the last ``forget``."""

    def forget(self, step: int) -> None:
        """Batches before number ``step`` will not be asked for again."""


class ArraySource:
    """Data on the device, cut into batches; the last batch of an epoch may be smaller."""

    exhausted = False

    def __init__(self, data: Batch, batch_size: int, shuffle: bool = False, seed: int | None = None) -> None:
        self.data = data
        self.rows = data.rows
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.steps: int = -(-data.rows // batch_size)
        self._order: np.ndarray | None = None

    def epoch(self, number: int) -> Iterator[Batch]:
        """Draw the epoch's order, then yield its batches."""
        self.draw(number)
        for step in range(self.steps):
            yield self.recall(step)

    def draw(self, number: int) -> np.ndarray | None:
        """Draw the order of epoch ``number``, the same on every device; None where the rows come as they are.

        With a seed the order follows from the seed and the epoch's number alone, so a resumed training repeats it.
        """
        if self.shuffle:
            draw = None if self.seed is None else number
            self._order = random.permutation(self.rows, self.seed, draw)
        return self._order

    def recall(self, step: int) -> Batch:
        """Gather batch number ``step`` of the present order."""
        start = step * self.batch_size
        rows = slice(start, min(start + self.batch_size, self.rows))
        if self._order is None:
            return _each(self.data, lambda tensor: tensor[rows])
        chosen = as_tensor(self._order[rows], device=self.data.x.device)
        return _each(self.data, lambda tensor: ops.take_rows(tensor, chosen, checked=True))

    def forget(self, step: int) -> None:
        """Nothing is kept: every batch can be gathered again."""


class IterableSource:
    """A DataLoader, a list of batches or a generator, each batch checked and moved as it comes.

    ``convert(item, number)`` checks an item and returns it as a Batch on the device, or None to skip it.
    ``limit`` ends an epoch after that many batches. A generator goes on where the last epoch ended.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        convert: Callable[[Any, int], Batch | None],
        limit: int | None = None,
    ) -> None:
        self.batches = batches
        self.convert = convert
        self.limit = limit
        self.exhausted = False
        self.steps = _count(batches, limit)
        self._one_shot = isinstance(batches, Iterator)
        self._iterator = iter(batches) if self._one_shot else iter(())
        self._number = 0
        self._kept: dict[int, Batch] = {}

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of one epoch; warns where there are fewer than ``limit``."""
        if not self._one_shot:
            self._iterator, self._number = iter(self.batches), 0
        self._kept.clear()
        step = 0
        while self.limit is None or step < self.limit:
            item = self._next()
            if item is _END:
                self._end(step)
                return
            batch = self.convert(item, self._number - 1)
            if batch is not None:
                self._kept[step] = batch
                yield batch
                step += 1

    def _next(self) -> Any:
        try:
            item = next(self._iterator, _END)
        except Exception as error:
            raise DataError(f"the data raised {type(error).__name__} at batch {self._number}: {error}") from error
        self._number += 1
        return item

    def _end(self, step: int) -> None:
        self.exhausted = self._one_shot
        if self.limit is not None and step < self.limit:
            warnings.warn(
                f"the data ended after {step} of {self.limit} steps (steps_per_epoch); "
                + ("training ends with this epoch" if self._one_shot else "the epoch is shorter"),
                stacklevel=2,
            )

    def recall(self, step: int) -> Batch:
        """A batch that was kept since the last ``forget``."""
        return self._kept[step]

    def forget(self, step: int) -> None:
        """Let go of the batches before ``step``."""
        for old in [number for number in self._kept if number < step]:
            del self._kept[old]


def _count(batches: Iterable[Any], limit: int | None) -> int | None:
    """Batches per epoch, where it can be known."""
    try:
        length = len(batches) if isinstance(batches, Sized) else None
    except TypeError:  # A loader over a dataset without a length.
        length = None
    return limit if length is None else length if limit is None else min(limit, length)


def _each(batch: Batch, take: Callable[[Tensor], Tensor]) -> Batch:
    weight = None if batch.weight is None else take(batch.weight)
    return Batch(take(batch.x), take(batch.y), weight)
