"""What Keras forgives in data and nnkit's core does not, settled before the core sees them.

A model without weights yet is built for the data's shape. Targets are brought into the shape of the output, and
class numbers that came as floats become integers. Arrays, datasets, loaders and generators are served alike;
everything else about the data is checked by the core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from nnkit.errors import DataError, ShapeError
from nnkit.keras.layer import Shape
from nnkit.keras.shapes import as_labels, matched
from nnkit.keras.sides import inputs_side
from nnkit.tensors.tensor import Tensor
from nnkit.training.kinds import yields_batches
from nnkit.utils.data import DataLoader, Dataset, TensorDataset

__all__ = ["Pairing", "first_inputs"]


def first_inputs(x: Any, y: Any) -> tuple[Any, Any]:
    """The first inputs in ``x`` (all of them, for an array), and ``x``, from which nothing is lost.

    Raises:
        DataError: ``x`` yields nothing.
    """
    if isinstance(x, TensorDataset):
        return x.tensors[0], x
    if isinstance(x, Dataset):
        item: Any = next(iter(DataLoader(x, batch_size=1)), None)
    elif yields_batches(x, y):
        item = next(iter(x), None)
        x = chain([item], x) if isinstance(x, Iterator) else x
    else:
        return x, x
    if item is None:
        raise DataError("the data yielded no batch; expected at least one (x, y)")
    return item[0] if isinstance(item, (tuple, list)) else item, x


class Pairing:
    """Brings targets into the shape that goes with a model's output.

    Args:
        output_shape: the shape of the output, batch size first.
        target_kind: what the loss wants: "values", "one-hot" rows or "labels" (class numbers).
        model: the model, which knows which lists are several inputs.
    """

    def __init__(self, output_shape: Shape, target_kind: str, model: Any) -> None:
        self.output_shape = output_shape
        self.target_kind = target_kind
        self.model = model

    def target(self, y: Any) -> Any:
        """One array of targets; what is no array of numbers is left for the core to refuse.

        Raises:
            ShapeError: class numbers where one-hot rows are wanted, or the other way round.
        """
        if y is None:
            return None
        array = y if isinstance(y, (Tensor, np.ndarray)) else np.asarray(y)
        if self.target_kind != "labels":
            values = matched(array, self.output_shape)
            if self.target_kind == "one-hot" and values.ndim < len(self.output_shape):
                raise ShapeError(
                    f"y has shape {tuple(array.shape)}, class numbers; categorical_crossentropy wants one-hot rows of "
                    f"shape {(len(array), *self.output_shape[1:])}: write y = utils.to_categorical(y), or use "
                    "sparse_categorical_crossentropy"
                )
            if self.target_kind == "one-hot" and values.shape[1:] != self.output_shape[1:]:
                raise ShapeError(
                    f"y has shape {tuple(array.shape)}, but the model puts out {self.output_shape[-1]} scores per "
                    f"sample: categorical_crossentropy wants one-hot rows {(len(array), *self.output_shape[1:])}"
                )
            return values
        labels = as_labels(array, self.output_shape)
        if labels.ndim == len(self.output_shape):
            raise ShapeError(
                f"y has shape {tuple(array.shape)}; sparse_categorical_crossentropy wants class numbers of shape "
                f"({len(array)},): for one-hot rows use categorical_crossentropy"
            )
        if isinstance(labels, Tensor):
            return labels.long() if labels.is_floating_point() else labels
        whole = labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == np.rint(labels)).all()
        return labels.astype(np.int64) if whole else labels

    def inputs(self, x: Any) -> Any:
        """One array of inputs, or several side by side."""
        return inputs_side(self.model, x)

    def weight(self, weight: Any, rows: int) -> Any:
        """The weights of ``rows`` samples; they may be called by the output's name."""
        if isinstance(weight, Mapping) and len(weight) == 1:
            weight = next(iter(weight.values()))
        return weight

    def data(self, x: Any, y: Any, batch_size: int, shuffle: bool = False) -> tuple[Any, Any]:
        """The two data arguments of ``fit``."""
        if isinstance(x, TensorDataset) and y is None and len(x.tensors) == 2:
            x, y = x.tensors
        if not yields_batches(x, y):
            return self.inputs(x), self.target(y)
        if isinstance(x, Dataset):
            x = DataLoader(x, batch_size=batch_size, shuffle=shuffle)
        return (map(self._item, x) if isinstance(x, Iterator) else _Mapped(x, self._item)), None

    def validation(self, data: Any, batch_size: int) -> Any:
        """The argument ``validation_data``."""
        if data is None:
            return None
        in_batches = not isinstance(data, (tuple, dict)) and yields_batches(data, None)
        if isinstance(data, (tuple, list)) and len(data) in (2, 3) and not in_batches:
            return self._item(data)
        x, y = self.data(data, None, batch_size)
        return x if y is None else (x, y)

    def _item(self, item: Any) -> Any:
        if isinstance(item, (tuple, list)) and len(item) in (2, 3):
            x, y, *weight = item
            x, y = self.inputs(x), self.target(y)
            return (x, y, *(self.weight(own, len(x)) for own in weight))
        return item


class _Mapped:
    """``function`` of each item of an iterable that can be read again."""

    def __init__(self, items: Iterable[Any], function: Callable[[Any], Any]) -> None:
        self.items = items
        self.function = function

    def __iter__(self) -> Iterator[Any]:
        return map(self.function, self.items)

    def __len__(self) -> int:
        return len(self.items)  # type: ignore[arg-type]
