"""The registry itself: publishing, finding, and moving aliases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnkit import nn
from nnkit.errors import DataError, ModelFileError, UnknownNameError
from nnkit.io.files import PathLike, sha256, write_file
from nnkit.registry import folders
from nnkit.registry.cards import CARD, card_of, dumped
from nnkit.registry.files import verify
from nnkit.registry.moves import Log, Move, now, stacks
from nnkit.registry.names import NEWEST, as_number, checked_alias, checked_name, is_name
from nnkit.registry.version import Version

__all__ = ["Registry"]

VERSIONS = "versions"
MODEL = "model.safetensors"
CHAMPION = "champion"
MOST_ALIASES = 100


class Registry:
    """The versions of models that are in a folder; the first ``publish`` makes it.

    Args:
        folder: where it is, or will be.

    Raises NotADirectoryError where ``folder`` is a file.

    Source: nnkit's own.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     registry = Registry(folder)
    ...     first = registry.publish(nn.Linear(2, 1), "line", metrics={"mse": 0.5}, alias="champion")
    ...     second = registry.publish(nn.Linear(2, 1), "line", metrics={"mse": 0.25})
    ...     registry.promote("line", 2)
    ...     registry.rollback("line")
    ...     registry.get("line").load()
    Version('line', 2)
    Version('line', 1)
    Linear(in_features=2, out_features=1, bias=True)
    """

    def __init__(self, folder: PathLike) -> None:
        self.folder = Path(os.fspath(folder))
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"the registry {str(self.folder)!r} is a file; expected a folder")

    # ---- publishing ------------------------------------------------------------------------------------------

    def publish(
        self,
        model: nn.Module,
        name: str,
        *,
        metrics: Mapping[str, Any] | None = None,
        data: Any = None,
        reference: Mapping[str, Any] | None = None,
        notes: str = "",
        alias: str | None = None,
    ) -> Version:
        """Keep a model as the next version of ``name``; it is there whole, or not at all.

        Args:
            model: a Module or a Keras model, of classes that a file can name.
            metrics: numbers by name, such as ``model.evaluate(...)`` gives.
            data: what it was trained on, for a checksum, the shape of a row, and the reference: x, a table, (x, y); or
                a text that names it.
            reference: what ``nnkit.monitor.reference(x)`` gave, to tell drift by; made of ``data`` by default.
            alias: is moved to the new version.

        Raises ``DataError`` for names that cannot be, ``TypeError`` for what is no Module, ``ModelFileError`` for a
        model that could not be loaded again, ``OSError`` where the folder cannot be written to or the disk is full.
        """
        if not isinstance(model, nn.Module):
            raise TypeError(_no_module(model))
        alias = None if alias is None else checked_alias(alias)
        card = card_of(model, self._new_name(name), metrics=metrics, data=data, reference=reference, notes=notes)
        dumped(card)  # before anything is written
        home = self._home(name)
        versions = home / VERSIONS
        folders.make_folder(versions)
        with folders.part(home) as made:
            path = made / MODEL
            model.save(path)
            verify(path)
            card["file"] = {"name": MODEL, "sha256": sha256(path), "bytes": path.stat().st_size}
            write_file(made / CARD, dumped(card))
            for file in (path, made / CARD) if os.name != "nt" else ():  # where what is read-only cannot be swept
                file.chmod(file.stat().st_mode & ~0o222)
            number = max(folders.numbers(versions), default=0) + 1
            while not folders.take(made, versions, number):
                number += 1
        if alias is not None:
            self.promote(name, number, alias)
        return self._version(name, number)

    # ---- finding ---------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """The models of which there is a version."""
        if not self.folder.is_dir():
            return []
        named = (path for path in self.folder.iterdir() if is_name(path.name) and path.is_dir())
        return sorted(path.name for path in named if folders.numbers(path / VERSIONS))

    def versions(self, name: str) -> list[Version]:
        """All versions, the newest last. Raises ``UnknownNameError`` where there is no such model."""
        return [self._version(name, number) for number in self._numbers(name)]

    def get(self, name: str, which: int | str = CHAMPION) -> Version:
        """The version that a number, an alias or "newest" means; with no champion yet the newest stands for it.

        Raises ``UnknownNameError`` where there is no such model, version or alias.
        """
        taken, number = self._numbers(name), as_number(which)
        if which == NEWEST:
            number = taken[-1]
        elif number is None:
            aliases = self.aliases(name)
            if which not in aliases and which != CHAMPION:
                raise UnknownNameError(f"alias of {name!r}", which, [*aliases, NEWEST])
            number = aliases.get(which, taken[-1])
        if number not in taken:
            raise UnknownNameError(f"version of {name!r}", number, map(str, taken[-10:]))
        return self._version(name, number)

    def aliases(self, name: str) -> dict[str, int]:
        """Where each alias points."""
        self._numbers(name)
        return {alias: stack[-1] for alias, stack in sorted(stacks(self._log(name).read()).items())}

    def moves(self, name: str) -> list[Move]:
        """How aliases were moved: ``(alias, kind, to, time)``, the last move last."""
        self._numbers(name)
        return self._log(name).read()

    def stamp(self, name: str) -> tuple[int, int, int]:
        """Changes when a version or a move of an alias is added, or a version removed; costs two looks at a folder."""
        taken = folders.numbers(self._home(name) / VERSIONS)
        return len(taken), max(taken, default=0), self._log(name).stamp()

    # ---- moving aliases --------------------------------------------------------------------------------------

    def promote(self, name: str, number: int, alias: str = CHAMPION) -> Version:
        """Let ``alias`` mean that version from now on. Raises ``UnknownNameError`` where there is none."""
        alias, version = checked_alias(alias), self.get(name, number)

        def decide(moves: list[Move]) -> Move | None:
            known = stacks(moves)
            if alias not in known and len(known) >= MOST_ALIASES:
                raise DataError(f"{name!r} has {MOST_ALIASES} aliases already; move one of them")
            here = known.get(alias, [0])[-1] == version.number
            return None if here else Move(alias, "promote", version.number, now())

        self._log(name).append(decide)
        return version

    def rollback(self, name: str, alias: str = CHAMPION) -> Version:
        """Move ``alias`` back to the version it pointed to before, and again further back; returns that version.

        Raises ``UnknownNameError`` for an alias that is not set, ``DataError`` where it pointed nowhere before.
        """
        taken, alias = self._numbers(name), checked_alias(alias)

        def decide(moves: list[Move]) -> Move:
            known = stacks(moves)
            if alias not in known:
                raise UnknownNameError(f"alias of {name!r}", alias, known)
            earlier = [number for number in known[alias][:-1] if number in taken]
            if not earlier:
                raise DataError(
                    f"alias {alias!r} of {name!r} pointed to no version before {known[alias][-1]} that is still there; "
                    "move it with promote"
                )
            return Move(alias, "rollback", earlier[-1], now())

        move = self._log(name).append(decide)
        assert move is not None
        return self._version(name, move.to)

    # ---- the state of the folder -----------------------------------------------------------------------------

    def check(self, name: str | None = None) -> list[str]:
        """What is wrong, of one model or of all: damaged or changed files, aliases that point nowhere, leftovers."""
        found = []
        for each in self.names() if name is None else [name]:
            for version in self.versions(each):
                found += [f"{version}: {problem}" for problem in version.problems()]
            found += [f"{each}: {problem}" for problem in self._log(each).problems()]
            taken = self._numbers(each)
            try:
                aliases = self.aliases(each)
            except (ModelFileError, OSError) as error:
                found.append(f"{each}: {error}")
                aliases = {}
            found += [
                f"{each}: alias {alias!r} points to version {number}, which is not there"
                for alias, number in aliases.items()
                if number not in taken
            ]
            found += [
                f"{each}: {str(path)!r} was left by a process that was killed; the next change removes it"
                for path in folders.leftovers(self._home(each))
            ]
        return found

    def _home(self, name: str) -> Path:
        return self.folder / checked_name(name)

    def _log(self, name: str) -> Log:
        return Log(self._home(name))

    def _version(self, name: str, number: int) -> Version:
        return Version(name, number, folders.path_of(self._home(name) / VERSIONS, number))

    def _numbers(self, name: str) -> list[int]:
        """The versions that there are, at least one."""
        taken = folders.numbers(self._home(name) / VERSIONS)
        if not taken:
            raise UnknownNameError(f"model in the registry {str(self.folder)!r}:", name, self.names())
        return taken

    def _new_name(self, name: str) -> str:
        """A name to publish under; no other may differ only by case, which some systems do not tell apart."""
        same = [other for other in self.names() if other.lower() == checked_name(name).lower() and other != name]
        if same:
            raise DataError(f"name {name!r} differs from {same[0]!r} only by case: they are one folder on some systems")
        return name

    def __repr__(self) -> str:
        return f"Registry({str(self.folder)!r})"


def _no_module(model: Any) -> str:
    if isinstance(model, (str, os.PathLike)):
        return f"model must be a Module, got a path: publish(nnkit.load({str(model)!r}), ...)"
    if hasattr(model, "get_params") and hasattr(model, "module_"):
        return (
            f"model must be a Module, got a {type(model).__name__}, which has no file format that is safe to load: "
            "publish its network, model.module_, whose outputs are scores before softmax or sigmoid"
        )
    return f"model must be a Module, got {type(model).__name__}"
