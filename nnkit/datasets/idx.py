"""IDX, the format of the MNIST files: four bytes of kind, the sizes, then the numbers.

Byte 3 names the element type, byte 4 the number of dimensions; each size is a big-endian 32-bit
integer. What the header claims is compared with the file before memory is set aside for it.
Source: the MNIST page of LeCun, Cortes and Burges, "The IDX file format".
"""

from __future__ import annotations

import gzip
import math
import os
import stat
import zlib
from typing import BinaryIO, cast

import numpy as np

from nnkit.errors import DataError, DtypeError, ShapeError

__all__ = ["read_idx", "write_idx"]

DTYPES = {
    code: np.dtype(kind)
    for code, kind in {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}.items()
}
HIGHEST_RANK = 4
GZIP_MAGIC = b"\x1f\x8b"
# One byte of a gzip stream cannot become more than this many.
LARGEST_GZIP_RATIO = 1032
BLOCK = 1 << 20

PathLike = str | os.PathLike[str]


def read_idx(path: PathLike) -> np.ndarray:
    """The array in an IDX file, plain or gzipped, in the byte order of this machine.

    Raises ``DataError`` for a file of another format, one that is truncated, and one with bytes after the array;
    ``OSError`` where it cannot be read. Its shape and dtype are the file's. Source: the format of LeCun's MNIST, 1998.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "two-bytes")
    ...     size = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 6]))
    ...     read_idx(file).tolist()
    [5, 6]
    """
    name = repr(os.fspath(path))
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{name} is not a regular file; expected an IDX file")
        zipped = file.read(2) == GZIP_MAGIC
        file.seek(0)
        stored = status.st_size
        most = stored * LARGEST_GZIP_RATIO if zipped else stored
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if zipped else file
        try:
            return _read(stream, most, name)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{name} is a damaged gzip file: {error}") from error


def write_idx(path: PathLike, array: np.ndarray) -> None:
    """Writes ``array`` (1 to 4 dimensions) as an IDX file, gzipped where the name ends in ``.gz``.

    Raises ``DtypeError`` for element types that IDX lacks, ``ShapeError`` for other ranks. Source: the format of
    LeCun's MNIST, 1998.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_idx(f"{folder}/a.gz", np.array([[1, 2], [3, 4]], np.uint8))
    ...     read_idx(f"{folder}/a.gz").tolist()
    [[1, 2], [3, 4]]
    """
    array = np.asarray(array)
    code = next((code for code, kind in DTYPES.items() if kind == array.dtype.newbyteorder(">")), None)
    if code is None:
        raise DtypeError(f"an IDX file holds uint8, int8, int16, int32, float32 or float64, got {array.dtype}")
    if not 1 <= array.ndim <= HIGHEST_RANK or max(array.shape) >= 2**32:
        raise ShapeError(f"an IDX file holds arrays of 1 to {HIGHEST_RANK} dimensions, got shape {array.shape}")
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(DTYPES[code]).tobytes()
    if os.fspath(path).endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    with open(path, "wb") as file:
        file.write(content)


def _open_at_once(path: str, flags: int) -> int:
    # Without O_NONBLOCK a named pipe would make the program wait for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(stream: BinaryIO, most: int, name: str) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES:
        raise DataError(f"{name} is no IDX file: it begins with the bytes {magic!r}")
    dtype, rank = DTYPES[magic[2]], magic[3]
    if not 1 <= rank <= HIGHEST_RANK:
        raise DataError(f"{name} claims {rank} dimensions; expected 1 to {HIGHEST_RANK}")
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(f"{name} is truncated inside its header")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    length = math.prod(shape) * dtype.itemsize
    if 4 + 4 * rank + length > most:
        raise DataError(f"{name} is truncated: shape {shape} needs {length:,} bytes, the file cannot hold them")
    content = _read_at_most(stream, length + 1)
    if len(content) != length:
        fault = "is truncated" if len(content) < length else "has bytes after its array"
        raise DataError(f"{name} {fault}: shape {shape} of {dtype.name} takes {length:,} bytes")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_at_most(stream: BinaryIO, count: int) -> bytearray:
    """Up to ``count`` bytes; memory grows with what arrives, not with what was claimed."""
    content = bytearray()
    while len(content) < count and (block := stream.read(min(BLOCK, count - len(content)))):
        content += block
    return content
