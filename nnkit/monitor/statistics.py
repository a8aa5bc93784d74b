"""The two distances between counts in bins, and the limits that chance alone rarely passes."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from nnkit.backends.advice import install
from nnkit.errors import DataError, ShapeError

__all__ = ["kolmogorov_smirnov", "ks_limit", "level", "population_stability", "psi_limit", "special"]


def population_stability(expected: Any, actual: Any) -> np.ndarray:
    """The population stability index, sum of (a - e) ln(a / e) over the shares e and a of each bin; 0 where they agree.

    Args:
        expected: how many rows were in each bin before, (bins,) or (features, bins).
        actual: how many are in the same bins now, of the same shape.

    Returns float64 () or (features,). A bin that is empty on one side counts as half a row there. By usage 0.1 is
    worth a look and 0.25 a change (Siddiqi 2006, Credit Risk Scorecards); ``psi_limit`` says what chance alone does.
    Raises ``ShapeError`` for shapes that differ, ``DataError`` for negative counts.

    >>> float(population_stability([100, 100], [50, 150])).__round__(4)
    0.2747
    """
    before, now = _counts(expected, actual)
    there = (before > 0) | (now > 0)
    shares = [np.where(there, np.maximum(part, 0.5), 1.0) / _total(part) for part in (before, now)]
    terms = (shares[1] - shares[0]) * np.log(shares[1] / shares[0])
    return np.where(there, terms, 0.0).sum(axis=-1)


def kolmogorov_smirnov(expected: Any, actual: Any) -> np.ndarray:
    """The greatest distance between two shares of rows up to a value, taken at the edges of ordered bins.

    Args:
        expected: how many rows were in each bin before, in the order of the values, (bins,) or (features, bins).
        actual: how many are in the same bins now, of the same shape.

    Returns float64 () or (features,). It is at most the distance of the rows themselves (Smirnov 1939), and below it by
    no more than the largest share of a bin. Raises as ``population_stability`` does.

    >>> float(kolmogorov_smirnov([25, 25, 25, 25], [10, 20, 30, 40]))
    0.2
    """
    before, now = _counts(expected, actual)
    up_to = [np.cumsum(part, axis=-1) / _total(part) for part in (before, now)]
    return np.abs(up_to[0] - up_to[1]).max(axis=-1).round(15)


def _counts(expected: Any, actual: Any) -> tuple[np.ndarray, np.ndarray]:
    before, now = np.asarray(expected, np.float64), np.asarray(actual, np.float64)
    if before.shape != now.shape or before.ndim not in (1, 2) or not before.shape[-1]:
        shapes = f"{before.shape} and {now.shape}"
        raise ShapeError(f"expected and actual must have the same bins, (bins,) or (features, bins), got {shapes}")
    if not (np.isfinite(before).all() and np.isfinite(now).all()) or (before < 0).any() or (now < 0).any():
        raise DataError("expected and actual must be counts, of at least 0")
    return before, now


def _total(counts: np.ndarray) -> np.ndarray:
    return np.maximum(counts.sum(axis=-1, keepdims=True), 1.0)


# ---- what chance alone does -----------------------------------------------------------------------------------------


def special() -> Any:
    """``scipy.special``; ImportError that says how to install it."""
    try:
        return importlib.import_module("scipy.special")
    except ImportError as error:
        raise ImportError(f"limits of drift need SciPy: {install('monitor')}") from error


def level(alpha: float, tests: int, window: int) -> float:
    """The chance of a false alarm left to one of ``tests`` tests in window number 1, 2, ...

    ``alpha / tests * 6 / (pi * window)**2``: Bonferroni's inequality over the tests of a window, and over the windows,
    whose shares add up to 1 (as in Javanmard and Montanari 2018, Ann. Stat. 46(2)). So the chance that there is ever a
    false alarm, of any feature in any window, is at most ``alpha``.

    >>> level(0.001, 10, 1) > level(0.001, 10, 2)
    True
    """
    return alpha / tests * 6 / (math.pi * window) ** 2


def psi_limit(expected: Any, actual: Any, chance: float) -> np.ndarray:
    """What ``population_stability`` of such counts passes with this chance, or less, where nothing has changed.

    ``(1/m + 1/n) * (1 + 3/f)`` times that quantile of chi-squared, for m rows before and n now; as many degrees of
    freedom as bins that are not empty, less one (Yurdakul and Naranjo 2020, J. Risk Model Validation 14(4)). f is how
    many rows the smallest bin should have in the smaller set, of the bins that should have two or more: without that
    factor, which was found by simulation (in tests/test_monitor.py), few rows pass the limit up to ten times too often.
    """
    before, now = _counts(expected, actual)
    m, n = _total(before)[..., 0], _total(now)[..., 0]
    freedom = np.maximum(((before > 0) | (now > 0)).sum(axis=-1) - 1, 1)
    wanted = before / _total(before) * np.minimum(m, n)[..., None]
    smallest = np.where(wanted >= 2, wanted, np.inf).min(axis=-1)
    return (1 / m + 1 / n) * (1 + 3 / smallest) * special().chdtri(freedom, chance)


def ks_limit(before: Any, now: Any, chance: float) -> np.ndarray:
    """What the distance of ``now`` rows beside ``before`` ones passes with this chance where nothing has changed.

    That quantile of Kolmogorov's distribution times ``sqrt(1/before + 1/now)`` (Smirnov 1939); on bins, and where
    values repeat, the chance is smaller.
    """
    return special().kolmogi(chance) * np.sqrt(1 / np.maximum(before, 1) + 1 / np.maximum(now, 1))
