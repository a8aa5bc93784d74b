"""How one column of a table becomes numbers: what is learned from the training data, and what is made of any data.

A column's ``width`` numbers a row are float32; ``names`` says what they mean. Its state is plain JSON.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from nnkit.errors import DataError, DtypeError
from nnkit.preprocessing.frames import Column

__all__ = ["KINDS", "Category", "Code", "Date", "Encoder", "Number", "texts_of"]

#: Values of a column of texts from which on one column each is too many.
MOST_CATEGORIES = 100


class Encoder:
    """One column's part of a Table: ``learn`` from a column, then ``encode`` columns of the same name."""

    kind: ClassVar[str]
    fields: ClassVar[tuple[str, ...]]  # what the state holds besides the name

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def names(self) -> list[str]:
        """What each of the numbers means."""
        raise NotImplementedError

    def learn(self, column: Column) -> Self:
        """Remember what the training data say."""
        raise NotImplementedError

    def encode(self, column: Column) -> np.ndarray:
        """(rows, width) float64."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What was learned, as JSON."""
        return {"kind": self.kind, "name": self.name, **{field: getattr(self, field) for field in self.fields}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """An encoder that has learned. Raises ``DataError`` for a state that is none of this kind's."""
        if set(state) != {"kind", "name", *cls.fields} or not isinstance(state["name"], str):
            raise DataError(f"a column of the kind {cls.kind!r} has the entries name, {', '.join(cls.fields)}")
        encoder = cls(state["name"])
        for field in cls.fields:
            setattr(encoder, field, _checked(field, state[field]))
        return encoder

    def wrong(self, column: Column, expected: str) -> DtypeError:
        """The error for a column of another type than in the training data."""
        shown = next((value for value in column.values.tolist() if value is not None), None)
        return DtypeError(
            f"column {self.name!r} must hold {expected}, as in the training data, got {column.kind}s such as {shown!r}"
        )


def _checked(field: str, value: Any) -> Any:
    good = {
        "center": _is_finite, "scale": lambda v: _is_finite(v) and v > 0, "fill": _is_finite,
        "gaps": lambda v: isinstance(v, bool), "hours": lambda v: isinstance(v, bool),
        "width_of_row": lambda v: type(v) is int and 0 < v <= 1 << 16,
        "categories": lambda v: isinstance(v, list) and all(isinstance(t, str) for t in v) and len(set(v)) == len(v),
    }[field]  # fmt: skip
    if not good(value):
        raise DataError(f"a column's {field!r} cannot be {str(value)[:50]!r}")
    return value


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _indicator(missing: np.ndarray) -> np.ndarray:
    return missing.astype(np.float64)[:, None]


class Number(Encoder):
    """A number: what is missing is filled with the median, then mean 0 and deviation 1; a second column tells gaps.

    The second column is there where the training data had gaps.
    """

    kind = "number"
    fields = ("fill", "center", "scale", "gaps")

    fill: float
    center: float
    scale: float
    gaps: bool

    @property
    def names(self) -> list[str]:
        return [self.name, *([f"{self.name} is missing"] if self.gaps else [])]

    def learn(self, column: Column) -> Self:
        values = self._finite(column)
        missing = np.isnan(values)
        if missing.all():
            raise DataError(f"column {self.name!r} has no value in any row; leave it out: ignore=[{self.name!r}]")
        self.gaps, self.fill = bool(missing.any()), float(np.median(values[~missing]))
        filled = np.where(missing, self.fill, values)
        with np.errstate(over="ignore"):
            self.center, scale = float(filled.mean()), float(filled.std())
        if not math.isfinite(self.center) or not math.isfinite(scale):
            raise DataError(f"column {self.name!r} has numbers so large that their spread is not finite")
        self.scale = scale if scale > 1e-12 * max(abs(self.center), 1e-300) else 1.0
        return self

    def encode(self, column: Column) -> np.ndarray:
        values = self._finite(column)
        missing = np.isnan(values)
        scaled = ((np.where(missing, self.fill, values) - self.center) / self.scale)[:, None]
        return np.concatenate([scaled, _indicator(missing)], axis=1) if self.gaps else scaled

    def _finite(self, column: Column) -> np.ndarray:
        if column.kind != "number":
            raise self.wrong(column, "numbers")
        infinite = np.isinf(column.values)
        if infinite.any():
            raise DataError(
                f"column {self.name!r} has {int(infinite.sum())} infinite values, the first in row "
                f"{int(np.argmax(infinite))}; only NaN and None mark what is missing"
            )
        return column.values


class Category(Encoder):
    """One of some values: a column of 0 and 1 for each, and one for what is missing where the training data had gaps.

    A value that the training data had not is a row of zeros.
    """

    kind = "category"
    fields = ("categories", "gaps")

    categories: list[str]
    gaps: bool

    @property
    def names(self) -> list[str]:
        gaps = [f"{self.name} is missing"] if self.gaps else []
        return [*(f"{self.name}={category}" for category in self.categories), *gaps]

    def learn(self, column: Column) -> Self:
        values = texts_of(column)
        present = [value for value in values if value is not None]
        if not present:
            raise DataError(f"column {self.name!r} has no value in any row; leave it out: ignore=[{self.name!r}]")
        self.gaps, self.categories = len(present) < len(values), sorted(set(present), key=_by_size)
        if len(self.categories) > MOST_CATEGORIES:
            raise DataError(
                f"column {self.name!r} has {len(self.categories)} different values, too many for a column of 0 and 1 "
                f"each: learn a vector for each with embed=[{self.name!r}], or leave it out"
            )
        return self

    def encode(self, column: Column) -> np.ndarray:
        values = texts_of(column)
        places = {category: place for place, category in enumerate(self.categories)}
        rows = np.zeros((len(values), len(self.names)))
        for number, value in enumerate(values):
            place = places.get(value, -1) if value is not None else (len(places) if self.gaps else -1)
            if place >= 0:
                rows[number, place] = 1.0
        return rows


class Code(Encoder):
    """One of some values as a number for ``nn.TableInput``'s learned vectors: 0 unseen, 1 missing, 2 the first, ...

    A value that the training data have once only counts as unseen, so that the vector of the unseen is learned, too.
    """

    kind = "code"
    fields = ("categories", "width_of_row")

    categories: list[str]
    width_of_row: int

    def __init__(self, name: str, width: int | None = None) -> None:
        super().__init__(name)
        self.width = width

    @property
    def names(self) -> list[str]:
        return [self.name]

    def learn(self, column: Column) -> Self:
        counts: dict[str, int] = {}
        for value in texts_of(column):
            if value is not None:
                counts[value] = counts.get(value, 0) + 1
        often = [value for value, count in counts.items() if count > 1]
        self.categories = sorted(often, key=_by_size)
        # fast.ai's rule of thumb.
        self.width_of_row = self.width or min(50, round(1.6 * (len(often) + 2) ** 0.56))
        return self

    def encode(self, column: Column) -> np.ndarray:
        places = {category: place for place, category in enumerate(self.categories, start=2)}
        return np.array([[1 if v is None else places.get(v, 0)] for v in texts_of(column)], np.float64).reshape(-1, 1)


class Date(Encoder):
    """A moment: its distance from the mean in deviations, and where in the year, the week and the day it lies.

    A place in a circle is a sine and a cosine. The time of day is told where the training data have one.
    """

    kind = "date"
    fields = ("center", "scale", "gaps", "hours")

    center: float
    scale: float
    gaps: bool
    hours: bool

    @property
    def names(self) -> list[str]:
        circles = ["year", "week", *(["day"] if self.hours else [])]
        waves = [f"{wave} of the {circle} of {self.name}" for circle in circles for wave in ("sine", "cosine")]
        return [self.name, *waves, *([f"{self.name} is missing"] if self.gaps else [])]

    def learn(self, column: Column) -> Self:
        days = self._days(self._dates(column))
        missing = np.isnan(days)
        if missing.all():
            raise DataError(f"column {self.name!r} has no value in any row; leave it out: ignore=[{self.name!r}]")
        self.gaps, self.hours = bool(missing.any()), bool((days[~missing] % 1 != 0).any())
        self.center, self.scale = float(days[~missing].mean()), float(days[~missing].std()) or 1.0
        return self

    def encode(self, column: Column) -> np.ndarray:
        column = self._dates(column)
        days = self._days(column)
        missing = np.isnan(days)
        known = np.where(missing, self.center, days)
        year = column.values.astype("datetime64[Y]").astype("datetime64[D]").astype(np.float64)
        # The first of January 1970 was a Thursday.
        turns = [(known - np.where(missing, known, year)) / 365.2425, (known + 3) / 7, *([known] if self.hours else [])]
        waves = [wave(2 * np.pi * turn) for turn in turns for wave in (np.sin, np.cos)]
        numbers = np.stack([(known - self.center) / self.scale, *waves], axis=1)
        numbers[missing] = 0.0
        return np.concatenate([numbers, _indicator(missing)], axis=1) if self.gaps else numbers

    def _dates(self, column: Column) -> Column:
        if column.kind == "text":
            return Column("date", _parsed(self.name, column.values))
        if column.kind == "number" and np.isnan(column.values).all():  # missing in every row, and so without a type
            return Column("date", np.full(len(column.values), "NaT", "datetime64[us]"))
        if column.kind != "date":
            raise self.wrong(column, "dates")
        return column

    def _days(self, column: Column) -> np.ndarray:
        days = column.values.astype("datetime64[us]").astype(np.int64) / 86_400e6
        return np.where(np.isnat(column.values), np.nan, days)


def _parsed(name: str, texts: np.ndarray) -> np.ndarray:
    """Dates that are written as ISO 8601 has it."""
    moments = np.full(len(texts), "NaT", "datetime64[us]")
    for number, text in enumerate(texts.tolist()):
        if text is not None:
            try:
                moments[number] = _moment(text)
            except ValueError:
                raise DataError(
                    f"column {name!r} has {text!r} in row {number}, which is no date; write it as 2026-11-28 or "
                    "2026-11-28T10:00, or parse the column first"
                ) from None
    return moments


def _moment(text: str) -> np.datetime64:
    """A date by its text, at the clock's time where it names a zone; raises ValueError where it is none."""
    if not text.strip():
        return np.datetime64("NaT", "us")
    if not re.match(r"\d{4}(-\d\d(-\d\d([T ]|$)|$)|$)", text):  # NumPy takes "now" too, and 20261128 for a year
        raise ValueError(text)
    if re.search(r":.*(Z|[+-]\d\d:?\d\d)$", text):
        return np.datetime64(datetime.datetime.fromisoformat(text).replace(tzinfo=None), "us")
    return np.datetime64(text, "us")


def texts_of(column: Column) -> list[str | None]:
    """The values as texts, None where one is missing; whole numbers without a point, whatever type they came in."""
    if column.kind == "text":
        return list(column.values.tolist())
    if column.kind == "date":
        return [None if np.isnat(value) else str(value) for value in column.values]
    return [None if math.isnan(v) else str(int(v)) if v.is_integer() else str(v) for v in column.values.tolist()]


def _by_size(text: str) -> tuple[bool, float, str]:
    """Numbers by size, before other texts."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


KINDS: dict[str, type[Encoder]] = {encoder.kind: encoder for encoder in (Number, Category, Code, Date)}
