"""Formulas of elements as nodes: an operator of ONNX where there is one, else the formula's own text, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.registered import FORMULAS, present
from nnkit.kernels.symbols import Table, Term, traced
from nnkit.kernels.vocabulary import element_names, scalar_names
from nnkit.onnx.graph import Graph, Value
from nnkit.ops.elementwise import activation_scalars

__all__ = ["activated", "formula"]

#: Formula -> the operator that it is, and the names of that one's attributes for the formula's scalars.
OPERATORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "relu": ("Relu", ()), "sigmoid": ("Sigmoid", ()), "hyperbolic_tangent": ("Tanh", ()), "selu": ("Selu", ()),
    "leaky_relu": ("LeakyRelu", ("alpha",)), "elu": ("Elu", ("alpha",)), "softsign": ("Softsign", ()),
    "reciprocal": ("Reciprocal", ()), "identity": ("Identity", ()),
}  # fmt: skip
#: Words of formulas of one or more elements -> operators.
WORDS = {
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos", "tanh": "Tanh", "floor": "Floor",
    "rint": "Round", "sign": "Sign", "absolute": "Abs", "power": "Pow", "maximum": "Max", "minimum": "Min",
    "where": "Where", "erf": "Erf", "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg",
}  # fmt: skip
COMPARED = {"lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "eq": "Equal"}
LOGIC = {"and": "And", "or": "Or", "xor": "Xor"}
BOOL = np.dtype(bool)


def formula(g: Graph, name: str, inputs: Sequence[Value], scalars: Sequence[Any] = ()) -> Value:
    """The formula of that name over values."""
    half = inputs[-1].dtype.name in ("float16", "bfloat16")
    if name in OPERATORS:
        op, words = OPERATORS[name]
        if op == "Identity":
            return inputs[0]
        numbers = [float(g.fixed(s, "a number of an activation")) for s in scalars]
        attributes: dict[str, Any] = dict(zip(words, numbers, strict=False))
        return g.node(op, inputs, **attributes)
    if half and name not in ("add", "sub", "mul", "div", "neg"):
        wide = [g.cast(x, np.float32) if x.dtype == inputs[-1].dtype else x for x in inputs]
        found = formula(g, name, wide, scalars)
        return g.cast(found, inputs[-1].dtype) if found.dtype == np.float32 else found
    expression = traced(Table(), name)
    if isinstance(expression, tuple):
        raise g.refuse(f"the formula {name!r} has several results, which nnkit.onnx does not say")
    dtype = next((x.dtype for x in inputs if x.dtype != BOOL), inputs[0].dtype)
    meant: dict[str, Any] = dict(zip(element_names(FORMULAS[name]), inputs, strict=True))
    meant |= dict(zip(scalar_names(FORMULAS[name]), scalars, strict=True))
    return _Spoken(g, meant, dtype).of(expression)


def activated(g: Graph, name: str | None, x: Value, scalars: dict[str, Any]) -> Value:
    """The activation of that name, with its scalars by name."""
    if name is None or name == "identity":
        return x
    return formula(g, ACTIVATIONS[present(name)], [x], activation_scalars(name, scalars))


class _Spoken:
    """The terms of one expression as nodes, each of them once."""

    def __init__(self, g: Graph, meant: dict[str, Any], dtype: np.dtype) -> None:
        self.g, self.meant, self.dtype = g, meant, dtype
        self._done: dict[int, Value] = {}

    def of(self, term: Any, dtype: Any = None) -> Value:
        """The value of a term; a number is of ``dtype``."""
        dtype = self.dtype if dtype is None else dtype
        if not isinstance(term, Term):
            return self.g.constant(term, dtype)
        if term.word == "number":
            return self.g.constant(_cut(term.args[0], dtype), dtype)
        if term.word == "parameter":
            given = self.meant[term.args[0]]
            return given if isinstance(given, Value) else self.g.number(given, dtype)
        if id(term) not in self._done:
            self._done[id(term)] = self._step(term)
        return self._done[id(term)]

    def _step(self, term: Term) -> Value:
        g, word = self.g, term.word
        if word == "where":
            condition, x, y = term.args
            holds = self.of(condition, BOOL)
            return g.node("Where", [g.cast(holds, BOOL), *self._alike([x, y])], self._type([x, y]))
        args = self._alike(term.args)
        if word in COMPARED or word == "ne":
            found = g.node(COMPARED.get(word, "Equal"), args, bool)
            return g.node("Not", [found]) if word == "ne" else found
        if word in LOGIC or word == "invert":
            return _logic(g, word, args)
        if word in WORDS:
            return g.node(WORDS[word], args)
        if word in OTHER:
            return OTHER[word](g, args)
        return formula(g, word, args)  # a formula that is a step of this one

    def _type(self, terms: Sequence[Any]) -> np.dtype:
        """The type of the terms that are not numbers."""
        for term in terms:
            if isinstance(term, Term) and term.word != "number":
                found = self.of(term)
                if not (term.word == "parameter" and not isinstance(self.meant[term.args[0]], Value)):
                    return found.dtype
        return self.dtype

    def _alike(self, terms: Sequence[Any]) -> list[Value]:
        dtype = self._type(terms)
        found = [self.of(term, dtype) for term in terms]
        return [self.g.cast(x, dtype) if x.dtype != dtype else x for x in found]


def _cut(value: float, dtype: Any) -> Any:
    return int(value) if np.dtype(dtype).kind in "iu" else value


def _logic(g: Graph, word: str, args: list[Value]) -> Value:
    if args[0].dtype == BOOL:
        return g.node("Not" if word == "invert" else LOGIC[word], args)
    if g.opset < 18:
        raise g.refuse("bits of whole numbers need opset=18 or later")
    return g.node("BitwiseNot" if word == "invert" else f"Bitwise{LOGIC[word]}", args)


def _remainder(g: Graph, args: list[Value]) -> Value:
    if args[0].dtype.kind in "iu":
        return g.node("Mod", args)
    return g.node("Sub", [args[0], g.node("Mul", [g.node("Floor", [g.node("Div", args)]), args[1]])])


def _floored(g: Graph, args: list[Value]) -> Value:
    if args[0].dtype.kind in "iu":
        return g.node("Div", [g.node("Sub", [args[0], g.node("Mod", args)]), args[1]])
    return g.node("Floor", [g.node("Div", args)])


def _log1p(g: Graph, args: list[Value]) -> Value:
    return g.node("Log", [g.node("Add", [args[0], g.constant(1, args[0].dtype)])])


def _expm1(g: Graph, args: list[Value]) -> Value:
    return g.node("Sub", [g.node("Exp", args), g.constant(1, args[0].dtype)])


OTHER: dict[str, Callable[[Graph, list[Value]], Value]] = {
    "mod": _remainder, "floordiv": _floored, "log1p": _log1p, "expm1": _expm1,
}  # fmt: skip
