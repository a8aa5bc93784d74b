"""Row-major arrays of any strides as the column-major matrices that BLAS knows.

Read column by column, the memory of a row-major matrix is its transpose. So out = x y, row-major, is asked for as
out^T = y^T x^T: BLAS's A is y and its B is x, and neither is moved. An operand that is stored transposed itself (a
permuted view, as the weights of a linear layer are) is marked so. Batch axes become one axis with one step an operand,
0 where it is broadcast; axes that no such step can describe become several products at offsets.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

#: Type of the operands -> types of the result that cuBLASLt has for it; it sums in float32, or in float64 for float64.
RESULT_TYPES = {
    "float32": ("float32",),
    "float64": ("float64",),
    "float16": ("float16", "float32"),
    "bfloat16": ("bfloat16", "float32"),
}


class View(NamedTuple):
    """What matters of an array but its address: strides are in elements."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    itemsize: int

    @property
    def transposed(self) -> View:
        """The last two axes exchanged."""
        shape, strides = (*self.shape[:-2], *self.shape[:-3:-1]), (*self.strides[:-2], *self.strides[:-3:-1])
        return self._replace(shape=shape, strides=strides)


class Matrix(NamedTuple):
    """One matrix as the library's layout has it, column-major; ``step`` leads to the next of a batch, in elements."""

    dtype: str
    rows: int
    columns: int
    leading: int
    step: int


class Problem(NamedTuple):
    """D = op(A) op(B), ``batch`` times at a step, and all of that once at each of ``offsets`` (bytes in A, B and D)."""

    a: Matrix
    b: Matrix
    d: Matrix
    transpose_a: bool
    transpose_b: bool
    batch: int
    offsets: tuple[tuple[int, int, int], ...]

    def __str__(self) -> str:
        m, n, k = self.d.columns, self.d.rows, self.a.rows if self.transpose_a else self.a.columns
        batch = f"{self.batch} times " if self.batch > 1 else ""
        return f"{batch}{self.a.dtype} ({m}, {k}) times ({k}, {n}) into {self.d.dtype}"


def view(array: Any) -> View:
    """The view of a NumPy or CuPy array; strides that are no multiple of an element become -1, which BLAS refuses."""
    itemsize = array.dtype.itemsize
    strides = tuple(-1 if stride % itemsize else stride // itemsize for stride in array.strides)
    return View(tuple(array.shape), strides, array.dtype.name, itemsize)


def problem(x: View, y: View, out: View) -> Problem | str:
    """out (..., m, n) = x (..., m, k) y (..., k, n), batch axes broadcast; or the reason why cuBLASLt cannot do it.

    Raises ValueError where the shapes do not fit one another.
    """
    batch = _check_shapes(x, y, out)
    if 0 in (*x.shape, *y.shape, *out.shape):
        return "an array is empty"
    if x.dtype != y.dtype or out.dtype not in RESULT_TYPES.get(x.dtype, ()):
        return f"cuBLASLt has no product of {x.dtype} and {y.dtype} into {out.dtype}"
    of_x, of_y, of_out = _stored(x), _stored(y), _stored(out)
    if of_x is None or of_y is None or of_out is None or of_out[1]:
        return "an array is neither contiguous nor transposed in its last two axes, or the output is transposed"
    (ld_x, x_turned), (ld_y, y_turned), (ld_out, _) = of_x, of_y, of_out
    axes = _merged(batch, [_steps(v, len(batch)) for v in (x, y, out)])
    if any(min(steps) < 0 or steps[2] == 0 for _, steps in axes):
        return "a batch axis runs backwards, or the output repeats its memory"
    m, k, n = *x.shape[-2:], y.shape[-1]
    if axes and not x_turned and axes[-1][1] == (m * ld_x, 0, m * ld_out):
        m *= axes.pop()[0]  # rows of one tall matrix
    count, (step_x, step_y, step_out) = axes.pop(_widest(axes)) if axes else (1, (0, 0, 0))
    return Problem(
        Matrix(y.dtype, *((k, n) if y_turned else (n, k)), ld_y, step_y),
        Matrix(x.dtype, *((m, k) if x_turned else (k, m)), ld_x, step_x),
        Matrix(out.dtype, n, m, ld_out, step_out),
        y_turned, x_turned, count, _offsets(axes, (x.itemsize, y.itemsize, out.itemsize)),
    )  # fmt: skip


def _check_shapes(x: View, y: View, out: View) -> tuple[int, ...]:
    """The batch axes of the output."""
    batch = out.shape[:-2]
    fits = min(len(v.shape) for v in (x, y, out)) >= 2
    fits = fits and (x.shape[-2], y.shape[-1]) == out.shape[-2:] and x.shape[-1] == y.shape[-2]
    for v in (x, y):
        own = v.shape[:-2]
        tail = batch[len(batch) - len(own) :]
        fits = fits and len(own) <= len(batch) and all(a in (1, b) for a, b in zip(own, tail, strict=True))
    if not fits:
        raise ValueError(f"matmul: out has shape {out.shape}, which is not that of {x.shape} times {y.shape}")
    return batch


def _stored(v: View) -> tuple[int, bool] | None:
    """The distance of rows in memory, and False; or that of columns, and True for a matrix stored transposed."""
    (rows, columns), (down, along) = v.shape[-2:], v.strides[-2:]
    if (along == 1 or columns == 1) and (down >= columns or rows == 1):
        return (down if rows > 1 else columns), False
    if (down == 1 or rows == 1) and (along >= rows or columns == 1):
        return (along if columns > 1 else rows), True
    return None


def _steps(v: View, axes: int) -> list[int]:
    """The step of each batch axis: 0 where the array is broadcast."""
    steps = [0 if size == 1 else step for size, step in zip(v.shape[:-2], v.strides[:-2], strict=True)]
    return [0] * (axes - len(steps)) + steps


def _merged(batch: Sequence[int], steps: Sequence[Sequence[int]]) -> list[tuple[int, tuple[int, ...]]]:
    """Size and steps of each batch axis, joined with its neighbour where every array walks both as one."""
    axes: list[tuple[int, tuple[int, ...]]] = []
    for size, own in zip(batch, zip(*steps, strict=True), strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1] == tuple(size * step for step in own):
            axes[-1] = (axes[-1][0] * size, own)
        else:
            axes.append((size, own))
    return axes


def _widest(axes: Sequence[tuple[int, tuple[int, ...]]]) -> int:
    return max(range(len(axes)), key=lambda index: axes[index][0])


def _offsets(
    axes: Sequence[tuple[int, tuple[int, ...]]], itemsizes: tuple[int, int, int]
) -> tuple[tuple[int, int, int], ...]:
    """Where the products at each place of the remaining axes begin: bytes in A (y), B (x) and D (out)."""
    places = []
    for indices in itertools.product(*(range(size) for size, _ in axes)):
        x, y, out = (
            itemsize * sum(i * steps[which] for i, (_, steps) in zip(indices, axes, strict=True))
            for which, itemsize in enumerate(itemsizes)
        )
        places.append((y, x, out))
    return tuple(places)
