"""Where compiled kernels are kept between processes, and what their keys are made of.

A file is named after its kernel and lies in a folder whose name covers the source files that it depends on, the
compiler and the processor: a changed formula or another machine is a miss. So is a missing, damaged or unwritable
file, one that is not this user's own, and one that was kept under another key; none of them is an error.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent
#: Bytes that a file and its header have at most; the largest kernels have a tenth of that.
LARGEST, LARGEST_HEADER = 1 << 24, 1 << 16


def root() -> Path:
    """The folder of everything that is kept: NNKIT_CACHE, else one in the user's cache folder."""
    named = os.environ.get("NNKIT_CACHE")
    if named:
        return Path(os.path.expanduser(named))
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return Path(base or os.path.join(os.path.expanduser("~"), ".cache")) / "nnkit"


def digest(data: bytes) -> str:
    """A hash in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


@functools.cache
def sources_digest(processor: str) -> str:
    """A hash of the formulas and of the kernels for one kind of processor: the subfolder ``cpu`` or ``cuda``."""
    paths = [*sorted(SOURCES.glob("*.py")), *sorted((SOURCES / processor).glob("*.py"))]
    return digest(b"".join(path.read_bytes() for path in paths))


# ---- files: a line that seals the key and all that follows, a line of JSON, code ----------------------------------


def read(path: Path, key: str) -> tuple[dict[str, Any], bytes] | None:
    """The header and the code that were written under this key; None where they are not whole or not ours."""
    try:
        sealed, _, content = _own_bytes(path).partition(b"\n")
        if sealed != seal(key, content):
            return None
        line, _, code = content.partition(b"\n")
        header = json.loads(line) if len(line) <= LARGEST_HEADER else None
    except (OSError, ValueError, RecursionError):
        return None
    return (header, code) if isinstance(header, dict) else None


def write(path: Path, key: str, header: dict[str, Any], code: bytes) -> None:
    """Keep header and code by replacing, so that another process never reads half a file. Raises OSError.

    Windows replaces no file that another process is reading; what that one reads is then kept as well.
    """
    make(path.parent)
    content = json.dumps(header).encode() + b"\n" + code
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(seal(key, content) + b"\n" + content)
        os.replace(temporary, path)
    except OSError as error:
        os.unlink(temporary)
        if not (isinstance(error, PermissionError) and read(path, key)):
            raise


def make(folder: Path) -> None:
    """Make a folder under ``root`` that nobody else can write to. Raises OSError: it cannot be, or is another's."""
    for level in reversed(_levels(folder)):
        level.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_own(folder)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written")


def seal(key: str, content: bytes) -> bytes:
    """A file's first line: a hash of its content and of the key that it is kept under."""
    return digest(key.encode() + b"\n" + content).encode()


def _levels(folder: Path) -> list[Path]:
    """The folder and those above it, up to ``root``."""
    top = root()
    return [folder, *(above for above in folder.parents if above == top or top in above.parents)]


def _require_own(folder: Path) -> None:
    for level in _levels(folder):
        _require_ours(level, os.stat(level), stat.S_IWOTH)


def _require_ours(path: Path, found: os.stat_result, shared: int) -> None:
    """Raise PermissionError unless the file is this user's, and writable for none of the others in ``shared``."""
    if os.name == "nt":  # whose folders know no such bits; the user's own lie in a profile closed to others
        return
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to another user")
    if found.st_mode & shared:
        raise PermissionError(f"{path} can be written by other users")


def _own_bytes(path: Path) -> bytes:
    """The content of a regular file of this user's. Raises OSError; never waits, as opening a pipe would."""
    _require_own(path.parent)
    cautious = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")  # not every system has each
    handle = os.open(path, functools.reduce(lambda flags, name: flags | getattr(os, name, 0), cautious, os.O_RDONLY))
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            raise OSError(f"{path} is not a kernel")
        _require_ours(path, found, stat.S_IWOTH | stat.S_IWGRP)
        return os.read(handle, LARGEST)
    finally:
        os.close(handle)
