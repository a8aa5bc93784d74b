"""Arrays by name in one safetensors file: a JSON header, then the raw numbers.

The format holds no code, so a file can be opened without trusting its author. Every claim of
the header is still checked against the length of the file before memory is set aside, and a
file of another kind (a pickle, an HDF5 or zip archive) is refused by name.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from nnkit.backends.precision import is_half
from nnkit.errors import DtypeError, ModelFileError
from nnkit.io.files import PathLike, open_at_once, write_file
from nnkit.tensors.dtypes import as_dtype

__all__ = ["Weights", "load_weights", "save_weights"]

LONGEST_HEADER = 16 * 1024 * 1024
HIGHEST_RANK = 32
METADATA = "__metadata__"

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(kind)
    for name, kind in {
        "BOOL": "?",
        "U8": "<u1",
        "I8": "<i1",
        "U16": "<u2",
        "I16": "<i2",
        "F16": "<f2",
        "U32": "<u4",
        "I32": "<i4",
        "F32": "<f4",
        "U64": "<u8",
        "I64": "<i8",
        "F64": "<f8",
    }.items()
}
BFLOAT16 = "BF16"  # for which numpy needs another package, so it is no entry of the table
KNOWN = (*DTYPES, BFLOAT16)

FOREIGN = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras's .h5)"),
    (b"PK\x03\x04", "a zip archive (PyTorch's .pt, Keras's .keras, NumPy's .npz)"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"\x1f\x8b", "a gzip archive"),
    *((bytes([0x80, protocol]), "a pickle (PyTorch's old .pt, joblib, .pkl)") for protocol in range(1, 6)),
)


#: Of each array: its shape, and the name of its element type.
Layout = dict[str, tuple[tuple[int, ...], str]]


class _Header(NamedTuple):
    """What a file says about itself; ``size`` in bytes."""

    layout: Layout
    metadata: dict[str, str]
    size: int


class Weights(NamedTuple):
    """What a safetensors file holds."""

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def save_weights(path: PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Writes named arrays, and text about them, as the safetensors file ``path``.

    Arrays may have any memory layout and byte order; they are stored row by row, low byte
    first. The file replaces an older one in one step, or not at all (``OSError``).

    Raises ``DtypeError`` for elements that are not booleans, integers or real numbers, and ``ModelFileError`` for a
    header of more than 16 MB, which ``load_weights`` would refuse. They are of any shape. Source: nnkit's own.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(f"{folder}/w.safetensors", {"w": np.arange(6.0).reshape(2, 3).T})
    ...     load_weights(f"{folder}/w.safetensors").arrays["w"].tolist()
    [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    """
    import safetensors.numpy

    # safetensors 0.8.0 stores the wrong numbers for arrays that are not C-contiguous.
    plain = {_checked_name(name): _plain(name, array) for name, array in arrays.items()}
    content = safetensors.numpy.save(plain, metadata=dict(metadata) if metadata else None)
    header = int.from_bytes(content[:8], "little")
    if header > LONGEST_HEADER:
        raise ModelFileError(
            f"names and description take {header:,} bytes; a model file has room for {LONGEST_HEADER:,}"
        )
    write_file(path, content)


def load_weights(path: PathLike) -> Weights:
    """Reads a safetensors file: its arrays by name, writable, and its metadata.

    Raises ``ModelFileError`` for a file that is truncated, padded, contradicts itself or is of another kind, or holds
    bfloat16 where ml_dtypes is not installed, and ``OSError`` for one that cannot be read. No array is made before the
    whole header has been found true. Source: nnkit's own.

    >>> import tempfile
    >>> from nnkit import io, nn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     io.save({"w": nn.Linear(2, 1).weight}, f"{folder}/w.safetensors")
    ...     list(load_weights(f"{folder}/w.safetensors").arrays)
    ['w']
    """
    with opened(path) as file:
        return Weights(file.arrays(), file.metadata)


