"""Numbers of an optimizer that are read as numbers, and as Keras's variables: ``.numpy()``, ``.assign()``."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Count", "Rate"]


class Rate(float):
    """The learning rate at the moment it was read; ``assign`` sets it.

    >>> from nnkit.keras.optimizers import SGD
    >>> optimizer = SGD(0.1); optimizer.learning_rate.assign(0.5); float(optimizer.learning_rate.numpy())
    0.5
    """

    optimizer: Any

    @classmethod
    def of(cls, optimizer: Any, value: float) -> Rate:
        """The rate ``value`` of ``optimizer``."""
        made = cls(value)
        made.optimizer = optimizer
        return made

    def assign(self, value: Any) -> None:
        """Set the rate of the optimizer."""
        self.optimizer.learning_rate = float(value)

    def numpy(self) -> np.floating[Any]:
        """The number as NumPy's."""
        return np.float64(self)

    def __reduce__(self) -> Any:
        return float, (float(self),)


class Count(int):
    """The number of updates at the moment it was read."""

    def numpy(self) -> np.integer[Any]:
        """The number as NumPy's."""
        return np.int64(self)
