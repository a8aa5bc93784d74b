"""compile, fit, evaluate and predict, with Keras's arguments and return values.

``fit`` here prepares what Keras forgives and the core does not: it builds the layers for the data's shape, gives the
optimizer its weights, and brings targets into the shape of the output. The rest is ``nnkit.training`` for plain models,
and ``loop`` for those with steps or metrics of their own (``routes`` tells them apart).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from nnkit import optim, training
from nnkit.compiled import enabled
from nnkit.keras import callbacks as keras_callbacks
from nnkit.keras import config, losses, optimizers
from nnkit.keras.calling import shapes_of
from nnkit.keras.compiling import CompileLoss, CompileMetrics
from nnkit.keras.feeding import Batches, Feed, feed_of, is_array_like, pack, split_validation, unpack
from nnkit.keras.hooks import KeepLogs, hooked
from nnkit.keras.loop import Loop, evaluated, numbers, predicted, step_of
from nnkit.keras.means import Mean
from nnkit.keras.naming import configured
from nnkit.keras.outputs import Outputs, PairingOfOutputs
from nnkit.keras.pairing import Pairing, first_inputs
from nnkit.keras.routes import (
    class_weighted,
    is_flat_data,
    is_simple_data,
    is_simple_model,
    plain_loss,
    plain_metrics,
)
from nnkit.keras.sides import inputs_side
from nnkit.keras.stepping import WithSteps
from nnkit.precision import autocast
from nnkit.structures import rebuilt
from nnkit.tape import no_grad
from nnkit.tensor import Tensor
from nnkit.training.door import home
from nnkit.training.inputs import host_array, positive_integer
from nnkit.training.progress import ProgressBar, line, style_of
from nnkit.training.several import Several
from nnkit.training.sources import yields_batches
from nnkit.utils.data import Dataset

__all__ = ["Trainer"]

DEFAULT_BATCH_SIZE = 32


class _Watch(training.Callback):
    """Tells the model which training is under way, so that it can be stopped, and drives learning-rate schedules."""

    def __init__(self, optimizer: optim.Optimizer | None) -> None:
        self.scheduled = isinstance(optimizer, optimizers.Optimizer) and optimizer.follows_schedule
        self.optimizer: Any = optimizer

    @property
    def wants_batches(self) -> bool:
        return self.scheduled

    def on_train_begin(self) -> None:
        self.model.running = self.trainer
        if self.scheduled:
            self.optimizer.drive(True)

    def on_batch_begin(self, step: int) -> None:
        if self.optimizer.built:
            self.optimizer.follow_schedule()

    def on_train_end(self) -> None:
        self.model.running = None
        if self.scheduled:
            self.optimizer.drive(False)
        if isinstance(self.optimizer, optimizers.Optimizer):
            self.optimizer.finalize_variable_values()


class Trainer(WithSteps):
    """The training side of a Keras model: what ``compile`` was given, and the methods that use it."""

    #: The names of the outputs, where the model has several and knows.
    output_names: Any = None

    def __init__(self, name: str | None = None, trainable: bool = True, **options: Any) -> None:
        super().__init__(name=name, trainable=trainable, **options)
        self.compiled = False
        self.optimizer: Any = None
        self.loss: Any = None
        self.loss_weights: Any = None
        self.run_eagerly = False
        #: The History of the last ``fit``.
        self.history: training.History | None = None
        #: The training under way.
        self.running: Any = None
        self._loss: losses.Loss | None = None
        self._simple_metrics: list[Any] | None = []
        self._compile_loss = self._compile_metrics = self._loss_tracker = None
        self._settings: dict[str, Any] = {}
        self._steps: dict[str, Callable[[Any], Any]] = {}
        self._stop_training = False
        self._initial_epoch: int | None = None
        self._one_output: bool | None = None
        self._outputs: Outputs | None = None

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Choose the optimizer, the loss and the metrics for ``fit`` and ``evaluate``.

        Args:
            optimizer: a name, or an optimizer of ``nnkit.keras.optimizers`` or ``nnkit.optim``.
            loss: a name, a loss of ``nnkit.keras.losses``, or a function ``(y_true, y_pred)``; of several outputs a
                list, or a dict by their names.
            loss_weights: factors of the outputs' losses: a list, or a dict by name.
            metrics: a list of names, metrics and functions ``(y_true, y_pred)``, computed without sample weights; of
                several outputs a list of lists, or a dict by name.
            weighted_metrics: the like, computed with them.
            run_eagerly: whether to run every step in Python.
            steps_per_execution, jit_compile, auto_scale_loss: accepted; they change no result.

        Raises:
            UnknownNameError: a name that does not exist; the message lists the nearest.
        """
        self.optimizer = optimizers.get(optimizer)
        self.loss, self.loss_weights, self.run_eagerly = loss, loss_weights, bool(run_eagerly)
        plain, weighted = _listed(metrics), _listed(weighted_metrics)
        self._loss = plain_loss(loss)
        self._simple_metrics = plain_metrics(plain, weighted)
        self._outputs = (
            None if self.output_keys is None else Outputs(self.output_keys, loss, loss_weights, self.outputs_are_keyed)
        )
        if self._outputs is not None:
            self._simple_metrics = self._outputs.metrics(plain, weighted)
        self._loss_tracker = Mean("loss")
        self._compile_loss = None if loss is None else CompileLoss(loss, loss_weights, self.output_names)
        self._compile_metrics = CompileMetrics(plain, weighted, self.output_names) if plain or weighted else None
        self._settings = {"optimizer": self.optimizer, "loss": loss, "metrics": plain, "weighted_metrics": weighted}
        if loss_weights is not None:
            self._settings["loss_weights"] = loss_weights
        self._steps = {}
        self.compiled = True

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

        Raises ValueError where the model is not compiled; DataError, LabelError, ShapeError or DtypeError for bad
        data, before anything is trained.
        """
        self._require_compiled("fit")
        chosen = self._begin(callbacks)
        epochs_run = range(self._resumed(callbacks, initial_epoch), epochs)
        own = getattr(x, "batch_size", None)
        in_batches = y is None and not is_array_like(x) and not isinstance(x, Dataset)
        if batch_size not in (None, own) and in_batches and yields_batches(x, y):
            raise ValueError(
                f"fit: batch_size={batch_size} goes with arrays; x is a {type(x).__name__}, which yields batches of "
                "its own: leave batch_size out"
            )
        watched = [_Watch(self.optimizer), *chosen, KeepLogs()]
        plain = validation_steps is None and validation_freq == 1 and epochs_run
        sided = inputs_side(self, x)
        if plain and is_simple_model(self, chosen) and self._takes(sided, y, sample_weight):
            first, sided = first_inputs(sided, y)
            validated = validation_data if not isinstance(validation_data, tuple) else None
            parts = validation_data if isinstance(validation_data, tuple) else ()
            if self._is_simple(first) and is_simple_data(validated) and self._takes(None, *parts[1:], x=parts[:1]):
                return self._fit_plainly(
                    sided, y, batch_size, epochs_run, verbose, watched, validation_split, validation_data, shuffle,
                    class_weight, sample_weight, steps_per_epoch,
                )  # fmt: skip
            x = sided if is_simple_data(x) else x
        size = DEFAULT_BATCH_SIZE if batch_size is None else positive_integer(batch_size, "batch_size")
        data = (x, y, sample_weight)
        if validation_split:
            data, validation_data = split_validation(data, validation_split)
        feed = self._feed(*data, size, bool(shuffle), steps_per_epoch, class_weight)
        validate = None
        if validation_data is not None:
            validate = self._validation(validation_data, validation_batch_size or size, validation_steps, chosen)
        running = Loop(
            self, feed, epochs_run, _with_progress(watched, verbose), self._step("train_step"), validate,
            _after(validation_freq),
        )  # fmt: skip
        self.history = running.history
        half = config.half_type()
        with nullcontext() if half is None else autocast(half):
            running.run()
        return self.history

    def _fit_plainly(
        self, x: Any, y: Any, batch_size: int | None, epochs: range, verbose: Any, callbacks: list[Any],
        validation_split: float, validation_data: Any, shuffle: bool, class_weight: Any, sample_weight: Any,
        steps_per_epoch: int | None,
    ) -> training.History:  # fmt: skip
        """``nnkit.training.fit``."""
        size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
        if class_weight is not None and self._outputs is not None:
            raise ValueError("`class_weight` is only supported for Models with a single output.")
        x, pairing, core = self._prepared(x, y)
        x, y = pairing.data(x, y, size, bool(shuffle))
        sample_weight = None if sample_weight is None else pairing.weight(_flat(sample_weight), len(x))
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
            callbacks=callbacks,
            sample_weight=sample_weight,
            class_weight=class_weight,
            shuffle=bool(shuffle),
            verbose=verbose,
            initial_epoch=epochs.start,
            steps_per_epoch=steps_per_epoch,
            compile=not self.run_eagerly,
            precision=config.half_type(),
        )
        _rename_rate(self.history, callbacks)
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
            results: dict[str, Any] = training.evaluate(
                self, x, y, loss=core, metrics=self._simple_metrics or [], batch_size=size,
                sample_weight=sample_weight, verbose=verbose,
            )  # fmt: skip
        else:
            style = style_of(verbose)
            feed = self._feed(x, y, sample_weight, size, False, steps, None)
            results = evaluated(self, feed, self._step("test_step"), chosen)
            if style is not None:
                print(line("evaluation", 0.0, results), flush=True)
        return results if return_dict else self._in_order(results)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for all samples of ``x`` as NumPy arrays; needs no ``compile``.

        ``steps``: after how many batches to stop. ``callbacks``: their ``on_predict_…`` hooks are called.
        """
        size = DEFAULT_BATCH_SIZE if batch_size is None else positive_integer(batch_size, "batch_size")
        chosen = self._told(callbacks)
        sided = inputs_side(self, x)
        if steps is None and not chosen and not self.overrides("predict_step") and self._takes(sided):
            first, sided = first_inputs(sided, None)
            if self._is_simple(first):
                return self._structured(training.predict(self, self._beside(sided), batch_size=size))
            x = sided if is_simple_data(x) else x
        feed = self._feed(x, None, None, size, False, steps, None)
        return predicted(self, feed, self._step("predict_step"), chosen)

    # ---- one batch ----------------------------------------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Make one update on one batch; returns the results since the last ``reset_metrics``, as ``evaluate`` does."""
        self._require_compiled("train_on_batch")
        weight = class_weighted(y, sample_weight, class_weight)
        results = numbers(self._step("train_step")(self._batches().item(pack(x, y, weight))))
        return results if return_dict else self._in_order(results)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """The results of one batch, and of those since the last ``reset_metrics``, as ``evaluate`` returns them."""
        self._require_compiled("test_on_batch")
        with no_grad():
            results = numbers(self._step("test_step")(self._batches().item(pack(x, y, sample_weight))))
        return results if return_dict else self._in_order(results)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        with no_grad():
            found = self._step("predict_step")(self._batches().item(pack(x)))
        return rebuilt(found, lambda leaf: leaf.detach().numpy() if isinstance(leaf, Tensor) else leaf)

    # ---- what the methods share ---------------------------------------------------------------------------

    @property
    def stop_training(self) -> bool:
        """Set to True, by a callback, it ends the training after the step that runs."""
        return self._stop_training

    @stop_training.setter
    def stop_training(self, value: bool) -> None:
        self._stop_training = bool(value)
        if self.running is not None:
            self.running.stop_training = bool(value)

    @property
    def _runs_plainly(self) -> bool:
        return self.run_eagerly or not enabled()

    def _step(self, name: str) -> Callable[[Any], Any]:
        """The recorded step of that name."""
        if name not in self._steps:
            self._steps[name] = step_of(self, name, self._runs_plainly)
        return self._steps[name]

    def _batches(self) -> Batches:
        """How data become tensors for this model."""
        device, dtype = home(self)
        whole = self.overrides("train_step", "test_step", "predict_step") or any(
            getattr(module, "reads_whole_numbers", False) for module in self.modules()
        )
        return Batches(device, dtype, whole)

    def _feed(
        self, x: Any, y: Any, weight: Any, size: int, shuffle: bool, limit: int | None, class_weight: Any
    ) -> Feed:
        if class_weight is not None:
            if y is None and not is_array_like(x):
                x = _ClassWeighted(x, class_weight)
            else:
                weight = class_weighted(y, weight, class_weight)
        return feed_of(x, y, weight, self._batches(), size, shuffle, limit)

    def _validation(self, data: Any, size: int, steps: int | None, callbacks: list[Any]) -> Callable[[], Any]:
        """A function that validates."""
        is_item = isinstance(data, (tuple, list)) and len(data) in (1, 2, 3)
        x, y, weight = unpack(data) if is_item else (data, None, None)
        feed = self._feed(x, y, weight, size, False, steps, None)
        step = self._step("test_step")
        return lambda: evaluated(self, feed, step, callbacks)

    def build_for(self, x: Any) -> None:
        """Build the layers for inputs like ``x``."""
        self.output_shape_for(x)

    def output_shape_for(self, x: Any) -> Any:
        """The shape of the output for inputs ``x``, batch size first: the model runs once, on one of them."""
        with no_grad():
            first = rebuilt(x, lambda leaf: host_array(leaf, "x")[:1]) if not is_simple_data(x) else None
            output = self(self._batches().inputs(host_array(x, "x")[:1] if first is None else first))
            return shapes_of(output)

    # ---- several inputs and outputs, which a model made of symbolic tensors knows ---------------------------

    #: What several outputs are called; None where there is one, or where nobody knows.
    output_keys: Sequence[str] | None = None
    #: Whether these are the keys of a dict.
    outputs_are_keyed = False

    def _takes(self, sided: Any, y: Any = None, weight: Any = None, x: tuple[Any, ...] = ()) -> bool:
        """Whether these inputs (or ``x``, as they were given), targets and weights are arrays, in no deep structure."""
        inputs = [sided, *(inputs_side(self, part) for part in x)]
        outputs = is_flat_data if self.output_keys is not None else is_simple_data
        return all(isinstance(part, Several) or is_simple_data(part) for part in inputs) and outputs(y, weight)

    def _beside(self, x: Any) -> Any:
        """Inputs, side by side where the outputs are to be."""
        return x if self.output_keys is None or isinstance(x, Several) else Several([x], form=None)

    def _structured(self, found: Any) -> Any:
        """Outputs in the structure of the model's."""
        return found.structure() if isinstance(found, Several) else found

    def _is_simple(self, first: Any) -> bool:
        """Whether the model's outputs are known, or one; it is built for inputs like these."""
        if isinstance(first, Several) or self.output_keys is not None:
            return True
        if not is_simple_data(first):
            return False
        if self._one_output is None:
            if not self.built:
                self.build_for(first)
            shape = self.output_shape_for(first)
            self._one_output = isinstance(shape, tuple) and all(not isinstance(part, (tuple, list)) for part in shape)
        return self._one_output

    def _require_compiled(self, method: str) -> None:
        if not self.compiled:
            raise ValueError(f"call compile(optimizer=..., loss=...) before {method}: the model is not compiled")
        own = self.overrides("train_step", "compute_loss")
        reduction = getattr(self.loss, "reduction", "sum")
        if not own and reduction in (None, "none", "mean_with_sample_weight") and method == "fit":
            raise ValueError(
                f"training needs a loss with reduction 'sum_over_batch_size' or 'sum'; {self.loss.name!r} has "
                f"{reduction!r}"
            )

    def _begin(self, callbacks: Any) -> list[Any]:
        """Give the optimizer its weights, and return the callbacks as the loops call them."""
        self._stop_training = False
        return [hooked(callback) for callback in _listed(callbacks)]

    def _told(self, callbacks: Any) -> list[Any]:
        """Callbacks that know the model, for a run without an update."""
        chosen = _listed(callbacks)
        for callback in chosen:
            if hasattr(callback, "set_params"):
                callback.set_params({"steps": None, "verbose": 0})
            if hasattr(callback, "set_model"):
                callback.set_model(self)
        return chosen

    def _resumed(self, callbacks: Any, initial_epoch: int) -> int:
        """The epoch to begin with: where a BackupAndRestore finds a training that was cut off, its next."""
        for callback in _listed(callbacks):
            if isinstance(callback, keras_callbacks.BackupAndRestore):
                return callback.find(self, initial_epoch)
        return initial_epoch

    def _prepared(self, x: Any, y: Any) -> tuple[Any, Pairing, Any]:
        """``x``, how its targets are paired with the outputs, and the loss; builds the layers and the optimizer."""
        first, x = first_inputs(x, y)
        if not self.built:
            self.build_for(first)
        self.build_optimizer()
        if self._outputs is not None:
            return x, PairingOfOutputs(self._outputs, self.output_shape_for(first), self), self._outputs.core()
        assert self._loss is not None
        return x, Pairing(self.output_shape_for(first), self._loss.target_kind, self), self._loss.core

    def _in_order(self, results: Mapping[str, Any]) -> Any:
        """The numbers without their names; one by itself."""
        values = list(results.values())
        return values[0] if len(values) == 1 else values

    # ---- configuration ------------------------------------------------------------------------------------

    def compile_config(self) -> dict[str, Any] | None:
        """The arguments of ``compile`` as they are now, for JSON; None where one of them has no description."""
        settings = {name: _described(value) for name, value in self._settings.items()}
        twin: Any = Trainer(name=self.name)
        twin.output_keys, twin.output_names = self.output_keys, self.output_names
        twin.outputs_are_keyed = self.outputs_are_keyed
        try:
            json.dumps(settings)
            twin.compile(**settings)
        except (TypeError, ValueError):
            return None
        same = [type(part) for part in twin._chosen()] == [type(part) for part in self._chosen()]
        return settings if same else None

    def _chosen(self) -> list[Any]:
        by_output = [] if self._outputs is None else self._outputs.losses
        return [self.optimizer, self._loss, *by_output, *(self._simple_metrics or [])]

    def get_compile_config(self) -> dict[str, Any] | None:
        """``compile_config`` under Keras's name."""
        return self.compile_config() if self.compiled else None

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compile by what :meth:`get_compile_config` gave."""
        self.compile(**config)


class _ClassWeighted:
    """Batches with the weights of their classes."""

    def __init__(self, items: Any, class_weight: Mapping[int, float]) -> None:
        self.items, self.class_weight = items, class_weight

    def __iter__(self) -> Any:
        for item in self.items:
            x, y, weight = unpack(item)
            yield x, y, class_weighted(y, weight, self.class_weight)

    def __len__(self) -> int:
        return len(self.items)


def _listed(value: Any) -> Any:
    """One thing, several, or None, as a list; a dict by output names as it is."""
    if value is None:
        return []
    if isinstance(value, Mapping) and "class_name" not in value:
        return dict(value)
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _flat(weight: Any) -> Any:
    """Weights (n, 1) as (n,)."""
    shape = getattr(weight, "shape", ())
    return weight.reshape(-1) if len(shape) == 2 and shape[1] == 1 else weight


def _described(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_described(part) for part in value]
    if isinstance(value, Mapping):
        return {name: _described(part) for name, part in value.items()}
    return configured(value)


def _with_progress(callbacks: list[Any], verbose: Any) -> list[Any]:
    """The callbacks, and the progress that ``verbose`` asks for."""
    style = style_of(verbose)
    if style is None or any(isinstance(callback, ProgressBar) for callback in callbacks):
        return callbacks
    return [*callbacks, ProgressBar(style)]


def _after(frequency: Any) -> Callable[[int], bool]:
    """Whether an epoch, from 0, has a validation."""
    if isinstance(frequency, int):
        if frequency < 1:
            raise ValueError(f"validation_freq must be at least 1, or a list of epochs; got {frequency}")
        return lambda epoch: (epoch + 1) % frequency == 0
    known = set(frequency)
    return lambda epoch: epoch + 1 in known


def _rename_rate(record: training.History, callbacks: list[Any]) -> None:
    """Keras's history has the learning rate only where a callback changed it, and under its long name."""
    rates = record.history.pop("lr", None)
    setters = (keras_callbacks.ReduceLROnPlateau, keras_callbacks.LearningRateScheduler)
    inner = [getattr(callback, "callback", callback) for callback in callbacks]
    if rates is not None and any(isinstance(callback, setters) for callback in inner):
        record.history["learning_rate"] = rates
