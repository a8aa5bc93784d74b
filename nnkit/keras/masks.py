"""Which steps of a sequence count: a mask (batch, steps) of booleans that a tensor carries from layer to layer.

``Embedding(mask_zero=True)`` and ``Masking`` make masks, recurrent layers obey them, and layers that treat each step by
itself hand them on. What ops make of a masked tensor is a plain one. A mask that reaches a model's output weighs the
loss and the metrics.
"""

from __future__ import annotations

from typing import Any

from nnkit.keras.readable import Readable
from nnkit.tensors.tensor import Tensor

__all__ = ["Masked", "by_step", "mask_of", "unmasked", "with_mask"]


class Masked(Readable):
    """A tensor whose steps count where ``mask`` is True."""

    __slots__ = ("mask",)

    mask: Tensor

    def detach(self) -> Tensor:
        """The same memory, off the tape, with the mask."""
        return with_mask(super().detach(), self.mask)


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


def by_step(prediction: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """A masked prediction with each step as a sample of its own, whose weight is that of its sample where it counts.

    Without a mask all stays as it is.
    """
    mask = mask_of(prediction)
    if mask is None:
        return prediction, target, weight
    held = mask.to(prediction.dtype)
    if weight is not None:
        held = held * weight.reshape(-1, *(1 for _ in mask.shape[1:])).to(held.dtype)
    flat = [t.reshape(mask.numel(), *t.shape[mask.ndim :]) for t in (unmasked(prediction), target)]
    return flat[0], flat[1], held.reshape(-1)
