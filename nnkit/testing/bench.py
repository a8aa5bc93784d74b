"""What every conformance case is made of: arrays in awkward layouts, a tolerance per type, and a look around them.

A case puts its inputs on a ``Bench``, takes outputs from it, calls one primitive, and says what it expects, computed
by numpy in float64. ``finish`` then checks what a primitive may never do: change an input, or write between the
elements of a strided output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends import Backend

#: Around the width of vector registers, and the two that loops get wrong.
SIZES = (0, 1, 31, 32, 33)
FLOATS = ("float32", "float64")
#: How far a result may lie from numpy's in float64: relative for large values, absolute for small ones.
TOLERANCES = {"float32": 2e-5, "float64": 1e-12}
#: Where an array lies in memory: by itself; one element into a buffer; every other element of one.
LAYOUTS = ("contiguous", "offset", "strided")
#: What surrounds an array in its buffer, and what outputs hold before they are written. Not NaN: integers lack it.
SENTINEL = 77


class Case(NamedTuple):
    """One check of one primitive: its name (unique), the primitive, and a function that raises AssertionError."""

    id: str
    primitive: str
    check: Callable[[Backend], None]


def counted_for(case: Case, primitive: str) -> Case:
    """The same check, counted for another primitive too: that of the gradient."""
    return case._replace(id=f"{case.id}-{primitive}", primitive=primitive)


def sample(shape: tuple[int, ...], dtype: str, low: float = -2.0, high: float = 2.0, seed: int = 0) -> np.ndarray:
    """Numbers from low to high, the same every time; whole ones for integer types, either for booleans.

    >>> sample((2,), "int64", 0, 5).tolist()
    [0, 2]
    """
    uniform = np.random.default_rng([seed, *shape]).uniform(low, high, shape)
    if np.dtype(dtype).kind == "b":
        return uniform > (low + high) / 2
    return (np.floor(uniform) if np.dtype(dtype).kind in "iu" else uniform).astype(dtype)


def assert_close(actual: np.ndarray, expected: Any, what: str = "") -> None:
    """``actual`` equals ``expected`` in shape and type, and in value within the tolerance of its type."""
    wanted = np.asarray(expected)
    assert actual.shape == wanted.shape, f"{what}: expected shape {wanted.shape}, got {actual.shape}"
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = wanted.astype(actual.dtype)
    tolerance = TOLERANCES.get(actual.dtype.name, 0.0)
    np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance, err_msg=what)


class Bench:
    """Makes the arrays of one case in a layout of ``LAYOUTS``, and checks them afterwards."""

    def __init__(self, backend: Backend, layout: str = "contiguous") -> None:
        self.backend = backend
        self.layout = layout
        self._inputs: list[tuple[Any, np.ndarray]] = []
        self._margins: list[Any] = []

    def _place(self, host: np.ndarray) -> Any:
        """An array on the device with the values of ``host``, in this bench's layout."""
        if self.layout == "contiguous" or host.ndim == 0:
            return self.backend.asarray(host)
        if self.layout == "offset":
            buffer = self.backend.asarray(np.append(np.asarray([SENTINEL], host.dtype), host))
            self._margins.append(buffer[:1])
            return self.backend.reshape(buffer[1:], host.shape)
        around = np.full((*host.shape[:-1], 2 * host.shape[-1] + 1), SENTINEL, host.dtype)
        around[..., 1::2] = host
        buffer = self.backend.asarray(around)
        self._margins.append(buffer[..., 0::2])
        return buffer[..., 1::2]

    def given(self, host: Any, dtype: str | None = None) -> Any:
        """An input: an array on the device that no primitive may change."""
        values = np.array(host, dtype=dtype)
        array = self._place(values)
        self._inputs.append((array, values))
        return array

    def changing(self, host: Any, dtype: str | None = None) -> Any:
        """An array with values that the primitive reads and overwrites."""
        return self._place(np.array(host, dtype=dtype))

    def output(self, shape: tuple[int, ...], dtype: str) -> Any:
        """An array to be written."""
        return self._place(np.full(shape, SENTINEL, dtype))

    def close(self, array: Any, expected: Any, what: str = "output") -> None:
        """An output equals ``expected`` within the tolerance of its type."""
        assert_close(self.backend.to_numpy(array), expected, what)

    def equal(self, array: Any, expected: Any, what: str = "output") -> None:
        """An output equals ``expected`` to the bit."""
        np.testing.assert_array_equal(self.backend.to_numpy(array), expected, err_msg=what)

    def finish(self) -> None:
        """No input has changed, nor any memory around the arrays."""
        for number, (array, values) in enumerate(self._inputs):
            assert self.backend.to_numpy(array).tobytes() == values.tobytes(), f"input {number} was changed"
        for margin in self._margins:
            after = self.backend.to_numpy(margin)
            assert (after == np.asarray(SENTINEL, after.dtype)).all(), "memory outside an array was written"
