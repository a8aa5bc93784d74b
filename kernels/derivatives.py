"""The derivative of a formula is a formula: made of its expression when it is first asked for.

``derivative("square_grad", ("dy", "x"))`` names a formula of g, the gradient that comes in, and of what else it reads;
it gives g times the slope along each of the elements named. Its name says how it was made, so another process makes
the same one. Of a choice it is the derivative of what was chosen; at a corner that of one side, as PyTorch has it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from nnkit.kernels.registered import FORMULAS
from nnkit.kernels.symbols import Table, Term, is_step, traced, written
from nnkit.kernels.vocabulary import element_names, scalar_names

#: Between a formula's name and the elements along which it is differentiated.
ALONG = "__along_"
TWO_OVER_ROOT_PI = 1.1283791670955126
#: The words whose slope is 0 wherever they have one.
FLAT = ("floor", "rint", "sign", "floordiv")


@functools.cache
def derivative(formula: str, along: tuple[str, ...]) -> str | None:
    """The name of the formula of the gradients along these elements, all at once; None for one element without.

    >>> name = derivative("square_grad", ("dy",))
    >>> name, element_names(FORMULAS[name]), FORMULAS[name](1.0, x=3.0)
    ('square_grad__along_dy', ('g', 'x'), 6.0)
    """
    name = f"{formula}{ALONG}{'_'.join(along)}"
    table = Table()
    function = FORMULAS[formula]
    elements, scalars = element_names(function), scalar_names(function)
    come_in = table.parameter(incoming(formula))
    expression = traced(table, formula)
    slopes = [_Slope(table, element, come_in).of(expression) for element in along]
    if all(slope is None for slope in slopes):
        return None
    results = [table.of("mul", 0.0, come_in) if slope is None else slope for slope in slopes]
    FORMULAS[name] = written(name, (incoming(formula), *elements), scalars, results)
    return name


def incoming(formula: str) -> str:
    """What a derivative of this formula calls the gradient that comes in: a name that the formula does not use."""
    taken = element_names(FORMULAS[formula]) + scalar_names(FORMULAS[formula])
    return next(name for name in ("g", *(f"g{k}" for k in range(2, 99))) if name not in taken)


def known(formula: str) -> None:
    """See that a formula is in the table: one that was derived in another process is derived here, too."""
    if formula not in FORMULAS and ALONG in formula:
        base, _, along = formula.rpartition(ALONG)
        known(base)
        derivative(base, tuple(along.split("_")))


class _Slope:
    """Terms' slopes along one parameter, times what comes in; None for 0."""

    def __init__(self, table: Table, parameter: str, come_in: Term) -> None:
        self.table = table
        self.found: dict[int, Term | None] = {id(table.parameter(parameter)): come_in}

    def of(self, term: Term) -> Term | None:
        """The slope of a term."""
        if id(term) not in self.found:
            slopes = [self.of(part) if isinstance(part, Term) else None for part in term.args]
            self.found[id(term)] = None if all(s is None for s in slopes) else self._step(term, slopes)
        return self.found[id(term)]

    def _step(self, term: Term, slopes: Sequence[Term | None]) -> Term | None:
        word = term.word
        if word in FLAT or word in ("lt", "le", "gt", "ge", "eq", "ne", "and", "or", "xor", "invert"):
            return None
        if word in ("add", "sub", "neg", "mul", "div", "mod"):
            return self._arithmetic(word, term, *slopes)
        if word == "where":
            return self._chosen(term.args[0], slopes[1], slopes[2])
        if word in ("maximum", "minimum"):
            x, y = term.args
            first = x > y if word == "maximum" else x < y
            return self._chosen(first, slopes[0], slopes[1])
        if word == "power":
            return self._power(term, *slopes)
        (t,) = slopes
        assert t is not None
        return self._word(word, term, t)

    def _chosen(self, condition: Term, x: Term | None, y: Term | None) -> Term | None:
        if x is None and y is None:
            return None
        return self.table.of("where", condition, 0.0 if x is None else x, 0.0 if y is None else y)

    def _sum(self, x: Term | None, y: Term | None) -> Term | None:
        return y if x is None else x if y is None else x + y

    def _arithmetic(self, word: str, term: Term, t: Term | None, u: Term | None = None) -> Term | None:
        x = term.args[0]
        if word == "neg":
            return None if t is None else -t
        y = term.args[1]
        if word == "add":
            return self._sum(t, u)
        if word == "sub":
            return t if u is None else -u if t is None else t - u
        if word == "mul":  # in the order of the term, so that what is linear stays the formula that it was
            return self._sum(None if t is None else t * y, None if u is None else x * u)
        if word == "div":
            return self._sum(None if t is None else t / y, None if u is None else -u * term / y)
        return self._sum(t, None if u is None else -u * (x // y))

    def _power(self, term: Term, t: Term | None, u: Term | None) -> Term | None:
        x, y = term.args
        of = self.table.of
        along_x = None if t is None else of("where", y == 0.0, 0.0, t * y * of("power", x, y - 1.0))
        if u is None:
            return along_x
        rise = u * term * of("log", x)
        return self._sum(along_x, of("where", x == 0.0, of("where", y >= 0.0, 0.0, rise), rise))

    def _word(self, word: str, term: Term, t: Term) -> Term:
        x, of = term.args[0], self.table.of
        if word == "exp":
            return t * term
        if word == "log":
            return t / x
        if word == "sqrt":
            return 0.5 * t / term
        if word == "sin":
            return t * of("cos", x)
        if word == "cos":
            return -t * of("sin", x)
        if word == "tanh":
            return t * (1.0 - term * term)
        if word == "expm1":
            return t * (term + 1.0)
        if word == "log1p":
            return t / (1.0 + x)
        if word == "absolute":
            return t * of("sign", x)
        if word == "erf":
            return t * TWO_OVER_ROOT_PI * of("exp", -x * x)
        return self._formula(word, term, t)

    def _formula(self, word: str, term: Term, t: Term) -> Term:
        """The slope of a formula that is called, by its gradient formula."""
        assert is_step(word), word
        gradient = f"{word}_grad"
        dy, *reads = element_names(FORMULAS[gradient])
        meant = {dy: t} | {name: term if name == "y" else term.args[0] for name in reads}
        return _with(self.table, traced(Table(), gradient), meant)


def _with(table: Table, expression: Term, meant: dict[str, Term]) -> Term:
    """An expression with other terms for its parameters."""
    done: dict[int, Term] = {}

    def changed(term: Term) -> Term:
        if term.word == "parameter":
            return meant[term.args[0]]
        if term.number is not None:
            return table.number(term.number)
        if id(term) not in done:
            done[id(term)] = table.of(term.word, *map(changed, term.args))
        return done[id(term)]

    return changed(expression)
