"""What every preprocessing step asks of its input: real numbers, no NaN, the promised rank.

User arrays are never written to; a checked array may share their memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.errors import DataError, DtypeError, ShapeError

__all__ = ["checked_fraction", "checked_seed", "numbers", "refuse_missing", "same_length"]

MISSING_HINT = (
    "drop those rows with nnkit.preprocessing.drop_missing, or fill them with nnkit.preprocessing.FillMissing"
)


def numbers(values: Any, name: str) -> np.ndarray:
    """``values`` as an array of real numbers: float64, or float32 where that holds every value.

    float16, float32, booleans and integers of at most 16 bits become float32; float64, wider
    integers and objects (Python numbers) become float64.

    Raises ``DtypeError`` for text, dates, complex numbers and objects that are no numbers, for
    masked arrays; ``ShapeError`` for a single number, rows of unequal length, or no elements at all.
    """
    if isinstance(values, np.ma.MaskedArray | np.matrix):
        raise DtypeError(f"{name} is a {type(values).__name__}; pass an ordinary array (fill the mask first)")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"{name} must have rows of equal length ({error})") from None
    if array.dtype == object:
        array = _from_objects(array, name)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DtypeError(f"{name} must hold real numbers of at most 64 bits, got dtype {array.dtype}")
    if array.ndim == 0 or array.size == 0:
        raise ShapeError(f"{name} must have at least one sample and one feature, got shape {array.shape}")
    return array.astype(np.promote_types(array.dtype, np.float32), copy=False)


def _from_objects(array: np.ndarray, name: str) -> np.ndarray:
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"{name} must hold numbers, got objects ({error})") from None


def refuse_missing(array: np.ndarray, name: str) -> None:
    """Raises ``DataError`` with the count and the first position of NaN or infinite values."""
    wrong = ~np.isfinite(array)
    count = int(wrong.sum())
    if count:
        first = tuple(int(index) for index in np.unravel_index(int(np.argmax(wrong)), array.shape))
        kind = "NaN" if np.isnan(array[first]) else "infinite"
        raise DataError(
            f"{name} has {count} NaN or infinite value{'s' if count > 1 else ''}, the first ({kind}) at "
            f"{_position(first)}; {MISSING_HINT}"
        )


def _position(index: tuple[int, ...]) -> str:
    if len(index) == 2:
        return f"row {index[0]}, column {index[1]}"
    return f"index {index if len(index) > 1 else index[0]}"


def same_length(x: np.ndarray, y: np.ndarray) -> None:
    """Raises ``DataError`` unless ``x`` and ``y`` have equally many samples, at least one."""
    if x.ndim == 0 or y.ndim == 0 or len(x) == 0:
        raise DataError(f"x and y must have at least one sample, got shapes {x.shape} and {y.shape}")
    if len(x) != len(y):
        raise DataError(f"x and y must have equally many samples, got {len(x)} and {len(y)}")


def checked_fraction(value: float, name: str) -> float:
    """``value`` as a float between 0 and 1, both excluded; raises ``DataError``."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < 1:
        raise DataError(f"{name} must be a number between 0 and 1, got {value!r}")
    return float(value)


def checked_seed(seed: int) -> int:
    """``seed`` as an int of at least 0; raises ``DataError``."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise DataError(f"seed must be an integer of at least 0, got {seed!r}")
    return int(seed)
