"""The estimators' parameters: what each may be, and the words in which one that is not is refused.

A check is made at the beginning of ``fit``, as scikit-learn asks: constructors take everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from nnkit.errors import NnkitError, UnknownNameError

__all__ = ["ParameterError", "check_parameters", "each", "flag", "integer", "known", "name_or", "number"]


class ParameterError(NnkitError, ValueError, TypeError):
    """A parameter of an estimator is not what it may be; a ValueError and a TypeError, as scikit-learn's."""


class Rule:
    """What one parameter may be: ``test`` says yes or no, ``words`` what is expected."""

    def __init__(self, test: Callable[[Any], bool], words: str) -> None:
        self.test = test
        self.words = words


def number(
    least: float = -math.inf, most: float = math.inf, *, open_left: bool = False, open_right: bool = False
) -> Rule:
    """A real number in an interval.

    >>> number(0.0, 1.0, open_right=True).words
    'a number from 0 up to, but not including, 1'
    """

    def test(value: Any) -> bool:
        if not isinstance(value, Real) or isinstance(value, (bool, np.bool_)):
            return False
        place = float(value)
        above = place > least if open_left else place >= least
        return above and (place < most if open_right else place <= most)

    if most == math.inf:
        return Rule(test, f"a number {'greater than' if open_left else 'of at least'} {least:g}")
    return Rule(test, f"a number from {least:g} {'up to, but not including,' if open_right else 'to'} {most:g}")


def integer(least: int, *others: Any) -> Rule:
    """A whole number of at least ``least``, or one of ``others``."""

    def test(value: Any) -> bool:
        if any(value is other or (type(value) is type(other) and value == other) for other in others):
            return True
        return isinstance(value, Integral) and not isinstance(value, (bool, np.bool_)) and int(value) >= least

    return Rule(test, " or ".join([f"an integer of at least {least}", *map(repr, others)]))


def flag(also: Callable[[Any], bool] = lambda value: False, words: str = "") -> Rule:
    """True or False, or what ``also`` says."""
    return Rule(lambda value: isinstance(value, (bool, np.bool_)) or also(value), f"True or False{words}")


def name_or(names: Iterable[str], also: Callable[[Any], bool] = lambda value: False, words: str = "") -> Rule:
    """One of the names, or what ``also`` says."""
    known = tuple(names)
    return Rule(
        lambda value: (isinstance(value, str) and value in known) or also(value),
        f"one of {', '.join(map(repr, known))}{words}",
    )


def each(rule: Rule) -> Rule:
    """What ``rule`` says, or a list of it."""

    def test(value: Any) -> bool:
        return all(map(rule.test, value)) if isinstance(value, (list, tuple)) else rule.test(value)

    return Rule(test, f"{rule.words}, or a list of such")


def check_parameters(estimator: Any, rules: Mapping[str, Rule]) -> None:
    """Raise ParameterError for the first parameter of ``estimator`` that its rule refuses.

    A text among names that are not known is an UnknownNameError, with the nearest ones.
    """
    for name, rule in rules.items():
        value = getattr(estimator, name)
        if not rule.test(value):
            kind = type(estimator).__name__
            raise ParameterError(f"The {name!r} parameter of {kind} must be {rule.words}. Got {value!r} instead.")


def known(kind: str, value: Any, names: Iterable[str]) -> None:
    """Raise UnknownNameError where ``value`` is a text and none of the names."""
    names = list(names)
    if isinstance(value, str) and value not in names:
        raise UnknownNameError(kind, value, names)
