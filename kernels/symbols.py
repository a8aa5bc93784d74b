"""Formulas as expressions: run on symbols instead of numbers, a formula tells what it computes.

``traced`` gives the expression of a formula, ``written`` makes a formula of expressions. Equal terms are one object, so
what is computed twice is written once. How expressions are differentiated is in ``derivatives``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from nnkit.kernels import vocabulary
from nnkit.kernels.registered import FORMULAS
from nnkit.kernels.vocabulary import ARRAY_NAMES, Formula, bind, element_names, scalar_names

OPERATORS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "floordiv": "//", "mod": "%", "lt": "<", "le": "<=", "gt": ">",
    "ge": ">=", "eq": "==", "ne": "!=", "and": "&", "or": "|", "xor": "^",
}  # fmt: skip
WORDS = {word: getattr(vocabulary, word) for word in (*ARRAY_NAMES, "erf")}
#: Numbers that have no literal, and the names that formulas know them by.
UNWRITTEN = {math.inf: "INFINITY", -math.inf: "MINUS_INFINITY"}


def _method(word: str) -> Any:
    return lambda self, other: self.table.of(word, self, other)


def _turned(word: str) -> Any:
    return lambda self, other: self.table.of(word, other, self)


class Term:
    """One step of an expression: an operator, a word or a formula over other terms; or a parameter, or a number."""

    __slots__ = ("args", "table", "word")

    def __init__(self, table: Table, word: str, args: tuple[Any, ...]) -> None:
        self.table, self.word, self.args = table, word, args

    __add__, __sub__, __mul__, __truediv__ = map(_method, ("add", "sub", "mul", "div"))
    __radd__, __rsub__, __rmul__, __rtruediv__ = map(_turned, ("add", "sub", "mul", "div"))
    __floordiv__, __mod__, __and__, __or__, __xor__ = map(_method, ("floordiv", "mod", "and", "or", "xor"))
    __lt__, __le__, __gt__, __ge__ = map(_method, ("lt", "le", "gt", "ge"))
    __eq__, __ne__ = map(_method, ("eq", "ne"))
    __hash__ = object.__hash__

    def __neg__(self) -> Term:
        return self.table.of("neg", self)

    def __invert__(self) -> Term:
        return self.table.of("invert", self)

    @property
    def number(self) -> float | None:
        """The value of a number, None of other terms."""
        return self.args[0] if self.word == "number" else None


class Table:
    """The terms of one expression, each of them once."""

    def __init__(self) -> None:
        self._terms: dict[Any, Term] = {}

    def parameter(self, name: str) -> Term:
        """The formula's parameter of that name."""
        return self._one("parameter", (name,), name)

    def number(self, value: float) -> Term:
        """A number."""
        return self._one("number", (float(value),), repr(float(value)))

    def of(self, word: str, *args: Any) -> Term:
        """A term of these parts, without steps that change nothing."""
        terms = tuple([arg if isinstance(arg, Term) else self.number(arg) for arg in args])
        return self._plainer(word, *terms) or self._one(word, terms, tuple(map(id, terms)))

    def _one(self, word: str, args: tuple[Any, ...], key: Any) -> Term:
        return self._terms.setdefault((word, key), Term(self, word, args))

    def _plainer(self, word: str, x: Term, y: Term | None = None, *rest: Term) -> Term | None:
        """What is the same for every number, NaN and infinity included; None where nothing is."""
        if word == "mul" and y is not None and 1.0 in (x.number, y.number):
            return y if x.number == 1.0 else x
        if word == "div" and y is not None and y.number == 1.0:
            return x
        if word == "neg" and x.word == "neg":
            return x.args[0]
        if word == "neg" and x.number is not None:
            return self.number(-x.number)
        if word == "where" and y is rest[0]:
            return y
        both = None if y is None or x.number is None or y.number is None else (x.number, y.number)
        if both is not None and word in ("add", "sub", "mul"):
            return self.number({"add": sum(both), "sub": both[0] - both[1], "mul": both[0] * both[1]}[word])
        if word == "sub" and x.word == "sub" and y is not None and None not in (y.number, x.args[1].number):
            return self.of("sub", x.args[0], x.args[1].number + y.number)  # exponents: (p - 1) - 1
        return None


