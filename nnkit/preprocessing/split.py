"""Dividing samples into those to learn from, those to choose by, and those to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.errors import DataError
from nnkit.preprocessing.checks import checked_fraction, checked_seed, same_length
from nnkit.random import permutation

__all__ = ["train_test_split", "train_validation_test_split"]

Pair = tuple[np.ndarray, np.ndarray]


def train_test_split(
    x: Any, y: Any, test_fraction: float = 0.2, *, stratify: bool | Any = False, seed: int = 0
) -> tuple[Pair, Pair]:
    """Shuffled copies ``(x_train, y_train), (x_test, y_test)``; the same for the same seed.

    ``stratify=True`` gives both parts the classes of ``y`` in equal shares; an array of labels,
    one for each sample, does it by those. Both parts have at least one sample; with
    ``stratify``, every class needs as many samples as there are parts. Raises ``DataError``.

    >>> (x_train, y_train), (x_test, y_test) = train_test_split([1, 2, 3, 4, 5], [0, 1, 0, 1, 0])
    >>> len(x_train), len(x_test)
    (4, 1)
    """
    test = checked_fraction(test_fraction, "test_fraction")
    train, held_out = _split(x, y, (1 - test, test), stratify, seed)
    return train, held_out


def train_validation_test_split(
    x: Any,
    y: Any,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    *,
    stratify: bool | Any = False,
    seed: int = 0,
) -> tuple[Pair, Pair, Pair]:
    """``(x_train, y_train), (x_validation, y_validation), (x_test, y_test)``, as ``train_test_split``.

    ``fractions`` are the three shares, which sum to 1.

    >>> parts = train_validation_test_split(range(20), range(20))
    >>> [len(x) for x, y in parts]
    [14, 3, 3]
    """
    shares = tuple(checked_fraction(share, "each of fractions") for share in fractions)
    if len(shares) != 3 or abs(sum(shares) - 1) > 1e-6:
        raise DataError(f"fractions must be three numbers that sum to 1, got {tuple(fractions)}")
    train, validation, test = _split(x, y, shares, stratify, seed)
    return train, validation, test


def _split(x: Any, y: Any, shares: tuple[float, ...], stratify: bool | Any, seed: int) -> list[Pair]:
    x, y = np.asarray(x), np.asarray(y)
    same_length(x, y)
    order = permutation(len(x), checked_seed(seed), draw=0)
    if stratify is False or stratify is None:
        parts = _cut(order, shares, "the data have")
    else:
        parts = _stratified(order, y if stratify is True else np.asarray(stratify), shares, seed)
    return [(x[part], y[part]) for part in parts]


def _stratified(order: np.ndarray, labels: np.ndarray, shares: tuple[float, ...], seed: int) -> list[np.ndarray]:
    if labels.shape != order.shape or labels.dtype.kind == "f":
        raise DataError(
            f"stratify needs one class label per sample, shape {order.shape}, "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    names, classes = np.unique(labels, return_inverse=True)
    shuffled = classes[order]
    by_class = [
        _cut(order[shuffled == number], shares, f"class {name!r} has") for number, name in enumerate(names.tolist())
    ]
    parts = [np.concatenate(pieces) for pieces in zip(*by_class, strict=True)]
    # Class after class until here, so each part is shuffled once more.
    return [part[permutation(len(part), seed, draw=1)] for part in parts]


def _cut(order: np.ndarray, shares: tuple[float, ...], whose: str) -> list[np.ndarray]:
    """``order`` in consecutive pieces of the given shares, none of them empty."""
    count = len(order)
    if count < len(shares):
        raise DataError(f"{whose} {count} sample(s), too few for {len(shares)} parts; pass more data")
    sizes = [max(1, round(count * share)) for share in shares[1:]]
    while sum(sizes) >= count:
        sizes[sizes.index(max(sizes))] -= 1
    ends = np.cumsum([count - sum(sizes), *sizes])[:-1]
    return np.split(order, ends)
