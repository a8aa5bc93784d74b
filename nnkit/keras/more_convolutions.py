"""Depthwise, separable and transposed convolutions with Keras's arguments, defaults and weights."""

from __future__ import annotations

from typing import Any, Unpack

from nnkit import nn, ops
from nnkit.backends.windows import Window
from nnkit.keras import constraints, initializers, regularizers
from nnkit.keras.arguments import positive
from nnkit.keras.convolution import Convolution
from nnkit.keras.layer import LayerOptions, Shape
from nnkit.nn.sizes import Sizes, numbers
from nnkit.tensors.tensor import Tensor

__all__ = [
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "spread_of",
]


class _Depthwise(Convolution):
    """A convolution of each channel by itself, the first of those that ``depth_multiplier`` makes of it."""

    depthwise: nn.Module
    depth_multiplier: int

    def _make_depthwise(self, channels: int, bias: bool) -> None:
        filters = channels * self.depth_multiplier
        self.depthwise = self._module()(channels, filters, self.kernel_size, bias=bias, groups=channels)

    def _laid_out(self, weight: Tensor) -> Tensor:
        """(channels times depth_multiplier, 1, *kernel) as Keras's (*kernel, channels, depth_multiplier)."""
        apart = weight.reshape(self.channels, self.depth_multiplier, *self.kernel_size)
        return apart.permute(*range(2, apart.ndim), 0, 1)


class _DepthwiseConv(_Depthwise):
    arguments = ("depth_multiplier", "depthwise_initializer", "depthwise_regularizer", "depthwise_constraint")

    def __init__(
        self, kernel_size: Sizes, strides: Sizes = 1, padding: str = "valid", depth_multiplier: int = 1,
        data_format: str | None = None, dilation_rate: Sizes = 1, activation: Any = None, use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        depthwise_constraint: Any = None, bias_constraint: Any = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, bias_constraint, **options,
        )  # fmt: skip
        name = type(self).__name__
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.depth_multiplier = positive(name, "depth_multiplier", depth_multiplier)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def _make(self, channels: int) -> None:
        self._make_depthwise(channels, self.use_bias)

    def _kernels(self) -> list[tuple[nn.Module, Any, Any, Any]]:
        return [(self.depthwise, self.depthwise_initializer, self.depthwise_regularizer, self.depthwise_constraint)]

    def _convolve(self, x: Tensor, activation: str | None = None, **scalars: float) -> Tensor:
        part = self.depthwise
        return ops.conv(x, part.weight, part.bias, self._over(x), self.channels, activation, **scalars)

    def _filters(self, channels: int | None) -> int | None:
        return None if channels is None else channels * self.depth_multiplier

    @property
    def kernel(self) -> Tensor:
        """The kernel (*kernel_size, channels, depth_multiplier): a view of the layer's memory."""
        self.require_built()
        return self.shown(self.depthwise, "weight")


class DepthwiseConv1D(_DepthwiseConv):
    """Each channel of signals convolved by itself; see ``DepthwiseConv2D``.

    >>> import nnkit
    >>> DepthwiseConv1D(2)(nnkit.zeros(1, 4, 3)).shape
    (1, 3, 3)
    """

    axes = 1


class DepthwiseConv2D(_DepthwiseConv):
    """Each channel convolved by itself: (B, height, width, C) -> (B, height', width', C times depth_multiplier).

    The arguments are those of ``Conv2D``, with ``depthwise_initializer`` and ``depthwise_regularizer`` for the kernel.

    >>> import nnkit
    >>> layer = DepthwiseConv2D(3, padding="same", depth_multiplier=2)
    >>> layer(nnkit.zeros(5, 8, 8, 3)).shape, layer.kernel.shape
    ((5, 8, 8, 6), (3, 3, 3, 2))
    """

    axes = 2


