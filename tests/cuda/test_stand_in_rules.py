"""The rules that the stand-in for CuPy keeps: memory and pools, streams and graphs, kernels, faults on request.

They are the real module's, as CuPy's own tests and CUDA's documents have them; here each is seen to be kept.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import stand_in

from nnkit.kernels.cuda.compiler import Source

# ---- memory ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cupy() -> Iterator[Any]:
    """The stand-in, installed under CuPy's name."""
    with stand_in.installed():
        yield sys.modules["cupy"]


MACHINE = stand_in.machine


def test_new_memory_is_garbage_and_freed_memory_too(cupy: Any) -> None:
    x = cupy.empty(100, "f4")
    assert np.isnan(x.get()).all()
    x.fill(1)
    y = x.view()
    del x
    assert (y.get() == 1).all(), "a view keeps the memory"
    pointer = y.data.ptr
    del y
    assert cupy.empty(100, "f4").data.ptr == pointer, "the pool hands it out again"


def test_a_pool_keeps_blocks_by_stream_splits_and_joins_them(cupy: Any) -> None:
    pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
    first = pool.malloc(4000)
    assert first.mem.size == 4096, "in units of 512 bytes"
    pointer = first.ptr
    del first
    with stream:
        other = pool.malloc(4000)
        assert other.ptr != pointer
    halves = pool.malloc(2048), pool.malloc(2048)
    assert [h.ptr for h in halves] == [pointer, pointer + 2048]
    assert (pool.used_bytes(), pool.free_bytes(), pool.n_free_blocks()) == (8192, 0, 0)
    del halves
    assert (pool.free_bytes(), pool.n_free_blocks()) == (4096, 1)
    pool.free_all_blocks()
    assert (pool.total_bytes(), MACHINE.counts["cudaFree"]) == (4096, 1)
    del other


def test_a_pool_asks_three_times_and_then_gives_up(cupy: Any) -> None:
    MACHINE.memory_size = 1 << 21
    stand_in.fail("cudaMalloc", times=2)
    x = cupy.empty(1 << 20, "u1")
    with pytest.raises(
        cupy.cuda.memory.OutOfMemoryError, match=r"allocating 2,097,152 bytes \(allocated so far: 1,048,576"
    ):
        cupy.empty(1 << 21, "u1")
    assert MACHINE.counts["cudaMalloc"] == 3 + 3
    del x
    pool = cupy.get_default_memory_pool()
    pool.set_limit(size=4096)
    pool.free_all_blocks()
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="limit set to: 4,096 bytes"):
        cupy.empty(4097, "u1")


def test_a_thread_may_have_an_allocator_of_its_own(cupy: Any) -> None:
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        x = cupy.zeros(10)
    y = cupy.zeros(10)
    assert (pool.used_bytes(), cupy.get_default_memory_pool().used_bytes()) == (512, 512)
    assert x.data.mem.size == y.data.mem.size == 512


def test_arrays_of_another_device_are_refused(cupy: Any) -> None:
    with cupy.cuda.Device(1):
        x = cupy.ones(3)
    assert x.device.id == 1
    with pytest.raises(ValueError, match="array device = 1 while current = 0"):
        x + 1
    assert x.get().tolist() == [1, 1, 1], "but they can be read"
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorInvalidDevice"), cupy.cuda.Device(7):
        pass


def test_pinned_memory_is_a_buffer_of_the_host(cupy: Any) -> None:
    pinned = cupy.cuda.alloc_pinned_memory(40)
    host = np.frombuffer(pinned, np.float32, 10)
    assert host.ctypes.data == pinned.ptr
    host[:] = np.arange(10)
    out = cupy.empty(10, "f4")
    out.data.copy_from_host_async(pinned.ptr, 40)
    assert out.get().tolist() == list(range(10))
    pointer = pinned.ptr
    del pinned
    assert cupy.get_default_pinned_memory_pool().n_free_blocks() == 0, "the array keeps it"
    del host
    assert cupy.cuda.alloc_pinned_memory(100).ptr == pointer


# ---- streams and graphs ---------------------------------------------------------------------------------------


