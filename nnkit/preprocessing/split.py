"""Dividing samples into those to learn from, those to choose by, and those to judge by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.errors import DataError
from nnkit.preprocessing.checks import checked_fraction, checked_seed
from nnkit.preprocessing.frames import take_rows
from nnkit.tensors.random import permutation

__all__ = ["train_test_split", "train_validation_test_split"]


def train_test_split(
    *arrays: Any,
    test_size: float | None = None,
    train_size: float | None = None,
    random_state: int | None = None,
    shuffle: bool = True,
    stratify: Any = None,
    groups: Any = None,
) -> list[Any]:
    """Each array in two parts: [x_train, x_test, y_train, y_test, ...]; arrays, lists and frames stay what they are.

    Args:
        arrays: as many as you like, with the same number of samples: arrays, lists, frames, Tensors, sparse matrices.
        test_size: a share (0.25 unless given), or a number of samples.
        train_size: likewise; the rest unless given.
        random_state: the same for the same number; without one, from the thread's stream (``nnkit.manual_seed``).
        stratify: a label for each sample: both parts have each label in its share.
        groups: a name for each sample: samples of one name stay together, and sizes count names.

    Raises ``DataError`` for unequal lengths and sizes that leave a part empty. As scikit-learn's ``train_test_split``,
    with ``groups`` as its ``GroupShuffleSplit``; the orders are nnkit's own.

    >>> x_train, x_test, y_train, y_test = train_test_split([1, 2, 3, 4, 5], "abcde", test_size=2, random_state=0)
    >>> len(x_train), len(y_test)
    (3, 2)
    """
    count = _count(arrays)
    if groups is not None:
        names, numbers = np.unique(_per_sample(groups, count, "groups"), return_inverse=True)
        sizes = _two_sizes(len(names), test_size, train_size, "groups")
    else:
        sizes = _two_sizes(count, test_size, train_size, "samples")
    if groups is None:
        return _parts(arrays, _chosen(count, sizes, random_state, shuffle, stratify))
    if stratify is not None or not shuffle:
        raise DataError("groups goes with neither stratify nor shuffle=False")
    chosen = _chosen(len(names), sizes, random_state, True, None)
    return _parts(arrays, [np.flatnonzero(np.isin(numbers, part)) for part in chosen])


def train_validation_test_split(
    *arrays: Any,
    sizes: Sequence[float] = (0.7, 0.15, 0.15),
    random_state: int | None = None,
    shuffle: bool = True,
    stratify: Any = None,
) -> list[Any]:
    """Each array in three parts: [x_train, x_validation, x_test, y_train, ...], as ``train_test_split``.

    ``sizes`` are the three shares, which sum to 1.

    Raises DataError for other sizes and for arrays of unlike lengths. Source:
    ``sklearn.model_selection.train_test_split``.

    >>> [len(part) for part in train_validation_test_split(list(range(20)), random_state=0)]
    [14, 3, 3]
    """
    shares = tuple(checked_fraction(share, "each of sizes") for share in sizes)
    if len(shares) != 3 or abs(sum(shares) - 1) > 1e-6:
        raise DataError(f"sizes must be three numbers that sum to 1, got {tuple(sizes)}")
    count = _count(arrays)
    if count < 3:
        raise DataError(f"there are {count} samples, too few for 3 parts; pass more data")
    validation, test = (max(1, round(count * share)) for share in shares[1:])
    while validation + test >= count:
        validation, test = (validation - 1, test) if validation > test else (validation, test - 1)
    return _parts(
        arrays, _chosen(count, [count - validation - test, validation, test], random_state, shuffle, stratify)
    )


def _count(arrays: Sequence[Any]) -> int:
    if not arrays:
        raise DataError("pass at least one array")
    counts = [_length(array) for array in arrays]
    if len(set(counts)) > 1:
        raise DataError(f"the arrays must have equally many samples, got {' and '.join(map(str, counts))}")
    if counts[0] < 2:
        raise DataError(f"there are {counts[0]} samples, too few for 2 parts; pass more data")
    return counts[0]


def _length(array: Any) -> int:
    if isinstance(array, dict):
        return _length(next(iter(array.values()), ()))
    shape = getattr(array, "shape", None)
    return len(array) if not shape else int(shape[0])


def _two_sizes(count: int, test: float | None, train: float | None, what: str) -> list[int]:
    """How many of ``count`` learn and test, by shares or numbers."""
    wanted_test = None if test is None else _size(test, count, "test_size", math.ceil)
    wanted_train = None if train is None else _size(train, count, "train_size", math.floor)
    if wanted_test is None:
        wanted_test = count - wanted_train if wanted_train is not None else math.ceil(0.25 * count)
    if wanted_train is None:
        wanted_train = count - wanted_test
    if min(wanted_test, wanted_train) < 1 or wanted_test + wanted_train > count:
        raise DataError(f"{count} {what} cannot be divided into {wanted_train} to learn from and {wanted_test} to test")
    return [wanted_train, wanted_test]


def _size(value: float, count: int, name: str, whole: Any) -> int:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        if not 0 < value < count:
            raise DataError(f"{name} must be at least 1 and less than {count}, got {value}")
        return int(value)
    return int(whole(count * checked_fraction(value, name)))


def _chosen(
    count: int, sizes: Sequence[int], random_state: int | None, shuffle: bool, stratify: Any
) -> list[np.ndarray]:
    """The numbers of the samples of each part."""
    ends = np.cumsum(sizes)
    if not shuffle:
        if stratify is not None:
            raise DataError("stratify needs shuffle=True")
        return np.split(np.arange(count), ends[:-1])
    order = permutation(count) if random_state is None else permutation(count, checked_seed(random_state), draw=0)
    if stratify is None:
        return np.split(order, ends)[: len(sizes)]
    parts = _stratified(order, _per_sample(stratify, count, "stratify"), sizes)
    # Class after class until here, so each part is shuffled once more.
    orders = [permutation(len(p)) if random_state is None else permutation(len(p), random_state, draw=1) for p in parts]
    return [part[again] for part, again in zip(parts, orders, strict=True)]


def _stratified(order: np.ndarray, labels: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    names, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    for name, number in zip(names.tolist(), counts.tolist(), strict=True):
        if number < len(sizes):
            raise DataError(f"stratify: class {name!r} has {number} sample(s), too few for {len(sizes)} parts")
    left, parts, shuffled = counts.copy(), list[np.ndarray](), classes[order]
    places = [order[shuffled == number] for number in range(len(names))]
    for size in reversed(sizes):
        if size < len(names):
            raise DataError(f"stratify: a part of {size} samples cannot have one of each of {len(names)} classes")
        share = _shares(counts, size, left)
        taken = [rows[have - want : have] for rows, have, want in zip(places, left, share, strict=True)]
        left = left - share
        parts.append(np.concatenate(taken))
    return parts[::-1]


def _shares(counts: np.ndarray, size: int, left: np.ndarray) -> np.ndarray:
    """How many of each class, ``size`` in all: in proportion, what is over to the largest remainders."""
    ideal = counts * (size / counts.sum())
    share = np.minimum(np.maximum(np.floor(ideal).astype(np.int64), 1), left)
    while share.sum() != size:
        grow = share.sum() < size
        room = share < left if grow else share > 1
        distance = np.where(room, ideal - share if grow else share - ideal, -np.inf)
        share[int(np.argmax(distance))] += 1 if grow else -1
    return share


def _per_sample(values: Any, count: int, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.shape != (count,) or array.dtype.kind == "f":
        raise DataError(
            f"{name} needs one label per sample, shape {(count,)}, got {array.dtype} of shape {array.shape}"
            + (f": the labels themselves, frame[{values!r}]" if isinstance(values, str) else "")
        )
    return array.astype(str) if array.dtype == object else array


def _parts(arrays: Sequence[Any], chosen: Sequence[np.ndarray]) -> list[Any]:
    return [take_rows(array, rows) for array in arrays for rows in chosen]
