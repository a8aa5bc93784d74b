"""Rows out of comma-separated text, block after block, as a model takes them; errors name row, line and column."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import numpy as np

from nnkit.errors import DataError
from nnkit.preprocessing.columns import Category, Code, Date, Encoder, Number, texts_of
from nnkit.preprocessing.frames import Column

__all__ = ["Rows"]

LONGEST_LINE = 1 << 24  # characters
MISSING = frozenset({"", "na", "nan", "null", "none"})
TRUTH = {"true": 1.0, "false": 0.0}

Cells = list[str]


class Rows:
    """The rows of a text with one line each, read when they are asked for.

    Args:
        stream: what to read.
        header: whether the first line names the columns; None: it does where no cell of it is a number. Some numbers
            beside some words are names for all that can be told, or a row with a mistake: an error that asks.
        delimiter: what stands between cells.

    ``names`` has the columns' names, None where there is no header. Lines without any cell are passed over. Raises
    ``DataError`` for a text without a line, a line of more than 16 million characters, and what is no CSV.

    >>> import io
    >>> rows = Rows(io.StringIO("a,b\\n1,2\\n3,\\n"))
    >>> rows.names, [block.tolist() for block in rows.arrays(2, 100)]
    (['a', 'b'], [[[1.0, 2.0], [3.0, nan]]])
    """

    def __init__(self, stream: TextIO, header: bool | None = None, delimiter: str = ",") -> None:
        self._reader = csv.reader(_lines(stream), delimiter=delimiter, strict=True)
        self._number, self._line = 0, 0  # of the row that was read last, from 1
        first = self._next()
        if first is None:
            raise DataError("the input has no row")
        self._ahead: list[Cells] = [first]
        self.names: list[str] | None = None
        if header or (header is None and _are_names(first)):
            self.names, self._ahead = [name.strip() for name in first], []
        self.width = len(first)

    def arrays(self, width: int | None, size: int, whole: bool = False) -> Iterator[np.ndarray]:
        """Blocks of at most ``size`` rows of ``width`` numbers, (rows, width) float64; NaN for an empty cell.

        Raises ``DataError`` for another number of cells, for what is no number, and where the rows are to be ``whole``
        numbers for what is none of those.
        """
        if width is not None and self.width != width:
            raise DataError(f"a row must have {width} cells, as the model's input, got {self.width}")
        for rows, places in self._blocks(size):
            try:
                block = np.array(rows, np.float64)
            except ValueError:
                columns = list(zip(*rows, strict=True))
                block = np.stack([self._numbers(column, places, at) for at, column in enumerate(columns)], axis=1)
            # Above 2^53 a float64 need not be the number that was written.
            if whole and not (good := (block == np.rint(block)) & (np.abs(block) <= 1 << 53)).all():
                row, at = np.argwhere(~good)[0].tolist()
                raise self._error(rows[row][at], places[row], at, "no whole number that the model can take")
            yield block

    def tables(self, encoders: Sequence[Encoder], size: int) -> Iterator[dict[str, Any]]:
        """Blocks of at most ``size`` rows as dicts of columns, those that a Table's ``encoders`` read, found by name.

        Raises ``DataError`` for a column that is lacking or twice, and for a cell that is not of its kind.
        """
        if self.names is None:
            raise DataError(f"the model reads columns by name: the first line must name them: {_listed(encoders)}")
        found = {}
        for encoder in encoders:
            count = self.names.count(encoder.name)
            if count != 1:
                what = "there is no column" if count == 0 else f"there are {count} columns"
                raise DataError(f"{what} {encoder.name!r}; the columns are {self.names[:20]}")
            found[encoder.name] = self.names.index(encoder.name)
        for rows, places in self._blocks(size):
            columns = list(zip(*rows, strict=True))
            yield {one.name: self._column(one, columns[at], places, at) for one in encoders for at in [found[one.name]]}

    # ---- lines ---------------------------------------------------------------------------------------------------

    def _blocks(self, size: int) -> Iterator[tuple[list[Cells], list[tuple[int, int]]]]:
        """Rows, and of each its number and line."""
        while True:
            rows, places = self._ahead, [(1, self._line)] * len(self._ahead)
            self._ahead = []
            self._number += len(rows)
            while len(rows) < size and (row := self._next()) is not None:
                self._number += 1
                if len(row) != self.width:
                    where = _where(self._number, self._line)
                    raise DataError(f"{where} has {len(row)} cells, and the first line {self.width}")
                rows.append(row)
                places.append((self._number, self._line))
            if not rows:
                return
            yield rows, places

    def _next(self) -> Cells | None:
        try:
            row = next((row for row in self._reader if row), None)
        except (csv.Error, UnicodeDecodeError) as error:
            where = f"line {self._reader.line_num + isinstance(error, UnicodeDecodeError)}"
            raise DataError(f"{where} is no comma-separated text in UTF-8: {error}") from None
        self._line = self._reader.line_num
        return row

    # ---- cells ---------------------------------------------------------------------------------------------------

    def _numbers(self, cells: Sequence[str], places: list[tuple[int, int]], at: int) -> np.ndarray:
        try:
            return np.array([_number(cell) for cell in cells])
        except ValueError:
            wrong = next(number for number, cell in enumerate(cells) if not _looks_like_a_number(cell))
            raise self._error(cells[wrong], places[wrong], at, "no number") from None

    def _column(self, encoder: Encoder, cells: Sequence[str], places: list[tuple[int, int]], at: int) -> Any:
        if isinstance(encoder, Number):
            numbers = self._numbers(cells, places, at)
            if np.isinf(numbers).any():
                wrong = int(np.argmax(np.isinf(numbers)))
                raise self._error(cells[wrong], places[wrong], at, "infinite")
            return numbers
        stripped = [cell.strip() for cell in cells]
        if isinstance(encoder, Date):
            for cell, place in zip(stripped, places, strict=True):
                if cell and not _is_date(cell):
                    raise self._error(cell, place, at, "no date: write it as 2026-11-28 or 2026-11-28T10:00")
        if isinstance(encoder, (Category, Code)):
            stripped = [cell if cell in encoder.categories else _as_learned(cell) for cell in stripped]
        values = np.empty(len(stripped), object)
        values[:] = [cell or None for cell in stripped]
        return values

    def _error(self, cell: str, place: tuple[int, int], at: int, what: str) -> DataError:
        column = f"column {at + 1}" if self.names is None else f"column {self.names[at]!r}"
        return DataError(f"{_where(*place)}, {column}: {cell[:50]!r} is {what}")


def _lines(stream: TextIO) -> Iterator[str]:
    """The lines of a stream; the mark that some programs write at the start is left out."""
    for number in itertools.count(1):
        line = stream.readline(LONGEST_LINE)
        if not line:
            return
        if len(line) == LONGEST_LINE:
            raise DataError(f"line {number} has {LONGEST_LINE:,} characters or more")
        yield line.removeprefix("\ufeff") if number == 1 else line


def _where(number: int, line: int) -> str:
    return f"row {number} (line {line})"


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        word = cell.strip().lower()
        if word in MISSING:
            return math.nan
        if word in TRUTH:
            return TRUTH[word]
        raise


def _are_names(cells: Cells) -> bool:
    """Whether a first line names the columns; raises ``DataError`` where that cannot be told."""
    kinds = {_looks_like_a_number(cell) for cell in cells if cell.strip()}
    if len(kinds) > 1:
        word = next(cell for cell in cells if not _looks_like_a_number(cell))
        raise DataError(
            f"line 1 has numbers, and {word.strip()[:50]!r}, which is none: does it name the columns? Correct it, or "
            "tell predict --header yes or --header no"
        )
    return kinds == {False}


def _looks_like_a_number(cell: str) -> bool:
    try:
        _number(cell)
    except ValueError:
        return False
    return True


def _is_date(cell: str) -> bool:
    try:
        np.datetime64(cell, "us")
    except ValueError:
        return False
    return True


def _as_learned(cell: str) -> str:
    """A number as a Table writes it that learned a column of numbers as names: without a point where it is whole."""
    try:
        number = float(cell)
    except ValueError:
        return cell
    return texts_of(Column("number", np.array([number])))[0] or "" if math.isfinite(number) else cell


def _listed(encoders: Sequence[Encoder]) -> str:
    return ", ".join(repr(encoder.name) for encoder in encoders[:20])
