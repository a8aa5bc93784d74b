"""PyTorch's files, ``.pt`` and ``.pth``: read without running anything, both the zip archives and the older format.

A file holds a pickle, whose tensors name storages, and the raw bytes of these. A tensor is a window of a storage:
offset, sizes, strides. Every window is compared with its storage, and all tensors together with the size of the file,
before memory is set aside.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from nnkit.backends import Device
from nnkit.errors import DtypeError, ModelFileError
from nnkit.io.torch_pickle import read_pickle, skip_pickle
from nnkit.io.torch_words import StorageType, Word, plain_words
from nnkit.tensors.creation import tensor
from nnkit.tensors.dtypes import as_dtype
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = ["is_torch_file", "placing", "read_torch_file"]

ZIP = b"PK\x03\x04"
#: How PyTorch's older files begin: a pickle of one number.
MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
OLD_VERSION = 1001
LARGEST_PICKLE = 256 * 1024 * 1024
HIGHEST_RANK = 32
SPARE = 16 * 1024 * 1024  # bytes that tensors may take beyond four times the file

Place = Callable[[str], Any]  # from the device that a storage was on to the one it shall be on


def is_torch_file(file: BinaryIO) -> bool:
    """Whether a file is PyTorch's, by its first bytes and, where it is a zip archive, by what that has."""
    start = file.read(len(MAGIC))
    if start.startswith(MAGIC):
        return True
    if not start.startswith(ZIP):
        return False
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            return _prefix(archive) is not None
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
        return False


def read_torch_file(file: BinaryIO, map_location: Any = None) -> Any:
    """What ``torch.save`` wrote: tensors, numbers, texts, and lists, tuples and dicts of them.

    ``map_location`` says where tensors go: a device, or as PyTorch has it a dict or a function of the device that they
    were on; the default device unless given. Raises ModelFileError for anything else in the file, and a damaged one;
    DtypeError where the device lacks a type of the file.
    """
    file.seek(0, io.SEEK_END)
    size = file.tell()
    file.seek(0)
    start = file.read(len(MAGIC))
    place = placing(map_location)
    try:
        if start == MAGIC:
            return _read_old(file, size, place)
        with zipfile.ZipFile(file) as archive:
            return _read_zip(archive, size, place)
    except (zipfile.BadZipFile, NotImplementedError, struct.error, EOFError) as error:
        raise ModelFileError(f"the file is damaged: {error}") from None


# ---- zip archives ---------------------------------------------------------------------------------------------


def _prefix(archive: zipfile.ZipFile) -> str | None:
    """The folder in the archive; None where it has no pickle of PyTorch's."""
    for name in archive.namelist():
        folder, slash, rest = name.partition("/")
        if slash and rest == "data.pkl":
            return folder + "/"
    return None


def _read_zip(archive: zipfile.ZipFile, size: int, place: Place) -> Any:
    prefix = _prefix(archive)
    if prefix is None:
        raise ModelFileError("the zip archive has no data.pkl: it is none of PyTorch's")
    entries = {info.filename: info for info in archive.infolist()}

    def content(name: str) -> bytes:
        info = entries.get(prefix + name)
        if info is None:
            raise ModelFileError(f"the file lacks {name[:100]!r}")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
            raise ModelFileError(f"{name[:100]!r} is compressed, or longer than the file; PyTorch writes neither")
        return archive.read(info)

    order = ">" if prefix + "byteorder" in entries and content("byteorder") == b"big" else "<"
    if (info := entries[prefix + "data.pkl"]).file_size > LARGEST_PICKLE:
        raise ModelFileError(f"the pickle has {info.file_size:,} bytes; at most {LARGEST_PICKLE:,} are read")
    tensors = _Tensors(lambda key: content(f"data/{key}"), order, size, place)
    return read_pickle(io.BytesIO(content("data.pkl")), tensors.words(), tensors.storage)


# ---- the older format -----------------------------------------------------------------------------------------


