"""Launches of the elementwise primitives: ``map``, ``fill`` and ``copy``.

A kernel takes contiguous outputs; an input is full, or repeats a row, a column, an element, or a column inside.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

import numpy as np

from nnkit.backends.base import Scalar
from nnkit.backends.cpu.launch import (
    FLOATS,
    INT64,
    LARGE,
    TYPES,
    Call,
    Launch,
    address,
    cut,
    new_launch,
    number_addresses,
    why_not,
)  # fmt: skip
from nnkit.backends.layout import Layouts, layouts
from nnkit.backends.pool import aligned_empty
from nnkit.backends.recording import recorder
from nnkit.kernels.cpu import elementwise, memory
from nnkit.kernels.cpu.compiler import Kernel

WORD = 4  # bytes: rows are copied in words of this size
WORDS = {4: "uint32", 8: "int64"}  # and single elements in words of theirs
#: Formulas that on whole numbers are exact: the others are computed in floats, by NumPy's rules.
WHOLE = frozenset({
    "add", "sub", "mul", "neg", "square", "identity", "select", "equal", "not_equal", "less", "less_equal", "greater",
    "greater_equal",
})  # fmt: skip


def map(
    formula: str, inputs: Sequence[np.ndarray], out: Sequence[np.ndarray], scalars: Sequence[Scalar] = ()
) -> Launch | str:
    """Outputs contiguous and of one shape; inputs that lie as ``backends.layout`` says."""
    return _map_alike(formula, inputs, out, scalars) or _map_any(formula, inputs, out, scalars)


def _map_alike(
    formula: str, inputs: Sequence[np.ndarray], out: Sequence[np.ndarray], scalars: Sequence[Scalar]
) -> Launch | None:
    """The commonest case, decided quickly: contiguous float arrays, all of one shape and type, no device scalars."""
    first = out[0]
    dtype, shape, size = first.dtype, first.shape, first.size
    name = FLOATS.get(dtype)
    if name is None or not size:
        return None
    for a in (*inputs, *out):
        if a.dtype is not dtype or a.shape != shape or not a.flags.c_contiguous:
            return None
    for s in scalars:
        if type(s) is not float:
            return None
    sources, targets = [address(a) for a in inputs], [address(a) for a in out]
    aliases = tuple([sources.index(t) if t in sources else -1 for t in targets])
    kernel = _alike_kernel(formula, name, len(sources), aliases)
    boxes = [ctypes.c_double(s) for s in scalars]
    numbers = [ctypes.addressof(b) for b in boxes]
    launch = new_launch(kernel, [1, size, *sources, *numbers, *targets], boxes)
    if size * (len(inputs) + len(out)) < LARGE // 8:
        return launch
    return _cut_map(launch, inputs, out, "f" * len(inputs), len(numbers))


@functools.cache
def _alike_kernel(formula: str, dtype: str, inputs: int, aliases: tuple[int, ...]) -> Kernel:
    shape = elementwise.Shape((dtype,) * inputs, (dtype,) * len(aliases), "f" * inputs, aliases)
    return elementwise.map_kernel(formula, shape)


def _cut_map(
    launch: Launch, inputs: Sequence[np.ndarray], out: Sequence[np.ndarray], letters: str, numbers: int
) -> Launch:
    moving = {2 + k: a.itemsize for k, (a, kind) in enumerate(zip(inputs, letters, strict=True)) if kind == "f"}
    moving |= {2 + len(inputs) + numbers + k: a.itemsize for k, a in enumerate(out)}
    return cut(launch, out[0].size, moving, sum(moving.values()))


def _map_any(
    formula: str, inputs: Sequence[np.ndarray], out: Sequence[np.ndarray], scalars: Sequence[Scalar]
) -> Launch | str:
    shape, size = out[0].shape, out[0].size
    if any(a.dtype not in TYPES for a in inputs) or any(a.dtype not in TYPES for a in out):
        return why_not(*inputs, *out)
    if any(a.shape != shape or not a.flags.c_contiguous for a in out) or not size:
        return "an output is not contiguous, or empty"
    types = {a.dtype for a in inputs if a.dtype.kind != "b"}
    if INT64 in types and (len(types) > 1 or formula not in WHOLE):
        return why_not(*inputs)
    if any(isinstance(s, np.ndarray) and (s.dtype != np.float64 or s.size != 1) for s in scalars):
        return "a scalar is not one float64"
    found = layouts(inputs, shape)
    if found is None:
        return _map_of_copies(formula, inputs, out, scalars)
    letters, C, M = found
    sources, targets = [address(a) for a in inputs], [address(a) for a in out]
    aliases = tuple(sources.index(t) if t in sources else -1 for t in targets)
    numbers, boxes = number_addresses(scalars)
    names = tuple(TYPES[a.dtype] for a in inputs), tuple(TYPES[a.dtype] for a in out)
    kernel = elementwise.map_kernel(formula, elementwise.Shape(*names, letters, aliases))
    launch = new_launch(kernel, [size // C, C, *sources, *numbers, *targets, M], boxes)
    if set(letters) <= {"f", "1"}:
        return _cut_map(launch, inputs, out, letters, len(numbers))
    return _cut_rows(launch, inputs, out, found, len(numbers))


def _cut_rows(
    launch: Launch, inputs: Sequence[np.ndarray], out: Sequence[np.ndarray], layouts: Layouts, numbers: int
) -> Launch:
    """The same loop as several calls, each of whole rows, or of whole groups of rows where a column is repeated."""
    letters, C, M = layouts
    steps = {"f": C, "c": 1}
    moving = {
        2 + k: steps[kind] * a.itemsize
        for k, (a, kind) in enumerate(zip(inputs, letters, strict=True))
        if kind in steps
    }
    moving |= {2 + len(inputs) + numbers + k: C * a.itemsize for k, a in enumerate(out)}
    return cut(launch, out[0].size // C, moving, sum(moving.values()), count=0, step=M)


def _map_of_copies(
    formula: str, inputs: Sequence[np.ndarray], out: Sequence[np.ndarray], scalars: Sequence[Scalar]
) -> Launch | str:
    """A strided input is copied first."""
    stages: list[Sequence[Call]] = []
    dense: list[np.ndarray] = []
    rooms: list[np.ndarray] = []
    for a in inputs:
        if layouts((a,), out[0].shape) is None:
            room = room_for(a)
            copied = copy_strided(a, room) if layouts((room,), out[0].shape) is not None else None
            if copied is None:
                return "an input is strided"
            stages += copied.stages
            rooms.append(room)
            a = room
        dense.append(a)
    if not rooms:
        return "inputs are repeated in ways that do not go together"
    launch = map(formula, dense, out, scalars)
    if isinstance(launch, str):
        return launch
    return Launch(launch.name, [*stages, *launch.stages], launch, [] if recorder() is not None else rooms)


def room_for(x: np.ndarray) -> np.ndarray:
    """Memory for a copy of x that one launch makes for itself: in a program, later ones use it again."""
    at_work = recorder()
    return aligned_empty(x.shape, x.dtype) if at_work is None else at_work.allocate(x.shape, x.dtype)


def copy_strided(x: np.ndarray, out: np.ndarray) -> Launch | None:
    """A matrix or a vector of which elements lie some way apart, to contiguous memory; None for what is neither."""
    if x.dtype != out.dtype or x.shape != out.shape or x.itemsize not in WORDS or not out.flags.carray:
        return None
    axes = [(n, s // x.itemsize) for n, s in zip(x.shape, x.strides, strict=True) if n != 1]
    if len(axes) > 2 or not x.size or any(s % x.itemsize for s in x.strides):
        return None
    (rows, down), (columns, across) = [(1, 0)] * (2 - len(axes)) + axes
    kernel = memory.copy_strided_kernel(WORDS[x.itemsize])
    return new_launch(kernel, [address(x), address(out), rows, columns, down, across])


def fill(value: float, out: np.ndarray) -> Launch | str:
    """A contiguous array that may be written; int64 takes what float64 holds exactly."""
    if out.dtype not in TYPES or not out.flags.carray:
        return why_not(out)
    if out.dtype == INT64 and not abs(value) <= 2**53:
        return "a whole number that float64 does not hold"
    numbers, boxes = number_addresses([float(bool(value) if out.dtype.kind == "b" else value)])
    return new_launch(memory.fill_kernel(TYPES[out.dtype]), [out.size, *numbers, address(out)], boxes)


def copy(x: np.ndarray, out: np.ndarray) -> Launch | str:
    """A copy that may change the type or repeat x."""
    if out.dtype.kind == "b" and x.dtype.kind != "b":
        return "a conversion to booleans"
    if not out.flags.writeable:
        return "a read-only array"  # NumPy refuses it
    if address(x) != address(out) and np.may_share_memory(x, out):
        return "the arrays overlap"
    whole = out.flags.c_contiguous
    if whole and (x.flags.c_contiguous or x.shape != out.shape) and layouts((x,), out.shape) is not None:
        return map("identity", (x,), (out,))
    rows = _copy_rows(x, out)
    if rows is not None:
        return rows
    if whole and x.dtype == out.dtype and layouts((x,), out.shape) is None:
        return copy_strided(x, out) or "an input is strided"
    return map("identity", (x,), (out,)) if whole else "an output is strided"


def _copy_rows(x: np.ndarray, out: np.ndarray) -> Launch | None:
    """A copy between arrays of one type and shape whose memory is rows of the same length, along at most two axes."""
    if x.shape != out.shape or x.dtype != out.dtype or x.itemsize % WORD or not x.size:
        return None
    *outer, (C, step, target) = _axes(x, out)
    if (step, target) != (1, 1) or len(outer) > (2 if C > 1 else 1):
        return None
    words = x.itemsize // WORD
    (A, *blocks), (R, *rows) = [(1, 0, 0)] * (2 - len(outer)) + outer
    steps = [step * words for pair in zip(blocks, rows, strict=True) for step in pair]
    launch = new_launch(memory.copy_rows_kernel(), [address(x), address(out), A, R, C * words, *steps])
    if A < 2:
        return launch
    return cut(launch, A, {0: steps[0] * WORD, 1: steps[2] * WORD}, 2 * R * C * x.itemsize, count=2, step=1)


def _axes(x: np.ndarray, out: np.ndarray) -> list[tuple[int, int, int]]:
    """The axes of two arrays of one shape, in as few as there can be: size, and elements from one to the next in both.

    The last is of step 1 in both where anything is.
    """
    axes: list[tuple[int, int, int]] = []
    for n, *steps in reversed(list(zip(x.shape, x.strides, out.strides, strict=True))):
        first, second = (step // x.itemsize for step in steps)
        if n == 1:
            continue
        if axes and (first, second) == (axes[0][0] * axes[0][1], axes[0][0] * axes[0][2]):
            axes[0] = (n * axes[0][0], *axes[0][1:])
        else:
            axes.insert(0, (n, first, second))
    return axes if axes and axes[-1][1:] == (1, 1) else [*axes, (1, 1, 1)]
