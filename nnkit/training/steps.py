"""One step of training and one step of evaluation, and the sums they leave in device memory.

Nothing here looks at a value on the host: a step reads its batch, changes weights and adds to the totals. Only
``Totals.read``, which the loop calls now and then, waits for the device.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnkit.creation import zeros
from nnkit.loading import Fit
from nnkit.nn.module import Module
from nnkit.observer import call
from nnkit.optim import Optimizer, clip_grad_norm_, clip_grad_value_
from nnkit.tape import no_grad
from nnkit.tensor import Tensor
from nnkit.training.batches import Batch
from nnkit.training.metrics import Metric
from nnkit.training.modes import evaluating
from nnkit.training.objective import BatchLoss, Objective
from nnkit.training.precision import FULL, Precision
from nnkit.training.weights import finite

#: Of the totals: the sum of losses, good steps, what the mean is over beyond the samples, penalties times samples.
LOSS_PARTS = 4

__all__ = ["EvaluationStep", "Reading", "Totals", "TrainingStep"]


@dataclass(frozen=True)
class Reading:
    """The means over the samples so far: ``values`` by name, and how many steps had a finite loss from the first on."""

    values: dict[str, float] = field(default_factory=dict)
    good_steps: int = 0


class Totals:
    """The loss and the metrics' sums over the batches of an epoch, float64 in device memory.

    The losses of all samples are summed, and divided once by what their mean is over; so the loss does not depend on
    how the samples are cut into batches. ``good`` counts the steps after which the sum was finite; once a loss turns
    NaN the sum stays so, and the count names the step. ``add`` only works on the device; the loop counts the samples
    beside it, by ``count``.
    """

    def __init__(self, metrics: Sequence[Metric], objective: Objective | None) -> None:
        self.metrics = list(metrics)
        self.names = (["loss"] if objective is not None else []) + [metric.name for metric in self.metrics]
        self.samples = 0
        self._summed = objective is not None and objective.summed
        self._memory: Tensor | None = None
        self._parts: list[Tensor] = []  # of the memory: as many as LOSS_PARTS, then each metric's sums

    def prepare(self, model: Module, batch: Batch) -> None:
        """Make the memory before the first step; how much each metric needs is seen from one sample."""
        if self._memory is not None:
            return
        sizes: list[tuple[int, ...]] = []
        if self.metrics:
            with evaluating(model):
                prediction = model(batch.x[:1])
                sizes = [metric.sums(prediction, batch.y[:1]).shape for metric in self.metrics]
        self._lay_out([()] * LOSS_PARTS + sizes, batch.x.device)

    def _lay_out(self, sizes: Sequence[tuple[int, ...]], device: Any) -> None:
        counts = [math.prod(size) for size in sizes]
        self._memory = zeros(sum(counts), dtype="float64", device=device)
        ends = itertools.accumulate(counts)
        slices = [self._memory[end - count : end] for end, count in zip(ends, counts, strict=True)]
        self._parts = [part.reshape(size) for part, size in zip(slices, sizes, strict=True)]

    def reset(self) -> None:
        """Begin anew, in the same memory."""
        self.samples = 0
        if self._memory is not None:
            self._memory.backend.fill(0.0, self._memory.array)

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        return {"samples": self.samples, "parts": [part.clone() for part in self._parts]}

    def load_state_dict(self, state: Mapping[str, Any], device: Any) -> None:
        """Go on, on ``device``, from what ``state_dict`` gave; raises ModelFileError where the metrics are others."""
        fit = Fit("the metrics")
        fit.names(("samples", "parts"), fit.mapping("the sums", state))
        fit.settle()
        samples, parts = fit.count("'samples'", state["samples"]), fit.row("'parts'", state["parts"])
        if len(parts) not in (0, LOSS_PARTS + len(self.metrics)) or not all(isinstance(part, Tensor) for part in parts):
            fit.refuse(f"'parts' must be the sums of the loss and {len(self.metrics)} metrics, got {len(parts)} values")
        elif parts and self._parts:
            fit.like("'parts'", tuple(self._parts), parts)
        fit.settle()
        self.samples = samples
        if parts and self._memory is None:
            self._lay_out([part.shape for part in parts], device)
        with no_grad():
            for own, part in zip(self._parts, parts, strict=False):
                own.copy_(part.to(device=own.device))

    def count(self, samples: int) -> None:
        """The last step had so many samples."""
        self.samples += samples

    def add(self, prediction: Tensor, batch: Batch, loss: BatchLoss | None) -> None:
        """Add the loss and the metrics of one batch."""
        total, good, excess, penalty, *sums = self._parts
        with no_grad():
            if loss is not None:
                if loss.total is None:
                    total.add_(loss.value.detach().double() * float(batch.rows))
                else:
                    total.add_(loss.total.detach().double())
                if loss.excess is not None:
                    excess.add_(loss.excess.detach().double())
                if loss.penalty is not None:
                    penalty.add_(loss.penalty.detach().double() * float(batch.rows))
                good.add_(finite(total).double())
            for metric, metric_sums in zip(self.metrics, sums, strict=True):
                weight = batch.weight if metric.weighted else None
                metric_sums.add_(call(metric.sums, prediction.detach(), batch.y, weight))

    def read(self) -> Reading:
        """The means so far, read from the device; empty before the first batch."""
        if self._memory is None or not self.samples:
            return Reading()
        numbers = self._memory.backend.download(self._memory.array)
        values = {"loss": self._loss(*map(float, numbers[:LOSS_PARTS]))} if "loss" in self.names else {}
        first = LOSS_PARTS
        for metric, part in zip(self.metrics, self._parts[LOSS_PARTS:], strict=True):
            values[metric.name] = metric.result(numbers[first : first + part.numel()].reshape(part.shape))
            first += part.numel()
        return Reading(values, int(numbers[1]))

    def _loss(self, total: float, good: float, excess: float, penalty: float) -> float:
        """The loss over all samples; NaN where every label was ignored."""
        divisor = 1.0 if self._summed else self.samples + excess
        return total / divisor + penalty / self.samples if divisor else math.nan


@dataclass(frozen=True)
class TrainingStep:
    """Forward, loss, backward, clip, update: calling it with a batch changes the model's weights once.

    All of it is device work on the batch's memory, so that it can be recorded and replayed.
    """

    model: Module
    objective: Objective
    optimizer: Optimizer
    totals: Totals
    clip_norm: float | None = None
    clip_value: float | None = None
    precision: Precision = FULL

    def __post_init__(self) -> None:
        for name, value in (("clip_norm", self.clip_norm), ("clip_value", self.clip_value)):
            if value is not None and not 0.0 < value < math.inf:
                raise ValueError(f"{name} must be a number greater than 0, got {value!r}")

    def __call__(self, batch: Batch) -> None:
        self.optimizer.zero_grad()
        with self.precision.products():
            prediction = self.model(batch.x)
            loss = self.objective(prediction, batch)
        self.totals.add(prediction, batch, loss)
        self.precision.backward(loss.value, self.optimizer)
        if self.clip_value is not None:
            clip_grad_value_(self.model.parameters(), self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.precision.step(self.optimizer)


@dataclass(frozen=True)
class EvaluationStep:
    """Forward, loss and metrics of a batch, without a change to the model."""

    model: Module
    objective: Objective | None
    totals: Totals
    precision: Precision = FULL

    def __call__(self, batch: Batch) -> None:
        with self.precision.products():
            prediction = self.model(batch.x)
            loss = None if self.objective is None else self.objective(prediction, batch)
        self.totals.add(prediction, batch, loss)
