"""``python -m nnkit predict``: a model's outputs for rows of comma-separated text, in constant memory."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import numpy as np

from nnkit.errors import DataError, ShapeError
from nnkit.io.files import is_special
from nnkit.io.rows import Rows
from nnkit.preprocessing.table import ATTRIBUTE, Table
from nnkit.registry.data import inputs_of
from nnkit.registry.files import load_model
from nnkit.registry.finding import find_model

BLOCK, CELLS = 1024, 1 << 20  # rows, and cells, that are held at once


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "model", help="a file of model.save, or REGISTRY/NAME or REGISTRY/NAME@WHICH: a number, an alias or newest"
    )
    parser.add_argument("input", nargs="?", default="-", help="comma-separated rows (default: -, the standard input)")
    parser.add_argument("--output", default="-", help="a file, written whole or not at all (default: standard output)")
    parser.add_argument("--format", choices=["csv", "json"], default="csv", help="json: an object a line")
    parser.add_argument(
        "--header", choices=["auto", "yes", "no"], default="auto",
        help="whether the first line names the columns (auto: it does where no cell of it is a number)",
    )  # fmt: skip
    parser.add_argument("--delimiter", default=",", help="what stands between cells (default: a comma)")
    parser.add_argument("--device", default=None, help="a device of 'python -m nnkit devices'")
    add_import(parser)


def add_import(parser: argparse.ArgumentParser) -> None:
    """``--import``, for models of classes that are not nnkit's."""
    parser.add_argument(
        "--import", dest="modules", action="append", default=[], metavar="MODULE",
        help="a module of yours to import first, which registers the model's own classes",
    )  # fmt: skip


def import_modules(options: argparse.Namespace) -> None:
    """Import what ``--import`` named."""
    for name in options.modules:
        importlib.import_module(name)


def run(options: argparse.Namespace) -> None:
    """Read, predict, write, a block of rows at a time."""
    if len(options.delimiter) != 1:
        raise ValueError(f"--delimiter must be one character, got {options.delimiter!r}")
    import_modules(options)
    path, card = find_model(options.model)
    model = load_model(path, options.device)
    header = {"auto": True if ATTRIBUTE in model.__dict__ else None, "yes": True, "no": False}[options.header]
    with _reading(options.input) as source, _writing(options.output) as sink:
        rows = Rows(source, header, options.delimiter)
        lines = Lines(model, sink, options.format)
        for block in blocks_of(model, rows, inputs=card.get("inputs")):
            lines.write(_predicted(model, block, lines.rows))
    if lines.spoilt:
        of_all = f"{lines.spoilt} of {lines.rows} rows"
        print(f"{of_all} have outputs that are NaN or infinite; the first is row {lines.first}", file=sys.stderr)


def _predicted(model: Any, block: Any, before: int) -> Any:
    """The outputs of a block; what the model raises of its rows says which they are."""
    try:
        return model.predict(block, batch_size=BLOCK)
    except (ValueError, TypeError, IndexError) as error:
        rows = len(next(iter(block.values())) if isinstance(block, dict) else block)
        raise DataError(f"rows {before + 1} to {before + rows}: {error}") from None


