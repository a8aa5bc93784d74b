"""Python values as JSON that loses nothing, and that can hold nothing but values.

JSON has no tuples, no infinity, and only texts as keys. So every JSON object in an nnkit file
is a tagged value with exactly one entry, such as ``{"tuple": [3, 3]}``; a reader knows a fixed
set of tags and refuses the rest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nnkit.errors import ModelFileError
from nnkit.tensors.dtypes import as_dtype

__all__ = ["CannotDescribe", "decode", "dumps", "encode"]

Json = Any
# Encodes what is no plain value: (value, path) -> a tagged value, or None for what it does not know.
Encoder = Callable[[Any, tuple[Any, ...]], Json]
Decoder = Callable[[Json], Any]


class CannotDescribe(TypeError):
    """A value has no place in a model file; the message says which, and why."""


def encode(value: Any, special: Encoder, path: tuple[Any, ...] = ()) -> Json:
    """``value`` as JSON: None, booleans, numbers, texts, lists, tuples, dicts, dtypes, and ``special`` ones.

    Raises ``CannotDescribe`` that names the place, for anything else.
    """
    encoded = special(value, path)
    if encoded is not None:
        return encoded
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, list | tuple):
        items = [encode(item, special, (*path, index)) for index, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, Mapping):
        return {"dict": [[_key(key, path), encode(item, special, (*path, key))] for key, item in value.items()]}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return {"dtype": np.dtype(value).name}
    place = ".".join(map(str, path)) or "the value"
    raise CannotDescribe(f"{place} is a {type(value).__name__}, which a model file cannot describe")


def decode(node: Json, tags: Mapping[str, Decoder]) -> Any:
    """The value that ``encode`` turned into ``node``; ``tags`` reads the special ones.

    Raises ``ModelFileError`` for an object that is no tagged value.
    """
    if isinstance(node, list):
        return [decode(item, tags) for item in node]
    if not isinstance(node, dict):
        return node
    if len(node) != 1:
        raise ModelFileError(f"expected an object with one entry, got {len(node)}: {str(node)[:100]}")
    ((tag, content),) = node.items()
    if tag in tags:
        return tags[tag](content)
    if tag == "tuple" and isinstance(content, list):
        return tuple(decode(item, tags) for item in content)
    if tag == "dict" and isinstance(content, list):
        return dict(_pair(item, tags) for item in content)
    if tag == "float" and content in ("inf", "-inf", "nan"):
        return float(content)
    if tag == "dtype" and isinstance(content, str):
        return _dtype(content)
    raise ModelFileError(f"cannot read the value {str(node)[:100]}")


def dumps(value: Json) -> str:
    """``value`` as one line of JSON; what has no exact JSON is an error."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def _key(key: Any, path: tuple[Any, ...]) -> str | int:
    if isinstance(key, bool) or not isinstance(key, str | int):
        place = ".".join(map(str, path)) or "the value"
        raise CannotDescribe(f"{place} has the key {key!r}; a model file holds texts and integers as keys")
    return key


def _pair(item: Json, tags: Mapping[str, Decoder]) -> tuple[str | int, Any]:
    if not isinstance(item, list) or len(item) != 2 or type(item[0]) not in (str, int):
        raise ModelFileError(f"expected a key and its value, got {str(item)[:100]}")
    return item[0], decode(item[1], tags)


def _dtype(name: str) -> np.dtype[Any]:
    if name not in (
        "bool",
        "uint8",
        "bfloat16",
        *(f"{kind}{bits}" for kind in ("int", "float") for bits in (8, 16, 32, 64)),
    ):
        raise ModelFileError(f"unknown dtype {name[:50]!r}")
    try:
        return as_dtype(name)
    except TypeError:
        raise ModelFileError(f"unknown dtype {name!r}") from None
