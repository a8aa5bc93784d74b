"""What a training leaves on disk as it goes, beside the model: its epochs as a table, or as lines of JSON."""

from __future__ import annotations

import csv
import json
import math
import os
import time
from typing import Any, TextIO

from nnkit.training.callbacks import Callback, Logs

__all__ = ["CSVLogger", "JSONLines"]


class _EpochsFile(Callback):
    """A text file that gets something with each epoch; a training that is resumed replaces what it repeats."""

    first_rank_only = True

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path = path
        self.append = append
        self._file: TextIO | None = None

    def on_train_begin(self) -> None:
        there = os.path.exists(self.path) and os.path.getsize(self.path) > 0
        if there and self.trainer.first_epoch and not self.append:
            self._cut(self.trainer.first_epoch)
        continues = there and (self.append or self.trainer.first_epoch > 0)
        self._file = open(self.path, "a" if continues else "w", newline="", encoding="utf-8")
        if not continues:
            self._begin()

    def on_train_end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        """Write what stands before the first epoch."""

    def _cut(self, epoch: int) -> None:
        """Keep what stands before ``epoch``."""
        raise NotImplementedError


class CSVLogger(_EpochsFile):
    """Writes one row per epoch to a file as the training goes; ``append=True`` goes on in a file that is there.

    So does a training that is resumed: the rows of epochs that it repeats are replaced.

    Raises FileNotFoundError in ``fit`` where there is no such folder. Source: ``keras.callbacks.CSVLogger``.

    >>> import pathlib, tempfile, nnkit
    >>> model, x = nnkit.nn.Linear(1, 1), [[0.0], [1.0]]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = model.fit(x, x, loss="mse", epochs=2, callbacks=[CSVLogger(f"{folder}/log.csv")], verbose=0)
    ...     len(pathlib.Path(folder, "log.csv").read_text().splitlines())
    3
    """

    def _begin(self) -> None:
        self._write(["epoch", *self.trainer.log_names])

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._write([epoch, *(logs[name] for name in self.trainer.log_names)])

    def _cut(self, epoch: int) -> None:
        """Keep the heading and the rows of epochs before ``epoch``."""
        with open(self.path, newline="", encoding="utf-8") as file:
            heading, *rows = list(csv.reader(file))
        kept = [row for row in rows if row and row[0].isdecimal() and int(row[0]) < epoch]
        with open(self.path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([heading, *kept])

    def _write(self, row: list[Any]) -> None:
        assert self._file is not None
        csv.writer(self._file).writerow(row)
        self._file.flush()


class JSONLines(_EpochsFile):
    """Writes one JSON object per epoch, in a line of its own, to a file as the training goes.

    Each has "epoch" (from 0), "time" (seconds since 1970) and the numbers of the logs; NaN and infinity, which JSON
    lacks, are null. ``append=True`` goes on in a file that is there; so does a training that is resumed, whose
    repeated epochs are replaced. Raises OSError where the file cannot be written.

    >>> import json, tempfile, nnkit
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path, x = f"{folder}/log.jsonl", [[0.0], [1.0]]
    ...     _ = nnkit.nn.Linear(1, 1).fit(x, x, loss="mse", epochs=2, callbacks=[JSONLines(path)], verbose=0)
    ...     [sorted(json.loads(line)) for line in Path(path).read_text().splitlines()]
    [['epoch', 'loss', 'lr', 'time'], ['epoch', 'loss', 'lr', 'time']]
    """

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        assert self._file is not None
        values = {name: number if abs(number := float(value)) < math.inf else None for name, value in logs.items()}
        self._file.write(json.dumps({"epoch": epoch, "time": time.time(), **values}) + "\n")
        self._file.flush()

    def _cut(self, epoch: int) -> None:
        """Keep the lines of epochs before ``epoch``."""
        with open(self.path, encoding="utf-8") as file:
            kept = [line for line in file if _epoch_of(line) < epoch]
        with open(self.path, "w", encoding="utf-8") as file:
            file.writelines(kept)


def _epoch_of(line: str) -> float:
    """The number of the epoch in a line; infinity where there is none, as in a line that was cut short."""
    try:
        return int(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):
        return math.inf
