"""Lists of words that layers of text learned, which ``.keras`` files hold as texts of a line for each word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnkit.errors import ModelFileError
from nnkit.keras.files.places import places
from nnkit.keras.texts import StringLookup, TextVectorization

__all__ = ["put_words"]

FILE = "vocabulary.txt"


def put_words(model: Any, assets: Mapping[str, bytes], name: str) -> None:
    """Give the layers of text in a model that have no words yet those of the file."""
    for place in places(model):
        layer = place.layer
        if not isinstance(layer, (StringLookup, TextVectorization)):
            continue
        content = assets.get(f"{place.path}/{FILE}" if place.path else FILE)
        if content is None:
            continue
        try:
            words = content.decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ModelFileError(f"{name}: the words of {layer.name!r} are no text: {error}") from error
        while words and not words[-1]:
            words.pop()
        layer.set_vocabulary(words)
