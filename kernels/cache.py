"""Where compiled kernels are kept between processes, and what their keys are made of.

A file is named after its kernel and lies in a folder whose name covers the source files that it depends on, the
compiler and the processor: a changed formula or another machine is a miss. So is a missing, damaged or unwritable
file; none of them is an error.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent


def root() -> Path:
    """The folder of everything that is kept: NNKIT_CACHE, else one in the user's cache folder."""
    named = os.environ.get("NNKIT_CACHE")
    if named:
        return Path(named)
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


def write(path: Path, data: bytes) -> None:
    """Write by replacing, so that another process never reads half a file. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
