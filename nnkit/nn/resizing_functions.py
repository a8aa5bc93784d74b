"""Padding, resizing and shuffling the places of images as functions: PyTorch's definitions, names and defaults."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnkit import ops
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.nn.sizes import numbers
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["interpolate", "pad", "pixel_shuffle", "pixel_unshuffle", "upsample"]

PADDING_MODES = ("constant", "reflect", "replicate", "circular")
RESIZING = {"nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "linear": (1,), "bilinear": (2,), "trilinear": (3,)}


# ---- padding --------------------------------------------------------------------------------------------------------


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """More elements before and behind the last axes: ``pad`` is (before, behind) of the last, then of the one before.

    "constant" adds ``value`` (0), "reflect" what lies behind the edge as in a mirror, "replicate" the edge, "circular"
    the other end. Negative numbers cut elements off. Raises ShapeError for an odd number of numbers, for more than
    there are axes, and where a mirror or a circle would need more than there is. A Tensor of any dtype, which the
    result has. Raises UnknownNameError for another mode. Source: ``torch.nn.functional.pad``.

    >>> import nnkit
    >>> pad(nnkit.tensor([1.0, 2.0, 3.0]), (1, 2)).tolist()
    [0.0, 1.0, 2.0, 3.0, 0.0, 0.0]
    >>> pad(nnkit.tensor([[1.0, 2.0, 3.0]]), (1, 2), "reflect").tolist()
    [[2.0, 1.0, 2.0, 3.0, 2.0, 1.0]]
    """
    if mode not in PADDING_MODES:
        raise UnknownNameError("mode", mode, PADDING_MODES)
    if len(pad) % 2 or len(pad) // 2 > input.ndim:
        raise ShapeError(f"pad: expected two numbers for each of at most {input.ndim} axes, got {tuple(pad)}")
    if mode != "constant" and value is not None:
        raise ValueError(f"pad: value={value} means nothing in mode {mode!r}")
    around = [(0, 0)] * (input.ndim - len(pad) // 2) + [(pad[k], pad[k + 1]) for k in range(len(pad) - 2, -1, -2)]
    if mode == "constant":
        kept = tuple(slice(max(-before, 0), n - max(-behind, 0)) for n, (before, behind) in _sized(input, around))
        cut = input[kept] if any(min(pair) < 0 for pair in around) else input
        return ops.pad_with(cut, [(max(before, 0), max(behind, 0)) for before, behind in around], value or 0.0)
    for axis, (before, behind) in enumerate(around):
        if before or behind:
            input = _taken(input, axis, _places(mode, input.shape[axis], before, behind))
    return input


def _sized(input: Tensor, around: Sequence[tuple[int, int]]) -> list[tuple[int, tuple[int, int]]]:
    return list(zip(input.shape, around, strict=True))


def _places(mode: str, n: int, before: int, behind: int) -> list[int]:
    """The places that each element of a padded axis of n takes its value from."""
    most = {"reflect": n - 1, "circular": n, "replicate": max(before, behind, 0)}[mode]
    if max(before, behind) > most or n == 0:
        raise ShapeError(
            f"pad: mode {mode!r} takes at most {most} on each side of {n} elements, got {(before, behind)}"
        )
    wanted = range(-before, n + behind)
    if mode == "circular":
        return [k % n for k in wanted]
    if mode == "replicate":
        return [min(max(k, 0), n - 1) for k in wanted]
    return [n - 1 - abs(n - 1 - abs(k)) for k in wanted]


# ---- resizing -------------------------------------------------------------------------------------------------------


def interpolate(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Tensor:  # fmt: skip
    """Other numbers of places: (B, C, *S) -> (B, C, *size), or S times ``scale_factor``, rounded down.

    "nearest" takes the place k S // S' (as PyTorch and OpenCV), "nearest-exact" the nearest centre; "linear",
    "bilinear" and "trilinear" mix two neighbours along each axis, with the centres of the corner places at the same
    place where ``align_corners``, else their outer edges. Raises ValueError unless exactly one of size and
    scale_factor is given.

    >>> import nnkit
    >>> interpolate(nnkit.tensor([[[1.0, 3.0]]]), scale_factor=2).tolist()
    [[[1.0, 1.0, 3.0, 3.0]]]
    >>> interpolate(nnkit.tensor([[[1.0, 3.0]]]), size=3, mode="linear", align_corners=True).tolist()
    [[[1.0, 2.0, 3.0]]]
    """
    if mode not in RESIZING:
        raise UnknownNameError("mode", mode, list(RESIZING))
    axes = input.ndim - 2
    if axes not in RESIZING[mode]:
        raise ShapeError(f"interpolate: mode {mode!r} takes {[n + 2 for n in RESIZING[mode]]} axes, got {input.shape}")
    if antialias:
        raise NotImplementedError("interpolate: antialias=True is not supported")
    if align_corners is not None and mode.startswith("nearest"):
        raise ValueError(f"align_corners means nothing in mode {mode!r}: leave it out")
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: expected size or scale_factor, one of the two")
    sizes, ratios = _wanted(input.shape[2:], size, scale_factor, bool(recompute_scale_factor))
    for axis, (n, wanted, ratio) in enumerate(zip(input.shape[2:], sizes, ratios, strict=True), 2):
        if mode.startswith("nearest"):
            input = _taken(input, axis, [_nearest(k, n, ratio, mode == "nearest-exact") for k in range(wanted)])
        elif n != wanted or ratio != 1.0:
            input = _mixed(input, axis, [_source(k, n, wanted, ratio, bool(align_corners)) for k in range(wanted)])
    return input


def _wanted(sizes: tuple[int, ...], size: Any, factor: Any, recompute: bool) -> tuple[list[int], list[float]]:
    """The sizes wanted, and how many old places there are to a new one."""
    if size is not None:
        wanted = list(numbers("size", size, len(sizes)))
        return wanted, [n / p for n, p in zip(sizes, wanted, strict=True)]
    factors = [float(f) for f in (factor if isinstance(factor, (tuple, list)) else (factor,) * len(sizes))]
    if len(factors) != len(sizes) or any(f <= 0.0 for f in factors):
        raise ValueError(f"scale_factor: expected a number above 0, or {len(sizes)}, got {factor!r}")
    wanted = [math.floor(n * f) for n, f in zip(sizes, factors, strict=True)]
    if any(n < 1 for n in wanted):
        raise ShapeError(f"interpolate: {sizes} times {factor!r} leaves no places")
    if recompute:
        return wanted, [n / p for n, p in zip(sizes, wanted, strict=True)]
    return wanted, [1.0 / f for f in factors]


def _nearest(k: int, n: int, ratio: float, exact: bool) -> int:
    return min(math.floor((k + 0.5) * ratio if exact else k * ratio), n - 1)


def _source(k: int, n: int, wanted: int, ratio: float, corners: bool) -> float:
    """Where new place k lies among n old ones."""
    if corners:
        return k * (n - 1) / (wanted - 1) if wanted > 1 else 0.0
    return max((k + 0.5) * ratio - 0.5, 0.0)


def _taken(x: Tensor, axis: int, places: list[int]) -> Tensor:
    if places == list(range(x.shape[axis])):
        return x
    return x[(*(slice(None),) * axis, places)]  # a list: a tensor's values would have to be looked at


def _mixed(x: Tensor, axis: int, sources: list[float]) -> Tensor:
    """Along an axis, the mix of the two neighbours of each source."""
    n = x.shape[axis]
    low = [min(int(s), n - 1) for s in sources]
    high = [min(k + 1, n - 1) for k in low]
    shape = (-1, *(1,) * (x.ndim - axis - 1))
    share = tensor([s - k for s, k in zip(sources, low, strict=True)], dtype=x.dtype, device=x.device).reshape(shape)
    return _taken(x, axis, low) * (1.0 - share) + _taken(x, axis, high) * share


def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Tensor:
    """``interpolate`` by its older name.

    >>> import nnkit
    >>> upsample(nnkit.tensor([[[[1.0, 2.0]]]]), scale_factor=(1, 2)).tolist()
    [[[[1.0, 1.0, 2.0, 2.0]]]]
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


