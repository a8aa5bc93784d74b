"""Pools as modules: PyTorch's names, arguments and defaults."""

from __future__ import annotations

from typing import Any, ClassVar

from nnkit.backends.windows import Window
from nnkit.nn import functional
from nnkit.nn.module import Module
from nnkit.nn.sizes import Sizes
from nnkit.nn.windowed_functions import pool_window
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
    "AvgPool1d", "AvgPool2d", "AvgPool3d", "MaxPool1d", "MaxPool2d", "MaxPool3d",
]
# fmt: on


class _MaxPool(Module):
    axes: ClassVar[int]

    def __init__(
        self, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0, dilation: Sizes = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if return_indices:
            raise NotImplementedError(f"{type(self).__name__}: return_indices=True is not supported")
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        function = getattr(functional, f"max_pool{self.axes}d")
        return function(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The greatest element in each window: (B, C, L) -> (B, C, L'); ``stride`` is ``kernel_size`` where not given.

    >>> import nnkit
    >>> MaxPool1d(2)(nnkit.tensor([[[1.0, 3.0, 2.0, 0.0]]])).tolist()
    [[[3.0, 2.0]]]
    """

    axes = 1


class MaxPool2d(_MaxPool):
    """The greatest element in each window: (B, C, H, W) -> (B, C, H', W'); ``stride`` is ``kernel_size`` where not
    given, and ``ceil_mode`` lets the last windows reach beyond the end.

    >>> import nnkit
    >>> MaxPool2d(2)(nnkit.zeros(5, 3, 8, 8)).shape
    (5, 3, 4, 4)
    """

    axes = 2


class MaxPool3d(_MaxPool):
    """The greatest element in each window of volumes.

    >>> import nnkit
    >>> MaxPool3d(2)(nnkit.zeros(1, 3, 4, 6, 8)).shape
    (1, 3, 2, 3, 4)
    """

    axes = 3


def fused_pool(module: Module) -> Window | None:
    """The window of a MaxPool2d that may be taken together with the layer before it, or None.

    As for activations, a module counts only as nnkit wrote it.

    >>> fused_pool(MaxPool2d(2)).kernel, fused_pool(AvgPool2d(2))
    ((2, 2), None)
    """
    if not isinstance(module, MaxPool2d) or type(module) is not MaxPool2d or "forward" in vars(module):
        return None
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
    if MaxPool2d.forward is not _AS_WRITTEN or hooks or module.ceil_mode:
        return None
    return pool_window(module.kernel_size, module.stride, module.padding, module.dilation, False, (0, 0))


_AS_WRITTEN = _MaxPool.forward


class _AvgPool(Module):
    axes: ClassVar[int]

    def __init__(
        self, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode, self.count_include_pad = padding, ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        function = getattr(functional, f"avg_pool{self.axes}d")
        more = () if self.axes == 1 else (self.divisor_override,)
        return function(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, *more)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window: (B, C, L) -> (B, C, L'); ``stride`` is ``kernel_size`` where not given.

    >>> import nnkit
    >>> AvgPool1d(2)(nnkit.tensor([[[1.0, 3.0, 2.0, 0.0]]])).tolist()
    [[[2.0, 1.0]]]
    """

    axes = 1

    def __init__(
        self, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)


class AvgPool2d(_AvgPool):
    """The mean of each window: (B, C, H, W) -> (B, C, H', W'); zeros of the padding count, unless told otherwise.

    >>> import nnkit
    >>> AvgPool2d(2)(nnkit.ones(5, 3, 8, 8)).shape
    (5, 3, 4, 4)
    """

    axes = 2


class AvgPool3d(_AvgPool):
    """The mean of each window of volumes.

    >>> import nnkit
    >>> AvgPool3d(2)(nnkit.zeros(1, 3, 4, 6, 8)).shape
    (1, 3, 2, 3, 4)
    """

    axes = 3


class _Adaptive(Module):
    function: ClassVar[str]

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        if return_indices:
            raise NotImplementedError(f"{type(self).__name__}: return_indices=True is not supported")
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        function = getattr(functional, self.function)
        return function(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """The means of ``output_size`` windows that split the places evenly: (B, C, L) -> (B, C, output_size).

    >>> import nnkit
    >>> AdaptiveAvgPool1d(1)(nnkit.tensor([[[1.0, 3.0]]])).item()
    2.0
    """

    function = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_Adaptive):
    """The same of images: (B, C, H, W) -> (B, C, *output_size); 1 is the global mean, None keeps an axis.

    >>> import nnkit
    >>> AdaptiveAvgPool2d(1)(nnkit.ones(5, 3, 7, 7)).shape
    (5, 3, 1, 1)
    """

    function = "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_Adaptive):
    """The same of volumes.

    >>> import nnkit
    >>> AdaptiveAvgPool3d(2)(nnkit.zeros(1, 3, 4, 6, 8)).shape
    (1, 3, 2, 2, 2)
    """

    function = "adaptive_avg_pool3d"


class AdaptiveMaxPool1d(_Adaptive):
    """The greatest elements of ``output_size`` windows that split the places evenly.

    >>> import nnkit
    >>> AdaptiveMaxPool1d(2)(nnkit.tensor([[1.0, 4.0, 3.0, 2.0]])).tolist()
    [[4.0, 3.0]]
    """

    function = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_Adaptive):
    """The same of images: (B, C, H, W) -> (B, C, *output_size).

    >>> import nnkit
    >>> AdaptiveMaxPool2d((2, 3))(nnkit.zeros(1, 3, 8, 9)).shape
    (1, 3, 2, 3)
    """

    function = "adaptive_max_pool2d"
