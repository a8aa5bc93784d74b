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

__all__ = ["Checked", "HostData", "every"]

PIECE = 1 << 20  # elements


@dataclass(frozen=True)
class Checked:
    """An array of the host, in its own element type and layout, that will have ``dtype`` on the device.

    ``tensor`` is the user's Tensor that it came from, if any: where that lies there already it is not moved again.
    """

    array: np.ndarray
    dtype: np.dtype[Any]
    tensor: Tensor | None = None

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

    def lies_on(self, device: Any) -> bool:
        """Whether it came from a Tensor on the device."""
        return self.tensor is not None and self.tensor.device == device

    def moved(self, backend: Backend) -> Tensor:
        """On the device."""
        if self.tensor is not None and self.tensor.device == backend.device and self.tensor.dtype == self.dtype:
            return self.tensor.detach()
        with np.errstate(over="ignore"):
            return Tensor(backend.asarray(self.array, self.dtype), backend)

    def converted(self) -> np.ndarray:
        """A contiguous array of ``dtype`` on the host: the array itself where it is one, else a copy."""
        with np.errstate(over="ignore"):
            return np.asarray(self.array, self.dtype, order="C")


@dataclass(frozen=True)
class HostData:
    """Checked arrays on the host: x and y are Checked, or Several of them; ``weight`` (n,) is each sample's own, and
    ``class_weight`` (n,) that of its class."""

    x: Any
    y: Any
    weight: Any = None  # np.ndarray, Several of them, or None
    class_weight: np.ndarray | None = None

    @property
    def weights(self) -> Any:
        """Both weights in one; None where there are none."""
        if self.weight is None or self.class_weight is None:
            return self.class_weight if self.weight is None else self.weight
        return self.weight * self.class_weight

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice) -> HostData:
        given = (self.x, self.y, self.weight, self.class_weight)
        return HostData(*(None if part is None else part[rows] for part in given))


def every(array: np.ndarray, test: Callable[[np.ndarray], Any]) -> bool:
    """Whether ``test``, an array of truth values for each part of ``array``, is True throughout.

    >>> every(np.arange(3), lambda part: part < 3)
    True
    """
    return all(bool(np.all(test(part))) for part in pieces(array, PIECE))
