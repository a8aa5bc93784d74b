"""Images seen at any places: ``grid_sample``, and ``affine_grid``, the places of an affine map. PyTorch's names."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from nnkit import ops
from nnkit.errors import DtypeError, ShapeError, UnknownNameError
from nnkit.tensors import dtypes
from nnkit.tensors.creation import arange, ones
from nnkit.tensors.results import same_backend
from nnkit.tensors.tensor import Tensor

__all__ = ["affine_grid", "grid_sample"]

MODES = ("bilinear", "nearest")
PADDINGS = ("zeros", "border", "reflection")


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """Images (B, C, H, W) at places (B, H', W', 2) -> (B, C, H', W'); or volumes at (B, D', H', W', 3).

    Args:
        input: the images; grid has its type.
        grid: x, y (and z) of each place, where -1 and 1 are the edges of the image, or the centres of its outermost
            pixels if ``align_corners``.
        mode: "bilinear" mixes the pixels around, "nearest" takes the nearest one, of two the one with an even number.
        padding_mode: what lies outside: "zeros", the "border" pixel, or the image in "reflection".
        align_corners: None is False.

    Gradients reach both the images and, in bilinear mode, the grid. Raises ShapeError and DtypeError for what does not
    fit, UnknownNameError for another mode ("bicubic" too). Jaderberg et al., Spatial Transformer Networks, 2015;
    source: ``torch.nn.functional.grid_sample``.

    The result has the images' float dtype.

    >>> import nnkit
    >>> image = nnkit.tensor([[[[1.0, 3.0]]]])
    >>> grid_sample(image, nnkit.tensor([[[[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]]]]), align_corners=True).tolist()
    [[[[2.0, 2.5, 3.0]]]]
    """
    _check(input, grid, mode, padding_mode)
    B, C, *sizes = input.shape
    places, corners = grid.shape[1:-1], bool(align_corners)
    at = [_place(grid[..., axis], n, padding_mode, corners) for axis, n in enumerate(reversed(sizes))][::-1]
    order = (0, *range(2, input.ndim), 1)
    rows = input.permute(*order).reshape(B * math.prod(sizes), C)
    first = (arange(B, dtype=dtypes.int64, device=input.device)).reshape(B, *(1 for _ in places))
    if mode == "nearest":
        found = _pixels(rows, first, [ops.round(a.detach()) for a in at], sizes)
    else:
        low = [ops.floor(a.detach()) for a in at]
        parts = []
        for corner in itertools.product((0.0, 1.0), repeat=len(sizes)):
            weight = ones((), dtype=input.dtype, device=input.device)
            for a, base, step in zip(at, low, corner, strict=True):
                weight = weight * (a - base if step else 1.0 - (a - base))
            pixels = _pixels(rows, first, [base + step for base, step in zip(low, corner, strict=True)], sizes)
            parts.append(pixels * weight.unsqueeze(-1))
        found = parts[0]
        for part in parts[1:]:
            found = found + part
    return found.permute(0, found.ndim - 1, *range(1, found.ndim - 1))


def _check(input: Tensor, grid: Tensor, mode: str, padding_mode: str) -> None:
    same_backend("grid_sample", input, grid)
    if mode not in MODES:
        raise UnknownNameError("mode", mode, MODES)
    if padding_mode not in PADDINGS:
        raise UnknownNameError("padding_mode", padding_mode, PADDINGS)
    if input.dtype != grid.dtype or not input.is_floating_point():
        raise DtypeError(f"grid_sample: expected input and grid of one float type, got {input.dtype} and {grid.dtype}")
    axes = input.ndim - 2
    if axes not in (2, 3) or grid.ndim != input.ndim or grid.shape[-1] != axes or grid.shape[0] != input.shape[0]:
        raise ShapeError(
            "grid_sample: expected images (B, C, H, W) and a grid (B, H', W', 2), or volumes (B, C, D, H, W) and "
            f"(B, D', H', W', 3), got {input.shape} and {grid.shape}"
        )
    if not all(input.shape[1:]):
        raise ShapeError(f"grid_sample: expected images that are not empty, got {input.shape}")


def _place(x: Tensor, n: int, padding_mode: str, corners: bool) -> Tensor:
    """Where in pixels a coordinate from -1 to 1 lies; not more than a pixel outside, where nothing is seen."""
    at = (x + 1.0) * ((n - 1) / 2.0) if corners else ((x + 1.0) * n - 1.0) * 0.5
    at = ops.where(at == at, at, -2.0)
    if padding_mode == "reflection":
        at = _reflected(at, *((0.0, n - 1.0) if corners else (-0.5, float(n))))
    if padding_mode != "zeros":
        inside = ops.logical_and(at > 0.0, at < n - 1.0)  # at the border itself there is no slope
        return ops.where(inside, at, ops.clamp(at.detach(), 0.0, n - 1.0))
    return ops.clamp(at, -1.5, n + 0.5)


def _reflected(at: Tensor, low: float, span: float) -> Tensor:
    """The place between low and low + span that a place outside is the mirror image of."""
    if span == 0.0:
        return at * 0.0
    at = ops.where(at.detach().abs() < float("inf"), at, low)
    away = (at - low).abs()
    times = ops.floor(away.detach() / span)
    rest = away - times * span
    return ops.where(ops.remainder(times, 2.0) == 0.0, rest, span - rest) + low


def _pixels(rows: Tensor, first: Tensor, at: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """The pixels at whole places, (B, *places, C); 0 outside."""
    number, inside = first, None
    for a, n in zip(at, sizes, strict=True):
        there = ops.logical_and(a >= 0.0, a <= n - 1.0)
        inside = there if inside is None else ops.logical_and(inside, there)
        number = number * n + ops.clamp(a, 0.0, n - 1.0).to(dtypes.int64)
    assert inside is not None
    return ops.where(inside.unsqueeze(-1), ops.take_rows(rows, number, checked=True), 0.0)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The places that maps (B, 2, 3) send the places of images (B, C, H, W) to: (B, H, W, 2), for ``grid_sample``.

    theta (B, 3, 4) is for volumes: size (B, C, D, H, W), result (B, D, H, W, 3). ``align_corners`` (None is False)
    should be that of ``grid_sample``. Raises ShapeError where theta and size do not fit. Source:
    ``torch.nn.functional.affine_grid``. theta is of floats, and the result of its dtype.

    >>> import nnkit
    >>> affine_grid(nnkit.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), (1, 3, 1, 2)).tolist()
    [[[[-0.5, 0.0], [0.5, 0.0]]]]
    """
    axes = len(size) - 2
    B, sizes = size[0], tuple(size[2:])
    if axes not in (2, 3) or theta.shape != (B, axes, axes + 1) or min(sizes) < 1:
        raise ShapeError(
            "affine_grid: expected theta (B, 2, 3) and a size (B, C, H, W), or (B, 3, 4) and (B, C, D, H, W), got "
            f"{theta.shape} and {tuple(size)}"
        )
    if not theta.is_floating_point():
        raise DtypeError(f"affine_grid: expected theta of a float type, got {theta.dtype}; convert it with .float()")
    parts = []
    for axis in range(axes - 1, -1, -1):
        n = sizes[axis]
        step = 2.0 / (n - 1) if align_corners and n > 1 else 2.0 / n
        first = (-1.0 if n > 1 else 0.0) if align_corners else -1.0 + 1.0 / n
        line = arange(n, dtype=theta.dtype, device=theta.device) * step + first
        parts.append(line.reshape(*(n if i == axis else 1 for i in range(axes))).expand(sizes))
    parts.append(ones(sizes, dtype=theta.dtype, device=theta.device))
    base = ops.stack(parts, -1).reshape(-1, axes + 1)
    return (base @ ops.transpose(theta, 1, 2)).reshape(B, *sizes, axes)
