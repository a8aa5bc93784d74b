"""Where a model begins: shape and dtype of what goes in. Definitions: ``keras.Input``, ``keras.layers.InputLayer``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit import get_default_dtype
from nnkit.keras.arguments import refuse
from nnkit.keras.layer import SameShape, Shape
from nnkit.keras.symbolic import KerasTensor, Node
from nnkit.tensors.tensor import Tensor

__all__ = ["Input", "InputLayer"]


class InputLayer(SameShape):
    """States the shape of what goes in; passes its input on unchanged.

    Args:
        shape: the shape without the batch size: ``(784,)``, ``(28, 28)``; ``input_shape`` is its older name.
        batch_size: a fixed batch size, or None.
        dtype: the kind of number, float32 unless given; whole numbers are used as places, by an Embedding.
        batch_shape: the shape with the batch size, in place of the two.
        name: a text that is unique in the model.
        sparse, ragged, input_tensor, optional: not supported; anything but False and None is refused.

    >>> from nnkit import keras
    >>> keras.Sequential([InputLayer((3,)), keras.layers.Dense(2)]).output_shape
    (None, 2)
    """

    def __init__(
        self, shape: Sequence[int | None] | None = None, batch_size: int | None = None, dtype: Any = None,
        sparse: Any = None, ragged: Any = None, batch_shape: Sequence[int | None] | None = None,
        input_tensor: Any = None, optional: Any = None, name: str | None = None, *,
        input_shape: Sequence[int | None] | None = None,
    ) -> None:  # fmt: skip
        refuse(
            "Input", sparse=sparse or None, ragged=ragged or None, input_tensor=input_tensor, optional=optional or None
        )
        shape = input_shape if shape is None else shape
        if batch_shape is not None:
            if shape is not None or batch_size is not None:
                raise ValueError("Input: batch_shape stands for shape and batch_size; pass it alone")
            batch_size, *sizes = batch_shape
            shape = sizes
        if shape is None:
            raise ValueError("Input needs the shape of one sample: Input(shape=(784,))")
        if isinstance(shape, int) or not all(size is None or isinstance(size, (int, np.integer)) for size in shape):
            raise ValueError(f"Input: shape must be a tuple of sizes and None, like (784,); got {shape!r}")
        if any(size is not None and size < 0 for size in shape):
            raise ValueError(f"Input: shape {tuple(shape)} has negative sizes; write None for a size that is not known")
        super().__init__(name=name, input_shape=shape)
        self.batch_shape: Shape = (batch_size, *shape)
        self._input_dtype = str(get_default_dtype()) if dtype is None else _dtype_name(dtype)
        self.built = True
        Node(self, (), {}, KerasTensor(self.batch_shape, self.dtype, self.name))

    @property
    def dtype(self) -> str:
        """The kind of number that goes in."""
        return self._input_dtype

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {
            "shape": list(self.batch_shape[1:]),
            "batch_size": self.batch_shape[0],
            "dtype": self.dtype,
            "name": self.name,
        }


def Input(
    shape: Sequence[int | None] | None = None, batch_size: int | None = None, dtype: Any = None, sparse: Any = None,
    ragged: Any = None, batch_shape: Sequence[int | None] | None = None, name: str | None = None, tensor: Any = None,
    optional: Any = None,
) -> Any:  # fmt: skip
    """A symbolic tensor, with which a model begins: ``x = Input(shape=(784,))``; see :class:`InputLayer`.

    It heads a Sequential model, too: ``Sequential([Input(shape=(784,)), Dense(10)])``.

    Raises ValueError without a shape, or for one that is no tuple of sizes and None. Source: ``keras.Input``.

    >>> Input(shape=(784,)).shape
    (None, 784)
    """
    if isinstance(tensor, KerasTensor):
        return tensor
    layer = InputLayer(shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name)
    return layer.output


def _dtype_name(dtype: Any) -> str:
    return dtype if isinstance(dtype, str) else str(np.dtype(dtype))
