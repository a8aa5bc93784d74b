"""The errors nnkit raises, and the helper that names the nearest match of an unknown name.

Each class also derives from the built-in error that people already catch, so
``except ValueError`` keeps working. A message names the argument, what was expected,
what came, and the fix, and reads the same on every backend.
"""

from __future__ import annotations

from collections.abc import Iterable

from nnkit.backends.errors import DeviceFault, DeviceOutOfMemory, DeviceUnavailable, MatrixError

__all__ = [
    "NnkitError",
    "ShapeError",
    "DtypeError",
    "DeviceError",
    "DeviceFault",
    "DeviceOutOfMemory",
    "DeviceUnavailable",
    "MatrixError",
    "GradientError",
    "DataError",
    "LabelError",
    "GraphError",
    "DivergenceError",
    "ModelFileError",
    "UnknownNameError",
    "nearest_names",
]


def __dir__() -> list[str]:
    return sorted(__all__)


class NnkitError(Exception):
    """The base class of every error raised by nnkit."""


class ShapeError(NnkitError, ValueError):
    """An array has the wrong rank or size."""


class DtypeError(NnkitError, TypeError, ValueError):
    """An array has an element type that cannot be used here."""


class DeviceError(NnkitError, ValueError):
    """Tensors of different devices met in one operation."""


class GradientError(NnkitError, RuntimeError):
    """``backward`` or ``grad`` was asked for something that has no gradient."""


class DataError(NnkitError, ValueError):
    """Training data cannot be used: empty, not finite, of unequal lengths."""


class LabelError(DataError):
    """A class label is not an integer from 0 to the number of classes less one."""


class GraphError(NnkitError, RuntimeError):
    """A step was to be replayed as a whole, and cannot be."""


class DivergenceError(NnkitError, RuntimeError):
    """The loss turned NaN or infinite during training."""


class ModelFileError(NnkitError, ValueError):
    """A model file is truncated, hostile, or made for another architecture."""


class UnknownNameError(NnkitError, ValueError):
    """A name (of a loss, an optimizer, an activation) that nnkit does not know.

    >>> print(UnknownNameError("activation", "rleu", ["relu", "gelu", "tanh"]))
    unknown activation 'rleu'; did you mean 'relu'? Known: gelu, relu, tanh
    """

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        known = sorted(known)
        near = nearest_names(str(name), known)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ";"
        super().__init__(f"unknown {kind} {name!r}{hint} Known: {', '.join(known)}")


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """At most three of ``known`` that look like ``name``, the nearest first.

    Never raises. By Python's ``difflib``.

    >>> nearest_names("rleu", ["relu", "gelu", "tanh"])
    ['relu']
    """
    import difflib

    by_lower = {k.lower(): k for k in known}
    return [by_lower[m] for m in difflib.get_close_matches(name.lower(), by_lower, n=3)]
