"""What happened during ``fit``: one number per epoch for the loss, each metric and the learning rate."""

from __future__ import annotations

import csv
import html
import json
import math
import os
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any

from nnkit.io.files import write_file
from nnkit.plot.history import HistoryDisplay
from nnkit.preprocessing.frames import frame_of
from nnkit.tensors.loading import Fit

__all__ = ["History"]


class History:
    """The record that ``fit`` returns.

    - ``history``: dict of name ("loss", "accuracy", "val_loss", "lr", ...) -> list with one float per epoch
    - ``epoch``: the numbers of these epochs, from 0
    - ``interrupted``: whether Ctrl-C ended the training
    - ``stopped_by``: what ended it before its time: the class name of a callback, "KeyboardInterrupt",
      "DivergenceError", "end of data"; None where all epochs ran
    - ``params``: "verbose", "epochs" and "steps", where ``nnkit.keras`` trained

    >>> record = History()
    >>> record.add(0, {"loss": 0.5, "lr": 0.1})
    >>> record.history, record.epoch
    ({'loss': [0.5], 'lr': [0.1]}, [0])
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.interrupted = False
        self.stopped_by: str | None = None
        self.params: dict[str, Any] = {}

    def add(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Append the results of one epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))

    def state_dict(self) -> dict[str, Any]:
        """Everything that is recorded so far."""
        return {"epoch": list(self.epoch), "history": {name: list(row) for name, row in self.history.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave; raises ModelFileError where it is something else."""
        fit = Fit(self)
        fit.names(("epoch", "history"), fit.mapping("the history", state))
        fit.settle()
        epochs = [fit.count(f"'epoch'[{i}]", epoch) for i, epoch in enumerate(fit.row("'epoch'", state["epoch"]))]
        rows = fit.mapping("'history'", state["history"])
        for name, row in rows.items():
            good = isinstance(name, str) and isinstance(row, list) and all(isinstance(v, float) for v in row)
            if not good or len(row) > len(epochs):
                fit.refuse(f"{name!r} must be a list with one number for each epoch, got {row!r:.60}")
        fit.settle()
        self.epoch, self.history = epochs, {name: list(row) for name, row in rows.items()}

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table: a heading, then one row per epoch. The file is whole or as it was."""
        text = StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["epoch", *self.history])
        writer.writerows(zip(self.epoch, *self.history.values(), strict=True))
        write_file(path, text.getvalue().encode())

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write everything as one JSON object; NaN and infinity, which JSON lacks, become null.

        The file is whole or as it was. Raises OSError where it cannot be written.
        """
        values = {name: [_json_number(value) for value in row] for name, row in self.history.items()}
        record = {
            "epoch": self.epoch,
            "history": values,
            "interrupted": self.interrupted,
            "stopped_by": self.stopped_by,
        }
        write_file(path, (json.dumps(record, indent=2) + "\n").encode())

    def plot(self, names: Iterable[str] | None = None, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw each quantity over the epochs, its validation values beside it; returns matplotlib's Figure.

        ``names``: what to draw (all unless given, "lr" where it changes); ``path``: also save the picture there. It is
        ``nnkit.plot.HistoryDisplay``'s. Raises UnknownNameError for a name that was not recorded.
        """
        figure = HistoryDisplay.from_history(self, names).figure_
        if path is not None:
            figure.savefig(path)
        return figure

    def to_frame(self) -> Any:
        """A frame with a row for each epoch and a column "epoch" and for each quantity: pandas's, else polars's.

        NaN stands where a quantity has no number for an epoch. Raises ImportError where neither is there.

        >>> record = History()
        >>> record.add(0, {"loss": 0.5}); record.add(1, {"loss": 0.25})
        >>> record.to_frame().shape  # doctest: +SKIP
        (2, 2)
        """
        columns: dict[str, list[Any]] = {"epoch": list(self.epoch)}
        for name, row in self.history.items():
            columns[name] = [math.nan] * (len(self.epoch) - len(row)) + row
        return frame_of(columns)

    def _repr_html_(self) -> str:
        """What a notebook shows: the first, best and last number of each quantity."""
        rows = []
        for name, row in self.history.items():
            finite = [value for value in row if math.isfinite(value)]
            shown = [row[0], min(finite), max(finite), row[-1]] if finite else []
            cells = "".join(f"<td>{value:.4g}</td>" for value in shown) or "<td colspan='4'>no finite number</td>"
            rows.append(f"<tr><td style='text-align:left'>{html.escape(name)}</td>{cells}</tr>")
        heads = "".join(f"<th>{head}</th>" for head in ("", "first", "least", "most", "last"))
        return f"<table><tr>{heads}</tr>{''.join(rows)}</table><p>{html.escape(self._title())}</p>"

    def _title(self) -> str:
        stop = f", stopped by {self.stopped_by}" if self.stopped_by else ""
        return f"{len(self.epoch)} epoch{'' if len(self.epoch) == 1 else 's'}{stop}"

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={row[-1]:.4g}" for name, row in self.history.items())
        title, stop, reason = self._title().partition(", stopped by ")
        return f"History({title}{': ' if last else ''}{last}{stop}{reason})"


def _json_number(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
