"""Reading the files that Keras's data sets come in, without running what they bring.

Some are pickles of arrays and lists: they are read by an unpickler that knows these and nothing else.
"""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from nnkit.datasets.fetch import Source, locate
from nnkit.errors import DataError

__all__ = [
    "FOLDER", "Split", "found", "from_tar", "listed", "pickled", "shares", "short", "shuffled", "table", "unpickled",
    "words",
]  # fmt: skip

Split = tuple[np.ndarray, np.ndarray]
#: Where Keras keeps its data sets.
FOLDER = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
#: What a pickle of arrays names.
KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"), ("numpy", "ndarray"),
    ("numpy", "dtype"), ("_codecs", "encode"),
}  # fmt: skip


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise DataError(f"the file names {module}.{name}; a data set holds arrays and lists alone")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def unpickled(data: bytes, **options: Any) -> Any:
    """What a pickle of arrays, lists, dicts, numbers and texts holds. Raises DataError for anything else.

    >>> unpickled(pickle.dumps({"a": [1, 2]}))
    {'a': [1, 2]}
    """
    return _Arrays(io.BytesIO(data), **options).load()


def found(source: Source, path: str | os.PathLike[str] | None) -> Path:
    """The one file of a data set: ``path`` itself where that is a file, or in that folder, or in the cache."""
    name = next(iter(source.checksums))
    if path is not None and Path(path).expanduser().is_file():
        return Path(path).expanduser()
    folder = path if path is not None and Path(path).expanduser().is_dir() else None
    return locate(source, folder)[name]


def pickled(file: Path, *members: str) -> list[np.ndarray]:
    """Arrays of lists in an .npz file."""
    with zipfile.ZipFile(file) as archive:
        return [_array(archive.read(f"{member}.npy")) for member in members]


def _array(data: bytes) -> np.ndarray:
    """What an .npy file holds, of numbers or of lists."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        return np.asarray(unpickled(data[stream.tell() :], encoding="latin1"), dtype=object).reshape(shape)
    return np.load(io.BytesIO(data), allow_pickle=False)


def from_tar(file: Path, *members: str) -> list[bytes]:
    """Files in a tar archive."""
    with tarfile.open(file) as archive:
        opened = [archive.extractfile(member) for member in members]
        return [one.read() for one in opened if one is not None]


def shuffled(seed: int | None, *arrays: np.ndarray) -> list[np.ndarray]:
    """Rows of several arrays in one random order, which is NumPy's of older days, as Keras's."""
    order = np.arange(len(arrays[0]))
    np.random.RandomState(seed).shuffle(order)
    return [array[order] for array in arrays]


def shares(x: Any, y: np.ndarray, test_split: float) -> tuple[Split, Split]:
    """The first rows for training, the last for testing. Raises ValueError for a share out of range."""
    if not 0 <= test_split < 1:
        raise ValueError(f"test_split must be a number from 0 to less than 1; got {test_split!r}")
    cut = int(len(x) * (1 - test_split))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def table(source: Source, path: Any, test_split: float, seed: int | None, rows: int | None = None) -> Any:
    """Training and test rows of an .npz file with x and y."""
    if not 0 <= test_split < 1:
        raise ValueError(f"test_split must be a number from 0 to less than 1; got {test_split!r}")
    with np.load(found(source, path), allow_pickle=False) as held:
        x, y = held["x"][:rows], held["y"][:rows]
    x, y = shuffled(seed, x, y)
    return shares(x, y, test_split)


def words(
    xs: list[Any], num_words: int | None, skip_top: int, oov_char: int | None, start_char: int | None, index_from: int
) -> list[list[int]]:  # fmt: skip
    """Numbers of words moved by ``index_from``, after ``start_char``; rare and too common ones as ``oov_char``."""
    if start_char is not None:
        xs = [[start_char, *(w + index_from for w in x)] for x in xs]
    else:
        xs = [[w + (index_from or 0) for w in x] for x in xs]
    most = num_words or max(max(x) for x in xs)
    if oov_char is not None:
        return [[w if skip_top <= w < most else oov_char for w in x] for x in xs]
    return [[w for w in x if skip_top <= w < most] for x in xs]


def listed(rows: list[list[int]]) -> np.ndarray:
    """Lists of unequal length as an array of objects."""
    array = np.empty(len(rows), dtype=object)
    for k, row in enumerate(rows):
        array[k] = row
    return array


def short(maxlen: int | None, xs: Any, labels: np.ndarray, more: int) -> tuple[list[Any], np.ndarray]:
    """The sequences that are shorter than ``maxlen``, of which ``more`` numbers come to stand in front."""
    if not maxlen:
        return list(xs), labels
    kept = [k for k, x in enumerate(xs) if len(x) + more < maxlen]
    if not kept:
        raise ValueError(f"no sequence is shorter than maxlen={maxlen}: use a larger one")
    return [xs[k] for k in kept], labels[kept]
