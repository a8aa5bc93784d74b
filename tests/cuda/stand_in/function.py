"""``cupy.cuda.function``: modules and their kernels, which the emulator runs on the memory where it lies.

A binary is ``b"stand-in:"`` and the name of a ``Source`` that ``compile_source`` has seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import queues, streams
from .array import _ranges, ndarray
from .errors import CUDADriverError
from .machine import machine

MARK = b"stand-in:"
#: What has been compiled: name -> Source.
sources: dict[str, Any] = {}
#: The order in which the emulator runs the threads of a block.
schedule = {"name": "forward", "seed": 0}
ELEMENTS = {"float16": np.uint16, "bfloat16": np.uint16}


def register(source: Any) -> bytes:
    """The binary of a Source; the same name for another text is an error."""
    known = sources.setdefault(source.name, source)
    if known != source:
        raise AssertionError(f"two kernels are named {source.name!r}")
    return MARK + source.name.encode()


class Module:
    """A loaded binary."""

    def __init__(self) -> None:
        self.ptr = 0
        self.mapping: dict[str, str] = {}

    def load(self, cubin: bytes) -> None:
        if not isinstance(cubin, bytes):
            raise TypeError(f"Argument 'cubin' has incorrect type (expected bytes, got {type(cubin).__name__})")
        machine.call("cuModuleLoadData", driver=True)
        name = cubin.removeprefix(MARK).decode(errors="replace")
        if not cubin.startswith(MARK) or name not in sources:
            raise CUDADriverError(200)
        self.ptr, self._source = id(self), sources[name]

    def get_function(self, name: str) -> Function:
        if self.ptr == 0 or name != self._source.name:
            raise CUDADriverError(500)
        return Function(self, name)


class Function:
    """A kernel that can be launched."""

    def __init__(self, module: Module, funcname: str) -> None:
        machine.call("cuModuleGetFunction", driver=True)
        self.module, self.ptr = module, id(module)

    def __call__(self, grid: tuple, block: tuple, args: Any, shared_mem: int = 0, stream: Any = None) -> None:
        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError("Expected tuple")
        machine.call("cuLaunchKernel", driver=True)
        source = self.module._source
        _check(source, grid, block, args)
        arguments, arrays = [], []
        for parameter, given in zip(source.parameters, args, strict=True):
            if parameter.endswith("*"):
                arguments.append(_pointer(source.name, parameter, given))
                arrays += [given] if isinstance(given, ndarray) else []
            else:
                arguments.append(_scalar(source.name, parameter, given))

        def run() -> None:
            from nnkit.kernels.cuda import emulator

            machine.counts["kernel " + source.name] += 1
            emulator.run(source, grid[0], arguments, schedule["name"], seed=schedule["seed"])

        state = queues.state_of((streams.get_current_stream() if stream is None else stream).ptr)
        queues.submit(state, source.name, "kernel", run, _ranges(arrays))


def _check(source: Any, grid: tuple, block: tuple, args: Any) -> None:
    """What CUDA does not check, and computes nonsense with."""
    assert len(args) == len(source.parameters), f"{source.name}: {len(args)} arguments for {source.parameters}"
    assert tuple(block) == (source.threads,) + (1,) * (len(block) - 1), f"{source.name}: a block of {block}"
    assert all(n == 1 for n in grid[1:]) and grid[0] >= 1, f"{source.name}: a grid of {grid}"
    if grid[0] > 2**31 - 1:
        raise CUDADriverError(1)


def _pointer(kernel: str, parameter: str, given: Any) -> np.ndarray:
    name = parameter.removesuffix("*")
    dtype = np.dtype(ELEMENTS.get(name, name))
    if given is None or (isinstance(given, (int, np.integer)) and given == 0):
        return np.empty(0, dtype)
    if isinstance(given, (int, np.integer)):
        view = machine.view(int(given))
        return view[: view.size - view.size % dtype.itemsize].view(dtype)
    assert isinstance(given, ndarray), f"{kernel}: {parameter} expected a cupy.ndarray, got {type(given)}"
    wanted = {"uint8": ("bool", "uint8"), "float16": ("float16", "uint16"), "bfloat16": ("bfloat16", "uint16")}
    fitting = wanted.get(name, (name,))
    assert given.dtype.name in fitting, f"{kernel}: {parameter} got an array of {given.dtype}"
    if given.size == 0:
        return np.empty(0, dtype)
    low, high = np.lib.array_utils.byte_bounds(given._host)
    assert low == given.data.ptr, f"{kernel}: {parameter} got an array that runs backwards"
    return machine.view(low, high - low).view(dtype)


def _scalar(kernel: str, parameter: str, given: Any) -> Any:
    kinds = {"int64": (int, np.int64), "float64": (float, np.float64)}[parameter]
    assert isinstance(given, kinds) and not isinstance(given, bool), f"{kernel}: {parameter} got {given!r}"
    return kinds[0](given)