def test_late_copies_run_when_somebody_waits(cupy: Any) -> None:
    MACHINE.late = {"copy"}
    stream, event = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Event()
    x, pinned = cupy.zeros(4, "f4"), np.frombuffer(cupy.cuda.alloc_pinned_memory(16), np.float32, 4)
    pinned[:] = 1
    x.data.copy_from_host_async(pinned.ctypes.data, 16, stream)
    event.record(stream)
    assert not event.done
    forgot = (x + 0).get()
    cupy.cuda.get_current_stream().wait_event(event)
    waited = (x + 0).get()
    assert (forgot.tolist(), waited.tolist()) == ([0] * 4, [1] * 4), "without the event, the old values are read"
    assert event.done


@pytest.mark.parametrize("late", [set(), {"copy", "kernel"}], ids=["at once", "late"])
def test_work_takes_its_time_and_only_who_waits_is_late(late: set[str], cupy: Any) -> None:
    clock, MACHINE.late = MACHINE.clock, late
    clock.durations["kernel"] = 2.0
    one, two = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
    begin, end, other, untimed = *(cupy.cuda.Event() for _ in range(3)), cupy.cuda.Event(disable_timing=True)
    x = cupy.zeros(4)
    begin.record(one)
    for _ in range(3):
        x.data.memset_async(0, 32, one)
    for event in (end, untimed):
        event.record(one)
    two.wait_event(end)
    x.data.memset_async(1, 32, two)
    other.record(two)
    assert clock.now < 1.0 and not end.done and not one.done and 7.9 < clock.most_ahead < 8.1
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorNotReady"):
        cupy.cuda.get_elapsed_time(begin, end)
    rung: list[float] = []
    clock.at(6.5, lambda: rung.append(clock.now))
    end.synchronize()
    assert 6.0 < clock.now < 6.1 and end.done and not other.done and not rung
    assert 5990.0 < cupy.cuda.get_elapsed_time(begin, end) < 6010.0
    two.synchronize()
    assert 8.0 < clock.now < 8.1 and rung and other.done
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorInvalidResourceHandle"):
        cupy.cuda.get_elapsed_time(begin, untimed)


def test_who_waits_for_an_event_waits_for_where_it_was_recorded_then(cupy: Any) -> None:
    MACHINE.late = {"kernel"}
    one, two, event = *(cupy.cuda.Stream(non_blocking=True) for _ in range(2)), cupy.cuda.Event()
    x, y = cupy.zeros(2), cupy.zeros(1)
    cupy.cuda.runtime.deviceSynchronize()
    for place in range(2):
        x[place:].data.memset_async(1, 8, one)
        event.record(one)
        if place == 0:
            two.wait_event(event)
    y.data.copy_from_device_async(x.data, 8, two)
    two.synchronize()
    assert y.get()[0] != 0
    assert not event.done, "the second place was not waited for"


def test_the_default_stream_waits_for_blocking_streams_only(cupy: Any) -> None:
    MACHINE.late = {"kernel"}
    for non_blocking, seen in ((True, 0.0), (False, 7.0)):
        x, stream = cupy.zeros(1), cupy.cuda.Stream(non_blocking=non_blocking)
        cupy.cuda.runtime.deviceSynchronize()
        with stream:
            copies = cupy.full(1, 7.0)
            launch_double(cupy, copies, x, 1.0)
        assert x.item() == seen


def test_a_capture_notes_and_a_launch_runs(cupy: Any) -> None:
    stream = cupy.cuda.Stream(non_blocking=True)
    x, y = cupy.arange(4, dtype="f4"), cupy.zeros(4, "f4")
    with stream:
        stream.begin_capture()
        assert stream.is_capturing() and not cupy.cuda.Stream.null.is_capturing()
        z = 3 * cupy.sin(x) + 1
        y[...] = z
        y.data.copy_from_device_async(z.data, 8)
        graph = stream.end_capture()
    assert np.isnan(z.get()).all() and not y.get().any(), "nothing has run"
    graph.upload()
    for step in range(3):
        x.fill(step)
        graph.launch(stream)
        stream.synchronize()
        assert y.get().tolist() == [np.float32(3) * np.sin(np.float32(step)) + 1] * 4
    assert "sin" in graph.debug_dot_str()


