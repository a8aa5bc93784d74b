"""What stands before a model in its file: scalers, and the columns of a Table.

Numbers are computed as in Python, in float64, and become the model's type in the end. Where a column is a category its
input is of texts, and a missing one is the empty text. Dates cannot be said: ONNX reads none out of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.onnx.errors import OnnxError
from nnkit.onnx.graph import Graph, Value
from nnkit.onnx.sizes import ROWS
from nnkit.preprocessing import MinMaxScale, Standardize, Table
from nnkit.preprocessing.columns import Category, Code, Encoder, Number

__all__ = ["add_table", "scaled"]

WIDE = np.dtype(np.float64)
ML = "ai.onnx.ml"


def scaled(g: Graph, x: Value, scaler: Any) -> Value:
    """x as a fitted scaler makes it: nnkit's, or scikit-learn's StandardScaler and MinMaxScaler."""
    if isinstance(scaler, (Standardize, MinMaxScale)):
        offset, factor = scaler._fitted()
        wide = g.node("Sub", [g.cast(x, WIDE), g.constant(offset, WIDE)])
        wide = g.node("Div", [wide, g.constant(factor, WIDE)])
        if scaler.low:
            wide = g.node("Add", [wide, g.constant(scaler.low, WIDE)])
        return g.cast(wide, x.dtype)._replace(shape=x.shape)
    name = type(scaler).__name__
    if name == "StandardScaler" and hasattr(scaler, "scale_"):
        wide = g.cast(x, WIDE)
        if scaler.with_mean:
            wide = g.node("Sub", [wide, g.constant(scaler.mean_, WIDE)])
        if scaler.with_std:
            wide = g.node("Div", [wide, g.constant(scaler.scale_, WIDE)])
    elif name == "MinMaxScaler" and hasattr(scaler, "scale_"):
        wide = g.node("Mul", [g.cast(x, WIDE), g.constant(scaler.scale_, WIDE)])
        wide = g.node("Add", [wide, g.constant(scaler.min_, WIDE)])
        if scaler.clip:
            low, high = (g.constant(float(bound), WIDE) for bound in scaler.feature_range)
            wide = g.node("Min", [g.node("Max", [wide, low]), high])
    else:
        raise OnnxError(
            f"scale: nnkit.onnx says a fitted Standardize, MinMaxScale, StandardScaler or MinMaxScaler, got {name}; "
            "scale the data before, and export the model alone"
        )
    return g.cast(wide, x.dtype)._replace(shape=x.shape)


def add_table(g: Graph, table: Table, dtype: Any) -> tuple[list[Value], Value]:
    """An input (rows, 1) for each column, and the rows of numbers that ``table.transform`` makes of them."""
    inputs, parts = [], []
    for encoder in table._known():
        kind = np.dtype(object) if isinstance(encoder, (Category, Code)) else WIDE
        column = Value(g.name(encoder.name), kind, (ROWS, 1))
        inputs.append(column)
        g.rows = g.rows or column
        g.where = f"column {encoder.name!r}"
        parts += [g.cast(part, np.float32) for part in _encoded(g, encoder, column)]
    g.where = "the model"
    rows = g.node("Concat", parts, axis=1) if len(parts) > 1 else parts[0]
    return inputs, g.cast(rows, dtype)._replace(shape=(ROWS, len(table.names)))


def _encoded(g: Graph, encoder: Encoder, column: Value) -> Sequence[Value]:
    if isinstance(encoder, Number):
        missing = g.node("IsNaN", [column], bool)
        known = g.node("Where", [missing, g.constant(encoder.fill, WIDE), column], WIDE)
        off = g.node("Sub", [known, g.constant(encoder.center, WIDE)])
        scaled = g.node("Div", [off, g.constant(encoder.scale, WIDE)])
        return [scaled, *([missing] if encoder.gaps else [])]
    if isinstance(encoder, Code):
        return [_numbered(g, column, encoder.categories, 2, 1)]
    if isinstance(encoder, Category):
        place = _numbered(g, column, encoder.categories, 0, len(encoder.categories) if encoder.gaps else -1)
        places = g.constant(np.arange(len(encoder.names)), np.int64)
        return [g.node("Equal", [place, places], bool)]
    raise OnnxError(
        f"export: {g.where} is a {encoder.kind}, and ONNX has no operator that reads one out of a text: make "
        f"numbers of it before the Table, or leave it out with ignore=[{encoder.name!r}]"
    )


def _numbered(g: Graph, column: Value, categories: Sequence[str], first: int, missing: int) -> Value:
    """The number of each text; of the empty one ``missing``, of an unknown one 0 or -1."""
    numbers = {"": missing} | {text: place for place, text in enumerate(categories, start=first)}
    return g.node(
        "LabelEncoder", [column], np.int64, domain=ML, keys_strings=list(numbers), values_int64s=list(numbers.values()),
        default_int64=0 if first else -1,
    )  # fmt: skip
