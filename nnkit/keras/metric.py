"""The base of Keras's metrics: one of the core that can also be fed batches by hand."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from nnkit import get_default_dtype
from nnkit.creation import as_tensor
from nnkit.errors import ShapeError
from nnkit.keras.masks import by_step
from nnkit.keras.shapes import matched
from nnkit.tensor import Tensor
from nnkit.training import metrics as core

__all__ = ["Metric"]


class Metric(core.Metric):
    """The base class: a metric of the core that can also be fed batches by hand.

    >>> from nnkit.keras.metrics import BinaryAccuracy
    >>> metric = BinaryAccuracy()
    >>> metric.update_state([1, 1, 0, 0], [[0.98], [1.0], [0.0], [0.6]])
    >>> metric.result()
    0.75
    """

    #: The arguments of the constructor besides the name, which are attributes, too.
    config_names: ClassVar[tuple[str, ...]] = ()
    _total: np.ndarray | None = None

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; ``sample_weight`` is one number for all, or has one per sample, else it raises ShapeError."""
        prediction = y_pred if isinstance(y_pred, Tensor) else as_tensor(y_pred, dtype=get_default_dtype())
        target = self.paired(as_tensor(y_true, device=prediction.device), tuple(prediction.shape))
        weight = None if sample_weight is None else self._per_sample(sample_weight, prediction)
        added = self.sums(prediction.detach(), target, weight).numpy()
        self._total = added.copy() if self._total is None else self._total + added

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Any:
        """What a batch adds; each step of a masked prediction counts as a sample, where the mask holds."""
        return super().sums(*by_step(prediction, target, weight))

    def _per_sample(self, sample_weight: Any, prediction: Tensor) -> Tensor:
        """Weights (B,), from one number, (B,) or (B, 1)."""
        weight, rows = as_tensor(sample_weight, dtype=prediction.dtype, device=prediction.device), prediction.shape[0]
        if weight.shape not in ((), (rows,), (rows, 1)):
            raise ShapeError(
                f"metric {self.name!r}: sample_weight has shape {tuple(weight.shape)}; expected one number, "
                f"or one for each of {rows} samples"
            )
        return weight.reshape(-1) if weight.ndim else weight.expand(rows)

    def reset_state(self) -> None:
        """Forget the batches."""
        self._total = None

    def result(self, sums: np.ndarray | None = None) -> float:
        """The metric over all batches so far; 0 before the first."""
        total = self._total if sums is None else sums
        return 0.0 if total is None else super().result(total)

    def paired(self, target: Tensor, output_shape: tuple[int, ...]) -> Tensor:
        """The target in the shape that goes with an output."""
        return matched(target, output_shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this metric."""
        return {"name": self.name, **{option: getattr(self, option) for option in self.config_names}}

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()
