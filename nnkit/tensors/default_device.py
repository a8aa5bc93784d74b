"""The device of tensors that are made without one."""

from __future__ import annotations

from nnkit import backends
from nnkit.backends import Backend, Device
from nnkit.recording.state import changed

_default_device = ["cpu"]


def set_default_device(device: str | Device) -> None:
    """The device of tensors made without ``device=``.

    Raises ValueError for an unknown name. Source: ``torch.set_default_device``.

    >>> before = get_default_device()
    >>> set_default_device("numpy"); str(get_default_device())
    'numpy'
    >>> set_default_device(before)
    """
    backends.get(device)
    _default_device[0] = str(device)
    changed()


def get_default_device() -> Device:
    """The device of tensors made without ``device=``: the best CPU backend unless set otherwise.

    As ``torch.get_default_device``.

    >>> import nnkit
    >>> get_default_device() == nnkit.ones(1).device
    True
    """
    return backends.get(_default_device[0]).device


def resolve(device: str | Device | None) -> Backend:
    """The backend of a device; None means the default."""
    return backends.get(_default_device[0] if device is None else device)
