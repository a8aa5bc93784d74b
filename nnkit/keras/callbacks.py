"""The callbacks, with Keras's names, arguments and defaults, over those of ``nnkit.training``.

A callback of your own derives from :class:`Callback` and overrides Keras's methods; it reads ``self.model`` and
``self.params``, and stops the training by ``self.model.stop_training = True``. Definitions: ``keras.callbacks``.
"""

from __future__ import annotations

import math
from collections.abc import Callable as Function
from collections.abc import Mapping
from typing import Any

from nnkit import training
from nnkit.keras.callback_base import Callback, Hooks, is_there
from nnkit.keras.optimizers import Optimizer
from nnkit.keras.saving_callbacks import BackupAndRestore, CSVLogger, ModelCheckpoint
from nnkit.keras.tensorboard import TensorBoard
from nnkit.training import History
from nnkit.training.callbacks import Logs

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]


class EarlyStopping(Hooks, training.EarlyStopping, Callback):
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

    Raises UnknownNameError for another mode, ValueError for a negative patience. Source:
    ``keras.callbacks.EarlyStopping``.

    >>> EarlyStopping(monitor="loss", patience=3).patience
    3
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
        if epoch >= self.start_from_epoch and is_there(self, logs):
            super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        super().on_train_end()
        if self.verbose and self.trainer.speaks and self.stopped_epoch is not None:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.verbose and self.trainer.speaks and self.restore_best_weights and self.best_epoch is not None:
            print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")


class ReduceLROnPlateau(Hooks, training.ReduceLROnPlateau, Callback):
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

    Raises UnknownNameError for another mode, ValueError for a factor out of range. Source:
    ``keras.callbacks.ReduceLROnPlateau``.

    >>> ReduceLROnPlateau(monitor="loss", factor=0.5).factor
    0.5
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
        _note_rate(self, logs)
        if not is_there(self, logs):
            return
        before = self.trainer.learning_rate
        super().on_epoch_end(epoch, logs)
        if self.verbose and self.trainer.speaks and self.trainer.learning_rate != before:
            rate = self.trainer.learning_rate
            print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}.")


class LearningRateScheduler(Hooks, training.LearningRateScheduler, Callback):  # type: ignore[misc]
    """Sets the learning rate before each epoch to ``schedule(epoch, rate)`` or ``schedule(epoch)``.

    Args:
        schedule: a function of the epoch's number, from 0, and, if it takes two arguments, of the present rate.
        verbose: 1 prints the rate before each epoch.

    Raises TypeError for what cannot be called. Source: ``keras.callbacks.LearningRateScheduler``.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> halve = LearningRateScheduler(lambda epoch, rate: rate / 2)
    >>> history = model.fit([[0.0], [1.0]], [[0.0], [1.0]], epochs=2, verbose=0, callbacks=[halve])
    >>> round(float(model.optimizer.learning_rate), 4)
    0.0025
    """

    def __init__(self, schedule: Function[..., float], verbose: int = 0) -> None:
        super().__init__(schedule)
        self.verbose = verbose

    def set_trainer(self, trainer: training.Trainer) -> None:
        super().set_trainer(trainer)
        _refuse_schedule(type(self).__name__, trainer)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if _rates(self.trainer.optimizer):
            super().on_epoch_begin(epoch)
        else:  # The optimizer meets its weights in the first step.
            optimizer: Any = self.trainer.optimizer
            function: Any = self._function
            optimizer.learning_rate = function(epoch, optimizer.learning_rate)
        if self.verbose and self.trainer.speaks:
            rate = self.trainer.learning_rate
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        _note_rate(self, logs)
        super().on_epoch_end(epoch, logs)