def traced(table: Table, formula: str) -> Any:
    """The expression of the formula of this name over its own parameters: a term, or a tuple of terms.

    What it calls is a term too, where that has a gradient formula of its own, which is right where that of its parts
    need not be: a sigmoid is written with an absolute value, and has no corner.
    """
    words: dict[str, Any] = {word: _step(table, word) for word in WORDS}
    whole = {name: _step(table, name) for name in FORMULAS if name != formula and is_step(name)}
    others = {name: found for name, found in FORMULAS.items() if name not in whole}
    function = FORMULAS[formula]
    names = (*element_names(function), *scalar_names(function))
    return bind(others, words | whole)[formula](*map(table.parameter, names))


def is_step(formula: str) -> bool:
    """Whether a formula of one number has a gradient formula, which reads that or the output."""
    gradient = FORMULAS.get(f"{formula}_grad")
    if gradient is None or len(element_names(FORMULAS[formula])) != 1 or scalar_names(gradient):
        return False
    return element_names(gradient)[1:] in ((), ("y",), element_names(FORMULAS[formula]))


def _step(table: Table, word: str) -> Any:
    return lambda *args: table.of(word, *args)


# ---- written ------------------------------------------------------------------------------------------------------


def written(name: str, elements: Sequence[str], scalars: Sequence[str], results: Sequence[Term]) -> Formula:
    """The formula of that name which computes these expressions, of those parameters that they read."""
    order = list(_order(results))
    read = {term.args[0] for term in order if term.word == "parameter"}
    texts: dict[int, str] = {}
    lines: list[str] = []
    uses = _uses(order, results)
    for term in order:
        text = _text(term, texts)
        if uses[id(term)] > 1 and term.word not in ("parameter", "number"):
            lines.append(f"    v{len(lines)} = {text}")
            text = f"v{len(lines) - 1}"
        texts[id(term)] = text
    kept = ", ".join([e for e in elements if e in read] + (["*", *scalars] if scalars else []))
    body = "\n".join([*lines, f"    return {', '.join(texts[id(term)] for term in results)}"])
    meanings: dict[str, Any] = WORDS | {text: value for value, text in UNWRITTEN.items()} | FORMULAS
    named = {word: meanings[word] for word in {term.word for term in order} & meanings.keys()}
    named |= {text: value for value, text in UNWRITTEN.items()}
    exec(compile(f"def {name}({kept}):\n{body}\n", f"<kernel {name}>", "exec"), named)
    function: Formula = named.pop(name)
    return function


def _order(results: Sequence[Term]) -> Iterator[Term]:
    """The terms of expressions, each after those that it is made of."""
    seen: set[int] = set()
    stack = [(term, False) for term in reversed(results)]
    while stack:
        term, done = stack.pop()
        if done:
            yield term
        elif id(term) not in seen:
            seen.add(id(term))
            stack.append((term, True))
            stack += [(part, False) for part in reversed(term.args) if isinstance(part, Term)]


def _uses(order: Sequence[Term], results: Sequence[Term]) -> dict[int, int]:
    uses = {id(term): 0 for term in order}
    for part in [*results, *(part for term in order for part in term.args if isinstance(part, Term))]:
        uses[id(part)] += 1
    return uses


def _text(term: Term, texts: dict[int, str]) -> str:
    if term.word == "parameter":
        return str(term.args[0])
    if term.number is not None:
        return UNWRITTEN.get(term.number) or repr(term.number)
    parts = [texts[id(part)] for part in term.args]
    if term.word == "neg":
        return f"(-{parts[0]})"
    if term.word == "invert":
        return f"(~{parts[0]})"
    if term.word in OPERATORS:
        return f"({parts[0]} {OPERATORS[term.word]} {parts[1]})"
    return f"{term.word}({', '.join(parts)})"
