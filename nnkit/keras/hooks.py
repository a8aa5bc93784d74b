"""Keras's callbacks as the loops call callbacks: every hook with its ``logs``, and what they write there kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nnkit import training
from nnkit.keras.callback_base import Callback
from nnkit.keras.progress import in_keras_order
from nnkit.training.callbacks import Logs

__all__ = ["Hooked", "KeepLogs", "hooked", "wants"]

BATCHES = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
RUNS = ("test", "predict")


def hooked(callback: Any) -> training.Callback:
    """A callback as the loops call it: nnkit's own as it is, one of the user's with Keras's hooks around it."""
    if isinstance(callback, training.History):
        return _Filled(callback)
    if isinstance(callback, type) or not hasattr(callback, "set_model" if hasattr(callback, "on_train_begin") else "_"):
        if not isinstance(callback, training.Callback):
            name = callback.__name__ if isinstance(callback, type) else type(callback).__name__
            raise TypeError(f"callbacks must be Callback instances, got {name}")
    own = type(callback)
    if own.__module__.partition(".")[0] == "nnkit" and own.__name__ != "LambdaCallback":
        return callback
    if not hasattr(callback, "set_model") and isinstance(callback, training.Callback):
        return callback
    made: training.Callback = type(own.__name__, (Hooked,), {})(callback)
    return made


def wants(callbacks: Iterable[Any], kind: str) -> bool:
    """Whether a callback of the user's has hooks for evaluation ("test") or prediction ("predict")."""
    names = [f"on_{kind}_{moment}" for moment in ("begin", "end", "batch_begin", "batch_end")]
    found = False
    for callback in callbacks:
        one = callback.callback if isinstance(callback, Hooked) else callback
        for name in names:
            mine = getattr(type(one), name, None)
            found |= name in vars(one) or (mine is not None and mine is not getattr(Callback, name, None))
    return found


class Hooked(training.Callback):
    """Calls a Keras callback's hooks."""

    def __init__(self, callback: Any) -> None:
        self.callback = callback
        self._last: dict[str, Any] = {}

    def set_trainer(self, trainer: Any) -> None:
        self.trainer = trainer
        if hasattr(self.callback, "set_trainer"):
            self.callback.set_trainer(trainer)
            return
        if hasattr(self.callback, "set_params"):
            self.callback.set_params({"epochs": trainer.epochs, "steps": trainer.steps, "verbose": 0})
        self.callback.set_model(trainer.model)

    def _call(self, name: str, *arguments: Any) -> None:
        hook = getattr(self.callback, name, None)
        if hook is not None:
            hook(*arguments)

    def on_train_begin(self) -> None:
        self._call("on_train_begin", {})

    def on_train_end(self) -> None:
        self._call("on_train_end", self._last)

    def on_epoch_begin(self, epoch: int) -> None:
        self._call("on_epoch_begin", epoch, {})

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        shown = {name: value for name, value in logs.items() if name != "lr"}
        self._call("on_epoch_end", epoch, shown)
        if isinstance(logs, dict):
            logs.update(shown)
        self._last = shown

    def on_batch_begin(self, step: int) -> None:
        self._batch("begin", step, {})

    def on_batch_end(self, step: int, logs: Logs) -> None:
        self._batch("end", step, dict(logs))

    def _batch(self, moment: str, step: int, logs: Mapping[str, Any]) -> None:
        known = getattr(self.callback, f"on_batch_{moment}", None)
        self._call(f"on_train_batch_{moment}" if known is None else f"on_batch_{moment}", step, logs)

    def on_read(self, step: int, logs: Logs) -> None:
        if isinstance(self.callback, training.Callback):
            self.callback.on_read(step, logs)

    def on_settled(self, epoch: int, step: int) -> None:
        if isinstance(self.callback, training.Callback):
            self.callback.on_settled(epoch, step)

    @property
    def first_rank_only(self) -> bool:  # type: ignore[override]
        return bool(getattr(self.callback, "first_rank_only", False))

    @property
    def settle_every(self) -> int | None:  # type: ignore[override]
        return getattr(self.callback, "settle_every", None)

    def state_dict(self) -> dict[str, Any]:
        return self.callback.state_dict() if isinstance(self.callback, training.Callback) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if isinstance(self.callback, training.Callback):
            self.callback.load_state_dict(state)

    def on_divergence(self, message: str) -> bool:
        return isinstance(self.callback, training.Callback) and self.callback.on_divergence(message)

    @property
    def wants_batches(self) -> bool:
        if isinstance(self.callback, training.Callback):
            return self.callback.wants_batches
        return any(hasattr(self.callback, name) for name in BATCHES)

    def __getattr__(self, name: str) -> Any:
        """The hooks of evaluation and prediction, where the callback has them."""
        if name.startswith(("on_test_", "on_predict_")):
            return getattr(self.callback, name)
        raise AttributeError(name)


class _Filled(training.Callback):
    """Fills a History of the user's, who passed it as a callback."""

    def __init__(self, record: training.History) -> None:
        self.record = record

    def on_train_begin(self) -> None:
        self.record.history, self.record.epoch = {}, []
        self.record.params = self.trainer.history.params

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.record.add(epoch, {name: value for name, value in logs.items() if name != "lr" and np.ndim(value) == 0})

    def on_train_end(self) -> None:
        self.record.history = {name: self.record.history[name] for name in in_keras_order(self.record.history)}


class KeepLogs(training.Callback):
    """Puts numbers that callbacks wrote into the logs of an epoch into the history; comes after all of them.

    ``before`` comes before them, to see what the logs were.
    """

    def __init__(self) -> None:
        self.before = _NoteLogs()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        record = self.trainer.history.history
        for name, value in logs.items():
            if not isinstance(value, (int, float)):
                continue
            if name not in self.before.logs:
                record.setdefault(name, []).append(float(value))
            elif self.before.logs[name] != value and name in record:
                record[name][-1] = float(value)


class _NoteLogs(training.Callback):
    """Keeps the logs of an epoch as they are before callbacks write into them."""

    def __init__(self) -> None:
        self.logs: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.logs = dict(logs)
