"""What a text on a command line means: a model's file, or a version in a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnkit.registry.registry import CHAMPION, Registry

__all__ = ["find_model"]


def find_model(text: str) -> tuple[Path, dict[str, Any]]:
    """The model's file that a text means, and the card of a version, else {}: a file, or ``registry/name[@which]``.

    ``which`` is a number, an alias or "newest"; the champion by default. Raises ``FileNotFoundError`` where there is
    neither, ``UnknownNameError`` where the registry has no such model or version.
    """
    path = Path(text)
    if path.is_file():
        return path, {}
    name, _, which = path.name.partition("@")
    if path.parent.is_dir() and Registry(path.parent).names():
        version = Registry(path.parent).get(name, which or CHAMPION)
        return version.path, version.card
    if path.is_dir() and (names := Registry(path).names()):
        raise FileNotFoundError(f"{text!r} is a registry: name a model in it, such as {str(path / names[0])!r}")
    raise FileNotFoundError(f"{text!r} is neither a model's file nor a model in a registry (FOLDER/NAME)")
