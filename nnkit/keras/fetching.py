"""``get_file``: a file from an address, kept in a cache, through pooch. Definition: ``keras.utils.get_file``."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nnkit.backends.advice import install
from nnkit.errors import DataError

__all__ = ["get_file"]

CACHE_VARIABLE = "NNKIT_CACHE"
#: How many letters a checksum of each algorithm has.
LETTERS = {32: "md5", 64: "sha256"}


def get_file(
    fname: str | None = None, origin: str | None = None, untar: bool = False, md5_hash: str | None = None,
    file_hash: str | None = None, cache_subdir: str = "datasets", hash_algorithm: str = "auto", extract: bool = False,
    archive_format: Any = "auto", cache_dir: Any = None, force_download: bool = False,
) -> str:  # fmt: skip
    """The path of a file: in the cache, into which it is downloaded where it is not there.

    Args:
        fname: its name; the last part of ``origin`` where None.
        origin: the address, http, https, ftp or file.
        untar, extract: unpack an archive into the folder ``<name>_extracted`` and return that.
        md5_hash, file_hash: its checksum, MD5 or SHA-256; another file is not kept. Give one: without, what comes is
            taken as it is.
        cache_subdir: the folder in the cache.
        hash_algorithm: "auto", "sha256" or "md5".
        archive_format: "auto", "tar" or "zip", or a list; None unpacks nothing.
        cache_dir: the cache; ``$NNKIT_CACHE``, or pooch's folder for nnkit, where None.
        force_download: download again.

    Raises DataError where it cannot be had, or does not have its checksum; no file of an archive is written outside of
    its folder.
    """
    if origin is None:
        raise ValueError("get_file: give origin, the address of the file")
    name = fname or os.path.basename(urlsplit(origin).path)
    if not name or os.path.isabs(name) or ".." in Path(name).parts:
        raise ValueError(f"get_file: fname must be a name without folders above; got {name!r}")
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise DataError(f"get_file downloads through pooch: {install('data')}") from error
    folder = Path(cache_dir or os.environ.get(CACHE_VARIABLE) or pooch.os_cache("nnkit")).expanduser() / cache_subdir
    path = folder / name
    if force_download and path.exists():
        path.unlink()
    known = _checksum(md5_hash if file_hash is None else file_hash, hash_algorithm)
    _fetch(pooch, origin, known, path)
    if (untar or extract) and archive_format is not None:
        return str(_unpacked(path, archive_format))
    return str(path)


def _checksum(value: str | None, algorithm: str) -> str | None:
    """``algorithm:value``, as pooch has it."""
    if value is None:
        return None
    kind = LETTERS.get(len(value)) if algorithm == "auto" else algorithm
    if kind not in ("md5", "sha256"):
        raise ValueError(f"get_file: a checksum is MD5 (32 letters) or SHA-256 (64); got {value!r}, {algorithm!r}")
    return f"{kind}:{value}"


def _fetch(pooch: Any, origin: str, known: str | None, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if origin.startswith("file:"):
        from urllib.request import url2pathname

        if not path.exists():
            path.write_bytes(Path(url2pathname(urlsplit(origin).path)).read_bytes())
        if known is not None and not pooch.hashes.hash_matches(str(path), known):
            path.unlink()
            raise DataError(f"get_file: {origin} does not have the checksum {known}")
        return
    try:
        pooch.retrieve(origin, known_hash=known, fname=path.name, path=path.parent)
    except (OSError, ValueError) as error:
        raise DataError(f"get_file: {origin} could not be had ({str(error)[:300]}); put it to {path}") from error


def _unpacked(path: Path, archive_format: Any) -> Path:
    """The folder with what is in an archive; it is unpacked once."""
    target = path.with_name(f"{path.name}_extracted")
    if target.exists():
        return target
    kinds = ("tar", "zip") if archive_format == "auto" else archive_format
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    if "tar" in kinds and tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            archive.extractall(target, filter="data")  # nothing outside, no devices, no links that leave it
    elif "zip" in kinds and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(target)
    else:
        raise DataError(f"get_file: {path} is no archive of the kind {archive_format!r}")
    return target
