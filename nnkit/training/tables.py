"""Frames at the door: a model that ``reads`` a Table takes rows with named columns wherever it takes an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from nnkit.errors import DataError, LabelError
from nnkit.nn.module import Module
from nnkit.nn.table import TableInput
from nnkit.preprocessing.frames import columns_of, is_table
from nnkit.preprocessing.table import ATTRIBUTE, Table
from nnkit.training.loss_kinds import BINARY, LABEL_LOSSES

__all__ = ["inputs_of", "pair_of", "reads", "samples_of"]

Model = TypeVar("Model", bound=Module)


def reads(model: Model, table: Table) -> Model:
    """Have ``fit``, ``evaluate`` and ``predict`` take frames, dicts of columns and single rows; returns the model.

    ``table`` has learned from the training data (``Table.fit``). It is saved with the model: what ``nnkit.load`` makes
    takes the raw rows. ``fit(frame, "column")`` names the target. Raises DataError for a Table that has seen no data,
    and for one with embedded columns where no ``nn.TableInput`` of their sizes is there to embed them.

    >>> import nnkit
    >>> table = nnkit.preprocessing.Table().fit({"age": [30, 50], "left": ["no", "yes"]}, "left")
    >>> model = nnkit.nn.Linear(table.width, 1).reads(table)
    >>> model.predict({"age": 40}).shape
    (1, 1)
    """
    if not isinstance(table, Table):
        raise TypeError(f"table must be an nnkit.preprocessing.Table, got {type(table).__name__}")
    numbers, categories = table.layout
    if categories and not any(_embeds(part, numbers, categories) for part in model.modules()):
        raise DataError(
            f"the table embeds {len(categories)} columns, and the model has no layer for them: "
            f"begin it with nn.TableInput(*table.layout), which is nn.TableInput({numbers}, {categories})"
        )
    model.__dict__[ATTRIBUTE] = table
    return model


def _embeds(part: Module, numbers: int, categories: list[tuple[int, int]]) -> bool:
    return isinstance(part, TableInput) and part.numbers == numbers and part.categories == categories


def samples_of(
    model: Module, loss: Callable[..., Any] | None, x: Any, y: Any, weight: Any, where: str = ""
) -> tuple[Any, Any, Any]:
    """x, y and sample weights as arrays, where x is a table; y and weights may be the names of columns."""
    table = _table_of(model, x, y)
    if table is None:
        return x, y, weight
    if y is None or isinstance(y, str):
        if y is not None and y != table.target:
            raise DataError(
                f"the model's Table learned the target {table.target!r}, not {y!r}: table.fit(frame, {y!r})"
            )
        y = table.targets(x)
    if isinstance(weight, str):
        column = columns_of(x, wanted=[weight])[weight]
        if column.kind != "number":
            raise DataError(f"sample_weight: column {weight!r} holds {column.kind}s; expected numbers")
        weight = column.values
    return table.transform(x, f"x{where}"), _shaped(loss, np.asarray(y), table), weight


def pair_of(model: Module, loss: Callable[..., Any] | None, validation_data: Any) -> Any:
    """Validation data as arrays: a table, or (table, y) or (table, y, sample_weight)."""
    if (
        is_table(validation_data)
        and not isinstance(validation_data, list)
        and model.__dict__.get(ATTRIBUTE) is not None
    ):
        validation_data = (validation_data, None)
    if not isinstance(validation_data, tuple) or len(validation_data) not in (2, 3) or not is_table(validation_data[0]):
        return validation_data
    x, y, *weight = validation_data
    x, y, given = samples_of(model, loss, x, y, weight[0] if weight else None, " of validation_data")
    return (x, y) if given is None else (x, y, given)


def inputs_of(model: Module, x: Any) -> Any:
    """x as an array, where it is a table that the model reads."""
    table = _table_of(model, x, None)
    return x if table is None else table.transform(x)


def _table_of(model: Module, x: Any, y: Any) -> Table | None:
    table: Table | None = model.__dict__.get(ATTRIBUTE)
    if table is not None and not isinstance(x, np.ndarray) and is_table(x):
        return table
    if isinstance(y, str):
        raise DataError(
            f"y={y!r} names a column of a frame, and the model reads none: table = nnkit.preprocessing.Table()"
            f".fit(frame, {y!r}), and model.reads(table)"
        )
    return None


def _shaped(loss: Callable[..., Any] | None, y: np.ndarray, table: Table) -> np.ndarray:
    """A target column as losses take it: (rows,) where it holds labels for a loss of class scores, else (rows, 1)."""
    if y.ndim != 1:
        return y
    classes = table.classes or []
    if len(classes) > 2 and isinstance(loss, BINARY):
        raise LabelError(
            f"column {table.target!r}, the target, has {len(classes)} classes, {classes[:5]}, and "
            f"{type(loss).__name__} tells two apart: end the model with {len(classes)} scores, and loss='cross_entropy'"
        )
    if isinstance(loss, LABEL_LOSSES) or len(classes) > 2:
        whole = y.dtype.kind == "f" and bool((y == np.rint(y)).all())
        return y.astype(np.int64) if whole else y
    return y.astype(np.float32)[:, None]
