"""Host arrays on their way to the GPU: values arrive whatever their layout, and the host holds no second copy."""

from __future__ import annotations

import threading
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_in
from stand_in.machine import Machine

from nnkit.backends import registry
from nnkit.backends.errors import DeviceFault

LATE = {"at once": set(), "late copies": {"copy"}, "both late": {"copy", "kernel"}}


@pytest.fixture(params=LATE)
def late(request: pytest.FixtureRequest, gpu: Machine) -> Machine:
    """The machine, which puts off what the parameter says."""
    gpu.late = LATE[request.param]
    return gpu


@pytest.fixture
def small(gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Buffers of 1 KiB, for arrays of more than 256 bytes."""
    from nnkit.backends.cuda import uploads

    monkeypatch.setattr(uploads, "PIECE", 1024)
    monkeypatch.setattr(uploads, "LARGE", 256)
    return uploads


def numbers(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(0).integers(-99, 99, size=shape).astype(dtype)


def mapped(folder: Path) -> np.ndarray:
    numbers(40, 50).tofile(folder / "numbers")
    return np.memmap(folder / "numbers", np.float64, "r", shape=(40, 50))


def read_only(folder: Path) -> np.ndarray:
    host = numbers(40, 50)
    host.flags.writeable = False
    return host


SOURCES: dict[str, Callable[[Path], np.ndarray]] = {
    "contiguous": lambda folder: numbers(40, 50),
    "one axis": lambda folder: numbers(5000, dtype=np.int64),
    "rows larger than a buffer": lambda folder: numbers(3, 700),
    "rows of planes larger than a buffer": lambda folder: numbers(2, 3, 500),
    "exactly two buffers": lambda folder: numbers(256),
    "transposed": lambda folder: numbers(40, 50).T,
    "Fortran's order": lambda folder: np.asfortranarray(numbers(4, 5, 60)),
    "every second": lambda folder: numbers(80, 100)[::2, ::2],
    "backwards": lambda folder: numbers(40, 50)[::-1, ::-1],
    "one row, repeated": lambda folder: np.broadcast_to(numbers(50), (40, 50)),
    "big-endian": lambda folder: numbers(40, 50, dtype=">f8"),
    "big-endian integers": lambda folder: numbers(40, 50, dtype=">i4")[:, ::3],
    "unaligned": lambda folder: np.frombuffer(b"x" + numbers(500).tobytes(), np.float64, offset=1),
    "read-only": read_only,
    "in a file": mapped,
    "booleans": lambda folder: numbers(40, 50) > 0,
    "halves": lambda folder: numbers(40, 50, dtype=np.float16),
    "no axes": lambda folder: np.array(3.5),
    "no elements": lambda folder: numbers(3, 0, 7),
    "a few": lambda folder: numbers(3, 4)[:, ::2],
}


@pytest.mark.parametrize("dtype", [None, "float32", "int64"])
@pytest.mark.parametrize("name", SOURCES)
def test_an_array_arrives_whatever_its_layout(
    name: str, dtype: str | None, small: Any, late: Machine, tmp_path: Path
) -> None:
    host, backend = SOURCES[name](tmp_path), registry.get("cuda")
    expected = np.array(host, dtype=dtype)
    expected = expected.astype(expected.dtype.newbyteorder("="))
    array = backend.asarray(host, dtype)
    if host.flags.writeable:
        host[...] = 0  # it was read before the call returned
    np.testing.assert_array_equal(backend.to_numpy(array), expected, strict=True)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_conversion_rounds_as_on_the_host(dtype: str, small: Any, late: Machine) -> None:
    pytest.importorskip("ml_dtypes")
    host, backend = np.random.default_rng(0).normal(size=(30, 40)), registry.get("cuda")
    np.testing.assert_array_equal(backend.to_numpy(backend.asarray(host, dtype)), host.astype(dtype))


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
def test_an_array_is_sent_into_one_that_is_there(layout: str, small: Any, late: Machine) -> None:
    backend, host = registry.get("cuda"), numbers(40, 50)
    whole = backend.asarray(np.zeros((50, 80) if layout == "strided" else (50, 40)))
    out = {"contiguous": backend.reshape(whole[:, :40], (40, 50)), "transposed": whole.T, "strided": whole[:, ::2].T}
    for turn in (host, host * 2.0, host[::-1]):
        backend.upload(turn, out[layout])
        np.testing.assert_array_equal(backend.to_numpy(out[layout]), turn)
    if layout == "strided":
        assert not backend.to_numpy(whole)[:, 1::2].any(), "what lies between stays"


@pytest.mark.parametrize("per_thread", [False, True], ids=["one stream", "a stream of each thread"])
def test_threads_and_gpus_do_not_mix_their_values(per_thread: bool, small: Any, late: Machine) -> None:
    late.per_thread = per_thread
    found: dict[int, list[bool]] = {}

    def send(number: int) -> None:
        backend = registry.get(f"cuda:{number % 2}")
        hosts = [numbers(30, 40) + 1000 * number + turn for turn in range(5)]
        arrays = [backend.asarray(host, "float32") for host in hosts]
        assert all(array.data.device_id == number % 2 for array in arrays)
        found[number] = [
            np.array_equal(backend.to_numpy(array), host) for array, host in zip(arrays, hosts, strict=True)
        ]

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [True] * 5 for number in range(4)}
    assert late.counts["cudaHostAlloc"] == 4, "two buffers for each GPU"


def test_what_the_stream_does_before_comes_before(small: Any, late: Machine) -> None:
    backend, host = registry.get("cuda"), numbers(20, 30, dtype=np.float32)
    array, before = backend.zeros((20, 30), "float32"), backend.empty((20, 30), "float32")
    backend.fill(7, array)
    backend.copy(array, before)
    backend.upload(host, array)
    assert (backend.to_numpy(before) == 7).all()
    np.testing.assert_array_equal(backend.to_numpy(array), host)


@pytest.mark.parametrize(("source", "dtype"), [("float64", "float32"), ("float32", None), (">f8", "float32")])
def test_the_host_holds_no_second_copy(source: str, dtype: str | None, gpu: Machine) -> None:
    backend, host = registry.get("cuda"), np.ones((4096, 2048), source).T
    backend.asarray(host[:1], dtype)
    tracemalloc.start()
    try:
        array = backend.asarray(host, dtype)
        peak = tracemalloc.get_traced_memory()[1] - array.nbytes  # a pretended GPU's memory is the host's
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        backend.upload(host.astype(array.dtype), array)
        again = tracemalloc.get_traced_memory()[1] - before - array.nbytes  # what astype made
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        back = backend.to_numpy(array)
        down = tracemalloc.get_traced_memory()[1] - before - back.nbytes
    finally:
        tracemalloc.stop()
    assert array.nbytes == 32 << 20
    assert max(peak, again) < (17 << 20) and down < (1 << 20), "two buffers of 8 MiB, which stay"
    assert gpu.counts["cudaHostAlloc"] == 2


def test_without_pinned_memory_it_goes_on_after_one_warning(small: Any, late: Machine) -> None:
    stand_in.fail("cudaHostAlloc", times=1000)
    backend, host = registry.get("cuda"), numbers(40, 50)
    with pytest.warns(UserWarning, match="no more pinned host memory: data reaches the GPU more slowly") as caught:
        array = backend.asarray(host)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        more = backend.asarray(host + 1)
    np.testing.assert_array_equal(backend.to_numpy(array), host)
    np.testing.assert_array_equal(backend.to_numpy(more), host + 1)


@pytest.mark.parametrize("call", ["cudaMemcpyAsync", "cudaEventRecord", "cudaEventSynchronize", "cudaHostAlloc"])
def test_a_fault_is_told_and_the_next_array_arrives(call: str, small: Any, late: Machine) -> None:
    backend, host = registry.get("cuda"), numbers(40, 50)
    stand_in.fail(call, at=2, error="cudaErrorInvalidValue")
    with pytest.raises(DeviceFault, match=r"cuda failed while .*: cudaErrorInvalidValue"):
        backend.asarray(host)
    np.testing.assert_array_equal(backend.to_numpy(backend.asarray(host)), host)


def test_ctrl_c_within_an_upload_leaves_the_buffers_right(small: Any, late: Machine) -> None:
    backend, host = registry.get("cuda"), numbers(40, 50)
    first = backend.asarray(host)
    stand_in.fail("cudaMemcpyAsync", at=4, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        backend.asarray(host * 2.0)
    np.testing.assert_array_equal(backend.to_numpy(backend.asarray(host * 3.0)), host * 3.0)
    np.testing.assert_array_equal(backend.to_numpy(first), host)


def test_one_buffer_is_filled_while_the_other_is_copied(small: Any, late: Machine) -> None:
    late.clock.durations["copy"] = 1.0
    backend = registry.get("cuda")
    array = backend.asarray(numbers(40, 50))
    assert 1.9 < late.clock.most_ahead < 2.1
    assert backend.to_numpy(array).shape == (40, 50) and late.clock.now > 15.0, "16 pieces"
