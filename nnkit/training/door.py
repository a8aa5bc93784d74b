"""The door of ``fit``, ``evaluate`` and ``predict``: raw data in, checked data on the model's device out.

The door looks at the model's first Linear and runs the model once on a row or two, in evaluation mode, to learn
the shape of its output; with it the targets are checked before any training. One door serves the training data, the
validation data and every batch of a loader, so all are held to the same rules.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnkit.errors import DataError, ShapeError
from nnkit.nn import Dropout, Flatten, Identity, Linear, Sequential
from nnkit.nn.module import Module
from nnkit.tensors.creation import as_tensor, empty
from nnkit.tensors.dtypes import int64
from nnkit.tensors.tensor import Tensor, resolve
from nnkit.training.batches import Batch, IterableSource
from nnkit.training.checked import Checked
from nnkit.training.inputs import check_lengths, features, refuse_unordered, sample_weights, variable
from nnkit.training.modes import evaluating
from nnkit.training.outputs import LossOfOutputs
from nnkit.training.several import Several, each, named
from nnkit.training.targets import Targets, check_outputs, class_weights

__all__ = ["Door", "HostData", "first_linear", "home"]


@dataclass(frozen=True)
class HostData:
    """Checked arrays on the host, and the objects they came from (a Tensor already in place is not moved again)."""

    x: Any  # Checked, or Several of them
    y: Any
    weight: Any  # np.ndarray, Several of them, or None
    originals: tuple[Any, Any] = (None, None)

    def part(self, chosen: slice) -> HostData:
        """The chosen samples."""
        weight = None if self.weight is None else self.weight[chosen]
        return HostData(self.x[chosen], self.y[chosen], weight)


class Door:
    """Checks data for ``model`` and ``loss`` (None where there is none), and moves them to the model's device.

    ``class_weight`` applies to the training data only: ``checked(..., by_class=True)``.
    """

    def __init__(self, model: Module, loss: Callable[..., Any] | None, class_weight: Any = None) -> None:
        self.model = model
        self.loss = loss
        self.class_weight = class_weight
        self.device, self.dtype = home(model)
        # An embedding among its parts takes whole numbers as they are; to others they are features like any.
        self._reads_whole_numbers = any(getattr(module, "reads_whole_numbers", False) for module in model.modules())
        self._targets: Any = None

    # ---- arrays -------------------------------------------------------------------------------------------

    def checked(self, x: Any, y: Any, weight: Any = None, where: str = "", by_class: bool = False) -> HostData:
        """Arrays checked against the model, the loss and one another; ``where`` is put behind their names."""
        x_name, y_name, weight_name = (name + where for name in ("x", "y", "sample_weight"))
        x_host = self.inputs(x, x_name)
        refuse_unordered(y, y_name)
        _check_rows({x_name: x_host, y_name: y})
        y_host = self._converted(y, y_name, x_host, x_name)
        weights = None
        if weight is not None:
            weights = each(weight, lambda given: sample_weights(given, weight_name, self.dtype))
            _check_rows({x_name: x_host, weight_name: weights})
        if by_class and self.class_weight is not None:
            by_label = class_weights(self.class_weight, y_host.converted(), self.dtype)
            weights = by_label if weights is None else weights * by_label
        return HostData(x_host, y_host, weights, (x, y))

    def inputs(self, x: Any, name: str = "x", finite: bool = True) -> Any:
        """x checked by itself and against the model's first Linear."""
        if isinstance(x, Several):
            checked = [self._input(part, own, finite) for own, part in named(**{name: x}).items()]
            return Several(checked, x.names, x.form)
        x_host = self._input(x, name, finite)
        check_first_layer(self.model, x_host.shape, name)
        return x_host

    def _input(self, x: Any, name: str, finite: bool) -> Checked:
        x_host = features(x, name, self.dtype, finite)
        if self._reads_whole_numbers and x_host.array.dtype.kind in "iu":
            x_host = Checked(x_host.array, int64)
        return x_host

    def move(self, data: HostData) -> Batch:
        """The data on the model's device."""
        weight = None if data.weight is None else each(data.weight, lambda w: as_tensor(w, device=self.device))
        return Batch(self.moved(data.x, data.originals[0]), self.moved(data.y, data.originals[1]), weight)

    def moved(self, checked: Any, original: Any = None) -> Any:
        """The array on the device, or the Tensor it came from where that is there already; or each of several."""
        if isinstance(checked, Several):
            return checked.each(self.moved, original) if isinstance(original, Several) else checked.each(self.moved)
        in_place = isinstance(original, Tensor) and original.device == self.device
        if in_place and original.dtype == checked.dtype:
            return original.detach()
        return checked.moved(resolve(self.device))

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
        few = x[:2]
        try:
            with evaluating(self.model):
                output = self.model(self.moved(few))
        except ShapeError as error:
            raise ShapeError(f"{name} of shape {x.shape} does not fit the model: {error}") from error
        if isinstance(output, Several):
            return output.each(lambda part: self._shape_of(part, len(few)))
        if isinstance(output, Tensor) and output.ndim and output.shape[0] == len(few):
            check_outputs(self.loss, output)
        return self._shape_of(output, len(few))

    def _shape_of(self, output: Any, rows: int) -> tuple[int, ...]:
        if not isinstance(output, Tensor):
            raise TypeError(f"the model must return one Tensor, got {type(output).__name__}")
        if output.ndim == 0 or output.shape[0] != rows:
            raise ShapeError(
                f"the model returned shape {tuple(output.shape)} for {rows} samples; "
                "its first dimension must be the samples"
            )
        return tuple(output.shape[1:])

    # ---- batches ------------------------------------------------------------------------------------------

    def loader(
        self, batches: Iterable[Any], limit: int | None, where: str = "", by_class: bool = False
    ) -> IterableSource:
        """A source of batches that are checked as they come; all must have rows of one shape."""
        first: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

        def convert(item: Any, number: int) -> Batch | None:
            place = f" of batch {number}{where}"
            x, y, weight = unpack(item, place)
            rows = _row_shape(x), _row_shape(y)
            if len(x) == 0:
                warnings.warn(f"batch {number}{where} is empty and was skipped", stacklevel=2)
                return None
            first[:] = first or [rows]
            for name, shape, expected in zip("xy", rows, first[0], strict=True):
                if shape != expected:
                    raise ShapeError(
                        f"{name}{place} has rows of shape {shape}, those before had {expected}; "
                        "all batches must have rows of one shape"
                    )
            return self.move(self.checked(x, y, weight, place, by_class))

        return IterableSource(batches, convert, limit)


