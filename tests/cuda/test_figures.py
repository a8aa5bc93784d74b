"""What ``nnkit.cuda`` says about a GPU: its name, its memory, the time between two events."""

from __future__ import annotations

import pytest
from stand_in.machine import Machine

import nnkit


def test_what_a_gpu_is(gpu: Machine) -> None:
    cuda = nnkit.cuda
    assert cuda.is_available() and cuda.device_count() == gpu.device_count and cuda.current_device() == 0
    assert cuda.get_device_name("cuda:0") == "Pretended GPU" == cuda.get_device_properties().name
    assert cuda.get_device_capability(0) == tuple(gpu.capability) and cuda.get_arch_list()[0].startswith("sm_")
    assert cuda.is_bf16_supported() and nnkit.version.cuda == cuda.version() and "." in str(cuda.version())
    assert str(nnkit.accelerator.current_accelerator()) == "cuda" and nnkit.accelerator.is_available()


def test_memory_of_a_gpu(gpu: Machine) -> None:
    cuda = nnkit.cuda
    cuda.empty_cache()
    before = cuda.memory_allocated()
    x = cuda.FloatTensor(1024, 64)
    assert cuda.memory_allocated() - before == 1 << 18 and isinstance(x, cuda.FloatTensor)
    assert cuda.max_memory_allocated() == cuda.memory_reserved() >= cuda.memory_allocated()
    free, total = cuda.mem_get_info()
    assert total == gpu.memory_size and free <= total - (1 << 18)
    held = cuda.memory_reserved()
    del x
    assert cuda.memory_allocated() == before and cuda.memory_reserved() == held
    cuda.reset_peak_memory_stats()
    assert cuda.max_memory_allocated() == held - (1 << 18) and "allocated" in cuda.memory_summary()


def test_the_time_between_two_events(gpu: Machine) -> None:
    begin, end = (nnkit.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    x = nnkit.ones(8, 8, device="cuda")
    x @ x
    end.record()
    assert begin.elapsed_time(end) >= 0.0 and end.query()
    nnkit.cuda.synchronize()
    nnkit.cuda.current_stream().wait_event(end)


def test_moves_to_a_gpu_by_its_words(gpu: Machine) -> None:
    x = nnkit.ones(2)
    for moved in (x.cuda(), x.cuda(0, non_blocking=True), x.to("cuda:0", non_blocking=True), x.to(nnkit.device(0))):
        assert moved.device == nnkit.device("cuda:0") and moved.cpu().tolist() == [1.0, 1.0]
    assert nnkit.nn.Linear(2, 1).cuda("cuda:0").weight.device.type == "cuda"


def test_files_go_to_a_gpu_and_back(gpu: Machine, tmp_path: pytest.TempPathFactory) -> None:
    path = f"{tmp_path}/x.pt"
    nnkit.save({"x": nnkit.ones(2, device="cuda")}, path)
    assert nnkit.load(path)["x"].device.type == "cpu"
    for place in ("cuda", {"cuda:0": "cuda:0"}, lambda storage, device: storage.cuda(0)):
        assert nnkit.load(path, map_location=place)["x"].device.type == "cuda"
