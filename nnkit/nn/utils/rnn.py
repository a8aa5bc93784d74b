"""Batches of sequences of several lengths: padded, or packed step by step without the padding. PyTorch's names.

A packed batch holds, for each step, the rows of the sequences that are that long, the longest sequence first; which
places those are is decided on the host. A recorded step holds for the lengths that it was recorded with.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit import ops
from nnkit.backends.recording import recorder
from nnkit.errors import ShapeError
from nnkit.tensors.creation import full, tensor
from nnkit.tensors.tensor import Tensor

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence",
    "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


class PackedSequence(NamedTuple):
    """The rows of all sequences, step after step, the longest sequence first in each.

    Made by ``pack_padded_sequence`` and ``pack_sequence``. ``data`` (rows, ...); ``batch_sizes`` int64 (T,), how many
    sequences have each step; ``sorted_indices`` int64 (B,), the number of each sequence before they were sorted, and
    ``unsorted_indices`` where it is now; both None where the caller sorted them.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **options: Any) -> PackedSequence:
        """The data on another device or of another type."""
        data = self.data.to(*args, **options)
        here = [None if t is None else t.to(data.device) for t in (self.sorted_indices, self.unsorted_indices)]
        return PackedSequence(data, self.batch_sizes, *here)

    def cpu(self) -> PackedSequence:
        """The data on the CPU."""
        return self.to("cpu")

    def cuda(self) -> PackedSequence:
        """The data on the NVIDIA GPU."""
        return self.to("cuda")

    def float(self) -> PackedSequence:
        """The data as float32."""
        return self._replace(data=self.data.float())

    def double(self) -> PackedSequence:
        """The data as float64."""
        return self._replace(data=self.data.double())


def on_host(values: Any, name: str) -> list[int]:
    """Whole numbers as a list. A tensor's are read, and a recorded step holds while they are the same.

    >>> on_host(tensor([3, 1]), "lengths")
    [3, 1]
    """
    if not isinstance(values, Tensor):
        return [operator.index(value) for value in values]
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ShapeError(f"{name}: expected whole numbers along one axis, got shape {values.shape} of {values.dtype}")
    at_work, array, backend = recorder(), values.array, values.backend

    def read() -> list[int]:
        found: list[int] = backend.to_numpy(array).tolist()
        return found

    if at_work is None:
        return read()
    at_work.touch(values)
    found: list[int] = at_work.rely_on(array, read)
    return found


class Places(NamedTuple):
    """Where the rows of a packed batch lie in a padded one (T, B, ...), and the other way round."""

    rows: np.ndarray  # for each packed row its place among the T B padded ones
    packed: np.ndarray  # (T, B): the packed row of each place, 0 where there is none
    there: np.ndarray  # (T, B): whether there is one


