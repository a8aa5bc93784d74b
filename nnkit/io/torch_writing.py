"""Writing PyTorch's files: tensors and plain values as a zip archive that ``torch.load(weights_only=True)`` reads.

The pickle is written instruction by instruction, of the same few that the reader knows. Tensors of the same memory
share a storage. An optimizer's state says with each parameter how many steps it has taken, as PyTorch's optimizers
expect.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnkit.backends import Device
from nnkit.errors import DtypeError
from nnkit.io.torch_words import STORAGES
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Parameter, Size, Tensor

__all__ = ["SUFFIXES", "torch_bytes"]

#: The endings of files that are written so.
SUFFIXES = (".pt", ".pth", ".ckpt", ".tar", ".bin")
STORAGE_OF = {dtype: name for name, dtype in STORAGES.items()}
ALIGNMENT = 64  # of each storage in the file, so that it can be mapped into memory


def torch_bytes(obj: Any) -> bytes:
    """The file of an object. Raises DtypeError that names a value which such a file cannot hold."""
    writer = _Writer()
    try:
        writer.value(obj, ())
    except RecursionError:
        raise DtypeError("cannot save this state: it is nested too deeply, or holds itself") from None
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, buffer, "archive/data.pkl", b"\x80\x02" + writer.out.getvalue() + b".")
        _add(archive, buffer, "archive/byteorder", b"little")
        for key, array in enumerate(writer.storages):
            _add(archive, buffer, f"archive/data/{key}", array.tobytes())
        _add(archive, buffer, "archive/version", b"3\n")
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, buffer: io.BytesIO, name: str, content: bytes) -> None:
    """An entry whose content begins at a multiple of ALIGNMENT, after a field that nobody reads."""
    info = zipfile.ZipInfo(name)
    filling = -(buffer.tell() + 30 + len(name) + 4) % ALIGNMENT
    info.extra = struct.pack("<2sH", b"FB", filling) + b"Z" * filling
    archive.writestr(info, content)


class _Writer:
    """The pickle, and the storages that it refers to."""

    def __init__(self) -> None:
        self.out = io.BytesIO()
        self.storages: list[np.ndarray] = []
        self._keys: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no memory is given to another meanwhile

    def value(self, value: Any, path: tuple[Any, ...]) -> None:
        """Any value that has a place in a file."""
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, Tensor):
            self._tensor(value, path)
        elif value is None or isinstance(value, bool):
            self.out.write({None: b"N", True: b"\x88", False: b"\x89"}[value])
        elif isinstance(value, int):
            self._int(int(value))
        elif isinstance(value, float):
            self.out.write(b"G" + struct.pack(">d", value))
        elif isinstance(value, str):
            text = str(value).encode("utf-8", "surrogatepass")
            self.out.write(b"X" + struct.pack("<I", len(text)) + text)
        elif isinstance(value, Mapping):
            self._mapping(value, path)
        elif isinstance(value, Size):
            self._call("torch", "Size", tuple(value))
        elif isinstance(value, (list, tuple)):
            self._row(value, path)
        else:
            self._special(value, path)

    def _special(self, value: Any, path: tuple[Any, ...]) -> None:
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            self._array(value)
        elif isinstance(value, np.dtype) and value.name in STORAGE_OF:
            self._name("torch", value.name)
        elif isinstance(value, Device):
            self._call("torch", "device", (value.type, value.index) if value.type == "cuda" else (value.type,))
        else:
            place = ".".join(map(str, path)) or "the value"
            raise DtypeError(
                f"cannot save this state: {place} is a {type(value).__name__}; a file of PyTorch's holds tensors, "
                "arrays, numbers, texts, and lists, tuples and dicts of them"
            )

    def _int(self, value: int) -> None:
        if -(2**31) <= value < 2**31:
            self.out.write(b"J" + struct.pack("<i", value))
            return
        content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        if len(content) > 255:
            raise DtypeError("cannot save this state: a whole number of more than 2000 bits")
        self.out.write(b"\x8a" + bytes([len(content)]) + content)

    def _row(self, value: Any, path: tuple[Any, ...]) -> None:
        self.out.write(b"(" if isinstance(value, tuple) else b"](")
        for index, item in enumerate(value):
            self.value(item, (*path, index))
        self.out.write(b"t" if isinstance(value, tuple) else b"e")

    def _mapping(self, value: Mapping[Any, Any], path: tuple[Any, ...]) -> None:
        if isinstance(value, OrderedDict):
            self._call("collections", "OrderedDict", ())
        else:
            self.out.write(b"}")
        if value.keys() == {"state", "param_groups"}:
            value = _with_steps(value)
        self.out.write(b"(")
        for key, item in value.items():
            if not isinstance(key, (str, int, float, tuple, type(None))):
                place = ".".join(map(str, path)) or "the value"
                raise DtypeError(f"cannot save this state: {place} has the key {key!r}; use texts and numbers as keys")
            self.value(key, path)
            self.value(item, (*path, key))
        self.out.write(b"u")

    def _name(self, module: str, name: str) -> None:
        self.out.write(f"c{module}\n{name}\n".encode())

    def _call(self, module: str, name: str, arguments: tuple[Any, ...]) -> None:
        self._name(module, name)
        if (module, name) == ("torch", "Size"):
            arguments = (arguments,)
        self.value(arguments, ())
        self.out.write(b"R")

    def _tensor(self, value: Tensor, path: tuple[Any, ...]) -> None:
        kind = STORAGE_OF.get(value.dtype.name)
        if kind is None:
            place = ".".join(map(str, path)) or "the value"
            raise DtypeError(f"cannot save this state: {place} is of type {value.dtype}, which PyTorch's storages lack")
        learned = isinstance(value, Parameter)
        if learned:
            self._name("torch._utils", "_rebuild_parameter")
            self.out.write(b"(")
        self._name("torch._utils", "_rebuild_tensor_v2")
        self.out.write(b"((")  # of the arguments, and of the reference
        self.value("storage", ())
        self._name("torch", kind)
        reference: tuple[Any, ...] = (str(self._storage(value)), _device_name(value), value.numel())
        for part in reference:
            self.value(part, ())
        self.out.write(b"tQ")
        shape = tuple(value.shape)
        strides = tuple(int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape)))
        for part in (0, shape, strides, value.requires_grad and not learned, OrderedDict()):
            self.value(part, ())
        self.out.write(b"tR")
        if learned:
            self.value(value.requires_grad, ())
            self.value(OrderedDict(), ())
            self.out.write(b"tR")

    def _storage(self, value: Tensor) -> int:
        """The number of the storage with a tensor's values: the same for the same memory."""
        key = id(value.array)
        if key not in self._keys:
            host = value.detach().numpy()
            self._kept.append(value.array)
            self._keys[key] = len(self.storages)
            self.storages.append(np.ascontiguousarray(host).astype(host.dtype.newbyteorder("<"), copy=False))
        return self._keys[key]

    def _array(self, value: np.ndarray) -> None:
        """A numpy array as NumPy pickles it; PyTorch reads it with ``weights_only=False`` alone."""
        code = value.dtype.kind + str(value.dtype.itemsize)
        content = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
        self._name("numpy._core.multiarray", "_reconstruct")
        self.out.write(b"(")
        self._name("numpy", "ndarray")
        self.value((0,), ())
        self.out.write(b"C\x01btR(")
        for part in (1, tuple(value.shape)):
            self.value(part, ())
        self._call("numpy", "dtype", (code, False, True))
        self.value((3, "<" if value.dtype.itemsize > 1 else "|", None, None, None, -1, -1, 0), ())
        self.out.write(b"b\x89B" + struct.pack("<I", len(content)) + content + b"tb")


def _device_name(value: Tensor) -> str:
    return f"cuda:{value.device.index}" if value.device.type == "cuda" else "cpu"


def _with_steps(state: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's state with the number of steps beside what it keeps of each parameter."""
    kept, groups = state["state"], state["param_groups"]
    if not isinstance(kept, Mapping) or not isinstance(groups, list):
        return dict(state)
    from_group = {
        index: group["step"]
        for group in groups
        if isinstance(group, Mapping) and "step" in group
        for index in group.get("params", ())
    }
    counted: dict[Any, Any] = {}
    for index, entry in kept.items():
        step = entry.get("step", from_group.get(index)) if isinstance(entry, Mapping) else None
        if step is not None and not isinstance(step, Tensor):
            entry = {**entry, "step": tensor(float(step), device="numpy")}
        counted[index] = entry
    return {"state": counted, "param_groups": groups}
