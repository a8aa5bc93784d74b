"""Training data larger than the device's memory: they stay on the host, and come to the device window by window.

A window is as many whole batches as fit into some 64 megabytes. While the steps of one window run on the device, the
rows of the next are gathered on the host and copied. The window's place on the device stays the same, so steps over it
can be recorded like those over data that lie there as a whole, and give the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.tensors.tensor import Tensor
from nnkit.training.batches import ArraySource, Batch
from nnkit.training.checked import Checked, HostData
from nnkit.training.fingerprint import fingerprint
from nnkit.training.several import each, filled, named, parts_of

__all__ = ["StreamedSource"]

WINDOW = 1 << 26  # bytes


class StreamedSource(ArraySource):
    """Host data, cut into batches; ``data`` is the window on the device, ``rows`` counts all rows on the host."""

    def __init__(
        self, host: HostData, backend: Backend, batch_size: int, shuffle: bool = False, seed: int | None = None,
        limit: int | None = None,
    ) -> None:  # fmt: skip
        weights = host.weights
        weight = None if weights is None else each(weights, lambda array: Checked(array, array.dtype))
        self._form = (host.x, host.y) if weight is None else (host.x, host.y, weight)
        self._host: list[Checked] = [part for side in self._form for part in parts_of(side)]
        width = sum(array.nbytes for array in self._host) // len(host.x)
        batches = max(WINDOW // max(width * batch_size, 1), 1)
        self.window = min(batches * batch_size, len(host.x))  # rows
        # Zeros, for what has not been filled yet is looked at too where labels are checked.
        places = [backend.zeros((self.window, *array.shape[1:]), array.dtype) for array in self._host]
        super().__init__(self._batch(Tensor(place, backend) for place in places), batch_size, shuffle, seed, limit)
        self.rows = len(host.x)
        self._backend, self._places = backend, places
        sources, types = [checked.array for checked in self._host], [checked.dtype for checked in self._host]
        self._stream = backend.host_stream(sources, self.window, types)

    def _batch(self, tensors: Iterable[Tensor]) -> Batch:
        """Tensors, one for each array of the host, in its form."""
        given = iter(tensors)
        return Batch(*(filled(side, given) for side in self._form))

    def windows(self, number: int, step: int = 0) -> Iterator[int]:
        """Draw the order of epoch ``number``, then fill the window with what comes from batch ``step`` on, again and
        again; yields the rows that are in it."""
        order, part = self.draw(number)
        order = np.arange(self.rows) if order is None else order
        order = order[(part.start + step) * self.batch_size : part.stop * self.batch_size]
        parts = [order[start : start + self.window] for start in range(0, len(order), self.window)]
        for part_rows, arrays in zip(parts, self._stream.batches(parts), strict=True):
            for array, place in zip(arrays, self._places, strict=True):
                self._backend.transfer(array, place[: len(part_rows)])
            yield len(part_rows)

    def epoch(self, number: int, step: int = 0) -> Iterator[Batch]:
        """Draw the epoch's order, then yield its batches."""
        for rows in self.windows(number, step):
            for start in range(0, rows, self.batch_size):
                part = slice(start, min(start + self.batch_size, rows))
                yield self._batch(Tensor(place[part], self._backend) for place in self._places)

    def _gathered(self, batch: int) -> Batch:
        """Bring a batch of the present order to the device again."""
        part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        rows = np.arange(self.rows)[part] if self._order is None else self._order[part]
        return self._batch(checked[rows].moved(self._backend) for checked in self._host)

    def fingerprint(self) -> dict[str, Any]:
        """The data, and how they are cut."""
        arrays = named(**dict(zip(("x", "y", "sample_weight"), self._form, strict=False)))
        return {**fingerprint(arrays), **self._cut()}
