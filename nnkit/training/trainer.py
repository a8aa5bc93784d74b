"""The loop of ``fit``: epochs of steps, and between the steps what people want to see and to decide.

Over arrays the steps are programs (``replay``), and many run between two looks of the loop; over a loader they come one
by one. They leave their sums in device memory. Every 0.05 seconds the loop reads them (progress, a loss that turned
NaN). After at least 64 steps and 0.05 seconds it keeps a copy of the weights, to which it goes back when the training
diverges: that costs as much memory as the model, and loses the steps since.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from nnkit.errors import DataError, DivergenceError
from nnkit.nn.module import Module
from nnkit.optim import Optimizer
from nnkit.training.batches import Source
from nnkit.training.callbacks import Callback
from nnkit.training.conductor import Conductor, LazyLogs
from nnkit.training.divergence import broken_loss, broken_weights
from nnkit.training.evaluation import Evaluation
from nnkit.training.flow import LOOK_SECONDS, Flow
from nnkit.training.history import History
from nnkit.training.interrupt import Interrupts
from nnkit.training.modes import training
from nnkit.training.prediction import predictor_of
from nnkit.training.replay import Runner
from nnkit.training.resume import SavedRun
from nnkit.training.steps import Reading, TrainingStep
from nnkit.training.weights import WeightSnapshot, first_not_finite

__all__ = ["SNAPSHOT_STEPS", "Trainer", "broken", "when_of"]

SNAPSHOT_STEPS = 64


class Trainer(Conductor):
    """One training, which ``fit`` makes; callbacks have it as ``trainer``.

    They see ``model``, ``optimizer``, ``history``, ``epochs``, ``steps``, ``stop_training``. ``steps`` is the
    number of batches per epoch (None where nobody knows), ``log_names`` the names in the logs. ``run`` raises
    DivergenceError where the loss turns NaN or infinite. Source: nnkit's own.

    >>> import nnkit
    >>> told = nnkit.training.LambdaCallback(on_train_begin=lambda: print("begins"))
    >>> _ = nnkit.nn.Linear(1, 1).fit([[0.0]], [[1.0]], loss="mse", callbacks=[told], verbose=0)
    begins
    >>> isinstance(told.trainer, Trainer), told.trainer.steps
    (True, 1)
    """

    def __init__(
        self,
        step: TrainingStep,
        source: Source,
        validation: Evaluation | None,
        callbacks: Sequence[Callback],
        epochs: range,
        runner: Runner,
    ) -> None:
        super().__init__(callbacks)
        self.step = step
        self.source = source
        self.runner = runner
        self.validation = validation
        #: The number of the first epoch that is run here.
        self.first_epoch = epochs.start
        self._epochs = epochs
        self._resumed: SavedRun | None = None
        self._interrupts = Interrupts()
        self._moment_of_weights = predictor_of(step.model).moment
        self._snapshot = WeightSnapshot(step.model)
        self._since_snapshot = 0
        self._snapshot_time = time.perf_counter()
        self._flow = Flow(step.model)
        for callback in self.callbacks:
            callback.set_trainer(self)
        self._settling = [callback for callback in self.callbacks if callback.settle_every]
        self._reading = Reading()
        self._moment = "the start"

    @property
    def model(self) -> Module:
        """The model that learns."""
        return self.step.model

    @property
    def optimizer(self) -> Optimizer:
        """What changes the weights."""
        return self.step.optimizer

    @property
    def epochs(self) -> int:
        """The number of the last epoch, counted from 1."""
        return self._epochs.stop

    @property
    def steps(self) -> int | None:
        """Batches per epoch."""
        return self.source.steps

    @property
    def log_names(self) -> list[str]:
        """The names in the logs of an epoch."""
        validation = [] if self.validation is None else [f"val_{name}" for name in self.validation.names]
        return [*self.step.totals.names, *validation, "lr"]

    @property
    def learning_rate(self) -> float:
        """The learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])

    # ---- the whole ----------------------------------------------------------------------------------------

    def resume(self, saved: SavedRun) -> None:
        """Let ``run`` go on where a saved training stood; raises ModelFileError where that was another one."""
        saved.check(self)
        self._resumed, self.first_epoch = saved, saved.epoch

    def run(self) -> History:
        """Train; whatever ends it, every callback's ``on_train_end`` runs."""
        with training(self.model), self._interrupts:
            try:
                self._run_epochs()
            except BaseException as error:
                self._note(error)
                self._finish(failed=True)
                if self._forgiven(error):
                    return self.history
                raise
            self._finish(failed=False)
        return self.history

    def _run_epochs(self) -> None:
        self._call("on_train_begin")
        first_step = self._restored()
        self._agree()
        for epoch in range(self.first_epoch, self._epochs.stop):
            if self._stopping:
                break
            done = self._run_epoch(epoch, first_step)
            first_step = 0
            self._interrupts.check()
            if not done or (self.source.exhausted and epoch + 1 < self.epochs):
                self.history.stopped_by = self.history.stopped_by or "end of data"
                break
        self._check_weights()

    def _restored(self) -> int:
        """Put everything back as it was in a saved training, if one is to go on; the step within its epoch."""
        if self._resumed is None:
            return 0
        self._resumed.restore(self)
        self._snapshot.take()
        return self._resumed.step

    # ---- an epoch -----------------------------------------------------------------------------------------

    def _run_epoch(self, epoch: int, first_step: int) -> bool:
        """One epoch, or what is left of it; False where the data had no batch left for it."""
        if first_step:
            self._call("on_resume", epoch, first_step)
        else:
            self._call("on_epoch_begin", epoch)
            self.step.totals.reset()
        if not self._run_steps(epoch, first_step):
            if epoch == self._epochs.start:
                raise DataError("the training data yielded no batch; expected at least one (x, y)")
            return False
        logs = dict(self._reading.values)
        self._before_validation()
        if self.validation is not None:
            results = self.validation.run(between=self._interrupts.check)
            logs |= {f"val_{name}": value for name, value in results.items()}
        logs["lr"] = self.learning_rate
        self.history.add(epoch, logs)
        self._call("on_epoch_end", epoch, logs)
        self._call("on_settled", epoch + 1, 0)
        self._agree()
        return True

    def _run_steps(self, epoch: int, done: int) -> int:
        """The steps of an epoch after the first ``done``, and how many it then has."""
        last_look = time.perf_counter()
        self.runner.begin(epoch, done)
        self._flow.begin()
        while not self._stopping and self.runner.ready():
            if self._at_batches:
                self._call("on_batch_begin", done)
            with self._moment_of_weights.writing():
                ran = self._flow.run(self.runner, self._most(done))
            self._flow.keep_up()
            done += ran
            self._since_snapshot += ran
            if self._at_batches:
                self._call("on_batch_end", done - 1, self._batch_logs())
            if self._is_time(done, time.perf_counter() - last_look):
                self._look(epoch, done)
                last_look = time.perf_counter()
            self._settle(epoch, done)
            if self._interrupts.pending:
                self._call("on_settled", epoch, done)
            self._interrupts.check()
        if done:
            self._look(epoch, done, whole=True)
        return done

    def _batch_logs(self) -> Mapping[str, Any]:
        return LazyLogs(lambda: self.step.totals.read().values)

    # What several processes do at the same steps: ``ranked``.

    @property
    def _stopping(self) -> bool:
        return self.stop_training

    def _agree(self) -> None:
        """Whether to stop is known here, and there are no others."""

    def _is_time(self, done: int, seconds: float) -> bool:
        """Whether to look, after ``done`` steps and so many seconds after the last time."""
        return seconds >= LOOK_SECONDS

    def _is_time_to_keep(self, seconds: float) -> bool:
        """Whether to keep a copy of the weights, so many seconds after the last one."""
        return self._since_snapshot >= SNAPSHOT_STEPS and seconds >= LOOK_SECONDS

    def _before_validation(self) -> None:
        """The steps of an epoch are done."""

    def _diverged(self, epoch: int, good: int) -> DivergenceError:
        return DivergenceError(broken(self, epoch, good))

    def _most(self, done: int) -> int:
        """How many steps may run before someone wants to be called."""
        if self._at_batches:
            return 1
        return min(
            [self._flow.chunk, *(c.settle_every - done % c.settle_every for c in self._settling if c.settle_every)]
        )

    def _settle(self, epoch: int, done: int) -> None:
        """Call those who save the training within epochs, after a look whether it is still worth it."""
        for callback in self._settling:
            if callback.settle_every and done % callback.settle_every == 0:
                self._look(epoch, done)
                callback.on_settled(epoch, done)

    def _look(self, epoch: int, done: int, whole: bool = False) -> None:
        """Read the totals after ``done`` steps: still finite? Then keep the weights if it is time, and tell."""
        self._moment = when_of(epoch, done)
        self._reading = self.step.totals.read(whole)
        good = self._reading.good_steps
        if good < done:
            raise self._diverged(epoch, good)
        now = time.perf_counter()
        if self._is_time_to_keep(now - self._snapshot_time):
            self._check_weights()
            self._snapshot.take()
            self._since_snapshot, self._snapshot_time = 0, now
        self.source.forget(done - 1)  # the last one may have given the weights a gradient that is not finite
        self._call("on_read", done, self._reading.values)

    def _check_weights(self) -> None:
        parameter = first_not_finite(self.model)
        if parameter is not None:
            raise self._broken_weights(parameter)

    def _broken_weights(self, parameter: str) -> DivergenceError:
        self._snapshot.restore()
        return DivergenceError(broken_weights(parameter, self._moment, self.learning_rate))


def broken(trainer: Trainer, epoch: int, good: int) -> str:
    """The message where the loss of step ``good`` of an epoch is not finite; the weights are the last finite ones."""
    step, batch = trainer.step, trainer.source.recall(good)
    batch = batch if batch.rows else trainer.source.sample()
    with step.precision.products():
        when = when_of(epoch, good + 1)
        return broken_loss(step.objective, trainer._snapshot, batch, when, trainer.learning_rate)


def when_of(epoch: int, step: int) -> str:
    """A moment as people count: from 1."""
    return f"epoch {epoch + 1}, step {step}"