#: What a capture refuses, the error, and whether the capture is lost.
REFUSED: dict[str, tuple[Callable[[Any, Any], Any], type[Exception], str, bool]] = {
    "product": (lambda cp, x: x @ x, NotImplementedError, "cuBLAS API during stream capture is currently", False),
    "solve": (lambda cp, x: cp.linalg.inv(x), NotImplementedError, "cuSOLVER", False),
    "reading": (lambda cp, x: x.get(), RuntimeError, "is capturing", False),
    "number": (lambda cp, x: float(x[0, 0]), RuntimeError, "is capturing", False),
    "truth": (lambda cp, x: bool(x.sum() > 0), RuntimeError, "is capturing", False),
    "writing": (lambda cp, x: cp.asarray(np.ones(3)), RuntimeError, "is capturing", False),
    "counting": (lambda cp, x: cp.where(x > 0.5), RuntimeError, "is capturing", False),
    "mask": (lambda cp, x: x[x > 0.5], RuntimeError, "is capturing", False),
    "waiting": (lambda cp, x: cp.cuda.get_current_stream().synchronize(), RuntimeError, "CaptureUnsupported", True),
    "waiting for the device": (lambda cp, x: cp.cuda.Device().synchronize(), RuntimeError, "CaptureUnsupported", True),
    "ordinary memory": (
        lambda cp, x: x.data.copy_from_host_async(np.ones(4).ctypes.data, 32), RuntimeError, "CaptureUnsupported", True,
    ),
    "event from outside": (
        lambda cp, x: cp.cuda.get_current_stream().wait_event(EVENTS[0]), RuntimeError, "CaptureIsolation", True,
    ),
}  # fmt: skip
EVENTS: list[Any] = []


@pytest.mark.parametrize("what", REFUSED)
def test_a_capture_refuses(what: str, cupy: Any) -> None:
    call, error, text, lost = REFUSED[what]
    stream, x = cupy.cuda.Stream(non_blocking=True), cupy.eye(2)
    EVENTS[:] = [cupy.cuda.Stream.null.record()]
    with stream:
        stream.begin_capture()
        with pytest.raises(error, match=text):
            call(cupy, x)
        with pytest.raises(RuntimeError, match="CaptureInvalidated") if lost else nullcontext():
            stream.end_capture()
        assert not stream.is_capturing()
        stream.synchronize()
    assert not isinstance(error(), NotImplementedError) or call(cupy, x) is not None, "outside it is allowed"


def test_streams_fork_from_a_capture_and_must_join_it(cupy: Any) -> None:
    one, two = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
    x, y = cupy.ones(3), cupy.zeros(3)
    for joins in (True, False):
        with one:
            one.begin_capture()
            a = x * 100
            two.wait_event(one.record())
            with two:
                y[...] = a + 1
                back = two.record()
            if joins:
                one.wait_event(back)
                graph = one.end_capture()
            else:
                with pytest.raises(RuntimeError, match="CaptureUnjoined"):
                    one.end_capture()
        assert not one.is_capturing() and not two.is_capturing()
    graph.launch()
    assert y.get().tolist() == [101] * 3


def test_a_blocking_stream_that_captures_stops_the_default_stream(cupy: Any) -> None:
    stream = cupy.cuda.Stream()
    with stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match="CaptureImplicit"):
            cupy.cuda.Stream.null.is_capturing()
        stream.end_capture()


def test_a_graph_whose_memory_was_freed_is_found_out(cupy: Any) -> None:
    stream, x = cupy.cuda.Stream(non_blocking=True), cupy.ones(3)
    with stream:
        stream.begin_capture()
        x += 1
        graph = stream.end_capture()
    graph.launch()
    assert float(x[0]) == 2.0
    del x
    cupy.get_default_memory_pool().free_all_blocks()
    with pytest.raises(RuntimeError, match="cudaErrorIllegalAddress"):
        graph.launch()


# ---- kernels --------------------------------------------------------------------------------------------------

