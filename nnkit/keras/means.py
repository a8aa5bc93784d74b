"""Means and sums over samples: of values, and of functions of targets and predictions. Source: ``keras.metrics``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.keras.masks import by_step, mask_of, with_mask
from nnkit.keras.metric import Metric
from nnkit.keras.shapes import of_one_rank
from nnkit.recording.observer import call
from nnkit.tensors.creation import as_tensor, full
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Mean", "MeanMetricWrapper", "Sum", "by_samples", "share"]

Reduce = Callable[..., Tensor]


def by_samples(name: str, values: Tensor, weight: Tensor | None, reduce: Reduce) -> tuple[Tensor, Tensor | None]:
    """Values and weights, each reduced to one for each sample; raises ShapeError for weights that do not fit."""
    values = values.double()
    if weight is not None:
        weight = weight.double()
        if weight.ndim:
            values, weight = of_one_rank(values, weight)
        if values.ndim > weight.ndim and weight.ndim:
            values = reduce(values, dim=tuple(range(weight.ndim, values.ndim)))
        rank = weight.ndim
        try:
            weight = ops.broadcast_to(weight, values.shape)
        except ValueError as error:
            raise ShapeError(
                f"metric {name!r}: sample_weight has shape {tuple(weight.shape)}; expected one number, or one for "
                f"each of the values {tuple(values.shape)}"
            ) from error
        values = values * weight
        if rank > 1 or (rank == 0 and weight.ndim > 1):
            weight = reduce(weight, dim=tuple(range(1, weight.ndim)))
    if values.ndim > 1:
        values = reduce(values, dim=tuple(range(1, values.ndim)))
    return values, weight


def share(sums: Tensor) -> Tensor:
    """``sums[0] / sums[1]``, 0 where that is 0."""
    part, whole = sums[0], sums[1]
    none = ops.eq(whole, 0.0)
    return ops.where(none, 0.0, part / ops.where(none, 1.0, whole))


def _weight_sum(values: Tensor, weight: Tensor | None) -> Tensor:
    """The sum of the weights: of as many ones where there are none."""
    if weight is None:
        return full((), float(max(values.numel(), 1)), dtype="float64", device=values.device)
    return weight.sum()


class _Values(Metric):
    """A metric of values that it is given."""

    reduce: Reduce

    def update_state(self, values: Any, sample_weight: Any = None) -> Any:  # type: ignore[override]
        """Add values of any shape, weighted by sample or element by element."""
        with no_grad():
            given = as_tensor(values.detach() if isinstance(values, Tensor) else values)
            weight = None if sample_weight is None else as_tensor(sample_weight, dtype="float64", device=given.device)
            self._add(self._of(*by_samples(self.name, given, weight, type(self).reduce)))

    def _of(self, values: Tensor, weight: Tensor | None) -> Tensor:
        raise NotImplementedError


class Mean(_Values):
    """The weighted mean of the values so far.

    >>> metric = Mean(); metric.update_state([1, 3, 5, 7]); float(metric.result())
    4.0
    >>> float(Mean()([1, 3, 5, 7], sample_weight=[1, 1, 0, 0]))
    2.0
    """

    reduce = staticmethod(ops.mean)

    def __init__(self, name: str = "mean", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def _of(self, values: Tensor, weight: Tensor | None) -> Tensor:
        return ops.stack([values.sum(), _weight_sum(values, weight)])

    def value(self, sums: Tensor) -> Tensor:
        return share(sums)


class Sum(_Values):
    """The weighted sum of the values so far.

    >>> float(Sum()([1, 3, 5, 7], sample_weight=[1, 1, 0, 0]))
    4.0
    """

    reduce = staticmethod(ops.sum)

    def __init__(self, name: str = "sum", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def _of(self, values: Tensor, weight: Tensor | None) -> Tensor:
        return values.sum().reshape(1)

    def value(self, sums: Tensor) -> Tensor:
        return sums[0]


class MeanMetricWrapper(Metric):
    """The mean over samples of a function ``fn(y_true, y_pred)``; over batches where it returns one number for each.

    Args:
        fn: the function, of Tensors.
        name: by default the function's name.
        dtype: accepted.
        options: further arguments of the function.

    >>> metric = MeanMetricWrapper(lambda y_true, y_pred: abs(y_true - y_pred))
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.25, 0.75, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    0.375
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **options: Any) -> None:
        super().__init__(name or getattr(fn, "__name__", type(fn).__name__), dtype)
        self.function = self._fn = fn
        self.options = options

    def values(self, y_true: Tensor, y_pred: Tensor) -> Any:
        """The values of samples, or of their positions."""
        return call(self.function, y_true, y_pred, **self.options)

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        values = self.values(target, prediction)
        if not isinstance(values, Tensor):
            values = as_tensor(values, device=prediction.device)
        rows, mask = prediction.shape[0] if prediction.ndim else 1, mask_of(prediction)
        if mask is not None and values.shape[: mask.ndim] == mask.shape:
            values, _, weight = by_step(with_mask(values, mask), values, weight)
            rows = mask.numel()
        if values.ndim and values.shape[0] != rows:
            raise ShapeError(
                f"metric {self.name!r} must return one number, or one per sample; got shape "
                f"{tuple(values.shape)} for {rows} samples"
            )
        values, weight = by_samples(self.name, values, weight, ops.mean)
        return ops.stack([values.sum(), _weight_sum(values, weight)])

    def value(self, sums: Tensor) -> Tensor:
        return share(sums)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **({} if self.config_names else {"fn": self.function, **self.options})}
