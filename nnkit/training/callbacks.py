"""Callbacks: what happens between the steps of ``fit``.

A callback is an object whose methods are called at the beginning and end of the training, of each epoch and of
each batch. It reads ``self.model`` and ``self.trainer``; ``self.trainer.stop_training = True`` stops the training.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from nnkit.errors import UnknownNameError, nearest_names
from nnkit.nn.module import Module
from nnkit.tensors.loading import Fit
from nnkit.training.weights import WeightSnapshot

if TYPE_CHECKING:
    from nnkit.training.trainer import Trainer

__all__ = ["Callback", "EarlyStopping", "LambdaCallback", "TerminateOnNaN", "TimeBudget"]

Logs = Mapping[str, float]


class Callback:
    """The base of callbacks: override what you need. ``logs`` maps names to the numbers of the epoch.

    The batch methods are called only where a class overrides them, for they cost time at every step; their ``logs``
    are the means so far, and reading one waits for the device. ``on_read`` brings the same means about twenty times
    a second, and at the end of the epoch.

    Source: ``keras.callbacks.Callback``.

    >>> import nnkit
    >>> class Told(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, sorted(logs))
    >>> history = nnkit.nn.Linear(1, 1).fit([[0.0], [1.0]], [[0.0], [1.0]], loss="mse", callbacks=[Told()], verbose=0)
    0 ['loss', 'lr']
    """

    trainer: Trainer
    model: Module
    #: Of several processes that train one model, the first alone runs this callback: it speaks, or writes a log.
    first_rank_only = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Warn of a method that looks like one of a callback's and is none: it would never be called."""
        super().__init_subclass__(**options)
        if cls.__module__.startswith("nnkit."):
            return
        known = [name for name in dir(cls.__mro__[1]) if name.startswith("on_")]
        for name in vars(cls):
            near = nearest_names(name, known) if name.startswith("on_") and name not in known else []
            if near:
                warnings.warn(f"{cls.__name__}.{name} is never called: did you mean {near[0]}?", stacklevel=2)

    def set_trainer(self, trainer: Trainer) -> None:
        """Called once before the training: remember whose callback this is."""
        self.trainer = trainer
        self.model = trainer.model

    def on_train_begin(self) -> None:
        """Before the first epoch."""

    def on_train_end(self) -> None:
        """At the end; also after Ctrl-C and after an error."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before an epoch; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation."""

    def on_batch_begin(self, step: int) -> None:
        """Before a step; the epoch's first is 0."""

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """After a step."""

    def on_read(self, step: int, logs: Logs) -> None:
        """After the loop has looked at the device, ``step`` steps into the epoch."""

    def on_settled(self, epoch: int, step: int) -> None:
        """When all callbacks have seen the end of an epoch, or of each ``settle_every`` steps within one, or of the
        step after which Ctrl-C ends the training: the moment to save it. It would go on with epoch ``epoch`` after
        ``step`` of its steps."""

    #: After how many steps of an epoch ``on_settled`` is called besides; None: only between epochs.
    settle_every: int | None = None

    def on_resume(self, epoch: int, step: int) -> None:
        """In place of ``on_epoch_begin`` where a training goes on within an epoch, after ``step`` steps of it."""

    def state_dict(self) -> dict[str, Any]:
        """What this callback must remember when the training goes on in another process; nothing by default."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what ``state_dict`` gave; called after ``on_train_begin``. A misfit raises ModelFileError."""

    def on_divergence(self, message: str) -> bool:
        """The loss turned NaN or infinite, ``message`` says where; True: stop in peace instead of DivergenceError."""
        return False

    @property
    def wants_batches(self) -> bool:
        """Whether the batch methods are called: where the class overrides one of them."""
        own = type(self)
        return own.on_batch_begin is not Callback.on_batch_begin or own.on_batch_end is not Callback.on_batch_end


