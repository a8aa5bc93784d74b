"""Programs of the GPU: what is captured, what is not and why, streams, memory; and to the bit the same numbers."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from captured import CALLS, replays, run
from stand_in.machine import Machine
from test_captured import LOSSES, OPTIMIZERS
from waiting import HANG

import nnkit
from nnkit import backends
from nnkit.backends.errors import DeviceOutOfMemory
from nnkit.backends.recording import Instruction, recording

pytest.mark.usefixtures(replays.__name__)


def cupy() -> Any:
    import cupy

    return cupy


def recorded(step: Callable[[], Any]) -> tuple[Any, Any]:
    """The program of a step, and what the step returned while it was recorded."""
    work = backends.get("cuda").recorder()
    with recording(work):
        result = step()
    assert not work.obstacles
    return work.finish(), result


def numbers(*values: float) -> nnkit.Tensor:
    return nnkit.tensor(list(values), device="cuda")


# ---- to the bit ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["momentum dampening", "adam amsgrad decay", "two groups"])
def test_every_optimizer(name: str, device: str, replays: list[Any]) -> None:
    assert run(True, optimizer=OPTIMIZERS[name]) == run(False, optimizer=OPTIMIZERS[name])
    assert len(replays) == CALLS - 2


@pytest.mark.parametrize("name", ["cross_entropy", "label smoothing", "bce_with_logits", "own"])
def test_losses(name: str, device: str, replays: list[Any]) -> None:
    loss, target = LOSSES[name]
    assert run(True, loss=loss, target=target) == run(False, loss=loss, target=target)
    assert replays


# ---- what is captured -----------------------------------------------------------------------------------------------


def test_work_for_the_device_is_one_graph(device: str, whole_gpu: Machine) -> None:
    x, w = numbers(1.0, 2.0, 3.0), nnkit.ones(3, 3)
    program, y = recorded(lambda: (x @ w).relu().sum() * 2.0)
    whole_gpu.counts.clear()
    program.replay(5)
    assert y.item() == 36.0
    assert whole_gpu.counts["cudaGraphLaunch"] == 5
    assert whole_gpu.counts["cuLaunchKernel"] == 0, "no kernel is launched from Python"
    assert all(instruction.kernel is not None for instruction in program.instructions)


def test_what_is_joined_and_cut_out_is_copied_by_kernels(device: str) -> None:
    x = nnkit.tensor([[1.0, 2.0], [3.0, 4.0]])
    program, y = recorded(lambda: nnkit.cat([x * 2.0, x], dim=1)[:, 1:3].reshape(-1) + 1.0)
    assert all(instruction.kernel is not None for instruction in program.instructions)
    program.replay()
    assert y.tolist() == [5.0, 2.0, 9.0, 4.0]


def test_a_replay_computes_with_what_its_arrays_hold_by_then(device: str) -> None:
    x = numbers(1.0, 2.0)
    program, y = recorded(lambda: x * 3.0)
    x.array[...] = 5.0
    program.replay()
    assert y.tolist() == [15.0, 15.0]


def test_a_reference_body_runs_between_two_graphs(device: str, whole_gpu: Machine) -> None:
    x = nnkit.tensor([[1.0, 2.0], [3.0, 4.0]])
    program, y = recorded(lambda: (x * 2.0).int().float().relu())
    assert [instruction.kernel is not None for instruction in program.instructions] == [True, False, False, True]
    assert program.instructions[1].note == "element types float32, int32"
    whole_gpu.counts.clear()
    program.replay(2)
    assert whole_gpu.counts["cudaGraphLaunch"] == 4
    assert y.tolist() == [[2.0, 4.0], [6.0, 8.0]]


#: What of arrays that do not lie in order is computed by copies and a kernel, within a graph.
ORDERED: dict[str, Callable[[nnkit.Tensor], nnkit.Tensor]] = {
    "a sum with the transpose": lambda x: (x * 2.0).permute(1, 0) + x,
    "columns side by side": lambda x: nnkit.cat([x[:, :1], x * 2.0], dim=1),
    "every other element": lambda x: x[:, ::2].relu(),
    "a sum over axes that are no neighbours": lambda x: x.reshape(2, 2, 1, 1).expand(2, 2, 1, 3).sum(dim=(0, 2)),
    "a softmax along the first axis": lambda x: x.softmax(dim=0),
    "the greatest along the first axis": lambda x: x.argmax(dim=0).float(),
    "the order of axes": lambda x: x.permute(1, 0).reshape(4),
}


@pytest.mark.parametrize("what", ORDERED)
def test_arrays_that_do_not_lie_in_order_stay_within_a_graph(what: str, device: str) -> None:
    values = [[1.0, -2.0], [3.0, 4.0]]
    x = nnkit.tensor(values)
    program, y = recorded(lambda: ORDERED[what](x))
    assert all(instruction.kernel is not None for instruction in program.instructions)
    program.replay()
    np.testing.assert_allclose(y.cpu().numpy(), ORDERED[what](nnkit.tensor(values, device="cpu")).numpy(), rtol=1e-6)


def test_a_look_at_values_on_the_host_is_made_between_two_graphs(device: str) -> None:
    table = nnkit.tensor([10.0, 20.0, 30.0])
    places = nnkit.tensor([0.0, 1.0])
    program, y = recorded(lambda: table[(places + 1.0).long()] * 2.0)
    assert "check" in [instruction.name for instruction in program.instructions]
    program.replay()
    assert y.tolist() == [40.0, 60.0]
    places.array[...] = 7.0
    with pytest.raises(IndexError, match="8 is out of range for 3 rows"):
        program.replay()


class Refusing:
    """Work that CUDA or CuPy refuses to capture."""

    name = "work"

    def __init__(self, call: Callable[[], object]) -> None:
        self.run = call


def multiply() -> None:
    cupy().matmul(cupy().ones((2, 2)), cupy().ones((2, 2)))


def wait() -> None:
    cupy().cuda.get_current_stream().synchronize()


def copy_to_the_host() -> None:
    cupy().ones(2).get()


#: What cannot be captured, and what its note says.
REFUSED = {
    "CuPy's matmul": (multiply, "calling cuBLAS API during stream capture is currently unsupported"),
    "waiting": (wait, "cudaErrorStreamCaptureUnsupported"),
    "a copy to the host": (copy_to_the_host, "the current stream is capturing"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_captured_is_called_from_python_and_says_why(what: str, device: str, whole_gpu: Machine) -> None:
    call, reason = REFUSED[what]
    x = numbers(1.0)
    work = backends.get(device).recorder()
    with recording(work):
        y = x * 2.0
        work.note(Instruction("other", Refusing(call), call, "work", (), 0), [])
        z = y + 1.0
    program = work.finish()
    first, other, last = program.instructions
    assert first.kernel is not None and last.kernel is not None and other.kernel is None
    assert other.note.startswith("work cannot be captured: ") and reason in other.note
    whole_gpu.counts.clear()
    program.replay()
    assert z.tolist() == [3.0] and whole_gpu.counts["cudaGraphLaunch"] == 2


def test_an_instruction_that_is_not_captured_is_named_by_explain(device: str, capsys: Any) -> None:
    explanation = nnkit.explain(lambda x: x.int().float().sum(), nnkit.ones(3, 3))
    reason = "Python: element types float32, int32"
    assert explanation.rows[0].kernel == reason and explanation.in_python == 2
    assert reason in capsys.readouterr().out


def test_measuring_changes_nothing(device: str, capsys: Any) -> None:
    count = numbers(1.0)

    @nnkit.compile
    def step() -> nnkit.Tensor:
        with nnkit.no_grad():
            count.add_(1.0)
        return count * 1.0

    for _ in range(4):
        step()
    explanation = nnkit.explain(step)
    assert explanation.reason is None and all(row.microseconds >= 0.0 for row in explanation.rows)
    assert count.item() == 5.0


def test_the_collector_rests_during_a_capture_and_only_then(device: str) -> None:
    seen: list[bool] = []
    work = backends.get(device).recorder()
    for call in (lambda: seen.append(gc.isenabled()), lambda: seen.append(gc.isenabled()) or wait()):
        work.note(Instruction("look", Refusing(call), call, "", (), 0), [])
    work.finish()
    assert seen and not any(seen) and gc.isenabled()


# ---- streams ------------------------------------------------------------------------------------------------------


def test_a_replay_waits_for_one_in_another_stream(device: str, whole_gpu: Machine) -> None:
    count = numbers(0.0)

    def step() -> None:
        with nnkit.no_grad():
            count.mul_(2.0).add_(1.0)

    program, _ = recorded(step)
    streams = [cupy().cuda.Stream(non_blocking=True) for _ in range(3)]
    whole_gpu.late = {"kernel"}
    for stream in (*streams, streams[0]):
        with stream:
            program.replay()
    streams[0].synchronize()
    whole_gpu.late = set()
    assert count.item() == 31.0, "five steps, of which one while recording"


def test_a_replay_waits_for_one_in_the_stream_of_another_thread(device: str, whole_gpu: Machine) -> None:
    whole_gpu.per_thread = True
    try:
        count = numbers(0.0)

        def step() -> None:
            with nnkit.no_grad():
                count.mul_(2.0).add_(1.0)

        program, _ = recorded(step)
        whole_gpu.late = {"kernel"}
        for _ in range(3):
            for run in (program.replay, lambda: in_a_thread(program.replay)):
                run()
        program.synchronize()
        whole_gpu.late = set()
        assert count.item() == 127.0, "seven steps, of which one while recording"
    finally:
        whole_gpu.per_thread, whole_gpu.late = False, set()


def test_threads_with_streams_of_their_own_share_no_workspace_and_no_lane(device: str, whole_gpu: Machine) -> None:
    from nnkit.backends.cuda import graph, products, streams

    whole_gpu.per_thread = True
    try:
        x, blas = nnkit.ones(4, 4), products.blas()
        together = threading.Barrier(2)

        def used() -> tuple[int, int]:
            (x @ x).tolist()
            lane = graph.lane_of(0)
            together.wait(HANG)
            return blas.workspace(streams.PER_THREAD), id(lane)

        with ThreadPoolExecutor(2) as pool:
            one, other = (future.result() for future in [pool.submit(used) for _ in range(2)])
        assert one[0] != other[0] and one[1] != other[1]
        gc.collect()
        assert not blas._of_threads
    finally:
        whole_gpu.per_thread = False


def in_a_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_arguments_are_not_overwritten_before_the_step_in_another_stream_has_read_them(
    device: str, whole_gpu: Machine
) -> None:
    total = numbers(0.0)

    @nnkit.compile
    def step(x: nnkit.Tensor) -> None:
        with nnkit.no_grad():
            total.add_(x * 2.0)

    given = [numbers(10.0**power) for power in range(6)]
    for x in given[:2]:
        step(x)
    streams = [cupy().cuda.Stream(non_blocking=True) for _ in range(2)]
    whole_gpu.late = {"kernel"}
    for number, x in enumerate(given[2:]):
        with streams[number % 2]:
            step(x)
    for stream in streams:
        stream.synchronize()
    whole_gpu.late = set()
    assert total.item() == 222222.0


def test_programs_of_one_stream_share_a_workspace_and_give_it_back(device: str, whole_gpu: Machine) -> None:
    from nnkit.backends.cuda import graph, products

    gc.collect()
    x, w = nnkit.ones(2, 3), nnkit.ones(3, 2)
    (x @ w).tolist()
    blas = products.blas()
    before = len(blas._workspaces)
    programs = [recorded(lambda: x @ w)[0] for _ in range(3)]
    assert len(blas._workspaces) == before + 1
    stream = cupy().cuda.Stream()
    with stream:
        other, _ = recorded(lambda: x @ w)
    assert len(blas._workspaces) >= before + 2
    used = whole_gpu.used[0]
    del programs, other
    gc.collect()
    assert not graph._lanes and len(blas._workspaces) <= before + 1  # one is of the stream itself
    assert whole_gpu.used[0] <= used - 2 * (32 << 20)


def test_a_stream_at_the_address_of_one_that_is_gone_has_a_workspace_of_its_own(
    device: str, whole_gpu: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a destroyed stream was given still runs, and CUDA may give its address to the next one."""
    from stand_in import queues

    from nnkit.backends.cuda import products

    x = nnkit.ones(4, 4)
    (x @ x).tolist()
    fake = products.blas()._library
    fake.products.clear()
    address, used = next(queues.handles), whole_gpu.used[0]
    whole_gpu.late = {"kernel"}
    for done in range(3):
        monkeypatch.setattr(queues, "handles", iter([address]))
        stream = cupy().cuda.Stream(non_blocking=True)
        with stream:
            y = x @ x
        assert stream.ptr == address and len(fake.products) == done, "the ones before are done, this one is not"
        del stream
    whole_gpu.late = set()
    assert y.tolist() == [[4.0] * 4] * 4
    assert address not in products.blas()._workspaces and whole_gpu.used[0] < used + (32 << 20)


