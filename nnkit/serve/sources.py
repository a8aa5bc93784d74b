"""Where served models come from: one file, or the versions of a name in a registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from nnkit.errors import DataError
from nnkit.io import sha256
from nnkit.nn.module import Module
from nnkit.registry import Registry, Version
from nnkit.registry.files import load_model

__all__ = ["File", "Loaded", "Published", "Source", "source_of"]


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
        version = self.wanted()
        return Loaded(load_model(self.path, device), version, {"file": self.path.name})

    def told(self) -> dict[str, Any]:
        """A file has no versions."""
        return {"versions": [], "aliases": {}}


class Published:
    """What an alias of a name is in a registry.

    Raises UnknownNameError where there is no such name, version or alias.
    """

    def __init__(self, registry: Registry, name: str, alias: str) -> None:
        self.registry, self.name, self.alias = registry, name, alias
        self._version()

    def _version(self) -> Version:
        return self.registry.get(self.name, self.alias)

    def stamp(self) -> Any:
        """Another one when a version or the move of an alias is added."""
        return self.registry.stamp(self.name)

    def wanted(self) -> str:
        """The number that the alias has."""
        return str(self._version().number)

    def load(self, device: Any) -> Loaded:
        """The version that the alias means."""
        version = self._version()
        return Loaded(version.load(device), str(version.number), version.card)

    def told(self) -> dict[str, Any]:
        """All versions, the newest first, and where aliases point."""
        try:
            versions = [_told(version) for version in reversed(self.registry.versions(self.name))]
            return {"versions": versions, "aliases": self.registry.aliases(self.name)}
        except (ValueError, OSError):  # it was removed or damaged; what answers goes on, and /health says why
            return {"versions": [], "aliases": {}}


def _told(version: Version) -> dict[str, Any]:
    """What of a card stands in the list of versions."""
    try:
        card = version.card
    except (ValueError, OSError) as error:
        return {"number": version.number, "notes": f"its card cannot be read: {error}"}
    return {"number": version.number, **{key: card.get(key) for key in ("created", "metrics", "notes")}}


def source_of(path: str | os.PathLike[str], name: str | None = None, alias: str = "champion") -> Source:
    """A model file, or what ``alias`` of ``name`` is in the registry that is a folder; of its only name unless given.

    Raises what File and Published raise, and ValueError where the name is lacking or one too many.

    Source: nnkit's own.

    >>> import tempfile, nnkit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nnkit.nn.Linear(2, 1).save(f"{folder}/line.safetensors")
    ...     type(source_of(f"{folder}/line.safetensors")).__name__
    'File'
    """
    if not Path(path).is_dir():
        if name is not None:
            raise ValueError(f"name={name!r} was given, and {os.fspath(path)!r} is one model and no registry")
        return File(path)
    registry = Registry(path)
    names = [name] if name is not None else registry.names()
    if len(names) != 1:
        raise DataError(
            f"the registry {os.fspath(path)!r} has {f'the models {names}' if names else 'no models'}; "
            f"{'say which: name=...' if names else 'publish one first'}"
        )
    return Published(registry, names[0], alias)
