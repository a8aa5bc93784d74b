"""What a tensor becomes elsewhere: a number, a numpy array, a tensor of another type or on another device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nnkit import backends
from nnkit.backends import Device
from nnkit.backends.recording import note_host_read
from nnkit.errors import GradientError, ShapeError, nearest_names
from nnkit.tensors import dtypes
from nnkit.tensors.methods import OPS

if TYPE_CHECKING:
    from nnkit.tensors.tensor import Tensor


class Conversions:
    """The part of Tensor that takes its values elsewhere."""

    __slots__ = ()

    def _host(self: Any) -> np.ndarray:
        return self.backend.to_numpy(self.array)

    def numpy(self: Any, *, force: bool = False) -> np.ndarray:
        """The values as a numpy array, sharing memory on a CPU. Raises GradientError on the tape, unless ``force``.

        Of a gradient it is a read-only copy, as the gradient's memory is used again after ``zero_grad``.
        """
        if self.requires_grad and not force:
            raise GradientError("numpy() of a tensor that requires grad: use .detach().numpy()")
        return self._lasting()

    def _lasting(self: Any) -> np.ndarray:
        """The values as numpy holds them for whoever keeps them."""
        host = self._host()
        return host if self._shared is None else self._shared.lasting(host)

    def item(self: Any) -> Any:
        """The one element as a Python number."""
        if self.numel() != 1:
            raise ShapeError(f"item() needs a tensor of one element, got shape {self.shape}")
        return self._host().item()

    def tolist(self: Any) -> Any:
        """Nested lists of Python numbers."""
        return self._host().tolist()

    def __array__(self: Any, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        host = self._host() if copy else self._lasting()
        if dtype is not None and host.dtype != dtype:
            return host.astype(dtype)
        return host.copy() if copy else host

    def __dlpack__(self: Any, **options: Any) -> Any:
        note_host_read()
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self: Any) -> Any:
        return self.array.__dlpack_device__()

    def __float__(self: Any) -> float:
        return float(self.item())

    def __int__(self: Any) -> int:
        return int(self.item())

    def __index__(self: Any) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"only integer tensors can be used as an index, got {self.dtype}")
        return int(self.item())

    def __bool__(self: Any) -> bool:
        if self.numel() != 1:
            raise ShapeError(f"the truth value of a tensor of shape {self.shape} is ambiguous: use .any() or .all()")
        return bool(self.item())

    def __format__(self: Any, specification: str) -> str:
        return format(self.item(), specification) if self.numel() == 1 and specification else str(self)

    def to(
        self: Any, *targets: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False,
        copy: bool = False, memory_format: Any = None, other: Any = None,
    ) -> Tensor:  # fmt: skip
        """On another device and/or of another element type; itself where nothing changes, unless ``copy``.

        As in PyTorch a number is that of a GPU, and another tensor stands for its device and type. ``non_blocking`` and
        ``memory_format`` are accepted: copies wait for nobody where they can, and order in memory is a kernel's matter.
        """
        flags = [target for target in targets if isinstance(target, bool)]  # to(device, dtype, non_blocking, copy)
        named = [target for target in (*targets, other) if not isinstance(target, bool)]
        moved = OPS["to"](self, *destination(tuple(named), device, dtype))
        return OPS["clone"](moved) if moved is self and (copy or flags[1:2] == [True]) else moved

    def cpu(self: Any, memory_format: Any = None) -> Tensor:
        """On the best CPU backend, or itself when it is on a CPU already."""
        return self if self.device.type == "cpu" else self.to("cpu")

    def cuda(self: Any, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
        """On an NVIDIA GPU, by number or name; ``non_blocking`` as of ``to``."""
        return self.to(Device("cuda") if device is None else device)


def destination(targets: tuple[Any, ...], device: Any, dtype: Any) -> tuple[Any, Any]:
    """The device and the element type that ``to(*targets, device=, dtype=)`` asks for; None: as it is.

    Raises DtypeError for a text that is nearly the name of a type.
    """
    for target in targets:
        if isinstance(target, Conversions):
            device, dtype = target.device, target.dtype  # type: ignore[attr-defined]
        elif isinstance(target, bool):  # non_blocking and copy, as PyTorch takes them by place
            continue
        elif isinstance(target, Device) or type(target) is int:
            device = target
        elif isinstance(target, str) and not _is_dtype(target):
            device = _checked_device(target)
        elif target is not None:
            dtype = dtypes.as_dtype(target)
    return Device("cuda", device) if type(device) is int else device, dtype


def _is_dtype(text: str) -> bool:
    try:
        np.dtype(text)
    except TypeError:
        return text == "bfloat16"
    return True


def _checked_device(text: str) -> str:
    """The name of a device. Raises what asking for it raises; DtypeError for none that looks like a type."""
    try:
        backends.get(text)
    except ValueError:
        if nearest_names(text, dtypes.NAMES):
            dtypes.as_dtype(text)
        raise
    return text
