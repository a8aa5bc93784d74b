"""Data that lie in parts: each process has rows of its own, and gives so many of them to every batch."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Parts"]


class Parts(NamedTuple):
    """Of every process the number of its ``rows``, and how many of them it gives to a batch, ``sizes``; ``rank`` is
    this process's.

    A process whose rows are used up has none of the batches that are left of a pass over the data.

    >>> parts = Parts((5, 3), (2, 2), rank=1)
    >>> parts.batches, [parts.of_batch(number) for number in range(3)], parts.alike(0)
    (3, [(2, 2), (2, 1), (1, 0)], 1)
    """

    rows: tuple[int, ...]
    sizes: tuple[int, ...]
    rank: int

    @property
    def batches(self) -> int:
        """Of a pass over the data."""
        return max(-(-rows // size) for rows, size in zip(self.rows, self.sizes, strict=True))

    def of_batch(self, number: int) -> tuple[int, ...]:
        """Of every process the rows that it has in a batch."""
        return tuple(min(max(rows - number * size, 0), size) for rows, size in zip(self.rows, self.sizes, strict=True))

    def alike(self, number: int) -> int:
        """How many batches, from this one on, have as many rows of every process."""
        counts = zip(self.rows, self.sizes, self.of_batch(number), strict=True)
        return max(min(rows // size - number for rows, size, own in counts if own), 1)
