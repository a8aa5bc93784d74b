"""One step of training and one step of evaluation, and the sums they leave in device memory.

Nothing here looks at a value on the host: a step reads its batch, changes weights and adds to the totals. Only
``Totals.read``, which the loop calls now and then, waits for the device.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.backends.base import Array
from nnkit.nn.module import Module
from nnkit.ops.in_place import add_loss
from nnkit.optim import Optimizer, clip_grad_norm_, clip_grad_value_
from nnkit.parallel import MPI
from nnkit.recording.observer import call
from nnkit.tensors.creation import tensor, zeros
from nnkit.tensors.loading import Fit
from nnkit.tensors.shares import divided
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor
from nnkit.training.batches import Batch
from nnkit.training.divided import part_of_loss
from nnkit.training.kept import KeptRows, RowMetric
from nnkit.training.metric import Metric
from nnkit.training.modes import evaluating
from nnkit.training.objective import BatchLoss, Objective
from nnkit.training.precision import FULL, Precision

#: Of the totals: the sum of losses, good steps, what the mean is over beyond the samples, penalties times samples.
LOSS_PARTS = 4
#: Which of them is the number of good steps.
GOOD = 1

__all__ = ["EvaluationStep", "Reading", "Totals", "TrainingStep"]


@dataclass(frozen=True)
class Reading:
    """The means over the samples so far: ``values`` by name, and how many steps had a finite loss from the first on."""

    values: dict[str, float] = field(default_factory=dict)
    good_steps: int = 0
    rank: int | None = None  # the process in which these are fewest; None where they are as many in all


class Totals:
    """The loss and the metrics' sums over the batches of an epoch, float64 in device memory.

    The losses of all samples are summed, and divided once by what their mean is over; so the loss does not depend on
    how the samples are cut into batches. ``good`` counts the steps after which the sum was finite; once a loss turns
    NaN the sum stays so, and the count names the step. ``add`` only works on the device; the loop counts the samples
    beside it, by ``count``.
    """

    #: The processes that have parts of each batch: each adds up its own rows, and ``read``, by all, the sums of all.
    ranks: MPI | None = None

    def __init__(self, metrics: Sequence[Metric], objective: Objective | None) -> None:
        self.metrics = list(metrics)
        self._part_names = [] if objective is None else objective.part_names
        own = [metric.name for metric in self.metrics]
        self.names = (["loss"] if objective is not None else []) + self._part_names + own
        self.samples = 0
        self._summed = objective is not None and objective.summed
        self._memory: Tensor | None = None
        self._summing = [metric for metric in self.metrics if not isinstance(metric, RowMetric)]
        self._keeping = [metric for metric in self.metrics if isinstance(metric, RowMetric)]
        # Of the memory: as many as LOSS_PARTS, then each metric's sums, then those of several outputs' losses.
        self._parts: list[Tensor] = []
        self._kept: list[KeptRows] = []  # for each of those that keep rows

    def prepare(self, model: Module, batch: Batch, samples: int) -> None:
        """Make the memory before the next steps, for ``samples`` in the epoch; one sample shows what a metric needs."""
        if self._memory is None:
            sizes: list[tuple[int, ...]] = []
            widths: list[int] = []
            if self.metrics:
                with evaluating(model):
                    output, target = model(batch.x[:1]), batch.y[:1]
                    sizes = [metric.sums(output, target).shape for metric in self._summing]
                    widths = [metric.rows(output, target).shape[1] for metric in self._keeping]
            sizes += [(len(self._part_names),)] if self._part_names else []
            self._lay_out([()] * LOSS_PARTS + sizes, widths, batch.x.device)
        for kept in self._kept:
            kept.make_room(samples)

    def _lay_out(self, sizes: Sequence[tuple[int, ...]], widths: Sequence[int], device: Any) -> None:
        counts = [math.prod(size) for size in sizes]
        self._memory = zeros(sum(counts), dtype="float64", device=device)
        ends = itertools.accumulate(counts)
        slices = [self._memory[end - count : end] for end, count in zip(ends, counts, strict=True)]
        self._parts = [part.reshape(size) for part, size in zip(slices, sizes, strict=True)]
        keeping = zip(self._keeping, widths, strict=True)
        self._kept = [KeptRows(metric.name, width, 1, device) for metric, width in keeping]

    def like(self, device: Any) -> Totals:
        """Others of the same metrics, with memory of their own that is laid out as this one."""
        made = copy.copy(self)
        made.samples = 0
        made._lay_out([part.shape for part in self._parts], [kept.width for kept in self._kept], device)
        for own, kept in zip(made._kept, self._kept, strict=True):
            own.make_room(kept.capacity)
        return made

    def memory(self) -> list[Array]:
        """Every array that a step writes."""
        assert self._memory is not None
        return [self._memory.array, *(array for kept in self._kept for array in kept.memory())]

    def reset(self) -> None:
        """Begin anew, in the same memory."""
        self.samples = 0
        if self._memory is not None:
            self._memory.backend.fill(0.0, self._memory.array)
        for kept in self._kept:
            kept.reset()

    def state_dict(self) -> dict[str, Any]:
        """The sums so far, of all processes, each of which calls this."""
        parts, rows = self._parts, [kept.first(self._taken(kept)) for kept in self._kept]
        if self.ranks is not None:
            given = self.ranks.gather(([part.numpy() for part in parts], [kept.numpy() for kept in rows]))
            sums = [sum(each[1:], each[0]) for each in zip(*(numbers for numbers, _ in given), strict=True)]
            sums[GOOD : GOOD + 1] = [part.numpy() for part in parts[GOOD : GOOD + 1]]  # steps, which all have made
            parts = [tensor(numbers, dtype="float64") for numbers in sums]
            rows = [tensor(np.concatenate(each)) for each in zip(*(kept for _, kept in given), strict=True)]
        state: dict[str, Any] = {"samples": self.samples, "parts": [part.clone() for part in parts]}
        return {**state, "rows": rows} if self._keeping else state

    def _taken(self, kept: KeptRows) -> int:
        """How many rows this process has kept."""
        return self.samples if self.ranks is None else kept.taken()

    def load_state_dict(self, state: Mapping[str, Any], device: Any) -> None:
        """Go on, on ``device``, from what ``state_dict`` gave; raises ModelFileError where the metrics are others."""
        fit = Fit("the metrics")
        fit.names(("samples", "parts", *(["rows"] if self._keeping else [])), fit.mapping("the sums", state))
        fit.settle()
        samples, parts = fit.count("'samples'", state["samples"]), fit.row("'parts'", state["parts"])
        metrics = len(self._summing) + bool(self._part_names)
        if len(parts) not in (0, LOSS_PARTS + metrics) or not all(isinstance(part, Tensor) for part in parts):
            fit.refuse(f"'parts' must be the sums of the loss and {metrics} metrics, got {len(parts)} values")
        elif parts and self._parts:
            fit.like("'parts'", tuple(self._parts), parts)
        rows = self._checked_rows(fit, state["rows"], samples, bool(parts)) if self._keeping else []
        fit.settle()
        self.samples = samples
        if parts and self._memory is None:
            self._lay_out([part.shape for part in parts], [part.shape[1] for part in rows], device)
        first = self.ranks is None or self.ranks.rank == 0  # which has what all had; the others begin with nothing
        with no_grad():
            for number, (own, part) in enumerate(zip(self._parts, parts, strict=False)):
                own.copy_(part.to(device=own.device) * float(first or number == GOOD))
            for kept, part in zip(self._kept, rows, strict=False):
                kept.put(part if first else part[:0])

    def _checked_rows(self, fit: Fit, rows: Any, samples: int, begun: bool) -> Sequence[Any]:
        """The rows (samples, k) of each metric that keeps them; none before the first step."""
        rows = fit.row("'rows'", rows)
        widths: list[int | None] = [kept.width for kept in self._kept] or [None] * len(self._keeping)
        good = len(rows) == (len(self._keeping) if begun else 0) and all(
            isinstance(part, Tensor) and part.ndim == 2 and part.dtype == "float64" and len(part) == samples
            and width in (None, part.shape[1])
            for part, width in zip(rows, widths, strict=False)
        )  # fmt: skip
        if not good:
            fit.refuse(f"'rows' must be what {len(self._keeping)} metrics keep of {samples} samples")
        return rows

    def count(self, samples: int) -> None:
        """The last step had so many samples."""
        self.samples += samples

    def add(self, prediction: Any, batch: Batch, loss: BatchLoss | None) -> None:
        """Add the loss and the metrics of one batch."""
        total, good, excess, penalty, *sums = self._parts
        with no_grad():
            if batch.share is not None and not batch.share.rows:
                if loss is not None:
                    add_loss(total, good, loss.value.detach(), 0.0)
                return
            if loss is not None:
                if loss.total is None:
                    add_loss(total, good, loss.value.detach(), float(batch.rows))
                else:
                    add_loss(total, good, loss.total.detach(), 1.0)
                if loss.excess is not None:
                    excess.add_(loss.excess.detach().double())
                if loss.penalty is not None:
                    penalty.add_(loss.penalty.detach().double() * float(batch.rows))
                if loss.parts:
                    sums.pop().add_(ops.stack(loss.parts).detach().double() * float(batch.rows))
            for metric, metric_sums in zip(self._summing, sums, strict=True):
                weight = batch.weight if metric.weighted else None
                metric_sums.add_(call(metric.sums, prediction.detach(), batch.y, weight))
            for keeping, kept in zip(self._keeping, self._kept, strict=True):
                weight = batch.weight if keeping.weighted else None
                kept.add(call(keeping.rows, prediction.detach(), batch.y, weight))

    def read(self, whole: bool = False) -> Reading:
        """The means so far, read from the device; empty before the first batch.

        Metrics that keep rows are computed only where the epoch is over (``whole``).
        """
        if self._memory is None or not self.samples:
            return Reading()
        each = self._of_all(self._memory.backend.download(self._memory.array))
        numbers = sum(each[1:], each[0])
        values = {"loss": self._loss(*map(float, numbers[:LOSS_PARTS]))} if "loss" in self.names else {}
        first = LOSS_PARTS
        for metric, part in zip(self._summing, self._parts[LOSS_PARTS:], strict=False):
            values[metric.name] = metric.result(numbers[first : first + part.numel()].reshape(part.shape))
            first += part.numel()
        values |= zip(self._part_names, (numbers[first:] / self.samples).tolist(), strict=True)
        if whole:
            for keeping, kept in zip(self._keeping, self._kept, strict=True):
                own = kept.first(self._taken(kept)).numpy()
                values[keeping.name] = keeping.result(np.concatenate(self._of_all(own)))
        good = [int(part[1]) for part in each]
        shown = {name: values[name] for name in self.names if name in values}
        return Reading(shown, min(good), good.index(min(good)) if min(good) < max(good) else None)

    def _of_all(self, numbers: np.ndarray) -> list[np.ndarray]:
        """This process's numbers, beside those of the others where there are any."""
        return [numbers] if self.ranks is None else self.ranks.gather(numbers)

    def _loss(self, total: float, good: float, excess: float, penalty: float) -> float:
        """The loss over all samples; NaN where every label was ignored."""
        divisor = 1.0 if self._summed else self.samples + excess
        return total / divisor + penalty / self.samples if divisor else math.nan


