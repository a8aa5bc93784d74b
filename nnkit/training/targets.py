"""The door for targets: does y fit the loss and what the model puts out?

A classification loss wants integer labels from 0 to C - 1; an elementwise loss wants y in exactly the shape of the
model's output, for a silent broadcast of (n,) with (n, 1) trains on nonsense. A function of the user's own gets y as
it is.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.errors import DataError, DtypeError, LabelError, ShapeError
from nnkit.nn import MultiLabelMarginLoss, losses
from nnkit.tensors.tensor import Tensor
from nnkit.training.checked import Checked, every
from nnkit.training.loss_kinds import BINARY, LABEL_LOSSES
from nnkit.training.values import first_bad, fixed_for, floats, numbers, variable

__all__ = ["Targets", "check_outputs"]

LABELS = np.dtype(np.int64)


class Targets:
    """What y must be, from the loss and the shape of one sample's output; ``convert`` checks and converts.

    ``output`` is the model's output shape without the samples: (C,) for C scores.
    """

    def __init__(self, loss: Callable[..., Any] | None, output: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.loss = loss
        self.output = output
        self.dtype = dtype

    def convert(self, value: Any, name: str) -> Checked:
        """y as the loss accepts it: int64 labels, or numbers of the model's dtype.

        Raises LabelError, ShapeError, DataError or DtypeError with the fix.
        """
        try:
            found = self._converted(value, name)
        except ShapeError as error:
            raise ShapeError(fixed_for(value, str(error))) from None
        return dataclasses.replace(found, tensor=value) if isinstance(value, Tensor) else found

    def _converted(self, value: Any, name: str) -> Checked:
        if isinstance(self.loss, LABEL_LOSSES):
            return self._for_labels(self.loss, value, name)
        array = _with_samples(numbers(value, name), name)
        if not isinstance(self.loss, losses.Loss):
            self._warn_of_broadcast(array, name)
            return Checked(array, LABELS) if array.dtype.kind in "biu" else floats(array, name, self.dtype)
        self._refuse_other_shape(array, name)
        if isinstance(self.loss, MultiLabelMarginLoss) and array.dtype.kind in "iu":
            return Checked(array, LABELS)  # rows of labels, which the loss itself looks at
        if isinstance(self.loss, BINARY):
            _check_range(array, name, self.loss)
        return floats(array, name, self.dtype)

    def _for_labels(self, loss: losses.Loss, value: Any, name: str) -> Checked:
        try:
            array = _with_samples(numbers(value, name), name)
        except DtypeError as error:
            if not _is_text(np.asarray(value)):
                raise
            raise LabelError(
                f"{name} holds text; class labels are integers from 0: "
                f"{variable(name)} = numpy.unique({variable(name)}, return_inverse=True)[1]"
            ) from error
        sizes, kind = list(self.output), loss.called
        classes = sizes.pop(loss.class_axis) if sizes else 1
        rest = tuple(sizes)
        if classes == 1:
            raise ShapeError(
                f"the model puts out 1 score per sample; {kind} needs one for each class, at least 2. "
                f"For yes or no with one output use {loss.for_scores}, for numbers {loss.for_numbers}"
            )
        if array.shape[1:] == self.output and isinstance(loss, losses.CrossEntropyLoss):
            _check_range(array, name, loss)
            return floats(array, name, self.dtype)
        if array.shape[1:] != rest:
            column = array.shape[1:] == (1, *rest)
            fix = f": write {variable(name)}.reshape(-1)" if column and array.ndim == 2 else ""
            raise ShapeError(
                f"{name} has shape {_shape(array)}; {kind} expects one class label per sample, "
                f"shape {_shape_of(len(array), rest)}{fix}"
            )
        if array.dtype.kind == "f":
            raise LabelError(
                f"{name} holds {array.dtype} numbers; class labels are integers: "
                f"write {variable(name)}.astype('int64'), or, for numbers, {loss.for_numbers}"
            )
        return self._labels(array, classes, name)

    def _labels(self, labels: np.ndarray, classes: int, name: str) -> Checked:
        """The labels, to be int64; those outside 0 .. classes - 1 are refused."""
        bad = ((labels < 0) | (labels >= classes)) & (labels != getattr(self.loss, "ignore_index", -1))
        if bad.any():
            count, where, place = first_bad(bad)
            fix = f"; subtract 1 from {variable(name)}, or" if labels.min() == 1 and labels.max() == classes else ";"
            raise LabelError(
                f"{name} holds {count} label{'s' if count > 1 else ''} outside 0 to {classes - 1}: the first, "
                f"{labels[place]}, is in {where}. The model puts out {classes} scores{fix} give it one for each class"
            )
        return Checked(labels, LABELS)

    def _called(self) -> str:
        return self.loss.called if isinstance(self.loss, losses.Loss) else type(self.loss).__name__

    def _refuse_other_shape(self, array: np.ndarray, name: str) -> None:
        if array.shape[1:] == self.output:
            return
        fix = _reshape_fix(array.shape[1:], self.output, name)
        raise ShapeError(
            f"{name} has shape {_shape(array)} but the model's output for it has shape "
            f"{_shape_of(len(array), self.output)}; {self._called()} needs equal shapes{fix}"
        )

    def _warn_of_broadcast(self, array: np.ndarray, name: str) -> None:
        fix = _reshape_fix(array.shape[1:], self.output, name)
        if fix and array.dtype.kind == "f" and self.loss is not None:
            warnings.warn(
                f"{name} has shape {_shape(array)} but the model's output for it has shape "
                f"{_shape_of(len(array), self.output)}; a loss function that subtracts them broadcasts both to a "
                f"matrix{fix}",
                stacklevel=2,
            )


def check_outputs(loss: Callable[..., Any] | None, output: Tensor) -> None:
    """Does the model put out what the loss takes? Raises DataError for "bce" of what are no probabilities; warns of
    "cross_entropy" of what are."""
    values = np.asarray(output.detach().numpy(), np.float64)
    if not values.size or not np.isfinite(values).all():
        return
    within = bool((values >= 0).all() and (values <= 1).all())
    if type(loss) is losses.BCELoss and not within:
        raise DataError(
            f"BCELoss takes probabilities from 0 to 1, and the model puts out numbers from {values.min():.4g} to "
            f"{values.max():.4g}: use loss='bce_with_logits', or end the model with nn.Sigmoid()"
        )
    sums = values.sum(axis=1) if values.ndim == 2 and values.shape[1] > 1 else None
    if type(loss) is losses.CrossEntropyLoss and within and sums is not None and np.allclose(sums, 1.0, atol=1e-4):
        warnings.warn(
            "CrossEntropyLoss takes scores (logits) and applies the softmax itself, and the model puts out "
            "probabilities: take nn.Softmax() off its end, or the model learns slowly and badly",
            stacklevel=2,
        )


def _is_text(array: np.ndarray) -> bool:
    """Whether these are texts, of NumPy's own or as Python objects."""
    return array.dtype.kind in "UST" or (array.dtype.kind == "O" and all(isinstance(v, str) for v in array.flat))


