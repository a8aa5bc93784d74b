"""Images seen through affine maps: ``keras.ops.image.affine_transform``, with what lies outside filled in."""

from __future__ import annotations

from collections.abc import Sequence

from nnkit import ops
from nnkit.tensors import dtypes
from nnkit.tensors.creation import arange
from nnkit.tensors.tensor import Tensor

__all__ = ["FILL_MODES", "INTERPOLATIONS", "sampled", "warped"]

FILL_MODES = ("reflect", "wrap", "constant", "nearest")
INTERPOLATIONS = ("nearest", "bilinear")


def warped(x: Tensor, matrix: Sequence[Tensor], fill_mode: str, interpolation: str, fill_value: float) -> Tensor:
    """Images (B, C, H, W) whose pixel (x, y) is the old one's at (a0 x + a1 y + a2, b0 x + b1 y + b2).

    ``matrix`` is a0, a1, a2, b0, b1 and b2, each (B,).

    >>> import nnkit
    >>> one, no = nnkit.ones(1), nnkit.zeros(1)
    >>> image = nnkit.tensor([[[[1.0, 2.0, 4.0]]]])
    >>> warped(image, (one, no, one * 0.5, no, one, no), "reflect", "bilinear", 0.0).reshape(-1).tolist()
    [1.5, 3.0, 4.0]
    """
    B, _, H, W = x.shape
    a0, a1, a2, b0, b1, b2 = (part.detach().reshape(B, 1, 1) for part in matrix)
    across = arange(W, dtype=x.dtype, device=x.device).reshape(1, 1, W)
    down = arange(H, dtype=x.dtype, device=x.device).reshape(1, H, 1)
    at_x, at_y = a0 * across + a1 * down + a2, b0 * across + b1 * down + b2
    return sampled(x, at_x, at_y, fill_mode, interpolation, fill_value)


def sampled(x: Tensor, at_x: Tensor, at_y: Tensor, fill_mode: str, interpolation: str, fill_value: float) -> Tensor:
    """Images (B, C, H, W) as seen at other places (B, H, W)."""
    B, C, H, W = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(B * H * W, C)  # Pixels as rows: of images that lie channels-last, no copy.
    image = arange(B, dtype=dtypes.int64, device=x.device).reshape(B, 1, 1) * (H * W)

    def pixel(px: Tensor, py: Tensor) -> Tensor:
        """The pixels at whole coordinates, (B, H, W, C)."""
        taken = image + _folded(py, H, fill_mode).to(dtypes.int64) * W + _folded(px, W, fill_mode).to(dtypes.int64)
        found = ops.take_rows(rows, taken.reshape(B * H * W), True).reshape(B, H, W, C)
        if fill_mode != "constant":
            return found
        inside = ((px >= 0.0) & (px <= W - 1.0) & (py >= 0.0) & (py <= H - 1.0)).reshape(B, H, W, 1)
        return ops.where(inside, found, fill_value)

    if interpolation == "nearest":
        return pixel(_rounded(at_x), _rounded(at_y)).permute(0, 3, 1, 2)
    low_x, low_y = ops.floor(at_x), ops.floor(at_y)
    right, below = ((at - low).reshape(B, H, W, 1) for at, low in ((at_x, low_x), (at_y, low_y)))
    above = pixel(low_x, low_y) * (1.0 - right) + pixel(low_x + 1.0, low_y) * right
    under = pixel(low_x, low_y + 1.0) * (1.0 - right) + pixel(low_x + 1.0, low_y + 1.0) * right
    return (above * (1.0 - below) + under * below).permute(0, 3, 1, 2)


def _rounded(at: Tensor) -> Tensor:
    """The nearest whole number, halves away from 0."""
    return ops.where(at < 0.0, -ops.floor(0.5 - at), ops.floor(at + 0.5))


def _folded(at: Tensor, n: int, fill_mode: str) -> Tensor:
    """The place from 0 to n - 1 that a whole number stands for."""
    if fill_mode == "wrap":
        at = at - ops.floor(at / n) * n
    elif fill_mode == "reflect":  # d c b a | a b c d | d c b a
        at = at - ops.floor(at / (2 * n)) * (2 * n)
        at = ops.where(at < n, at, 2 * n - 1 - at)
    return ops.clamp(at, 0, n - 1)
