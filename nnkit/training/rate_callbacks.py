"""Callbacks that change the learning rate while a model learns: on a plateau, by a function, or by a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter as SignatureParameter
from inspect import signature
from typing import Any

from nnkit.errors import UnknownNameError
from nnkit.tensors.loading import Fit
from nnkit.training.callbacks import Callback, Logs, Monitor, checked_count, checked_number

__all__ = ["LearningRateScheduler", "ReduceLROnPlateau"]


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by ``factor`` when ``monitor`` has not improved for ``patience`` epochs.

    After a reduction ``cooldown`` epochs do not count; the rate does not fall below ``min_lr``. Keras's definition.

    Raises UnknownNameError for another mode, ValueError for a factor that is not between 0 and 1.

    >>> import nnkit
    >>> model, x = nnkit.nn.Linear(1, 1), [[0.0], [1.0]]
    >>> halve = ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9)
    >>> optimizer = nnkit.optim.SGD(model.parameters(), lr=0.1)
    >>> model.fit(x, x, loss="mse", optimizer=optimizer, epochs=3, callbacks=[halve], verbose=0).history["lr"]
    [0.1, 0.1, 0.05]
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        *,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if not 0.0 < factor < 1.0:
            raise ValueError(f"factor must be between 0 and 1, got {factor!r}")
        self.monitor = Monitor(monitor, mode, min_delta)
        self.factor, self.min_lr = factor, checked_number("min_lr", min_lr)
        self.patience, self.cooldown = checked_count("patience", patience), checked_count("cooldown", cooldown)
        self._waited = self._cooling = 0

    def on_train_begin(self) -> None:
        self.monitor.check(self.trainer)
        self._waited = self._cooling = 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.monitor.best, "waited": self._waited, "cooling": self._cooling}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        fit = Fit(self)
        fit.like("state", {"best": None, "waited": 0, "cooling": 0}, state)
        fit.settle()
        self.monitor.best, self._waited, self._cooling = state["best"], state["waited"], state["cooling"]

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self._cooling:
            self._cooling -= 1
            self._waited = 0
        if self.monitor.improved(logs):
            self._waited = 0
        elif not self._cooling:
            self._waited += 1
            if self._waited >= self.patience:
                for group in self.trainer.optimizer.param_groups:
                    group["lr"] = max(group["lr"] * self.factor, self.min_lr)
                self._waited, self._cooling = 0, self.cooldown


class LearningRateScheduler(Callback):
    """Sets the learning rate by a function, or steps a schedule of ``nnkit.optim.lr_scheduler``.

    A function gets the number of the epoch (with ``by="batch"``: of the step since the start) and, if it takes two
    arguments, the present rate; it returns the new one, which holds from that epoch on. A schedule object is stepped
    after each epoch or batch; one that follows a number (plateau) is given ``logs[monitor]``.

    Raises TypeError for a schedule that cannot be called, UnknownNameError for another ``by``. Source:
    ``keras.callbacks.LearningRateScheduler``.

    >>> import nnkit
    >>> model, x = nnkit.nn.Linear(1, 1), [[0.0], [1.0]]
    >>> optimizer = nnkit.optim.SGD(model.parameters(), lr=0.1)
    >>> rates = LearningRateScheduler(nnkit.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5))
    >>> model.fit(x, x, loss="mse", optimizer=optimizer, epochs=3, callbacks=[rates], verbose=0).history["lr"]
    [0.1, 0.05, 0.025]
    """

    def __init__(self, schedule: Any, by: str = "epoch", monitor: str | None = None) -> None:
        if by not in ("epoch", "batch"):
            raise UnknownNameError("by", by, ["epoch", "batch"])
        self.schedule = schedule
        self.by = by
        self.monitor = monitor
        self._steps = 0
        self._function = None if hasattr(schedule, "step") else _of_two(schedule)

    @property
    def wants_batches(self) -> bool:
        return self.by == "batch"

    def on_train_begin(self) -> None:
        self._steps = 0
        if self.monitor is not None:
            Monitor(self.monitor).check(self.trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps, "schedule": None if self._function else self.schedule.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        fit = Fit(self)
        fit.names(("steps", "schedule"), state)
        steps = fit.count("'steps'", state.get("steps"))
        fit.settle()
        if self._function is None:
            self.schedule.load_state_dict(state["schedule"])
        self._steps = steps

    def on_epoch_begin(self, epoch: int) -> None:
        if self.by == "epoch":
            self._set(epoch)

    def on_batch_begin(self, step: int) -> None:
        self._set(self._steps)
        self._steps += 1

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.by == "epoch":
            self._step(logs)

    def on_batch_end(self, step: int, logs: Logs) -> None:
        self._step(logs)

    def _set(self, number: int) -> None:
        if self._function is not None:
            for group in self.trainer.optimizer.param_groups:
                group["lr"] = checked_rate(self._function(number, group["lr"]))

    def _step(self, logs: Logs) -> None:
        if self._function is None:
            self.schedule.step(*() if self.monitor is None else (logs[self.monitor],))


def checked_rate(value: Any) -> float:
    """A learning rate that a schedule returned, as a float. Raises ValueError where it is no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"the schedule of LearningRateScheduler must return a number; got {value!r}") from None


def _of_two(function: Callable[..., float]) -> Callable[[int, float], float]:
    """``function(number)`` or ``function(number, rate)``, as a function of both."""
    positional = (SignatureParameter.POSITIONAL_ONLY, SignatureParameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in signature(function).parameters.values() if p.kind in positional and p.default is p.empty]
    return function if len(required) >= 2 else lambda number, rate: function(number)
