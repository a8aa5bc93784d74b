"""Formulas on vector registers: the text of a formula, run once, builds the instructions for all lanes at once.

For kernels that say themselves what is in a register; a loop over elements is left to LLVM (``elementwise``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnkit.kernels import special
from nnkit.kernels.cpu.vectors import Vectors
from nnkit.kernels.registered import FORMULAS
from nnkit.kernels.vocabulary import bind

#: What LLVM may do with a result: as in kernels of one formula, a product and a sum may be rounded once.
FLAGS = ("contract", "nsz")
#: The versions of words that vectorise, and what those are made of.
VERSIONS = {"exp": "exp32", "tanh": "tanh32"}


class Lanes:
    """A vector of numbers, or of truths, with the operators that formulas use."""

    def __init__(self, v: Vectors, value: Any, constant: bool = False) -> None:
        self.v, self.value, self.constant = v, value, constant

    def _made(self, value: Any) -> Lanes:
        return Lanes(self.v, value)

    def __add__(self, other: Lanes) -> Lanes:
        return self._made(self.v.builder.fadd(self.value, other.value, flags=FLAGS))

    def __sub__(self, other: Lanes) -> Lanes:
        return self._made(self.v.builder.fsub(self.value, other.value, flags=FLAGS))

    def __mul__(self, other: Lanes) -> Lanes:
        return self._made(self.v.builder.fmul(self.value, other.value, flags=FLAGS))

    def __truediv__(self, other: Lanes) -> Lanes:
        return self._made(self.v.builder.fdiv(self.value, other.value, flags=FLAGS))

    def __neg__(self) -> Lanes:
        return self._made(self.v.builder.fneg(self.value, flags=FLAGS))

    def _compared(self, how: str, other: Lanes) -> Lanes:
        return self._made(self.v.builder.fcmp_ordered(how, self.value, other.value))

    def __lt__(self, other: Lanes) -> Lanes:
        return self._compared("<", other)

    def __le__(self, other: Lanes) -> Lanes:
        return self._compared("<=", other)

    def __gt__(self, other: Lanes) -> Lanes:
        return self._compared(">", other)

    def __ge__(self, other: Lanes) -> Lanes:
        return self._compared(">=", other)


def _words(v: Vectors) -> dict[str, Callable[..., Lanes]]:
    """What the formulas here use of the vocabulary."""
    builder, ir = v.builder, v.ir

    def where(condition: Lanes, x: Lanes, y: Lanes) -> Lanes:
        return Lanes(v, builder.select(condition.value, x.value, y.value))

    def extreme(comparison: str) -> Callable[..., Lanes]:
        def word(x: Lanes, y: Lanes) -> Lanes:
            if y.constant:  # no NaN, so one comparison, which holds for a NaN of x, will do
                return Lanes(v, builder.select(builder.fcmp_unordered(comparison, x.value, y.value), x.value, y.value))
            chosen = builder.select(builder.fcmp_ordered(comparison, x.value, y.value), x.value, y.value)
            return Lanes(v, builder.select(builder.fcmp_unordered("uno", x.value, x.value), x.value, chosen))

        return word

    def intrinsic(name: str) -> Callable[[Lanes], Lanes]:
        return lambda x: Lanes(v, v._call(f"llvm.{name}.{v.suffix}", v.type, x.value))

    def power_of_two(n: Lanes) -> Lanes:
        whole = ir.VectorType(ir.IntType(32), v.lanes)
        biased = builder.add(builder.fptosi(n.value, whole), ir.Constant(whole, [127] * v.lanes))
        return Lanes(v, builder.bitcast(builder.shl(biased, ir.Constant(whole, [23] * v.lanes)), v.type))

    return {
        "where": where, "maximum": extreme(">"), "minimum": extreme("<"), "absolute": intrinsic("fabs"),
        "rint": intrinsic("rint"), "sqrt": intrinsic("sqrt"), "power_of_two": power_of_two,
    }  # fmt: skip


def vector_formula(v: Vectors, name: str) -> Callable[..., Any]:
    """A formula of float32 as a function of ``Lanes``; it may use what ``_words`` has, ``exp`` and ``tanh``."""

    def constant(number: float) -> Lanes:
        return Lanes(v, v.ir.Constant(v.type, [v.ir.Constant(v.real, number)] * v.lanes), constant=True)

    words: dict[str, Any] = dict(_words(v))
    fast = bind({version: getattr(special, version) for version in VERSIONS.values()}, words, constant)
    words |= {word: fast[version] for word, version in VERSIONS.items()}
    formula: Callable[..., Any] = bind(FORMULAS, words, constant)[name]
    return formula
