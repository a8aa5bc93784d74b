"""What happened during ``fit``: one number per epoch for the loss, each metric and the learning rate."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any

from nnkit.errors import UnknownNameError
from nnkit.io.files import write_file
from nnkit.tensors.loading import Fit

__all__ = ["History"]


class History:
    """The record that ``fit`` returns.

    - ``history``: dict of name ("loss", "accuracy", "val_loss", "lr", ...) -> list with one float per epoch
    - ``epoch``: the numbers of these epochs, from 0
    - ``interrupted``: whether Ctrl-C ended the training
    - ``stopped_by``: what ended it before its time: the class name of a callback, "KeyboardInterrupt",
      "DivergenceError", "end of data"; None where all epochs ran

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

        ``names``: what to draw (all but "lr" unless given); ``path``: also save the picture there.
        Needs matplotlib. Raises UnknownNameError for a name that was not recorded.
        """
        from matplotlib import pyplot

        chosen = [n for n in self.history if not n.startswith("val_") and n != "lr"]
        chosen = chosen if names is None else list(names)
        for name in chosen:
            if name not in self.history:
                raise UnknownNameError("recorded quantity", name, self.history)
        figure, axes = pyplot.subplots(1, max(1, len(chosen)), squeeze=False, layout="constrained")
        for name, axis in zip(chosen, axes[0], strict=False):
            for line in (name, f"val_{name}"):
                if line in self.history:
                    axis.plot(self.epoch, self.history[line], label=line)
            axis.set_xlabel("epoch")
            axis.set_title(name)
            axis.legend()
        if path is not None:
            figure.savefig(path)
        return figure

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={row[-1]:.4g}" for name, row in self.history.items())
        stop = f", stopped by {self.stopped_by}" if self.stopped_by else ""
        count = len(self.epoch)
        return f"History({count} epoch{'' if count == 1 else 's'}{': ' if last else ''}{last}{stop})"


def _json_number(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
