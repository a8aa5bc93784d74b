"""HDF5 files as Keras writes them: read as if their author meant harm, and written by h5py.

A file is a tree of groups with arrays of plain numbers in it. Links to other places or files, arrays whose numbers lie
in other files or in pieces, and all types but numbers are refused; an array is read when its shape is the one wanted.
"""

from __future__ import annotations

import contextlib
import io
import math
import mmap
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from nnkit.errors import ModelFileError
from nnkit.keras.files.hdf5_parts import LARGEST_TEXTS, MAGIC, UNDEFINED, Attribute, Bytes, shape_of, type_of
from nnkit.tensors.dtypes import as_dtype

__all__ = ["MAGIC", "Group", "Stored", "opened", "written"]

#: How deep groups may lie in groups, and how many arrays a file may have.
DEEPEST, MOST_ARRAYS = 64, 1_000_000


@contextlib.contextmanager
def opened(source: bytes | BinaryIO, name: str) -> Iterator[Group]:
    """The top group of an HDF5 file; ``name`` is what messages call it. Raises ModelFileError for a damaged one."""
    if isinstance(source, bytes):
        yield _top(source, name)
        return
    try:
        content = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
    except (ValueError, OSError) as error:
        raise ModelFileError(f"{name} cannot be read: {error}") from error
    with content:
        yield _top(content, name)


def _top(content: Any, name: str) -> Group:
    data = Bytes(content, name)
    return Group(data, data.root(), "")


class Stored(NamedTuple):
    """An array of the file, not read yet."""

    data: Bytes
    start: int
    shape: tuple[int, ...]
    dtype: str
    place: str

    def read(self, shape: tuple[int, ...]) -> np.ndarray:
        """The numbers; raises ModelFileError where the shape is another one."""
        if self.shape != shape:
            raise ModelFileError(f"{self.data.file}: {self.place} has shape {self.shape}; the model needs {shape}")
        kind = as_dtype("bfloat16") if self.dtype == "bfloat16" else np.dtype(self.dtype)
        raw = self.data.part(self.start, math.prod(shape) * kind.itemsize)
        return np.frombuffer(raw, kind).reshape(shape).astype(kind.newbyteorder("="), copy=False)


