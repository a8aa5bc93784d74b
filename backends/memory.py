"""Where a backend's arrays live: making them, moving them to and from the host, and views of them.

A namespace of the array-API standard has all of this; a backend overrides what its library does better.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from nnkit.backends.device import Device
from nnkit.backends.pool import shadow
from nnkit.backends.program import Program, ProgramRecorder
from nnkit.backends.recording import Array, note_host_read, paused, recorder


class HostStream(Protocol):
    """Host arrays, brought to a device in batches."""

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[tuple[Array, ...]]:
        """For each array of row numbers, those rows of every source; overwritten when the next ones are asked for."""


class Span(Protocol):
    """Work that a thread gives to a device, which does it on its own time; it begins where the span is made."""

    def end(self) -> None:
        """The work ends with what was given so far."""

    def wait(self) -> float:
        """Wait until the device has done it; the seconds that it took."""


class _OneByOne:
    """Each batch is copied when it is asked for."""

    def __init__(self, memory: Memory, sources: Sequence[np.ndarray], types: Sequence[np.dtype]) -> None:
        self._memory, self._sources = memory, list(zip(sources, types, strict=True))

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[tuple[Array, ...]]:
        for rows in indices:
            with np.errstate(over="ignore"):
                arrays = tuple(self._memory.asarray(source[rows], dtype) for source, dtype in self._sources)
            yield arrays


class Memory:
    """A device's memory over the array-API namespace ``xp``; ``Backend`` adds what is computed in it."""

    name = "reference"
    xp: Any = None

    def __init__(self, index: int = 0) -> None:
        self.device = Device(self.name, index)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array whose values are not set."""
        array = self.xp.empty(shape, dtype=self.native(dtype))
        at_work = recorder()
        if at_work is not None:
            at_work.adopt(array)
        return array

    def asarray(self, values: Any, dtype: Any = None) -> Array:
        """A new array on this device with the values of a numpy array or nested list."""
        host = np.array(values, dtype=dtype, order="C")
        return self.xp.asarray(host, dtype=self.native(host.dtype))

    def to_numpy(self, array: Array) -> np.ndarray:
        """The values as a numpy array on the host; may share memory. A step that does this cannot be replayed."""
        note_host_read()
        return np.asarray(array)

    def one(self, dtype: Any) -> Array:
        """A 1 of this type, of shape (); the same each time, and not to be written."""
        found = self._ones.get(dtype)
        if found is None:
            with paused():  # no step makes it
                found = self._ones.setdefault(dtype, self.asarray(np.ones((), dtype)))
        return found

    @functools.cached_property
    def _ones(self) -> dict[Any, Array]:
        return {}

    def native(self, dtype: Any) -> Any:
        """This namespace's dtype for a numpy dtype. Raises TypeError where it has none."""
        name = np.dtype(dtype).name
        if not hasattr(self.xp, name):
            raise TypeError(f"device {str(self.device)!r} has no element type {name}; use float32")
        return getattr(self.xp, name)

    def dtype_of(self, array: Array) -> np.dtype:
        """The numpy dtype of an array."""
        return np.dtype(str(array.dtype).rpartition(".")[2])

    def synchronize(self) -> None:
        """Wait until the device has done what it was given; at once on a CPU."""

    def span(self) -> Span | None:
        """Begin to watch what this thread gives the device; None where a call returns when its work is done."""
        return None

    def recorder(self) -> ProgramRecorder:
        """A recorder for a program of this backend; ``recording.recording(recorder)`` puts it to work."""
        return ProgramRecorder(Program)

    def transfer(self, x: Array, out: Array) -> None:
        """Copy x into out, of the same type and shape, outside of any program."""
        out[...] = x

    def upload(self, x: np.ndarray, out: Array) -> None:
        """Copy a host array into out, of the same type and shape, outside of any program."""
        out[...] = self.xp.asarray(x)

    def download(self, x: Array) -> np.ndarray:
        """A copy of an array on the host, outside of any program."""
        return np.array(self.to_numpy(x))

    def duplicate(self, x: Array) -> Array:
        """A copy in memory of its own, outside of any program."""
        return self.xp.asarray(x, copy=True)

    def duplicator(self, x: Array) -> Callable[[], Array]:
        """``duplicate`` of one array, to be called again and again, with all decided that can be decided now."""
        return functools.partial(self.duplicate, x)

    def keeps(self, nbytes: int) -> bool:
        """Whether training data of so many bytes may lie in this memory as a whole; else they are streamed to it."""
        return True

    def host_stream(self, sources: Sequence[np.ndarray], rows: int, types: Sequence[np.dtype]) -> HostStream:
        """Batches of at most ``rows`` rows of host arrays (N, ...), brought to this memory one after the other.

        There they are of ``types``; the sources may be of others.
        """
        return _OneByOne(self, sources, types)

    def versions(self) -> str:
        """The library that carries this backend and its version, for the device table."""
        return f"{self.xp.__name__.removeprefix('array_api_compat.')} {getattr(self.xp, '__version__', '')}".strip()

    def quietly(self) -> AbstractContextManager[Any]:
        """A context in which infinity and NaN come out without the array library's warnings."""
        return contextlib.nullcontext()

    def batch_of(self, rows: int) -> AbstractContextManager[Any]:
        """A context of work on a batch of so many rows: where memory runs out, the error says how many would fit."""
        return contextlib.nullcontext()

    # ---- views: no data moves --------------------------------------------------------------------------------

    def view(self, x: Array, shape: tuple[int, ...]) -> Array | None:
        """The same elements in row-major order under another shape, in the same memory; None where they would move."""
        if 0 in x.shape:  # of no memory at all some libraries say that it is not shared
            return self.xp.reshape(x, shape)
        try:
            return self.xp.reshape(x, shape, copy=False)
        except (AttributeError, ValueError):
            return None

    def is_contiguous(self, x: Array) -> bool:
        """Whether the elements lie in memory one after the other, in row-major order."""
        seen = x if hasattr(x, "flags") else shadow(x)
        return seen is None or bool(seen.flags.c_contiguous)

    def strides(self, x: Array) -> tuple[int, ...]:
        """How many bytes lie between neighbours along each axis."""
        seen = x if hasattr(x, "strides") else shadow(x)
        return (1,) * len(x.shape) if seen is None else tuple(seen.strides)

    def address(self, x: Array) -> int:
        """Where the first element lies in the device's memory; 0 where that cannot be told."""
        seen = shadow(x)
        return 0 if seen is None else int(seen.__array_interface__["data"][0])

    def permute(self, x: Array, axes: tuple[int, ...]) -> Array:
        """The axes in another order; a view."""
        return self.xp.permute_dims(x, axes)

    def broadcast_to(self, x: Array, shape: tuple[int, ...]) -> Array:
        """x repeated along axes of size 1 and new leading axes; a view, not to be written."""
        return self.xp.broadcast_to(x, shape)
