"""The CUDA kernels of windows against NumPy's bodies under three schedules, and compiled."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import kernel_checks
import numpy as np
import pytest
from kernel_checks import ARCHITECTURES, results

from nnkit.backends import get
from nnkit.backends.base import FORMULAS, keeps_input
from nnkit.backends.windows import Sizes, Window
from nnkit.kernels.cuda import convolution, windows
from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.tensors.dtypes import as_dtype
from nnkit.testing.bench import TOLERANCES

pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: the emulator needs greenlet")

NUMPY = get("numpy")
HALVES = {"float16": 2e-3, "bfloat16": 2e-2}


class Images(NamedTuple):
    """Images (B, C, *S), and windows over them."""

    shape: Sizes
    window: Window
    dtype: str = "float32"
    last: bool = False  # channels lie last

    @property
    def places(self) -> Sizes:
        return self.window.places(self.shape[2:])

    @property
    def windows(self) -> Sizes:
        return (*self.shape[:2], *self.places)

    def numbers(self) -> list[int]:
        """What a kernel is told of the window."""
        firsts = [before for before, _ in self.window.padding]
        kernel, stride, _, dilation = self.window
        axes = zip(self.shape[2:], self.places, kernel, stride, firsts, dilation, strict=True)
        return [self.shape[1], *(number for axis in axes for number in axis)]

    def laid(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """An array's memory, the array in it, and its steps."""
        memory = np.ascontiguousarray(np.moveaxis(values, 1, -1) if self.last else values)
        array = np.moveaxis(memory, -1, 1) if self.last else memory
        return memory, array, [step // array.itemsize for step in array.strides]

    def sample(self, shape: Sizes, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).normal(0, 2, shape).astype(as_dtype(self.dtype))


def window(kernel: Sizes, stride: int = 1, padding: int = 0, dilation: int = 1) -> Window:
    axes = len(kernel)
    return Window(kernel, (stride,) * axes, ((padding, padding),) * axes, (dilation,) * axes)


#: One to three axes; windows that overlap and that leave places out; types; channels last; more padding than places.
CASES = [
    Images((2, 3, 33), window((3,), 2, 1)), Images((1, 2, 7, 31), window((2, 3), 1, 0, 2)),
    Images((2, 3, 6, 8), window((2, 2), 2), last=True), Images((1, 5, 5, 5), window((3, 3), 1, 1), "float64", True),
    Images((2, 2, 7, 5), window((3, 2), 3), "float16"), Images((1, 3, 6, 6), window((3, 3), 2, 1), "bfloat16", True),
    Images((1, 2, 3, 4, 5), window((2, 1, 3), 1, 1)), Images((1, 1, 2, 3), window((5, 5), 1, 2)),
    Images((1, 2, 4, 4), Window((2, 3), (2, 1), ((0, 1), (2, 0)), (1, 1))), Images((1, 2, 9), window((2,), 5)),
]  # fmt: skip


def close(found: np.ndarray, wanted: np.ndarray, size: float = 1.0) -> None:
    """Within the tolerance of the conformance tests, and that of sixteen-bit numbers."""
    tolerance = (TOLERANCES | HALVES)[wanted.dtype.name]
    np.testing.assert_allclose(found.astype("float64"), wanted.astype("float64"), rtol=tolerance, atol=tolerance * size)


def run(source: Source, n: int, arguments: list[Any], written: list[int]) -> list[np.ndarray]:
    return results(source, windows.grid(n), arguments, written)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_max_pool_and_its_gradient(case: Images) -> None:
    values, axes = np.round(case.sample(case.shape)), len(case.places)  # some are equal
    values.reshape(-1)[2::9], values.reshape(-1)[3::7] = -np.inf, np.nan
    (x_memory, x, of_x), (y_memory, y, of_y) = case.laid(values), case.laid(case.sample(case.windows))
    at_memory, at, of_at = case.laid(np.full(case.windows, 7))
    n, numbers = math.prod(case.windows), case.numbers()
    source = windows.pool_kernel("max", case.dtype, axes, case.last)
    found = run(source, n, [x_memory, y_memory, at_memory, n, *numbers, *of_x, *of_y, *of_at], [1, 2])
    NUMPY.max_pool(x, case.window, y, at)
    np.testing.assert_array_equal(found[1], at_memory)
    np.testing.assert_array_equal(found[0].astype("float64"), y_memory.astype("float64"))
    (dy_memory, dy, of_dy), (dx_memory, dx, of_dx) = case.laid(case.sample(case.windows, 1)), case.laid(values)
    alone = windows.pool_kernel("greatest", case.dtype, axes, case.last)
    (without,) = run(alone, n, [x_memory, y_memory, n, *numbers, *of_x, *of_y], [1])
    np.testing.assert_array_equal(without.astype("float64"), found[0].astype("float64"))
    source = windows.spread_kernel("max", case.dtype, case.dtype, axes, case.last)
    given = [dy_memory, at_memory, dx_memory, dx.size, *numbers, *of_dy, *of_at, *of_dx]
    (found_dx,) = run(source, dx.size, given, [2])
    NUMPY.max_pool_grad(dy, at, case.window, dx)
    close(found_dx, dx_memory, 4.0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_sum_pool_and_its_gradient(case: Images) -> None:
    axes, numbers = len(case.places), case.numbers()
    (x_memory, x, of_x), (y_memory, y, of_y) = case.laid(case.sample(case.shape)), case.laid(case.sample(case.windows))
    source = windows.pool_kernel("sum", case.dtype, axes, case.last)
    (found,) = run(source, y.size, [x_memory, y_memory, 0.25, y.size, *numbers, *of_x, *of_y], [1])
    NUMPY.sum_pool(x, case.window, 0.25, y)
    close(found, y_memory, 4.0)
    source = windows.spread_kernel("sum", case.dtype, case.dtype, axes, case.last)
    (found,) = run(source, x.size, [y_memory, x_memory, 0.25, x.size, *numbers, *of_y, *of_x], [1])
    NUMPY.sum_pool_grad(y, case.window, 0.25, x)
    close(found, x_memory, 4.0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_patches_and_their_gradient(case: Images) -> None:
    axes, numbers, taps = len(case.places), case.numbers(), math.prod(case.window.kernel)
    x_memory, x, of_x = case.laid(case.sample(case.shape))
    y = np.full((*case.shape[:2], taps, *case.places), 7, x.dtype)
    of_y = [step // y.itemsize for step in y.strides]
    units = {2: np.float16, 4: np.uint32, 8: np.int64}[x.itemsize]
    n = math.prod(case.windows)
    given = [x_memory.view(units), y.view(units), n, *numbers, *of_x, *of_y]
    (found,) = run(windows.patches_kernel(x.itemsize, axes), n, given, [1])
    NUMPY.patches(x, case.window, y)
    np.testing.assert_array_equal(found.view(y.dtype).astype("float64"), y.astype("float64"))
    dx_memory, dx, of_dx = case.laid(case.sample(case.shape, 1).astype("float32"))
    source = windows.spread_kernel("patches", case.dtype, "float32", axes, case.last)
    (found,) = run(source, dx.size, [y, dx_memory, dx.size, *numbers, *of_y, *of_dx], [1])
    NUMPY.patches_grad(y, case.window, dx)
    close(found, dx_memory, 4.0)


#: Activation, type, sizes, and whether four neighbours are read at a time.
BEHIND = [
    *((name, "float32", (2, 3, 5), False) for name in ACTIVATIONS), ("relu", "float32", (2, 5, 8), True),
    ("gelu", "float16", (3, 2, 16), True), ("silu", "bfloat16", (1, 33, 1), False),
    ("tanh", "float64", (2, 3, 12), True),
]  # fmt: skip


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation, dtype, sizes, wide", BEHIND)
def test_bias_and_activation(activation: str, dtype: str, sizes: Any, wide: bool, bias: bool) -> None:
    case, keeps = Images(sizes, window(()), dtype), keeps_input(activation)
    product, b = case.sample(sizes), case.sample(sizes[1:2], 1)
    scalars = tuple((FORMULAS[ACTIVATIONS[activation]].__kwdefaults__ or {}).values())
    step = convolution.conv_step(activation, dtype, dtype if bias else None, keeps, wide, sizes)
    arrays = [product, np.full_like(product, 7)] if keeps else [product]
    given = [*arrays, *([b] if bias else []), *step.sizes, *scalars]
    found = results(step.source, step.grid, given, range(len(arrays)))
    z, y = np.empty_like(product), np.empty_like(product)
    NUMPY.map("add", (product, b[:, None]), (z,)) if bias else NUMPY.copy(product, z)
    NUMPY.map(ACTIVATIONS[activation], (z,), (y,), scalars)
    for one, other in zip(found, [z, y] if keeps else [y], strict=True):
        close(one, other)


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("dtype, sizes", [("float32", (3, 5, 33)), ("float64", (2, 1, 300)), ("float16", (4, 2, 9))])
def test_sums_of_channels(dtype: str, sizes: tuple[int, int, int], add: bool) -> None:
    case = Images(sizes, window(()), dtype)
    x, db = case.sample(sizes), case.sample(sizes[1:2], 1)
    wanted = (x.astype("float64").sum(axis=(0, 2)) + add * db).astype(x.dtype)
    value = x
    for plan, out in zip(convolution.channel_plans(dtype, dtype, sizes, add), (None, db), strict=True):
        (step,) = plan.steps
        room = np.zeros(sizes[0] * sizes[1], plan.partial_type) if out is None else out
        (value,) = results(step.source, step.grid, [value, room, *step.sizes], [1])
    close(value, wanted, 4.0)


COMPILED = [
    *(windows.pool_kernel(kind, dtype, 2, last) for kind in ("max", "greatest", "sum")
      for dtype, last in (("float32", False), ("float64", True), ("float16", True), ("bfloat16", False))),
    *(windows.spread_kernel(kind, dtype, dtype, 2, False) for kind in ("max", "sum", "patches")
      for dtype in ("float32", "float64", "float16", "bfloat16")),
    windows.patches_kernel(2, 1), windows.patches_kernel(4, 2), windows.patches_kernel(8, 3),
    windows.pool_kernel("max", "float32", 3, True), windows.spread_kernel("max", "float32", "float32", 3, True),
    windows.spread_kernel("patches", "float32", "float16", 3, True),
    *(convolution.conv_step("gelu", dtype, dtype, True, True, (2, 3, 16)).source
      for dtype in ("float32", "float64", "float16", "bfloat16")),
]  # fmt: skip


@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", COMPILED, ids=lambda source: source.name)
def test_compiled(source: Source, architecture: str) -> None:
    kernel_checks.check_compiled(source, architecture, registers=65536 // (source.threads * source.blocks))
