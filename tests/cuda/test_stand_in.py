"""The stand-in for CuPy keeps to the real module: its names, signatures, errors and rules.

What can be asked of the real CuPy without a driver is asked of both: an array over memory that CUDA did not give knows
its shape, strides and views, and refuses what it always refuses. Streams, graphs and pools follow CuPy's own tests.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import stand_in

# ---- names, signatures, errors ------------------------------------------------------------------------------------


def pretended() -> Any:
    """The stand-in as a module, installed or not."""
    stand_in.reset()
    return stand_in._modules()["cupy"]


def real() -> Any:
    """The real CuPy."""
    return pytest.importorskip("cupy", reason="CuPy is not installed")


def look_up(module: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        module = getattr(module, name)
    return module


def parameters(thing: Any) -> list[tuple[str, bool]] | None:
    """Names of a callable's parameters, and whether they have defaults; of a Cython function, from its docstring."""
    try:
        found = [p for p in inspect.signature(thing).parameters.values() if p.name not in ("self", "subok")]
        if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in found):
            found = []
        if found or not (thing.__doc__ or "").partition("\n")[0].endswith(")"):
            return [(p.name, p.default is not p.empty) for p in found] or None
    except ValueError:
        pass
    line = (thing.__doc__ or "").partition("\n")[0].partition(" -> ")[0]
    match = re.fullmatch(r"[\w.]+\((.*)\)", line)
    if match is None:
        return None
    parts = [p.strip() for p in match[1].split(",") if p.strip() not in ("", "self", "/", "*", "cls")]
    names = [(p.partition("=")[0].split()[-1].lstrip("*"), "=" in p) for p in parts if "subok" not in p]
    return None if any(p.startswith("*") for p in parts) else names


PLACES = (
    "", "ndarray", "cuda", "cuda.runtime", "cuda.Device", "cuda.Event", "cuda.Stream", "cuda.ExternalStream",
    "cuda.Graph", "cuda.MemoryPool", "cuda.MemoryPointer", "cuda.Memory", "cuda.UnownedMemory", "cuda.Module",
    "cuda.Function", "cuda.PinnedMemory", "cuda.PinnedMemoryPool", "cuda.memory.PooledMemory", "linalg",
)  # fmt: skip