def _with_samples(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim == 0:
        raise ShapeError(f"{name} is a single number; expected one entry per sample")
    return array


def _check_range(array: np.ndarray, name: str, loss: losses.Loss) -> None:
    """Probabilities lie between 0 and 1; NaN is left to ``floats``, which says where it is."""
    outside: Callable[[np.ndarray], np.ndarray] = lambda part: (part < 0) | (part > 1)  # noqa: E731
    if not every(array, lambda part: ~outside(part)):
        bad = outside(array)
        count, where, place = first_bad(bad)
        fix = f": for labels -1 and 1 write ({variable(name)} + 1) / 2" if set(np.unique(array)) <= {-1, 1} else ""
        raise LabelError(
            f"{name} holds {count} value{'s' if count > 1 else ''} outside 0 to 1: the first, {array[place]}, is in "
            f"{where}. {loss.called} expects probabilities or labels 0 and 1{fix}"
        )


def _reshape_fix(given: tuple[int, ...], wanted: tuple[int, ...], name: str) -> str:
    if given == () and wanted == (1,):
        return f": write {variable(name)}.reshape(-1, 1)"
    if given == (1,) and wanted == ():
        return f": write {variable(name)}.reshape(-1)"
    return ""


def _shape(array: np.ndarray) -> tuple[int, ...]:
    return tuple(int(size) for size in array.shape)


def _shape_of(samples: int, rest: tuple[int, ...]) -> tuple[int, ...]:
    return (samples, *rest)