def places(batch_sizes: Sequence[int], steps: int | None = None) -> Places:
    """The places of a packed batch.

    >>> [part.tolist() for part in places([2, 1])]
    [[0, 1, 2], [[0, 1], [2, 0]], [[True, True], [True, False]]]
    """
    sizes = np.array([*batch_sizes, *[0] * ((steps or 0) - len(batch_sizes))], np.int64)
    there = np.arange(sizes.max(initial=0)) < sizes[:, None]
    rows = np.flatnonzero(there)
    packed = np.zeros(there.shape, np.int64)
    packed[there] = np.arange(len(rows))
    return Places(rows, packed, there)


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Where each number stands in a permutation of 0 to n - 1; None of None.

    A vector of int64, and so is the result. Raises TypeError for what are no whole numbers. As
    ``torch.nn.utils.rnn.invert_permutation``.

    >>> invert_permutation(tensor([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    if permutation is None:
        return None
    order = on_host(permutation, "permutation")
    return tensor(np.argsort(order, kind="stable"), device=permutation.device)


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs a padded batch (T, B, ...), or (B, T, ...) where ``batch_first``.

    Args:
        lengths: of the sequences, 1 to T, in a list or a tensor.
        enforce_sorted: they are longest first; otherwise they are sorted here.

    Raises ValueError for lengths of 0 or less, beyond T, or not sorted; ShapeError for another number of them. Source:
    ``torch.nn.utils.rnn.pack_padded_sequence``. The numbers are of any dtype.

    >>> packed = pack_padded_sequence(tensor([[1.0, 3.0], [2.0, 0.0]]), [2, 1])
    >>> packed.data, packed.batch_sizes.tolist()
    (tensor([1., 3., 2.]), [2, 1])
    """
    sizes = on_host(lengths, "lengths")
    axes = (1, 0) if batch_first else (0, 1)
    if input.ndim < 2:
        raise ShapeError(f"pack_padded_sequence: expected an input of two axes at least, got shape {input.shape}")
    T, B = (input.shape[axis] for axis in axes)
    _check_lengths(sizes, T, B)
    order = sorted(range(B), key=lambda b: -sizes[b])
    if enforce_sorted and any(sizes[b] < sizes[b + 1] for b in range(B - 1)):
        raise ValueError(
            f"lengths must be sorted, longest first, got {sizes}: sort the batch, or pass enforce_sorted=False"
        )
    device = input.device
    kept = None if enforce_sorted else tensor(np.array(order, np.int64), device=device)
    batch_sizes = [sum(size > t for size in sizes) for t in range(max(sizes))]
    found = places(batch_sizes, T)
    t, b = np.divmod(found.rows, B)
    b = b if enforce_sorted else np.array(order)[b]
    rows = b * T + t if batch_first else t * B + b
    flat = ops.reshape(input, (T * B, *input.shape[2:]))
    data = ops.take_rows(flat, tensor(rows, device=device), checked=True)
    return PackedSequence(data, tensor(np.array(batch_sizes)), kept, None if kept is None else _inverse(order, device))


def _inverse(order: Sequence[int], device: Any) -> Tensor:
    return tensor(np.argsort(order, kind="stable"), device=device)


def _check_lengths(sizes: Sequence[int], T: int, B: int) -> None:
    if len(sizes) != B:
        raise ShapeError(f"lengths: expected {B}, one for each sequence, got {len(sizes)}")
    for number, size in enumerate(sizes):
        if not 1 <= size <= T:
            raise ValueError(f"lengths[{number}] must be from 1 to the {T} steps of the input, got {size}")


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The padded batch (T, B, ...), or (B, T, ...) where ``batch_first``, and the lengths, int64 (B,) on the CPU.

    The sequences are in the order that they were packed in. T is ``total_length`` where given; ValueError where that is
    less than the longest. Source: ``torch.nn.utils.rnn.pad_packed_sequence``. It raises nothing else.

    >>> packed = pack_padded_sequence(tensor([[1.0, 3.0], [2.0, 0.0]]), [2, 1])
    >>> pad_packed_sequence(packed, padding_value=9.0)[0]
    tensor([[1., 3.],
            [2., 9.]])
    """
    sizes = on_host(sequence.batch_sizes, "batch_sizes")
    if total_length is not None and total_length < len(sizes):
        raise ValueError(f"total_length must be at least {len(sizes)}, the longest sequence, got {total_length}")
    found = places(sizes, total_length)
    order = None if sequence.unsorted_indices is None else on_host(sequence.unsorted_indices, "unsorted_indices")
    lengths = found.there.sum(axis=0)
    if order is not None:
        found = Places(found.rows, found.packed[:, order], found.there[:, order])
        lengths = lengths[order]
    data = sequence.data
    packed, there = (found.packed.T, found.there.T) if batch_first else (found.packed, found.there)
    return padded(data, packed, there, padding_value), tensor(lengths)


def padded(data: Tensor, packed: np.ndarray, there: np.ndarray, value: float = 0.0) -> Tensor:
    """Packed rows at their places of a padded batch; ``value`` where there are none."""
    taken = ops.take_rows(data, tensor(np.ascontiguousarray(packed), device=data.device), checked=True)
    if there.all():
        return taken
    mask = tensor(there.reshape(*there.shape, *(1,) * (data.ndim - 1)), device=data.device)
    return ops.where(mask, taken, full((), value, dtype=data.dtype, device=data.device))


def pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences (T_b, ...) as one padded batch (T, B, ...), or (B, T, ...) where ``batch_first``; T is the longest.

    Raises ValueError for no sequences and for another side than "right" or "left". Source:
    ``torch.nn.utils.rnn.pad_sequence``. They are of one dtype.

    >>> pad_sequence([tensor([1.0, 2.0]), tensor([3.0])], batch_first=True)
    tensor([[1., 2.],
            [3., 0.]])
    """
    if padding_side not in ("right", "left"):
        raise ValueError(f"padding_side must be 'right' or 'left', got {padding_side!r}")
    sequences = list(sequences)
    if not sequences:
        raise ValueError("pad_sequence: expected at least one sequence")
    longest = max(len(sequence) for sequence in sequences)
    rows = []
    for sequence in sequences:
        left = longest - len(sequence)
        if left:
            filled = full((left, *sequence.shape[1:]), padding_value, dtype=sequence.dtype, device=sequence.device)
            sequence = ops.cat([sequence, filled] if padding_side == "right" else [filled, sequence])
        rows.append(sequence)
    return ops.stack(rows, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False
) -> list[Tensor]:
    """The sequences of a padded batch without their padding: the first ``lengths[b]`` steps of each.

    The batch is (T, B, ...), or (B, T, ...) where ``batch_first``, of any dtype. Raises AttributeError for a batch that
    is no Tensor. As ``torch.nn.utils.rnn.unpad_sequence``.

    >>> [part.tolist() for part in unpad_sequence(tensor([[1.0, 2.0], [3.0, 0.0]]), [2, 1], batch_first=True)]
    [[1.0, 2.0], [3.0]]
    """
    sizes = on_host(lengths, "lengths")
    rows = padded_sequences if batch_first else ops.transpose(padded_sequences, 0, 1)
    return [rows[number, :size] for number, size in enumerate(sizes)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs sequences (T_b, ...); see ``pack_padded_sequence``.

    Tensors of one dtype. Raises ValueError for no sequences, and for some that are not sorted, longest first. As
    ``torch.nn.utils.rnn.pack_sequence``.

    >>> pack_sequence([tensor([1.0, 2.0]), tensor([3.0])]).data
    tensor([1., 3., 2.])
    """
    lengths = [len(sequence) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch, in the order that they were packed in.

    Each has shape (T_b, ...) and the dtype of the batch. Raises AttributeError for what is not packed. As
    ``torch.nn.utils.rnn.unpack_sequence``.

    >>> [part.tolist() for part in unpack_sequence(pack_sequence([tensor([1.0, 2.0]), tensor([3.0])]))]
    [[1.0, 2.0], [3.0]]
    """
    rows, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(rows, lengths, batch_first=True)
