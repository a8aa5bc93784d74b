"""``.keras`` files: zip archives of a description in JSON, weights in HDF5, and lists of words.

Nothing is unpacked to disk. What a member says of its size is compared with the bytes that it takes in the file before
memory is set aside, and the description is plain JSON.
"""

from __future__ import annotations

import datetime
import io
import json
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from nnkit.errors import ModelFileError
from nnkit.io.files import PathLike, open_at_once, write_file

__all__ = ["Archive", "parsed", "read_archive", "write_archive"]

CONFIG, METADATA, WEIGHTS, ASSETS = "config.json", "metadata.json", "model.weights.h5", "assets/"
#: Keras 3.15 writes what its files are like under this name.
WRITTEN_AS = "3.15.1"
LARGEST_TEXT = 32 * 1024 * 1024
MOST_MEMBERS = 10_000
LARGEST_EXPANSION = 100
DEEPEST = 200


class Archive(NamedTuple):
    """What a ``.keras`` file holds: ``assets`` by path are the lists of words of text layers."""

    config: dict[str, Any]
    weights: bytes
    assets: dict[str, bytes]


def read_archive(path: PathLike) -> Archive:
    """The parts of a ``.keras`` file. Raises ModelFileError that names file and member for a damaged or hostile one."""
    name = os.fspath(path)
    with open(path, "rb", opener=open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ModelFileError(f"{name!r} is not a regular file; expected a .keras file")
        try:
            with zipfile.ZipFile(file) as archive:
                return _parts(archive, name)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, struct.error, EOFError, RuntimeError) as error:
            raise ModelFileError(f"{name!r} is damaged: {str(error)[:200]}") from error


def _parts(archive: zipfile.ZipFile, name: str) -> Archive:
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise ModelFileError(f"{name!r} has {len(members):,} members; at most {MOST_MEMBERS:,} are read")
    entries: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        if member.filename in entries:
            raise ModelFileError(f"{name!r} has the member {member.filename[:100]!r} twice")
        entries[member.filename] = member
    for wanted in (CONFIG, WEIGHTS):
        if wanted not in entries:
            other = ", ".join(sorted(entries)[:5]) or "nothing"
            raise ModelFileError(f"{name!r} is no .keras file of Keras 3: it lacks {wanted} (it has {other[:200]})")

    def content(member: str, most: int | None) -> bytes:
        info = entries[member]
        allowed = max(LARGEST_EXPANSION * info.compress_size, 1 << 16)
        if info.file_size > (allowed if most is None else min(most, allowed)):
            raise ModelFileError(
                f"{name!r}: {member[:100]} says {info.file_size:,} bytes, and takes {info.compress_size:,} in the file"
            )
        with archive.open(info) as stream:
            found = stream.read(info.file_size + 1)
        if len(found) != info.file_size:
            raise ModelFileError(f"{name!r}: {member[:100]} has another length than the archive says")
        return found

    config = parsed(content(CONFIG, LARGEST_TEXT), f"{name!r}: {CONFIG}")
    assets = [one for one in entries if one.startswith(ASSETS) and not one.endswith("/")]
    words = {one.removeprefix(ASSETS): content(one, LARGEST_TEXT) for one in assets}
    return Archive(config, content(WEIGHTS, None), words)


def parsed(text: bytes | str, what: str) -> dict[str, Any]:
    """A JSON object, of bounded length and depth. Raises ModelFileError for anything else."""
    if len(text) > LARGEST_TEXT:
        raise ModelFileError(f"{what} has {len(text):,} bytes; at most {LARGEST_TEXT:,} are read")
    try:
        found = json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ModelFileError(f"{what} is nested too deeply") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{what} is not valid JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise ModelFileError(f"{what} must be a JSON object, got {type(found).__name__}")
    _bounded(found, what)
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has a name twice")
    return result


def _bounded(value: Any, what: str) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            part
            for one in level
            for part in (one.values() if isinstance(one, dict) else one)
            if isinstance(part, (dict, list))
        ]
        if not level:
            return
    raise ModelFileError(f"{what} is nested more than {DEEPEST} deep")


def write_archive(path: PathLike, config: Mapping[str, Any], weights: bytes) -> None:
    """Write a ``.keras`` file, whole or not at all."""
    saved = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(METADATA, json.dumps({"keras_version": WRITTEN_AS, "date_saved": saved}))
        archive.writestr(CONFIG, json.dumps(config))
        archive.writestr(WEIGHTS, weights)
    write_file(path, content.getvalue())
