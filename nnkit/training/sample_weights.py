"""The door for the samples' weights: those given one by one, and those that follow from their classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nnkit.errors import DataError, ShapeError, UnknownNameError
from nnkit.training.values import first_bad, floats, host_array, variable

__all__ = ["class_weights", "sample_weights"]


def sample_weights(value: Any, name: str, dtype: np.dtype[Any]) -> np.ndarray:
    """One weight per sample, (n,), finite and not negative; raises ShapeError or DataError."""
    weights = host_array(value, name)
    if weights.ndim != 1:
        fix = f": write {variable(name)}.reshape(-1)" if weights.ndim == 2 and weights.shape[1] == 1 else ""
        raise ShapeError(f"{name} has shape {weights.shape}; expected one number per sample{fix}")
    weights = floats(weights, name, dtype).converted()
    if (weights < 0).any():
        count, where, place = first_bad(weights < 0)
        raise DataError(
            f"{name} holds {count} negative weight{'s' if count > 1 else ''}: the first, {weights[place]}, "
            f"is in {where}"
        )
    if len(weights) and not weights.any():
        raise DataError(f"{name} is 0 for every sample: then nothing counts; give some of them a weight")
    return weights


def class_weights(
    weights: Mapping[int, float] | Any,
    labels: np.ndarray,
    dtype: np.dtype[Any],
    gather: Callable[[Any], list[Any]] = lambda value: [value],
) -> np.ndarray:
    """The weight of each sample, (n,), by its class: from {label: weight} (others weigh 1), one number per class, or
    "balanced": n / (classes * samples of the class), as scikit-learn's.

    ``labels``: (n,) or (n, 1) class numbers, or (n, C) one-hot rows. ``gather`` gives what all have who have labels of
    their own: classes and counts are those of all.
    Raises DataError for a key that is no class or a negative weight, ShapeError for other targets.
    """
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = labels.argmax(axis=1)
    labels = labels.reshape(len(labels), -1)
    if labels.shape[1] != 1 or (labels != np.rint(labels)).any():
        raise ShapeError("class_weight needs targets that are class labels: (n,), (n, 1) or one-hot (n, C)")
    present, counts = _counted(gather(np.unique(labels[:, 0], return_counts=True)))
    if isinstance(weights, str):
        if weights != "balanced":
            raise UnknownNameError("class_weight", weights, ["balanced"])
        weights = dict(zip(present.tolist(), counts.sum() / (len(present) * counts), strict=True))
    table = _by_class(weights, present)
    chosen = np.ones(len(labels), dtype=dtype)
    for label, weight in table.items():
        if not isinstance(weight, (int, float, np.number)) or not np.isfinite(weight) or weight < 0:
            raise DataError(f"class_weight[{label!r}] must be a finite number >= 0, got {weight!r}")
        chosen[labels[:, 0] == label] = weight
    return chosen


def _counted(parts: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The labels that there are in all parts, and how often each is there."""
    present, places = np.unique(np.concatenate([labels for labels, _ in parts]), return_inverse=True)
    return present, np.bincount(places, np.concatenate([counts for _, counts in parts])).astype(np.int64)


def _by_class(weights: Mapping[Any, float] | Any, present: np.ndarray) -> dict[Any, Any]:
    """Class -> weight; every key must be a class number, and a list must have one for each class."""
    classes = int(present.max()) + 1
    if not isinstance(weights, Mapping):
        listed = host_array(weights, "class_weight")
        if listed.ndim != 1 or len(listed) < classes:
            raise DataError(
                f"class_weight has shape {listed.shape}, and the labels go to {classes - 1}: give {classes} numbers, "
                "one for each class, or a dict {label: weight}"
            )
        return dict(enumerate(listed))
    for label in weights:
        if not isinstance(label, (int, float, np.number)) or label not in present:
            shown = ", ".join(f"{value:g}" for value in present[:10]) + (", ..." if len(present) > 10 else "")
            raise DataError(f"class_weight has the key {label!r}, but the labels are {shown}: give {{label: weight}}")
    return dict(weights)
