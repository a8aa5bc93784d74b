"""A model with several outputs: a loss for each of them, whose weighted sum is made small, and metrics of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.recording.observer import call
from nnkit.tensors.tensor import Tensor
from nnkit.training.kept import RowMetric
from nnkit.training.metric import Metric

__all__ = ["LossOfOutputs", "of_output"]


class LossOfOutputs:
    """The sum of ``weights[i]`` times the loss ``parts[i]`` of output i; an output without a loss has None.

    ``names`` are what the parts are called in the results, beside their sum, "loss"; None for those that are not told.
    ``order``: in which order they are computed and told; that of the outputs by default.
    """

    reduction = "mean"

    def __init__(
        self, parts: Sequence[Callable[..., Any] | None], weights: Sequence[float], names: Sequence[str | None],
        order: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        self.parts = list(parts)
        self.weights = [float(weight) for weight in weights]
        self.names = list(names)
        self.order = [
            place for place in (range(len(self.parts)) if order is None else order) if self.parts[place] is not None
        ]
        self.__name__ = "loss of several outputs"

    @property
    def told(self) -> list[str]:
        """What the parts that are told are called, in order."""
        return [name for place in self.order if (name := self.names[place])]

    def __call__(self, prediction: Any, target: Any) -> Any:
        raise TypeError("a loss of several outputs is computed by the Objective")


class _OfOutput(Metric):
    """A metric of output ``place`` alone."""

    def __init__(self, metric: Metric, place: int, name: str) -> None:
        super().__init__(name, metric.weighted)
        self.metric, self.place = metric, place

    def sums(self, prediction: Any, target: Any, weight: Any = None) -> Tensor:
        found: Tensor = call(self.metric.sums, *self._own(prediction, target, weight))
        return found

    def _own(self, prediction: Any, target: Any, weight: Any) -> tuple[Any, Any, Any]:
        place = self.place
        return prediction.parts[place], target.parts[place], None if weight is None else weight.parts[place]

    def result(self, sums: np.ndarray) -> float:
        return self.metric.result(sums)


class _RowsOfOutput(_OfOutput, RowMetric):
    """A metric of all samples of output ``place``."""

    def rows(self, prediction: Any, target: Any, weight: Any = None) -> Tensor:
        found: Tensor = call(self.metric.rows, *self._own(prediction, target, weight))  # type: ignore[attr-defined]
        return found


def of_output(metric: Metric, place: int, name: str) -> Metric:
    """``metric`` of the output at ``place``, called ``name``."""
    return (_RowsOfOutput if isinstance(metric, RowMetric) else _OfOutput)(metric, place, name)
