"""compile, fit, evaluate and predict, with Keras's arguments and return values, over ``nnkit.training``.

``fit`` here prepares what Keras forgives and the core does not: it builds the layers for the data's shape, gives the
optimizer its weights, and brings targets into the shape of the output. The rest is ``nnkit.training``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nnkit import optim, training
from nnkit.keras import callbacks as keras_callbacks
from nnkit.keras import losses, metrics, optimizers
from nnkit.keras.layer import Layer, Shape
from nnkit.keras.naming import configured
from nnkit.keras.pairing import Pairing, first_inputs
from nnkit.tape import no_grad
from nnkit.training.inputs import host_array
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
        self.optimizer.follow_schedule()

    def on_train_end(self) -> None:
        self.model.running = None
        if self.scheduled:
            self.optimizer.drive(False)


class Trainer(Layer):
    """The training side of a Keras model: what ``compile`` was given, and the methods that use it."""

    def __init__(self, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.compiled = False
        self.optimizer: optim.Optimizer | None = None
        self.loss: Any = None
        #: The History of the last ``fit``.
        self.history: training.History | None = None
        #: The training under way.
        self.running: training.Trainer | None = None
        self._loss: losses.Loss | None = None
        self._metrics: list[training.Metric] = []
        self._settings: dict[str, Any] = {}
        self._stop_training = False
        #: Whether the output carries its mask, which weighs the loss and the metrics: in ``fit`` and ``evaluate``.
        self.hands_mask_on = False

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: None = None,
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
            loss: a name, a loss of ``nnkit.keras.losses``, or a function ``(y_true, y_pred)``.
            loss_weights: not supported: a Sequential model has one output.
            metrics: a list of names, metrics and functions ``(y_true, y_pred)``, computed without sample weights.
            weighted_metrics: such a list, computed with them.
            run_eagerly, steps_per_execution, jit_compile, auto_scale_loss: accepted; they change no result.

        Raises:
            UnknownNameError: a name that does not exist; the message lists the nearest.
        """
        if loss_weights is not None:
            raise ValueError(f"compile: loss_weights is not supported; a model has one output (got {loss_weights!r})")
        plain, weighted = _listed("metrics", metrics), _listed("weighted_metrics", weighted_metrics)
        self.optimizer = optimizers.get(optimizer)
        self.loss = loss
        self._loss = None if loss is None else losses.get(loss)
        self._metrics = [_weighted(metric, False) for metric in plain]
        self._metrics += [_weighted(metric, True) for metric in weighted]
        self._settings = {"optimizer": self.optimizer, "loss": loss, "metrics": plain, "weighted_metrics": weighted}
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
        validation_steps: None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> training.History:
        """Train; returns the History, whose ``history`` maps names to one number per epoch.

        Args:
            x, y: arrays or Tensors; or ``x`` alone, a loader, dataset or generator of (x, y) or (x, y, weight).
            batch_size: 32 by default; validation_batch_size: accepted, for it changes no result.
            epochs, initial_epoch: epochs ``initial_epoch`` to ``epochs - 1`` are run.
            verbose: "auto" or 1 (a bar on a terminal, else one line per epoch), 2 (lines), 0 (silence).
            callbacks: a callback or a list of them.
            validation_split, validation_data: the last share of x and y; or (x, y), (x, y, weight) or a loader.
            shuffle: whether to draw a new order for each epoch.
            class_weight, sample_weight: factors for the loss of each class {number: factor} and sample (n,).
            steps_per_epoch: ends an epoch after that many batches, for data without an end.
            validation_steps, validation_freq: only None and 1 are supported.

        Raises ValueError where the model is not compiled; DataError, LabelError, ShapeError or DtypeError for bad
        data, before anything is trained.
        """
        _refuse("fit", validation_steps=(validation_steps, None), validation_freq=(validation_freq, 1))
        loss, size = self._compiled_loss("fit"), DEFAULT_BATCH_SIZE if batch_size is None else batch_size
        x, pairing = self._prepared(x, y, loss)
        own = getattr(x, "batch_size", None)
        if batch_size not in (None, own) and yields_batches(x, y) and not isinstance(x, Dataset):
            raise ValueError(
                f"fit: batch_size={batch_size} goes with arrays; x is a {type(x).__name__}, which yields batches of "
                "its own: leave batch_size out"
            )
        x, y = pairing.data(x, y, size, bool(shuffle))
        chosen = self._begin(callbacks)
        with self._handing_mask_on():
            self.history = training.fit(
                self,
                x,
                y,
                loss=loss.core,
                optimizer=self.optimizer,
                epochs=epochs,
                batch_size=None if yields_batches(x, y) else batch_size,
                validation_data=pairing.validation(validation_data, size),
                validation_split=validation_split,
                metrics=self._metrics,
                callbacks=[_Watch(self.optimizer), *chosen],
                sample_weight=sample_weight,
                class_weight=class_weight,
                shuffle=bool(shuffle),
                verbose=verbose,
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
            )
        _rename_rate(self.history, chosen)
        return self.history

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: None = None,
        callbacks: None = None,
        return_dict: bool = False,
    ) -> float | list[float] | dict[str, float]:
        """The loss and the metrics on data: one number where there are no metrics, else a list, or a dict.

        Args:
            x, y, sample_weight: as for ``fit``.
            batch_size: 32 by default; it changes no result.
            verbose: 0 for silence.
            steps, callbacks: not supported.
            return_dict: whether to return names with the numbers.
        """
        _refuse("evaluate", steps=(steps, None), callbacks=(callbacks, None))
        size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
        loss = self._compiled_loss("evaluate")
        x, pairing = self._prepared(x, y, loss)
        x, y = pairing.data(x, y, size)
        with self._handing_mask_on():
            results = training.evaluate(
                self,
                x,
                y,
                loss=loss.core,
                metrics=self._metrics,
                batch_size=size,
                sample_weight=sample_weight,
                verbose=verbose,
            )
        if return_dict:
            return results
        values = list(results.values())
        return values if self._metrics else values[0]

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: None = None,
        callbacks: None = None,
    ) -> np.ndarray:
        """The outputs for all samples of ``x`` as a NumPy array; needs no ``compile``."""
        _refuse("predict", steps=(steps, None), callbacks=(callbacks, None))
        return training.predict(
            self, self._built(x), batch_size=DEFAULT_BATCH_SIZE if batch_size is None else batch_size
        )

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> float | list[float] | dict[str, float]:
        """Make one update on one batch; returns the loss and metrics before it, as ``evaluate`` does."""
        record = self.fit(
            x,
            y,
            batch_size=len(x),
            shuffle=False,
            verbose=0,
            sample_weight=sample_weight,
            class_weight=class_weight,
        )
        results = {name: values[0] for name, values in record.history.items()}
        if return_dict:
            return results
        return list(results.values()) if self._metrics else results["loss"]

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> float | list[float] | dict[str, float]:
        """The loss and metrics of one batch, as ``evaluate`` returns them."""
        return self.evaluate(x, y, len(x), 0, sample_weight, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """The outputs for one batch."""
        return self.predict(x, batch_size=len(x), verbose=0)

    @contextlib.contextmanager
    def _handing_mask_on(self) -> Iterator[None]:
        self.hands_mask_on = True
        try:
            yield
        finally:
            self.hands_mask_on = False

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

    def build_for(self, x: Any) -> None:
        """Build the layers for inputs like ``x``."""
        self.output_shape_for(x)

    def output_shape_for(self, x: Any) -> Shape:
        """The shape of the output for inputs ``x``, batch size first: the model runs once, on one of them."""
        with no_grad():
            return (None, *self(host_array(x, "x")[:1]).shape[1:])

    def _compiled_loss(self, method: str) -> losses.Loss:
        if not self.compiled:
            raise ValueError(f"call compile(optimizer=..., loss=...) before {method}: the model is not compiled")
        if self._loss is None:
            raise ValueError(f"{method} needs a loss: pass one to compile, for example compile(loss='mse')")
        if self._loss.reduction in (None, "none", "mean_with_sample_weight"):
            raise ValueError(
                f"training needs a loss with reduction 'sum_over_batch_size' or 'sum'; "
                f"{self._loss.name!r} has {self._loss.reduction!r}"
            )
        return self._loss

    def _begin(self, callbacks: Any) -> list[Any]:
        """Give the optimizer its weights, and return the callbacks as a list."""
        if isinstance(self.optimizer, optimizers.Optimizer):
            self.optimizer.build(self.parameters())
        self._stop_training = False
        return _listed("callbacks", callbacks)

    def _built(self, x: Any) -> Any:
        """``x``, after building the layers for it where that has not happened yet."""
        first, x = first_inputs(x, None)
        if not self.built:
            self.build_for(first)
        return x

    def _prepared(self, x: Any, y: Any, loss: losses.Loss) -> tuple[Any, Pairing]:
        """``x``, and how its targets are paired with the outputs; builds the layers."""
        first, x = first_inputs(x, y)
        if not self.built:
            self.build_for(first)
        return x, Pairing(self.output_shape_for(first), loss.target_kind)

    def compile_config(self) -> dict[str, Any] | None:
        """The arguments of ``compile`` as they are now, for JSON; None where one of them has no description."""
        settings = {
            name: [configured(part) for part in value] if isinstance(value, list) else configured(value)
            for name, value in self._settings.items()
        }
        twin: Any = Trainer(name=self.name)
        try:
            json.dumps(settings)
            twin.compile(**settings)
        except (TypeError, ValueError):
            return None
        same = [type(part) for part in twin._chosen()] == [type(part) for part in self._chosen()]
        return settings if same else None

    def _chosen(self) -> list[Any]:
        return [self.optimizer, self._loss, *self._metrics]


def _listed(argument: str, value: Any) -> list[Any]:
    """One thing, several, or None, as a list."""
    if isinstance(value, Mapping):
        raise ValueError(f"{argument} must be a list: a model has one output; got a dict with {list(value)}")
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _weighted(metric: Any, weighted: bool) -> training.Metric:
    found = metrics.get(metric)
    found.weighted = weighted
    return found


def _refuse(method: str, **arguments: tuple[Any, Any]) -> None:
    """Raise for the first argument of Keras's that is not at the only value supported."""
    for name, (value, supported) in arguments.items():
        if value != supported:
            raise ValueError(f"{method}: {name} is not supported; leave it at {supported!r} (got {value!r})")


def _rename_rate(record: training.History, callbacks: list[Any]) -> None:
    """Keras's history has the learning rate only where a callback changed it, and under its long name."""
    rates = record.history.pop("lr", None)
    setters = (keras_callbacks.ReduceLROnPlateau, keras_callbacks.LearningRateScheduler)
    if rates is not None and any(isinstance(callback, setters) for callback in callbacks):
        record.history["learning_rate"] = rates
