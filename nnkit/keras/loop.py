"""The loop of Keras's models: epochs of steps over batches in any structure, with everything that may be overridden.

A step is a method of the model's; ``nnkit.compile`` records it on the second batch of each shape and replays it from
then on, or says once why it cannot. Between the steps nothing is read from the device, but about every 0.05 seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from nnkit.errors import DataError, DivergenceError
from nnkit.keras.feeding import Feed
from nnkit.recording.compiled import compile as recorded
from nnkit.recording.observer import call
from nnkit.recording.structures import leaves, rebuilt
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor
from nnkit.training import History
from nnkit.training.callbacks import Callback
from nnkit.training.conductor import Conductor, LazyLogs
from nnkit.training.flow import LOOK_SECONDS
from nnkit.training.interrupt import Interrupts
from nnkit.training.weights import WeightSnapshot

__all__ = ["Loop", "evaluated", "predicted", "step_of"]

SNAPSHOT_STEPS = 64
ADVICE = "the last finite weights were put back; lower the learning rate, clip gradients, or scale the data"


class AnyName(list[str]):
    """The names in the logs of a step that is not known before it has run: any may be among them."""

    def __contains__(self, name: object) -> bool:
        return True


def step_of(model: Any, name: str, plain: bool) -> Callable[[Any], Any]:
    """A method of the model's that takes a batch, recorded unless it is to run plainly; it returns no tapes."""

    def step(data: Any) -> Any:
        results = call(getattr(model, name), data)
        return rebuilt(results, lambda one: one.detach() if isinstance(one, Tensor) else one)

    step.__name__ = step.__qualname__ = f"{type(model).__name__}.{name}"
    return step if plain else recorded(step)


def numbers(logs: Any) -> dict[str, Any]:
    """Results as numbers on the host."""
    if logs is None:
        return {}
    if not isinstance(logs, Mapping):
        raise TypeError(f"train_step and test_step return a dict of results, got {type(logs).__name__}")
    found: dict[str, Any] = {}
    for name, value in logs.items():
        found |= numbers(value) if isinstance(value, Mapping) else {str(name): _number(value)}
    return found


