"""When a GPU's memory is too small: what is given back and said, and how data larger than it is streamed through it."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import stand_in
from stand_in.machine import Machine

from nnkit.backends import registry
from nnkit.backends.errors import DeviceFault, DeviceOutOfMemory

# ---- out of memory --------------------------------------------------------------------------------------------


@pytest.fixture
def memory(gpu: Machine) -> Iterator[Any]:
    """The module under test, over a GPU of 1 MiB."""
    gpu.memory_size = 1 << 20
    from nnkit.backends.cuda import memory

    gc.freeze()  # each out-of-memory error collects garbage several times: quick where there is little to look at
    yield memory
    gc.unfreeze()


def test_what_pools_hold_for_nobody_is_given_back_and_tried_once_more(memory: Any, gpu: Machine) -> None:
    import cupy

    x = cupy.empty(900_000, np.uint8)
    own = cupy.cuda.MemoryPool()
    del x
    assert memory.free_bytes() > 1_000_000, "free for CuPy's pool, though not for another"
    assert memory.allocate(lambda: own.malloc(900_000), 900_000).mem.size >= 900_000
    calls = []

    def make() -> None:
        calls.append(len(calls))
        raise cupy.cuda.memory.OutOfMemoryError(5, 7)

    with pytest.raises(DeviceOutOfMemory):
        memory.allocate(make, 5)
    assert calls == [0, 1]


def test_out_of_memory_names_what_was_asked_and_what_is_free(memory: Any) -> None:
    backend = registry.get("cuda")
    kept = backend.zeros((1 << 18,), "uint8")
    with pytest.raises(DeviceOutOfMemory) as caught:
        backend.empty((1 << 20,), "uint8")
    assert str(caught.value) == (
        "cuda is out of memory: 1.00 MiB were asked for, 768.00 KiB of 1.00 MiB are free. Use smaller batches, or "
        "delete tensors and models not needed"
    )
    assert (caught.value.asked, caught.value.free, caught.value.largest_batch) == (1 << 20, 3 << 18, None)
    assert isinstance(caught.value, MemoryError)
    assert backend.empty((1 << 19,), "uint8") is not None, "the device goes on"
    del kept


def test_a_reference_body_that_runs_out_of_memory_says_the_same(memory: Any, gpu: Machine) -> None:
    backend = registry.get("cuda")
    x, out = backend.zeros((200, 200), "float32"), backend.empty((200, 200), "float64")
    memory.release()
    gpu.memory_size = gpu.used[0]
    with pytest.raises(DeviceOutOfMemory, match=r"cuda is out of memory: 1\.00 KiB were asked for, 0 bytes of"):
        backend.softmax(x, False, out)  # of two types: there is no kernel for it


@pytest.mark.parametrize(
    ("taken", "asked", "rows", "fits", "text"),
    [
        (1 << 19, 1 << 20, 96, 64, "Of this batch of 96 rows at most about 64 fit: use batch_size=64 or less"),
        (0, 1 << 21, 100, 50, "Of this batch of 100 rows at most about 50 fit: use batch_size=50 or less"),
        (1 << 19, 1 << 23, 4, 0, "Not even a batch of 1 row fits: the model itself is too large"),
    ],
)
def test_the_largest_batch_that_fits_is_estimated(
    taken: int, asked: int, rows: int, fits: int, text: str, memory: Any
) -> None:
    backend = registry.get("cuda")
    memory.release()
    with memory.batch_of(rows), pytest.raises(DeviceOutOfMemory) as caught:
        held = backend.empty((taken,), "uint8")
        backend.empty((asked,), "uint8")
    assert str(caught.value).endswith(text)
    assert caught.value.largest_batch == fits
    del held
    with pytest.raises(DeviceOutOfMemory) as caught:
        backend.empty((1 << 22,), "uint8")
    assert caught.value.largest_batch is None, "outside no batch is known"


def test_of_a_batch_that_failed_fewer_rows_fit_in_any_case(memory: Any) -> None:
    """Free memory may lie in pieces: then the estimate alone would say that all rows fit."""
    backend = registry.get("cuda")
    memory.release()
    with memory.batch_of(10), pytest.raises(DeviceOutOfMemory) as caught:
        stand_in.fail("cudaMalloc", times=6)
        backend.empty((1000,), "uint8")
    assert str(caught.value) == (
        "cuda is out of memory: 1000 bytes were asked for, 1.00 MiB of 1.00 MiB are free, but not in one piece. Of "
        "this batch of 10 rows at most about 9 fit: use batch_size=9 or less"
    )


# ---- data larger than the device ------------------------------------------------------------------------------

LATE = {"at once": set(), "late copies": {"copy"}, "late kernels": {"kernel"}, "both late": {"copy", "kernel"}}


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("own_stream", [False, True])
def test_every_batch_arrives_whatever_runs_when(late: str, own_stream: bool, gpu: Machine) -> None:
    import cupy

    from nnkit.backends.cuda.memory import HostStream

    gpu.late = LATE[late]
    gpu.memory_size = 1 << 16
    data = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    labels = np.arange(5000)
    order = np.random.default_rng(1).permutation(5000)
    parts = [order[start : start + 300] for start in range(0, 5000, 300)]
    assert data.nbytes > gpu.memory_size
    stream = HostStream((data, labels), rows=300)
    with cupy.cuda.Stream(non_blocking=True) if own_stream else cupy.cuda.Stream.null as current:
        total, seen = cupy.zeros(1200, np.float32), cupy.empty(5000, np.int64)
        for part, (x, y) in zip(range(0, 5000, 300), stream.batches(parts), strict=True):
            add_to(total[: x.size], x)
            seen[part:].data.copy_from_device_async(y.data, y.nbytes)
        current.synchronize()
    assert np.array_equal(seen.get(), order)
    whole = sum(np.pad(data[part].ravel(), (0, 1200 - 4 * len(part))) for part in parts)
    np.testing.assert_allclose(total.get(), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("layout", ["another type", "Fortran's order", "every second", "big-endian", "unaligned"])
def test_batches_have_the_type_asked_for_whatever_the_source(layout: str, late: str, gpu: Machine) -> None:
    from nnkit.backends.cuda.memory import HostStream

    gpu.late = LATE[late]
    data = np.random.default_rng(0).normal(size=(500, 4))
    source = {
        "another type": data, "Fortran's order": np.asfortranarray(data.astype(np.float32)),
        "every second": np.repeat(data.astype(np.float32), 2, axis=1)[:, ::2], "big-endian": data.astype(">f4"),
        "unaligned": np.frombuffer(b"x" + data.astype(np.float32).tobytes(), np.float32, offset=1).reshape(500, 4),
    }[layout]  # fmt: skip
    order = np.random.default_rng(1).permutation(500)
    stream = HostStream([source], rows=60, types=[np.dtype(np.float32)])
    found = [x.get() for (x,) in stream.batches([order[start : start + 60] for start in range(0, 500, 60)])]
    np.testing.assert_array_equal(np.concatenate(found), data.astype(np.float32)[order], strict=True)


def add_to(total: Any, x: Any) -> None:
    """A kernel of the project's own kind, which the machine may put off."""
    import cupy

    from nnkit.kernels.cuda.compiler import Source

    text = "def kernel(x, total, n):\n    i = grid_thread()\n    if i < n:\n        total[i] = total[i] + x[i]"
    source = Source("add_to", text, ("float32*", "float32*", "int64"), "float32", 256)
    module = cupy.cuda.function.Module()
    module.load(stand_in.compile_source(source, "sm_90").code)
    module.get_function("add_to")((-(-x.size // 256),), (256,), (x, total, x.size))


def test_a_batch_stays_until_the_next_is_asked_for(gpu: Machine) -> None:
    from nnkit.backends.cuda.memory import HostStream

    data = np.arange(12.0).reshape(6, 2)
    batches = HostStream([data], rows=2).batches(np.arange(6).reshape(3, 2))
    for number, (x,) in enumerate(batches):
        assert np.array_equal(x.get(), data[2 * number : 2 * number + 2])
    assert list(HostStream([data], rows=2).batches([])) == []


def test_leaving_early_waits_for_the_copy_under_way(gpu: Machine) -> None:
    from nnkit.backends.cuda.memory import HostStream

    gpu.late = {"copy"}
    batches = HostStream([np.ones((6, 2))], rows=2).batches(np.arange(6).reshape(3, 2))
    next(batches)
    waits = gpu.counts["cudaStreamSynchronize"]
    batches.close()
    assert gpu.counts["cudaStreamSynchronize"] == waits + 1


def test_without_pinned_memory_it_goes_on_after_one_warning(gpu: Machine) -> None:
    from nnkit.backends.cuda.memory import HostStream

    stand_in.fail("cudaHostAlloc", times=1000)
    data = np.arange(12.0).reshape(6, 2)
    with pytest.warns(UserWarning, match="no more pinned host memory: data reaches the GPU more slowly") as caught:
        stream = HostStream([data, data], rows=3)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HostStream([data], rows=3)
    found = [x.get() for x, _ in stream.batches([np.array([4, 0]), np.array([5, 5, 1])])]
    assert np.array_equal(np.concatenate(found), data[[4, 0, 5, 5, 1]])


def test_a_fault_while_streaming_is_told(gpu: Machine) -> None:
    from nnkit.backends.cuda.memory import HostStream

    stream = HostStream([np.ones((6, 2))], rows=2)
    stand_in.fail("cudaMemcpyAsync", at=2, error="cudaErrorInvalidValue")
    with pytest.raises(DeviceFault, match="failed while copying a batch to the device: cudaErrorInvalidValue"):
        list(stream.batches(np.arange(6).reshape(3, 2)))


@pytest.mark.parametrize(
    ("sources", "rows", "indices", "text"),
    [
        ([np.ones(3), np.ones(4)], 2, [], r"sources: expected arrays of equally many rows, got \[3, 4\]"),
        ([np.ones(3)], 0, [], "rows: expected at least 1, got 0"),
        ([np.ones(3)], 1, [np.arange(2)], "indices: expected at most 1 rows a batch, got 2"),
    ],
)
def test_a_stream_refuses_at_the_door(sources: Any, rows: int, indices: Any, text: str, gpu: Machine) -> None:
    from nnkit.backends.cuda.memory import HostStream

    with pytest.raises(ValueError, match=text):
        list(HostStream(sources, rows).batches(indices))


@pytest.mark.parametrize("late", LATE)
def test_every_batch_arrives_on_the_second_gpu_for_a_caller_at_the_first(late: str, gpu: Machine) -> None:
    import cupy

    from nnkit.backends.cuda.memory import HostStream

    gpu.late = LATE[late]
    data, order = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32), np.arange(500)[::-1]
    with cupy.cuda.Device(1):
        stream, total = HostStream((data,), rows=60), cupy.zeros(240, np.float32)
        home = cupy.cuda.get_current_stream()
    for (x,) in stream.batches([order[start : start + 60] for start in range(0, 500, 60)]):
        assert cupy.cuda.runtime.getDevice() == 0 and x.data.device_id == 1
        with cupy.cuda.Device(1):
            assert cupy.cuda.get_current_stream() is home
            add_to(total[: x.size], x)
    with cupy.cuda.Device(1):
        home.synchronize()
        found = total.get()
    parts = [data[order[start : start + 60]].ravel() for start in range(0, 500, 60)]
    whole = sum(np.pad(part, (0, 240 - len(part))) for part in parts)
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-4)
