"""What models and aliases may be called: names that are the same folder on every system, and lead nowhere else."""

from __future__ import annotations

import re

from nnkit.errors import DataError

__all__ = ["NEWEST", "as_number", "checked_alias", "checked_name", "is_name"]

#: Which version, beside numbers and aliases: the one with the highest number.
NEWEST = "newest"
LONGEST = 100
#: Files that Windows takes for devices, whatever follows a dot.
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def checked_name(name: object, what: str = "name") -> str:
    """``name``, if it can be one; raises ``DataError`` that says what may be in it.

    >>> checked_name("digits-v2.small")
    'digits-v2.small'
    """
    if not isinstance(name, str):
        raise DataError(f"{what} must be a text, got {type(name).__name__}")
    if not _is_spelled_well(name):
        raise DataError(
            f"{what} must be 1 to {LONGEST} letters, digits, '.', '_' and '-' of ASCII, the first a letter or digit, "
            f"the last no '.', got {name[:LONGEST]!r}"
        )
    if not is_name(name):
        raise DataError(f"{what} {name!r} means a device on Windows; choose another")
    return name


def is_name(name: str) -> bool:
    """Whether a model can be called so."""
    return _is_spelled_well(name) and name.partition(".")[0].lower() not in DEVICES


def _is_spelled_well(name: str) -> bool:
    pattern = r"[A-Za-z0-9][A-Za-z0-9._-]*"
    return re.fullmatch(pattern, name) is not None and not name.endswith(".") and len(name) <= LONGEST


def checked_alias(alias: object) -> str:
    """``alias``, if it can be one: a name that is neither a number nor ``newest``."""
    alias = checked_name(alias, "alias")
    if as_number(alias) is not None or alias == NEWEST:
        raise DataError(f"alias {alias!r} would mean a version already: choose a word such as 'champion'")
    return alias


def as_number(which: object) -> int | None:
    """The number that stands in an int or a text of digits, else None."""
    if isinstance(which, int) and not isinstance(which, bool):
        return which
    return int(which) if isinstance(which, str) and re.fullmatch(r"[0-9]{1,18}", which) else None
