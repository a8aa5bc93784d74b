"""The words a formula may use, and how a formula gets its meaning.

A formula is scalar mathematics in plain Python: ``x / (1.0 + exp(-x))``. The same text serves Python floats
(here, by ``math``), arrays of any array-API library, compiled CPU code and CUDA: ``bind`` copies the formula
and gives ``exp`` and its sisters another meaning. So that this works, a formula uses operators, comparisons,
float literals and the words below, and nothing else: no ``if``, no ``and``, no integers.
Positional parameters are elements of arrays; keyword-only parameters are scalars, one value a call.
"""

from __future__ import annotations

import builtins
import math
import types
from collections.abc import Callable, Mapping
from typing import Any

Formula = Callable[..., Any]

exp, sin, cos, tanh = math.exp, math.sin, math.cos, math.tanh
expm1, log1p, erf, floor = math.expm1, math.log1p, math.erf, math.floor


def log(x: float) -> float:
    """The natural logarithm; minus infinity at 0, as array libraries have it."""
    return math.log(x) if x > 0 else (-math.inf if x == 0 else math.nan)


def sqrt(x: float) -> float:
    """The square root; NaN below 0, as array libraries have it."""
    return math.sqrt(x) if x >= 0 else math.nan


def power(x: float, y: float) -> float:
    """x to the power y."""
    return x**y


def absolute(x: float) -> float:
    """|x|."""
    return abs(x)


def sign(x: float) -> float:
    """-1, 0 or 1; 0 of NaN, as PyTorch has it."""
    return float((x > 0) - (x < 0))


def rint(x: float) -> float:
    """The nearest integer, ties to even."""
    return float(round(x))


def maximum(x: float, y: float) -> float:
    """The larger; NaN when either is NaN, as array libraries have it."""
    return x if x >= y or x != x else y


def minimum(x: float, y: float) -> float:
    """The smaller; NaN when either is NaN, as array libraries have it."""
    return x if x <= y or x != x else y


def where(condition: bool, x: float, y: float) -> float:
    """x where the condition holds, else y."""
    return x if condition else y


#: Word -> the name of the function in the array-API standard.
ARRAY_NAMES = {
    "exp": "exp", "log": "log", "sqrt": "sqrt", "sin": "sin", "cos": "cos", "tanh": "tanh",
    "expm1": "expm1", "log1p": "log1p", "floor": "floor", "rint": "round", "sign": "sign",
    "absolute": "abs", "power": "pow", "maximum": "maximum", "minimum": "minimum", "where": "where",
}  # fmt: skip


def array_words(xp: Any) -> dict[str, Any]:
    """The vocabulary for arrays of the array-API namespace ``xp`` (``erf`` comes from ``special``)."""
    words = {word: getattr(xp, name) for word, name in ARRAY_NAMES.items()}
    return words | {"sign": lambda x: xp.where(x == x, xp.sign(x), xp.zeros_like(x))}


def scalar_names(formula: Formula) -> tuple[str, ...]:
    """The names of a formula's keyword-only parameters: its scalars, in order."""
    code = formula.__code__
    return code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]


def element_names(formula: Formula) -> tuple[str, ...]:
    """The names of a formula's positional parameters: its array elements, in order."""
    return formula.__code__.co_varnames[: formula.__code__.co_argcount]


def bind(
    formulas: Mapping[str, Formula],
    words: Mapping[str, Any],
    constant: Callable[[float], Any] = float,
    wrap: Callable[[Formula], Any] = lambda formula: formula,
) -> dict[str, Any]:
    """Copies of ``formulas`` that mean ``words`` and call one another's copies; every parameter becomes positional.

    ``constant`` converts every float literal and float global (a compiler that reads ``0.5`` as float64
    would otherwise compute float32 formulas in float64); ``wrap`` may compile each copy.

    >>> bind({"double": lambda x: x + x}, {})["double"](4.0)
    8.0
    """
    shared: dict[str, Any] = {"__builtins__": builtins}  # where a C extension's imports look for them
    for formula in formulas.values():
        for name, value in formula.__globals__.items():
            if isinstance(value, float):
                shared[name] = constant(value)
    shared.update(words)
    for name, formula in formulas.items():
        code = formula.__code__
        code = code.replace(
            co_consts=tuple(constant(c) if isinstance(c, float) else c for c in code.co_consts),
            co_argcount=code.co_argcount + code.co_kwonlyargcount,
            co_kwonlyargcount=0,
        )
        shared[name] = wrap(types.FunctionType(code, shared, name))
    return {name: shared[name] for name in formulas}


def table_of(module: types.ModuleType) -> dict[str, Formula]:
    """The formulas that a module defines (not the words it imports): name -> function."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, types.FunctionType) and value.__module__ == module.__name__
    }
