"""compile, fit, evaluate and predict, with Keras's arguments and return values.

Before them (``preparing``) comes what Keras forgives and the core does not: the layers are built for the data's shape,
the optimizer gets its weights, and targets the shape of the output. The rest is ``nnkit.training`` for plain models,
and ``loop`` for those with steps or metrics of their own (``routes`` tells them apart).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from nnkit import optim, training
from nnkit.keras import config, optimizers
from nnkit.keras.feeding import is_array_like, split_validation
from nnkit.keras.hooks import KeepLogs
from nnkit.keras.loop import Loop, evaluated, predicted
from nnkit.keras.pairing import first_inputs
from nnkit.keras.preparing import WithPreparation
from nnkit.keras.progbar import Progbar
from nnkit.keras.progress import in_keras_order, print_run, with_progress
from nnkit.keras.routes import is_simple_data, is_simple_model, why_by_steps
from nnkit.keras.sides import inputs_side
from nnkit.parallel import MPI
from nnkit.tensors.precision import autocast
from nnkit.training.arguments import positive_integer
from nnkit.training.kinds import yields_batches
from nnkit.training.prediction import recall
from nnkit.training.progress import style_of
from nnkit.training.ranked import processes
from nnkit.training.several import Several
from nnkit.utils.data import Dataset

__all__ = ["Trainer"]

DEFAULT_BATCH_SIZE = 32


class _Watch(training.Callback):
    """Tells the model which training is under way, so that it can be stopped, and drives learning-rate schedules."""

    def __init__(self, optimizer: optim.Optimizer | None, verbose: Any) -> None:
        self.verbose = verbose
        self.scheduled = isinstance(optimizer, optimizers.Optimizer) and optimizer.follows_schedule
        self.optimizer: Any = optimizer

    @property
    def wants_batches(self) -> bool:
        return self.scheduled

    def on_train_begin(self) -> None:
        self.model.running = self.trainer
        self.trainer.history.params = {
            "verbose": self.verbose, "epochs": self.trainer.epochs, "steps": self.trainer.steps,
        }  # fmt: skip
        if self.scheduled:
            self.optimizer.drive(True)

    def on_batch_begin(self, step: int) -> None:
        self.optimizer.count_batch()

    def on_train_end(self) -> None:
        self.model.running = None
        if self.scheduled:
            self.optimizer.drive(False)
        if isinstance(self.optimizer, optimizers.Optimizer):
            self.optimizer.finalize_variable_values()


class Trainer(WithPreparation):
    """The training side of a Keras model: what ``compile`` was given, and the methods that use it."""

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        *,
        parallel: str | MPI | None = None,
    ) -> training.History:
        """Train; returns the History, whose ``history`` maps names to one number per epoch.

        Args:
            x, y: arrays or Tensors, or lists and dicts of them where the model has several inputs or outputs; or ``x``
                alone, a loader, dataset or generator of (x, y) or (x, y, weight).
            batch_size: 32 by default; validation_batch_size: the like of the validation.
            epochs, initial_epoch: epochs ``initial_epoch`` to ``epochs - 1`` are run.
            verbose: "auto" or 1 (a bar on a terminal, else one line per epoch), 2 (lines), 0 (silence).
            callbacks: a callback or a list of them.
            validation_split, validation_data: the last share of x and y; or (x, y), (x, y, weight) or a loader.
            shuffle: whether to draw a new order for each epoch.
            class_weight, sample_weight: factors for the loss of each class {number: factor} and sample (n,).
            steps_per_epoch: ends an epoch after that many batches, for data without an end.
            validation_steps: the like of the validation.
            validation_freq: after how many epochs there is one, or the numbers, from 1, of those that have one.
            parallel: "mpi" or an ``nnkit.parallel.MPI``: train on all processes that ``mpiexec`` started, as
                ``nnkit.training.fit`` does; Keras has no such argument.

        Raises ValueError where the model is not compiled, or has a step of its own that processes cannot share (with
        ``parallel``); DataError, LabelError, ShapeError or DtypeError for bad data, before anything is trained.
        """
        self._require_compiled("fit")
        mpi = processes(parallel, config.half_type())
        chosen = self._begin(callbacks)
        epochs_run = range(self._resumed(callbacks, initial_epoch), epochs)
        _refuse_batch_size(batch_size, x, y)
        keep = KeepLogs()
        watched = [_Watch(self.optimizer, verbose), keep.before, *chosen, keep]
        plain = validation_steps is None and validation_freq == 1 and epochs_run
        sided = inputs_side(self, x)
        if plain and is_simple_model(self, chosen) and self._takes(sided, y, sample_weight):
            first, sided = first_inputs(sided, y)
            validated = validation_data if not isinstance(validation_data, tuple) else None
            parts = validation_data if isinstance(validation_data, tuple) else ()
            simple = self._is_simple(first) and is_simple_model(self, chosen)  # once more, for what a call has added
            if simple and is_simple_data(validated) and self._takes(None, *parts[1:], given=parts[:1]):
                return self._fit_plainly(
                    sided, y, batch_size, epochs_run, verbose, watched, validation_split, validation_data, shuffle,
                    class_weight, sample_weight, steps_per_epoch, mpi,
                )  # fmt: skip
            x = sided if is_simple_data(x) else x
        if mpi is not None and epochs_run:
            _refuse_processes(why_by_steps(self, chosen), bool(plain))
        size = DEFAULT_BATCH_SIZE if batch_size is None else positive_integer(batch_size, "batch_size")
        data = (x, y, sample_weight)
        if validation_split:
            data, validation_data = split_validation(data, validation_split)
        feed = self._feed(*data, size, bool(shuffle), steps_per_epoch, class_weight)
        validate = None
        if validation_data is not None:
            validate = self._validation(validation_data, validation_batch_size or size, validation_steps, chosen)
        running = Loop(
            self, feed, epochs_run, with_progress(watched, verbose), self._step("train_step"), validate,
            _after(validation_freq),
        )  # fmt: skip
        self.history = running.history
        half = config.half_type()
        with nullcontext() if half is None else autocast(half), self.handing_mask_on():
            running.run()
        self._put_in_order(self.history)
        return self.history

    def _fit_plainly(
        self, x: Any, y: Any, batch_size: int | None, epochs: range, verbose: Any, callbacks: list[Any],
        validation_split: float, validation_data: Any, shuffle: bool, class_weight: Any, sample_weight: Any,
        steps_per_epoch: int | None, mpi: MPI | None,
    ) -> training.History:  # fmt: skip
        """``nnkit.training.fit``."""
        size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
        if class_weight is not None and self._outputs is not None:
            raise ValueError("`class_weight` is only supported for Models with a single output.")
        x, pairing, core = self._prepared(x, y)
        x, y = pairing.data(x, y, size, bool(shuffle))
        sample_weight = None if sample_weight is None else pairing.weight(_flat(sample_weight), len(x))
        with self.handing_mask_on():
            self.history = training.fit(
                self,
                x,
                y,
                loss=core,
                optimizer=self.optimizer,
                epochs=epochs.stop,
                batch_size=None if yields_batches(x, y) else batch_size,
                validation_data=pairing.validation(validation_data, size),
                validation_split=validation_split,
                metrics=self._simple_metrics or [],
                callbacks=with_progress(callbacks, verbose),
                sample_weight=sample_weight,
                class_weight=class_weight,
                shuffle=bool(shuffle),
                verbose=0,  # the progress is one of the callbacks
                initial_epoch=epochs.start,
                steps_per_epoch=steps_per_epoch,
                compile=not self.run_eagerly,
                precision=config.half_type(),
                parallel=mpi,
            )
        if mpi is not None:
            mpi.gather(None)  # what rank 0 has written is there, or gone, before anybody goes on
        self.history.history.pop("lr", None)
        self._put_in_order(self.history)
        return self.history

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and the metrics on data: one number where there are no metrics, else a list, or a dict.

        Args:
            x, y, sample_weight: as for ``fit``.
            batch_size: 32 by default; it changes no result.
            verbose: 0 for silence.
            steps: after how many batches to stop.
            callbacks: one or a list; their ``on_test_…`` hooks are called.
            return_dict: whether to return names with the numbers.
        """
        self._require_compiled("evaluate")
        style_of(verbose)
        progress = Progbar(None)
        size = DEFAULT_BATCH_SIZE if batch_size is None else positive_integer(batch_size, "batch_size")
        chosen = self._told(callbacks)
        sided = inputs_side(self, x)
        simple = steps is None and not chosen and is_simple_model(self, ()) and self._takes(sided, y, sample_weight)
        if simple:
            first, sided = first_inputs(sided, y)
            simple = self._is_simple(first)
            x = sided if is_simple_data(x) else x
        if simple:
            x, pairing, core = self._prepared(sided, y)
            x, y = pairing.data(x, y, size)
            sample_weight = None if sample_weight is None else pairing.weight(_flat(sample_weight), len(x))
            with self.handing_mask_on():
                results: dict[str, Any] = training.evaluate(
                    self, x, y, loss=core, metrics=self._simple_metrics or [], batch_size=size,
                    sample_weight=sample_weight,
                )  # fmt: skip
            ran = _batches_in(x, y, size)
        else:
            feed = self._feed(x, y, sample_weight, size, False, steps, None)
            with self.handing_mask_on():
                results = evaluated(self, feed, self._step("test_step"), chosen)
            ran = feed.steps
        print_run(verbose, progress, ran, results)
        return {name: results[name] for name in in_keras_order(results)} if return_dict else self._in_order(results)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for all samples of ``x`` as NumPy arrays; needs no ``compile``.

        Args:
            x: as for ``fit``.
            batch_size: 32 by default; it changes no result.
            verbose: 1 and 2 print a line; "auto" and 0 nothing.
            steps: after how many batches to stop.
            callbacks: one or a list; their ``on_predict_…`` hooks are called.
        """
        size = DEFAULT_BATCH_SIZE if batch_size is None else positive_integer(batch_size, "batch_size")
        if verbose in ("auto", 0):
            return self._predicted(x, size, steps, callbacks)[0]
        style_of(verbose)
        progress = Progbar(None)
        found, ran = self._predicted(x, size, steps, callbacks)
        print_run(verbose, progress, ran, {})
        return found

    def _predicted(self, x: Any, size: int, steps: int | None, callbacks: Any) -> tuple[Any, int | None]:
        """The outputs, and after how many batches."""
        if steps is None and callbacks is None:
            known = recall(self, x if type(x) is np.ndarray else inputs_side(self, x))
            if known is not None:  # the like of x came before, in nnkit's own way
                return self._structured(known), _batches_in(inputs_side(self, x), None, size)
        chosen = self._told(callbacks)
        sided = inputs_side(self, x)
        if steps is None and not chosen and not self.overrides("predict_step") and self._takes(sided):
            first, sided = first_inputs(sided, None)
            if self._is_simple(first):
                found = training.predict(self, self._beside(sided), batch_size=size)
                return self._structured(found), _batches_in(sided, None, size)
            x = sided if is_simple_data(x) else x
        feed = self._feed(x, None, None, size, False, steps, None)
        return predicted(self, feed, self._step("predict_step"), chosen), feed.steps


def _refuse_batch_size(batch_size: int | None, x: Any, y: Any) -> None:
    """Raise ValueError where a size is given for data that come in batches of another."""
    if batch_size in (None, getattr(x, "batch_size", None)) or y is not None:
        return
    if not is_array_like(x) and not isinstance(x, Dataset) and yields_batches(x, y):
        raise ValueError(
            f"fit: batch_size={batch_size} goes with arrays; x is a {type(x).__name__}, which yields batches of "
            "its own: leave batch_size out"
        )


def _refuse_processes(why: str | None, plain: bool) -> None:
    """Raise ValueError that says why a training cannot be divided among processes."""
    if why is None:
        why = (
            "validation_steps or validation_freq is given"
            if plain is False
            else (
                "its outputs or its data are in a deeper structure (a PyDataset, dicts and lists of arrays, weights of "
                "positions, other validation data)"
            )
        )
    raise ValueError(
        f"fit(parallel=...) cannot divide this training among processes: {why}, so it goes step by step. Leave that "
        "out, or train by a loop of your own with nnkit.parallel.MPI().optimizer(...)"
    )


def _flat(weight: Any) -> Any:
    """Weights (n, 1) as (n,)."""
    shape: Any = getattr(weight, "shape", ())
    return weight.reshape(-1) if len(shape) == 2 and shape[1] == 1 else weight


def _batches_in(x: Any, y: Any, size: int) -> int | None:
    """How many batches data have, where they know it."""
    if not hasattr(x, "__len__"):
        return None
    return len(x) if not isinstance(x, Several) and yields_batches(x, y) else -(-len(x) // size)


def _after(frequency: Any) -> Callable[[int], bool]:
    """Whether an epoch, from 0, has a validation."""
    if isinstance(frequency, int):
        if frequency < 1:
            raise ValueError(f"validation_freq must be at least 1, or a list of epochs; got {frequency}")
        return lambda epoch: (epoch + 1) % frequency == 0
    known = set(frequency)
    return lambda epoch: epoch + 1 in known
