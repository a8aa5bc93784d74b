"""NumPy on the CPU: the reference bodies, with results written in place where NumPy can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from nnkit.backends.base import Array, Backend, Scalar
from nnkit.backends.neighbours import Neighbours
from nnkit.backends.pool import aligned_empty
from nnkit.backends.precision import is_half
from nnkit.backends.recording import recorder

#: Formulas that are one NumPy function, which writes its result in place.
UFUNCS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "square": np.square,
    "larger": np.maximum, "smaller": np.minimum, "exponential": np.exp, "logarithm": np.log, "square_root": np.sqrt,
    "absolute_value": np.abs, "sine": np.sin, "cosine": np.cos, "hyperbolic_tangent": np.tanh, "equal": np.equal,
    "not_equal": np.not_equal, "less": np.less, "less_equal": np.less_equal, "greater": np.greater,
    "greater_equal": np.greater_equal,
}  # fmt: skip
#: What becomes of an element that is there and one that comes; sums and products in float64 are the base's.
FOLDS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


class NumpyBackend(Backend, Neighbours):
    """Arrays are ``numpy.ndarray``."""

    name = "numpy"
    # NumPy follows the standard by itself since 2.1; array_api_compat would import all of its corners.
    xp = np

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        at_work = recorder()
        # The view: to numpy, bfloat16 is a foreign type, which the interface that the pool uses cannot name.
        return aligned_empty(shape, dtype) if at_work is None else at_work.allocate(shape, dtype).view(dtype)

    def view(self, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        if x.flags.c_contiguous:
            return x.reshape(shape)
        try:
            return x.reshape(shape, copy=False)
        except ValueError:
            return None

    def native(self, dtype: Any) -> np.dtype:
        return np.dtype(dtype)

    def dtype_of(self, array: np.ndarray) -> np.dtype:
        return array.dtype

    def upload(self, x: np.ndarray, out: np.ndarray) -> None:
        out[...] = x

    def download(self, x: np.ndarray) -> np.ndarray:
        return x.copy()

    def duplicate(self, x: np.ndarray) -> np.ndarray:
        if x.flags.c_contiguous:
            return x.copy()
        # The same strides: which kernel fits, and so the last bit of a result, depends on them.
        steps = [(n - 1) * stride for n, stride in zip(x.shape, x.strides, strict=True)]
        low, high = sum(min(s, 0) for s in steps), sum(max(s, 0) for s in steps)
        out = np.ndarray(x.shape, x.dtype, np.empty(high - low + x.itemsize, np.uint8), -low, x.strides)
        np.copyto(out, x)
        return out

    def duplicator(self, x: np.ndarray) -> Callable[[], np.ndarray]:
        return x.copy if x.flags.c_contiguous else super().duplicator(x)

    def versions(self) -> str:
        return f"numpy {np.__version__}"

    def quietly(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")

    def map(self, formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: Sequence[Scalar] = ()) -> None:
        ufunc = UFUNCS.get(formula)
        if ufunc is None or inputs[0].dtype.kind == "b" or _is_widened(inputs[0], out[0]):
            super().map(formula, inputs, out, scalars)
        else:
            with np.errstate(all="ignore"):
                ufunc(*inputs, out=out[0], casting="same_kind")

    def map_unless(
        self, flag: Array, formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: Sequence[Scalar] = ()
    ) -> None:
        if flag[0] == 0.0:
            self.map(formula, inputs, out, scalars)

    def fill(self, value: float, out: np.ndarray) -> None:
        out.fill(value)

    def copy(self, x: np.ndarray, out: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            np.copyto(out, x, casting="unsafe")

    def matmul(self, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
        if is_half(x.dtype):
            super().matmul(x, y, out)
        else:
            with np.errstate(all="ignore"):
                np.matmul(x, y, out=out)

    def take_rows(self, x: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
        # mode="clip" writes straight into out; the caller has checked the indices.
        np.take(x, indices, axis=0, out=out, mode="clip")

    def add_rows(self, y: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
        with self.quietly():
            np.add.at(out, indices, y)

    def scatter(self, kind: str, y: np.ndarray, indices: np.ndarray, axis: int, out: np.ndarray) -> None:
        if is_half(out.dtype):
            super().scatter(kind, y, indices, axis, out)
        elif kind == "set":
            np.put_along_axis(out, indices, y, axis)
        else:
            places: list[Any] = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
            places[axis] = indices
            with self.quietly():
                FOLDS[kind].at(out, tuple(places), y)

    def scan(self, kind: str, x: np.ndarray, axis: int, out: np.ndarray) -> None:
        if kind in FOLDS and not is_half(x.dtype):
            with self.quietly():
                FOLDS[kind].accumulate(x, axis=axis, out=out)
        else:
            super().scan(kind, x, axis, out)


def _is_widened(x: np.ndarray, out: np.ndarray) -> bool:
    """Whether a half type gets a larger output: NumPy would compute in the half type, where squares overflow."""
    return is_half(x.dtype) and out.dtype.itemsize > x.dtype.itemsize
