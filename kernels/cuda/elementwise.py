"""One CUDA kernel per formula, types and layout: ``out[i] = formula(inputs[i], scalars)``.

The outputs are R by C and contiguous, n elements; an input is laid out as ``f`` (full), ``r`` (one row of C, repeated),
``c`` (one column of R, repeated), ``m`` (a column of M, which every M rows have again) or ``1`` (one element). A thread
computes one element, or, where the shape is ``wide``, a group of neighbours that it reads and writes in accesses of up
to 16 bytes: that is what keeps a GPU's memory busy. Every group has a thread of its own, without a loop. An output may
be a full input.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.texts import computed, indented, inside, load, pointer, read, store
from nnkit.kernels.registered import FORMULAS
from nnkit.kernels.vocabulary import element_names, scalar_names

THREADS = 256
#: A thread's number has 32 bits where rows or columns repeat, because dividing longer numbers is slow.
MOST_GROUPS = 2**32 - 1


class Shape(NamedTuple):
    """What a kernel depends on besides its formula."""

    inputs: tuple[str, ...]  # the type of each input
    outputs: tuple[str, ...]  # the type of each output
    layout: str  # one letter for each input
    scalars: str = ""  # for each scalar of the formula: v passed by value, d in device memory
    wide: bool = False  # pointers are aligned to 16 bytes, and a repeated row is a multiple of ``group()`` long
    flagged: bool = False  # the first argument is a float64; where it is not 0, nothing is done

    def name(self) -> str:
        """A part of a C identifier."""
        options = self.scalars + "_wide" * self.wide + "_flagged" * self.flagged
        return "_".join([*self.inputs, "to", *self.outputs, self.layout + options])

    def group(self) -> int:
        """How many neighbours a thread takes where the shape is wide: sixteen bytes of the narrowest float."""
        return 8 if any("float16" in stored for stored in (*self.inputs, *self.outputs)) else 4

    def repeats(self) -> bool:
        """Whether an input is one row or one column."""
        return bool(set(self.layout) & {"r", "c", "m"})

    def lengths(self) -> list[str]:
        """What the kernel is told of the arrays: how many elements, of a row, of a column that comes again."""
        return ["n", "C", "M"][: 1 + self.repeats() + ("m" in self.layout)]

    def groups(self, n: int) -> int:
        """How many threads n elements need: one a group, and one for each element that is left over."""
        return n // self.group() + n % self.group() if self.wide else n

    def grid(self, n: int) -> int:
        """How many blocks n elements need."""
        return -(-self.groups(n) // THREADS)


def computed_type(inputs: tuple[str, ...]) -> str:
    """The type that a formula of such inputs is computed in. Booleans choose and compare; the others say.

    >>> computed_type(("bool", "bfloat16")), computed_type(("bool", "bool"))
    ('float32', 'bool')
    """
    found = {computed(stored) for stored in inputs if stored != "bool"}
    return next((kind for kind in ("float64", "float32", "int64") if kind in found), "bool")


@functools.cache
def map_kernel(formula: str, shape: Shape) -> Source:
    """The kernel of ``formula``: flag (where flagged), inputs…, scalars…, outputs…, n, C where a layout repeats, M.

    >>> print(map_kernel("scale", Shape(("float32",), ("float32",), "f", "v")).text)
    def kernel(x0, p0, y0, n):
        s0 = number(p0)
        i = grid_thread()
        if i < n:
            x0_0 = x0[i]
            y0_0 = scale(x0_0, s0)
            y0[i] = to_float32(y0_0)
    """
    scalars = ["float64" if kind == "v" else "float64*" for kind in shape.scalars]
    types = ["float64*"] * shape.flagged + [pointer(t) for t in shape.inputs] + scalars
    types += [pointer(t) for t in shape.outputs] + ["int64"] * len(shape.lengths())
    names = ["flag"] * shape.flagged + [f"x{k}" for k in range(len(shape.inputs))]
    names += [f"p{k}" for k in range(len(scalars))] + [f"y{k}" for k in range(len(shape.outputs))]
    names += shape.lengths()
    text = f"def kernel({', '.join(names)}):\n" + indented(_body(formula, shape))
    return Source(f"map_{formula}_{shape.name()}", text, tuple(types), computed_type(shape.inputs), THREADS)


def _body(formula: str, shape: Shape) -> list[str]:
    """The lines of the kernel."""
    assert len(shape.scalars) == len(scalar_names(FORMULAS[formula]))
    lines = ["if bool(number(flag[0])):", "    return"] if shape.flagged else []
    lines += [f"s{k} = number(p{k}{'[0]' * (kind == 'd')})" for k, kind in enumerate(shape.scalars)]
    for k, (stored, kind) in enumerate(zip(shape.inputs, shape.layout, strict=True)):
        lines += [f"x{k}_one = {read(stored, f'x{k}[0]')}"] * (kind == "1")
    one, group = _group(formula, shape, 1), _group(formula, shape, shape.group())
    shift = shape.group().bit_length() - 1 if shape.wide else 0
    lines.append("i = grid_thread()")
    if not shape.wide or shape.repeats():
        return [
            *lines,
            f"if i < n >> {shift}:" if shape.wide else "if i < n:",
            *inside(_places(shape, shift) + (group if shape.wide else one)),
        ]
    left = [f"i += whole * {shape.group() - 1}", "if i < n:", *inside(one)]
    return [*lines, f"whole = n >> {shift}", "if i < whole:", *inside(group), "else:", *inside(left)]


def _places(shape: Shape, shift: int) -> list[str]:
    """The lines that find row and column of group number i."""
    if not shape.repeats():
        return []
    row = "r = to_int64(to_uint32(to_uint32(i) // to_uint32(width)))"
    column = ["m = r - to_int64(to_uint32(to_uint32(r) // to_uint32(M))) * M"] * ("m" in shape.layout)
    return [f"width = C >> {shift}", row, "c = i - r * width", *column]


def _group(formula: str, shape: Shape, size: int) -> list[str]:
    """The lines that compute group number i, of ``size`` elements."""
    lines, columns = [], []
    dtype, parameters = computed_type(shape.inputs), element_names(FORMULAS[formula])
    for k, (stored, kind) in enumerate(zip(shape.inputs, shape.layout, strict=True)):
        names = [f"x{k}_{e}" for e in range(size)]
        if kind == "1":
            names = [f"x{k}_one"] * size
        elif kind in "cm":
            place = "r" if kind == "c" else "m"
            lines.append(f"{names[0]} = {read(stored, f'x{k}[{place}]')}")
            names = names[:1] * size
        else:
            lines += load(stored, names, f"x{k}", "c" if kind == "r" else "i")
        columns.append([_operand(stored, dtype, parameters[k], name) for name in names])
    scalars = [f"s{k}" for k in range(len(shape.scalars))]
    for e in range(size):
        results = ", ".join(f"y{k}_{e}" for k in range(len(shape.outputs)))
        lines.append(f"{results} = {formula}({', '.join([column[e] for column in columns] + scalars)})")
    for k, stored in enumerate(shape.outputs):
        lines += store(stored, [_converted(stored, f"y{k}_{e}") for e in range(size)], f"y{k}", "i")
    return lines


def _operand(stored: str, dtype: str, parameter: str, name: str) -> str:
    """The text of what was read, as the formula's parameter takes it."""
    if stored == "bool" and (dtype == "bool" or parameter == "condition"):
        return f"{name} != 0"
    return name if computed(stored) == dtype else f"element({name})"


def _converted(stored: str, value: str) -> str:
    """The text that converts a result into the type of its output; ``store`` does so for sixteen-bit floats."""
    if computed(stored) == "float32" != stored:
        return value
    return f"to_uint8(bool({value}))" if stored == "bool" else f"to_{stored}({value})"
