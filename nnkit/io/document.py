"""The JSON document that an nnkit file carries in its safetensors metadata, under ``"nnkit"``.

``{"format": "nnkit", "version": 1, ...}`` and then what the file is about. A file without it is
one of another program: arrays by name, and nothing else is known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nnkit.errors import ModelFileError
from nnkit.io.codec import dumps
from nnkit.io.files import PathLike
from nnkit.io.weights import WeightFile, opened, parse_object, save_weights

__all__ = ["Document", "opened_document", "write_document"]

FORMAT = "nnkit"
VERSION = 1

Document = dict[str, Any]


def write_document(path: PathLike, arrays: Mapping[str, np.ndarray], document: Document) -> None:
    """Writes arrays by name, and the document about them, as one file; replaces it whole or not at all."""
    text = dumps({"format": FORMAT, "version": VERSION, **document})
    save_weights(path, arrays, {FORMAT: text})


@contextlib.contextmanager
def opened_document(path: PathLike) -> Iterator[tuple[WeightFile, Document]]:
    """An open file, whose arrays are not read yet, and its document; an empty one for a file of another program.

    Raises ``ModelFileError`` for a damaged file, and for one of a newer version of the format.
    """
    with opened(path) as file:
        yield file, _document_of(file)


def _document_of(file: WeightFile) -> Document:
    if FORMAT not in file.metadata:
        return {}
    name = repr(str(file.path))
    document = parse_object(file.metadata[FORMAT], f"the description in {name}")
    version = document.get("version")
    if document.get("format") != FORMAT or type(version) is not int or version < 1:
        raise ModelFileError(f"the description in {name} is none of nnkit's: it lacks format and version")
    if version > VERSION:
        raise ModelFileError(
            f"{name} has version {version} of the format, and this nnkit reads up to {VERSION}; upgrade nnkit"
        )
    return document
