"""Arrays or Tensors side by side, with one row per sample each: what a model with several inputs or outputs takes.

Where training has one array of inputs or targets, it may have ``Several``: all are cut into the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["Several", "each", "filled", "named", "parts_of"]


class Several:
    """``parts`` side by side, called by ``names``; all have the same number of rows.

    ``form`` tells how they were given: a list, a tuple, a dict of these names, or one alone (None).

    >>> import numpy as np
    >>> both = Several([np.zeros((4, 2)), np.zeros(4)], ["a", "b"])
    >>> len(both), both[:3].parts[0].shape
    (4, (3, 2))
    """

    __slots__ = ("form", "names", "parts")

    def __init__(self, parts: Sequence[Any], names: Sequence[str] | None = None, form: type | None = list) -> None:
        self.parts = tuple(parts)
        self.names = tuple(map(str, range(len(self.parts)))) if names is None else tuple(names)
        self.form = form

    @classmethod
    def of(cls, structure: Any) -> Several:
        """The values of a dict, in the order of its keys, or those of a list or tuple."""
        if isinstance(structure, dict):
            keys = sorted(structure)
            return cls([structure[key] for key in keys], keys, dict)
        return cls(list(structure), form=type(structure))

    def structure(self) -> Any:
        """The parts as they were given."""
        if self.form is None:
            return self.parts[0]
        return dict(zip(self.names, self.parts, strict=True)) if self.form is dict else self.form(self.parts)

    def each(self, function: Callable[..., Any], *others: Several) -> Several:
        """``function`` of each part, and of the parts of others at its place."""
        rows = zip(self.parts, *(other.parts for other in others), strict=True)
        return Several([function(*row) for row in rows], self.names, self.form)

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, rows: Any) -> Several:
        return self.each(lambda part: part[rows])

    def detach(self) -> Several:
        """Off the tape."""
        return self.each(lambda part: part.detach())

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows alone, for the parts may have others."""
        return (self.parts[0].shape[0],)

    @property
    def nbytes(self) -> int:
        """Of all parts."""
        return sum(part.nbytes for part in self.parts)

    @property
    def device(self) -> Any:
        """Of the first part; the others are there, too."""
        return self.parts[0].device

    @property
    def backend(self) -> Any:
        """Of the first part."""
        return self.parts[0].backend


def parts_of(value: Any) -> tuple[Any, ...]:
    """The parts of several, or a value alone.

    >>> parts_of(3), parts_of(Several([1, 2]))
    ((3,), (1, 2))
    """
    return value.parts if isinstance(value, Several) else (value,)


def each(value: Any, function: Callable[[Any], Any]) -> Any:
    """``function`` of a value, or of each of several."""
    return value.each(function) if isinstance(value, Several) else function(value)


def named(**values: Any) -> dict[str, Any]:
    """Each part by a name: ``x``, or ``x['age']`` of several; None is left out.

    >>> named(x=Several([1, 2], ["a", "b"]), y=3, z=None)
    {"x['a']": 1, "x['b']": 2, 'y': 3}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Several):
            found |= {f"{name}[{part!r}]": own for part, own in zip(value.names, value.parts, strict=True)}
        elif value is not None:
            found[name] = value
    return found


def filled(like: Any, parts: Iterator[Any]) -> Any:
    """The next of ``parts``, as many as ``like`` has, in its form."""
    return each(like, lambda ignored: next(parts))
