"""One step of training and one step of evaluation, and the sums they leave in device memory.

Nothing here looks at a value on the host: a step reads its batch, changes weights and adds to the totals. Only
``Totals.read``, which the loop calls now and then, waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from nnkit.nn.module import Module
from nnkit.optim import Optimizer, clip_grad_norm_, clip_grad_value_
from nnkit.tape import no_grad
from nnkit.tensor import Tensor
from nnkit.training.batches import Batch
from nnkit.training.metrics import Metric
from nnkit.training.objective import Objective
from nnkit.training.weights import finite

__all__ = ["EvaluationStep", "Reading", "Totals", "TrainingStep"]


@dataclass(frozen=True)
class Reading:
    """The means over the samples so far: ``values`` by name, and how many steps had a finite loss from the first on."""

    values: dict[str, float] = field(default_factory=dict)
    good_steps: int = 0


class Totals:
    """The loss and the metrics' sums over the batches of an epoch, float64 in device memory.

    The loss is summed times its batch's samples, so its mean is exact over unequal batches. ``_good`` counts the steps
    after which the sum was finite; once a loss turns NaN the sum stays so, and the count names the step.
    """

    def __init__(self, metrics: Sequence[Metric], has_loss: bool = True) -> None:
        self.metrics = list(metrics)
        self.names = (["loss"] if has_loss else []) + [metric.name for metric in self.metrics]
        self.samples = 0
        self._loss: Tensor | None = None
        self._good: Tensor | None = None
        self._sums: list[Tensor] = []

    def reset(self) -> None:
        """Begin anew, in the same memory."""
        self.samples = 0
        for tensor in (self._loss, self._good, *self._sums):
            if tensor is not None:
                tensor.zero_()

    def add(self, prediction: Tensor, batch: Batch, loss: Tensor | None) -> None:
        """Add one batch; the first one makes the memory."""
        with no_grad():
            prediction = prediction.detach()
            parts = [
                metric.sums(prediction, batch.y, batch.weight if metric.weighted else None) for metric in self.metrics
            ]
            if loss is not None:
                self._add_loss(loss.detach().double() * float(batch.rows))
            if not self._sums:
                self._sums = [part.clone() for part in parts]
            else:
                for total, part in zip(self._sums, parts, strict=True):
                    total.add_(part)
        self.samples += batch.rows

    def _add_loss(self, loss: Tensor) -> None:
        if self._loss is None or self._good is None:
            self._loss, self._good = loss.clone(), finite(loss).double()
        else:
            self._loss.add_(loss)
            self._good.add_(finite(self._loss).double())

    def read(self) -> Reading:
        """The means so far, read from the device; empty before the first batch."""
        if not self.samples:
            return Reading()
        values: dict[str, float] = {}
        good = 0
        if self._loss is not None and self._good is not None:
            values["loss"] = self._loss.item() / self.samples
            good = int(self._good.item())
        for metric, total in zip(self.metrics, self._sums, strict=True):
            values[metric.name] = metric.result(total.numpy())
        return Reading(values, good)


@dataclass(frozen=True)
class TrainingStep:
    """Forward, loss, backward, clip, update: calling it with a batch changes the model's weights once."""

    model: Module
    objective: Objective
    optimizer: Optimizer
    totals: Totals
    clip_norm: float | None = None
    clip_value: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("clip_norm", self.clip_norm), ("clip_value", self.clip_value)):
            if value is not None and not 0.0 < value < math.inf:
                raise ValueError(f"{name} must be a number greater than 0, got {value!r}")

    def __call__(self, batch: Batch) -> None:
        self.optimizer.zero_grad()
        prediction = self.model(batch.x)
        loss = self.objective(prediction, batch)
        self.totals.add(prediction, batch, loss)
        loss.backward()
        if self.clip_value is not None:
            clip_grad_value_(self.model.parameters(), self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()


@dataclass(frozen=True)
class EvaluationStep:
    """Forward, loss and metrics of a batch, without a change to the model."""

    model: Module
    objective: Objective | None
    totals: Totals

    def __call__(self, batch: Batch) -> None:
        prediction = self.model(batch.x)
        loss = None if self.objective is None else self.objective(prediction, batch)
        self.totals.add(prediction, batch, loss)
