"""Class labels as numbers: any labels to 0, 1, 2, ..., and numbers to one-hot rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from nnkit.errors import DataError, DtypeError, LabelError, ShapeError

__all__ = ["Labels", "one_hot"]


def one_hot(labels: Any, classes: int | None = None) -> np.ndarray:
    """Rows that are 1 at the label and 0 elsewhere: integers of any shape (...) to float32 (..., classes).

    ``classes`` is the largest label plus one where it is not given. Raises ``LabelError`` for
    negative and too large labels, ``DtypeError`` for labels that are no integers. As Keras's
    ``to_categorical``.

    >>> one_hot([2, 0]).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise DtypeError(
            f"labels must be integers, got dtype {labels.dtype}; turn other labels into integers with Labels"
        )
    if labels.size == 0 and classes is None:
        raise ShapeError("classes must be given where there are no labels")
    count = int(labels.max()) + 1 if classes is None else classes
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise LabelError(f"classes must be an integer of at least 1, got {count!r}")
    wrong = (labels < 0) | (labels >= count)
    if wrong.any():
        first = tuple(np.argwhere(wrong)[0].tolist())
        raise LabelError(
            f"labels must lie from 0 to {count - 1}, got {labels[first]} at index "
            f"{first[0] if len(first) == 1 else first} ({int(wrong.sum())} in all)"
        )
    rows = np.zeros((*labels.shape, count), np.float32)
    np.put_along_axis(rows, labels.astype(np.int64)[..., None], 1.0, axis=-1)
    return rows


class Labels:
    """Names of classes to integers and back; the classes are numbered in sorted order.

    Labels may be texts, integers or booleans. As scikit-learn's ``LabelEncoder``.

    >>> labels = Labels().fit(["cat", "dog", "cat"])
    >>> labels.transform(["dog", "cat"]).tolist(), labels.inverse_transform([0, 1]).tolist()
    ([1, 0], ['cat', 'dog'])
    """

    def __init__(self) -> None:
        self.classes: np.ndarray | None = None

    def fit(self, labels: Any) -> Self:
        """Learns the classes that occur in ``labels``, shape (samples,)."""
        self.classes = np.unique(_checked(labels))
        return self

    def transform(self, labels: Any) -> np.ndarray:
        """The number of each label's class, int64. Raises ``LabelError`` that names unknown labels."""
        classes = self._fitted()
        labels = _checked(labels)
        if (labels.dtype.kind == "U") != (classes.dtype.kind == "U"):
            raise LabelError(f"labels must be of the type seen in fit ({classes.dtype}), got {labels.dtype}")
        unknown = np.setdiff1d(labels, classes)
        if len(unknown):
            raise LabelError(
                f"labels has {len(unknown)} class(es) not seen in fit, such as {unknown[:5].tolist()}; "
                f"known: {classes[:20].tolist()}"
            )
        return np.searchsorted(classes, labels).astype(np.int64)

    def fit_transform(self, labels: Any) -> np.ndarray:
        """``fit(labels)``, then ``transform(labels)``."""
        return self.fit(labels).transform(labels)

    def inverse_transform(self, numbers: Any) -> np.ndarray:
        """The labels of class numbers. Raises ``LabelError`` for numbers that stand for no class."""
        classes = self._fitted()
        numbers = np.asarray(numbers)
        if numbers.dtype.kind not in "iu" or ((numbers < 0) | (numbers >= len(classes))).any():
            raise LabelError(f"expected integers from 0 to {len(classes) - 1}, got {numbers.ravel()[:10].tolist()}")
        return classes[numbers]

    def _fitted(self) -> np.ndarray:
        if self.classes is None:
            raise DataError("these Labels know no classes yet; call fit(labels) first")
        return self.classes

    def state_dict(self) -> dict[str, list[Any]]:
        """The classes in the order of their numbers: ``classes``, a list."""
        return {"classes": self._fitted().tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over the classes of a ``state_dict``; raises ``DataError`` where they are not sorted."""
        if set(state) != {"classes"}:
            raise DataError(f"expected the entry 'classes', got {sorted(map(str, state))}")
        classes = _checked(state["classes"])
        if not np.array_equal(classes, np.unique(classes)):
            raise DataError("classes must be sorted and different from each other")
        self.classes = classes


def _checked(labels: Any) -> np.ndarray:
    array = np.asarray(labels)
    if array.dtype == object and all(isinstance(label, str) for label in array.ravel()):
        array = array.astype(str)
    if array.dtype.kind not in "Uiub":
        raise DtypeError(f"labels must be texts, integers or booleans, got dtype {array.dtype}")
    if array.ndim != 1 or len(array) == 0:
        raise ShapeError(f"labels must have shape (samples,) with at least one sample, got {array.shape}")
    return array
