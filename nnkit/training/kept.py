"""Metrics that need all samples at once, such as the order of their scores, and the memory that keeps these.

A step writes its rows where a cursor in the device's memory stands, and moves the cursor on; so recorded steps contain
it, and nothing is read before the epoch ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.backends.base import Array
from nnkit.errors import ShapeError
from nnkit.tensors.creation import arange, zeros
from nnkit.tensors.dtypes import int64
from nnkit.tensors.tensor import Tensor
from nnkit.training.metric import Metric

__all__ = ["KeptRows", "RowMetric"]


class RowMetric(Metric):
    """A metric of all samples: ``rows`` of each batch are kept, and ``result`` is of those of the whole epoch.

    Keeping them takes 8 bytes a number in the device's memory. The result is there at the end of an epoch only.
    Prediction and target are (B, ...), of any dtype; rows are float64 (B, k). The base raises NotImplementedError
    for both. Source: nnkit's own.

    >>> import nnkit
    >>> class Median(RowMetric):
    ...     name = "median"
    ...     def rows(self, prediction, target, weight=None):
    ...         return abs(prediction - target).reshape(-1, 1).double()
    ...     def result(self, sums):
    ...         return float(np.median(sums))
    >>> nnkit.nn.Identity().evaluate([1.0, 2.0, 3.0], [1.0, 4.0, 4.0], loss="mse", metrics=[Median()])["median"]
    1.0
    """

    def rows(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """float64 (B, k): what is kept of this batch. prediction (B, ...), target (B, ...), weight (B,) or None."""
        raise NotImplementedError(f"{type(self).__name__} has no rows method")

    def result(self, sums: np.ndarray) -> float:
        """The metric, from the rows (n, k) of all batches."""
        raise NotImplementedError(f"{type(self).__name__} has no result method")


class KeptRows:
    """The rows of an epoch's samples, float64 (capacity, k), in device memory."""

    def __init__(self, name: str, width: int, capacity: int, device: Any) -> None:
        self.name, self.width = name, width
        self._cursor = zeros(1, dtype=int64, device=device)
        self._make(capacity, device)

    def _make(self, capacity: int, device: Any) -> None:
        self._memory = zeros((capacity, self.width), dtype="float64", device=device)
        self._places = arange(capacity, dtype=int64, device=device)

    @property
    def capacity(self) -> int:
        """How many rows there is room for."""
        return len(self._places)

    def memory(self) -> list[Array]:
        """Every array that ``add`` writes."""
        return [self._memory.array, self._cursor.array]

    def add(self, rows: Tensor) -> None:
        """Keep the rows (B, k) of one batch; on the device only."""
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ShapeError(f"metric {self.name!r} must keep rows (B, {self.width}), got {tuple(rows.shape)}")
        places = self._places[: len(rows)] + self._cursor
        # What lies there is 0, so that to add is to write.
        self._memory.backend.add_rows(rows.double().contiguous().array, places.array, self._memory.array)
        self._cursor.add_(len(rows))

    def reset(self) -> None:
        """Forget all rows, in the same memory."""
        self._memory.backend.fill(0.0, self._memory.array)
        self._cursor.backend.fill(0.0, self._cursor.array)

    def make_room(self, samples: int) -> None:
        """Make the memory larger where that many rows do not fit; no program may have been recorded over it."""
        if samples > len(self._places):
            kept = self._memory
            self._make(max(samples, 2 * len(kept)), kept.device)
            self._memory[: len(kept)].copy_(kept)

    def put(self, rows: Tensor) -> None:
        """Keep these rows (n, k), and no others."""
        self.make_room(len(rows))
        self.reset()
        self._memory[: len(rows)].copy_(rows.to(device=self._memory.device))
        self._cursor.backend.fill(float(len(rows)), self._cursor.array)

    def taken(self) -> int:
        """How many rows were kept; read from the device."""
        return int(self._cursor.backend.download(self._cursor.array)[0])

    def first(self, samples: int) -> Tensor:
        """A copy of the first rows (samples, k)."""
        return self._memory[:samples].clone()
