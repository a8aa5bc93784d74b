"""Tables with named columns (pandas's, and what is like them), by what they can do: nothing is imported for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.errors import DtypeError

__all__ = ["columns_of", "fixed_for", "is_column", "numbers_of"]


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
            f"them: pandas.get_dummies({name.split()[0]})"
        )
    array = np.asarray(value)
    return array if array.dtype.kind in "biuf" else value.to_numpy(dtype=np.float64)


def fixed_for(value: Any, message: str) -> str:
    """A message whose advice works for a Series, too."""
    return message.replace(".reshape(", ".to_numpy().reshape(") if is_column(value) else message
