"""What ``compile`` was given: kept, matched to the outputs, described for files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from nnkit import training
from nnkit.keras import losses, optimizers
from nnkit.keras.compiling import CompileLoss, CompileMetrics
from nnkit.keras.means import Mean
from nnkit.keras.naming import configured
from nnkit.keras.outputs import Outputs
from nnkit.keras.routes import plain_loss, plain_metrics
from nnkit.keras.stepping import WithSteps

__all__ = ["WithSettings", "listed"]


class WithSettings(WithSteps):
    """The part of a model that knows what ``compile`` was given."""

    #: The names of the outputs, where the model has several and knows.
    output_names: Any = None
    #: What several outputs are called; None where there is one, or where nobody knows.
    output_keys: Sequence[str] | None = None
    #: Whether these are the keys of a dict.
    outputs_are_keyed = False

    #: Whether the output carries its mask, which weighs the loss and the metrics: in ``fit`` and ``evaluate``.
    hands_mask_on = False

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

    @contextmanager
    def handing_mask_on(self) -> Iterator[None]:
        """A block in which the output carries its mask."""
        self.hands_mask_on = True
        try:
            yield
        finally:
            self.hands_mask_on = False

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
        plain, weighted = listed(metrics), listed(weighted_metrics)
        if self.output_keys is None:
            plain, weighted = _of_one(plain), _of_one(weighted)
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

    # ---- configuration ------------------------------------------------------------------------------------

    def compile_config(self) -> dict[str, Any] | None:
        """The arguments of ``compile`` as they are now, for JSON; None where one of them has no description."""
        settings = {name: _described(value) for name, value in self._settings.items()}
        twin: Any = WithSettings(name=self.name)
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


def listed(value: Any) -> Any:
    """One thing, several, or None, as a list; a dict by output names as it is."""
    if value is None:
        return []
    if isinstance(value, Mapping) and "class_name" not in value:
        return dict(value)
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _of_one(metrics: Any) -> Any:
    """The metrics of one output, which may be a list in a list."""
    nested = isinstance(metrics, list) and len(metrics) == 1 and isinstance(metrics[0], (list, tuple))
    return list(metrics[0]) if nested else metrics


def _described(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_described(part) for part in value]
    if isinstance(value, Mapping):
        return {name: _described(part) for name, part in value.items()}
    return configured(value)
