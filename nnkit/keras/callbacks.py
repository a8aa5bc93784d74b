"""The callbacks, with Keras's names, arguments and defaults, over those of ``nnkit.training``.

A callback of your own derives from :class:`Callback` and overrides Keras's methods; it reads ``self.model`` and
``self.params``, and stops the training by ``self.model.stop_training = True``. Definitions: ``keras.callbacks``.
"""

from __future__ import annotations

import os
from collections.abc import Callable as Function
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnkit import training
from nnkit.keras.optimizers import Optimizer
from nnkit.training import History, TerminateOnNaN
from nnkit.training.callbacks import Logs

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]


class Callback(training.Callback):
    """The base class. ``logs`` maps names to numbers: of the epoch, or of the epoch so far.

    ``on_train_batch_begin`` and ``on_train_batch_end`` cost time at every step and are called only where a class
    overrides them. Keras's ``on_test_…`` and ``on_predict_…`` methods are not called.
    """

    params: dict[str, Any]

    def set_trainer(self, trainer: training.Trainer) -> None:
        super().set_trainer(trainer)
        self.set_params({"epochs": trainer.epochs, "steps": trainer.steps, "verbose": 0})
        self.set_model(trainer.model)

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once before the training with the numbers of epochs and of steps in each."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Called once before the training."""
        self.model = model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a step; the epoch's first is 0."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a step."""

    def on_batch_begin(self, step: int, logs: Logs | None = None) -> None:
        """An older name of ``on_train_batch_begin``."""
        self.on_train_batch_begin(step, logs)

    def on_batch_end(self, step: int, logs: Logs | None = None) -> None:
        """An older name of ``on_train_batch_end``."""
        self.on_train_batch_end(step, logs)

    @property
    def wants_batches(self) -> bool:
        names = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
        return any(getattr(type(self), name) is not getattr(Callback, name) for name in names)


class _Hooks:
    """Lets the methods of the core's callbacks, which take no logs there, be called with Keras's ``logs``."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin()  # type: ignore[misc]

    def on_train_end(self, logs: Logs | None = None) -> None:
        super().on_train_end()  # type: ignore[misc]

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        super().on_epoch_begin(epoch)  # type: ignore[misc]

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        super().on_epoch_end(epoch, {} if logs is None else logs)  # type: ignore[misc]


class EarlyStopping(_Hooks, training.EarlyStopping, Callback):
    """Stops when ``monitor`` has not improved for ``patience`` epochs.

    Args:
        monitor: the name of a number in the logs.
        min_delta: the least change that counts as an improvement.
        patience: how many epochs without improvement are waited for.
        verbose: 1 prints a line when training is stopped.
        mode: ``"min"``, ``"max"``, or ``"auto"``, which goes by the name.
        baseline: a value to be beaten; until then epochs count as without improvement.
        restore_best_weights: whether to put the best epoch's weights back at the end.
        start_from_epoch: the number of epochs at the beginning that do not count.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, min_delta, patience, mode, restore_best_weights, baseline)
        self.verbose, self.start_from_epoch = verbose, start_from_epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if epoch < self.start_from_epoch:
            return
        super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        super().on_train_end()
        if self.verbose and self.stopped_epoch is not None:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")


