"""What is loaded into an object is checked whole before any of it is used: here, for all kinds of objects.

Models, optimizers, schedules, scalers and callbacks each compare a state with what they have, and collect
everything that does not fit. ``settle`` then raises one error that names all of it, or lets the state be used.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from nnkit.errors import ModelFileError
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["Fit"]

LARGEST_COUNT = 2**53  # float64 has every whole number up to it
MOST_SHOWN = 100


class Fit:
    """What of a state does not fit ``owner``, an object or the name of one.

    >>> fit = Fit("Net")
    >>> fit.like("'rate'", 0.5, "fast"); fit.count("'step'", -1)
    0
    >>> fit.settle()
    Traceback (most recent call last):
    nnkit.errors.ModelFileError: the state does not fit Net; nothing was loaded. 2 mismatches:
      'rate' must be a number, got 'fast'
      'step' must be a whole number of at least 0, got -1
    """

    def __init__(self, owner: Any) -> None:
        self.owner = owner if isinstance(owner, str) else type(owner).__name__
        self.problems: list[str] = []

    def refuse(self, problem: str) -> None:
        """Note something that does not fit."""
        self.problems.append(problem)

    def settle(self, what: str = "the state") -> None:
        """Raise ModelFileError that lists what was noted, if anything was."""
        count = len(self.problems)
        if count:
            shown = self.problems[:MOST_SHOWN] + [f"... and {count - MOST_SHOWN} more"] * (count > MOST_SHOWN)
            raise ModelFileError(
                f"{what} does not fit {self.owner}; nothing was loaded. "
                f"{count} mismatch{'es' if count > 1 else ''}:\n  " + "\n  ".join(shown)
            )

    # ---- kinds of values ----------------------------------------------------------------------------------

    def mapping(self, where: str, value: Any) -> Mapping[Any, Any]:
        """``value``, a mapping; where it is none an empty one."""
        if isinstance(value, Mapping):
            return value
        self.refuse(f"{where} must be a dict, got {_shown(value)}")
        return {}

    def row(self, where: str, value: Any) -> Sequence[Any]:
        """``value``, a list or tuple; where it is none an empty one."""
        if isinstance(value, (list, tuple)):
            return value
        self.refuse(f"{where} must be a list, got {_shown(value)}")
        return ()

    def names(self, own: Iterable[Any], given: Iterable[Any], where: str = "") -> None:
        """The names that there must be, all of them and no others."""
        own, given = dict.fromkeys(own), dict.fromkeys(given)
        self.problems += [f"{where}{name!r} is missing" for name in own if name not in given]
        self.problems += [f"{where}{_shown(name)} is not part of it" for name in given if name not in own]

    def count(self, where: str, value: Any) -> int:
        """``value`` as a whole number of at least 0; 0 where it is none."""
        number = value.item() if isinstance(value, (Tensor, np.ndarray, np.generic)) and _is_one(value) else value
        if _is_number(number) and 0 <= number <= LARGEST_COUNT and number == int(number):
            return int(number)
        self.refuse(f"{where} must be a whole number of at least 0, got {_shown(value)}")
        return 0

    def tensor(self, where: str, value: Any, shape: tuple[int, ...], device: Any = None) -> Tensor | None:
        """``value`` as a Tensor of that shape on ``device``; None where it is none."""
        try:
            found = as_tensor(value, device=device)
        except (TypeError, ValueError) as error:
            self.refuse(f"{where} is no tensor: {error}")
            return None
        if found.shape != shape:
            self.refuse(f"{where} has shape {found.shape} in the state, expected {shape}")
            return None
        return found

    def like(self, where: str, own: Any, value: Any, words: Collection[str] = ()) -> None:
        """``value`` must be of the kind of ``own``: a number for a number, the same word, as many in a tuple.

        A list may have another length; its items are like its first, their words (``words``) those of any of them.
        None stands for a number that is not known yet.
        """
        if isinstance(own, bool):
            self._must(isinstance(value, bool), where, "True or False", value)
        elif own is None:
            self._must(value is None or isinstance(value, bool) or _is_number(value), where, "a number or None", value)
        elif isinstance(own, Real):
            self._must(_is_number(value), where, "a number", value)
        elif isinstance(own, str):
            good = isinstance(value, str) and (value == own or value in words)
            self._must(good, where, " or ".join(map(repr, words)) or repr(own), value)
        elif isinstance(own, Mapping):
            self._like_mapping(where, own, value)
        elif isinstance(own, (Tensor, np.ndarray)):
            self.tensor(where, value, tuple(own.shape))
        elif isinstance(own, (list, tuple)):
            self._like_row(where, own, value, words)

    def _like_mapping(self, where: str, own: Mapping[Any, Any], value: Any) -> None:
        given = self.mapping(where, value)
        if isinstance(value, Mapping):
            self.names(own, given, f"{where}: ")
        for name in own.keys() & given.keys():
            self.like(f"{where}: {name!r}", own[name], given[name])

    def _like_row(self, where: str, own: Sequence[Any], value: Any, words: Collection[str]) -> None:
        given = self.row(where, value)
        if isinstance(own, tuple) and len(given) != len(own):
            self.refuse(f"{where} must be {len(own)} values, got {_shown(value)}")
            return
        for index, item in enumerate(given):
            pattern = (own[index] if isinstance(own, tuple) else own[0]) if own else 0.0
            self.like(f"{where}[{index}]", pattern, item, words or sorted(_words(own)))

    def _must(self, good: bool, where: str, expected: str, value: Any) -> None:
        if not good:
            self.refuse(f"{where} must be {expected}, got {_shown(value)}")


def _is_number(value: Any) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return not math.isnan(float(value))
    except OverflowError:
        return False


def _words(own: Any) -> set[str]:
    """Every text in a row, at any depth."""
    if isinstance(own, (list, tuple)):
        return set().union(*map(_words, own))
    return {own} if isinstance(own, str) else set()


def _is_one(value: Any) -> bool:
    return math.prod(value.shape) == 1


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
