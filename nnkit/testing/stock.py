"""The CUDA kernels that conformance needs, found without a GPU: from its formulas, types and sizes.

Left out, and compiled when first used: kernels for arrays of many elements (wide accesses), formulas of whole numbers,
in the other float type or with scalars in device memory, flagged ones, casts, and products of half types.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from nnkit.backends.base import keeps_input
from nnkit.kernels.cuda import classification, convolution, linear, memory, normalization, random, reductions, windows
from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.elementwise import Shape, map_kernel
from nnkit.kernels.cuda.texts import Plan
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.registered import FORMULAS
from nnkit.testing import products
from nnkit.testing import reductions as sizes
from nnkit.testing.bench import FLOATS
from nnkit.testing.elementwise import arguments, output_types, types_of
from nnkit.testing.normalization import NORMED

STORED = (*FLOATS, "float16", "bfloat16", "int64", "bool")
#: How two operands lie: full, one row, one column, one element.
LAYOUTS = ("ff", "fr", "rf", "fc", "cf", "f1", "1f", "cr")
#: Formulas of two operands that are tried in each layout and type.
BROADCAST = {"add": "{0}", "mul": "{0}", "less": "bool"}


def sources() -> list[Source]:
    """Each kernel once.

    >>> names = [source.name for source in sources()]
    >>> "map_relu_float32_to_float32_f" in names, len(names) == len(set(names))
    (True, True)
    """
    made = (*formulas(), *moves(), *folds(), *rows(), *layers(), *images(), *normalizations())
    return list({source.name: source for source in made}.values())


def formulas() -> Iterator[Source]:
    """Every formula over full arrays, and a few over repeated ones."""
    for formula in FORMULAS:
        for dtype in types_of(formula):
            elements, scalars = arguments(formula, 1, dtype)
            inputs = tuple(element.dtype.name for element in elements)
            outputs = tuple(output_types(formula, dtype))
            yield map_kernel(formula, Shape(inputs, outputs, "f" * len(inputs), "v" * len(scalars)))
    for formula, output in BROADCAST.items():
        for dtype in (*FLOATS, "int64"):
            for layout in LAYOUTS:
                yield map_kernel(formula, Shape((dtype, dtype), (output.format(dtype),), layout))


def moves() -> Iterator[Source]:
    """Filling, taking and adding rows, random numbers."""
    for stored in STORED:
        yield memory.fill_kernel(stored)
    for unit in ("byte", "word", "quad"):
        yield from (memory.copy_rows_kernel(unit), memory.take_rows_kernel(unit), memory.take_batch_kernel(unit))
    for stored in FLOATS:
        yield from (memory.add_rows_kernel(stored), random.uniform_kernel(stored), random.dropout_kernel(stored))
    for stored in (*FLOATS, "int64"):
        yield from (memory.scatter_kernel(stored, False), memory.scatter_kernel(stored, True))
    yield from (memory.gather_kernel("uint32"), memory.gather_kernel("int64"))
    yield from (memory.next_key_kernel(), random.bits_kernel())


def folds() -> Iterator[Source]:
    """Reductions, and positions along the last axis."""
    for shape, axes in sizes.REDUCTIONS:
        if not axes or not math.prod(shape) or axes != tuple(range(axes[0], axes[-1] + 1)):
            continue
        A, B = math.prod(shape[: axes[0]]), math.prod(shape[axes[-1] + 1 :])
        K = math.prod(shape) // (A * B)
        for kind in ("sum", "prod", "max", "min"):
            for dtype in (*FLOATS, "int64"):
                yield from _of(reductions.reduce_plan(kind, dtype, A, K, B))
        for kind in ("any", "all"):
            yield from _of(reductions.reduce_plan(kind, "bool", A, K, B))
            if (B if B > 1 else K) % 8 == 0:
                size = (A, K, B // 8) if B > 1 else (A, K // 8, 1)
                yield from _of(reductions.reduce_plan(kind, "words", *size))
    for A, K in _rows():
        for kind in ("argmax", "argmin"):
            yield from (reductions.position_step(kind, dtype, A, K).source for dtype in (*FLOATS, "int64"))


def rows() -> Iterator[Source]:
    """Softmax, its gradient and cross entropy."""
    for dtype in FLOATS:
        for B, C in _rows():
            for flag in (False, True):  # of the logarithm, of weights
                for wide in (False, True):
                    for step in (classification.softmax_step, classification.softmax_grad_step):
                        yield step(dtype, flag, wide, B, C).source
                    yield classification.cross_entropy_step(dtype, flag, wide, B, C).source


def layers() -> Iterator[Source]:
    """Bias and activation after a product, and the gradients before it."""
    for activation in ACTIVATIONS:
        few = activation in products.FEW
        for dtype in FLOATS if few else FLOATS[:1]:
            for M, _, O in products.LAYERS if few else products.LAYERS[4:6]:
                if not M * O:
                    continue
                for bias in (dtype, None):
                    if bias or activation != "identity":
                        step = linear.linear_step(activation, dtype, bias, keeps_input(activation), O % 4 == 0, M, O)
                        yield step.source
                for add in (False, True):
                    types = linear.Gradients(dtype, dtype, dtype)
                    yield from _of(linear.linear_grad_plan(activation, types, add, O % 4 == 0, M, O))


def images() -> Iterator[Source]:
    """Pools, patches, and what follows the products of convolutions."""
    for dtype in FLOATS:
        for axes in (1, 2, 3):
            yield windows.patches_kernel(np.dtype(dtype).itemsize, axes)
            for last in (False, True):
                yield from (windows.pool_kernel(kind, dtype, axes, last) for kind in ("max", "sum"))
                yield from (windows.spread_kernel(kind, dtype, dtype, axes, last) for kind in ("max", "sum", "patches"))
        for activation in products.FEW:
            for bias in (dtype, None):
                if bias or activation != "identity":
                    for wide in (False, True):
                        step = convolution.conv_step(activation, dtype, bias, keeps_input(activation), wide, (1, 1, 4))
                        yield step.source


def normalizations() -> Iterator[Source]:
    """Of channels and of groups, their gradients, and those by given statistics."""
    for dtype, (shape, counts), affine in itertools.product(FLOATS, NORMED, (True, False)):
        weights = dtype if affine else None
        types = normalization.Types(dtype, weights, weights, dtype)
        grad = types._replace(b=None)
        for groups, centred in itertools.product(counts, (True, False)):
            yield normalization.parts_step(types, True, True, shape, groups).source
            if groups:
                yield normalization.rows_step(types, centred, shape, groups).source
                yield normalization.rows_grad_step(grad, centred, shape, groups).source
            else:
                yield normalization.parts_step(types, False, centred, shape).source
                yield normalization.apply_grad_step(grad, True, centred, True, shape).source
            for add in (False, True):
                totals = normalization.Totals(weights, weights, (add, add), groups == 0)
                if affine or groups == 0:
                    yield normalization.fold_step(dtype, totals, shape, dtype).source
        yield normalization.fold_step(dtype, None, shape, dtype).source
        yield normalization.apply_step(types, True, shape).source
        yield normalization.apply_grad_step(grad, False, True, True, shape).source


def _rows() -> list[tuple[int, int]]:
    """How many rows, and their length, where there are elements."""
    return [(math.prod(shape[:-1]), shape[-1]) for shape in sizes.ROWS if math.prod(shape)]


def _of(plan: Plan) -> Iterator[Source]:
    return (step.source for step in plan.steps)
