"""Rows of a table by number, whose gradient is some rows of the table's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.recording import recorder
from nnkit.errors import DtypeError, ShapeError
from nnkit.ops import shape
from nnkit.ops.choice import eq, where
from nnkit.ops.indexing import add_rows
from nnkit.tensors import dtypes
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import op
from nnkit.tensors.results import Asked, result, same_backend
from nnkit.tensors.tensor import Tensor


@op
def embedding(weight: Tensor, indices: Tensor, padding_idx: int | None = None, checked: bool = False) -> Tensor:
    """weight[indices]: weight (N, D), indices whole numbers from 0 to N - 1, result indices.shape + (D,).

    The gradient takes no more work than the rows that are used, whatever N is; ``padding_idx`` is the number of a row
    that gets none. Raises IndexError for an index out of range, unless ``checked`` says that the caller knows that
    there is none; DtypeError for other indices, ShapeError for another table. Source:
    ``torch.nn.functional.embedding``.

    >>> import nnkit
    >>> embedding(nnkit.tensor([[1.0], [2.0]]), nnkit.tensor([1, 1, 0])).tolist()
    [[2.0], [2.0], [1.0]]
    """
    if weight.ndim != 2:
        raise ShapeError(f"embedding: expected weight of shape (rows, features), got {weight.shape}")
    backend = same_backend("embedding", weight, indices)
    if not checked:
        check_rows(indices, weight.shape[0])
    (_, D), M = weight.shape, math.prod(indices.shape)
    numbers = backend.reshape(indices.to(dtypes.int64).array, (M,))
    out = backend.empty((*indices.shape, D), weight.dtype)
    backend.take_rows(weight.array, numbers, backend.reshape(out, (M, D)))

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        rows, kept = backend.empty((M, D), weight.dtype), backend.empty((M,), dtypes.int64)
        backend.copy(backend.reshape(dy, (M, D)), rows)  # both may change before an optimizer reads them
        backend.copy(numbers, kept)
        if padding_idx is not None:
            _without(backend, rows, kept, padding_idx)
        add_rows = getattr(into[0], "add_rows", None)
        if add_rows is not None:
            add_rows(kept, rows)
            return (None,)
        dx = backend.zeros(weight.shape, weight.dtype)
        backend.add_rows(rows, kept, dx)
        return (dx,)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        places, rows = Tensor(numbers, backend), shape.reshape(dy, (M, D))
        if padding_idx is not None:
            rows = where(eq(shape.reshape(places, (M, 1)), padding_idx), 0.0, rows)
        return (add_rows(rows, places, weight.shape),)

    return result("embedding", out, backend, (weight,), pullback, ((indices,),), rule)


def _without(backend: Backend, rows: Any, numbers: Any, padding_idx: int) -> None:
    """Set the rows of one number to 0."""
    one = backend.empty((1,), dtypes.int64)
    backend.fill(padding_idx, one)
    others = backend.empty((rows.shape[0], 1), dtypes.bool_)
    backend.map("not_equal", (backend.reshape(numbers, (rows.shape[0], 1)), one), (others,))
    backend.map("select", (others, rows, backend.zeros((), backend.dtype_of(rows))), (rows,))


def check_rows(indices: Tensor, count: int, floats: bool = False) -> None:
    """Raise IndexError for an index that is not from 0 to count - 1, now and in replays; ``floats`` may hold them."""
    if indices.dtype.kind not in ("iuf" if floats else "iu"):
        raise DtypeError(f"embedding: expected indices of whole numbers, got {indices.dtype}: use x.long()")
    backend, at_work = indices.backend, recorder()

    def test(array: Any) -> bool:
        host: np.ndarray = backend.to_numpy(array)
        if host.size and not (host.min() >= 0 and host.max() < count):
            wrong = host[~((host >= 0) & (host < count))][0]
            raise IndexError(f"embedding: index {wrong} is out of range for {count} rows: expected 0 to {count - 1}")
        return True

    if at_work is None:
        test(indices.array)
    else:
        at_work.check(indices.array, test)
