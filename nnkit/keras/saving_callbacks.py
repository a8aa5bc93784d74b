"""Callbacks that leave something on disk: models, a training to go on with, a table. Source: ``keras.callbacks``."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from nnkit import io, training
from nnkit.keras.callback_base import Callback, Hooks, is_there
from nnkit.training.arguments import positive_integer
from nnkit.training.callbacks import Logs

__all__ = ["BackupAndRestore", "CSVLogger", "ModelCheckpoint"]


class ModelCheckpoint(Hooks, training.ModelCheckpoint, Callback):
    """Saves the model after each epoch, or after the best ones; the ending says how: ``.keras``, ``.h5`` or nnkit's.

    Args:
        filepath: where to; may have fields, ``"net-{epoch:02d}-{val_loss:.2f}.keras"``; the first epoch is 1.
        monitor: the name of a number in the logs.
        verbose: 1 prints a line when a file is written.
        save_best_only: whether to save only when ``monitor`` improved.
        save_weights_only: whether to leave the model's description out (``model.load_weights`` reads the file).
        mode: ``"min"``, ``"max"``, or ``"auto"``, which goes by the name.
        save_freq: ``"epoch"``, or after how many batches, counted through all epochs; ``{batch}`` is a field then.
        initial_value_threshold: a value that the first file must beat.

    Raises UnknownNameError for another mode, ValueError for a ``save_freq`` that is neither. Source:
    ``keras.callbacks.ModelCheckpoint``.

    >>> import os, tempfile
    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> folder = tempfile.mkdtemp()
    >>> kept = ModelCheckpoint(os.path.join(folder, "net-{epoch:02d}.keras"))
    >>> history = model.fit([[0.0], [1.0]], [[0.0], [1.0]], epochs=2, verbose=0, callbacks=[kept])
    >>> sorted(os.listdir(folder))
    ['net-01.keras', 'net-02.keras']
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq < 1):
            raise ValueError(f"ModelCheckpoint: save_freq must be 'epoch' or a number of batches; got {save_freq!r}")
        if save_weights_only and os.fspath(filepath).endswith(".keras"):
            raise ValueError(
                f"ModelCheckpoint: {os.fspath(filepath)!r} ends as a whole model does; with save_weights_only name it "
                ".weights.h5 or .safetensors"
            )
        super().__init__(filepath, monitor, save_best_only, mode)
        self.verbose, self.save_weights_only, self.save_freq = verbose, save_weights_only, save_freq
        self.initial_value_threshold = initial_value_threshold
        self._epoch, self._batches = 0, 0
        self._improved = ""

    @property
    def wants_batches(self) -> bool:
        return self.save_freq != "epoch"

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if isinstance(self.trainer, training.Trainer) and self.save_freq == "epoch":
            super().on_train_begin()
        self.monitor.best = self.initial_value_threshold
        self._batches = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if self.save_freq != "epoch" and self._batches % self.save_freq == 0:
            self._save(logs or {}, batch + 1)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(logs or {}, None)

    def _save(self, logs: Logs, batch: int | None) -> None:
        if self.save_best_only:
            best = self.monitor.best
            if not (is_there(self, logs) and self.monitor.improved(logs)):
                self._tell(f"{self.monitor.name} did not improve from {_number(best)}")
                return
            name, value = self.monitor.name, self.monitor.best
            self._improved = f"{name} improved from {_number(best)} to {_number(value)}, "
        fields = {**logs, "epoch": self._epoch + 1, "batch": batch}
        try:
            self.keep(self.path.format(**fields))
        except KeyError as error:
            raise ValueError(f"filepath {self.path!r} has a field {error}, not in the logs: {list(logs)}") from error

    def write(self, path: Path) -> None:
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            super().write(path)
        self._tell(f"{self._improved}saving model to {path}")

    def _tell(self, text: str) -> None:
        if self.verbose and self.trainer.speaks:
            print(f"\nEpoch {self._epoch + 1}: {text}")


def _number(value: float | None) -> str:
    return "None" if value is None else f"{value:.5f}"