def test_a_program_belongs_to_its_gpu(device: str, whole_gpu: Machine) -> None:
    whole_gpu.device_count = 2
    x = nnkit.tensor([1.0, 2.0], device="cuda:1")
    work = x.backend.recorder()
    with recording(work):
        y = (x * 2.0).permute(0) + 1.0
    program = work.finish()
    assert y.array.data.device_id == 1 and cupy().cuda.runtime.getDevice() == 0
    x.backend.fill(5.0, x.array)
    program.replay()
    assert y.tolist() == [11.0, 11.0] and cupy().cuda.runtime.getDevice() == 0


# ---- memory ---------------------------------------------------------------------------------------------------------


def test_temporaries_share_blocks_and_a_dropped_program_gives_all_back(device: str, whole_gpu: Machine) -> None:
    def long_chain(x: nnkit.Tensor) -> nnkit.Tensor:
        for i in range(12):
            x = (x * 1.01 + 0.1 * i).tanh() + x
        return x.sum(dim=0)

    x = nnkit.tensor(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16))
    expected = long_chain(x).numpy()
    gc.collect()
    used = whole_gpu.used[0]
    program, y = recorded(lambda: long_chain(x))
    assert program.pool.peak < 6 * x.array.nbytes
    noise = [nnkit.full((16, 16), float("nan")) for _ in range(20)]
    program.replay(2)
    np.testing.assert_array_equal(y.numpy(), expected)
    del program, y, noise
    gc.collect()
    cupy().get_default_memory_pool().free_all_blocks()
    assert whole_gpu.used[0] <= used


