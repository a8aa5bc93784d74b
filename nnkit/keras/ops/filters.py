"""Images seen at other places, blurred, and compared: the rest of ``keras.ops.image``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.keras.ops.images import Images
from nnkit.keras.ops.types import convert_to_tensor, floats
from nnkit.keras.places import window_over
from nnkit.keras.warping import FILL_MODES, INTERPOLATIONS, sampled, warped
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor

# ---- moved places ---------------------------------------------------------------------------------------------------


def affine_transform(
    images: Any, transform: Any, interpolation: str = "bilinear", fill_mode: str = "constant", fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:  # fmt: skip
    """Images whose place (x, y) shows the old (a0 x + a1 y + a2, b0 x + b1 y + b2).

    ``transform`` is (a0, a1, a2, b0, b1, b2, 0, 0), for all images or one for each. Interpolation "nearest" or
    "bilinear"; ``fill_mode`` "constant", "nearest", "wrap" or "reflect".
    """
    for what, given, known in (("interpolation", interpolation, INTERPOLATIONS), ("fill_mode", fill_mode, FILL_MODES)):
        if given not in known:
            raise UnknownNameError(what, given, known)
    seen = Images("affine_transform", floats(images), data_format)
    matrix = ops.to(convert_to_tensor(transform), dtype=seen.x.dtype)
    matrix = ops.unsqueeze(matrix, 0) if matrix.ndim == 1 else matrix
    matrix = ops.broadcast_to(matrix, (seen.x.shape[0], 8))
    return seen.back(warped(seen.x, [matrix[:, k] for k in range(6)], fill_mode, interpolation, fill_value))


def perspective_transform(
    images: Any, start_points: Any, end_points: Any, interpolation: str = "bilinear", fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:  # fmt: skip
    """Images in which the four ``start_points`` (x, y) lie at the ``end_points``: (4, 2), or one set for each image."""
    if interpolation not in INTERPOLATIONS:
        raise UnknownNameError("interpolation", interpolation, INTERPOLATIONS)
    seen = Images("perspective_transform", floats(images), data_format)
    B, _, H, W = seen.x.shape
    start, end = (
        np.broadcast_to(np.asarray(convert_to_tensor(p).detach().cpu(), np.float64), (B, 4, 2))
        for p in (start_points, end_points)
    )
    across, down = np.meshgrid(np.arange(W), np.arange(H), indexing="xy")
    at = np.empty((2, B, H, W))
    for k in range(B):
        h = _homography(start[k], end[k])
        behind = h[6] * across + h[7] * down + 1.0
        at[0, k] = (h[0] * across + h[1] * down + h[2]) / behind
        at[1, k] = (h[3] * across + h[4] * down + h[5]) / behind
    at_x, at_y = (tensor(part, dtype=seen.x.dtype, device=seen.x.device) for part in at)
    return seen.back(sampled(seen.x, at_x, at_y, "constant", interpolation, fill_value))


def _homography(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The eight numbers of the perspective map that takes four points ``end`` to ``start``."""
    rows, values = [], []
    for (x, y), (u, v) in zip(end, start, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows), np.array(values))


def map_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: float = 0
) -> Tensor:
    """The values at coordinates (axes, ...), the nearest (``order`` 0) or mixed of the neighbours (1)."""
    modes = ("constant", "nearest", "wrap", "mirror", "reflect")
    x, at = convert_to_tensor(inputs), floats(coordinates)
    if order not in (0, 1):
        raise ValueError(f"map_coordinates: order must be 0 or 1; got {order!r}")
    if fill_mode not in modes:
        raise UnknownNameError("fill_mode", fill_mode, modes)
    if at.ndim < 2 or at.shape[0] != x.ndim:
        raise ShapeError(f"map_coordinates: expected coordinates ({x.ndim}, ...); got shape {tuple(at.shape)}")
    flat, found = ops.reshape(floats(x), (-1,)), floats(x).new_zeros(at.shape[1:])
    places = [_neighbours(at[k], order) for k in range(x.ndim)]
    for corner in np.ndindex(*(len(p) for p in places)):
        index, share, inside = at.new_zeros((), dtype=np.dtype(np.int64)), 1.0, at[0] == at[0]
        for axis, which in enumerate(corner):
            place, part = places[axis][which]
            n = x.shape[axis]
            here = ops.logical_and(place >= 0, place <= n - 1.0)
            inside = ops.logical_and(inside, here)
            step = ops.to(_within(place, n, fill_mode), dtype=np.dtype(np.int64))
            index = index * n + step
            share = part * share
        values = ops.reshape(ops.index_select(flat, 0, ops.reshape(index, (-1,))), at.shape[1:])
        values = ops.where(inside, values, fill_value) if fill_mode == "constant" else values
        found = found + values * share
    return ops.to(found if x.is_floating_point() else ops.round(found), dtype=x.dtype)