def _number(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.item() if value.numel() == 1 else value.detach().numpy()
    if isinstance(value, np.ndarray) and value.size == 1:
        return float(value.reshape(()))
    return value


class Loop(Conductor):
    """One training; callbacks see ``model``, ``optimizer``, ``history``, ``epochs``, ``steps``, ``stop_training``.

    ``step`` runs one batch; ``validate`` gives the results of a validation, after each epoch for which ``validated``
    says yes.
    """

    log_names = AnyName()

    def __init__(
        self,
        model: Any,
        feed: Feed,
        epochs: range,
        callbacks: Sequence[Callback],
        step: Callable[[Any], Any],
        validate: Callable[[], dict[str, Any]] | None = None,
        validated: Callable[[int], bool] = lambda epoch: True,
    ) -> None:
        super().__init__(callbacks)
        self.model, self.feed, self.validation = model, feed, validate
        self.first_epoch = epochs.start
        self._epochs, self._validated = epochs, validated
        self._step = step
        self._logs: Any = None
        self._interrupts = Interrupts()
        self._snapshot: WeightSnapshot | None = None
        self._since_snapshot = 0
        for callback in self.callbacks:
            callback.set_trainer(self)  # type: ignore[arg-type]

    @property
    def optimizer(self) -> Any:
        """The optimizer of ``compile``; a step of the user's may use others."""
        return self.model.optimizer

    @property
    def epochs(self) -> int:
        """The number of the last epoch, counted from 1."""
        return self._epochs.stop

    @property
    def steps(self) -> int | None:
        """Batches per epoch."""
        return self.feed.steps

    @property
    def learning_rate(self) -> float:
        """The learning rate of the optimizer of ``compile``."""
        groups = getattr(self.optimizer, "param_groups", None)
        return float(groups[0]["lr"] if groups else self.optimizer.learning_rate)

    # ---- the whole ----------------------------------------------------------------------------------------

    def run(self) -> History:
        """Train; whatever ends it, every callback's ``on_train_end`` runs."""
        with self._interrupts:
            try:
                self._call("on_train_begin")
                for epoch in self._epochs:
                    if self.stop_training or not self._run_epoch(epoch):
                        break
                    self._interrupts.check()
            except BaseException as error:
                self._note(error)
                self._finish(failed=True)
                if self._forgiven(error):
                    return self.history
                raise
            self._finish(failed=False)
        return self.history

    # ---- an epoch -----------------------------------------------------------------------------------------

    def _run_epoch(self, epoch: int) -> bool:
        """One epoch with its validation; False where the data had no batch left for it."""
        self.model.reset_metrics()
        self._call("on_epoch_begin", epoch)
        done = self._run_steps(epoch)
        if not done:
            if epoch == self._epochs.start:
                raise DataError("the training data yielded no batch; expected at least one")
            self.history.stopped_by = self.history.stopped_by or "end of data"
            return False
        logs = self._whole()
        if self.validation is not None and self._validated(epoch):
            logs |= {f"val_{name}": value for name, value in self.validation().items()}
        self.history.add(epoch, {name: value for name, value in logs.items() if np.ndim(value) == 0})
        self._call("on_epoch_end", epoch, logs)
        self._call("on_settled", epoch + 1, 0)
        ended = getattr(self.feed, "end_epoch", None)
        if ended is not None:
            ended()
        return True

    def _run_steps(self, epoch: int) -> int:
        done, last_look = 0, time.perf_counter()
        for data in self.feed.epoch():
            if self._at_batches:
                self._call("on_batch_begin", done)
            self._logs = self._step(data)
            done += 1
            if self._at_batches:
                self._call("on_batch_end", done - 1, LazyLogs(partial(numbers, self._logs)))
            if time.perf_counter() - last_look >= LOOK_SECONDS:
                self._look(epoch, done)
                last_look = time.perf_counter()
            if self.stop_training:
                break
            self._interrupts.check()
        if done:
            self._look(epoch, done)
        return done

    def _look(self, epoch: int, done: int) -> None:
        """Read the results after ``done`` steps: still finite? Then keep the weights if it is time, and tell."""
        values = numbers(self._logs)
        for name, value in values.items():
            if "loss" in name and isinstance(value, float) and not math.isfinite(value):
                if self._snapshot is not None:
                    self._snapshot.restore()
                raise DivergenceError(f"{name} turned {value} by epoch {epoch + 1}, step {done}: {ADVICE}")
        if self._snapshot is None:
            self._snapshot = WeightSnapshot(self.model)
        elif done - self._since_snapshot >= SNAPSHOT_STEPS:
            self._snapshot.take()
            self._since_snapshot = done
        self._call("on_read", done, values)

    def _whole(self) -> dict[str, Any]:
        """The results of the epoch: of all metrics, where the last step gave these."""
        logs = numbers(self._logs)
        self._since_snapshot = 0
        of_metrics = self.model.get_metrics_result()
        return numbers(of_metrics) if logs.keys() == of_metrics.keys() else logs


# ---- without an update ------------------------------------------------------------------------------------


@contextmanager
def _watching(callbacks: Sequence[Any], kind: str) -> Iterator[Callable[[str, Any, Any], None]]:
    """Tell callbacks, which may have hooks for this kind of run, that it begins and ends."""

    def tell(moment: str, batch: Any, logs: Any) -> None:
        for callback in callbacks:
            hook = getattr(callback, f"on_{kind}_{moment}", None)
            if hook is not None:
                hook(*(() if batch is None else (batch,)), logs)

    tell("begin", None, {})
    yield tell


def evaluated(
    model: Any, feed: Feed, step: Callable[[Any], Any], callbacks: Sequence[Any] = (), between: Any = None
) -> dict[str, Any]:
    """The results of ``test_step`` over all batches; raises DataError where there is none."""
    model.reset_metrics()
    logs: Any = None
    done = 0
    with no_grad(), _watching(callbacks, "test") as tell:
        for done, data in enumerate(feed.epoch(), 1):
            tell("batch_begin", done - 1, {})
            logs = step(data)
            if callbacks:
                tell("batch_end", done - 1, LazyLogs(partial(numbers, logs)))
            if between is not None:
                between()
        if not done:
            raise DataError("the data to evaluate on yielded no batch; expected at least one")
        found, of_metrics = numbers(logs), model.get_metrics_result()
        found = numbers(of_metrics) if found.keys() == of_metrics.keys() else found
        tell("end", None, found)
    return found


def predicted(model: Any, feed: Feed, step: Callable[[Any], Any], callbacks: Sequence[Any] = ()) -> Any:
    """The outputs of ``predict_step`` for all batches, as NumPy arrays in the structure of one."""
    batches: list[Any] = []
    with no_grad(), _watching(callbacks, "predict") as tell:
        for number, data in enumerate(feed.epoch()):
            tell("batch_begin", number, {})
            found = rebuilt(step(data), lambda leaf: leaf.detach().numpy() if isinstance(leaf, Tensor) else leaf)
            batches.append(found)
            if callbacks:
                tell("batch_end", number, {"outputs": found})
        tell("end", None, {})
    if not batches:
        raise DataError("the data to predict yielded no batch; expected at least one")
    columns = [list(leaves(batch)) for batch in batches]
    whole = iter([np.concatenate([np.atleast_1d(part) for part in parts]) for parts in zip(*columns, strict=True)])
    return rebuilt(batches[0], lambda leaf: next(whole))
