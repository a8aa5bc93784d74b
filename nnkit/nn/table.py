"""The front of a network for tables: numbers as they are, and a learned vector for each value of some columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.nn.containers import ModuleList
from nnkit.nn.embedding import Embedding
from nnkit.nn.module import Module
from nnkit.tensors.tensor import Tensor

__all__ = ["TableInput"]


class TableInput(Module):
    """(B, numbers + columns) -> (B, numbers + the lengths of the vectors): the last columns are numbers of values.

    Args:
        numbers: columns at the front that pass as they are.
        categories: for each further column (how many values it has, length of a value's vector).

    With ``nnkit.preprocessing.Table``: ``nn.TableInput(*table.layout)``. Raises ShapeError for another number of
    columns. Source: Guo and Berkhahn (2016), Entity embeddings of categorical variables.

    Input is float32, and so is what comes.

    >>> import nnkit
    >>> TableInput(2, [(5, 3)])(nnkit.tensor([[0.5, -1.0, 4.0]])).shape
    (1, 5)
    """

    def __init__(self, numbers: int, categories: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__()
        self.numbers = numbers
        self.categories = [tuple(pair) for pair in categories]
        self.embeddings = ModuleList([Embedding(count, length) for count, length in self.categories])

    def forward(self, x: Tensor) -> Tensor:
        columns = self.numbers + len(self.categories)
        if x.ndim != 2 or x.shape[1] != columns:
            raise ShapeError(f"x must have shape (rows, {columns}), got {tuple(x.shape)}")
        if not self.categories:
            return x
        parts: list[Any] = [x[:, : self.numbers]] if self.numbers else []
        for place, embedding in enumerate(self.embeddings, start=self.numbers):
            parts.append(embedding(x[:, place].long()))
        return ops.concatenate(parts, 1)

    def extra_repr(self) -> str:
        """Shown between the brackets of ``repr``."""
        return f"{self.numbers}, {self.categories}"
