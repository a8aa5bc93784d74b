"""Which devices there are, which of them work here, and what happens when one that was asked for does not.

A device counts as usable when it allocated, computed a formula, multiplied two matrices and agreed with NumPy, once;
a GPU when it has also copied, recorded and replayed, as every compiled step does.
Names come from the table below and from the entry-point group ``nnkit.backends``.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import NamedTuple

import numpy as np

from nnkit.backends.base import NAMESPACE, Backend
from nnkit.backends.cuda import diagnosis
from nnkit.backends.device import Device
from nnkit.backends.errors import DeviceUnavailable
from nnkit.backends.recording import Array, recording

#: name -> "module:class". The order of CPU_ORDER and AUTO_ORDER is the order of preference.
BUILT_IN = {
    "numpy": "nnkit.backends.numpy:NumpyBackend",
    "numba": "nnkit.backends.numba:NumbaBackend",
    "cuda": "nnkit.backends.cuda.backend:CupyBackend",
    "strict": "nnkit.backends.strict:StrictBackend",
}
SYNONYMS = {"gpu": "cuda", "nvidia": "cuda", "cupy": "cuda", "mps": "cpu", "xpu": "cpu", "tpu": "cpu"}
CPU_ORDER = ("numba", "numpy")
AUTO_ORDER = ("cuda", *CPU_ORDER)
REMEDIES = {
    "numba": "pip install numba",
    "llvmlite": "pip install numba",
    "array_api_strict": "pip install array-api-strict",
}
_fallback_allowed = True
_registered: dict[str, type[Backend]] = {}
_warned: set[str] = set()
_instances: dict[Device, Backend] = {}
_failures: dict[Device, str | None] = {}


class DeviceFallbackWarning(UserWarning):
    """A device that was asked for cannot be used; the CPU runs instead."""


class DeviceRow(NamedTuple):
    """One row of the device table."""

    name: str
    usable: bool
    detail: str  # versions when usable, else the reason why not and the remedy


def register(backend: type[Backend], replace: bool = False) -> type[Backend]:
    """Make a Backend class known by its ``name``; usable as a decorator.

    ``replace`` allows the name of a built-in one. Raises TypeError for what is no subclass of Backend, or over a
    namespace that lacks something (``backends.base.NAMESPACE``), ValueError for one without a name of its own. Source:
    nnkit's own.

    >>> register(Backend)
    Traceback (most recent call last):
    ValueError: ...
    """
    if not isinstance(backend, type) or not issubclass(backend, Backend):
        what = backend.__name__ if isinstance(backend, type) else f"{type(backend).__name__} object"
        raise TypeError(f"register takes a subclass of nnkit.backends.Backend, got {what}: pass the class itself")
    named = any("name" in vars(one) for one in backend.__mro__ if one is not Backend and issubclass(one, Backend))
    name = backend.name if named else None
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"{backend.__name__}.name must be a word, by which devices are asked for, got {name!r}")
    if (name in BUILT_IN and not replace) or name in SYNONYMS or name in ("cpu", "auto"):
        raise ValueError(f"{backend.__name__}.name is {name!r}, which is taken: choose another")
    missing = [word for word in NAMESPACE if not hasattr(getattr(backend, "xp", None), word)]
    if missing and "xp" in vars(backend):
        raise TypeError(
            f"{backend.__name__}.xp lacks {', '.join(missing)} of the array-API standard: give it a namespace that has "
            "them, such as array_api_compat's"
        )
    _registered[backend.name] = backend
    forget(backend.name)
    return backend


def forget(name: str) -> None:
    """Try the devices of this name anew when they are next asked for."""
    for device in [d for d in (*_instances, *_failures) if d.name == name]:
        _instances.pop(device, None)
        _failures.pop(device, None)


def get(device: str | Device) -> Backend:
    """The backend of a device by name: "numpy", "numba", "cuda", "cuda:1", "cpu" (the best CPU one), "auto" (the best).

    Raises ValueError for an unknown name. A known device that is not usable raises DeviceUnavailable, or, for a GPU
    while the fallback is allowed, warns once and gives the best CPU backend. Source: nnkit's own.

    >>> get("numpy").name
    'numpy'
    """
    wanted = device if isinstance(device, Device) else Device.parse(device)
    if wanted.name == "cpu":
        return _first_usable(CPU_ORDER)
    if wanted.name == "auto":
        return _first_usable(AUTO_ORDER)
    reason = failure(wanted)
    if reason is None:
        return _instance(wanted)
    if wanted.type == "cuda" and fallback_allowed():
        return _fall_back(wanted, reason)
    raise DeviceUnavailable(f"device {str(wanted)!r} cannot be used: {reason}")


def _first_usable(names: tuple[str, ...]) -> Backend:
    for name in names:
        if failure(Device(name)) is None:
            return _instance(Device(name))
    raise DeviceUnavailable(f"none of the devices {', '.join(names)} can be used: {failure(Device(names[-1]))}")


def _fall_back(wanted: Device, reason: str) -> Backend:
    backend = _first_usable(CPU_ORDER)
    if str(wanted) not in _warned:
        _warned.add(str(wanted))
        warnings.warn(
            f"device {str(wanted)!r} cannot be used: {reason}. Running on {str(backend.device)!r} instead. "
            "To make this an error, set NNKIT_STRICT_DEVICE=1 or call nnkit.set_device_fallback(False).",
            DeviceFallbackWarning,
            stacklevel=4,
        )
    return backend


def fallback_allowed() -> bool:
    """Whether a GPU that cannot be used is replaced by the CPU.

    Source: nnkit's own.

    >>> fallback_allowed() in (True, False)
    True
    """
    return _fallback_allowed and os.environ.get("NNKIT_STRICT_DEVICE", "") in ("", "0")


def set_device_fallback(allowed: bool) -> None:
    """Allow (the default) or forbid that the CPU runs where ``device="cuda"`` cannot be used.

    Never raises. Source: nnkit's own.

    >>> set_device_fallback(False); set_device_fallback(True)
    """
    global _fallback_allowed
    _fallback_allowed = allowed


def _instance(device: Device) -> Backend:
    # One object per device: tensors are on the same device when their backend is the same object.
    found = _instances.get(device)
    if found is None:
        found = _instances[device] = _backend_class(device.name)(device.index)
    return found


def _backend_class(name: str) -> type[Backend]:
    if name in _registered:
        return _registered[name]
    places = dict(BUILT_IN)
    if name not in places:
        from importlib.metadata import entry_points

        places |= {entry.name: entry.value for entry in entry_points(group="nnkit.backends")}
    if name not in places:
        raise ValueError(_unknown(name, sorted({*places, *_registered, "cpu", "auto"})))
    module, _, attribute = places[name].partition(":")
    found: type[Backend] = getattr(importlib.import_module(module), attribute)
    return found


def _unknown(name: str, known: list[str]) -> str:
    import difflib

    near = [SYNONYMS[name]] if name in SYNONYMS else difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown device {name!r}{hint} Known: {', '.join(known)}"


def failure(device: Device) -> str | None:
    """None when the device is usable, else the stage that failed, why, and the remedy; tried once, then remembered.

    Raises ValueError for an unknown name.
    """
    if device not in _failures:
        _failures[device] = _try(device)
    return _failures[device]


def _try(device: Device) -> str | None:
    stage = "importing its library"
    try:
        backend_class = _backend_class(device.name)
        stage = "allocating"
        backend = backend_class(device.index)
        # Numbers of few digits, so that products are exact whatever precision the user has chosen for them.
        host = (np.arange(48, dtype=np.float32) % 17 - 8).reshape(6, 8) / 4
        x = backend.asarray(host)
        stage = "running a kernel"
        y = backend.empty((6, 8), np.float32)
        backend.map("relu", (x,), (y,))
        stage = "multiplying two matrices"
        z = backend.empty((6, 6), np.float32)
        backend.matmul(y, backend.permute(x, (1, 0)), z)
        found = [backend.to_numpy(z)]
        if device.type == "cuda":
            stage = "recording and replaying"
            found.append(_replayed(backend, x))
        stage = "agreeing with NumPy"
        expected = np.maximum(host, 0) @ host.T
        if not all(np.allclose(one, expected, rtol=1e-4, atol=1e-4) for one in found):
            return "it computes wrong numbers (a matrix product differs from NumPy's); check driver and hardware"
    except Exception as error:
        if _is_unknown_name(device.name, error):
            raise
        if device.type == "cuda":
            return diagnosis.explain(stage, error, device.index)
        if isinstance(error, ImportError):
            return _missing_module(error)
        return f"{stage} failed: {type(error).__name__}: {error}"
    return None


def _replayed(backend: Backend, x: Array) -> np.ndarray:
    """relu(x) x^T of a copy of x, by a program that is recorded and then replayed."""
    y, copy, z = backend.empty((6, 8), np.float32), backend.duplicate(x), backend.empty((6, 6), np.float32)
    work = backend.recorder()
    with recording(work):
        backend.fill(0.0, z)
        backend.map("relu", (copy,), (y,))
        backend.matmul(y, backend.permute(copy, (1, 0)), z)
    program = work.finish()
    backend.fill(0.0, z)
    program.replay()
    return backend.to_numpy(z)


def _is_unknown_name(name: str, error: Exception) -> bool:
    return isinstance(error, ValueError) and str(error).startswith(f"unknown device {name!r}")


def _missing_module(error: ImportError) -> str:
    missing = (error.name or "").partition(".")[0]
    remedy = REMEDIES.get(missing)
    if isinstance(error, ModuleNotFoundError) and remedy:
        return f"{missing} is not installed: {remedy}"
    return f"importing {missing or 'its library'} failed: {error}" + (f"; try {remedy}" if remedy else "")


def devices() -> list[DeviceRow]:
    """Every known device, whether it is usable here, and its versions or the reason why not.

    Source: nnkit's own.

    >>> [row.name for row in devices() if row.usable][0]
    'numpy'
    """
    from importlib.metadata import entry_points

    plugins = {entry.name for entry in entry_points(group="nnkit.backends")} | _registered.keys()
    names = [n for n in BUILT_IN if n != "strict"] + sorted(plugins - BUILT_IN.keys())
    rows = []
    for name in names:
        reason = failure(Device(name))
        rows.append(DeviceRow(name, reason is None, reason or _instance(Device(name)).versions()))
    return rows
