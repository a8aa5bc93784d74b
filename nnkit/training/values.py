"""Values as plain arrays of real numbers, and what is said of those that are none: for inputs, targets and weights.

Everything is looked at on the host, before any device sees it, so the messages are the same on every device. An
array that is read-only, strided, Fortran-ordered or byte-swapped counts as the plain array of the same values;
what would lose information (a mask, an imaginary part, text) is refused. User arrays are never written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from nnkit.errors import DataError, DtypeError, ShapeError
from nnkit.tensors.dtypes import is_float
from nnkit.tensors.tensor import Tensor
from nnkit.training.checked import Checked, every

__all__ = [
    "check_finite", "check_lengths", "columns_of", "first_bad", "fixed_for", "floats", "has_rows", "host_array",
    "numbers", "refuse_unordered", "variable",
]  # fmt: skip

_ADVICE = {
    "c": "use .real, .imag or abs() of it",
    "O": "make it numeric: np.asarray({name}, dtype=np.float32)",
    "M": "convert it to numbers, for example days since a start",
    "m": "convert it to numbers: {name} / np.timedelta64(1, 's')",
    "U": "convert it to numbers: {name}.astype(np.float32), or np.unique({name}, return_inverse=True)[1] for labels",
    "S": "convert it to numbers: {name}.astype(np.float32), or np.unique({name}, return_inverse=True)[1] for labels",
    "T": "convert it to numbers: {name}.astype(np.float32), or np.unique({name}, return_inverse=True)[1] for labels",
    "V": "use one of its fields, or stack them: np.stack([{name}[f] for f in {name}.dtype.names], axis=1)",
}


def host_array(value: Any, name: str) -> np.ndarray:
    """``value`` as a contiguous numpy array of native byte order, still of its own dtype; see ``numbers``.

    >>> host_array([[1, 2], [3, 4]], "x").shape
    (2, 2)
    """
    array = numbers(value, name)
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


def numbers(value: Any, name: str) -> np.ndarray:
    """``value`` as a numpy array of real numbers; without a copy where it is one, whatever its layout.

    Raises TypeError for masked arrays, numpy.matrix and sparse matrices, ShapeError for rows of unequal
    lengths, DtypeError for what is not real numbers.
    """
    array = _plain_array(value, name)
    if array.dtype.kind not in "biuf" and not is_float(array.dtype):
        advice = _ADVICE.get(array.dtype.kind, "make it numeric").format(name=variable(name))
        raise DtypeError(f"{name} has dtype {array.dtype}; expected real numbers: {advice}")
    return array


def _plain_array(value: Any, name: str) -> np.ndarray:
    if value is None:
        raise TypeError(f"{name} is None; expected an array, a Tensor or a list")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, and its mask would be lost; fill it first: {variable(name)}.filled(0), "
            "or drop those rows"
        )
    if isinstance(value, np.matrix):
        raise TypeError(f"{name} is a numpy.matrix; pass an array: np.asarray({variable(name)})")
    refuse_unordered(value, name)
    if isinstance(value, Tensor):
        return value.detach().numpy()
    if columns_of(value) is not None:
        return numbers_of(value, name)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(
            f"{name} does not form an array: its rows have unequal lengths ({error}); pad or cut them"
        ) from error
    if array.dtype.kind == "O" and array.ndim == 0:
        raise TypeError(
            f"{name} is of type {type(value).__name__}; expected an array, a Tensor, a list or a DataLoader"
        )
    return array


def refuse_unordered(value: Any, name: str) -> None:
    """Raise TypeError for what looks like data and has no rows in order: a sparse matrix, a dict, a set."""
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(f"{name} is a sparse matrix; pass a dense array: {variable(name)}.toarray()")
    if isinstance(value, Mapping):
        raise TypeError(
            f"{name} is a {type(value).__name__}; expected one array: np.stack([{variable(name)}[key] for key in "
            f"{variable(name)}], axis=1) makes one of columns"
        )
    if isinstance(value, Set):
        raise TypeError(f"{name} is a {type(value).__name__}, which has no order; pass a list or an array")


def has_rows(value: Any) -> bool:
    """Whether ``value`` has a first dimension."""
    return hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0


def floats(
    array: np.ndarray, name: str, dtype: np.dtype[Any], finite: bool = True, columns: Sequence[str] | None = None
) -> Checked:
    """``array``, to be of the floating-point ``dtype``.

    Raises DataError for NaN, infinity (where ``finite``), or values beyond the dtype.
    """
    checked = Checked(array, dtype)
    with np.errstate(over="ignore"):
        if finite and not every(array, lambda part: np.isfinite(part.astype(dtype, copy=False))):
            check_finite(array, name, columns)
            _refuse_overflow(array, checked.converted(), name)
    return checked


def check_finite(array: np.ndarray, name: str, columns: Sequence[str] | None = None) -> None:
    """Raise DataError where ``array`` holds NaN or infinity: how many, and the first of them, by its column's name.

    >>> check_finite(np.array([[1.0, 2.0], [3.0, np.nan]]), "x")
    Traceback (most recent call last):
    nnkit.errors.DataError: x holds 1 value that is NaN or infinite: the first, nan, is in row 1, column 1. ...
    """
    if every(array, np.isfinite):
        return
    count, place = _count_and_place(~np.isfinite(array))
    raise DataError(
        f"{name} holds {count} value{'s' if count > 1 else ''} that {'are' if count > 1 else 'is'} NaN or infinite: "
        f"the first, {array[place]}, is in {describe(place, columns)}. Remove or fill such values first"
    )


def _refuse_overflow(array: np.ndarray, converted: np.ndarray, name: str) -> None:
    count, place = _count_and_place(~np.isfinite(converted))
    raise DataError(
        f"{name} holds {count} value{'s' if count > 1 else ''} too large for the model's {converted.dtype}: the first, "
        f"{array[place]}, is in {describe(place)}. Scale the data, or use a float64 model: model.double()"
    )


def _count_and_place(bad: np.ndarray) -> tuple[int, tuple[int, ...]]:
    """How many elements of ``bad`` are True, and the index of the first."""
    place = np.unravel_index(int(np.argmax(bad)), bad.shape)
    return int(np.count_nonzero(bad)), tuple(int(i) for i in place)


def describe(place: tuple[int, ...], columns: Sequence[str] | None = None) -> str:
    """An index in words.

    >>> describe((7,)), describe((7, 2)), describe((7, 2, 3))
    ('row 7', 'row 7, column 2', 'row 7, position (2, 3)')
    """
    if len(place) == 1:
        return f"row {place[0]}"
    if len(place) == 2 and columns is not None:
        return f"row {place[0]}, column {columns[place[1]]!r}"
    return f"row {place[0]}, " + (f"column {place[1]}" if len(place) == 2 else f"position {place[1:]}")


def first_bad(bad: np.ndarray) -> tuple[int, str, tuple[int, ...]]:
    """How many elements are True, the first one's place in words, and its index."""
    count, place = _count_and_place(bad)
    return count, describe(place), place


