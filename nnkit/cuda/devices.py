"""Which GPUs there are and what they can do."""

from __future__ import annotations

import importlib
from typing import Any

from nnkit.backends import Device, DeviceUnavailable, get
from nnkit.backends.registry import failure
from nnkit.errors import DeviceError

__all__ = [
    "current_device", "device", "device_count", "figures", "get_arch_list", "get_device_capability", "get_device_name",
    "get_device_properties", "index_of", "init", "is_available", "is_bf16_supported", "is_initialized", "set_device",
    "synchronize", "version", "why_not",
]  # fmt: skip


def is_available() -> bool:
    """Whether a GPU is usable: it allocated, computed and agreed with NumPy, which is tried once, then remembered.

    Source: ``torch.cuda.is_available``.

    >>> is_available() == (device_count() > 0)
    True
    """
    return failure(Device("cuda")) is None


def why_not() -> str | None:
    """The reason why no GPU is usable and the remedy, or None when one is.

    Source: nnkit's own.

    >>> (why_not() is None) == is_available()
    True
    """
    return failure(Device("cuda"))


def device_count() -> int:
    """The number of usable GPUs.

    Source: ``torch.cuda.device_count``.

    >>> len(get_arch_list()) <= device_count()
    True
    """
    count = 0
    while failure(Device("cuda", count)) is None:
        count += 1
    return count


def is_initialized() -> bool:
    """Whether a GPU is usable, which a first question finds out.

    Source: ``torch.cuda.is_initialized``.

    >>> is_initialized() == is_available()
    True
    """
    return is_available()


def init() -> None:
    """Do nothing: a GPU is made ready when it is first used.

    Source: ``torch.cuda.init``.

    >>> init()
    """


def current_device() -> int:
    """The number of the GPU that "cuda" without a number means: 0, or where ``mpirun`` started several here, its own.

    Raises DeviceUnavailable where it is not usable. Source: ``torch.cuda.current_device``.

    >>> (current_device() if is_available() else 0) >= 0
    True
    """
    return index_of(None)


def set_device(device: Any) -> None:
    """Use the GPU that "cuda" always means.

    Raises DeviceError for another that is usable, ValueError for what is no GPU. Source: ``torch.cuda.set_device``.

    >>> set_device("cuda")
    """
    index, own = _number(device), Device("cuda").index
    if index not in (None, -1, own) and failure(Device("cuda", index)) is None:
        raise DeviceError(
            f"set_device({index}): 'cuda' without a number is always GPU {own} here; name the other one where "
            f"tensors are made or moved, device='cuda:{index}', or start with CUDA_VISIBLE_DEVICES={index}"
        )


class device:
    """``with nnkit.cuda.device(0):``, which changes nothing, as ``set_device`` is for GPU 0 alone.

    Raises ValueError for what is no GPU, and on entering DeviceError for another GPU that is usable. Source:
    ``torch.cuda.device``.

    >>> with device(0):
    ...     print(device("cuda:1").idx)
    1
    """

    def __init__(self, device: Any) -> None:
        self.idx = _number(device)

    def __enter__(self) -> None:
        set_device(self.idx)

    def __exit__(self, *exception: object) -> None:
        return None


def get_device_name(device: Any = None) -> str:
    """The name of a GPU, such as "NVIDIA H100 80GB HBM3".

    Raises DeviceUnavailable where it is not usable, ValueError for what is no GPU. Source:
    ``torch.cuda.get_device_name``.

    >>> is_available() and get_device_name(0) == ""
    False
    """
    return str(figures(index := index_of(device)).properties(index).name)


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability of a GPU, such as (9, 0).

    Raises DeviceUnavailable where it is not usable, ValueError for what is no GPU. Source:
    ``torch.cuda.get_device_capability``.

    >>> is_available() and get_device_capability() < (1, 0)
    False
    """
    found = get_device_properties(device)
    return found.major, found.minor


def get_device_properties(device: Any = None) -> Any:
    """What a GPU is: ``name``, ``major``, ``minor``, ``total_memory`` in bytes and ``multi_processor_count``.

    Raises DeviceUnavailable where it is not usable, ValueError for what is no GPU. Source:
    ``torch.cuda.get_device_properties``.

    >>> is_available() and get_device_properties(0).total_memory == 0
    False
    """
    index = index_of(device)
    return figures(index).properties(index)


def get_arch_list() -> list[str]:
    """The architectures of the GPUs that are usable, such as ["sm_90"]: kernels are compiled for those.

    Source: ``torch.cuda.get_arch_list``.

    >>> all(name.startswith("sm_") for name in get_arch_list())
    True
    """
    return sorted({"sm_{}{}".format(*get_device_capability(index)) for index in range(device_count())})


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether a GPU is usable, and has units for bfloat16 or may do without.

    Raises nothing. Source: ``torch.cuda.is_bf16_supported``.

    >>> is_bf16_supported() == is_available()
    True
    """
    return is_available() and (including_emulation or get_device_capability() >= (8, 0))


def synchronize(device: Any = None) -> None:
    """Wait until a GPU has done all it was given; nothing where none is usable, as a CPU is never behind.

    Raises ValueError for what is no GPU. Source: ``torch.cuda.synchronize``.

    >>> synchronize("cuda:0")
    """
    index = _or_own(device)
    if failure(Device("cuda", index)) is None:
        get(Device("cuda", index)).synchronize()


def version() -> str | None:
    """The version of CUDA that CuPy runs with, such as "12.9"; None where no GPU is usable.

    Source: ``torch.version.cuda``.

    >>> (version() is not None) == is_available()
    True
    """
    return str(figures(0).version()) if is_available() else None


# ---- for the other modules of this package -----------------------------------------------------------------------


def figures(index: int) -> Any:
    """The module that asks CuPy. Raises DeviceUnavailable where GPU ``index`` is not usable."""
    reason = failure(Device("cuda", index))
    if reason is not None:
        raise DeviceUnavailable(reason)
    return importlib.import_module("nnkit.backends.cuda.figures")


def index_of(device: Any) -> int:
    """The number of a usable GPU; None means that of "cuda". Raises DeviceUnavailable where it is not usable."""
    index = _or_own(device)
    figures(index)
    return index


def _or_own(device: Any) -> int:
    index = _number(device)
    return Device("cuda").index if index is None else index


def _number(device: Any) -> int | None:
    if device is None or isinstance(device, int):
        return device
    found = device if isinstance(device, Device) else Device.parse(str(device))
    if found.type != "cuda":
        raise ValueError(f"device: expected a GPU such as 'cuda:0' or its number, got {str(found)!r}")
    return found.index
