"""One step of training, of evaluation and of prediction, as Keras's models have them: to be used, or overridden."""

from __future__ import annotations

from typing import Any

from nnkit.keras import optimizers
from nnkit.keras.adding import WithLosses
from nnkit.keras.compiling import CompileLoss, CompileMetrics
from nnkit.keras.feeding import rows_of, unpack
from nnkit.keras.layer import Layer
from nnkit.keras.means import Mean
from nnkit.keras.metric import Metric
from nnkit.recording.observer import call
from nnkit.tensors.creation import zeros
from nnkit.tensors.tensor import Tensor

__all__ = ["WithSteps"]


class WithSteps(Layer):
    """The part of a model that takes one batch at a time.

    A model of your own may override ``train_step(self, data)``, ``test_step``, ``predict_step``, ``compute_loss``,
    ``compute_metrics`` and the property ``metrics``. A step is recorded and replayed where its code can be understood
    (see ``nnkit.compile``), and runs plainly, after one warning, where not.
    """

    compiled: bool
    optimizer: Any
    _compile_loss: CompileLoss | None
    _compile_metrics: CompileMetrics | None
    _loss_tracker: Mean | None

    # ---- metrics ------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> list[Metric]:
        """The loss's mean and the metrics of ``compile``, and the metrics that the model and its layers follow."""
        found: list[Metric] = []
        if self.compiled:
            found += [one for one in (self._loss_tracker, self._compile_metrics) if one is not None]
            found += [] if self._compile_loss is None else self._compile_loss.metrics
        found += self._own_metrics()
        for layer in self.modules():
            if layer is not self and isinstance(layer, WithLosses) and not isinstance(layer, WithSteps):
                found += layer._own_metrics()
        return list({id(metric): metric for metric in found}.values())

    @property
    def metrics_names(self) -> list[str]:
        """The names of :attr:`metrics`."""
        return [metric.name for metric in self.metrics]

    def reset_metrics(self) -> None:
        """Let all metrics forget the batches."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """Each metric's result under its name."""
        results: dict[str, Any] = {}
        for metric in self.metrics:
            found = call(metric.result)
            results |= found if isinstance(found, dict) else {metric.name: found}
        return results

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Add a batch to the metrics of ``compile``; returns all results so far."""
        if self._compile_metrics is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    # ---- the loss -----------------------------------------------------------------------------------------

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """The loss of ``compile`` on a batch, and what layers and penalties added: a scalar."""
        parts: list[Any] = []
        if self._compile_loss is not None:
            parts.append(self._compile_loss(y, y_pred, sample_weight))
        parts += self.losses
        total = None
        for part in parts:
            if part is not None:
                total = part if total is None else total + part
        if total is None:
            if training:
                raise ValueError("fit needs a loss: pass one to compile, for example compile(loss='mse'), or add_loss")
            return zeros(size=())
        return total

    def _loss_of(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Tensor:
        """The loss, followed for the results."""
        loss: Tensor = call(self.compute_loss, x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        if self._loss_tracker is not None:
            self._loss_tracker.update_state(loss.detach(), float(rows_of(x)))
        return loss

    # ---- steps --------------------------------------------------------------------------------------------

    def train_step(self, data: Any) -> dict[str, Any]:
        """One update on a batch (x, y, sample_weight); returns the results so far."""
        x, y, sample_weight = unpack(data)
        y_pred = self(x, training=True)
        loss = self._loss_of(x, y, y_pred, sample_weight, True)
        if loss.requires_grad:
            self.build_optimizer()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.constrain()
        return call(self.compute_metrics, x, y, y_pred, sample_weight=sample_weight)

    def build_optimizer(self) -> None:
        """Give the optimizer of ``compile`` the weights that can be learned, where it has none yet."""
        if isinstance(self.optimizer, optimizers.Optimizer):
            learned = [weight for weight in self.parameters() if getattr(weight, "_trainable", True)]
            if learned:
                self.optimizer.build(learned)

    def test_step(self, data: Any) -> dict[str, Any]:
        """The results so far after a batch (x, y, sample_weight), without an update."""
        x, y, sample_weight = unpack(data)
        y_pred = self(x, training=False)
        self._loss_of(x, y, y_pred, sample_weight, False)
        return call(self.compute_metrics, x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data: Any) -> Any:
        """The outputs of a batch."""
        x, _, _ = unpack(data)
        return self(x, training=False)

    def overrides(self, *names: str) -> bool:
        """Whether the model's class, or the model, has steps of its own under one of these names."""
        return any(name in vars(self) or getattr(type(self), name) is not getattr(WithSteps, name) for name in names)
