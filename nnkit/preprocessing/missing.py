"""Missing values, written as NaN: leave out the samples that have them, or fill them in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from nnkit.errors import DataError, ShapeError, UnknownNameError
from nnkit.preprocessing.checks import numbers, same_length

__all__ = ["FillMissing", "drop_missing", "fill_missing"]

STRATEGIES = ("mean", "median", "constant")


def drop_missing(x: Any, y: Any = None) -> Any:
    """The samples without NaN: ``x``, or ``(x, y)`` with the labels of the same samples.

    Samples lie along the first axis. ``y`` may be of any type; where it holds floating-point
    numbers, a NaN in it drops the sample too. Raises ``DataError`` if no sample is left.

    Source: ``pandas.DataFrame.dropna``.

    >>> x, y = drop_missing([[1.0, 2.0], [float("nan"), 4.0]], ["cat", "dog"])
    >>> x.tolist(), y.tolist()
    ([[1.0, 2.0]], ['cat'])
    """
    x = numbers(x, "x")
    complete = ~_rows_with_nan(x)
    if y is not None:
        y = np.asarray(y)
        same_length(x, y)
        if y.dtype.kind == "f":
            complete &= ~_rows_with_nan(y)
    if not complete.any():
        raise DataError(f"every one of the {len(x)} samples has a missing value; fill them with FillMissing")
    return x[complete] if y is None else (x[complete], y[complete])


def _rows_with_nan(array: np.ndarray) -> np.ndarray:
    return np.isnan(array).reshape(len(array), -1).any(axis=1)


class FillMissing:
    """Replaces NaN by the mean or the median of its feature in the training data, or by a constant.

    ``strategy`` is "mean", "median" or "constant" (then ``value``). A feature that has only NaN
    in the training data has no mean, and is refused. As scikit-learn's ``SimpleImputer``.

    Raises UnknownNameError for another strategy, DataError for a feature that is refused and before ``fit``.

    >>> FillMissing("median").fit([[1.0], [9.0], [2.0]]).transform([[float("nan")]]).tolist()
    [[2.0]]
    """

    def __init__(self, strategy: str = "mean", value: float = 0.0) -> None:
        if strategy not in STRATEGIES:
            raise UnknownNameError("strategy", strategy, STRATEGIES)
        if not np.isfinite(value):
            raise DataError(f"value must be a finite number, got {value!r}")
        self.strategy = strategy
        self.value = float(value)
        self.fill: np.ndarray | None = None

    def fit(self, x: Any) -> Self:
        """Learns what to fill in from ``x``, shape (samples, ...); infinite values are refused."""
        x = _without_infinity(numbers(x, "x")).astype(np.float64)
        empty = np.argwhere(np.isnan(x).all(axis=0))
        if self.strategy == "constant":
            self.fill = np.full(x.shape[1:], self.value)
            return self
        if len(empty):
            feature = tuple(empty[0].tolist())
            raise DataError(
                f"x has {len(empty)} feature(s) that are missing in every sample, the first at {feature}; "
                'leave them out, or use strategy="constant"'
            )
        self.fill = np.asarray(
            np.nanmean(x, axis=0) if self.strategy == "mean" else np.nanmedian(x, axis=0), np.float64
        )
        return self

    def transform(self, x: Any) -> np.ndarray:
        """A copy of ``x`` without NaN; float64 for float64 and wide integers, else float32."""
        if self.fill is None:
            raise DataError("this FillMissing has no statistics yet; call fit(x) first")
        x = _without_infinity(numbers(x, "x"))
        if x.shape[1:] != self.fill.shape:
            raise ShapeError(f"x must have samples of shape {self.fill.shape}, as in fit, got {x.shape[1:]}")
        return np.where(np.isnan(x), self.fill, x).astype(x.dtype)

    def fit_transform(self, x: Any) -> np.ndarray:
        """``fit(x)``, then ``transform(x)``."""
        return self.fit(x).transform(x)

    def state_dict(self) -> dict[str, np.ndarray]:
        """What is filled in, for every feature: ``fill``, float64."""
        if self.fill is None:
            raise DataError("this FillMissing has no statistics yet; call fit(x) first")
        return {"fill": self.fill.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over the values of a ``state_dict``; raises ``DataError`` where they are not finite."""
        if set(state) != {"fill"}:
            raise DataError(f"expected the entry 'fill', got {sorted(map(str, state))}")
        fill = np.array(state["fill"], np.float64)
        if not np.isfinite(fill).all():
            raise DataError("fill must be finite")
        self.fill = fill


def fill_missing(x: Any, strategy: str = "mean", value: float = 0.0) -> np.ndarray:
    """``FillMissing(strategy, value).fit_transform(x)``: for data that need no second pass.

    x has shape (n, …) and any dtype of numbers. Raises what :class:`FillMissing` raises: UnknownNameError, DataError.
    Source: scikit-learn's ``SimpleImputer``.

    >>> fill_missing([[1.0], [float("nan")], [3.0]]).ravel().tolist()
    [1.0, 2.0, 3.0]
    """
    return FillMissing(strategy, value).fit_transform(x)


def _without_infinity(x: np.ndarray) -> np.ndarray:
    wrong = np.isinf(x)
    if wrong.any():
        first = tuple(np.argwhere(wrong)[0].tolist())
        raise DataError(
            f"x has {int(wrong.sum())} infinite values, the first at index {first}; only NaN marks a missing value"
        )
    return x
