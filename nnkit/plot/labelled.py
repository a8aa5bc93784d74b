"""Predictions beside labels: which class a label is, and how sure a model is of each.

Labels are whole numbers, texts, or one-hot rows; a model's outputs are scores for each class, or one for two classes:
probabilities, or logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.plot.display import labels
from nnkit.plot.models import array_of, predictions

__all__ = ["Labelled", "class_labels", "labelled", "probabilities"]


class Labelled(NamedTuple):
    """True labels as places in ``classes``, and a probability for each class (n, classes)."""

    truth: np.ndarray
    chances: np.ndarray
    classes: list[Any]


def probabilities(said: np.ndarray) -> np.ndarray:
    """The probability of each class (n, classes), from a model's outputs (n, classes), or (n,) or (n, 1) of two.

    >>> probabilities(np.array([[0.25], [0.5]])).tolist(), probabilities(np.zeros((1, 4))).tolist()
    ([[0.75, 0.25], [0.5, 0.5]], [[0.25, 0.25, 0.25, 0.25]])
    """
    scores = said[:, 0] if said.ndim == 2 and said.shape[1] == 1 else said
    if scores.ndim == 1:
        sure = not scores.size or (scores.min() >= 0.0 and scores.max() <= 1.0)
        chances = scores if sure else 0.5 * (1.0 + np.tanh(0.5 * scores))
        both: np.ndarray = np.stack([1.0 - chances, chances], 1)
        return both
    if scores.size and scores.min() >= 0.0 and np.allclose(scores.sum(1), 1.0, atol=1e-3):
        return scores
    powers = np.exp(scores - scores.max(1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(1, keepdims=True)
    return shares


def labelled(model: Any, x: Any, y: Any) -> Labelled:
    """Predict ``x`` and put it beside its labels. Raises ValueError where these do not fit the outputs."""
    truth, said = array_of(y), predictions(model, x)
    if truth.ndim == 2:
        truth = truth.argmax(1) if truth.shape[1] > 1 else truth[:, 0]
    if said.ndim > 2 or len(truth) != len(said):
        raise ValueError(f"y: {len(truth)} labels for outputs of shape {said.shape}: one label for each row is drawn")
    chances = probabilities(said)
    classes = list(getattr(model, "classes_", range(chances.shape[1])))
    places = {value: place for place, value in enumerate(np.asarray(classes).tolist())}
    unknown = sorted({value for value in truth.tolist() if value not in places}, key=str)
    if unknown:
        raise ValueError(f"y: the model has {len(classes)} classes, {classes[0]} to {classes[-1]}, got {unknown[:5]}")
    return Labelled(np.array([places[value] for value in truth.tolist()], np.int64), chances, classes)


def class_labels(classes: Sequence[Any], names: Sequence[str] | None) -> list[str]:
    """The names of classes, as they are written in a picture. Raises ValueError where there are not as many."""
    if names is not None and len(names) != len(classes):
        raise ValueError(f"class_names: got {len(names)} for {len(classes)} classes")
    return labels(classes if names is None else names, 24)
