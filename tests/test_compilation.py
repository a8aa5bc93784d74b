"""What a kernel's text is made into: code that ends being compiled, and what happens to one that takes too long."""

from __future__ import annotations

import numpy as np
import pytest

from nnkit import backends
from nnkit.kernels.cpu.elementwise import Shape, map_text

SHAPE = (3, 5)
#: Operands by kind: full, one row, one column, one element.
KINDS = {"f": SHAPE, "r": (1, 5), "c": (3, 1), "1": (1, 1)}


@pytest.mark.parametrize("layout", ["c", "1", "fc", "f1", "cf", "1r", "rc1"])
def test_what_stays_along_a_row_is_read_before_it(layout: str) -> None:
    """Inside the loop LLVM's vectoriser would follow it again from each of its uses."""
    shape = Shape(("float32",) * len(layout), ("float32",), layout, (-1,))
    *before, inner = map_text("select" if len(layout) == 3 else "add", shape).split("\n")
    for k, kind in enumerate(layout):
        assert (f"x{k}[" in inner) == (kind in "fr"), inner
        assert any(f"v{k} = x{k}[" in line for line in before) == (kind in "c1")


@pytest.mark.parametrize("formula, layout", [
    ("mish", "c"), ("mish", "1"), ("mish_grad", "fc"), ("mish_grad", "f1"), ("mish_grad", "rc"),
    ("round_to_float16", "c"), ("round_to_float16", "1"),
])  # fmt: skip
def test_long_formulas_of_repeated_operands(formula: str, layout: str) -> None:
    """They compile at all, and give what the full operands give."""
    random = np.random.default_rng(0)
    inputs = [np.broadcast_to(random.standard_normal(KINDS[kind]).astype("f"), SHAPE) for kind in layout]
    wanted, given = np.empty(SHAPE, "f"), np.empty(SHAPE, "f")
    numba = backends.get("numba")
    numba.map(formula, [np.ascontiguousarray(x) for x in inputs], (wanted,))
    numba.map(formula, inputs, (given,))
    np.testing.assert_allclose(given, wanted, rtol=1e-6)
