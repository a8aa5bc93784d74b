"""Where arrays live and what runs on them: devices, their registry, and the primitives.

``base`` defines every primitive over the array-API standard; ``numpy``, ``numba``, ``cuda`` and ``strict`` are devices;
``registry`` finds them by name, tries them once and falls back. Only this package and ``kernels`` name an array
library.
"""

import importlib
from typing import Any

from nnkit.backends.base import PRIMITIVES, Backend
from nnkit.backends.device import Device
from nnkit.backends.errors import DeviceUnavailable
from nnkit.backends.registry import (
    DeviceFallbackWarning,
    DeviceRow,
    devices,
    fallback_allowed,
    get,
    register,
    set_device_fallback,
)

#: PyTorch's words under ``backends``: switches, imported when first asked for.
_SWITCHES = ("cuda", "cudnn", "mps")


def __getattr__(name: str) -> Any:
    if name in _SWITCHES:
        return importlib.import_module(f"nnkit.backends.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "PRIMITIVES",
    "Backend",
    "Device",
    "DeviceFallbackWarning",
    "DeviceRow",
    "DeviceUnavailable",
    "devices",
    "fallback_allowed",
    "get",
    "register",
    "set_device_fallback",
]
