"""Training data in scikit-learn's order: each epoch shuffles the order of the epoch before, by NumPy's generator.

So the same ``random_state`` makes the same batches here and there. Sparse rows become dense ones window by window.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.default_device import resolve
from nnkit.tensors.tensor import Tensor
from nnkit.training.batches import ArraySource, Batch
from nnkit.training.checked import Checked, HostData
from nnkit.training.fingerprint import fingerprint
from nnkit.training.streamed import WINDOW, StreamedSource

__all__ = ["dense_chunks", "is_sparse", "source_of"]


def is_sparse(X: Any) -> bool:
    """Whether these are SciPy's sparse rows."""
    return hasattr(X, "tocsr")


def dense_chunks(X: Any) -> Iterator[np.ndarray]:
    """The rows of ``X`` as dense arrays, some 64 megabytes at a time; a dense array as it is."""
    if not is_sparse(X):
        yield X
        return
    rows = max(WINDOW // max(X.shape[1] * X.dtype.itemsize, 1), 1)
    csr = X.tocsr()
    for start in range(0, X.shape[0], rows):
        yield csr[start : start + rows].toarray()


class _Drawn(ArraySource):
    """Orders from ``generator``; None: the rows as they come."""

    generator: np.random.RandomState | None

    def draw(self, number: int) -> tuple[np.ndarray | None, range]:
        _, self._part = self.part(number)
        if self.generator is not None:
            chosen = np.arange(self.rows)
            self.generator.shuffle(chosen)
            self._order = chosen if self._order is None else self._order[chosen]
        return self._order, self._part


class DrawnArrays(_Drawn):
    """Data that lie on the device."""

    def __init__(self, data: Batch, batch_size: int, generator: np.random.RandomState | None) -> None:
        super().__init__(data, batch_size)
        self.generator = generator


class DrawnStream(_Drawn, StreamedSource):
    """Data too large for the device."""

    def __init__(
        self, host: HostData, backend: Backend, batch_size: int, generator: np.random.RandomState | None
    ) -> None:
        StreamedSource.__init__(self, host, backend, batch_size)
        self.generator = generator


class SparseStream(_Drawn, StreamedSource):
    """Sparse rows, of which one window at a time is dense on the device."""

    def __init__(
        self, X: Any, others: list[np.ndarray], batch_size: int, generator: np.random.RandomState | None, device: Any
    ) -> None:
        self._sparse, self._others, self._backend = X.tocsr(), others, resolve(device)
        width = X.shape[1] * X.dtype.itemsize
        self.window = min(max(WINDOW // max(width * batch_size, 1), 1) * batch_size, X.shape[0])
        shapes = [(X.shape[1:], X.dtype), *((array.shape[1:], array.dtype) for array in others)]
        self._places = [self._backend.zeros((self.window, *shape), dtype) for shape, dtype in shapes]
        ArraySource.__init__(self, Batch(*(Tensor(place, self._backend) for place in self._places)), batch_size)
        self.rows, self.generator = X.shape[0], generator

    def fingerprint(self) -> dict[str, Any]:
        """The sparse rows as they are kept, targets and weights."""
        parts = {"x": self._sparse.data, "x's columns": self._sparse.indices, "x's rows": self._sparse.indptr}
        return fingerprint({**parts, **dict(zip(("y", "sample_weight"), self._others, strict=False))})

    def _at(self, rows: np.ndarray) -> list[np.ndarray]:
        """The rows, dense, with their targets and weights."""
        return [self._sparse[rows].toarray(), *(array[rows] for array in self._others)]

    def windows(self, number: int, step: int = 0) -> Iterator[int]:
        """Draw the order, then fill the window again and again; yields the rows that are in it."""
        order, part = self.draw(number)
        order = np.arange(self.rows) if order is None else order
        order = order[(part.start + step) * self.batch_size : part.stop * self.batch_size]
        for start in range(0, len(order), self.window):
            rows = order[start : start + self.window]
            for array, place in zip(self._at(rows), self._places, strict=True):
                self._backend.upload(array, place[: len(rows), ...])
            yield len(rows)

    def _gathered(self, batch: int) -> Batch:
        part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        rows = np.arange(self.rows)[part] if self._order is None else self._order[part]
        return Batch(*(as_tensor(array, device=self._backend.device) for array in self._at(rows)))


def source_of(
    X: Any, y: np.ndarray, weight: np.ndarray | None, batch_size: int, generator: np.random.RandomState | None,
    device: Any,
) -> ArraySource:  # fmt: skip
    """The batches of an epoch: X (n, features), dense or sparse, y and weight (n, ...), of the dtypes of the device."""
    others = [y] if weight is None else [y, weight]
    dense_bytes = X.shape[0] * X.shape[1] * X.dtype.itemsize
    if is_sparse(X) and dense_bytes > WINDOW:
        return SparseStream(X, others, batch_size, generator, device)
    X = X.toarray() if is_sparse(X) else X
    backend = resolve(device)
    if not backend.keeps(X.nbytes + sum(array.nbytes for array in others)):
        host = HostData(Checked(X, X.dtype), Checked(y, y.dtype), weight)
        return DrawnStream(host, backend, batch_size, generator)
    return DrawnArrays(Batch(*(as_tensor(array, device=device) for array in (X, *others))), batch_size, generator)
