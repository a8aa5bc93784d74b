"""Whole numbers and numbers as categories: encoded, looked up, put into bins, hashed. Keras's arguments and results.

They read their inputs on the host, before a model or at its head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack
from zlib import crc32

import numpy as np

from nnkit.errors import LabelError, UnknownNameError
from nnkit.keras.arguments import positive, refuse
from nnkit.keras.layer import Layer, LayerOptions, Shape
from nnkit.keras.texts import StringLookup
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["CategoryEncoding", "Discretization", "HashedCrossing", "Hashing", "IntegerLookup"]

MODES = ("multi_hot", "one_hot", "count")


def _host(x: Any) -> np.ndarray:
    return np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x)


def _encoded(numbers: np.ndarray, count: int, mode: str, weights: Any = None) -> np.ndarray:
    """Class numbers as rows: one for each number, or one for those of a sample."""
    rows = np.zeros((*numbers.shape, count), np.float32)
    np.put_along_axis(rows, numbers[..., None], 1.0, -1)
    if mode == "one_hot":
        return rows[:, 0] if numbers.ndim > 1 and numbers.shape[-1] == 1 else rows
    if numbers.ndim == 0:
        return rows
    if mode == "multi_hot":
        return rows.max(-2)
    return rows.sum(-2) if weights is None else (rows * _host(weights)[..., None]).sum(-2)


class _Encoding(Layer):
    """A layer that reads numbers on the host and gives numbers or rows."""

    output_mode: str

    def _count(self) -> int | None:
        """How many categories there are."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.output_mode == "int":
            return tuple(input_shape)
        if self.output_mode == "one_hot" and input_shape[-1] != 1:
            return (*input_shape, self._count())
        return (*input_shape[:-1], self._count())


class CategoryEncoding(_Encoding):
    """Class numbers from 0 to ``num_tokens - 1`` as rows of ``num_tokens``.

    Args:
        num_tokens: how many classes there are.
        output_mode: "multi_hot" (which classes a sample has), "one_hot" (a row for each number) or "count".
        sparse: refused.

    >>> CategoryEncoding(4)([[0, 1], [3, 3]]).tolist()
    [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """

    def __init__(
        self, num_tokens: int | None = None, output_mode: str = "multi_hot", sparse: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        refuse("CategoryEncoding", sparse=sparse or None)
        self.num_tokens = positive("CategoryEncoding", "num_tokens", num_tokens)
        if output_mode not in MODES:
            raise UnknownNameError("output_mode", output_mode, MODES)
        self.output_mode = output_mode

    def call(self, inputs: Any, count_weights: Any = None) -> Tensor:
        numbers = _host(inputs).astype(np.int64)
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < self.num_tokens):
            raise LabelError(
                f"CategoryEncoding: expected numbers from 0 to {self.num_tokens - 1}; "
                f"got {numbers.min()} to {numbers.max()}"
            )
        return tensor(_encoded(numbers, self.num_tokens, self.output_mode, count_weights))

    def _count(self) -> int | None:
        return self.num_tokens

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_tokens": self.num_tokens, "output_mode": self.output_mode}


