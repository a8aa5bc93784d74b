"""The base of Keras's callbacks: its hooks, over those of ``nnkit.training``."""

from __future__ import annotations

import warnings
from typing import Any

from nnkit import training
from nnkit.training.callbacks import Logs

__all__ = ["Callback", "Hooks", "is_there"]


class Callback(training.Callback):
    """The base class of callbacks, whose ``logs`` map names to numbers: of the epoch, or of the epoch so far.

    ``on_train_batch_begin`` and ``on_train_batch_end`` cost time at every step and are called only where a class
    overrides them; so are the methods ``on_test_…``, around each validation too, and ``on_predict_…``.

    Numbers in ``logs`` are Python's floats; arrays of any shape and dtype are ``fit``'s matter. What a method
    raises ends ``fit``. Source: ``keras.callbacks.Callback``.

    >>> import nnkit
    >>> class Told(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, logs["loss"])
    >>> from nnkit.keras import Sequential, layers
    >>> model = Sequential([layers.Dense(1)]); model.compile(loss="mse")
    >>> _ = model.fit(nnkit.zeros(4, 2), nnkit.zeros(4, 1), callbacks=[Told()], verbose=0)
    0 0.0
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

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before an evaluation or validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After an evaluation or validation."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of an evaluation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of a prediction; ``logs["outputs"]`` are its outputs."""

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


def is_there(callback: Any, logs: Logs | None) -> bool:
    """Whether the number that a callback follows is in the logs of an epoch; warns where it is not."""
    name = callback.monitor.name
    if logs is not None and name in logs:
        return True
    known = ", ".join(sorted(logs or ()))
    warnings.warn(f"{type(callback).__name__}: {name!r} is not in the logs of this epoch: {known}", stacklevel=4)
    return False


class Hooks:
    """Lets the methods of the core's callbacks, which take no logs there, be called with Keras's ``logs``."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin()  # type: ignore[misc]

    def on_train_end(self, logs: Logs | None = None) -> None:
        super().on_train_end()  # type: ignore[misc]

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        super().on_epoch_begin(epoch)  # type: ignore[misc]

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        super().on_epoch_end(epoch, {} if logs is None else logs)  # type: ignore[misc]
