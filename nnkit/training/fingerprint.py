"""By what a training that goes on later recognises its data: shapes, element types and a checksum."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnkit.tensors.loading import Fit
from nnkit.training.checked import Checked

__all__ = ["checksum", "compare", "fingerprint"]

WHOLE = 1 << 26  # bytes; of a larger array as much is looked at in blocks
BLOCK = 1 << 16
ABSENT = object()


def fingerprint(arrays: Mapping[str, np.ndarray | Checked | None]) -> dict[str, Any]:
    """Of each array that is there: shape, element type and checksum.

    >>> fingerprint({"x": np.zeros((2, 3)), "sample_weight": None})
    {'x': {'shape': [2, 3], 'dtype': 'float64', 'checksum': 4069045141}}
    """
    return {
        name: {"shape": list(array.shape), "dtype": array.dtype.name, "checksum": checksum(array)}
        for name, array in arrays.items()
        if array is not None
    }


def checksum(given: np.ndarray | Checked) -> int:
    """A CRC-32 of the bytes; of an array of more than 64 MB of blocks that are spread over it evenly.

    Of what is not converted yet no more is converted than is looked at.
    """
    checked = given if isinstance(given, Checked) else Checked(given, given.dtype)
    if checked.nbytes <= WHOLE:
        return zlib.crc32(checked.converted().reshape(-1).view(np.uint8).data)
    array, width, found = checked.array, checked.dtype.itemsize, 0
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    for start in np.linspace(0, checked.nbytes - BLOCK, WHOLE // BLOCK).astype(np.int64).tolist():
        first, last = start // width, -(-(start + BLOCK) // width)
        block = Checked(flat[first:last], checked.dtype).converted().view(np.uint8)
        found = zlib.crc32(block[start - first * width :][:BLOCK].data, found)
    return found


def compare(fit: Fit, what: str, saved: Mapping[str, Any] | None, own: Mapping[str, Any] | None) -> None:
    """Note in ``fit`` by what the data of a checkpoint differ from these."""
    saved, own = saved or {}, own or {}
    for name in dict.fromkeys([*saved, *own]):
        before, now = saved.get(name, ABSENT), own.get(name, ABSENT)
        if before == now:
            continue
        if isinstance(now, Mapping) and isinstance(before, Mapping):
            parts = [key for key in ("shape", "dtype") if before.get(key) != now[key]]
            fit.problems += [
                f"{name}{what} has {key} {before.get(key)} in the checkpoint, {now[key]} here" for key in parts
            ]
            if not parts:
                fit.refuse(f"{name}{what} holds other numbers than in the checkpoint")
        else:
            fit.refuse(f"{name}{what} is {_shown(before)} in the checkpoint, {_shown(now)} here")


def _shown(value: Any) -> str:
    return "absent" if value is ABSENT else "there" if isinstance(value, Mapping) else repr(value)
