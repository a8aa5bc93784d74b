"""Finding the files of a data set: a folder of the user, the cache, or a download.

Downloads go through pooch: each file has a SHA-256 checksum and several mirrors, and a file
that does not match its checksum is never kept. Without a network, the error says which files
to put where.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnkit.backends.advice import install
from nnkit.errors import DataError

__all__ = ["FOLDER_VARIABLE", "Downloader", "Source", "locate"]

FOLDER_VARIABLE = "NNKIT_DATA"
CACHE_VARIABLE = "NNKIT_CACHE"

# What pooch calls with the address, the path to write, and itself.
Downloader = Callable[[str, str, Any], object]


@dataclass(frozen=True)
class Source:
    """A data set of several files: where they come from, and the SHA-256 of each, or ``md5:…``.

    ``name`` is also the folder of the files, under ``$NNKIT_DATA`` and in the cache.
    """

    name: str
    mirrors: tuple[str, ...]
    checksums: Mapping[str, str]


def locate(
    source: Source, folder: str | os.PathLike[str] | None = None, downloader: Downloader | None = None
) -> dict[str, Path]:
    """The path of every file of ``source``, by its name.

    In this order: ``folder``, if given; ``$NNKIT_DATA/<name>``, if it has all the files; the
    cache (``$NNKIT_CACHE``, if set), into which missing files are downloaded. A ``~`` in front
    is the user's home. Files of the user are used as they are, gzipped or not. ``downloader``
    replaces pooch's own, as in ``pooch.retrieve``.

    Raises ``DataError`` that lists the files, and the folder to put them in.
    """
    if folder is not None:
        found = _files_of_user(source, Path(folder).expanduser())
        if len(found) < len(source.checksums):
            raise DataError(f"{str(folder)!r} lacks files of {source.name}: {_list(source, found)}")
        return found
    if os.environ.get(FOLDER_VARIABLE):
        found = _files_of_user(source, Path(os.environ[FOLDER_VARIABLE]).expanduser() / source.name)
        if len(found) == len(source.checksums):
            return found
    return {file: _download(source, file, downloader) for file in source.checksums}


def _files_of_user(source: Source, folder: Path) -> dict[str, Path]:
    found = {}
    for file in source.checksums:
        for path in (folder / file, folder / file.removesuffix(".gz")):
            if path.is_file():
                found[file] = path
                break
    return found


def _download(source: Source, file: str, downloader: Downloader | None) -> Path:
    try:
        import pooch
    except ImportError as error:
        raise DataError(f"downloading {source.name} needs pooch: {install('data')}. Or {_advice(source)}") from error
    folder = Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("nnkit")).expanduser() / source.name
    failures = []
    for mirror in source.mirrors:
        try:
            path = pooch.retrieve(
                mirror + file,
                known_hash=_checksum(source.checksums[file]),
                fname=file,
                path=folder,
                downloader=downloader,
            )
            return Path(path)
        except (OSError, ValueError) as error:  # no network, no such page; another checksum
            failures.append(f"{mirror + file}: {str(error)[:300]}")
    raise DataError(f"{file} of {source.name} could not be downloaded; {_advice(source)}\n  " + "\n  ".join(failures))


def _checksum(value: str) -> str:
    """A checksum as pooch has it: SHA-256 unless it says otherwise.

    >>> _checksum("md5:0"), _checksum("0")
    ('md5:0', 'sha256:0')
    """
    return value if ":" in value else f"sha256:{value}"


def _advice(source: Source) -> str:
    folder = os.environ.get(FOLDER_VARIABLE) or "<folder>"
    place = os.path.join(folder, source.name)
    setting = "" if os.environ.get(FOLDER_VARIABLE) else f" and set {FOLDER_VARIABLE}=<folder>"
    return f"put these files, gzipped or not, into {place}{setting}: {_list(source, {})}"


def _list(source: Source, found: Mapping[str, Path]) -> str:
    return ", ".join(file for file in source.checksums if file not in found)
