"""The door of ``fit``, ``evaluate`` and ``predict``: what came in is checked, all of it, before any training.

First x against the model (``inputs``), then y against the loss and the shape of what the model puts out (``targets``),
which it is run for once on a row or two, in evaluation mode; then the weights of the samples (``sample_weights``). One
door serves the training data, the validation data and every batch of a loader, so all are held to the same rules.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.errors import DataError, ShapeError
from nnkit.nn.module import Module
from nnkit.parallel import MPI
from nnkit.tensors.default_device import resolve
from nnkit.tensors.tensor import Tensor
from nnkit.training.checked import HostData
from nnkit.training.home import home
from nnkit.training.inputs import Inputs
from nnkit.training.kinds import Arrays, Batches
from nnkit.training.modes import evaluating
from nnkit.training.outputs import LossOfOutputs
from nnkit.training.sample_weights import class_weights, sample_weights
from nnkit.training.several import Several, each, named
from nnkit.training.targets import Targets, check_outputs
from nnkit.training.values import check_lengths, has_rows, refuse_unordered

__all__ = ["CheckedBatches", "Door"]


class Door:
    """Checks data for ``model`` and ``loss`` (None where there is none).

    ``class_weight`` applies to the training data only: ``checked(..., by_class=True)``; its classes are those of all
    ``ranks``, where each has samples of its own.
    """

    def __init__(
        self, model: Module, loss: Callable[..., Any] | None, class_weight: Any = None, ranks: MPI | None = None
    ) -> None:
        self.model = model
        self.loss = loss
        self.class_weight, self.ranks = class_weight, ranks
        self.device, self.dtype = home(model)
        self._inputs = Inputs(model, self.dtype)
        self._targets: Any = None

    def checked(self, given: Arrays | Batches, by_class: bool = False) -> HostData | CheckedBatches:
        """What came in, checked; batches are checked as they come."""
        if isinstance(given, Batches):
            return CheckedBatches(self, given, by_class)
        return self.arrays(given, by_class, self.ranks)

    def arrays(self, given: Arrays, by_class: bool = False, ranks: MPI | None = None) -> HostData:
        """Arrays checked against the model, the loss and one another."""
        x_name, y_name, weight_name = (name + given.where for name in ("x", "y", "sample_weight"))
        x = self.inputs(given.x, x_name)
        refuse_unordered(given.y, y_name)
        _check_rows({x_name: x, y_name: given.y})
        y = self._converted(given.y, y_name, x, x_name)
        weight = factors = None
        if given.weight is not None:
            weight = each(given.weight, lambda part: sample_weights(part, weight_name, self.dtype))
            _check_rows({x_name: x, weight_name: weight})
        if by_class and self.class_weight is not None:
            own = () if ranks is None else (ranks.gather,)
            factors = class_weights(self.class_weight, y.converted(), self.dtype, *own)
        return HostData(x, y, weight, factors)

    def inputs(self, x: Any, name: str = "x", finite: bool = True) -> Any:
        """x checked by itself and against the model's first Linear."""
        return self._inputs.convert(x, name, finite)

    def _converted(self, y: Any, name: str, x: Any, x_name: str) -> Any:
        """The targets as the loss of each output accepts them."""
        if self._targets is None:
            self._targets = self._targets_for(x, x_name)
        if not isinstance(self._targets, Several):
            return self._targets.convert(y, name)
        if not isinstance(y, Several) or len(y.parts) != len(self._targets.parts):
            raise DataError(f"{name} must hold a target for each of the outputs {list(self._targets.names)}")
        parts = zip(self._targets.parts, named(**{name: y}).items(), strict=True)
        return Several([targets.convert(part, own) for targets, (own, part) in parts], y.names, y.form)

    def _targets_for(self, x: Any, name: str) -> Any:
        shapes = self._output_shape(x, name)
        if not isinstance(shapes, Several):
            return Targets(self.loss, shapes, self.dtype)
        losses = self.loss.parts if isinstance(self.loss, LossOfOutputs) else [self.loss] * len(shapes.parts)
        made = [Targets(loss, shape, self.dtype) for loss, shape in zip(losses, shapes.parts, strict=True)]
        return Several(made, shapes.names)

    def _output_shape(self, x: Any, name: str) -> Any:
        """The shape of one sample's output, or of several: the model runs once, on at most two rows."""
        few, backend = x[:2], resolve(self.device)
        try:
            with evaluating(self.model):
                output = self.model(each(few, lambda part: part.moved(backend)))
        except ShapeError as error:
            raise ShapeError(f"{name} of shape {x.shape} does not fit the model: {error}") from error
        if isinstance(output, Several):
            return output.each(lambda part: _shape_of(part, len(few)))
        if isinstance(output, Tensor) and output.ndim and output.shape[0] == len(few):
            check_outputs(self.loss, output)
        return _shape_of(output, len(few))


class CheckedBatches:
    """Batches that pass the door one by one, as they are read; all must have rows of one shape."""

    def __init__(self, door: Door, given: Batches, by_class: bool = False) -> None:
        self.door = door
        self.given = given
        self.by_class = by_class
        self._rows: tuple[tuple[int, ...], tuple[int, ...]] | None = None  # the shapes of the first batch's

    def checked(self, item: Any, number: int) -> HostData | None:
        """Batch ``number``, checked; None, after a warning, where it has no samples.

        Raises what ``Door.arrays`` raises, and ShapeError for rows of another shape than those of the first batch.
        """
        place = f" of batch {number}{self.given.where}"
        x, y, weight = _parts(item, place)
        rows = _row_shape(x), _row_shape(y)
        if len(x) == 0:
            warnings.warn(f"batch {number}{self.given.where} is empty and was skipped", stacklevel=2)
            return None
        self._rows = self._rows or rows
        for name, shape, expected in zip("xy", rows, self._rows, strict=True):
            if shape != expected:
                raise ShapeError(
                    f"{name}{place} has rows of shape {shape}, those before had {expected}; "
                    "all batches must have rows of one shape"
                )
        return self.door.arrays(Arrays(x, y, weight, place), self.by_class)


def _check_rows(sides: dict[str, Any]) -> None:
    """Raise DataError unless all that have rows have as many."""
    check_lengths(**{name: len(part) for name, part in named(**sides).items() if has_rows(part)})


def _shape_of(output: Any, rows: int) -> tuple[int, ...]:
    """The shape of one sample's output. Raises TypeError or ShapeError where it has no row for each sample."""
    if not isinstance(output, Tensor):
        raise TypeError(f"the model must return one Tensor, got {type(output).__name__}")
    if output.ndim == 0 or output.shape[0] != rows:
        raise ShapeError(
            f"the model returned shape {tuple(output.shape)} for {rows} samples; "
            "its first dimension must be the samples"
        )
    return tuple(output.shape[1:])


def _parts(item: Any, where: str) -> tuple[Any, Any, Any]:
    """One batch as (x, y, weight or None); raises DataError for anything but a pair or a triple."""
    if isinstance(item, (tuple, list)) and len(item) in (2, 3):
        x, y, *weight = item
        if has_rows(x) and has_rows(y):
            return x, y, weight[0] if weight else None
    kind = type(item).__name__ + (f" of {len(item)}" if isinstance(item, (tuple, list)) else "")
    raise DataError(f"the item{where} is a {kind}; expected (x, y) or (x, y, sample_weight) of arrays")


def _row_shape(values: Any) -> tuple[int, ...]:
    """The shape of one entry of ``values``."""
    shape = values.shape if hasattr(values, "shape") else np.shape(values)
    return tuple(int(size) for size in shape[1:])
