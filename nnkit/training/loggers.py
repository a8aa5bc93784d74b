"""What a training leaves on disk as it goes, beside the model: a table of its epochs."""

from __future__ import annotations

import csv
import os
from typing import Any, TextIO

from nnkit.training.callbacks import Callback, Logs

__all__ = ["CSVLogger"]


class CSVLogger(Callback):
    """Writes one row per epoch to a file as the training goes; ``append=True`` goes on in a file that is there.

    So does a training that is resumed: the rows of epochs that it repeats are replaced.
    """

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
            self._write(["epoch", *self.trainer.log_names])

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._write([epoch, *(logs[name] for name in self.trainer.log_names)])

    def on_train_end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

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
