"""Conformance of memory: what goes to the device comes back, as a copy, in every element type; and views are views."""

from __future__ import annotations

import numpy as np

from nnkit.backends import Backend
from nnkit.testing.bench import Bench, Case, sample

TYPES = ("float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
SHAPES = ((), (0,), (1,), (33,), (3, 31), (2, 0, 3))


def _round_trip(dtype: str) -> Case:
    def check(backend: Backend) -> None:
        for shape in SHAPES:
            host = sample(shape, dtype, 0, 9)
            array = backend.asarray(host)
            assert tuple(array.shape) == shape, f"asarray: expected shape {shape}, got {tuple(array.shape)}"
            assert backend.dtype_of(array) == host.dtype, f"dtype_of: expected {dtype}, got {backend.dtype_of(array)}"
            back = backend.to_numpy(array)
            assert isinstance(back, np.ndarray), f"to_numpy gave {type(back).__name__}, not numpy.ndarray"
            np.testing.assert_array_equal(back, host, strict=True)

    return Case(f"asarray-{dtype}", "asarray", check)


def _asarray_copies(backend: Backend) -> None:
    """The caller's array is not shared, whatever its layout."""
    whole = np.arange(12.0)
    for host in (whole.copy(), whole.reshape(3, 4).T, whole[::2], whole[::-1]):
        values = host.copy()
        array = backend.asarray(host)
        backend.fill(5, array)
        np.testing.assert_array_equal(host, values, err_msg="asarray shares the caller's memory")
        assert tuple(array.shape) == host.shape


def _asarray_converts(backend: Backend) -> None:
    """Nested lists, and a type other than the values' own."""
    array = backend.asarray([[1, 2], [3, 4]], np.float32)
    np.testing.assert_array_equal(backend.to_numpy(array), np.array([[1, 2], [3, 4]], np.float32), strict=True)


def _large(backend: Backend) -> None:
    """Arrays of several megabytes, which a device may be sent in parts: of another layout, type and byte order."""
    host = np.arange(5 << 19, dtype=np.float32).reshape(1 << 10, 5 << 9)
    for given in (host, host.T, host[::-1].astype(">f8")):
        array = backend.asarray(given, np.float32)
        np.testing.assert_array_equal(backend.to_numpy(array), given)
    backend.upload(host[::-1] * 2, array)
    np.testing.assert_array_equal(backend.download(array), host[::-1] * 2)


def _empty_and_zeros(backend: Backend) -> None:
    for dtype in TYPES:
        for shape in SHAPES:
            for array in (backend.empty(shape, np.dtype(dtype)), backend.zeros(shape, np.dtype(dtype))):
                assert tuple(array.shape) == shape, f"expected shape {shape}, got {tuple(array.shape)}"
                assert backend.dtype_of(array) == dtype, f"expected {dtype}, got {backend.dtype_of(array)}"
            np.testing.assert_array_equal(backend.to_numpy(array), np.zeros(shape, dtype))


def _views(backend: Backend) -> None:
    """reshape of contiguous memory and permute share it: what is written to one is read from the other."""
    bench = Bench(backend)
    x = bench.changing(np.zeros((3, 4)))
    flat, turned = backend.reshape(x, (12,)), backend.permute(x, (1, 0))
    backend.copy(backend.asarray(np.arange(12.0)), flat)
    bench.equal(x, np.arange(12.0).reshape(3, 4), "after writing to the reshaped view")
    backend.fill(7, turned)
    bench.equal(flat, np.full(12, 7.0), "after writing to the permuted view")


def _reshape(backend: Backend) -> None:
    """Row-major order, also of a view that is not contiguous."""
    host = np.arange(24.0).reshape(2, 3, 4)
    turned = backend.permute(backend.asarray(host), (2, 0, 1))
    np.testing.assert_array_equal(backend.to_numpy(turned), host.transpose(2, 0, 1))
    flat = backend.to_numpy(backend.reshape(turned, (4, 6)))
    np.testing.assert_array_equal(flat, host.transpose(2, 0, 1).reshape(4, 6))


def _broadcast_to(backend: Backend) -> None:
    for shape, wanted in (((3, 1), (3, 31)), ((4,), (2, 4)), ((), (2, 3)), ((1, 0), (5, 0))):
        host = sample(shape, "float32")
        array = backend.broadcast_to(backend.asarray(host), wanted)
        np.testing.assert_array_equal(backend.to_numpy(array), np.broadcast_to(host, wanted))


def _span(backend: Backend) -> None:
    """A device that works on its own time says when it has done what lies between two moments."""
    array = backend.zeros((33,), np.dtype("float32"))
    span = backend.span()
    backend.fill(7, array)
    if span is not None:
        span.end()
        seconds = span.wait()
        assert 0.0 <= seconds < np.inf, f"wait: expected seconds, got {seconds!r}"
    np.testing.assert_array_equal(backend.to_numpy(array), np.full(33, 7, np.float32))


CASES = [
    *(_round_trip(dtype) for dtype in TYPES),
    Case("asarray-copies", "asarray", _asarray_copies),
    Case("asarray-converts", "asarray", _asarray_converts),
    Case("large", "asarray", _large),
    Case("empty-and-zeros", "zeros", _empty_and_zeros),
    Case("views", "reshape", _views),
    Case("reshape", "reshape", _reshape),
    Case("broadcast_to", "broadcast_to", _broadcast_to),
    Case("span", "fill", _span),
]
