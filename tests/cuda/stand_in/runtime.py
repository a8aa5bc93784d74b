"""``cupy.cuda.runtime``: the CUDA runtime's calls that the library uses or may come to use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import queues
from .errors import CUDARuntimeError
from .machine import anywhere, current_device, machine, use_device

is_hip = False
memcpyHostToHost, memcpyHostToDevice, memcpyDeviceToHost, memcpyDeviceToDevice, memcpyDefault = range(5)
memoryTypeUnregistered, memoryTypeHost, memoryTypeDevice, memoryTypeManaged = range(4)
streamDefault, streamNonBlocking = 0, 1
streamLegacy, streamPerThread = 1, 2
streamCaptureModeGlobal, streamCaptureModeThreadLocal, streamCaptureModeRelaxed = range(3)
streamCaptureStatusNone, streamCaptureStatusActive, streamCaptureStatusInvalidated = range(3)
eventDefault, eventBlockingSync, eventDisableTiming, eventInterprocess = 0, 1, 2, 4
hostAllocDefault, hostAllocPortable, hostAllocMapped, hostAllocWriteCombined = 0, 1, 2, 4
cudaDevAttrMaxThreadsPerBlock, cudaDevAttrWarpSize, cudaDevAttrMultiProcessorCount = 1, 10, 16
cudaDevAttrMaxSharedMemoryPerBlock, cudaDevAttrMaxSharedMemoryPerBlockOptin = 8, 97
cudaDevAttrL2CacheSize, cudaDevAttrMaxThreadsPerMultiProcessor, cudaDevAttrConcurrentKernels = 38, 39, 31


def driverGetVersion() -> int:
    machine.call("cudaDriverGetVersion")
    return machine.driver_version


def runtimeGetVersion() -> int:
    machine.call("cudaRuntimeGetVersion")
    return machine.runtime_version


def getDeviceCount() -> int:
    machine.call("cudaGetDeviceCount")
    return machine.device_count


def getDevice() -> int:
    machine.call("cudaGetDevice")
    return current_device()


def setDevice(device: int) -> None:
    use_device(device)


def _attributes() -> dict[int, int]:
    return {1: 1024, 8: 49152, 10: 32, 16: 4, 31: 1, 38: 1 << 20, 39: 2048, 97: 232448}


def deviceGetAttribute(attrib: int, device: int) -> int:
    machine.call("cudaDeviceGetAttribute")
    return _attributes()[attrib]


def getDeviceProperties(device: int) -> dict[str, Any]:
    machine.call("cudaGetDeviceProperties")
    if not 0 <= device < machine.device_count:
        raise CUDARuntimeError(101)
    found = _attributes()
    return {
        "name": b"Pretended GPU", "major": machine.capability[0], "minor": machine.capability[1],
        "totalGlobalMem": machine.memory_size, "multiProcessorCount": found[16], "warpSize": found[10],
        "maxThreadsPerBlock": found[1], "maxThreadsPerMultiProcessor": found[39], "regsPerBlock": 65536,
        "sharedMemPerBlock": found[8], "sharedMemPerBlockOptin": found[97], "l2CacheSize": found[38],
    }  # fmt: skip


def deviceGetPCIBusId(device: int) -> str:
    machine.call("cudaDeviceGetPCIBusId")
    return f"0000:{device:02x}:00.0"


def deviceSynchronize() -> None:
    queues.synchronize_device()


def deviceCanAccessPeer(device: int, peerDevice: int) -> int:
    machine.call("cudaDeviceCanAccessPeer")
    return 0


def memGetInfo() -> tuple[int, int]:
    machine.call("cudaMemGetInfo")
    return machine.memory_size - machine.used[current_device()], machine.memory_size


def malloc(size: int) -> int:
    machine.call("cudaMalloc")
    queues.refuse_allocation()
    return machine.allocate(size, current_device())


def free(ptr: int) -> None:
    machine.call("cudaFree")
    queues.refuse_allocation()
    found = machine.block(ptr)
    if found is not None:
        queues.drain_device(found[3])  # cudaFree waits for the device
    machine.free(ptr)


def hostAlloc(size: int, flags: int) -> int:
    machine.call("cudaHostAlloc")
    return machine.allocate(size, -1)


def freeHost(ptr: int) -> None:
    machine.call("cudaFreeHost")
    for device in range(machine.device_count):
        queues.drain_device(device)
    machine.free(ptr)


def _copy(dst: int, src: int, size: int) -> Callable[[], None]:
    target, source = anywhere(dst, size), anywhere(src, size)

    def run() -> None:
        target[:] = source

    return run


def memcpy(dst: int, src: int, size: int, kind: int) -> None:
    machine.call("cudaMemcpy")
    queues.refuse_capture(queues.state_of(0))
    state = queues.state_of(0)
    queues.submit(state, "memcpy", "now", _copy(dst, src, size))
    queues.await_stream(state)


def memcpyAsync(dst: int, src: int, size: int, kind: int, stream: int) -> None:
    machine.call("cudaMemcpyAsync")
    state = queues.state_of(stream)
    pageable = [at for at in (dst, src) if machine.block(at) is None]
    if pageable:
        # CUDA waits for a copy from or to ordinary memory, which it cannot do while it captures.
        queues.refuse_capture(state)
    ranges = tuple((at, size) for at in (dst, src) if at not in pageable)
    queues.submit(state, "memcpy", "now" if pageable else _kind(dst, src), _copy(dst, src, size), ranges)
    if pageable:
        queues.await_stream(state)


def _kind(dst: int, src: int) -> str:
    """A copy within the device is work like a kernel's; one from or to the host has an engine of its own."""
    devices = [found[3] for found in map(machine.block, (dst, src)) if found is not None]
    return "copy" if -1 in devices else "kernel"


def memset(ptr: int, value: int, size: int) -> None:
    machine.call("cudaMemset")
    _memset(ptr, value, size, 0)


def memsetAsync(ptr: int, value: int, size: int, stream: int) -> None:
    machine.call("cudaMemsetAsync")
    _memset(ptr, value, size, stream)


def _memset(ptr: int, value: int, size: int, stream: int) -> None:
    target = machine.view(ptr, size)
    queues.submit(queues.state_of(stream), "memset", "kernel", lambda: target.fill(value), ((ptr, size),))


class PointerAttributes:
    """Where an address lies."""

    def __init__(self, device: int, devicePointer: int, hostPointer: int, type: int = -1) -> None:
        self.device, self.devicePointer, self.hostPointer, self.type = device, devicePointer, hostPointer, type


def pointerGetAttributes(ptr: int) -> PointerAttributes:
    machine.call("cudaPointerGetAttributes")
    found = machine.block(ptr)
    if found is None:
        return PointerAttributes(-2, 0, ptr, memoryTypeUnregistered)
    if found[3] < 0:
        return PointerAttributes(0, ptr, ptr, memoryTypeHost)
    return PointerAttributes(found[3], ptr, 0, memoryTypeDevice)


def streamSynchronize(stream: int) -> None:
    queues.synchronize_stream(stream)


def streamIsCapturing(stream: int) -> bool:
    machine.call("cudaStreamIsCapturing")
    return queues.is_capturing(stream)


def streamWaitEvent(stream: int, event: int, flags: int = 0) -> None:
    queues.wait_event(stream, event)


def eventRecord(event: int, stream: int) -> None:
    queues.record_event(event, stream)


def profilerStart() -> None:
    machine.call("cudaProfilerStart")


def profilerStop() -> None:
    machine.call("cudaProfilerStop")
