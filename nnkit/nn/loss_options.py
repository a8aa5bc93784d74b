"""The options of losses, checked: which reduction, and numbers within their bounds."""

from __future__ import annotations

import warnings

from nnkit.errors import UnknownNameError

__all__ = ["check_beta", "check_delta", "check_reduction", "check_smoothing", "chosen_reduction"]


def check_reduction(reduction: str) -> str:
    """``reduction``, if it is one of the three."""
    if reduction not in ("mean", "sum", "none"):
        raise UnknownNameError("reduction", reduction, ["mean", "sum", "none"])
    return reduction


def chosen_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that PyTorch's two old arguments ask for, with a warning; ``reduction`` where neither is given.

    >>> chosen_reduction(None, None, "sum")
    'sum'
    """
    if size_average is None and reduce is None:
        return reduction
    if isinstance(size_average, str):
        raise TypeError(
            f"size_average must be True, False or None, got {size_average!r}: write reduction={size_average!r}"
        )
    if reduce is False:
        chosen = "none"
    else:
        chosen = "sum" if size_average is False else "mean"
    warnings.warn(f"size_average and reduce are old words: write reduction={chosen!r} instead", stacklevel=3)
    return chosen


def check_smoothing(label_smoothing: float) -> float:
    """``label_smoothing``, if it is from 0 to 1."""
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must be from 0 to 1, got {label_smoothing!r}")
    return label_smoothing


def check_delta(delta: float) -> float:
    """``delta``, if it is greater than 0."""
    if not delta > 0.0:
        raise ValueError(f"delta must be greater than 0, got {delta!r}")
    return delta


def check_beta(beta: float) -> float:
    """``beta``, if it is at least 0."""
    if not beta >= 0.0:
        raise ValueError(f"beta must be at least 0, got {beta!r}")
    return beta
