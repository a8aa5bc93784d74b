"""Convolutions and their transposes as modules: PyTorch's names, arguments and initial values."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from nnkit import ops
from nnkit.backends.windows import Window
from nnkit.errors import DtypeError, ShapeError, UnknownNameError
from nnkit.nn import activations, functional, init
from nnkit.nn.module import Module
from nnkit.nn.sizes import Sizes, numbers, positive
from nnkit.nn.windowed_functions import window_of
from nnkit.recording.observer import call
from nnkit.tensors.creation import empty
from nnkit.tensors.tensor import Parameter, Tensor

# fmt: off
__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Fold", "Unfold",
]
# fmt: on

#: PyTorch's padding modes -> the modes of ``functional.pad``.
PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


class _Convolution(Module):
    """Weights and bias over windows; ``axes`` of places."""

    axes: ClassVar[int]
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes, padding: Any, dilation: Sizes,
        groups: int, padding_mode: str,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.groups = positive("groups", groups)
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(f"{name} must be a multiple of groups, got {channels} and {self.groups}")
        if padding_mode not in PADDING_MODES:
            raise UnknownNameError("padding_mode", padding_mode, list(PADDING_MODES))
        self.kernel_size = numbers("kernel_size", kernel_size, self.axes)
        self.stride = numbers("stride", stride, self.axes)
        self.dilation = numbers("dilation", dilation, self.axes)
        self.padding: Any = padding if isinstance(padding, str) else numbers("padding", padding, self.axes, 0)
        self.padding_mode = padding_mode

    def _make(self, shape: tuple[int, ...], bias: bool, device: Any, dtype: Any) -> None:
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        made = Parameter(empty((self.out_channels,), device=device, dtype=dtype)) if bias else None
        self.register_parameter("bias", made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values (PyTorch's default: Kaiming uniform with a = sqrt(5))."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5.0))
        if self.bias is not None:
            bound = 1.0 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def _check(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise DtypeError(
                f"{self!r} expects a Tensor, got {type(x).__name__}: use nnkit.as_tensor, or model.predict"
            )
        if x.ndim not in (self.axes + 1, self.axes + 2) or x.shape[-self.axes - 1] != self.in_channels:
            raise ShapeError(
                f"{self!r} expects (samples, {self.in_channels} channels, {self.axes} axes of places), or one sample "
                f"without the first axis, got {x.shape}"
            )

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, default in (("padding", (0,) * self.axes), ("dilation", (1,) * self.axes), ("groups", 1)):
            value = getattr(self, name)
            text += f", {name}={value!r}" if value != default else ""
        text += "" if self.bias is not None else ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class _Conv(_Convolution):
    """``activation(weight over x + bias)``: (B, in_channels, *S) -> (B, out_channels, *places)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1, padding: Any = 0,
        dilation: Sizes = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode)
        window_of(self.kernel_size, self.stride, self.padding, self.dilation, self.axes)  # or its error now
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self._make(shape, bias, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, in_channels, *S) -> (B, out_channels, *places); one sample without B too."""
        return self.activated(x, None)

    def activated(self, x: Tensor, activation: Any, pool: Window | None = None) -> Tensor:
        """The layer with an activation behind it, fused if it has a formula; behind that the maximum over ``pool``."""
        self._check(x)
        if x.ndim == self.axes + 1:
            return self.activated(x.unsqueeze(0), activation, pool).squeeze(0)
        window = window_of(self.kernel_size, self.stride, self.padding, self.dilation, self.axes)
        if self.padding_mode != "zeros":
            around = [n for pair in reversed(window.padding) for n in pair]
            x = functional.pad(x, around, PADDING_MODES[self.padding_mode])
            window = window._replace(padding=((0, 0),) * self.axes)
        fused = (None, {}) if activation is None else activations.fused_formula(activation)
        formula, scalars = (None, {}) if fused is None else fused
        if fused is not None and pool is not None:
            return ops.conv_pooled(x, self.weight, self.bias, window, pool, self.groups, formula, **scalars)
        y = ops.conv(x, self.weight, self.bias, window, self.groups, formula, **scalars)
        if fused is None:
            y = call(activations.get(activation), y)
        return y if pool is None else ops.max_pool(y, pool)


class Conv1d(_Conv):
    """Cross-correlation of signals: (B, in_channels, L) -> (B, out_channels, L'); see ``Conv2d``.

    >>> import nnkit
    >>> Conv1d(2, 4, 3, padding="same")(nnkit.zeros(5, 2, 7)).shape
    (5, 4, 7)
    """

    axes = 1


class Conv2d(_Conv):
    """Cross-correlation of images: (B, in_channels, H, W) -> (B, out_channels, H', W'), as PyTorch's Conv2d.

    ``weight`` (out_channels, in_channels / groups, *kernel_size) and ``bias`` (out_channels,) start uniform in
    +-1/sqrt(in_channels / groups * kernel places). ``padding`` is a number of places on each side, "same" or "valid";
    ``padding_mode`` says what they hold: "zeros", "reflect", "replicate" or "circular". ``groups`` equal to both
    numbers of channels is a depthwise convolution. Raises ShapeError where x has other channels or the kernel
    reaches over more places than x has.

    >>> import nnkit
    >>> Conv2d(3, 8, 3, stride=2, padding=1)(nnkit.zeros(5, 3, 32, 32)).shape
    (5, 8, 16, 16)
    """

    axes = 2


class Conv3d(_Conv):
    """Cross-correlation of volumes: (B, in_channels, D, H, W) -> (B, out_channels, D', H', W'); see ``Conv2d``.

    >>> import nnkit
    >>> Conv3d(1, 2, 2)(nnkit.zeros(1, 1, 3, 3, 3)).shape
    (1, 2, 2, 2, 2)
    """

    axes = 3


class _ConvTranspose(_Convolution):
    """The gradient of a convolution as a layer: (B, in_channels, *S) -> (B, out_channels, *S')."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1, padding: Sizes = 0,
        output_padding: Sizes = 0, groups: int = 1, bias: bool = True, dilation: Sizes = 1,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode)
        if padding_mode != "zeros":
            raise ValueError(f"padding_mode: a transposed convolution takes 'zeros' alone, got {padding_mode!r}")
        self.output_padding = numbers("output_padding", output_padding, self.axes, 0)
        shape = (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        self._make(shape, bias, device, dtype)

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        """x (B, in_channels, *S) -> (B, out_channels, *S'); ``output_size`` chooses among the sizes S' can have."""
        self._check(x)
        more = self.output_padding if output_size is None else self._more(x, output_size)
        function = getattr(functional, f"conv_transpose{self.axes}d")
        return function(x, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)

    def _more(self, x: Tensor, output_size: Any) -> tuple[int, ...]:
        """The output padding with which the output is of this size."""
        given = tuple(output_size)[-self.axes :]
        wanted = numbers("output_size", given, self.axes)
        least = [
            (n - 1) * step - 2 * around + apart * (k - 1) + 1
            for n, step, around, apart, k in zip(
                x.shape[-self.axes :], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        for size, low, step in zip(wanted, least, self.stride, strict=True):
            if not low <= size < low + step:
                raise ValueError(
                    f"output_size: expected from {low} to {low + step - 1} for an input of {x.shape}, got {size}"
                )
        return tuple(size - low for size, low in zip(wanted, least, strict=True))

    def extra_repr(self) -> str:
        more = self.output_padding
        return super().extra_repr() + (f", output_padding={more}" if any(more) else "")


class ConvTranspose1d(_ConvTranspose):
    """The transpose of ``Conv1d``: (B, in_channels, L) -> (B, out_channels, L'); see ``ConvTranspose2d``.

    >>> import nnkit
    >>> ConvTranspose1d(2, 4, 3, stride=2)(nnkit.zeros(5, 2, 7)).shape
    (5, 4, 15)
    """

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """The gradient of ``Conv2d`` as a layer, as PyTorch's: (B, in_channels, H, W) -> (B, out_channels, H', W').

    H' = (H - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1. ``weight`` is (in_channels,
    out_channels / groups, *kernel_size).

    >>> import nnkit
    >>> ConvTranspose2d(8, 3, 2, stride=2)(nnkit.zeros(5, 8, 16, 16)).shape
    (5, 3, 32, 32)
    """

    axes = 2


class ConvTranspose3d(_ConvTranspose):
    """The transpose of ``Conv3d``; see ``ConvTranspose2d``.

    >>> import nnkit
    >>> ConvTranspose3d(2, 3, 2, stride=2)(nnkit.zeros(1, 2, 3, 3, 3)).shape
    (1, 3, 6, 6, 6)
    """

    axes = 3


class Unfold(Module):
    """What each window sees: (B, C, H, W) -> (B, C K K, windows).

    >>> import nnkit
    >>> Unfold(2, stride=2)(nnkit.zeros(1, 3, 4, 4)).shape
    (1, 12, 4)
    """

    def __init__(self, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, x: Tensor) -> Tensor:
        return functional.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """The sum at each place of what windows see of it: (B, C K K, windows) -> (B, C, *output_size).

    >>> import nnkit
    >>> Fold(4, 2, stride=2)(nnkit.zeros(1, 12, 4)).shape
    (1, 3, 4, 4)
    """

    def __init__(
        self, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
    ) -> None:
        super().__init__()
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, x: Tensor) -> Tensor:
        return functional.fold(x, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