class _SeparableConv(_Depthwise):
    arguments = (
        "filters", "depth_multiplier", "depthwise_initializer", "depthwise_regularizer", "depthwise_constraint",
        "pointwise_initializer", "pointwise_regularizer", "pointwise_constraint",
    )  # fmt: skip

    def __init__(
        self, filters: int, kernel_size: Sizes, strides: Sizes = 1, padding: str = "valid",
        data_format: str | None = None, dilation_rate: Sizes = 1, depth_multiplier: int = 1, activation: Any = None,
        use_bias: bool = True, depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None, pointwise_regularizer: Any = None, bias_regularizer: Any = None,
        activity_regularizer: Any = None, depthwise_constraint: Any = None, pointwise_constraint: Any = None,
        bias_constraint: Any = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, bias_constraint, **options,
        )  # fmt: skip
        name = type(self).__name__
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.filters = positive(name, "filters", filters)
        self.depth_multiplier = positive(name, "depth_multiplier", depth_multiplier)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def _make(self, channels: int) -> None:
        self._make_depthwise(channels, False)
        between = channels * self.depth_multiplier
        self.pointwise = self._module()(between, self.filters, 1, bias=self.use_bias)

    def _kernels(self) -> list[tuple[nn.Module, Any, Any, Any]]:
        return [
            (self.depthwise, self.depthwise_initializer, self.depthwise_regularizer, self.depthwise_constraint),
            (self.pointwise, self.pointwise_initializer, self.pointwise_regularizer, self.pointwise_constraint),
        ]

    def _laid_out(self, weight: Tensor) -> Tensor:
        if weight.shape == self.depthwise.weight.shape and weight.shape != self.pointwise.weight.shape:
            return super()._laid_out(weight)
        # Where both have one shape, kernel and channels are 1, and so are the filters: the axes' order means nothing.
        return Convolution._laid_out(self, weight)

    def _convolve(self, x: Tensor, activation: str | None = None, **scalars: float) -> Tensor:
        between = ops.conv(x, self.depthwise.weight, None, self._over(x), self.channels)
        ones = (1,) * self.axes
        window = Window(ones, ones, ((0, 0),) * self.axes, ones)
        return ops.conv(between, self.pointwise.weight, self.pointwise.bias, window, 1, activation, **scalars)

    def _filters(self, channels: int | None) -> int | None:
        return self.filters

    @property
    def depthwise_kernel(self) -> Tensor:
        """The first kernel (*kernel_size, channels, depth_multiplier): a view of the layer's memory."""
        self.require_built()
        return self.shown(self.depthwise, "weight")

    @property
    def pointwise_kernel(self) -> Tensor:
        """The second kernel (1, …, channels times depth_multiplier, filters): a view of the layer's memory."""
        self.require_built()
        return self.shown(self.pointwise, "weight")


class SeparableConv1D(_SeparableConv):
    """A depthwise convolution of signals, then one of kernel size 1; see ``SeparableConv2D``.

    >>> import nnkit
    >>> SeparableConv1D(5, 2)(nnkit.zeros(1, 4, 3)).shape
    (1, 3, 5)
    """

    axes = 1


class SeparableConv2D(_SeparableConv):
    """A depthwise convolution, then one of kernel size 1: (B, height, width, C) -> (B, height', width', filters).

    The arguments are those of ``Conv2D``, with ``depth_multiplier``, and initializers and regularizers for both
    kernels. Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, 2017.

    >>> import nnkit
    >>> layer = SeparableConv2D(8, 3)
    >>> layer(nnkit.zeros(5, 8, 8, 3)).shape, layer.count_params()
    ((5, 6, 6, 8), 59)
    """

    axes = 2