def _check_rows(sides: dict[str, Any]) -> None:
    """Raise DataError unless all that have rows have as many."""
    check_lengths(**{name: len(part) for name, part in named(**sides).items() if has_rows(part)})


def home(model: Module) -> tuple[Any, np.dtype[Any]]:
    """The device and floating-point dtype of the model: its first parameter's, or the defaults."""
    parameters: Iterator[Tensor] = (p for p in model.parameters() if p.is_floating_point())
    first = next(parameters, None)
    first = empty(0) if first is None else first
    return first.device, first.dtype


def has_rows(value: Any) -> bool:
    """Whether ``value`` has a first dimension."""
    return hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0


def unpack(item: Any, where: str) -> tuple[Any, Any, Any]:
    """One batch as (x, y, weight or None); raises DataError for anything but a pair or a triple."""
    if isinstance(item, (tuple, list)) and len(item) in (2, 3):
        x, y, *weight = item
        if has_rows(x) and has_rows(y):
            return x, y, weight[0] if weight else None
    kind = type(item).__name__ + (f" of {len(item)}" if isinstance(item, (tuple, list)) else "")
    raise DataError(f"the item{where} is a {kind}; expected (x, y) or (x, y, sample_weight) of arrays")


def check_first_layer(model: Module, shape: tuple[int, ...], name: str) -> None:
    """Refuse inputs that the Linear at the front of the model cannot take; other models speak for themselves."""
    first, flattened = first_linear(model, False)
    if first is None:
        return
    wanted = first.in_features
    given = math.prod(shape[1:]) if flattened else shape[-1]
    if len(shape) > 1 and given == wanted:
        return
    fix = ""
    if len(shape) == 1:
        fix = f": write {variable(name)}.reshape({'-1, 1' if wanted == 1 else '1, -1'})"
        fix = fix if wanted in (1, shape[0]) else ""
    elif math.prod(shape[1:]) == wanted:
        fix = f": write {variable(name)}.reshape(len({variable(name)}), -1), or put nn.Flatten() first"
    raise ShapeError(
        f"{name} has shape {tuple(shape)}; the model's first layer, {first!r}, expects {wanted} "
        f"feature{'' if wanted == 1 else 's'} per sample, shape {(shape[0], wanted)}{fix}"
    )


def first_linear(module: Module, flattened: bool) -> tuple[Linear | None, bool]:
    """The Linear that sees the model's input, and whether a Flatten stands before it; None where that is not plain."""
    if isinstance(module, Linear):
        return module, flattened
    if type(module) is Sequential:
        for child in module:
            if isinstance(child, Flatten):
                flattened = True
            elif not isinstance(child, (Dropout, Identity)):
                return first_linear(child, flattened)
    return None, flattened


def _row_shape(values: Any) -> tuple[int, ...]:
    """The shape of one entry of ``values``."""
    shape = values.shape if hasattr(values, "shape") else np.shape(values)
    return tuple(int(size) for size in shape[1:])
