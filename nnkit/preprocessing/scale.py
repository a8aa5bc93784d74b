"""Bringing features to a common scale: zero mean and unit spread, or a fixed range.

``fit`` remembers the statistics of the training data; ``transform`` applies them to any data, so
that a test sample is scaled exactly as the training samples were.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from nnkit.errors import DataError, ShapeError
from nnkit.preprocessing.checks import numbers, refuse_missing

__all__ = ["MinMaxScale", "Standardize"]


class _Scale:
    """``(x - offset) / factor + low``, with an offset and a factor for every feature.

    With ``axis=0`` every feature (every pixel, for images) has statistics of its own; with
    ``axis=None`` one pair serves the whole array.
    """

    low = 0.0

    def __init__(self, axis: int | None = 0) -> None:
        if axis is not None and axis != 0:
            raise DataError(f"axis must be 0 (each feature by itself) or None (all together), got {axis!r}")
        self.axis = axis
        self.offset: np.ndarray | None = None
        self.factor: np.ndarray | None = None

    def _statistics(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def fit(self, x: Any) -> Self:
        """Learns the statistics of ``x``, shape (samples, ...), in double precision.

        Raises ``DataError`` for NaN or infinite values (their count and the first position),
        ``DtypeError`` and ``ShapeError`` for what is no array of numbers.
        """
        x = numbers(x, "x")
        refuse_missing(x, "x")
        wide = x.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            offset, factor = self._statistics(wide)
        if not (np.isfinite(offset).all() and np.isfinite(factor).all()):
            raise DataError("x has numbers so large that their spread is not finite; divide x by a constant first")
        # The spread of a constant feature computed from rounded numbers need not be exactly 0.
        constant = (wide.max(axis=self.axis) == wide.min(axis=self.axis)) | (factor == 0)
        self.offset, self.factor = np.asarray(offset), np.where(constant, 1.0, factor)
        return self

    def transform(self, x: Any) -> np.ndarray:
        """``x`` scaled by the remembered statistics; float64 for float64 and wide integers, else float32."""
        return self._apply(x, lambda wide, offset, factor: (wide - offset) / factor + self.low)

    def inverse_transform(self, x: Any) -> np.ndarray:
        """The numbers that ``transform`` turned into ``x``."""
        return self._apply(x, lambda wide, offset, factor: (wide - self.low) * factor + offset)

    def fit_transform(self, x: Any) -> np.ndarray:
        """``fit(x)``, then ``transform(x)``."""
        return self.fit(x).transform(x)

    def _apply(self, x: Any, formula: Any) -> np.ndarray:
        offset, factor = self._fitted()
        x = numbers(x, "x")
        if self.axis == 0 and x.shape[1:] != offset.shape:
            raise ShapeError(
                f"x must have samples of shape {offset.shape}, as in fit, got {x.shape[1:]} (x is {x.shape})"
            )
        refuse_missing(x, "x")
        return formula(x.astype(np.float64), offset, factor).astype(x.dtype)

    def _fitted(self) -> tuple[np.ndarray, np.ndarray]:
        if self.offset is None or self.factor is None:
            raise DataError(f"this {type(self).__name__} has no statistics yet; call fit(x) first")
        return self.offset, self.factor

    def state_dict(self) -> dict[str, np.ndarray]:
        """The remembered statistics: ``offset`` and ``factor``, float64."""
        offset, factor = self._fitted()
        return {"offset": offset.copy(), "factor": factor.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over the statistics of a ``state_dict``; raises ``DataError`` where they cannot be right."""
        if set(state) != {"offset", "factor"}:
            raise DataError(f"expected the entries 'offset' and 'factor', got {sorted(map(str, state))}")
        offset, factor = (np.array(state[name], np.float64) for name in ("offset", "factor"))
        if offset.shape != factor.shape or (self.axis is None and offset.shape != ()):
            raise DataError(f"offset and factor do not fit axis={self.axis}: shapes {offset.shape} and {factor.shape}")
        if not (np.isfinite(offset).all() and np.isfinite(factor).all() and (factor != 0).all()):
            raise DataError("offset and factor must be finite, and factor nowhere 0")
        self.offset, self.factor = offset, factor


class Standardize(_Scale):
    """Scales every feature to mean 0 and standard deviation 1 (that of the population, divisor n).

    A constant feature becomes 0. As scikit-learn's ``StandardScaler``.

    Raises DataError before ``fit``, DtypeError for what are no numbers, ShapeError for no samples.

    >>> Standardize().fit_transform([[1.0, 5.0], [3.0, 5.0]]).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    def _statistics(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x.mean(axis=self.axis), x.std(axis=self.axis)


class MinMaxScale(_Scale):
    """Scales every feature so that the training data fill ``[low, high]``.

    A constant feature becomes ``low``. As scikit-learn's ``MinMaxScaler``, without clipping.

    Raises DataError for bounds that are none and before ``fit``, DtypeError for what are no numbers.

    >>> MinMaxScale(-1, 1).fit_transform([[1.0], [2.0], [3.0]]).ravel().tolist()
    [-1.0, 0.0, 1.0]
    """

    def __init__(self, low: float = 0.0, high: float = 1.0, axis: int | None = 0) -> None:
        super().__init__(axis)
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise DataError(f"low and high must be finite with low < high, got {low!r} and {high!r}")
        self.low, self.high = float(low), float(high)

    def _statistics(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        least, most = x.min(axis=self.axis), x.max(axis=self.axis)
        return least, (most - least) / (self.high - self.low)
