"""Axes of a batch as axes of one event."""

from __future__ import annotations

from collections.abc import Sequence

from nnkit.distributions.distribution import Distribution
from nnkit.errors import ShapeError
from nnkit.tensors.tensor import Tensor

__all__ = ["Independent"]


class Independent(Distribution):
    """``base_distribution`` whose last batch axes belong to the event, which has all their densities multiplied.

    As ``torch.distributions.Independent``. Raises ShapeError for more axes than the batch has.

    >>> import nnkit
    >>> from nnkit.distributions import Normal
    >>> Independent(Normal(nnkit.zeros(5, 2), 1.0), 1).log_prob(nnkit.zeros(5, 2)).shape
    (5,)
    """

    def __init__(
        self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:
        batch, count = base_distribution.batch_shape, reinterpreted_batch_ndims
        if not 0 <= count <= len(batch):
            raise ShapeError(f"reinterpreted_batch_ndims: expected 0 to {len(batch)} axes of the batch, got {count}")
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, count
        kept = len(batch) - count
        super().__init__(batch[:kept], (*batch[kept:], *base_distribution.event_shape), validate_args)
        self.has_rsample = base_distribution.has_rsample

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.summed(self.base_dist.log_prob(value))

    def entropy(self) -> Tensor:
        return self.summed(self.base_dist.entropy())

    def summed(self, x: Tensor) -> Tensor:
        """The sum over the axes that belong to the event."""
        axes = tuple(range(x.ndim - self.reinterpreted_batch_ndims, x.ndim))
        return x.sum(axes) if axes else x