class BackupAndRestore(Callback):
    """Keeps what a training needs to go on where it was cut off: the next ``fit`` with the same arguments does.

    After each epoch (or each ``save_freq`` batches) the weights, the optimizer and the number of the epoch are written
    to a file in ``backup_dir``; a ``fit`` that finds one begins with that epoch. Random numbers are drawn anew: for a
    training that goes on to the bit see ``nnkit.training.RunCheckpoint``.

    Args:
        backup_dir: a folder for this training alone.
        save_freq: ``"epoch"``, or after how many batches; a training that was cut off within an epoch repeats it.
        double_checkpoint: accepted; a file is whole or as it was.
        delete_checkpoint: whether to delete the file when the training ends.

    Raises TypeError for a ``save_freq`` that is neither. Source: ``keras.callbacks.BackupAndRestore``.

    >>> import tempfile
    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> kept = BackupAndRestore(tempfile.mkdtemp())
    >>> len(model.fit([[0.0], [1.0]], [[0.0], [1.0]], epochs=2, verbose=0, callbacks=[kept]).epoch)
    2
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: Any = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        if not os.fspath(backup_dir):
            raise ValueError("BackupAndRestore: backup_dir must name a folder")
        self.backup_dir = Path(backup_dir)
        self.save_freq = save_freq if save_freq == "epoch" else positive_integer(save_freq, "save_freq")
        self.delete_checkpoint = delete_checkpoint
        self._epoch, self._batches = 0, 0
        self._saved: Any = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.backup_dir / "training.safetensors"

    @property
    def wants_batches(self) -> bool:
        return self.save_freq != "epoch"

    def find(self, model: Any, initial_epoch: int) -> int:
        """The epoch to begin with; what the file holds is put into the model when its weights are there."""
        self._saved = None
        if not self.path.exists():
            return initial_epoch
        self._saved = io.load(self.path)
        epoch = int(self._saved["epoch"])
        if model.built:
            self._restore(model)
        return epoch

    def _restore(self, model: Any) -> None:
        saved, self._saved = self._saved, None
        if saved is None:
            return
        model.load_state_dict(saved["weights"])
        if saved["optimizer"] is not None:
            model.build_optimizer()
            if getattr(model.optimizer, "param_groups", None):
                model.optimizer.load_state_dict(saved["optimizer"])

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._batches = 0
        if self._saved is not None and self.model.built:
            self._restore(self.model)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        if self._saved is not None and self.model.built:
            self._restore(self.model)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if self.save_freq != "epoch" and self._batches % self.save_freq == 0:
            self._write(self._epoch)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._write(epoch + 1)

    def _write(self, epoch: int) -> None:
        if not self.trainer.speaks:
            return
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        has_state = bool(getattr(self.model.optimizer, "param_groups", None))
        optimizer = self.model.optimizer.state_dict() if has_state else None
        io.save({"epoch": epoch, "weights": dict(self.model.state_dict()), "optimizer": optimizer}, self.path)

    def on_train_end(self, logs: Logs | None = None) -> None:
        failed = self.trainer.history.interrupted or (self.trainer.history.stopped_by or "").endswith("Error")
        if self.delete_checkpoint and not failed and self.trainer.speaks:
            self.path.unlink(missing_ok=True)


class CSVLogger(Callback):
    """Writes one row per epoch to a file of separated values; the first row of a new file names the columns.

    Args:
        filename: where to.
        separator: what stands between values.
        append: whether to go on in a file that is there.

    Raises FileNotFoundError at the beginning of ``fit`` where there is no such folder. Source:
    ``keras.callbacks.CSVLogger``.

    >>> import os, tempfile
    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> path = os.path.join(tempfile.mkdtemp(), "log.csv")
    >>> history = model.fit([[0.0], [1.0]], [[0.0], [1.0]], epochs=2, verbose=0, callbacks=[CSVLogger(path)])
    >>> with open(path) as file:
    ...     file.read().split()[0]
    'epoch,loss'
    """

    first_rank_only = True

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.filename, self.separator, self.append = os.fspath(filename), separator, append
        self._file: Any = None
        self._columns: list[str] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._columns = None
        if self.append and os.path.exists(self.filename) and os.path.getsize(self.filename):
            with open(self.filename, newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file, delimiter=self.separator))[1:]
        mode = "a" if self.append else "w"
        self._file = open(self.filename, mode, newline="", encoding="utf-8")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        shown = {name: value for name, value in (logs or {}).items() if name != "lr"}
        if self._columns is None:
            self._columns = sorted(shown)
            self._write(["epoch", *self._columns])
        self._write([epoch, *(shown.get(name, "NA") for name in self._columns)])

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, row: list[Any]) -> None:
        assert self._file is not None
        csv.writer(self._file, delimiter=self.separator).writerow(row)
        self._file.flush()