class ModelCheckpoint(_Hooks, training.ModelCheckpoint, Callback):
    """Saves the model after each epoch, or after the best ones. The files are safetensors, whatever their ending.

    Args:
        filepath: where to; may have fields, ``"net-{epoch:02d}-{val_loss:.2f}.keras"``; the first epoch is 1.
        monitor: the name of a number in the logs.
        verbose: 1 prints a line when a file is written.
        save_best_only: whether to save only when ``monitor`` improved.
        save_weights_only: whether to leave the model's description out (``model.load_weights`` reads the file).
        mode: ``"min"``, ``"max"``, or ``"auto"``, which goes by the name.
        save_freq: ``"epoch"``; nothing else is supported.
        initial_value_threshold: a value that the first file must beat.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        if save_freq != "epoch":
            raise ValueError(f"ModelCheckpoint: save_freq must be 'epoch'; got {save_freq!r}")
        super().__init__(filepath, monitor, save_best_only, mode)
        self.verbose, self.save_weights_only = verbose, save_weights_only
        self.initial_value_threshold = initial_value_threshold

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin()
        self.monitor.best = self.initial_value_threshold

    def write(self, path: Path) -> None:
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            super().write(path)
        if self.verbose:
            print(f"saved the model to {path}")


class ReduceLROnPlateau(_Hooks, training.ReduceLROnPlateau, Callback):
    """Multiplies the learning rate by ``factor`` when ``monitor`` has not improved for ``patience`` epochs.

    Args:
        monitor: the name of a number in the logs.
        factor: between 0 and 1.
        patience: how many epochs without improvement are waited for.
        verbose: 1 prints a line when the rate changes.
        mode: ``"min"``, ``"max"``, or ``"auto"``, which goes by the name.
        min_delta: the least change that counts as an improvement.
        cooldown: how many epochs after a change do not count.
        min_lr: the least learning rate.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, factor, patience, mode, min_delta=min_delta, cooldown=cooldown, min_lr=min_lr)
        self.verbose = verbose

    def set_trainer(self, trainer: training.Trainer) -> None:
        super().set_trainer(trainer)
        _refuse_schedule(type(self).__name__, trainer)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        before = self.trainer.learning_rate
        super().on_epoch_end(epoch, logs)
        if self.verbose and self.trainer.learning_rate != before:
            print(f"Epoch {epoch + 1}: learning rate reduced to {self.trainer.learning_rate:g}")


class LearningRateScheduler(_Hooks, training.LearningRateScheduler, Callback):  # type: ignore[misc]
    """Sets the learning rate before each epoch to ``schedule(epoch, rate)`` or ``schedule(epoch)``.

    Args:
        schedule: a function of the epoch's number, from 0, and, if it takes two arguments, of the present rate.
        verbose: 1 prints the rate before each epoch.
    """

    def __init__(self, schedule: Function[..., float], verbose: int = 0) -> None:
        super().__init__(schedule)
        self.verbose = verbose

    def set_trainer(self, trainer: training.Trainer) -> None:
        super().set_trainer(trainer)
        _refuse_schedule(type(self).__name__, trainer)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        super().on_epoch_begin(epoch)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {self.trainer.learning_rate:g}")


class CSVLogger(_Hooks, training.CSVLogger, Callback):
    """Writes one row per epoch to a file of comma-separated values.

    Args:
        filename: where to.
        separator: ``","``; nothing else is supported.
        append: whether to go on in a file that is there.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        if separator != ",":
            raise ValueError(f"CSVLogger: separator must be ','; got {separator!r}")
        super().__init__(filename, append)


class LambdaCallback(Callback):
    """A callback from functions: ``LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))``.

    Args:
        on_epoch_begin, on_epoch_end: functions of (epoch, logs).
        on_train_begin, on_train_end: functions of (logs).
        on_train_batch_begin, on_train_batch_end: functions of (batch, logs).
    """

    def __init__(
        self,
        on_epoch_begin: Function[[int, Logs], Any] | None = None,
        on_epoch_end: Function[[int, Logs], Any] | None = None,
        on_train_begin: Function[[Logs], Any] | None = None,
        on_train_end: Function[[Logs], Any] | None = None,
        on_train_batch_begin: Function[[int, Logs], Any] | None = None,
        on_train_batch_end: Function[[int, Logs], Any] | None = None,
    ) -> None:
        given: Mapping[str, Function[..., Any] | None] = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in given.items():
            if function is not None:
                setattr(self, name, _with_logs(function, takes_number=name not in ("on_train_begin", "on_train_end")))
        self._batches = on_train_batch_begin is not None or on_train_batch_end is not None

    @property
    def wants_batches(self) -> bool:
        return self._batches


def _with_logs(function: Function[..., Any], takes_number: bool) -> Function[..., Any]:
    """``function`` with its last argument, the logs, made optional."""
    if takes_number:
        return lambda number, logs=None: function(number, logs if logs is not None else {})
    return lambda logs=None: function(logs if logs is not None else {})


def _refuse_schedule(callback: str, trainer: training.Trainer) -> None:
    optimizer = trainer.optimizer
    if isinstance(optimizer, Optimizer) and optimizer.follows_schedule:
        raise TypeError(
            f"{callback} sets the learning rate, but the optimizer {optimizer.name!r} follows a schedule of its own; "
            "make it with a plain number"
        )