class TerminateOnNaN(training.TerminateOnNaN):
    """Ends the training in peace, with a warning, when the loss turns NaN or infinite; the history ends with that loss.

    The weights are the last finite ones.

    Source: ``keras.callbacks.TerminateOnNaN``.

    >>> import warnings
    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(1e30), "mse")
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     history = model.fit([[1.0]], [[9.0]], epochs=9, verbose=0, callbacks=[TerminateOnNaN()])
    >>> len(history.epoch) < 9
    True
    """

    def __init__(self) -> None:
        self._epoch = 0

    def on_epoch_begin(self, epoch: int) -> None:
        self._epoch = epoch

    def on_divergence(self, message: str) -> bool:
        self.trainer.history.add(self._epoch, {"loss": math.nan})
        return super().on_divergence(message)


class CallbackList:
    """Several callbacks called as one, for training loops of your own.

    Args:
        callbacks: the callbacks.
        add_history: whether to keep the logs of epochs in ``model.history``.
        add_progbar: accepted; a loop of your own prints what it likes.
        model: what the callbacks see as ``self.model``.
        params: what they see as ``self.params``.

    Raises what the callbacks raise. Source: ``keras.callbacks.CallbackList``.

    >>> tell = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))
    >>> CallbackList([tell]).on_epoch_end(0, {"loss": 1.5})
    0 {'loss': 1.5}
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        self.callbacks = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
        self._history = History() if add_history else None
        self.params = params
        if model is not None:
            self.set_model(model)
        for callback in self.callbacks:
            if hasattr(callback, "set_params"):
                callback.set_params(params)

    def append(self, callback: Any) -> None:
        """Add a callback."""
        self.callbacks.append(callback)

    def set_model(self, model: Any) -> None:
        """Tell the callbacks which model it is."""
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """After an epoch."""
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs if logs is not None else {})
        if self._history is not None:
            self._history.add(epoch, {name: float(value) for name, value in (logs or {}).items()})

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(f"CallbackList has no attribute {name!r}")

        def called(*args: Any, **options: Any) -> None:
            for callback in self.callbacks:
                hook = getattr(callback, name, None)
                if hook is not None:
                    hook(*args, **options)

        return called


class LambdaCallback(Callback):
    """A callback from functions: ``LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))``.

    Args:
        on_epoch_begin, on_epoch_end: functions of (epoch, logs).
        on_train_begin, on_train_end: functions of (logs).
        on_train_batch_begin, on_train_batch_end: functions of (batch, logs).
        functions: other hooks by name: ``on_test_begin``, ``on_predict_batch_end``.

    Raises TypeError for a hook that there is not. Source: ``keras.callbacks.LambdaCallback``.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> tell = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, sorted(logs)))
    >>> history = model.fit([[0.0], [1.0]], [[0.0], [1.0]], verbose=0, callbacks=[tell])
    0 ['loss']
    """

    def __init__(
        self,
        on_epoch_begin: Function[[int, Logs], Any] | None = None,
        on_epoch_end: Function[[int, Logs], Any] | None = None,
        on_train_begin: Function[[Logs], Any] | None = None,
        on_train_end: Function[[Logs], Any] | None = None,
        on_train_batch_begin: Function[[int, Logs], Any] | None = None,
        on_train_batch_end: Function[[int, Logs], Any] | None = None,
        **functions: Function[..., Any],
    ) -> None:
        given: Mapping[str, Function[..., Any] | None] = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **functions,
        }
        for name, function in given.items():
            if not hasattr(Callback, name):
                raise TypeError(f"LambdaCallback: callbacks have no method {name!r}")
            if function is not None:
                setattr(self, name, _with_logs(function, takes_number="epoch" in name or "batch" in name))
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


def _rates(optimizer: Any) -> bool:
    """Whether an optimizer has parameter groups yet."""
    return bool(getattr(optimizer, "param_groups", None))


def _note_rate(callback: Any, logs: Any) -> None:
    """Write the learning rate of an epoch into its logs, as Keras's callbacks that set it do."""
    if isinstance(logs, dict):
        logs["learning_rate"] = callback.trainer.learning_rate


def __dir__() -> list[str]:
    return sorted(__all__)