def blocks_of(model: Any, rows: Rows, inputs: Any = None) -> Iterator[Any]:
    """The rows as the model takes them: columns by name where it reads a Table, else arrays in the shape of its input.

    ``inputs`` is what a card says of a row; else the model is asked. NaN is passed on, as ``model.predict`` does.
    Raises ``DataError`` that names row and column.
    """
    table: Table | None = model.__dict__.get(ATTRIBUTE)
    size = max(1, min(BLOCK, CELLS // rows.width))
    if table is not None:
        yield from rows.tables(table.encoders, size)
        return
    stated = inputs or inputs_of(model)
    shape = [rows.width] if stated is None or None in stated[0]["shape"] else stated[0]["shape"]
    dtype = np.dtype("float32" if stated is None else stated[0]["dtype"])
    for block in rows.arrays(int(np.prod(shape)), size, whole=dtype.kind in "iu"):
        with np.errstate(over="ignore"):  # what is too large for float32 is infinite there, and told at the end
            yield block.reshape(len(block), *shape).astype(dtype)


class Lines:
    """Writes a model's outputs, a line for each row; nine digits tell all of float32 apart, seventeen all of float64.

    The columns are ``y``, or ``y0``, ``y1``, ... where a row has several; before them, where the model's Table knows
    labels, the label under the name of its target.
    """

    def __init__(self, model: Any, sink: TextIO, form: str) -> None:
        self.sink, self.form = sink, form
        table: Table | None = model.__dict__.get(ATTRIBUTE)
        self.table = table if table is not None and table.labels is not None else None
        self.rows = self.spoilt = self.first = 0

    def write(self, outputs: Any) -> None:
        """One block, (rows, ...)."""
        if not isinstance(outputs, np.ndarray):
            raise ShapeError("the model has several outputs; this command writes one: use Python")
        labels = None if self.table is None else self.table.decode(outputs).tolist()
        good = np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)
        if not good.all():
            self.first = self.first or self.rows + int(np.argmin(good)) + 1
            self.spoilt += int((~good).sum())
        if self.form == "csv":
            self._write_csv(outputs.reshape(len(outputs), -1), labels)
        else:
            self._write_json(outputs, labels)
        self.rows += len(outputs)

    def _write_csv(self, outputs: np.ndarray, labels: list[Any] | None) -> None:
        if self.rows == 0:
            width = outputs.shape[1]
            names = ["y"] if width == 1 else [f"y{number}" for number in range(width)]
            self.sink.write(",".join([*([] if self.table is None else [_cell(self.table.target)]), *names]) + "\n")
        form = ",".join([f"%.{17 if outputs.dtype == np.float64 else 9}g"] * outputs.shape[1])
        lines = [form % tuple(row) for row in outputs.tolist()]
        if labels is not None:
            lines = [f"{_cell(label)},{line}" for label, line in zip(labels, lines, strict=True)]
        self.sink.write("\n".join(lines) + "\n")

    def _write_json(self, outputs: np.ndarray, labels: list[Any] | None) -> None:
        target = None if self.table is None else self.table.target
        for number, row in enumerate(outputs):
            values = _as_json((row[0] if row.shape == (1,) else row).tolist(), 17 if row.dtype == np.float64 else 9)
            line = {"y": values} if labels is None else {str(target): labels[number], "y": values}
            self.sink.write(json.dumps(line, ensure_ascii=False) + "\n")


def _as_json(values: Any, digits: int) -> Any:
    """Numbers with as many digits as they have; JSON has no NaN, so null stands for it, and for infinity."""
    if isinstance(values, list):
        return [_as_json(value, digits) for value in values]
    if not isinstance(values, float):
        return values
    return float(f"{values:.{digits}g}") if np.isfinite(values) else None


def _cell(value: Any) -> str:
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


@contextlib.contextmanager
def _reading(name: str) -> Iterator[TextIO]:
    if name == "-":
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(encoding="utf-8", newline="")
        yield sys.stdin
        return
    with open(name, encoding="utf-8", newline="") as file:
        yield file


@contextlib.contextmanager
def _writing(name: str) -> Iterator[TextIO]:
    """The standard output; or a file beside the one that is asked for, which takes its name at the end.

    Devices and pipes, such as /dev/stdout, are written to as they are: nothing may take their place.
    """
    if name == "-":
        yield sys.stdout
        return
    target = Path(name)
    if is_special(target):
        with open(target, "a", encoding="utf-8", newline="") as file:
            yield file
        return
    if target.is_dir():
        raise IsADirectoryError(f"--output must be a file, and {name!r} is a folder")
    part = target.with_name(f".{target.name}.{os.getpid()}.nnkit-tmp")
    try:
        with _ended_by_sigterm(), open(part, "x", encoding="utf-8", newline="") as file:
            yield file
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM raises SystemExit inside, as Ctrl-C KeyboardInterrupt, so that what is half written is removed."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
