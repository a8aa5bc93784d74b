"""Where served models come from: one file, or the versions of a name in a registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from nnkit.errors import ModelFileError
from nnkit.io import load, sha256
from nnkit.nn.module import Module

__all__ = ["File", "Loaded", "Source", "source_of"]


class Loaded(NamedTuple):
    """A model, which version of its source it is, and its card."""

    model: Module
    version: str
    card: dict[str, Any]


class Source(Protocol):
    """What a server follows."""

    name: str

    def stamp(self) -> Any:
        """A cheap value that is another one when ``wanted`` may be."""

    def wanted(self) -> str:
        """The version that is to be served."""

    def load(self, device: Any) -> Loaded:
        """That version; raises ValueError or OSError where it cannot be loaded."""

    def told(self) -> dict[str, Any]:
        """The versions there are, for the page."""


class File:
    """One model file; it is followed where it is replaced.

    Raises FileNotFoundError where it is not there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.name = self.path.name.removesuffix(".safetensors")
        self.stamp()

    def stamp(self) -> tuple[int, int, int]:
        """When it was written, and which file it is."""
        found = self.path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def wanted(self) -> str:
        """The first digits of its checksum."""
        return sha256(self.path)[:12]

    def load(self, device: Any) -> Loaded:
        """The model in the file."""
        version, model = self.wanted(), load(self.path, device=device)
        if not isinstance(model, Module):
            raise ModelFileError(f"{str(self.path)!r} holds a {type(model).__name__}, no model; save one: model.save()")
        return Loaded(model, version, {"file": self.path.name})

    def told(self) -> dict[str, Any]:
        """A file has no versions."""
        return {"versions": [], "aliases": {}}


def source_of(path: str | os.PathLike[str], name: str | None = None, alias: str = "champion") -> Source:
    """A model file, or what ``alias`` of ``name`` is in the registry that is a folder."""
    if Path(path).is_dir():
        raise IsADirectoryError(f"{os.fspath(path)!r} is a folder; expected a model file")
    if name is not None:
        raise ValueError(f"name={name!r} was given, and {os.fspath(path)!r} is one model and no registry; leave it out")
    return File(path)
