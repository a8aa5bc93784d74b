"""Launches of ``map``: which kernel runs a formula is decided once for each combination of types and layouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cupy
import numpy as np

from nnkit.backends.base import Scalar
from nnkit.backends.cuda import strided
from nnkit.backends.cuda.arrays import QUAD, STORED, scratch
from nnkit.backends.cuda.work import Chain, Launch, Work
from nnkit.backends.layout import layout, layouts
from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.elementwise import MOST_GROUPS, Shape, map_kernel

Array = Any
#: Formulas that are exact on whole numbers: the others are computed in floats, by the array library's rules.
WHOLE = frozenset({
    "add", "sub", "mul", "neg", "square", "identity", "select", "equal", "not_equal", "less", "less_equal", "greater",
    "greater_equal", "larger", "smaller",
})  # fmt: skip
#: From so many elements on, threads take groups of neighbours; below, more threads are worth more.
WIDE = 1 << 14
#: Decisions kept; a program that meets more combinations begins anew.
CHOICES = 1 << 14
DOUBLE = np.dtype(np.float64)


#: Layouts of inputs that go with any other.
WHOLE_OR_ONE = (("f", 0), ("1", 0))


class Choice(NamedTuple):
    """A kernel and its grid; ``wide`` is another for arrays that all begin where a wide access may."""

    narrow: tuple[Source, int]
    wide: tuple[Source, int] | None
    lengths: tuple[int, ...]  # the kernel's last arguments


_choices: dict[Any, Choice | str] = {}


def map(formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: Sequence[Scalar] = ()) -> Work | str:
    """Outputs of one shape; where an array lies in a way that no kernel takes, a copy of it stands in."""
    work = _map((), formula, inputs, out, scalars)
    return work if isinstance(work, Launch) else _map_ordered(formula, inputs, out, scalars) or work


def map_unless(
    flag: Array, formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: Sequence[Scalar] = ()
) -> Work | str:
    """As ``map``; the kernel looks at the flag first."""
    return _map((flag,), formula, inputs, out, scalars)


def _map(
    flags: tuple[Array, ...], formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: Sequence[Scalar]
) -> Launch | str:
    kinds = tuple([_kind(s) for s in scalars])
    key = (
        formula, len(flags), kinds, len(out), *[(a.dtype, a.shape, a.strides) for a in inputs],
        *[(a.dtype, a.shape, a.strides) for a in out],
    )  # fmt: skip
    choice = _choices.get(key)
    if choice is None:
        if len(_choices) >= CHOICES:
            _choices.clear()
        choice = _choices[key] = _choose(flags, formula, inputs, out, kinds)
    if isinstance(choice, str):
        return choice
    kernel, grid = choice.narrow
    if choice.wide is not None:
        places = 0
        for a in (*inputs, *out):
            places |= a.data.ptr
        if places % QUAD == 0:
            kernel, grid = choice.wide
    values = [float(s) if kind == "v" else s for s, kind in zip(scalars, kinds, strict=True)]
    return Launch(kernel, grid, (*flags, *inputs, *values, *out, *choice.lengths))


def _map_ordered(formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: Sequence[Scalar]) -> Work | None:
    """``map`` over copies that lie in order, where that is what it takes."""
    shape = out[0].shape
    if any(a.shape != shape or a.dtype not in STORED for a in out) or not out[0].size:
        return None
    spread = [a if layout(a, shape) in WHOLE_OR_ONE else cupy.broadcast_to(a, shape) for a in inputs]
    operands, before = strided.in_order(*spread)
    results = [a if a.flags.c_contiguous else scratch(shape, a.dtype) for a in out]
    copies = [strided.copy(made, a) for made, a in zip(results, out, strict=True) if made is not a]
    behind = [copy for copy in copies if not isinstance(copy, str)]
    work = _map((), formula, operands, results, scalars)
    return None if isinstance(work, str) or len(behind) < len(copies) else Chain((*before, work, *behind))


def _kind(scalar: Scalar) -> str:
    """How a scalar reaches the kernel: by value, from device memory, or not at all."""
    if isinstance(scalar, (float, int)):
        return "v"
    return "d" if scalar.dtype == DOUBLE and scalar.size == 1 else "?"


def _choose(
    flags: tuple[Array, ...], formula: str, inputs: Sequence[Array], out: Sequence[Array], scalars: tuple[str, ...]
) -> Choice | str:
    shape, n = out[0].shape, out[0].size
    types = ", ".join(sorted({str(a.dtype) for a in (*inputs, *out)}))
    if any(a.dtype not in STORED for a in (*inputs, *out)):
        return f"element types {types}"
    if any(a.shape != shape or not a.flags.c_contiguous for a in out) or not n:
        return "an output is not contiguous, or empty"
    # A bfloat16 is of a kind of its own to NumPy.
    kinds = {"i" if a.dtype.kind == "i" else "f" for a in inputs if a.dtype.kind != "b"}
    if "i" in kinds and (len(kinds) > 1 or formula not in WHOLE):
        return f"element types {types}"
    if "?" in scalars or any(_kind(flag) != "d" for flag in flags):
        return "a scalar is not one float64"
    found = layouts(inputs, shape)
    if found is None:
        return "an input is strided"
    names = tuple(STORED[a.dtype] for a in inputs), tuple(STORED[a.dtype] for a in out)
    letters, width, middle = found
    form = Shape(*names, letters, "".join(scalars), False, bool(flags))
    if form.repeats() and n > MOST_GROUPS:
        return "too many elements for repeated rows"
    lengths = (n, width, middle)[: len(form.lengths())]
    wide = form._replace(wide=True)
    fours = n >= WIDE and not (form.repeats() and width % form.group())
    return Choice(
        (map_kernel(formula, form), form.grid(n)),
        (map_kernel(formula, wide), wide.grid(n)) if fours else None,
        lengths,
    )
