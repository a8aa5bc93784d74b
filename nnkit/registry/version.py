"""One published version of a model: a file that never changes, and a card."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from nnkit import nn
from nnkit.errors import ModelFileError
from nnkit.io.document import opened_document
from nnkit.io.files import sha256
from nnkit.registry.cards import CARD, read_card
from nnkit.registry.files import load_model

__all__ = ["Version"]


class Version:
    """A version that is in a registry: ``name``, ``number``, ``path`` of the model's file, ``card``.

    ``load`` raises ModelFileError where the file is not what was published. Source: nnkit's own.

    >>> import tempfile, nnkit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     version = nnkit.registry.Registry(folder).publish(nnkit.nn.Linear(2, 1), "line")
    ...     version.name, version.number, version.path.exists()
    ('line', 1, True)
    """

    def __init__(self, name: str, number: int, folder: Path) -> None:
        self.name, self.number, self.folder = name, number, folder

    @cached_property
    def card(self) -> dict[str, Any]:
        """What the version is, and its number; ``ModelFileError`` for a damaged card, ``OSError`` without one."""
        return {**read_card(self.folder / CARD), "number": self.number}

    @property
    def path(self) -> Path:
        """The model's file."""
        return self.folder / str(self.card["file"]["name"])

    def load(self, device: Any = None) -> nn.Module:
        """The model, on ``device``.

        Raises ``ModelFileError`` where the file holds other bytes than were published, or needs a class that this
        program has not registered; ``OSError`` where it cannot be read.
        """
        problem = self._problem_of_file()
        if problem is not None:
            raise ModelFileError(f"{self}: {problem}; publish it anew")
        return load_model(self.path, device)

    def problems(self) -> list[str]:
        """What is wrong with the files; nothing is changed."""
        try:
            problem = self._problem_of_file()
            if problem is None:
                with opened_document(self.path):
                    return []
        except (OSError, ModelFileError) as error:
            problem = str(error)
        return [problem]

    def _problem_of_file(self) -> str | None:
        expected = self.card["file"]
        size = self.path.stat().st_size
        if size != expected["bytes"]:
            return f"{str(self.path)!r} has {size:,} bytes, and {expected['bytes']:,} were published"
        if sha256(self.path) != expected["sha256"]:
            return f"{str(self.path)!r} has not the checksum that was published"
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    def __str__(self) -> str:
        return f"{self.name} {self.number}"

    def __repr__(self) -> str:
        return f"Version({self.name!r}, {self.number})"
