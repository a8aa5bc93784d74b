"""The JSON document that an nnkit file carries in its safetensors metadata, under ``"nnkit"``.

``{"format": "nnkit", "version": 1, ...}`` and then what the file is about. A file without it is
one of another program: arrays by name, and nothing else is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnkit.errors import ModelFileError
from nnkit.io.codec import dumps
from nnkit.io.files import PathLike
from nnkit.io.weights import load_weights, parse_object, save_weights

__all__ = ["Document", "read_document", "write_document"]

FORMAT = "nnkit"
VERSION = 1

Document = dict[str, Any]


def write_document(path: PathLike, arrays: Mapping[str, np.ndarray], document: Document) -> None:
    """Writes arrays by name, and the document about them, as one file; replaces it whole or not at all."""
    text = dumps({"format": FORMAT, "version": VERSION, **document})
    save_weights(path, arrays, {FORMAT: text})


def read_document(path: PathLike) -> tuple[dict[str, np.ndarray], Document]:
    """The arrays of a file, and its document; an empty one for a file of another program.

    Raises ``ModelFileError`` for a damaged file, and for one of a newer version of the format.
    """
    arrays, metadata = load_weights(path)
    if FORMAT not in metadata:
        return arrays, {}
    document = parse_object(metadata[FORMAT], f"the description in {str(path)!r}")
    version = document.get("version")
    if document.get("format") != FORMAT or type(version) is not int or version < 1:
        raise ModelFileError(f"the description in {str(path)!r} is none of nnkit's: it lacks format and version")
    if version > VERSION:
        raise ModelFileError(
            f"{str(path)!r} has version {version} of the format, and this nnkit reads up to {VERSION}; upgrade nnkit"
        )
    return arrays, document
