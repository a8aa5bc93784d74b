"""Finds ``nnkit.backends`` and ``nnkit.kernels`` in a clone that is not installed, where they lie beside ``nnkit``.

``digest`` tells one state of the sources from another, also where there is no git.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

ROOT = str(Path(__file__).parent.parent)
BESIDE = ("nnkit.backends", "nnkit.kernels")
#: Folders of which every Python file may change what is found.
CODE = ("nnkit", "backends", "kernels", "bench", "tests")


class Beside:
    """Asked last: where nnkit is installed its own packages have been found before."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Where a package lies that an installation would have put inside ``nnkit``."""
        return PathFinder.find_spec(name, [ROOT]) if name in BESIDE else None


def find() -> None:
    """Look there too, in this process."""
    if Beside not in sys.meta_path:
        sys.meta_path.append(Beside)


def digest(folders: Sequence[str] = CODE) -> str:
    """A hash of all Python files in some folders, by name and content."""
    made = hashlib.sha256()
    for path in sorted(path for folder in folders for path in (Path(ROOT) / folder).rglob("*.py")):
        made.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return made.hexdigest()[:20]
