"""Which steps of a sequence count: a mask (batch, steps) of booleans that a tensor carries from layer to layer.

``Embedding(mask_zero=True)`` and ``Masking`` make masks, recurrent layers obey them, and layers that treat each step by
itself hand them on. What ops make of a masked tensor is a plain one.
"""

from __future__ import annotations

from typing import Any

from nnkit.keras.readable import Readable
from nnkit.tensor import Tensor

__all__ = ["Masked", "mask_of", "unmasked", "with_mask"]


class Masked(Readable):
    """A tensor whose steps count where ``mask`` is True."""

    __slots__ = ("mask",)

    mask: Tensor


def mask_of(x: Any) -> Tensor | None:
    """The mask that a tensor carries, or None."""
    return x.mask if isinstance(x, Masked) else None


def with_mask(x: Tensor, mask: Tensor) -> Masked:
    """``x``, in the same memory and at the same place of the tape, with a mask."""
    masked = Masked(x.array, x.backend)
    masked.node, masked.version = x.node, x.version
    masked.mask = mask
    return masked


def unmasked(x: Any) -> Any:
    """A tensor without its mask."""
    if not isinstance(x, Masked):
        return x
    plain = Tensor(x.array, x.backend)
    plain.node, plain.version = x.node, x.version
    return plain