def test_results_outlive_their_program(device: str) -> None:
    program, y = recorded(lambda: numbers(1.0, 2.0) * 2.0)
    del program
    gc.collect()
    noise = [nnkit.full((64,), 9.0) for _ in range(20)]
    assert y.tolist() == [2.0, 4.0] and len(noise) == 20


def test_no_memory_for_a_program_is_said_and_leaves_everything_usable(
    device: str, whole_gpu: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = nnkit.empty(1 << 10, 1 << 10)
    with monkeypatch.context() as patch:
        patch.setattr(whole_gpu, "memory_size", whole_gpu.used[0] + 1024)
        with pytest.raises(DeviceOutOfMemory, match=r"cuda:0 is out of memory: 4.00 MiB were asked for"):
            recorded(lambda: x * 2.0)
    program, y = recorded(lambda: numbers(1.0) * 2.0)
    program.replay()
    assert y.item() == 2.0


def test_addresses_tell_which_arrays_overlap_without_a_look_at_them(device: str) -> None:
    from nnkit.backends.cuda.pool import DevicePool
    from nnkit.backends.pool import overlap, shadow

    pool = DevicePool(0)
    x = pool.empty((8, 32), np.float32)
    for view in (x, x.T, x[2:, ::3], x[::-1], x[3]):
        bare = pool.unleased(view)
        assert pool.owns(view) and pool.owns(bare) and overlap(view, bare) and overlap(x, bare)
        assert bare.strides == view.strides and bare.shape == view.shape and bare.data.ptr == view.data.ptr
    assert not overlap(x[:, ::2], x[:, 1::2]) and not overlap(x[:4], x[4:])
    place, kept = x.data.ptr, pool.unleased(x)
    assert place % 256 == 0 and shadow(x).nbytes == 1024
    del x, view, bare
    assert pool.empty((256,), np.int32).data.ptr == place == kept.data.ptr
    other = cupy().ones(3)
    assert pool.unleased(other) is other and not pool.owns(other)