DOUBLE = Source(
    "double_of",
    "def kernel(x, y, n, by):\n    i = grid_thread()\n    if i < n:\n        y[i] = x[i] * to_float64(by)",
    ("float64*", "float64*", "int64", "float64"), "float64", 32,
)  # fmt: skip


def launch_double(cupy: Any, x: Any, y: Any, by: Any, **changes: Any) -> None:
    module = cupy.cuda.function.Module()
    module.load(stand_in.compile_source(DOUBLE, "sm_90").code)
    launch = {"grid": (2,), "block": (32,), "args": (x, y, x.size, by)} | changes
    module.get_function("double_of")(launch["grid"], launch["block"], launch["args"])


def test_a_kernel_runs_on_the_memory_where_it_lies(cupy: Any) -> None:
    x, y = cupy.arange(10, dtype="f8"), cupy.zeros(40)
    launch_double(cupy, x[2:8], y[30:36], 2.0)
    assert y.get()[30:].tolist() == [4, 6, 8, 10, 12, 14, 0, 0, 0, 0]
    assert not y.get()[:30].any()
    assert MACHINE.counts["kernel double_of"] == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"block": (64,)}, "a block of"),
        ({"args": ()}, "0 arguments for"),
        ({"grid": (0,)}, "a grid of"),
        ({"grid": (1, 2)}, "a grid of"),
    ],
)
def test_what_cuda_would_compute_nonsense_with_is_found_out(changes: dict[str, Any], text: str, cupy: Any) -> None:
    with pytest.raises(AssertionError, match=text):
        launch_double(cupy, cupy.zeros(3), cupy.zeros(3), 1.0, **changes)


@pytest.mark.parametrize(
    ("x", "by", "text"),
    [
        (lambda cp: cp.zeros(3, "f4"), 1.0, "got an array of float32"),
        (lambda cp: cp.zeros(3)[::-1], 1.0, "runs backwards"),
        (lambda cp: cp.zeros(3), 1, "float64 got 1"),
    ],
)
def test_arguments_of_another_type_are_found_out(x: Any, by: Any, text: str, cupy: Any) -> None:
    with pytest.raises(AssertionError, match=text):
        launch_double(cupy, x(cupy), cupy.zeros(3), by)


def test_a_module_that_was_not_compiled_is_refused(cupy: Any) -> None:
    module = cupy.cuda.function.Module()
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="CUDA_ERROR_INVALID_IMAGE"):
        module.load(b"\x7fELF")
    module.load(stand_in.compile_source(DOUBLE, "sm_90").code)
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="CUDA_ERROR_NOT_FOUND"):
        module.get_function("triple_of")


# ---- faults ---------------------------------------------------------------------------------------------------


def test_the_chosen_call_fails_and_no_other(cupy: Any) -> None:
    x = cupy.zeros(1)
    stand_in.fail("cudaMalloc", at=3, error="cudaErrorLaunchFailure")
    pointers = [cupy.cuda.runtime.malloc(8), cupy.cuda.runtime.malloc(8)]
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorLaunchFailure") as caught:
        cupy.cuda.runtime.malloc(8)
    assert caught.value.status == 719
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="CUDA_ERROR_LAUNCH_FAILED"):
        launch_double(cupy, x, x, 1.0)
    assert len(set(pointers)) == 2


def test_a_poisoned_context_stays_so(cupy: Any) -> None:
    x = cupy.ones(3)
    stand_in.poison()
    for call in (x.get, lambda: x + 1, cupy.cuda.Device().synchronize, lambda: cupy.zeros(3)):
        with pytest.raises(RuntimeError, match=r"ILLEGAL_ADDRESS|IllegalAddress"):
            call()
    stand_in.reset()
    assert MACHINE.poison is None


def test_installing_leaves_no_trace() -> None:
    before = dict(sys.modules)
    with stand_in.installed():
        import nnkit.backends.cuda.faults as inside

        assert inside.cupy is sys.modules["cupy"]
    after = {name: module for name, module in sys.modules.items() if module is not before.get(name)}
    held = [name for name in after if name.startswith(("cupy", "array_api_compat.cupy", "nnkit.backends.cuda."))]
    assert held in ([], ["nnkit.backends.cuda.diagnosis"])
