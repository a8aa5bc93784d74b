"""Writing a file so that its name always refers to a complete one.

The bytes go to a temporary file in the same folder, are forced to the disk, and the temporary
file then takes the final name in one step of the operating system. A crash at any moment
leaves either the old file or the new one, never half of one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where a file that someone has open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

__all__ = ["PathLike", "is_special", "open_at_once", "sha256", "sync_folder", "write_file"]

PathLike = str | os.PathLike[str]

_SUFFIX = ".nnkit-tmp"
_LONGEST_STEM = 100  # bytes
# On Windows a virus scanner may hold a file for a moment.
_WAITS = (0.01, 0.1, 0.5, 1.0) if os.name == "nt" else ()


def write_file(path: PathLike, content: bytes) -> None:
    """Replaces the file ``path`` by one that holds ``content``, or changes nothing.

    The mode bits of a file that is already there are kept. A symbolic link is replaced, its
    target is not touched; a device, a pipe or a socket is refused, and a link to one. Temporary files that a killed
    process left for ``path`` are removed.

    Raises ``OSError`` (``FileNotFoundError`` where the folder is missing, and so on), which says how many bytes were
    needed and how many are free; the old file is then intact. Source: nnkit's own.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_file(f"{folder}/a", b"whole"); pathlib.Path(folder, "a").read_bytes()
    b'whole'
    """
    target = Path(os.fspath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, f"the folder {str(target.parent)!r} does not exist; make it first", str(target)
        )
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected the path of a file, got a folder", str(target))
    _refuse_special(target)
    _sweep(target)
    try:
        _replace_whole(target, content)
    except OSError as error:
        raise _explained(error, target, len(content)) from error
    sync_folder(target.parent)


def sha256(path: PathLike) -> str:
    """The SHA-256 checksum of a file, as 64 hexadecimal digits.

    Raises ``OSError`` where there is no file. By Python's ``hashlib``.

    >>> sha256(os.devnull)[:16]
    'e3b0c44298fc1c14'
    """
    with open(path, "rb", opener=open_at_once) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_special(path: PathLike) -> bool:
    """Whether a path is a device, a pipe or a socket, or a link to one: what is to be written to, and never replaced.

    A link into /proc is such a one too: ``/dev/stdout`` may lead to a file, and replacing the link would be for good.

    >>> is_special(os.devnull)
    True
    """
    with contextlib.suppress(OSError, ValueError):
        if os.path.islink(path) and os.readlink(path).startswith("/proc/"):
            return True
        mode = os.stat(path).st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


def open_at_once(path: str, flags: int) -> int:
    """An ``opener`` for ``open`` that does not wait: a named pipe would make the program wait for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_special(target: Path) -> None:
    if is_special(target):
        raise OSError(
            errno.EINVAL,
            "expected the path of a regular file, got a device, pipe or socket; choose another",
            str(target),
        )


def _replace_whole(target: Path, content: bytes) -> None:
    """Writes a temporary file and gives it the final name. It stays locked until then, so that no one sweeps it."""
    mode = _mode_of(target)
    descriptor, temporary = _create(target, mode)
    try:
        try:
            _write(descriptor, temporary, content, mode)
            if os.name != "nt":
                _replace(temporary, target)
        finally:
            os.close(descriptor)
        if os.name == "nt":
            _replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _create(target: Path, mode: int | None) -> tuple[int, Path]:
    """A new temporary file for ``target``, open and locked, and its path."""
    # O_EXCL: never write through a link that someone put under this name. Nobody else may read what will
    # take the place of a file that they may not read.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = target.with_name(f"{_stem(target)}{os.getpid()}.{os.urandom(8).hex()}{_SUFFIX}")
        descriptor = os.open(temporary, flags, 0o666 if mode is None else 0o600)
        if fcntl is None or not _is_swept(descriptor):
            return descriptor, temporary
        os.close(descriptor)


def _is_swept(descriptor: int) -> bool:
    """Whether another process took a new file for one that was left, before it was locked; else locks it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks, where nobody sweeps
        return False
    return os.fstat(descriptor).st_nlink == 0


def _write(descriptor: int, temporary: Path, content: bytes, mode: int | None) -> None:
    if mode is not None:
        os.chmod(temporary, mode)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS, whose fsync leaves the bytes in the disk's own memory
        with contextlib.suppress(OSError):  # a file system without it
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)


def _replace(temporary: Path, target: Path) -> None:
    for wait in _WAITS:
        try:
            os.replace(temporary, target)
            return
        except PermissionError:
            time.sleep(wait)
    os.replace(temporary, target)


def _mode_of(target: Path) -> int | None:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return None


def sync_folder(folder: Path) -> None:
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
    try:
        free = f"{shutil.disk_usage(target.parent).free:,}"
    except OSError:  # the folder is gone
        free = "unknown"
    message = (
        f"{error.strerror or error}; nothing was saved and the earlier file, if any, is intact "
        f"({needed:,} bytes needed, {free} free in the folder)"
    )
    return OSError(error.errno or errno.EIO, message, str(target))


# ---- what killed processes left -----------------------------------------------------------------------


def _stem(target: Path) -> str:
    """How the temporaries of ``target`` begin; a name has room for 255 bytes, which few characters may take."""
    name = target.name
    while len(os.fsencode(name)) > _LONGEST_STEM:
        name = name[:-1]
    return f".{name}."


def _sweep(target: Path) -> None:
    """Removes the temporaries of ``target`` that nobody writes any more.

    The lock tells, not the process number in the name: containers that share a folder count their
    processes each for itself.
    """
    stem = _stem(target)
    for name in os.listdir(target.parent):
        if name.startswith(stem) and name.endswith(_SUFFIX):
            _remove_if_idle(target.with_name(name))


def _remove_if_idle(temporary: Path) -> None:
    try:
        if fcntl is None:
            temporary.unlink(missing_ok=True)
            return
        descriptor = os.open(temporary, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                temporary.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
    except OSError:
        return  # in use, gone, or not ours to remove