def checked_count(name: str, value: Any) -> int:
    """``value`` if it is a whole number from 0 on. Raises TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number of epochs, got {type(value).__name__}: {value!r}")
    if value < 0:
        raise ValueError(f"{name} must be at least 0, got {value!r}")
    return int(value)


def checked_number(name: str, value: Any) -> float:
    """``value`` as a float. Raises TypeError where it is no number, ValueError where it is NaN."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}")
    if math.isnan(value):
        raise ValueError(f"{name} must be a number, got nan")
    return float(value)


class Monitor:
    """Follows one number of the logs and says whether it got better than ever by more than ``min_delta``.

    ``mode``: "min", "max", or "auto": max for accuracy, precision, recall, F1 and R2, else min. NaN is never better.

    >>> monitor = Monitor("val_loss")
    >>> monitor.improved({"val_loss": 0.5}), monitor.improved({"val_loss": 0.6}), monitor.best
    (True, False, 0.5)
    """

    def __init__(self, name: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise UnknownNameError("mode", mode, ["auto", "min", "max"])
        larger = any(part in name for part in ("acc", "precision", "recall", "f1", "r2", "auc"))
        self.name = name
        self.sign = 1.0 if mode == "max" or (mode == "auto" and larger) else -1.0
        self.min_delta = abs(checked_number("min_delta", min_delta))
        self.best: float | None = None

    def check(self, trainer: Trainer) -> None:
        """Raise UnknownNameError where the training will not have that number."""
        self.best = None
        if self.name not in trainer.log_names:
            if self.name.startswith("val_") and not any(n.startswith("val_") for n in trainer.log_names):
                raise ValueError(
                    f"monitor={self.name!r} needs validation: pass validation_data or validation_split to fit, "
                    f"or monitor one of {', '.join(trainer.log_names)}"
                )
            raise UnknownNameError("monitor", self.name, trainer.log_names)

    def beats(self, logs: Logs, bar: float) -> bool:
        """Whether the logs of one epoch are better than ``bar`` by more than ``min_delta``."""
        return self.sign * (logs[self.name] - bar) > self.min_delta

    def improved(self, logs: Logs) -> bool:
        """Look at the logs of one epoch."""
        value = logs[self.name]
        better = not math.isnan(value) and (self.best is None or self.beats(logs, self.best))
        if better:
            self.best = value
        return better


class EarlyStopping(Callback):
    """Stops when ``monitor`` has not improved for ``patience`` epochs, and puts the best weights back at the end.

    After the training ``best`` and ``best_epoch`` say what was best, ``stopped_epoch`` where it stopped (or None). The
    definition, but for the default of ``restore_best_weights``, is Keras's. Costs one copy of the weights per
    improvement. ``baseline``: a value to be beaten; epochs before that count as without improvement, though the best
    weights are kept among them too. Raises TypeError or ValueError for an argument that cannot be, and at the start
    UnknownNameError or ValueError where ``monitor`` will not be there.

    >>> import nnkit
    >>> model, x = nnkit.nn.Linear(1, 1), [[0.0], [1.0]]
    >>> stop = EarlyStopping("loss", patience=1, min_delta=1e9)
    >>> len(model.fit(x, x, loss="mse", epochs=50, callbacks=[stop], verbose=0).epoch)
    2
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = True,
        baseline: float | None = None,
    ) -> None:
        self.monitor = Monitor(monitor, mode, min_delta)
        self.patience = checked_count("patience", patience)
        self.baseline = baseline if baseline is None else checked_number("baseline", baseline)
        self.restore_best_weights = restore_best_weights
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._waited = 0
        self._snapshot: WeightSnapshot | None = None

    @property
    def best(self) -> float | None:
        """The best value so far."""
        return self.monitor.best

    def on_train_begin(self) -> None:
        self.monitor.check(self.trainer)
        self.best_epoch = self.stopped_epoch = self._snapshot = None
        self._waited = 0

    def state_dict(self) -> dict[str, Any]:
        weights = None if self._snapshot is None else self._snapshot.weights()
        numbers = {"best": self.best, "best_epoch": self.best_epoch, "stopped_epoch": self.stopped_epoch}
        return {**numbers, "waited": self._waited, "weights": weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        fit, snapshot = Fit(self), WeightSnapshot(self.model)
        weights = None if state.get("weights") is None else snapshot.weights()
        fit.like("state", {**dict.fromkeys(("best", "best_epoch", "stopped_epoch")), "waited": 0}, _numbers(state))
        if weights is not None:
            fit.like("'weights'", tuple(weights), state["weights"])
        fit.settle()
        self.monitor.best, self.best_epoch = state["best"], state["best_epoch"]
        self.stopped_epoch, self._waited = state["stopped_epoch"], state["waited"]
        if weights is not None:
            snapshot.load(state["weights"])
            self._snapshot = snapshot

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._waited += 1
        if self.monitor.improved(logs):
            self.best_epoch = epoch
            if self.baseline is None or self.monitor.beats(logs, self.baseline):
                self._waited = 0
            if self.restore_best_weights:
                self._snapshot = WeightSnapshot(self.model)
        elif self._waited >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.trainer.stop_training = True

    def on_train_end(self) -> None:
        if self._snapshot is not None:
            self._snapshot.restore()


class TerminateOnNaN(Callback):
    """Ends the training with a warning, in place of a DivergenceError, when the loss turns NaN or infinite.

    Source: ``keras.callbacks.TerminateOnNaN``.

    >>> import warnings, nnkit
    >>> model = nnkit.nn.Linear(1, 1)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     history = model.fit([[1.0]], [[9.0]], loss="mse", optimizer=nnkit.optim.SGD(model.parameters(), lr=1e30),
    ...                         epochs=9, callbacks=[TerminateOnNaN()], verbose=0)
    >>> len(history.epoch) < 9
    True
    """

    def on_divergence(self, message: str) -> bool:
        warnings.warn(message, stacklevel=2)
        return True


class TimeBudget(Callback):
    """Stops about 0.1 s after ``seconds`` at the latest; the epoch ends there, with its validation.

    Raises ValueError for a time that is not above 0. Source: nnkit's own.

    >>> import nnkit
    >>> model, x = nnkit.nn.Linear(1, 1), [[0.0], [1.0]]
    >>> len(model.fit(x, x, loss="mse", epochs=10**9, callbacks=[TimeBudget(0.01)], verbose=0).epoch) < 10**9
    True
    """

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise ValueError(f"seconds must be greater than 0, got {seconds!r}")
        self.seconds = seconds
        self._end = math.inf

    def on_train_begin(self) -> None:
        self._end = time.monotonic() + self.seconds

    def on_read(self, step: int, logs: Logs) -> None:
        if time.monotonic() >= self._end:
            self.trainer.stop_training = True


class LambdaCallback(Callback):
    """A callback from functions: ``LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))``.

    Raises UnknownNameError for a method that callbacks do not have.

    Source: ``keras.callbacks.LambdaCallback``.

    >>> import nnkit
    >>> tell = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, sorted(logs)))
    >>> history = nnkit.nn.Linear(1, 1).fit([[0.0], [1.0]], [[0.0], [1.0]], loss="mse", callbacks=[tell], verbose=0)
    0 ['loss', 'lr']
    """

    def __init__(self, **functions: Callable[..., Any]) -> None:
        known = [name for name in vars(Callback) if name.startswith("on_")]
        for name, function in functions.items():
            if name not in known:
                raise UnknownNameError("callback method", name, known)
            setattr(self, name, function)
        self._wants_batches = not {"on_batch_begin", "on_batch_end"}.isdisjoint(functions)

    @property
    def wants_batches(self) -> bool:
        return self._wants_batches


def _numbers(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state without its weights."""
    return {name: value for name, value in state.items() if name != "weights"}