# ---- places and channels --------------------------------------------------------------------------------------------


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C r r, H, W) -> (..., C, H r, W r): Shi et al., Real-Time Single Image and Video Super-Resolution, 2016.

    >>> import nnkit
    >>> pixel_shuffle(nnkit.arange(4.0).reshape(1, 4, 1, 1), 2).tolist()
    [[[[0.0, 1.0], [2.0, 3.0]]]]
    """
    (r,) = numbers("upscale_factor", upscale_factor, 1)
    if input.ndim < 3 or input.shape[-3] % (r * r):
        raise ShapeError(f"pixel_shuffle: expected (..., C x {r * r}, H, W), got {input.shape}")
    *lead, C, H, W = input.shape
    n = len(lead)
    parts = input.reshape(*lead, C // (r * r), r, r, H, W)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return parts.permute(*order).reshape(*lead, C // (r * r), H * r, W * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H r, W r) -> (..., C r r, H, W): what ``pixel_shuffle`` takes back.

    >>> import nnkit
    >>> pixel_unshuffle(nnkit.arange(4.0).reshape(1, 1, 2, 2), 2).shape
    (1, 4, 1, 1)
    """
    (r,) = numbers("downscale_factor", downscale_factor, 1)
    if input.ndim < 3 or input.shape[-1] % r or input.shape[-2] % r:
        raise ShapeError(f"pixel_unshuffle: expected (..., C, H x {r}, W x {r}), got {input.shape}")
    *lead, C, H, W = input.shape
    n = len(lead)
    parts = input.reshape(*lead, C, H // r, r, W // r, r)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return parts.permute(*order).reshape(*lead, C * r * r, H // r, W // r)