def _neighbours(at: Tensor, order: int) -> list[tuple[Tensor, Any]]:
    """Whole places beside a coordinate, and their shares."""
    if order == 0:
        return [(ops.where(at < 0.0, -ops.floor(0.5 - at), ops.floor(at + 0.5)), 1.0)]
    low = ops.floor(at)
    high = at - low
    return [(low, 1.0 - high), (low + 1.0, high)]


def _within(place: Tensor, n: int, fill_mode: str) -> Tensor:
    """The place from 0 to n - 1 that a whole number stands for."""
    if fill_mode == "wrap":
        place = place - ops.floor(place / n) * n
    elif fill_mode == "reflect":
        place = place - ops.floor(place / (2 * n)) * (2 * n)
        place = ops.where(place < n, place, 2 * n - 1 - place)
    elif fill_mode == "mirror" and n > 1:
        place = place - ops.floor(place / (2 * n - 2)) * (2 * n - 2)
        place = ops.where(place < n, place, 2 * n - 2 - place)
    return ops.clamp(place, 0, n - 1)


# ---- filters --------------------------------------------------------------------------------------------------------


def _filtered(x: Tensor, kernel: np.ndarray, same: bool = True) -> Tensor:
    """Each channel of (B, C, H, W) under one kernel (h, w), which is not turned around."""
    size = kernel.shape
    weight = tensor(
        np.ascontiguousarray(np.broadcast_to(kernel, (x.shape[1], 1, *size))), dtype=x.dtype, device=x.device
    )
    window = window_over(x.shape[2:], size, (1, 1), "same" if same else "valid", (1, 1))
    return ops.conv(x, weight, None, window, x.shape[1])


def _bell(size: int, sigma: float) -> np.ndarray:
    x = np.arange(size) - (size - 1) / 2.0
    weights = np.exp(-0.5 * (x / sigma) ** 2)
    return weights / weights.sum()


def gaussian_blur(
    images: Any,
    kernel_size: Sequence[int] = (3, 3),
    sigma: Sequence[float] = (1.0, 1.0),
    data_format: str | None = None,
) -> Tensor:
    """Each place mixed with its neighbours by a bell of ``kernel_size`` places and width ``sigma``."""
    widths = [float(s) for s in (convert_to_tensor(sigma).tolist() if not isinstance(sigma, (tuple, list)) else sigma)]
    seen = Images("gaussian_blur", floats(images), data_format)
    # Keras takes the first numbers for the width and the second for the height.
    kernel = np.outer(_bell(int(kernel_size[1]), widths[1]), _bell(int(kernel_size[0]), widths[0]))
    return seen.back(_filtered(seen.x, kernel))


def sobel_edges(images: Any, data_format: str | None = None) -> Tensor:
    """How brightness changes down and across, as a last axis of two: (B, H, W, C) -> (B, H, W, C, 2)."""
    across = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    seen = Images("sobel_edges", floats(images), data_format)
    return ops.stack([seen.back(_filtered(seen.x, kernel)) for kernel in (across.T, across)], -1)


def ssim(
    image1: Any, image2: Any, max_val: float = 1.0, filter_size: int = 11, filter_sigma: float = 1.5,
    k1: float = 0.01, k2: float = 0.03, data_format: str | None = None,
) -> Tensor:  # fmt: skip
    """How alike images are, 1 for equal ones. Wang et al., Image Quality Assessment: Structural Similarity, 2004."""
    one, two = (Images("ssim", floats(image), data_format) for image in (image1, image2))
    a, b = one.x, two.x
    if a.shape != b.shape:
        raise ShapeError(f"ssim: both images must have one shape; got {tuple(a.shape)} and {tuple(b.shape)}")
    bell = _bell(filter_size, filter_sigma)
    kernel = np.outer(bell, bell)
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    mean_a, mean_b = (_filtered(x, kernel, False) for x in (a, b))
    both = _filtered(a * b, kernel, False) - mean_a * mean_b
    spread = _filtered(a * a, kernel, False) - mean_a * mean_a + _filtered(b * b, kernel, False) - mean_b * mean_b
    found = (2.0 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1) * (2.0 * both + c2) / (spread + c2)
    found = ops.mean(found, (1, 2, 3))
    return ops.squeeze(found, 0) if one.is_one else found