def check_names(true: Any, made: Any) -> None:
    defined = {n: v for c in made.__mro__[:-1] for n, v in vars(c).items()} if isinstance(made, type) else vars(made)
    wrong = []
    for name in sorted(n for n in defined if not n.startswith("_")):
        if not hasattr(true, name):
            wrong.append(f"{name}: the real CuPy has no such name")
            continue
        here, there = getattr(made, name), getattr(true, name)
        if callable(here) and not isinstance(here, type):
            known, expected = parameters(here), parameters(there)
            if None not in (known, expected) and known != expected:
                wrong.append(f"{name}: {known} instead of {expected}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("place", PLACES)
def test_names_and_signatures_are_the_real_ones(place: str) -> None:
    check_names(look_up(real(), place), look_up(pretended(), place))


CONSTRUCTORS = (
    "cuda.Stream", "cuda.ExternalStream", "cuda.Event", "cuda.Device", "cuda.MemoryPool", "cuda.MemoryPointer",
    "cuda.UnownedMemory", "cuda.Memory", "cuda.PinnedMemory", "cuda.PinnedMemoryPool", "cuda.memory.OutOfMemoryError",
    "cuda.runtime.PointerAttributes",
)  # fmt: skip


@pytest.mark.parametrize("place", CONSTRUCTORS)
def test_classes_are_made_like_the_real_ones(place: str) -> None:
    assert parameters(look_up(pretended(), place)) == parameters(look_up(real(), place))


@pytest.mark.parametrize("place", ["", "NcclCommunicator", "NcclError"])
def test_names_of_nccl_are_the_real_ones(place: str) -> None:
    true = pytest.importorskip("cupy_backends.cuda.libs.nccl", reason="no NCCL", exc_type=ImportError)
    check_names(look_up(true, place), look_up(stand_in._modules()["cupy.cuda.nccl"], place))
    for status in range(7):
        assert stand_in.nccl.NcclError(status).args == true.NcclError(status).args


@pytest.mark.parametrize("name", [n for n, v in vars(stand_in.runtime).items() if isinstance(v, int) and n[0] != "_"])
def test_constants_are_the_real_ones(name: str) -> None:
    assert getattr(stand_in.runtime, name) == getattr(real().cuda.runtime, name)


@pytest.mark.parametrize("status", stand_in.errors.RUNTIME)
def test_errors_of_the_runtime_have_the_real_texts(status: int) -> None:
    true, made = real().cuda.runtime.CUDARuntimeError(status), stand_in.errors.CUDARuntimeError(status)
    assert (made.args, made.status) == (true.args, true.status)
    assert [c.__name__ for c in type(made).__mro__] == [c.__name__ for c in type(true).__mro__]


@pytest.mark.parametrize("arguments", [(1000, 2000), (1000, 2000, 3000)])
def test_out_of_memory_has_the_real_text(arguments: tuple[int, ...]) -> None:
    true, made = real().cuda.memory.OutOfMemoryError(*arguments), stand_in.errors.OutOfMemoryError(*arguments)
    assert str(made) == str(true)
    assert isinstance(made, MemoryError) and isinstance(true, MemoryError)


# ---- arrays: the same table for both --------------------------------------------------------------------------------


def raised(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(Exception) as caught:
        call()
    return type(caught.value).__name__, str(caught.value)


IMPLICIT = (
    "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."
)
NO_FILL = ("ValueError", "non-scalar numpy.ndarray cannot be used for fill")
#: What is asked of a (2, 3) float32 array x that begins 64 bytes into its memory, and the answer.
ANSWERS: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {
    "strides": (lambda cp, x: x.strides, (12, 4)),
    "sizes": (lambda cp, x: (x.size, x.ndim, x.nbytes, x.itemsize, x.dtype), (6, 2, 24, 4, np.dtype("f4"))),
    "slice": (lambda cp, x: (x[:, 1:].strides, x[:, 1:].data.ptr - x.data.ptr), ((12, 4), 4)),
    "row": (lambda cp, x: (x[1].shape, x[1].data.ptr - x.data.ptr), ((3,), 12)),
    "transposed": (lambda cp, x: (x.T.shape, x.T.strides, x.T.data.ptr - x.data.ptr), ((3, 2), (4, 12), 0)),
    "permuted": (lambda cp, x: cp.transpose(x, (1, 0)).strides, (4, 12)),
    "reshaped": (lambda cp, x: (x.reshape(3, 2).strides, x.reshape((6,)).shape), ((8, 4), (6,))),
    "broadcast": (lambda cp, x: cp.broadcast_to(x, (4, 2, 3)).strides, (0, 12, 4)),
    "expanded": (lambda cp, x: cp.expand_dims(x, 0).shape, (1, 2, 3)),
    "another type": (lambda cp, x: (x.view("i4").dtype, x.view("u1").shape), (np.dtype("i4"), (2, 12))),
    "flags": (lambda cp, x: [x.flags.c_contiguous, x.flags.f_contiguous, x.flags.owndata], [True, False, True]),
    "flags of a view": (lambda cp, x: [x.T.flags.f_contiguous, x.T.flags.owndata, x.T.flags.fnc], [True, False, True]),
    "flags by name": (lambda cp, x: x.flags["C_CONTIGUOUS"], True),
    "base of a view of a view": (lambda cp, x: x[0][1:].base is x, True),
    "nothing to convert": (lambda cp, x: x.astype("f4", copy=False) is x, True),
    "device": (lambda cp, x: (repr(x.device), x.device == cp.cuda.Device(0)), ("<CUDA Device 0>", True)),
    "interface": (lambda cp, x: x.data.ptr - x.data.mem.ptr, 64),
    "pointer": (lambda cp, x: ((x.data + 8).ptr - x.data.ptr, x.data.mem.size), (8, 256)),
    "numpy's array": (lambda cp, x: raised(lambda: np.asarray(x)), ("TypeError", IMPLICIT)),
    "assigning numpy's": (lambda cp, x: raised(lambda: x.__setitem__(..., np.ones(3, "f4"))), NO_FILL),
    "assigning a list": (lambda cp, x: raised(lambda: x.__setitem__(..., [1, 2, 3])), NO_FILL),
    "no writeable": (
        lambda cp, x: raised(lambda: x.flags.writeable),
        ("AttributeError", "'Flags' object has no attribute 'writeable'"),
    ),
    "set of a list": (
        lambda cp, x: raised(lambda: x.set([1])),
        ("TypeError", "Only numpy.ndarray can be set to cupy.ndarray"),
    ),
    "set of another shape": (
        lambda cp, x: raised(lambda: x.set(np.zeros(2, "f4"))),
        ("ValueError", "Shape mismatch. Old shape: (2, 3), new shape: (2,)"),
    ),
    "set of another type": (
        lambda cp, x: raised(lambda: x.set(np.zeros((2, 3)))),
        ("TypeError", "float64 array cannot be set to float32 array"),
    ),
    "set of a strided array": (
        lambda cp, x: raised(lambda: x[:, 1:].set(np.zeros((2, 2), "f4"))),
        ("RuntimeError", "Cannot set to non-contiguous array"),
    ),
    "a wrong shape": (
        lambda cp, x: raised(lambda: x.reshape(7)),
        ("ValueError", "cannot reshape array of size 6 into shape (7,)"),
    ),
    "no copy": (
        lambda cp, x: raised(lambda: x.T.reshape(6, copy=False)),
        ("ValueError", "Unable to avoid creating a copy while reshaping."),
    ),
    "truth": (
        lambda cp, x: raised(lambda: bool(x)),
        ("ValueError", "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"),
    ),
    "len of one number": (lambda cp, x: raised(lambda: len(x[0, 0])), ("TypeError", "len() of unsized object")),
    "hash": (lambda cp, x: raised(lambda: hash(x)), ("TypeError", "unhashable type: 'ndarray'")),
    "objects": (
        lambda cp, x: raised(lambda: cp.ndarray((2,), object)),
        ("ValueError", "Unsupported dtype object"),
    ),
    "a binary that is text": (
        lambda cp, x: raised(lambda: cp.cuda.function.Module().load("abc")),
        ("TypeError", "Argument 'cubin' has incorrect type (expected bytes, got str)"),
    ),
    "a graph of no stream": (
        lambda cp, x: raised(lambda: cp.cuda.Graph())[0],
        "NotImplementedError",
    ),
    "capture on the default stream": (
        lambda cp, x: raised(lambda: cp.cuda.Stream.null.begin_capture()),
        ("RuntimeError", "cannot capture on the default (legacy) stream"),
    ),
}  # fmt: skip


def some_array(cupy: Any, memory: np.ndarray) -> Any:
    block = cupy.cuda.UnownedMemory(memory.ctypes.data, 256, memory, 0)
    return cupy.ndarray((2, 3), np.float32, cupy.cuda.MemoryPointer(block, 64))


@pytest.mark.parametrize("question", ANSWERS)
def test_an_array_answers_like_the_real_one(question: str) -> None:
    ask, answer = ANSWERS[question]
    cupy = pretended()
    memory = stand_in.machine.view(stand_in.machine.allocate(256, 0))
    assert ask(cupy, some_array(cupy, memory)) == answer


@pytest.mark.parametrize("question", ANSWERS)
def test_the_real_array_answers_so(question: str) -> None:
    ask, answer = ANSWERS[question]
    assert ask(real(), some_array(real(), np.zeros(256, np.uint8))) == answer


def test_a_missing_driver_is_told_like_the_real_one() -> None:
    true = real()
    if true.cuda.runtime.driverGetVersion():
        pytest.skip("this machine has a driver")
    calls: list[Callable[[Any], Any]] = [
        lambda cp: cp.cuda.runtime.getDeviceCount(), lambda cp: cp.zeros(3), lambda cp: cp.cuda.alloc_pinned_memory(8),
        lambda cp: cp.cuda.function.Module().load(b"x"), lambda cp: cp.cuda.runtime.memGetInfo(),
    ]  # fmt: skip
    with stand_in.installed() as machine:
        import cupy

        machine.driver_version = 0
        for call in calls:
            assert raised(lambda c=call: c(cupy)) == raised(lambda c=call: c(true))
        assert cupy.cuda.is_available() is true.cuda.is_available() is False
        assert cupy.cuda.runtime.driverGetVersion() == 0
