"""Writing a file so that its name always refers to a complete one.

The bytes go to a temporary file in the same folder, are forced to the disk, and the temporary
file then takes the final name in one step of the operating system. A crash at any moment
leaves either the old file or the new one, never half of one.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import stat
from pathlib import Path

__all__ = ["PathLike", "sha256", "write_file"]

PathLike = str | os.PathLike[str]

_SUFFIX = ".nnkit-tmp"
_LONGEST_STEM = 100
_counter = itertools.count()


def write_file(path: PathLike, content: bytes) -> None:
    """Replaces the file ``path`` by one that holds ``content``, or changes nothing.

    The mode bits of a file that is already there are kept. A symbolic link is replaced, its
    target is not touched. Temporary files that a killed process left for ``path`` are removed.

    Raises ``OSError`` (``FileNotFoundError`` where the folder is missing, and so on), which
    says how many bytes were needed and how many are free; the old file is then intact.
    """
    target = Path(os.fspath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, f"the folder {str(target.parent)!r} does not exist; make it first", str(target)
        )
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected the path of a file, got a folder", str(target))
    _sweep(target)
    temporary = target.with_name(f"{_stem(target)}{os.getpid()}.{next(_counter)}{_SUFFIX}")
    try:
        _write(temporary, content, _mode_of(target))
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _explained(error, target, len(content)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def sha256(path: PathLike) -> str:
    """The SHA-256 checksum of a file, as 64 hexadecimal digits.

    >>> sha256(os.devnull)[:16]
    'e3b0c44298fc1c14'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(temporary: Path, content: bytes, mode: int | None) -> None:
    # O_EXCL: never write through a link that someone put under this name.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if mode is not None:
            os.chmod(temporary, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mode_of(target: Path) -> int | None:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return None


def _sync_folder(folder: Path) -> None:
    """Forces the new name itself to the disk, where the system can do that for folders."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _explained(error: OSError, target: Path, needed: int) -> OSError:
    free = shutil.disk_usage(target.parent).free
    message = (
        f"{error.strerror or error}; nothing was saved and the earlier file, if any, is intact "
        f"({needed:,} bytes needed, {free:,} free in the folder)"
    )
    return OSError(error.errno or errno.EIO, message, str(target))


def _stem(target: Path) -> str:
    return f".{target.name[:_LONGEST_STEM]}."


def _sweep(target: Path) -> None:
    """Removes the temporaries of ``target`` whose process no longer runs."""
    stem = _stem(target)
    for name in os.listdir(target.parent):
        if not (name.startswith(stem) and name.endswith(_SUFFIX)):
            continue
        process = name[len(stem) :].partition(".")[0]
        if process.isdecimal() and not _runs(int(process)):
            target.with_name(name).unlink(missing_ok=True)


def _runs(process: int) -> bool:
    if os.name == "nt":  # there, signal 0 would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