def check_lengths(**lengths: int) -> None:
    """Raise DataError unless all lengths are equal; every one is named.

    >>> check_lengths(x=3, y=4)
    Traceback (most recent call last):
    nnkit.errors.DataError: lengths differ: x has 3 samples, y has 4; ...
    """
    if len(set(lengths.values())) > 1:
        (first, count), *rest = lengths.items()
        others = ", ".join(f"{name} has {length}" for name, length in rest)
        raise DataError(
            f"lengths differ: {first} has {count} samples, {others}; each sample needs one entry in each of them"
        )


def variable(name: str) -> str:
    """The variable to write in a fix: ``"y of batch 3"`` -> ``"y"``."""
    return name.split()[0]


# ---- tables with named columns (pandas's, and what is like them), by what they can do: nothing is imported for them


def is_column(value: Any) -> bool:
    """Whether this is a Series or DataFrame, which has no ``reshape``."""
    return hasattr(value, "iloc") and hasattr(value, "to_numpy")


def columns_of(value: Any) -> list[str] | None:
    """The names of the columns; None for what has none."""
    return [str(name) for name in value.columns] if is_column(value) and hasattr(value, "columns") else None


def numbers_of(value: Any, name: str) -> np.ndarray:
    """A DataFrame as an array: columns of numbers and of truth values together. Raises DtypeError that names others."""
    wrong = [
        f"{str(column)!r} ({dtype})"
        for column, dtype in zip(value.columns, value.dtypes, strict=True)
        if getattr(dtype, "kind", "O") not in "biuf"
    ]
    if wrong:
        raise DtypeError(
            f"{name} has columns that are no numbers ({len(wrong)}): {', '.join(wrong[:8])}: leave them out, or encode "
            f"them: pandas.get_dummies({variable(name)})"
        )
    array = np.asarray(value)
    return array if array.dtype.kind in "biuf" else value.to_numpy(dtype=np.float64)


def fixed_for(value: Any, message: str) -> str:
    """A message whose advice works for a Series, too."""
    return message.replace(".reshape(", ".to_numpy().reshape(") if is_column(value) else message