class Group:
    """A group of the file: groups, arrays and attributes by name."""

    def __init__(self, data: Bytes, address: int, place: str) -> None:
        self.data, self.place, self.file = data, place, data.file
        self._messages = data.messages(address)
        self._entries: dict[str, tuple[str, int]] | None = None
        self._attributes: dict[str, Attribute] | None = None

    def names(self) -> list[str]:
        """What is in it."""
        if self._entries is None:
            self._entries = self.data.entries(self._messages)
        return list(self._entries)

    def group(self, path: str) -> Group | None:
        """The group of that path; None where there is none."""
        found: Group = self
        for name in path.split("/"):
            entry = found._entry(name)
            if not isinstance(entry, Group):
                if entry is None:
                    return None
                raise ModelFileError(f"{self.file}: {found._named(name)} is no group")
            found = entry
        return found

    def array(self, path: str) -> Stored | None:
        """The array of that path, checked but for its shape; None where there is none."""
        folder, slash, name = path.rpartition("/")
        group = self.group(folder) if slash else self
        entry = None if group is None else group._entry(name)
        if group is not None and isinstance(entry, Group):
            raise ModelFileError(f"{self.file}: {group._named(name)} is no array")
        return entry if isinstance(entry, Stored) else None

    def arrays(self) -> Iterator[Stored]:
        """All arrays under the group."""
        pending: list[tuple[Group, int]] = [(self, 0)]
        count = 0
        while pending:
            group, depth = pending.pop()
            if depth > DEEPEST:
                raise ModelFileError(
                    f"{self.file}: groups lie more than {DEEPEST} deep in one another at {group.place}"
                )
            for name in group.names():
                entry, count = group._entry(name), count + 1
                if count > MOST_ARRAYS:
                    raise ModelFileError(f"{self.file} has more than {MOST_ARRAYS:,} groups and arrays")
                if isinstance(entry, Group):
                    pending.append((entry, depth + 1))
                elif entry is not None:
                    yield entry

    def attribute(self, name: str) -> Any:
        """An attribute that is a text or a number; None where there is none."""
        values = self._values(name)
        if values is None:
            return None
        if len(values) != 1 or self._attribute(name).shape:
            raise ModelFileError(f"{self.file}: the attribute {name!r} of {self.place or 'the file'} is an array")
        return values[0]

    def texts(self, name: str) -> list[str] | None:
        """An attribute that is a list of texts, in one piece or in several; None where there is none."""
        whole, number = self._values(name), 0
        if whole is not None:
            return [str(value) for value in whole]
        found: list[str] = []
        while (piece := self._values(f"{name}{number}")) is not None:
            found += [str(value) for value in piece]
            number += 1
        return found if number else None

    def _named(self, name: str) -> str:
        return f"{self.place}/{name}" if self.place else name

    def _entry(self, name: str) -> Group | Stored | None:
        self.names()
        assert self._entries is not None
        if name not in self._entries:
            return None
        kind, address = self._entries[name]
        if kind == "link":
            raise ModelFileError(
                f"{self.file}: {self._named(name)} is a link to another place or file, which nnkit does not follow"
            )
        messages = self.data.messages(address)
        if any(message.kind == 0x03 for message in messages):
            return self._stored(messages, self._named(name))
        return Group(self.data, address, self._named(name))

    def _stored(self, messages: Any, place: str) -> Stored:
        """An array whose numbers lie in this file, in one piece; raises ModelFileError otherwise."""
        data, where = self.data, f"{self.file}: {place}"
        parts = {message.kind: message for message in messages}
        if 0x07 in parts:
            raise ModelFileError(f"{where}: its numbers lie in other files, which nnkit does not open")
        if 0x01 not in parts or 0x08 not in parts:
            raise data.damaged(f"{place} lacks its shape or its place")
        kind, shape = type_of(data, parts[0x03].start), shape_of(data, parts[0x01].start)
        if kind.name in ("text", "texts", "other"):
            raise ModelFileError(f"{where} does not hold numbers")
        if shape == (-1,):
            raise ModelFileError(f"{where} is empty")
        layout = parts[0x08].start
        version, form = data.numbers("BB", layout)
        needed = math.prod(shape) * kind.size
        if version == 3 and form == 0:
            (there,), start = data.numbers("H", layout + 2), layout + 4
        elif version == 3 and form == 1:
            start, there = data.numbers("QQ", layout + 2)
        else:
            raise ModelFileError(
                f"{where}: its numbers lie in pieces, or in other files; nnkit reads what Keras writes"
            )
        if needed and (start == UNDEFINED or needed > there or start + needed > data.size):
            raise ModelFileError(f"{where} says {needed:,} bytes, which the file does not have")
        return Stored(data, 0 if start == UNDEFINED else start, shape, kind.name, place)

    # ---- attributes ---------------------------------------------------------------------------------------

    def _attribute(self, name: str) -> Any:
        if self._attributes is None:
            found = [self.data.attribute(message) for message in self._messages if message.kind == 0x0C]
            self._attributes = dict(found)
        return self._attributes.get(name)

    def _values(self, name: str) -> list[Any] | None:
        found = self._attribute(name)
        if found is None:
            return None
        count, room, values = math.prod(found.shape), LARGEST_TEXTS, list[Any]()
        if found.shape == (-1,):
            return []
        if count > self.data.size:
            raise self.data.damaged(f"the attribute {name!r} says {count:,} entries")
        for number in range(count):
            start = found.start + number * found.type.size
            if found.type.name == "texts":
                raw = self.data.heap_text(start)
            elif found.type.name == "text":
                raw = self.data.part(start, found.type.size).rstrip(b"\0")
            elif found.type.name in ("other", "bfloat16"):
                raise self.data.damaged(f"the attribute {name!r} is neither a text nor a number")
            else:
                raw = self.data.part(start, found.type.size)
                values.append(np.frombuffer(raw, found.type.name)[0].item())
                continue
            room -= len(raw)
            if room < 0:
                raise ModelFileError(f"{self.file}: the attribute {name!r} of {self.place or 'the file'} is too long")
            values.append(self.data.decoded(raw))
        return values


# ---- writing --------------------------------------------------------------------------------------------------


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ModuleNotFoundError(
            "to write Keras's files (.keras, .h5) needs h5py: pip install 'nnkit-engine[keras-files]'; "
            "files of nnkit's own (.safetensors) need nothing",
            name="h5py",
        ) from None
    return h5py


def written(arrays: Mapping[str, np.ndarray], attributes: Mapping[str, Mapping[str, Any]] | None = None) -> bytes:
    """An HDF5 file of arrays by path, and of attributes by the path of a group and name."""
    content = io.BytesIO()
    with _h5py().File(content, "w") as file:
        for path, values in (attributes or {}).items():
            group = file.require_group(path) if path else file
            for name, value in values.items():
                group.attrs[name] = value
        for path, array in arrays.items():
            made = file.create_dataset(path, data=np.asarray(array))
            if array.dtype.name == "bfloat16":
                made.attrs["dtype"] = "bfloat16"
    return content.getvalue()