class WeightFile:
    """A safetensors file that is open: what its header says, found true; the numbers are read when asked for."""

    def __init__(self, path: PathLike, file: BinaryIO, header: _Header) -> None:
        self.path, self._file = path, file
        self.layout, self.metadata, self._size = header

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, writable. Raises ``ModelFileError`` where the file was changed since it was opened."""
        import safetensors

        self._file.seek(0)
        try:
            entries = safetensors.deserialize(self._file.read(self._size))
        except safetensors.SafetensorError as error:
            raise ModelFileError(f"{_name(self.path)} is not a valid safetensors file: {error}") from error
        arrays = {}
        for name, entry in entries:
            array = np.frombuffer(bytearray(entry["data"]), _type_of(entry["dtype"], self.path))
            arrays[name] = array.reshape(entry["shape"])
        return arrays


@contextlib.contextmanager
def opened(path: PathLike) -> Iterator[WeightFile]:
    """Opens a safetensors file and checks its header; raises as ``load_weights`` does."""
    with open(path, "rb", opener=open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError(f"{_name(path)} is not a regular file; expected a .safetensors file")
        length = _header_length(file.read(9), status.st_size, path)
        file.seek(8)
        yield WeightFile(path, file, _checked_header(file.read(length), status.st_size, path))


def _type_name(name: str) -> str:
    return "bfloat16" if name == BFLOAT16 else DTYPES[name].name


def _type_of(name: str, path: PathLike) -> np.dtype[Any]:
    if name != BFLOAT16:
        return DTYPES[name]
    try:
        return as_dtype("bfloat16")
    except ModuleNotFoundError as error:
        raise ModelFileError(f"{_name(path)} cannot be read here: {error}") from None


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.newbyteorder("<") not in DTYPES.values() and not is_half(array.dtype):
        raise DtypeError(
            f"array {name!r} has dtype {array.dtype}, which a model file cannot hold; convert it to a "
            "boolean, integer or floating type of at most 8 bytes"
        )
    # ascontiguousarray would turn a scalar into a vector.
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or name == METADATA:
        raise ModelFileError(f"expected a text other than {METADATA!r} as the name of an array, got {name!r}")
    return name


def _name(path: PathLike) -> str:
    return repr(os.fspath(path))


def _header_length(start: bytes, size: int, path: PathLike) -> int:
    """How long the header is, by the first bytes of a file of ``size`` bytes."""
    if size < 8:
        raise ModelFileError(f"{_name(path)} is truncated: {size} bytes have no room for the header's length")
    length = int.from_bytes(start[:8], "little")
    # A safetensors header can begin with the magic bytes of a pickle, so the brace decides first.
    if start[8:] != b"{" or length > LONGEST_HEADER:
        _refuse_foreign(start, path)
    if length > LONGEST_HEADER:
        raise ModelFileError(
            f"{_name(path)} claims a header of {length:,} bytes (the most is {LONGEST_HEADER:,}); "
            "it is damaged or no safetensors file"
        )
    if length > size - 8:
        raise ModelFileError(
            f"{_name(path)} is truncated (the header alone says {8 + length:,} bytes, the file has {size:,})"
        )
    if start[8:] != b"{":
        raise ModelFileError(f"{_name(path)} is no safetensors file: its header does not begin with a brace")
    return length


def _checked_header(header: bytes, size: int, path: PathLike) -> _Header:
    """Compares what the header says with the ``size`` of the file."""
    try:
        layout, metadata, data_size = _checked_entries(header)
    except ModelFileError as error:
        raise ModelFileError(f"{_name(path)}: {error}") from None
    expected = 8 + len(header) + data_size
    if size < expected:
        raise ModelFileError(f"{_name(path)} is truncated (the header says {expected:,} bytes, the file has {size:,})")
    if size > expected:
        raise ModelFileError(
            f"{_name(path)} has {size - expected:,} bytes more than its header describes ({expected:,})"
        )
    return _Header(layout, metadata, size)


def _refuse_foreign(start: bytes, path: PathLike) -> None:
    for magic, kind in FOREIGN:
        if start.startswith(magic):
            hint = "save the weights as .safetensors in the program that made them"
            if "Keras" in kind:
                raise ModelFileError(
                    f"{_name(path)} is {kind}. This function never opens these; nnkit.keras.models.load_model and "
                    f"model.load_weights read Keras's, nnkit.load PyTorch's; of others {hint}"
                )
            raise ModelFileError(
                f"{_name(path)} is {kind}. nnkit never opens these, because loading them can run code; {hint}"
            )


def _checked_entries(header: bytes) -> _Header:
    """What the header says, and how many bytes the tensors take; every entry is checked."""
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError:
        raise ModelFileError("the header is not UTF-8 text") from None
    entries = parse_object(text, "the header")
    metadata = entries.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ModelFileError("the metadata must map texts to texts")
    spans = sorted(_checked_entry(name, entry) for name, entry in entries.items())
    position = 0
    for begin, end in spans:
        if begin != position:
            raise ModelFileError(f"the tensors overlap or leave a hole at byte {min(begin, position):,}")
        position = end
    layout = {name: (tuple(entry["shape"]), _type_name(entry["dtype"])) for name, entry in entries.items()}
    return _Header(layout, metadata, position)


def _checked_entry(name: str, entry: object) -> tuple[int, int]:
    """Where the data of one tensor begin and end, after checking them against its shape."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ModelFileError(f"tensor {name!r} must have exactly dtype, shape and data_offsets")
    dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in KNOWN:
        raise ModelFileError(
            f"tensor {name!r} has element type {dtype!r}, which NumPy lacks; known: {', '.join(KNOWN)}"
        )
    if not _are_sizes(shape) or len(shape) > HIGHEST_RANK:
        raise ModelFileError(f"tensor {name!r} has an impossible shape {shape!r}"[:200])
    if not _are_sizes(span) or len(span) != 2:
        raise ModelFileError(f"tensor {name!r} has impossible data_offsets {span!r}"[:200])
    size = math.prod(shape) * (2 if dtype == BFLOAT16 else DTYPES[dtype].itemsize)
    if span[1] - span[0] != size:
        raise ModelFileError(
            f"tensor {name!r} of shape {tuple(shape)} and type {dtype} needs {size:,} bytes, "
            f"its data_offsets give {span[1] - span[0]:,}"
        )
    return span[0], span[1]


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**63 for size in value)


def parse_object(text: str, what: str) -> dict[str, Any]:
    """Reads a JSON object; refuses repeated keys, NaN, deep nesting and anything but an object."""
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except RecursionError:
        raise ModelFileError(f"{what} is nested too deeply") from None
    except ValueError as error:  # also JSONDecodeError, and numbers of 5,000 digits
        raise ModelFileError(f"{what} is not valid JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise ModelFileError(f"{what} must be a JSON object, got {type(value).__name__}")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"the name {name[:100]!r} is given twice")
        result[name] = value
    return result


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