class Discretization(_Encoding):
    """Numbers as the numbers of the bins they are in.

    Args:
        bin_boundaries: where bins meet; or
        num_bins: how many bins :meth:`adapt` makes, of about as many numbers each.
        epsilon: taken, and without effect: the quantiles are those of all numbers.
        output_mode: "int", "one_hot", "multi_hot" or "count".
        sparse, dtype: sparse is refused.

    >>> Discretization(bin_boundaries=[0.0, 1.0, 2.0])([[-1.5, 1.0, 3.4, 0.5]]).tolist()
    [[0, 2, 3, 1]]
    """

    def __init__(
        self, bin_boundaries: Sequence[float] | None = None, num_bins: int | None = None, epsilon: float = 0.01,
        output_mode: str = "int", sparse: bool = False, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        refuse("Discretization", sparse=sparse or None)
        if (bin_boundaries is None) == (num_bins is None):
            raise ValueError("Discretization: give either bin_boundaries or num_bins")
        if output_mode not in ("int", *MODES):
            raise UnknownNameError("output_mode", output_mode, ("int", *MODES))
        self.bin_boundaries = None if bin_boundaries is None else sorted(float(b) for b in bin_boundaries)
        self.num_bins, self.epsilon, self.output_mode = num_bins, epsilon, output_mode

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Put the boundaries where they part ``data`` into bins of about as many numbers each."""
        if self.num_bins is None:
            raise ValueError("Discretization: adapt is for num_bins; this layer was given bin_boundaries")
        shares = np.arange(1, self.num_bins) / self.num_bins
        self.bin_boundaries = [float(b) for b in np.quantile(_host(data).astype(np.float64).reshape(-1), shares)]

    def call(self, inputs: Any) -> Tensor:
        if self.bin_boundaries is None:
            raise ValueError(f"Discretization {self.name!r} has no boundaries yet: call adapt(data) first")
        numbers = np.searchsorted(np.asarray(self.bin_boundaries), _host(inputs), "right")
        if self.output_mode == "int":
            return tensor(numbers.astype(np.int64))
        return tensor(_encoded(numbers, len(self.bin_boundaries) + 1, self.output_mode))

    def _count(self) -> int | None:
        return self.num_bins if self.bin_boundaries is None else len(self.bin_boundaries) + 1

    def get_config(self) -> dict[str, Any]:
        bins = {
            "bin_boundaries": self.bin_boundaries,
            "num_bins": self.num_bins if self.bin_boundaries is None else None,
        }
        return {**super().get_config(), **bins, "epsilon": self.epsilon, "output_mode": self.output_mode}


class IntegerLookup(StringLookup):
    """Whole numbers as their places in a vocabulary: first the mask, then numbers that are not known, then it.

    The arguments are those of ``StringLookup``, with ``mask_token=None`` and ``oov_token=-1``.

    >>> IntegerLookup(vocabulary=[12, 36, 1138, 42])([[12, 1138, 42], [42, 1000, 36]]).tolist()
    [[1, 3, 4], [4, 0, 2]]
    """

    def __init__(
        self, max_tokens: int | None = None, num_oov_indices: int = 1, mask_token: Any = None, oov_token: Any = -1,
        vocabulary: Any = None, vocabulary_dtype: str = "int64", idf_weights: None = None, invert: bool = False,
        output_mode: str = "int", sparse: bool = False, pad_to_max_tokens: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        known = None if vocabulary is None else [str(int(n)) for n in _host(vocabulary).reshape(-1)]
        super().__init__(
            max_tokens, num_oov_indices, None if mask_token is None else str(mask_token), str(oov_token), known,
            idf_weights, invert, output_mode, pad_to_max_tokens, sparse, **options,
        )  # fmt: skip

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        super().adapt(_host(data).reshape(-1).astype(np.int64).astype(str))

    def set_vocabulary(self, vocabulary: Any) -> None:
        super().set_vocabulary([str(int(n)) for n in vocabulary])

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        return [int(word) for word in super().get_vocabulary(include_special_tokens)]

    def forward(self, inputs: Any, *args: Any, **options: Any) -> Any:
        if self.invert:
            found = super().forward(inputs, *args, **options)
            return tensor(found.astype(np.int64))
        return super().forward(_host(inputs).astype(np.int64).astype(str), *args, **options)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("mask_token", "oov_token"):
            config[name] = None if config.get(name) is None else int(config[name])
        config["vocabulary"] = [int(word) for word in self.known] or None
        config.pop("encoding", None)
        return config


class Hashing(_Encoding):
    """Words or whole numbers as numbers from 0 to ``num_bins - 1``, by a hash: the same in every process.

    Which number one gets is nnkit's hash (CRC-32), not TensorFlow's. ``mask_value`` is 0, and nothing else is.

    Args:
        num_bins: how many numbers there are.
        mask_value: what is 0; None for nothing.
        salt: a whole number, or two, for another hash.
        output_mode: "int", "one_hot", "multi_hot" or "count".
        sparse: refused.

    >>> Hashing(3)([["A"], ["B"], ["A"]]).tolist()[0] == Hashing(3)([["A"]]).tolist()[0]
    True
    """

    def __init__(
        self, num_bins: int, mask_value: Any = None, salt: Any = None, output_mode: str = "int", sparse: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        refuse("Hashing", sparse=sparse or None)
        self.num_bins = positive("Hashing", "num_bins", num_bins)
        if output_mode not in ("int", *MODES):
            raise UnknownNameError("output_mode", output_mode, ("int", *MODES))
        self.mask_value, self.salt, self.output_mode = mask_value, salt, output_mode

    def forward(self, inputs: Any, *args: Any, **options: Any) -> Any:
        words = _host(inputs)
        texts = words.astype(str)
        bins = self.num_bins - (self.mask_value is not None)
        start = 0 if self.salt is None else crc32(repr(self.salt).encode())
        shift = int(self.mask_value is not None)
        found = np.array([crc32(text.encode(), start) % max(bins, 1) + shift for text in texts.reshape(-1)], np.int64)
        found = found.reshape(texts.shape)
        if self.mask_value is not None:
            found[texts == str(self.mask_value)] = 0
        return tensor(found if self.output_mode == "int" else _encoded(found, self.num_bins, self.output_mode))

    def _count(self) -> int | None:
        return self.num_bins

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("num_bins", "mask_value", "salt", "output_mode")}
        return {**super().get_config(), **own}


class HashedCrossing(_Encoding):
    """Several features together as one number from 0 to ``num_bins - 1``, by a hash; see :class:`Hashing`."""

    def __init__(
        self, num_bins: int, output_mode: str = "int", sparse: bool = False, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.num_bins, self.output_mode = num_bins, output_mode
        self.hashing = Hashing(num_bins, output_mode=output_mode, sparse=sparse)

    def forward(self, inputs: Any, *args: Any, **options: Any) -> Any:
        parts = [_host(part).astype(str) for part in inputs]
        joined = parts[0]
        for part in parts[1:]:
            joined = np.char.add(np.char.add(joined, "_X_"), part)
        return self.hashing(joined)

    def _count(self) -> int | None:
        return self.num_bins

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bins": self.num_bins, "output_mode": self.output_mode}
