"""Convolutions, pools and patches as functions: PyTorch's definitions, names and defaults.

Sizes, strides and the like are one number, or one for each axis of places. An input is (B, C, *S), or (C, *S) without
samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from nnkit import ops
from nnkit.backends.windows import Window
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.nn.sizes import Sizes, numbers
from nnkit.ops.windows import places_of
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "fold", "max_pool1d", "max_pool2d", "max_pool3d", "unfold",
]
# fmt: on


def window_of(kernel: Sizes, stride: Any, padding: Any, dilation: Any, axes: int, strided_same: bool = False) -> Window:
    """The window of a convolution or a pool; ``padding`` may be "valid" (none) or "same" (places stay as many).

    "same" needs a stride of 1, as in PyTorch, unless ``strided_same``.
    """
    sizes, steps = numbers("kernel_size", kernel, axes), numbers("stride", stride, axes)
    apart = numbers("dilation", dilation, axes)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise UnknownNameError("padding", padding, ["same", "valid"])
        if padding == "same" and any(n != 1 for n in steps) and not strided_same:
            raise ValueError(f"padding='same' needs a stride of 1, got {stride!r}: give the padding in numbers")
        spare = [d * (k - 1) if padding == "same" else 0 for k, d in zip(sizes, apart, strict=True)]
        around = tuple((n // 2, n - n // 2) for n in spare)
    else:
        around = tuple((n, n) for n in numbers("padding", padding, axes, 0))
    return Window(sizes, steps, around, apart)


def batched(name: str, input: Tensor, axes: int, function: Callable[[Tensor], Tensor]) -> Tensor:
    """The function of an input (B, C, *S); of one sample (C, *S) too."""
    if input.ndim == axes + 2:
        return function(input)
    if input.ndim == axes + 1:
        return function(input.unsqueeze(0)).squeeze(0)
    raise ShapeError(
        f"{name}: expected an input of {axes + 2} axes (samples, channels and {axes} of places), or {axes + 1} "
        f"without samples, got shape {input.shape}"
    )


# ---- convolutions ---------------------------------------------------------------------------------------------------


def _conv(
    axes: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Any, dilation: Sizes,
    groups: int,
) -> Tensor:  # fmt: skip
    if weight.ndim != axes + 2:
        raise ShapeError(f"conv{axes}d: expected a weight of {axes + 2} axes, got shape {weight.shape}")
    window = window_of(weight.shape[2:], stride, padding, dilation, axes)
    return batched(f"conv{axes}d", input, axes, lambda x: ops.conv(x, weight, bias, window, groups))


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Any = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation of signals: (B, C, L), weight (O, C / groups, K), bias (O,) -> (B, O, places).

    >>> import nnkit
    >>> conv1d(nnkit.tensor([[[1.0, 2.0, 3.0]]]), nnkit.tensor([[[1.0, -1.0]]])).tolist()
    [[[-1.0, -1.0]]]
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Any = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation of images: (B, C, H, W), weight (O, C / groups, K, K), bias (O,) -> (B, O, H', W').

    ``padding`` is a number of zeros on each side, "same" or "valid". Raises ShapeError where the kernel reaches over
    more places than there are.

    >>> import nnkit
    >>> conv2d(nnkit.ones(1, 1, 4, 4), nnkit.ones(1, 1, 3, 3), padding="same")[0, 0, 0].tolist()
    [4.0, 6.0, 6.0, 4.0]
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Any = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation of volumes: (B, C, D, H, W), weight (O, C / groups, K, K, K), bias (O,).

    >>> import nnkit
    >>> conv3d(nnkit.ones(1, 1, 2, 2, 2), nnkit.ones(1, 1, 2, 2, 2)).tolist()
    [[[[[8.0]]]]]
    """
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    axes: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes,
    output_padding: Sizes, groups: int, dilation: Sizes,
) -> Tensor:  # fmt: skip
    name = f"conv_transpose{axes}d"
    window = window_of(weight.shape[2:], stride, numbers("padding", padding, axes, 0), dilation, axes)
    more = numbers("output_padding", output_padding, axes, 0)
    for extra, step, apart in zip(more, window.stride, window.dilation, strict=True):
        if extra >= max(step, apart):
            raise ValueError(
                f"output_padding must be smaller than the stride or the dilation, got {output_padding!r} with a stride "
                f"of {stride!r} and a dilation of {dilation!r}"
            )

    def of(x: Tensor) -> Tensor:
        terms = zip(x.shape[2:], window.stride, window.padding, window.reach(), more, strict=True)
        sizes = tuple(
            (n - 1) * step - before - behind + reach + extra for n, step, (before, behind), reach, extra in terms
        )
        if any(n < 1 for n in sizes):
            raise ShapeError(f"{name}: the result would have {sizes} places: use less padding or a larger input")
        return ops.conv_transpose(x, weight, bias, window, sizes, groups)

    return batched(name, input, axes, of)


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """The transpose of ``conv1d``: (B, C, L), weight (C, O / groups, K), bias (O,) -> (B, O, L').

    >>> import nnkit
    >>> conv_transpose1d(nnkit.tensor([[[1.0, 2.0]]]), nnkit.ones(1, 1, 2), stride=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """The transpose of ``conv2d``: (B, C, H, W), weight (C, O / groups, K, K), bias (O,) -> (B, O, H', W').

    >>> import nnkit
    >>> conv_transpose2d(nnkit.ones(1, 3, 4, 4), nnkit.ones(3, 2, 2, 2), stride=2).shape
    (1, 2, 8, 8)
    """
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """The transpose of ``conv3d``: (B, C, D, H, W), weight (C, O / groups, K, K, K), bias (O,).

    >>> import nnkit
    >>> conv_transpose3d(nnkit.ones(1, 1, 2, 2, 2), nnkit.ones(1, 1, 2, 2, 2), stride=2).shape
    (1, 1, 4, 4, 4)
    """
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


# ---- patches --------------------------------------------------------------------------------------------------------


def unfold(input: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> Tensor:
    """What each window sees: (B, C, H, W) -> (B, C K K, windows).

    >>> import nnkit
    >>> unfold(nnkit.zeros(1, 3, 4, 4), 2).shape
    (1, 12, 9)
    """
    window = window_of(kernel_size, stride, padding, dilation, 2)

    def of(x: Tensor) -> Tensor:
        seen = ops.patches(x, window)
        B, C, taps, *places = seen.shape
        return seen.reshape(B, C * taps, math.prod(places))

    return batched("unfold", input, 2, of)


def fold(
    input: Tensor, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """The sum at each place of what windows see of it: (B, C K K, windows) -> (B, C, *output_size).

    Raises ShapeError where the input does not have that many windows.

    >>> import nnkit
    >>> fold(nnkit.ones(1, 4, 9), 4, 2)[0, 0, 0].tolist()
    [1.0, 2.0, 2.0, 1.0]
    """
    window, sizes = window_of(kernel_size, stride, padding, dilation, 2), numbers("output_size", output_size, 2)
    if input.ndim == 2:
        return fold(input.unsqueeze(0), output_size, kernel_size, dilation, padding, stride).squeeze(0)
    places, taps = places_of("fold", window, sizes), math.prod(window.kernel)
    if input.ndim != 3 or input.shape[1] % taps or input.shape[2] != math.prod(places):
        raise ShapeError(
            f"fold: expected (samples, channels x {taps}, {math.prod(places)}) for an output of {sizes}, got "
            f"{input.shape}"
        )
    B, rows, _ = input.shape
    return ops.sum_patches(input.reshape(B, rows // taps, taps, *places), window, sizes)


# ---- pools ----------------------------------------------------------------------------------------------------------


def pool_window(
    kernel: Sizes, stride: Any, padding: Sizes, dilation: Sizes, ceil_mode: bool, sizes: tuple[int, ...]
) -> Window:
    """The window of a pool over so many places; ``ceil_mode`` lets the last windows reach beyond the end."""
    axes = len(sizes)
    window = window_of(kernel, kernel if stride is None or stride == () else stride, padding, dilation, axes)
    for (n, _), k in zip(window.padding, window.kernel, strict=True):
        if n > k // 2:
            raise ValueError(f"padding must be at most half the kernel, got {padding!r} for a kernel of {kernel!r}")
    if not ceil_mode:
        return window
    around = []
    for n, (before, behind), reach, step in zip(sizes, window.padding, window.reach(), window.stride, strict=True):
        count = -(-(n + before + behind - reach) // step) + 1
        if (count - 1) * step >= n + before:  # the last window would begin behind the array
            count -= 1
        around.append((before, max(behind, (count - 1) * step + reach - n - before)))
    return window._replace(padding=tuple(around))


def _max_pool(
    axes: int, input: Tensor, kernel_size: Sizes, stride: Any, padding: Sizes, dilation: Sizes, ceil_mode: bool,
    return_indices: bool,
) -> Tensor:  # fmt: skip
    name = f"max_pool{axes}d"
    if return_indices:
        raise NotImplementedError(
            f"{name}: return_indices=True is not supported: nnkit keeps the places of the greatest elements for the "
            "gradient alone"
        )
    return batched(
        name, input, axes,
        lambda x: ops.max_pool(x, pool_window(kernel_size, stride, padding, dilation, ceil_mode, x.shape[2:])),
    )  # fmt: skip


def max_pool1d(
    input: Tensor, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0, dilation: Sizes = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Tensor:  # fmt: skip
    """The greatest element in each window: (B, C, L) -> (B, C, L'). ``stride`` is the kernel's size where not given.

    >>> import nnkit
    >>> max_pool1d(nnkit.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
    [[[3.0, 2.0]]]
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0, dilation: Sizes = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Tensor:  # fmt: skip
    """The greatest element in each window: (B, C, H, W) -> (B, C, H', W').

    >>> import nnkit
    >>> max_pool2d(nnkit.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0, dilation: Sizes = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Tensor:  # fmt: skip
    """The greatest element in each window: (B, C, D, H, W) -> (B, C, D', H', W').

    >>> import nnkit
    >>> max_pool3d(nnkit.zeros(1, 3, 4, 6, 8), 2).shape
    (1, 3, 2, 3, 4)
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(
    axes: int, input: Tensor, kernel_size: Sizes, stride: Any, padding: Sizes, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> Tensor:  # fmt: skip
    if divisor_override is not None and divisor_override == 0:
        raise ValueError("divisor_override must not be 0")

    def of(x: Tensor) -> Tensor:
        sizes = x.shape[2:]
        window = pool_window(kernel_size, stride, padding, 1, ceil_mode, sizes)
        whole = math.prod(window.kernel)
        if divisor_override is not None:
            return ops.sum_pool(x, window, 1.0 / divisor_override)
        around = numbers("padding", padding, axes, 0)
        counted = [(n, n) if count_include_pad else (0, 0) for n in around]
        if counted == list(window.padding):
            return ops.sum_pool(x, window, 1.0 / whole)
        return ops.sum_pool(x, window) / counts(x, window, counted)

    return batched(f"avg_pool{axes}d", input, axes, of)


def counts(x: Tensor, window: Window, counted: Sequence[tuple[int, int]]) -> Tensor:
    """How many places of each window count: those of x, and of so much padding: (1, 1, *places)."""
    backend, sizes = x.backend, x.shape[2:]
    around = [(have - count, end - stop) for (have, end), (count, stop) in zip(window.padding, counted, strict=True)]
    wide = tuple(n + before + behind for n, (before, behind) in zip(sizes, counted, strict=True))
    ones = Tensor(backend.empty((1, 1, *wide), x.dtype), backend)
    backend.fill(1.0, ones.array)
    return ops.sum_pool(ones, window._replace(padding=tuple(around)))


def avg_pool1d(
    input: Tensor, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """The mean of each window: (B, C, L) -> (B, C, L'). ``stride`` is the kernel's size where not given.

    >>> import nnkit
    >>> avg_pool1d(nnkit.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
    [[[2.0, 1.0]]]
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window: (B, C, H, W) -> (B, C, H', W').

    Zeros of the padding count as elements, unless ``count_include_pad`` is False; ``divisor_override`` is divided by
    instead.

    >>> import nnkit
    >>> avg_pool2d(nnkit.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window: (B, C, D, H, W) -> (B, C, D', H', W').

    >>> import nnkit
    >>> avg_pool3d(nnkit.zeros(1, 3, 4, 6, 8), 2).shape
    (1, 3, 2, 3, 4)
    """
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
