"""Layers that learn the number of their inputs from the first of them, by which they become ordinary layers."""

from __future__ import annotations

from typing import Any, ClassVar

from nnkit.errors import ShapeError
from nnkit.nn import convolution, normalization
from nnkit.nn.linear import Linear
from nnkit.nn.module import Module
from nnkit.nn.sizes import Sizes, positive
from nnkit.tensors.creation import empty
from nnkit.tensors.tensor import Parameter, Tensor

# fmt: off
__all__ = [
    "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d", "LazyConv1d", "LazyConv2d", "LazyConv3d",
    "LazyConvTranspose1d", "LazyConvTranspose2d", "LazyConvTranspose3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d",
    "LazyInstanceNorm3d", "LazyLinear",
]
# fmt: on


class _Lazy(Module):
    """A layer before its first input. Its parameters have no elements, and stay the same objects afterwards."""

    #: What it becomes.
    cls_to_become: ClassVar[type[Module]]
    weight: Parameter | None

    def __init__(self, options: dict[str, Any], learned: dict[str, bool], device: Any, dtype: Any) -> None:
        super().__init__()
        self._options = {**options, "device": device, "dtype": dtype}
        for name, there in learned.items():
            self.register_parameter(name, Parameter(empty(0, device=device, dtype=dtype)) if there else None)

    def _count(self, x: Tensor) -> int:
        """The number of inputs that x has. Raises ShapeError where it does not tell."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """What the layer gives that this becomes."""
        self._become(self._count(x))
        return self.forward(x)

    def _become(self, count: int) -> None:
        known, options = dict(self._parameters), dict(self._options)
        placed = next((p for p in known.values() if p is not None), None)
        if placed is not None:  # the layer may have been moved since
            options |= {"device": placed.device, "dtype": placed.dtype}
        names = ("_forward_hooks", "_forward_pre_hooks", "_training", "regularizers", "constraints")
        kept = {name: self.__dict__[name] for name in names}
        made: type[Any] = self.cls_to_become
        self.__class__ = made
        made.__init__(self, count, **options)
        for name, parameter in known.items():
            if parameter is not None:
                parameter.data = getattr(self, name).detach()
                setattr(self, name, parameter)
        self.__dict__.update(kept)
        del self._options

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._options.items() if value is not None)


class LazyLinear(_Lazy):
    """A ``Linear`` whose ``in_features`` are those of its first input, by which it becomes one.

    Until then its parameters have no elements. They stay the same objects, so an optimizer may be made before. Input
    and result are (..., in_features) and (..., out_features), float32 unless ``dtype`` is given. Raises ShapeError,
    when it is called, for an input without axes. Source: ``torch.nn.LazyLinear``.

    >>> import nnkit
    >>> layer = LazyLinear(2)
    >>> layer(nnkit.zeros(5, 3)).shape, layer
    ((5, 2), Linear(in_features=3, out_features=2, bias=True))
    """

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        self_options = {"out_features": positive("out_features", out_features), "bias": bias}
        super().__init__(self_options, {"weight": True, "bias": bias}, device, dtype)
        self.in_features, self.out_features = 0, out_features

    def _count(self, x: Tensor) -> int:
        if x.ndim == 0 or not x.shape[-1]:
            raise ShapeError(f"LazyLinear expects features in the last dimension of its input, got shape {x.shape}")
        return x.shape[-1]


# ---- convolutions ---------------------------------------------------------------------------------------------------


class _LazyConvolution(_Lazy):
    cls_to_become: ClassVar[type[Any]]

    def _count(self, x: Tensor) -> int:
        axes = self.cls_to_become.axes
        if x.ndim not in (axes + 1, axes + 2) or not x.shape[-axes - 1]:
            raise ShapeError(
                f"{type(self).__name__} expects (samples, channels, {axes} axes of places), or one sample without the "
                f"first axis, got shape {x.shape}"
            )
        return x.shape[-axes - 1]


class _LazyConv(_LazyConvolution):
    def __init__(
        self, out_channels: int, kernel_size: Sizes, stride: Sizes = 1, padding: Any = 0, dilation: Sizes = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        options = {
            "out_channels": positive("out_channels", out_channels), "kernel_size": kernel_size, "stride": stride,
            "padding": padding, "dilation": dilation, "groups": groups, "bias": bias, "padding_mode": padding_mode,
        }  # fmt: skip
        super().__init__(options, {"weight": True, "bias": bias}, device, dtype)


class LazyConv1d(_LazyConv):
    """A ``Conv1d`` whose ``in_channels`` are those of its first input; see ``LazyConv2d``.

    >>> import nnkit
    >>> LazyConv1d(5, 3)(nnkit.zeros(1, 2, 8)).shape
    (1, 5, 6)
    """

    cls_to_become = convolution.Conv1d


class LazyConv2d(_LazyConv):
    """A ``Conv2d`` whose ``in_channels`` are those of its first input, by which it becomes one; see ``LazyLinear``.

    >>> import nnkit
    >>> layer = LazyConv2d(2, 3)
    >>> layer(nnkit.zeros(5, 4, 6, 6)).shape, layer
    ((5, 2, 4, 4), Conv2d(4, 2, kernel_size=(3, 3), stride=(1, 1)))
    """

    cls_to_become = convolution.Conv2d


class LazyConv3d(_LazyConv):
    """A ``Conv3d`` whose ``in_channels`` are those of its first input; see ``LazyConv2d``.

    >>> import nnkit
    >>> LazyConv3d(5, 3)(nnkit.zeros(1, 2, 4, 4, 4)).shape
    (1, 5, 2, 2, 2)
    """

    cls_to_become = convolution.Conv3d


class _LazyConvTranspose(_LazyConvolution):
    def __init__(
        self, out_channels: int, kernel_size: Sizes, stride: Sizes = 1, padding: Sizes = 0, output_padding: Sizes = 0,
        groups: int = 1, bias: bool = True, dilation: Sizes = 1, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        options = {
            "out_channels": positive("out_channels", out_channels), "kernel_size": kernel_size, "stride": stride,
            "padding": padding, "output_padding": output_padding, "groups": groups, "bias": bias,
            "dilation": dilation, "padding_mode": padding_mode,
        }  # fmt: skip
        super().__init__(options, {"weight": True, "bias": bias}, device, dtype)


class LazyConvTranspose1d(_LazyConvTranspose):
    """A ``ConvTranspose1d`` whose ``in_channels`` are those of its first input; see ``LazyConv2d``.

    >>> import nnkit
    >>> LazyConvTranspose1d(5, 2, stride=2)(nnkit.zeros(1, 2, 4)).shape
    (1, 5, 8)
    """

    cls_to_become = convolution.ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose):
    """A ``ConvTranspose2d`` whose ``in_channels`` are those of its first input; see ``LazyConv2d``.

    >>> import nnkit
    >>> LazyConvTranspose2d(5, 2, stride=2)(nnkit.zeros(1, 2, 4, 4)).shape
    (1, 5, 8, 8)
    """

    cls_to_become = convolution.ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose):
    """A ``ConvTranspose3d`` whose ``in_channels`` are those of its first input; see ``LazyConv2d``.

    >>> import nnkit
    >>> LazyConvTranspose3d(5, 2, stride=2)(nnkit.zeros(1, 2, 2, 2, 2)).shape
    (1, 5, 4, 4, 4)
    """

    cls_to_become = convolution.ConvTranspose3d


# ---- normalizations -------------------------------------------------------------------------------------------------


class _LazyNorm(_Lazy):
    cls_to_become: ClassVar[type[Any]]
    #: Whether an input may be one sample without the first axis.
    takes_one: ClassVar[bool] = False

    def __init__(
        self, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, track_running_stats: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        options = {
            "eps": eps, "momentum": momentum, "affine": affine, "track_running_stats": track_running_stats,
            "bias": bias,
        }  # fmt: skip
        super().__init__(options, {"weight": affine, "bias": affine and bias}, device, dtype)

    def _count(self, x: Tensor) -> int:
        ranks = self.cls_to_become.ranks
        single = self.takes_one and x.ndim == ranks[0] - 1
        if x.ndim not in ranks and not single:
            raise ShapeError(
                f"{type(self).__name__} expects an input of {' or '.join(map(str, ranks))} axes, got shape {x.shape}"
            )
        return x.shape[0 if single else 1]


class LazyBatchNorm1d(_LazyNorm):
    """A ``BatchNorm1d`` whose ``num_features`` are the channels of its first input; see ``LazyBatchNorm2d``.

    >>> import nnkit
    >>> LazyBatchNorm1d()(nnkit.rand(4, 3)).shape
    (4, 3)
    """

    cls_to_become = normalization.BatchNorm1d


class LazyBatchNorm2d(_LazyNorm):
    """A ``BatchNorm2d`` whose ``num_features`` are the channels of its first input, by which it becomes one.

    >>> import nnkit
    >>> layer = LazyBatchNorm2d()
    >>> layer(nnkit.zeros(5, 4, 6, 6)).shape, layer.num_features
    ((5, 4, 6, 6), 4)
    """

    cls_to_become = normalization.BatchNorm2d


class LazyBatchNorm3d(_LazyNorm):
    """A ``BatchNorm3d`` whose ``num_features`` are the channels of its first input; see ``LazyBatchNorm2d``.

    >>> import nnkit
    >>> LazyBatchNorm3d()(nnkit.rand(2, 3, 2, 2, 2)).shape
    (2, 3, 2, 2, 2)
    """

    cls_to_become = normalization.BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm):
    """An ``InstanceNorm1d`` whose ``num_features`` are the channels of its first input; as in PyTorch with a weight, a
    bias and running statistics unless told otherwise.

    >>> import nnkit
    >>> LazyInstanceNorm1d()(nnkit.rand(1, 3, 4)).shape
    (1, 3, 4)
    """

    cls_to_become, takes_one = normalization.InstanceNorm1d, True


class LazyInstanceNorm2d(_LazyNorm):
    """An ``InstanceNorm2d`` whose ``num_features`` are those of its first input; see ``LazyInstanceNorm1d``.

    >>> import nnkit
    >>> LazyInstanceNorm2d()(nnkit.rand(1, 3, 4, 4)).shape
    (1, 3, 4, 4)
    """

    cls_to_become, takes_one = normalization.InstanceNorm2d, True


class LazyInstanceNorm3d(_LazyNorm):
    """An ``InstanceNorm3d`` whose ``num_features`` are those of its first input; see ``LazyInstanceNorm1d``.

    >>> import nnkit
    >>> LazyInstanceNorm3d()(nnkit.rand(1, 3, 2, 2, 2)).shape
    (1, 3, 2, 2, 2)
    """

    cls_to_become, takes_one = normalization.InstanceNorm3d, True