def _read_old(file: BinaryIO, size: int, place: Place) -> Any:
    words = plain_words()
    if read_pickle(file, words) != OLD_VERSION:
        raise ModelFileError("the file has a version of PyTorch's format that is not known")
    system = read_pickle(file, words)
    order = ">" if isinstance(system, dict) and system.get("little_endian") is False else "<"
    begin = file.tell()
    skip_pickle(file)
    keys = read_pickle(file, words)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ModelFileError("the file does not say which storages it has")
    places, at = dict[str, int](), file.tell()
    file.seek(begin)
    tensors = _Tensors(lambda key: old_content(key), order, size, place)

    def old_content(key: str) -> bytes:
        """The storages stand one behind another, so those before this one have to be measured."""
        nonlocal at
        while key not in places:
            if len(places) == len(keys):
                raise ModelFileError(f"the file lacks the storage {key[:100]!r}")
            name = keys[len(places)]
            places[name] = at + 8
            at += 8 + _old_length(file, at, order) * tensors.width(name)
            if at > size:
                raise ModelFileError(f"the storage {name[:100]!r} reaches beyond the end of the file")
        here = places[key]
        file.seek(here)
        return file.read(_old_length(file, here - 8, order) * tensors.width(key))

    # The widths of the storages stand in the pickle, so it is read once for them, and once more for the tensors.
    tensors.measure_only = True
    read_pickle(file, tensors.words(), tensors.storage)
    tensors.measure_only = False
    file.seek(begin)
    pickled = io.BytesIO(file.read(size - begin))
    return read_pickle(pickled, tensors.words(), tensors.storage)


def _old_length(file: BinaryIO, at: int, order: str) -> int:
    file.seek(at)
    (length,) = struct.unpack(order + "q", file.read(8))
    if length < 0:
        raise ModelFileError("a storage of the file has a length below 0")
    return int(length)


# ---- tensors --------------------------------------------------------------------------------------------------


class _Storage(NamedTuple):
    """What a pickle says about a storage."""

    key: str
    dtype: np.dtype
    elements: int
    place: Any