def spread_of(n: int, step: int, reach: int, padding: str, more: int | None) -> tuple[int, int]:
    """How many places a transposed convolution makes of n, and how many the first window begins before them.

    ``reach`` is from a window's first place to behind its last, ``more`` the output padding.

    >>> spread_of(7, 2, 3, "same", None), spread_of(7, 2, 3, "valid", None)
    ((14, 0), (15, 0))
    """
    if padding == "valid":
        return (n - 1) * step + (max(reach, step) if more is None else reach + more), 0
    spare = step + reach - 2 if more is None else reach + reach % 2 - 2 + more
    return (n - 1) * step + spare - reach + 2, max(reach - 1 - (spare + 1) // 2, 0)


class _ConvTranspose(Convolution):
    arguments = ("filters", "output_padding", "kernel_initializer", "kernel_regularizer", "kernel_constraint")

    def __init__(
        self, filters: int, kernel_size: Sizes, strides: Sizes = 1, padding: str = "valid",
        output_padding: Any = None, data_format: str | None = None, dilation_rate: Sizes = 1, activation: Any = None,
        use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        kernel_constraint: Any = None, bias_constraint: Any = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, bias_constraint, **options,
        )  # fmt: skip
        name = type(self).__name__
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.filters = positive(name, "filters", filters)
        self.output_padding = (
            None if output_padding is None else numbers("output_padding", output_padding, self.axes, 0)
        )
        for extra, step in zip(self.output_padding or (), self.strides, strict=False):
            if extra >= step:
                raise ValueError(f"{name}: output_padding must be below strides; got {extra} and {step}")
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def _make(self, channels: int) -> None:
        self.convolution = self._module(transposed=True)(channels, self.filters, self.kernel_size, bias=self.use_bias)

    def _kernels(self) -> list[tuple[nn.Module, Any, Any, Any]]:
        return [(self.convolution, self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint)]

    def _places(self, sizes: Shape) -> Shape:
        return tuple(None if n is None else self._spread(axis, n)[0] for axis, n in enumerate(sizes))

    def _spread(self, axis: int, n: int) -> tuple[int, int]:
        """How many places n become along an axis, and how many the first window begins before them."""
        reach = self.dilation_rate[axis] * (self.kernel_size[axis] - 1) + 1
        more = None if self.output_padding is None else self.output_padding[axis]
        return spread_of(n, self.strides[axis], reach, self.padding, more)

    def _convolve(self, x: Tensor, activation: str | None = None, **scalars: float) -> Tensor:
        spread = [self._spread(axis, n) for axis, n in enumerate(x.shape[2:])]
        around = []
        for n, (size, before), step, k, apart in zip(
            x.shape[2:], spread, self.strides, self.kernel_size, self.dilation_rate, strict=True
        ):
            around.append((before, max((n - 1) * step + apart * (k - 1) + 1 - size - before, 0)))
        window = Window(self.kernel_size, self.strides, tuple(around), self.dilation_rate)
        part = self.convolution
        y = ops.conv_transpose(x, part.weight, part.bias, window, tuple(size for size, _ in spread))
        return y if activation in (None, "identity") else ops.activation(y, activation, **scalars)

    def _filters(self, channels: int | None) -> int | None:
        return self.filters

    @property
    def kernel(self) -> Tensor:
        """The kernel (*kernel_size, filters, channels): a view of the layer's memory."""
        self.require_built()
        return self.shown(self.convolution, "weight")


class Conv1DTranspose(_ConvTranspose):
    """The gradient of ``Conv1D`` as a layer: (B, steps, C) -> (B, steps', filters); see ``Conv2DTranspose``.

    >>> import nnkit
    >>> Conv1DTranspose(5, 2, strides=2)(nnkit.zeros(1, 4, 3)).shape
    (1, 8, 5)
    """

    axes = 1


class Conv2DTranspose(_ConvTranspose):
    """The gradient of ``Conv2D`` as a layer: (B, height, width, C) -> (B, height', width', filters).

    "same" gives size times stride places, "valid" (size - 1) stride + max(kernel, stride); ``output_padding`` says
    itself how many are added at the end. The other arguments are those of ``Conv2D``.

    >>> import nnkit
    >>> layer = Conv2DTranspose(4, 3, strides=2, padding="same")
    >>> layer(nnkit.zeros(5, 7, 7, 8)).shape, layer.kernel.shape
    ((5, 14, 14, 4), (3, 3, 4, 8))
    """

    axes = 2


class Conv3DTranspose(_ConvTranspose):
    """The gradient of ``Conv3D`` as a layer; see ``Conv2DTranspose``.

    >>> import nnkit
    >>> Conv3DTranspose(5, 2, strides=2)(nnkit.zeros(1, 2, 2, 2, 3)).shape
    (1, 4, 4, 4, 5)
    """

    axes = 3
