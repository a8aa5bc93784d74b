"""Matrix products and linear layers on large and odd sizes: each type and precision, operands stored either way."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import nnkit
from bench.gpu.agreement import Output, agree, remark
from bench.gpu.checks import Check, Sizes
from bench.gpu.samples import normal, type_named
from nnkit.backends import Backend
from nnkit.backends.base import FORMULAS, keeps_input
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.vocabulary import scalar_names

#: How far a product may lie from that of float64, relative to its largest element, by the precision of its operands;
#: sums of products of half types are float32, but the units for these cut off what others round.
ERRORS = {"highest": 5e-5, "high": 2e-3, "medium": 1.6e-2, "float16": 1e-3, "bfloat16": 1e-3}
#: Types and precisions of products.
KINDS = (
    ("float32", "highest"), ("float32", "high"), ("float32", "medium"), ("float64", "highest"),
    ("float16", "highest"), ("bfloat16", "highest"),
)  # fmt: skip
PRODUCTS: Sequence[tuple[int, int, int]] = (
    (1, 1, 1), (31, 33, 7), (128, 784, 128), (257, 129, 511), (1000, 513, 1001), (4096, 4096, 1000), (3, 100_003, 5),
)  # fmt: skip
TINY_PRODUCTS: Sequence[tuple[int, int, int]] = ((1, 1, 1), (5, 7, 3), (4, 8, 16))
LAYERS: Sequence[tuple[int, int, int]] = ((128, 784, 128), (257, 129, 511), (1021, 512, 2052), (1, 784, 10))
TINY_LAYERS: Sequence[tuple[int, int, int]] = ((5, 7, 3), (4, 8, 16))


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Products of float32 in this precision."""
    before = nnkit.get_matmul_precision()
    nnkit.set_matmul_precision(name)
    try:
        yield
    finally:
        nnkit.set_matmul_precision(before)


def _matmul(dtype: str, digits: str, sizes: Sizes) -> str:
    """Rows by columns, each stored either way; and a batch by one matrix. Half types multiply into float32."""
    result = "float64" if dtype == "float64" else "float32"
    options: dict[str, Any] = {"tolerance": ERRORS.get(dtype, ERRORS[digits]), "of_the_largest": True}
    if dtype == "float64":
        options["tolerance"] = None
    found = []
    with precision(digits):
        for M, K, N in sizes.pick(PRODUCTS, PRODUCTS[:5], TINY_PRODUCTS):
            for turned in ((False, False), (True, False), (False, True)):
                x, y = normal(*_stored((M, K), turned[0])), normal(*_stored((K, N), turned[1]), seed=1)
                given = x.astype(type_named(dtype)), y.astype(type_named(dtype)), Output((M, N), result)
                found.append(agree(functools.partial(_product, turned), *given, **options))
        given = normal(7, 33, 65, dtype=dtype), normal(65, 17, dtype=dtype), Output((7, 33, 17), result)
        found.append(agree(lambda b, *arrays: b.matmul(*arrays), *given, **options))
    return remark(found)


def _stored(shape: tuple[int, int], turned: bool) -> tuple[int, int]:
    return shape[::-1] if turned else shape


def _product(turned: tuple[bool, bool], backend: Backend, x: Any, y: Any, out: Any) -> None:
    x, y = (backend.permute(a, (1, 0)) if turn else a for a, turn in zip((x, y), turned, strict=True))
    backend.matmul(x, y, out)


# ---- layers ---------------------------------------------------------------------------------------------------------


def scalars_of(activation: str) -> list[float]:
    """An activation's scalars as they are by default."""
    function = FORMULAS[ACTIVATIONS[activation]]
    return [(function.__kwdefaults__ or {})[name] for name in scalar_names(function)]


def _linear(activation: str, sizes: Sizes) -> str:
    """With and without bias, forward and all three gradients, written and added."""
    scalars, found = scalars_of(activation), []
    forward = functools.partial(lambda b, *given: b.linear(*given, scalars))
    for M, I, O in sizes.pick(LAYERS, LAYERS[:2], TINY_LAYERS):
        x, w = normal(M, I), normal(O, I, seed=1) / np.float32(np.sqrt(I))
        z = Output((M, O)) if keeps_input(activation) else None
        for bias in (normal(O, seed=2), None):
            found.append(agree(forward, x, w, bias, activation, z, Output((M, O)), of_the_largest=True))
        dy = normal(M, O, seed=4)
        outputs = Output((M, O), before=dy), *(Output(s, before=normal(*s, seed=5)) for s in ((M, I), (O, I), (O,)))
        for add in ((False, False), (True, True)):
            given = x, w, normal(M, O, seed=3), dy, activation, *outputs, add
            backward = functools.partial(lambda b, *given: b.linear_grad(*given, scalars))
            found.append(agree(backward, *given, tolerance=1e-4, of_the_largest=True))
    return remark(found)


def _not_a_number(sizes: Sizes) -> str:
    """NaN and infinity in a layer's input reach its output, also through an activation in cuBLASLt's epilogue."""
    x, w = normal(8, 16), np.eye(16, dtype=np.float32)
    x[1], x[2, 3], x[3, 5] = np.nan, 1e30, np.inf
    found = []
    for activation in ("identity", "relu", "gelu", "gelu_tanh"):
        z = Output((8, 16)) if keeps_input(activation) else None
        for bias in (None, np.zeros(16, np.float32)):
            given = x, w, bias, activation, z, Output((8, 16))
            found.append(agree(lambda b, *given: b.linear(*given), *given))
    return remark(found)


CHECKS: dict[str, Check] = {
    **{f"matmul {dtype} {digits}": functools.partial(_matmul, dtype, digits) for dtype, digits in KINDS},
    **{f"linear {activation}": functools.partial(_linear, activation) for activation in ACTIVATIONS},
    "linear of NaN": _not_a_number,
}
