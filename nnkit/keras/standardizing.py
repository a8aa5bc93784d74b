"""``Normalization``: mean 0 and variance 1 by statistics that are given, or measured once on data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Unpack

import numpy as np

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.keras.layer import LayerOptions, SameShape, Shape
from nnkit.keras.normalization import Axes, axes_of, sizes_along
from nnkit.tensors.creation import tensor
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Normalization"]

#: Keras's ``backend.epsilon()``: the least standard deviation that is divided by.
EPSILON = 1e-7


class Normalization(SameShape):
    """``(inputs - mean) / sqrt(variance)``, with a mean and a variance for each place along ``axis``.

    Args:
        axis: the axes that have statistics of their own; None for one mean and variance of everything.
        mean, variance: numbers or arrays that broadcast over ``axis``; without them, :meth:`adapt` measures them.
        invert: whether to compute ``inputs * sqrt(variance) + mean``.
        options: ``name``, ``trainable``, ``input_shape``.

    >>> layer = Normalization()
    >>> layer.adapt([[0.0, 1.0], [2.0, 1.0]])
    >>> layer([[2.0, 1.0]]).tolist(), Normalization(mean=3.0, variance=4.0)([[5.0]]).tolist()
    ([[1.0, 0.0]], [[1.0]])
    """

    def __init__(
        self, axis: Axes | None = -1, mean: Any = None, variance: Any = None, invert: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        if (mean is None) != (variance is None):
            raise ValueError(f"Normalization: give mean and variance, or neither; got {mean!r} and {variance!r}")
        self.axis: Any = list(axis) if isinstance(axis, (tuple, list)) else axis
        self.input_mean: Any
        self.input_variance: Any
        self.input_mean, self.input_variance = (None if v is None else np.asarray(v).tolist() for v in (mean, variance))
        if np.shape(self.input_mean) != np.shape(self.input_variance):
            raise ShapeError(
                f"Normalization: mean and variance must have one shape; got {np.shape(self.input_mean)} and "
                f"{np.shape(self.input_variance)}"
            )
        self.invert = invert

    def _axes(self, ndim: int) -> tuple[int, ...]:
        return () if self.axis is None else axes_of(self, self.axis, ndim)

    def build(self, input_shape: Shape) -> None:
        if self.input_mean is None:
            sizes = () if self.axis is None else sizes_along(self, self.axis, input_shape)
            self.add_weight(sizes, "zeros", trainable=False, name="mean")
            self.add_weight(sizes, "ones", trainable=False, name="variance")
            self.add_weight((), "zeros", dtype="int32", trainable=False, name="count")  # Keras counts it as a weight.

    def adapt(self, data: Any) -> None:
        """Measure mean and variance on an array (samples, …), or on all batches of an iterable.

        Raises:
            ValueError: mean and variance were given, or there is nothing to measure.
        """
        if self.input_mean is not None:
            raise ValueError(f"Normalization layer {self.name!r} was given a mean and a variance: adapt has no use")
        batches = [np.asarray(batch, np.float64) for batch in _batches(data)]
        if not batches or any(batch.size == 0 for batch in batches):
            raise ValueError(f"Normalization layer {self.name!r}: adapt needs data; got an empty array or no batch")
        self.ensure_built((None, *batches[0].shape[1:]))
        over = tuple(k for k in range(batches[0].ndim) if k not in self._axes(batches[0].ndim))
        counts = [math.prod(batch.shape[k] for k in over) for batch in batches]
        mean = sum(b.mean(over) * (n / sum(counts)) for b, n in zip(batches, counts, strict=True))
        kept = np.expand_dims(mean, over)
        variance = sum(((b - kept) ** 2).mean(over) * (n / sum(counts)) for b, n in zip(batches, counts, strict=True))
        with no_grad():
            for name, value in (("mean", mean), ("variance", variance)):
                weight = getattr(self, name)
                if np.shape(value) != weight.shape:
                    raise ShapeError(
                        f"Normalization layer {self.name!r} was built for statistics of shape {weight.shape}; these "
                        f"data have {np.shape(value)}"
                    )
                weight.copy_(tensor(value, dtype=weight.dtype, device=weight.device))

    def call(self, inputs: Tensor) -> Tensor:
        if not inputs.is_floating_point():
            inputs = inputs.float()
        mean, variance = self._statistics(inputs)
        deviation = ops.clamp(ops.sqrt(variance), min=EPSILON)
        return inputs * deviation + mean if self.invert else (inputs - mean) / deviation

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance in a shape that broadcasts with x."""
        axes = self._axes(x.ndim)
        if self.input_mean is None:
            shape = [x.shape[k] if k in axes else 1 for k in range(x.ndim)]
            return self.mean.reshape(*shape), self.variance.reshape(*shape)
        shape = [1] * x.ndim
        given = np.shape(self.input_mean)
        for axis, size in zip(axes[len(axes) - len(given) :], given, strict=True):
            shape[axis] = size
        mean, variance = (
            tensor(value, dtype=x.dtype, device=x.device).reshape(*shape)
            for value in (self.input_mean, self.input_variance)
        )
        return mean, variance

    def get_config(self) -> dict[str, Any]:
        own = {"axis": self.axis, "mean": self.input_mean, "variance": self.input_variance, "invert": self.invert}
        return {**super().get_config(), **own}


def _batches(data: Any) -> Iterable[Any]:
    """An array as one batch; of an iterable of batches its items, or their first parts where they are pairs."""
    if hasattr(data, "to_numpy"):  # a frame, or a column of one
        data = data.to_numpy()
    if isinstance(data, (np.ndarray, Tensor)):
        return [data.detach().cpu().numpy() if isinstance(data, Tensor) else data]
    if isinstance(data, list) and data and not isinstance(data[0], (np.ndarray, Tensor, tuple)):
        return [data]
    parts = (batch[0] if isinstance(batch, (tuple, list)) else batch for batch in data)
    return [part.detach().cpu().numpy() if isinstance(part, Tensor) else part for part in parts]
