"""``cupy.ndarray``: device memory, a shape and strides; never the host's array by accident.

Functions compute with numpy on the memory where it lies. ``compute`` is their one door: it refuses host arrays, looks
at the current stream, gives a result its own device memory (or recognises it as a view), and, while the stream
captures, notes the computation instead.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from . import memory, queues, runtime, streams
from .machine import current_device, machine

Host = np.ndarray
IMPLICIT = (
    "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."
)
CAPTURING = "the current stream is capturing, so synchronous API calls are disallowed"


class Flags:
    """What CuPy tells of an array's layout: no more than this."""

    def __init__(self, host: Host, owndata: bool) -> None:
        self.c_contiguous = bool(host.flags.c_contiguous)
        self.f_contiguous = bool(host.flags.f_contiguous)
        self.owndata = owndata

    def __getitem__(self, name: str) -> bool:
        return getattr(self, name.lower())

    @property
    def fnc(self) -> bool:
        return self.f_contiguous and not self.c_contiguous

    @property
    def forc(self) -> bool:
        return self.f_contiguous or self.c_contiguous


class ndarray:
    """An array on a GPU."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ) -> None:
        shape = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(int(n) for n in shape)
        kind = np.dtype(dtype)
        if kind.kind in "OSUMmV" and kind.name != "bfloat16":
            raise ValueError(f"Unsupported dtype {kind}")
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        self.data = memory.alloc(size) if memptr is None else memptr
        self.base: ndarray | None = None
        self._host = _view(self.data, shape, kind, strides, order)

    @classmethod
    def _over(cls, data: memory.MemoryPointer, host: Host, base: ndarray | None) -> ndarray:
        made = cls.__new__(cls)
        made.data, made._host, made.base = data, host, base
        return made

    # ---- what it is --------------------------------------------------------------------------------------

    shape = property(lambda self: self._host.shape, lambda self, shape: setattr(self._host, "shape", shape))
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: Flags(self._host, self.base is None))
    device = property(lambda self: self.data.device)
    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.swapaxes(-1, -2))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape, "typestr": self.dtype.str, "descr": self.dtype.descr, "version": 3,
            "data": (self.data.ptr, False), "strides": None if self.flags.c_contiguous else self.strides,
            "stream": streams.get_current_stream().ptr or 1,
        }  # fmt: skip

    def __array__(self, dtype: Any = None, copy: Any = None) -> Host:
        raise TypeError(IMPLICIT)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> ndarray:
        if method != "__call__":
            return NotImplemented
        return compute(ufunc, *inputs, **options)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get(), spec)

    # ---- the host ----------------------------------------------------------------------------------------

    def get(self, stream: Any = None, order: str = "C", out: Host | None = None, blocking: bool = True) -> Host:
        at = streams.get_current_stream() if stream is None else stream
        _refuse_while_capturing(at)
        machine.call("cudaMemcpyAsync")
        if self.size:
            machine.view(self.data.ptr, 1)
        target = np.empty(self.shape, self.dtype, order="C" if order == "A" else order) if out is None else out
        queues.submit(queues.state_of(at.ptr), "memcpy", "copy", lambda: np.copyto(target, self._host))
        if blocking or out is None:
            queues.synchronize_stream(at.ptr)
        return target

    def set(self, arr: Host, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        at = streams.get_current_stream() if stream is None else stream
        _refuse_while_capturing(at)
        machine.call("cudaMemcpyAsync")
        host = self._host
        queues.submit(queues.state_of(at.ptr), "memcpy", "now", lambda: np.copyto(host, arr))
        queues.await_stream(queues.state_of(at.ptr))

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self.get().tobytes(order)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __index__(self) -> int:
        return operator.index(self.get())

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> ndarray:
        with self.device:
            return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        from .namespace import asarray

        return asarray, (self.get(),)

    # ---- elements ----------------------------------------------------------------------------------------

    def __getitem__(self, slices: Any) -> ndarray:
        index = _index(slices)
        return compute(lambda x, *parts: x[_wrapped(index(parts), x.shape)], self, *_arrays_in(slices))

    def __setitem__(self, slices: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.shape:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        if isinstance(value, (list, tuple)):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        index = _index(slices)

        def write(x: Host, value: Any, *parts: Host) -> None:
            with np.errstate(all="ignore"):
                x[_wrapped(index(parts), x.shape)] = value

        run(write, self, value, *_arrays_in(slices), name="copy")

    def fill(self, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.shape:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        run(lambda x, value: x.fill(value), self, value, name="fill")

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> ndarray:
        wanted = shape[0] if len(shape) == 1 else shape
        if copy is False:  # numpy refuses where the memory would have to move
            return compute(lambda x: x.reshape(wanted, order=order, copy=False), self)
        return compute(lambda x: x.reshape(wanted, order=order), self)

    def view(self, dtype: Any = None, type: Any = None) -> ndarray:
        return compute(lambda x: x.view() if dtype is None else x.view(dtype), self)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _view(data: memory.MemoryPointer, shape: Any, kind: np.dtype, strides: Any, order: str) -> Host:
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    if size == 0:
        return np.empty(shape, kind)
    found = machine.block(data.ptr)
    if found is None:
        machine.view(data.ptr, 1)
    whole, start, _, _ = found
    return np.ndarray(shape, kind, whole, data.ptr - start, strides, order)


def _refuse_while_capturing(stream: Any) -> None:
    if runtime.streamIsCapturing(stream.ptr):
        raise RuntimeError(CAPTURING)


def _arrays_in(slices: Any) -> list[Any]:
    parts = slices if isinstance(slices, tuple) else (slices,)
    return [to_device(p) if isinstance(p, (np.ndarray, list)) else p for p in parts if _is_array(p)]


def _is_array(part: Any) -> bool:
    return isinstance(part, (ndarray, np.ndarray, list))


def _index(slices: Any) -> Callable[[Any], Any]:
    """An index with its arrays left out, to be put in again."""

    def build(arrays: Any) -> Any:
        given = iter(arrays)
        if not isinstance(slices, tuple):
            return next(given) if _is_array(slices) else slices
        return tuple(next(given) if _is_array(p) else p for p in slices)

    for part in slices if isinstance(slices, tuple) else (slices,):
        if isinstance(part, ndarray) and part.dtype.kind == "b":
            _refuse_while_capturing(streams.get_current_stream())  # CuPy counts the True elements on the host
    return build


def _wrapped(index: Any, shape: tuple[int, ...]) -> Any:
    """Index arrays that go round the end, as on the device, where numpy would raise an error."""
    parts = index if isinstance(index, tuple) else (index,)
    done, axis = [], 0
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype.kind in "iu" and part.ndim:
            part = part % max(shape[axis], 1)
        axis += 0 if part is None or part is Ellipsis else 1
        if part is Ellipsis:
            axis = len(shape) - sum(p is not None and p is not Ellipsis for p in parts[len(done) + 1 :])
        done.append(part)
    return tuple(done) if isinstance(index, tuple) else done[0]


def to_device(values: Any, dtype: Any = None, order: str = "C") -> ndarray:
    """A new array with values from the host."""
    host = np.array(values, dtype=dtype, order=order)
    _refuse_while_capturing(streams.get_current_stream())
    made = ndarray(host.shape, host.dtype, order="F" if host.flags.fnc else "C")
    if host.ndim == 0:  # filled by a kernel, as CuPy does
        made.fill(host[()])
        return made
    machine.call("cudaMemcpyAsync")
    queues.submit(queues.current_state(), "memcpy", "copy", lambda: np.copyto(made._host, host))
    return made


# ---- computing -----------------------------------------------------------------------------------------------


def _hosts(values: Any, here: bool = True) -> Any:
    """The arguments with device arrays replaced by their memory; arrays of the host are refused.

    ``here``: so are those of another GPU than the current one.
    """
    if isinstance(values, ndarray):
        if here:
            _check_device(values)
        return values._host
    if isinstance(values, np.ndarray):
        raise TypeError(f"Unsupported type {type(values)}")
    if isinstance(values, (tuple, list)):
        return type(values)(_hosts(v, here) for v in values)
    return values


def _check_device(array: ndarray) -> None:
    here = current_device()
    if array.data.device_id != here:
        raise ValueError(
            "Array device must be same as the current device: "
            f"array device = {array.data.device_id} while current = {here}"
        )


def _devices(values: Any) -> list[ndarray]:
    if isinstance(values, ndarray):
        return [values]
    return [found for v in values for found in _devices(v)] if isinstance(values, (tuple, list)) else []


def _launched(name: str) -> None:
    if not machine.nvrtc:
        raise ImportError('Failure finding "libnvrtc.so.13": No such file: libnvrtc.so.13')
    if name not in machine.compiled:
        machine.call("nvrtcCompileProgram")
        machine.compiled.add(name)
    machine.call("cuLaunchKernel", driver=True)


def _ranges(arrays: list[ndarray]) -> tuple[tuple[int, int], ...]:
    found = []
    for array in arrays:
        if array.size:
            low, high = np.lib.array_utils.byte_bounds(array._host)
            found.append((low, high - low))
    return tuple(found)


def run(function: Callable[..., Any], *args: Any, name: str) -> None:
    """A kernel that writes into its arguments."""
    hosts = [_hosts(a) for a in args]
    _launched(name)
    queues.submit(queues.current_state(), name, "now", lambda: function(*hosts), _ranges(_devices(args)))


def compute(function: Callable[..., Any], *args: Any, out: Any = None, **options: Any) -> Any:
    """A kernel whose result is a new array, a view of an argument, or ``out``."""
    target = out[0] if isinstance(out, tuple) else out
    hosts, named = [_hosts(a, here=False) for a in args], {k: _hosts(v, here=False) for k, v in options.items()}
    with np.errstate(all="ignore"):
        result = function(*hosts, **named)
    sources = _devices([*args, *options.values()])
    is_view = _is_view(result, sources)
    for source in [] if is_view else sources:  # a view is made without a kernel, whichever GPU is the current one
        _check_device(source)
    state = queues.current_state()
    if state.capture is None and not is_view:
        # What the stream has put off comes first, and may change what was computed.
        queues.drain(state)
        queues.wait_for_default(state)
        with np.errstate(all="ignore"):
            result = function(*hosts, **named)
    name = getattr(function, "__name__", "kernel")

    def again() -> Any:
        with np.errstate(all="ignore"):
            return function(*hosts, **named)

    if isinstance(result, (tuple, list)):
        kept = [_keep(r, sources, lambda i=i: again()[i], name, None) for i, r in enumerate(result)]
        return type(result)(*kept) if hasattr(result, "_fields") else type(result)(kept)
    return _keep(result, sources, again, name, target)


def _keep(result: Any, sources: list[ndarray], again: Callable[[], Any], name: str, out: ndarray | None) -> Any:
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    host = np.asarray(result)
    if out is None:
        same = next((s for s in sources if s._host is result), None)
        if same is not None:
            return same
        source = next((s for s in sources if _lies_in(host, s)), None)
        if source is not None:
            start = host.__array_interface__["data"][0]
            data = memory.MemoryPointer(source.data.mem, start - source.data.mem.ptr)
            writable = _view(data, host.shape, host.dtype, host.strides, "C")
            return ndarray._over(data, writable, source.base if source.base is not None else source)
        fortran = host.flags.f_contiguous and not host.flags.c_contiguous
        out = ndarray(host.shape, host.dtype, order="F" if fortran else "C")
    target = _hosts(out)
    _launched(name)

    def work() -> None:
        with np.errstate(all="ignore"):
            np.copyto(target, again(), casting="unsafe")

    if queues.current_state().capture is None:

        def work() -> None:
            np.copyto(target, host, casting="unsafe")

    queues.submit(queues.current_state(), name, "now", work, _ranges([*sources, out]))
    return out


def _is_view(result: Any, sources: list[ndarray]) -> bool:
    return isinstance(result, np.ndarray) and any(_lies_in(result, source) for source in sources)


def _lies_in(host: Host, source: ndarray) -> bool:
    if not host.size:
        return False
    start = host.__array_interface__["data"][0]
    return source.data.mem.ptr <= start < source.data.mem.ptr + source.data.mem.size