@dataclass(frozen=True)
class TrainingStep:
    """Forward, loss, backward, clip, update, constraints: calling it with a batch changes the model's weights once.

    All of it is device work on the batch's memory, so that it can be recorded and replayed.
    """

    model: Module
    objective: Objective
    optimizer: Optimizer
    totals: Totals
    clip_norm: float | None = None
    clip_value: float | None = None
    precision: Precision = FULL
    ranks: MPI | None = None

    def __post_init__(self) -> None:
        for name, value in (("clip_norm", self.clip_norm), ("clip_value", self.clip_value)):
            if value is not None and not 0.0 < value < math.inf:
                raise ValueError(f"{name} must be a number greater than 0, got {value!r}")

    def __call__(self, batch: Batch) -> None:
        self.gradients(batch, self.totals)
        if self.ranks is not None:
            self.ranks.exchange(self.optimizer)
        if self.clip_value is not None:
            clip_grad_value_(self.model.parameters(), self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        with contextlib.nullcontext() if self.ranks is None else self.ranks.divided(self.optimizer):
            self.precision.step(self.optimizer)
        self.model.constrain()

    def gradients(self, batch: Batch, totals: Totals | None = None) -> None:
        """Leave the gradients by these rows in their places, and add the loss and the metrics to ``totals``."""
        self.optimizer.zero_grad()
        with self.precision.products(), divided(batch.share):
            prediction = self.model(batch.x)
            loss = self.objective(prediction, batch)
        if totals is not None:
            totals.add(prediction, batch, loss)
        value = loss.value if self.ranks is None else part_of_loss(loss, batch, self.objective, self.ranks)
        self.precision.backward(value, self.optimizer)


@dataclass(frozen=True)
class EvaluationStep:
    """Forward, loss and metrics of a batch, without a change to the model."""

    model: Module
    objective: Objective | None
    totals: Totals
    precision: Precision = FULL

    def __call__(self, batch: Batch) -> None:
        with self.precision.products(), divided(batch.share):
            prediction = self.model(batch.x)
            loss = None if self.objective is None else self.objective(prediction, batch)
        self.totals.add(prediction, batch, loss)
