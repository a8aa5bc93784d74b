"""Sequences: padded to one length, and cut out of long series. Definitions: ``keras.utils``."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.keras.batched import Batched

__all__ = ["pad_sequences", "timeseries_dataset_from_array"]


def pad_sequences(
    sequences: Any, maxlen: int | None = None, dtype: Any = "int32", padding: str = "pre", truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:  # fmt: skip
    """Sequences of unequal length as one array (n, maxlen, ...).

    Args:
        sequences: a list of sequences of numbers, or of arrays (steps, ...).
        maxlen: the length; that of the longest where None.
        dtype: the type of the result.
        padding: where ``value`` is put: "pre", in front, or "post".
        truncating: where longer ones are cut: "pre" or "post".
        value: what is put there.

    Raises ValueError for what is no sequence, or of another shape than the first.

    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2).tolist()
    [[0, 1], [2, 3], [5, 6]]
    """
    for name, given in (("padding", padding), ("truncating", truncating)):
        if given not in ("pre", "post"):
            raise ValueError(f"pad_sequences: {name} must be 'pre' or 'post'; got {given!r}")
    if not hasattr(sequences, "__len__"):
        raise ValueError("pad_sequences: sequences must be a list of sequences")
    lengths = [_length(sequence) for sequence in sequences]
    shape = next((np.asarray(s).shape[1:] for s, n in zip(sequences, lengths, strict=True) if n), ())
    longest = max(lengths, default=0) if maxlen is None else maxlen
    kind = np.dtype(object if dtype in (str, "str") else dtype)
    if isinstance(value, str) and kind.kind != "O" and not np.issubdtype(kind, np.str_):
        raise ValueError(f"pad_sequences: value {value!r} does not go with dtype {dtype!r}; use dtype=object")
    found = np.full((len(lengths), longest, *shape), value, kind)
    for row, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
        if not length or not longest:
            continue
        part = np.asarray(sequence[-longest:] if truncating == "pre" else sequence[:longest], dtype=kind)
        if part.shape[1:] != shape:
            raise ValueError(f"pad_sequences: sequence {row} has steps of shape {part.shape[1:]}, expected {shape}")
        place = slice(longest - len(part), None) if padding == "pre" else slice(0, len(part))
        found[row, place] = part
    return found


def _length(sequence: Any) -> int:
    if not hasattr(sequence, "__len__"):
        raise ValueError(f"pad_sequences: sequences must be a list of sequences; it holds {sequence!r}")
    return len(sequence)


class _Windows(Batched):
    """Windows of a series, and what belongs to each."""

    def __init__(self, data: Any, targets: Any, offsets: np.ndarray, starts: np.ndarray, **options: Any) -> None:
        super().__init__(len(starts), **options)
        self.data, self.targets, self.offsets, self.starts = data, targets, offsets, starts

    def rows(self, places: np.ndarray) -> Any:
        starts = self.starts[places]
        windows = self.data[starts[:, None] + self.offsets[None, :]]
        return windows if self.targets is None else (windows, self.targets[starts])


def timeseries_dataset_from_array(
    data: Any, targets: Any, sequence_length: int, sequence_stride: int = 1, sampling_rate: int = 1,
    batch_size: int | None = 128, shuffle: bool = False, seed: int | None = None, start_index: int | None = None,
    end_index: int | None = None, format: str = "tf",
) -> Batched:  # fmt: skip
    """Windows of a series in batches: for ``fit``, or to loop over.

    Args:
        data: the series (steps, ...).
        targets: what belongs to the window that begins at each step, or None.
        sequence_length: the steps in a window.
        sequence_stride: from one window's beginning to the next one's.
        sampling_rate: from one step of a window to the next.
        batch_size: windows in a batch; None for one at a time.
        shuffle, seed: whether in random order, and how.
        start_index, end_index: the part of the series to use.
        format: taken, and without effect.

    Raises ValueError for numbers out of range. Source: ``keras.utils.timeseries_dataset_from_array``.

    >>> [x.tolist() for x, y in timeseries_dataset_from_array(list(range(6)), [0, 10, 20, 30, 40, 50], 3, batch_size=2)]
    [[[0, 1, 2], [1, 2, 3]], [[2, 3, 4], [3, 4, 5]]]
    """
    series = np.asarray(data)
    numbers = {"sequence_length": sequence_length, "sequence_stride": sequence_stride, "sampling_rate": sampling_rate}
    for name, given in numbers.items():
        if not 0 < given < len(series):
            raise ValueError(f"{name} must be from 1 to {len(series) - 1}, below the length of data; got {given}")
    for name, place in (("start_index", start_index), ("end_index", end_index)):
        if place is not None and not 0 <= place <= len(series) - (name == "start_index"):
            raise ValueError(f"{name} must be from 0 to less than the length of data; got {place}")
    first, last = start_index or 0, len(series) if end_index is None else end_index
    series = series[first:last]
    limit = len(series) - (sequence_length - 1) * sampling_rate
    wanted = None if targets is None else np.asarray(targets)[first:]
    limit = limit if wanted is None else min(limit, len(wanted))
    starts = np.arange(0, max(limit, 0), sequence_stride)
    offsets = np.arange(sequence_length) * sampling_rate
    return _Windows(series, wanted, offsets, starts, batch_size=batch_size, shuffle=shuffle, seed=seed)