class _Tensors:
    """Makes the tensors of one file, each window of a storage once."""

    def __init__(self, content: Callable[[str], bytes], order: str, size: int, place: Place) -> None:
        self._content, self._order, self._place = content, order, place
        self._room = 4 * size + SPARE
        self._storages: dict[str, np.ndarray] = {}
        self._made: dict[Any, Tensor] = {}
        self._widths: dict[str, int] = {}
        self.measure_only = False

    def words(self) -> dict[str, Any]:
        """The names that a file may use."""
        return plain_words() | {
            "torch.bfloat16": _bfloat16("bfloat16"),
            "torch._utils._rebuild_tensor_v2": Word("tensor", self._rebuild),
            "torch._utils._rebuild_tensor": Word("tensor", self._rebuild),
            "torch._utils._rebuild_parameter": Word("parameter", self._parameter),
        }

    def width(self, key: str) -> int:
        """Bytes of an element of a storage. Raises ModelFileError for one that no tensor has."""
        if key not in self._widths:
            raise ModelFileError(f"no tensor of the file has the storage {key[:100]!r}")
        return self._widths[key]

    def storage(self, reference: Any) -> _Storage:
        """What stands for a reference: ("storage", type, key, device, count)."""
        if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
            raise ModelFileError("a tensor of the file has no storage")
        _, kind, key, device, count, *view = reference
        if not isinstance(kind, StorageType) or not isinstance(key, str) or not isinstance(device, str):
            raise ModelFileError("a storage of the file is of an unknown kind")
        if type(count) is not int or count < 0 or any(part is not None for part in view):
            raise ModelFileError("a storage of the file has an impossible size")
        try:
            dtype = as_dtype(kind.dtype_name)
        except ModuleNotFoundError as error:
            raise ModelFileError(f"the file cannot be read here: {error}") from None
        if self._widths.setdefault(key, dtype.itemsize) != dtype.itemsize:
            raise ModelFileError(f"the storage {key[:100]!r} is of two types")
        return _Storage(key, dtype, count, None if self.measure_only else self._place(device))

    def _values(self, storage: _Storage) -> np.ndarray:
        """All elements of a storage."""
        if storage.key not in self._storages:
            self._storages[storage.key] = np.frombuffer(self._content(storage.key), np.uint8)
        raw = self._storages[storage.key]
        if raw.nbytes != storage.elements * storage.dtype.itemsize:
            raise ModelFileError(
                f"the storage {storage.key[:100]!r} has {raw.nbytes:,} bytes; {storage.elements:,} elements of "
                f"{storage.dtype} need {storage.elements * storage.dtype.itemsize:,}"
            )
        values = raw.view(storage.dtype)
        return values if self._order == "<" else values.byteswap()

    def _rebuild(self, storage: Any, offset: Any, sizes: Any, strides: Any, *rest: Any) -> Tensor:
        """A tensor: a window of a storage; ``rest`` is whether it requires a gradient, its hooks, its metadata."""
        shape, steps = _whole(sizes), _whole(strides)
        if not isinstance(storage, _Storage) or type(offset) is not int or offset < 0 or len(shape) != len(steps):
            raise ModelFileError("a tensor of the file has an impossible place in its storage")
        if math.prod(shape):
            last = offset + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
            if last >= storage.elements:
                raise ModelFileError(f"a tensor of shape {shape} is not inside its storage of {storage.elements}")
        if self.measure_only:
            return tensor(0.0)
        window = (storage.key, storage.dtype, offset, shape, steps, str(storage.place))
        if window not in self._made:
            self._made[window] = self._window(storage, offset, shape, steps)
        made = self._made[window].detach()
        return made.requires_grad_() if rest and rest[0] is True and made.is_floating_point() else made

    def _window(self, storage: _Storage, offset: int, shape: tuple[int, ...], steps: tuple[int, ...]) -> Tensor:
        width = storage.dtype.itemsize
        self._room -= math.prod(shape) * width
        if self._room < 0:
            raise ModelFileError("the tensors of the file are far larger than the file")
        values = self._values(storage)[offset:] if math.prod(shape) else np.empty(0, storage.dtype)
        strides = [step * width for step in steps]
        view = np.lib.stride_tricks.as_strided(values, shape, strides, writeable=False)
        try:
            return tensor(np.array(view), device=storage.place)
        except TypeError as error:
            raise DtypeError(f"the file holds tensors of {storage.dtype}, and {error}") from None

    def _parameter(self, data: Any, requires_grad: Any, hooks: Any) -> Parameter:
        if not isinstance(data, Tensor) or type(requires_grad) is not bool or not isinstance(hooks, OrderedDict):
            raise ModelFileError("a parameter of the file has no tensor")
        return Parameter(data, requires_grad and data.is_floating_point())


def _bfloat16(name: str) -> Any:
    try:
        return as_dtype(name)
    except ModuleNotFoundError:
        return name


def _whole(sizes: Any) -> tuple[int, ...]:
    good = isinstance(sizes, tuple) and len(sizes) <= HIGHEST_RANK
    if not good or any(type(size) is not int or not 0 <= size < 2**62 for size in sizes):
        raise ModelFileError("a tensor of the file has an impossible shape")
    return tuple(sizes)


# ---- where tensors go -----------------------------------------------------------------------------------------


class _Moved:
    """What a function given as ``map_location`` gets in place of a storage: it can be asked to be elsewhere."""

    def __init__(self, device: Any = "cpu") -> None:
        self.device = device

    def cuda(self, device: Any = None, non_blocking: bool = False) -> _Moved:
        """On a GPU."""
        return _Moved("cuda" if device is None else Device(device))

    def cpu(self) -> _Moved:
        """On the CPU."""
        return _Moved("cpu")

    def to(self, device: Any) -> _Moved:
        """On a device."""
        return _Moved(device)


def placing(map_location: Any) -> Place:
    """What ``map_location`` means: from the name of a device to the device to use, None for the default one."""
    if isinstance(map_location, dict):
        found = {str(key): value for key, value in map_location.items()}
        return lambda device: found.get(device)
    if callable(map_location):
        return lambda device: getattr(map_location(_Moved(), device), "device", None)
    return lambda device: map_location
