"""Checked arrays on their way to a device: looked at and converted piece by piece, never copied as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.pieces import pieces
from nnkit.tensors.tensor import Tensor

__all__ = ["Checked", "every"]

PIECE = 1 << 20  # elements


@dataclass(frozen=True)
class Checked:
    """An array of the host, in its own element type and layout, that will have ``dtype`` on the device."""

    array: np.ndarray
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.array.shape

    @property
    def nbytes(self) -> int:
        """What it takes on the device."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: slice | np.ndarray) -> Checked:
        return Checked(self.array[rows], self.dtype)

    def moved(self, backend: Backend) -> Tensor:
        """On the device."""
        with np.errstate(over="ignore"):
            return Tensor(backend.asarray(self.array, self.dtype), backend)

    def converted(self) -> np.ndarray:
        """A contiguous array of ``dtype`` on the host: the array itself where it is one, else a copy."""
        with np.errstate(over="ignore"):
            return np.asarray(self.array, self.dtype, order="C")


def every(array: np.ndarray, test: Callable[[np.ndarray], Any]) -> bool:
    """Whether ``test``, an array of truth values for each part of ``array``, is True throughout.

    >>> every(np.arange(3), lambda part: part < 3)
    True
    """
    return all(bool(np.all(test(part))) for part in pieces(array, PIECE))
