"""Where a module's tensors live, and of what type: the arguments of ``to``, and moving a tensor in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from nnkit.errors import DtypeError
from nnkit.tensors.conversions import destination
from nnkit.tensors.default_device import resolve
from nnkit.tensors.dtypes import as_dtype, float16, float32, float64, is_float
from nnkit.tensors.tensor import Tensor

__all__ = ["Casts", "converter", "replace"]

Convert = Callable[[Tensor], Tensor]


class Casts:
    """``to`` of an element type, by the type's name. Buffers of whole numbers stay as they are."""

    def to(self, *args: Any, device: Any = None, dtype: Any = None) -> Self:
        """Move to a device, a dtype, or both."""
        raise NotImplementedError

    def float(self) -> Self:
        """Make floating-point tensors float32."""
        return self.to(dtype=float32)

    def double(self) -> Self:
        """Make floating-point tensors float64."""
        return self.to(dtype=float64)

    def half(self) -> Self:
        """Make floating-point tensors float16. To train, keep float32 and use ``nnkit.autocast``."""
        return self.to(dtype=float16)

    def bfloat16(self) -> Self:
        """Make floating-point tensors bfloat16; needs the package ml_dtypes."""
        return self.to(dtype="bfloat16")


def converter(targets: tuple[Any, ...], device: Any, dtype: Any) -> Convert:
    """The move that ``to(*targets, device=, dtype=)`` asks for; a dtype is for floating tensors only."""
    device, dtype = destination(targets, device, dtype)
    if dtype is not None and not is_float(as_dtype(dtype)):
        raise DtypeError(f"dtype: a module holds floating-point numbers, got {as_dtype(dtype)}; use float32 or float64")
    if device is not None:
        device = resolve(device).device

    def convert(tensor: Tensor) -> Tensor:
        return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)

    return convert


def replace(tensor: Tensor, convert: Convert) -> None:
    """Convert ``tensor`` and its gradient in place: the same object afterwards, in other memory."""
    moved = convert(tensor.detach())
    if moved.array is tensor.array:
        return
    gradient = tensor.grad
    tensor.data = moved
    if gradient is not None:
        tensor.grad = convert(gradient)
