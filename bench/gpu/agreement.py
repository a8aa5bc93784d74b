"""One call of a primitive on the GPU against the same call on the CPU, and captured against eager to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit import backends
from nnkit.backends import Backend
from nnkit.backends.precision import is_half
from nnkit.backends.program import Program
from nnkit.backends.recording import recording

#: How far an element may lie from the CPU's in float64: relative for large values, absolute for small ones.
TOLERANCES = {"float64": 1e-12, "float32": 2e-5, "float16": 2e-3, "bfloat16": 1.6e-2}
#: What outputs hold before they are written, where they are of whole numbers.
UNWRITTEN = 77

Call = Callable[..., object]


class Agreement(NamedTuple):
    """The largest error, and why instructions of the captured program are calls of Python, where some are."""

    error: float = 0.0
    in_python: tuple[str, ...] = ()


def remark(agreements: Iterable[Agreement]) -> str:
    """What there is to say of several."""
    given = list(agreements)
    text = f"largest error {max(a.error for a in given):.1e}"
    reasons = dict.fromkeys(reason for a in given for reason in a.in_python)
    return f"{text}; in Python: {'; '.join(reasons)}" if reasons else text


class Output(NamedTuple):
    """An array that the call writes; ``before`` is what it holds first, where the call reads that."""

    shape: tuple[int, ...]
    dtype: Any = "float32"
    before: np.ndarray | None = None

    def host(self) -> np.ndarray:
        """Its first values: where they do not count, such as nobody would write."""
        if self.before is not None:
            return self.before.astype(self.dtype)
        dtype = np.dtype(self.dtype)
        return np.full(self.shape, UNWRITTEN if dtype.kind in "iub" else np.nan).astype(dtype)


def agree(
    call: Call, *given: Any, tolerance: float | None = None, of_the_largest: bool = False, exact: bool = False
) -> Agreement:
    """``call(backend, *arrays)`` gives on the GPU what it gives on the CPU in float64, twice, and captured.

    ``given`` are NumPy arrays, Outputs, or anything else, which is passed as it is. ``tolerance`` is in place of that
    of the outputs' types; with ``of_the_largest`` it is relative to the largest element, for sums that cancel;
    ``exact``: the CPU computes in the same types, and the results are equal to the bit.
    """
    gpu = backends.get("cuda")
    arrays = _placed(gpu, given)
    outputs = [(array, value) for array, value in zip(arrays, given, strict=True) if isinstance(value, Output)]
    found = _results(gpu, lambda: call(gpu, *arrays), outputs)
    again = _results(gpu, lambda: call(gpu, *arrays), outputs)
    _check_equal(again, found, "a second run differs from the first")
    program, replayed = captured(gpu, lambda: call(gpu, *arrays), outputs)
    _check_equal(replayed, found, "captured and eager differ")
    expected = _on_the_cpu(call, given, exact)
    reasons = tuple(i.note for i in program.instructions if i.kernel is None)
    if exact:
        _check_equal(found, expected, "the GPU's result differs from the CPU's")
        return Agreement(0.0, reasons)
    pairs = zip(found, expected, strict=True)
    return Agreement(max(_error(ours, right, tolerance, of_the_largest) for ours, right in pairs), reasons)


def _placed(backend: Backend, given: Sequence[Any]) -> list[Any]:
    return [
        backend.asarray(value.host() if isinstance(value, Output) else value)
        if isinstance(value, (Output, np.ndarray))
        else value
        for value in given
    ]


def _results(backend: Backend, run: Callable[[], object], outputs: Sequence[tuple[Any, Output]]) -> list[np.ndarray]:
    """The outputs after a run that found them as they were at first."""
    for array, output in outputs:
        backend.upload(output.host(), array)
    run()
    return [backend.to_numpy(array) for array, _ in outputs]


def captured(
    backend: Backend, run: Callable[[], object], outputs: Sequence[tuple[Any, Output]]
) -> tuple[Program, list[np.ndarray]]:
    """The program of a run, and what its second replay leaves."""
    recorder = backend.recorder()
    with recording(recorder):
        run()
    program = recorder.finish()
    _results(backend, program.replay, outputs)
    return program, _results(backend, program.replay, outputs)


def _on_the_cpu(call: Call, given: Sequence[Any], exact: bool) -> list[np.ndarray]:
    cpu = backends.get("numpy")
    wide = given if exact else [_widened(value) for value in given]
    arrays = _placed(cpu, wide)
    call(cpu, *arrays)
    return [cpu.to_numpy(a) for a, value in zip(arrays, wide, strict=True) if isinstance(value, Output)]


def _widened(value: Any) -> Any:
    """Floats as float64."""
    if isinstance(value, Output):
        return Output(value.shape, np.float64, value.before) if _is_float(np.dtype(value.dtype)) else value
    return value.astype(np.float64) if isinstance(value, np.ndarray) and _is_float(value.dtype) else value


def _is_float(dtype: np.dtype) -> bool:
    return dtype.kind == "f" or is_half(dtype)


def _check_equal(found: Sequence[np.ndarray], expected: Sequence[np.ndarray], what: str) -> None:
    for number, (ours, right) in enumerate(zip(found, expected, strict=True)):
        if ours.tobytes() != right.tobytes():
            differ = ours.reshape(-1).view(np.uint8) != right.reshape(-1).view(np.uint8)
            count = int(differ.reshape(ours.size, -1).any(axis=1).sum())
            raise AssertionError(f"{what}: output {number} in {count} of {ours.size} elements")


def _error(found: np.ndarray, expected: np.ndarray, tolerance: float | None, of_the_largest: bool) -> float:
    """The largest error, which is checked; NaN and infinity have to be where the CPU has them."""
    if not _is_float(found.dtype):
        assert np.array_equal(found, expected), f"{int((found != expected).sum())} of {found.size} elements differ"
        return 0.0
    allowed = TOLERANCES[found.dtype.name] if tolerance is None else tolerance
    ours, right = found.astype(np.float64), np.asarray(expected, np.float64)
    finite = np.isfinite(right)
    same = (ours == right) | (np.isnan(ours) & np.isnan(right))
    assert bool((same | finite).all()), "NaN or infinity is not where the CPU has it"
    right = np.where(finite, right, 0.0)
    size = max(1.0, float(np.abs(right).max(initial=0.0))) if of_the_largest else 1.0 + np.abs(right)
    with np.errstate(invalid="ignore"):
        errors = np.where(finite, np.abs(ours - right) / size, 0.0)
    worst = float(errors.max(initial=0.0))
    assert worst <= allowed, f"the largest error is {worst:.2e}, and {allowed:.0e} is allowed, at {_place(errors)}"
    return worst


def _place(errors: np.ndarray) -> str:
    place = np.unravel_index(int(np.nanargmax(np.where(np.isnan(errors), np.inf, errors))), errors.shape)
    return str(tuple(int(i) for i in place))
