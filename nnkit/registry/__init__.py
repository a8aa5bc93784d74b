"""A registry of versions: a folder of published models, each with a card, and aliases that say which is used.

``Registry(folder).publish(model, "digits")`` keeps a model as the next version of "digits"; ``promote`` and
``rollback`` move an alias such as ``champion`` forward and back; ``get("digits").load()`` is the champion; and
``python -m nnkit models`` does the same from a shell. No server and no database is needed: several programs may use the
folder at once, and the end of any of them at any moment leaves it usable.

What is in the folder::

    registry/digits/versions/000001/model.safetensors    never changed after it is there
                                    card.json            what it is: checksums, metrics, inputs, code, a reference
                    moves/000004/moves.jsonl             where each alias was moved, the newest file with all of it

A version or a move appears by one renaming of a folder, which fails where another took the number first: so nothing is
locked, and a reader sees all or nothing. To delete a version, remove its folder; the newest one's number is free then.
Opening a registry runs no code from it, as with any of nnkit's files; cards are checked when they are read.

``docs/do/versions.md`` tells of it at length, and of MLflow beside it.
"""

from __future__ import annotations

from nnkit.registry.moves import Move
from nnkit.registry.registry import Registry
from nnkit.registry.version import Version

__all__ = ["Move", "Registry", "Version"]


def __dir__() -> list[str]:
    return sorted(__all__)
