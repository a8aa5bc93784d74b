"""Tables of vectors for words, and steps that do not count."""

from __future__ import annotations

from typing import Any, Unpack

from nnkit import ops
from nnkit.keras import constraints, initializers, regularizers
from nnkit.keras.arguments import positive, refuse
from nnkit.keras.layer import Layer, LayerOptions, SameShape, Shape
from nnkit.keras.naming import configured
from nnkit.ops.embedding import check_rows
from nnkit.tensors.tensor import Tensor

__all__ = ["Embedding", "Masking"]


class Embedding(Layer):
    """Rows of a table by number: whole numbers (batch, …) from 0 to input_dim - 1 -> (batch, …, output_dim).

    Args:
        input_dim: how many rows there are.
        output_dim: the size of a row.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: names or objects.
        lora_rank: not supported; anything but None is refused.
        mask_zero: whether 0 stands for a step that does not count: the output carries a mask.
        weights: the table, an array (input_dim, output_dim), or a list of it.

    Raises IndexError for a number out of range. Source: ``keras.layers.Embedding``.

    >>> Embedding(10, 3)([[1, 2]]).shape
    (1, 2, 3)
    """

    supports_masking = True
    reads_whole_numbers = True

    def __init__(  # type: ignore[misc]  # here ``input_dim`` is another thing than the option of all layers
        self, input_dim: int, output_dim: int, embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None, embeddings_constraint: Any = None, mask_zero: bool = False,
        weights: Any = None, lora_rank: None = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        refuse("Embedding", lora_rank=lora_rank)
        self.input_dim = positive("Embedding", "input_dim", input_dim)
        self.output_dim = positive("Embedding", "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = bool(mask_zero)
        if weights is not None:
            self.build(())
            self.set_weights(weights if isinstance(weights, (list, tuple)) and len(weights) == 1 else [weights])

    def build(self, input_shape: Shape = ()) -> None:
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim), self.embeddings_initializer, regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint, name="embeddings",
        )  # fmt: skip

    def call(self, inputs: Tensor) -> Tensor:
        check_rows(inputs, self.input_dim, floats=True)
        return ops.embedding(self.embeddings, inputs.long(), checked=True)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return ops.ne(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": configured(self.embeddings_initializer),
            "embeddings_regularizer": configured(self.embeddings_regularizer),
            "embeddings_constraint": configured(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
        }


class Masking(SameShape):
    """Steps of (batch, steps, features) whose features are all ``mask_value`` do not count, and become 0.

    >>> Masking()([[[1.0], [0.0]]]).mask.tolist()
    [[True, False]]
    """

    supports_masking = True

    def __init__(self, mask_value: float = 0.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.mask_value = mask_value

    def call(self, inputs: Tensor) -> Tensor:
        there = ops.unsqueeze(self.compute_mask(inputs), -1)
        return inputs * there.to(inputs.dtype)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor:
        return ops.any(ops.ne(inputs, self.mask_value), -1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mask_value": self.mask_value}
