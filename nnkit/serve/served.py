"""A model that is served: its inputs checked in the words of Python, its rows predicted in recorded batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.backends.cpu.texts import ready
from nnkit.errors import DataError, NnkitError, ShapeError
from nnkit.nn.module import Module
from nnkit.preprocessing.frames import is_table
from nnkit.preprocessing.table import ATTRIBUTE, Table
from nnkit.serve.ladder import Ladder, climb
from nnkit.tensors.dtypes import is_float
from nnkit.training.door import Door
from nnkit.training.inputs import first_linear
from nnkit.training.prediction import predictor_of
from nnkit.training.tables import inputs_of

__all__ = ["CLIENTS", "Served", "inputs_told"]

#: What a model raises of rows that it cannot take; anything else is a fault of the server.
CLIENTS = (NnkitError, ValueError, TypeError, IndexError)
MOST_SHAPES = 8  # kinds of rows that have a ladder; rows of others are predicted request by request
KNOWN_AFTER = 3  # requests
PROGRAMS = 64
AT_ONCE = 256  # rows of a batch of ``predict``, unless it is told another

Key = tuple[tuple[int, ...], np.dtype[Any]]  # shape and element type of one row


class Served:
    """One version of a model; all but its making belongs to the thread that predicts with it.

    ``told`` is called with the size and the rows of each batch.
    """

    def __init__(self, model: Module, told: Callable[[int, int], None] = lambda size, rows: None) -> None:
        self.model = model
        self.table: Table | None = model.__dict__.get(ATTRIBUTE)
        self._door = Door(model, None)
        self.columns = columns_of_rows(model)
        # Whether rows of numbers need no other check than that they are finite, and as many as there are columns.
        self.plain = self.columns is not None and self._door.dtype == np.float32
        self._told = told
        self._targets: dict[Key, np.dtype[Any]] = {}  # rows as they come -> the element type the model wants
        self._ladders: dict[Key, Ladder | None] = {}
        self._seen: dict[Key, int] = {}
        self._rooms: dict[tuple[Key, int], np.ndarray] = {}
        predictor_of(model).maximum = PROGRAMS

    @property
    def patience(self) -> float:
        """Seconds for which it pays that rows wait for others; no longer than one row takes alone."""
        return max((ladder.patience for ladder in self._ladders.values() if ladder is not None), default=0.0)

    @property
    def largest(self) -> int:
        """The rows of the batch in which a row takes the least time."""
        return max((ladder.largest for ladder in self._ladders.values() if ladder is not None), default=1)

    # ---- what comes in --------------------------------------------------------------------------------------

    def prepared(self, value: Any) -> np.ndarray:
        """Rows as the model takes them, or as ``model.fit`` refuses them: in its words, NaN and infinity too."""
        if self.table is not None and is_table(value):
            value = inputs_of(self.model, value)
        array = _array(value)
        target = None if array is None or not len(array) else self._targets.get((array.shape[1:], array.dtype))
        if target is not None:
            with np.errstate(over="ignore"):
                x = np.asarray(array, target, order="C")
            if not is_float(target) or np.isfinite(x).all():
                return x
        checked: np.ndarray = self._door.inputs(value).converted()
        if array is not None and len(self._targets) < MOST_SHAPES * 4:
            self._targets[array.shape[1:], array.dtype] = checked.dtype
        return checked

    # ---- what goes out --------------------------------------------------------------------------------------

    def predict(self, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs for each of ``parts``, rows of one shape and type; raises what the model raises."""
        key = _key(parts[0])
        ladder = self._ladder(key, parts[0])
        if ladder is None:
            return [self._apart(part) for part in parts]
        rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
        found, start = [], 0
        for taken, size in ladder.cut(len(rows)):
            found.append(self._batch(key, rows[start : start + taken], size))
            start += taken
        outputs = found[0] if len(found) == 1 else np.concatenate(found)
        if len(parts) == 1:
            return [outputs]
        ends = np.cumsum([len(part) for part in parts])
        return np.split(outputs, ends[:-1])

    def labels(self, outputs: np.ndarray) -> list[Any] | None:
        """The names of the classes, where the model reads a Table whose target has names."""
        if self.table is None or self.table.labels is None:
            return None
        try:
            return list(self.table.decode(outputs).tolist())
        except ShapeError:  # the outputs are no scores of the classes
            return None

    def warm(self, row: np.ndarray | None = None) -> None:
        """Compile, record and measure ahead what the first requests would wait for, where a row's shape is known."""
        self.plain = self.plain and ready()
        row = self._example() if row is None else row
        if row is not None:
            self._learn(_key(row), row)
            self._targets[row.shape[1:], np.dtype(np.float64)] = row.dtype
            self._targets[row.shape[1:], np.dtype(np.float32)] = row.dtype

    def _batch(self, key: Key, rows: np.ndarray, size: int) -> np.ndarray:
        if len(rows) == size:
            return self._once(rows)
        room = self._rooms.get((key, size))
        if room is None:
            room = self._rooms[key, size] = np.zeros((size, *key[0]), key[1])
        room[: len(rows)] = rows
        return self._once(room, len(rows))

    def _apart(self, rows: np.ndarray) -> np.ndarray:
        """A request by itself, cut as ``predict`` cuts what it is given, so that no program holds more memory."""
        found = [self._once(rows[start : start + AT_ONCE]) for start in range(0, len(rows), AT_ONCE)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _once(self, rows: np.ndarray, count: int | None = None) -> np.ndarray:
        self._told(len(rows), len(rows) if count is None else count)
        return self.outputs(rows)[:count]

    def outputs(self, rows: np.ndarray) -> np.ndarray:
        """Of one batch."""
        found: Any = self.model.predict(rows, batch_size=len(rows))
        if not isinstance(found, np.ndarray):
            raise DataError(f"{type(self.model).__name__} has several outputs; a served model has one")
        return found

    # ---- what was learned of a shape ------------------------------------------------------------------------

    def _ladder(self, key: Key, x: np.ndarray) -> Ladder | None:
        """How to cut rows of this kind into batches; None while they come seldom, or where rows are not apart."""
        if key in self._ladders:
            return self._ladders[key]
        if len(self._ladders) >= MOST_SHAPES:
            return None
        count = self._seen[key] = self._seen.get(key, 0) + 1
        if count < KNOWN_AFTER:
            if len(self._seen) > 1000:
                self._seen.clear()
            return None
        return self._learn(key, x[:1])

    def _learn(self, key: Key, row: np.ndarray) -> Ladder | None:
        ladder = self._ladders[key] = climb(self.outputs, np.ascontiguousarray(row))
        return ladder

    def _example(self) -> np.ndarray | None:
        """A row, where the model's front says how many numbers it takes."""
        width = self.columns
        if width is None:
            return None
        if self.table is not None:
            return np.zeros((1, width), self._door.dtype)
        return np.random.default_rng(0).random((1, width)).astype(self._door.dtype)


def _array(value: Any) -> np.ndarray | None:
    """Rows of JSON as an array, if they are one."""
    try:
        array = np.asarray(value)
    except ValueError:  # of unequal lengths
        return None
    return array if array.ndim else None


def _key(x: np.ndarray) -> Key:
    return x.shape[1:], x.dtype


def columns_of_rows(model: Module) -> int | None:
    """How many numbers a row has; None where the model's front does not say."""
    table: Table | None = model.__dict__.get(ATTRIBUTE)
    if table is not None:
        return len(table.names)
    first, _ = first_linear(model, False)
    return None if first is None else first.in_features


def inputs_told(model: Module) -> dict[str, Any]:
    """What a row consists of, for the page: columns by name with their kinds and values, or how many numbers."""
    table: Table | None = model.__dict__.get(ATTRIBUTE)
    if table is None:
        return {"numbers": columns_of_rows(model)}
    columns = table.state_dict()["columns"]
    told = [{"name": c["name"], "kind": c["kind"], "values": c.get("categories")} for c in columns]
    return {"columns": told, "target": table.target, "classes": table.classes}
