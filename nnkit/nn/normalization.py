"""Normalizations as modules: PyTorch's names, arguments and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from nnkit.errors import ShapeError
from nnkit.nn import functional, init
from nnkit.nn.module import Module
from nnkit.nn.sizes import positive
from nnkit.tensors.creation import empty, ones, zeros
from nnkit.tensors.dtypes import int64
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Parameter, Tensor

# fmt: off
__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d",
    "LayerNorm", "LocalResponseNorm", "RMSNorm", "SyncBatchNorm",
]
# fmt: on


class _Scaled(Module):
    """A normalization that may multiply by ``weight`` and add ``bias``, which start at 1 and 0."""

    weight: Parameter | None
    bias: Parameter | None

    def _make(self, shape: tuple[int, ...], weight: bool, bias: bool, device: Any, dtype: Any) -> None:
        for name, wanted in (("weight", weight), ("bias", bias)):
            made = Parameter(empty(shape, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, made)

    def reset_parameters(self) -> None:
        """Begin anew with a weight of 1 and a bias of 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _Channels(_Scaled):
    """Statistics of channels, and what is kept of them from batch to batch."""

    #: How many axes an input may have.
    ranks: ClassVar[tuple[int, ...]]
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool,
        device: Any, dtype: Any, bias: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features = positive("num_features", num_features)
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self._make((self.num_features,), affine, affine and bias, device, dtype)
        shape = (self.num_features,)
        kept = track_running_stats
        self.register_buffer("running_mean", zeros(*shape, device=device, dtype=dtype) if kept else None)
        self.register_buffer("running_var", ones(*shape, device=device, dtype=dtype) if kept else None)
        self.register_buffer("num_batches_tracked", zeros((), device=device, dtype=int64) if kept else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the batches seen: a mean of 0 and a variance of 1."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1.0)
            self.num_batches_tracked.zero_()

    def _check(self, x: Tensor) -> None:
        if x.ndim not in self.ranks or x.shape[1] != self.num_features:
            raise ShapeError(
                f"{self!r} expects an input of {' or '.join(map(str, self.ranks))} axes with {self.num_features} "
                f"channels in the second, got shape {x.shape}"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Channels):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: Any = None,
        *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        training = self.training or self.running_mean is None
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            with no_grad():
                self.num_batches_tracked.add_(1)
        if momentum is None and training and self.num_batches_tracked is not None:
            return self._averaged(x)
        kept = (self.running_mean, self.running_var)
        return functional.batch_norm(x, *kept, self.weight, self.bias, training, momentum or 0.0, self.eps)

    def _averaged(self, x: Tensor) -> Tensor:
        """With ``momentum`` None the running statistics are the plain means over all batches."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        share = 1.0 / self.num_batches_tracked.to(self.running_mean.dtype)
        mean, var = (zeros(self.num_features, device=x.device, dtype=self.running_mean.dtype) for _ in range(2))
        out = functional.batch_norm(x, mean, var, self.weight, self.bias, True, 1.0, self.eps)
        with no_grad():
            for running, batch in zip((self.running_mean, self.running_var), (mean, var), strict=True):
                running.add_((batch - running) * share)
        return out


class BatchNorm1d(_BatchNorm):
    """Mean 0 and variance 1 for each channel over a batch (B, C) or (B, C, L); see ``BatchNorm2d``.

    >>> import nnkit
    >>> BatchNorm1d(1)(nnkit.tensor([[1.0], [3.0]])).round(decimals=3).tolist()
    [[-1.0], [1.0]]
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Mean 0 and variance 1 for each channel over a batch (B, C, H, W), then ``weight`` and ``bias``, as PyTorch's.

    In training the statistics are the batch's, and ``momentum`` of them goes into ``running_mean`` and ``running_var``
    (of a sample, n - 1), which are used in evaluation; ``momentum`` None keeps plain means over all batches. Without
    ``track_running_stats`` the batch's are used in evaluation too. Raises ShapeError for a training batch of one value
    a channel. Ioffe and Szegedy, Batch Normalization, 2015.

    >>> import nnkit
    >>> layer = BatchNorm2d(3)
    >>> layer(nnkit.ones(2, 3, 4, 4)).shape, layer.running_mean.tolist()
    ((2, 3, 4, 4), [0.10000000149011612, 0.10000000149011612, 0.10000000149011612])
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Mean 0 and variance 1 for each channel over a batch of volumes; see ``BatchNorm2d``.

    >>> import nnkit
    >>> BatchNorm3d(3)(nnkit.rand(2, 3, 4, 4, 4)).shape
    (2, 3, 4, 4, 4)
    """

    ranks = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalization of inputs (B, C, ...) over all processes, of which there is one here: see ``BatchNorm2d``.

    >>> import nnkit
    >>> SyncBatchNorm(3)(nnkit.ones(2, 3, 4)).shape
    (2, 3, 4)
    """

    ranks = (2, 3, 4, 5)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, process_group: Any = None, device: Any = None, dtype: Any = None,
        *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module as it is: over one process its batch normalizations give the same."""
        return module


class _InstanceNorm(_Channels):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Any = None, dtype: Any = None,
        *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == self.ranks[0] - 1:
            return self.forward(x.unsqueeze(0)).squeeze(0)
        self._check(x)
        own = self.training or self.running_mean is None
        kept = (self.running_mean, self.running_var)
        return functional.instance_norm(x, *kept, self.weight, self.bias, own, self.momentum or 0.0, self.eps)


class InstanceNorm1d(_InstanceNorm):
    """Mean 0 and variance 1 for each channel of each sample: (B, C, L); see ``InstanceNorm2d``.

    >>> import nnkit
    >>> InstanceNorm1d(1)(nnkit.tensor([[[1.0, 3.0]]])).round(decimals=3).tolist()
    [[[-1.0, 1.0]]]
    """

    ranks = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Mean 0 and variance 1 for each channel of each sample: (B, C, H, W), as PyTorch's; Ulyanov et al., 2016.

    >>> import nnkit
    >>> InstanceNorm2d(3, affine=True)(nnkit.zeros(2, 3, 4, 4)).shape
    (2, 3, 4, 4)
    """

    ranks = (4,)


class InstanceNorm3d(_InstanceNorm):
    """Mean 0 and variance 1 for each channel of each sample of volumes.

    >>> import nnkit
    >>> InstanceNorm3d(3)(nnkit.rand(2, 3, 4, 4, 4)).shape
    (2, 3, 4, 4, 4)
    """

    ranks = (5,)


class LayerNorm(_Scaled):
    """Mean 0 and variance 1 over the last axes, then ``weight`` and ``bias``: Ba et al., Layer Normalization, 2016.

    >>> import nnkit
    >>> LayerNorm(2)(nnkit.tensor([[1.0, 3.0]])).round(decimals=3).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self._make(self.normalized_shape, elementwise_affine, elementwise_affine and bias, device, dtype)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(_Scaled):
    """x / sqrt(mean of x squared + eps) weight over the last axes: Zhang and Sennrich, 2019.

    ``eps`` is the distance from 1 to the next number of the type where not given.

    >>> import nnkit
    >>> RMSNorm(2)(nnkit.tensor([[3.0, 4.0]])).detach().round(decimals=3)
    tensor([[0.849, 1.131]])
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self._make(self.normalized_shape, elementwise_affine, False, device, dtype)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Scaled):
    """Mean 0 and variance 1 over ``num_groups`` equal parts of the channels of each sample: Wu and He, 2018.

    >>> import nnkit
    >>> GroupNorm(2, 4)(nnkit.zeros(5, 4, 3, 3)).shape
    (5, 4, 3, 3)
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_groups = positive("num_groups", num_groups)
        self.num_channels = positive("num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(f"num_channels must be a multiple of num_groups, got {num_channels} and {num_groups}")
        self.eps, self.affine = eps, affine
        self._make((self.num_channels,), affine, affine and bias, device, dtype)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return functional.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LocalResponseNorm(Module):
    """x / (k + alpha times the mean square of ``size`` neighbouring channels)**beta: Krizhevsky et al., 2012.

    >>> import nnkit
    >>> LocalResponseNorm(2)(nnkit.zeros(5, 4, 3, 3)).shape
    (5, 4, 3, 3)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return functional.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
