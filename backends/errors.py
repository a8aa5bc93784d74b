"""The one error of this floor: a device that was asked for and cannot be used."""

from __future__ import annotations


class DeviceUnavailable(RuntimeError):
    """A device cannot be used; the message names the failed stage and the remedy."""
