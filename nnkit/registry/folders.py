"""Numbered folders that are there whole or not at all, whoever else makes some, and wherever a process is killed.

A folder is made under a hidden name, its files forced to the disk, and then renamed to its number. The system renames
to a name only where no folder with files has it, so of two processes one gets the number and the other is told; no lock
is held that a killed process could leave behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from nnkit.io.files import sync_folder

__all__ = ["leftovers", "make_folder", "numbers", "part", "path_of", "take"]

PART = ".part-"
#: Seconds without a write after which a folder that was never renamed was left by a process that is no more.
STALE = 3600.0
# On Windows a virus scanner may hold a file for a moment.
WAITS = (0.01, 0.1, 0.5, 1.0) if os.name == "nt" else ()


def path_of(folder: Path, number: int) -> Path:
    """Where the folder with this number is."""
    return folder / f"{number:06d}"


def numbers(folder: Path) -> list[int]:
    """The numbers that are taken, in order; none where there is no such folder, and not that of an empty one."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = (int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 18)
    known = (number for number in found if number > 0 and path_of(folder, number).name in names)
    return sorted(number for number in known if _holds_something(path_of(folder, number)))


def _holds_something(path: Path) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextlib.contextmanager
def part(folder: Path) -> Iterator[Path]:
    """A new empty folder in ``folder``, to fill and to ``take`` a number with; removed after it unless it was taken."""
    for left in leftovers(folder):
        shutil.rmtree(left, ignore_errors=True)
    made = folder / f"{PART}{os.urandom(8).hex()}"
    make_folder(made)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Make a folder, and those that it is in, where they are not there. Raises ``OSError`` that says what for."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{error.strerror}: the registry cannot be written to"
        raise OSError(error.errno, message, os.fspath(path.parent)) from error


def take(made: Path, folder: Path, number: int) -> bool:
    """Give a folder that is complete its number; False where another has it. Raises ``OSError``."""
    place = path_of(folder, number)
    for wait in (*WAITS, None):
        try:
            os.rename(made, place)
            break
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY) or place.exists():
                return False
            if wait is None or not isinstance(error, PermissionError):
                raise
            time.sleep(wait)
    sync_folder(folder)
    return True


def leftovers(folder: Path) -> list[Path]:
    """Folders that killed processes left unfinished: nothing was written to them for an hour."""
    with contextlib.suppress(FileNotFoundError):
        parts = [folder / name for name in os.listdir(folder) if name.startswith(PART)]
        return [path for path in parts if time.time() - _last_write(path) > STALE]
    return []


def _last_write(path: Path) -> float:
    """When something in there was last written; now, where that cannot be told."""
    try:
        return max(entry.stat().st_mtime for entry in (path, *path.iterdir()))
    except OSError:
        return time.time()
