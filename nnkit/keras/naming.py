"""Names: how a string finds its class, and how an unnamed layer gets one.

Keras lets nearly every argument be an object or a name. Each family (activations, losses, …) keeps a table
from names to classes; :func:`resolve` looks a name up and, where it is unknown, names the nearest ones.
An unnamed layer is called after its class, with a number from the second on: ``dense``, ``dense_1``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from nnkit.errors import UnknownNameError
from nnkit.keras import objects

__all__ = ["automatic_name", "clear_session", "configured", "numbered", "resolve", "snake_case"]

_names_given: Counter[str] = Counter()


def resolve(kind: str, identifier: object, table: Mapping[str, Callable[..., Any]]) -> Any:
    """The object that ``identifier`` names in ``table``, or the one that a config dict describes.

    Args:
        kind: what is looked up, for the error message ("loss", "optimizer").
        identifier: a name (upper and lower case are alike) or ``{"class_name": …, "config": …}``.
        table: names to classes or factories; a hit is called without arguments.

    Raises:
        UnknownNameError: the name is not in the table; the message lists the nearest.

    >>> resolve("number", "ONE", {"one": lambda: 1})
    1
    """
    settings: Mapping[str, Any] = {}
    name = identifier
    if isinstance(identifier, Mapping):
        name, settings = identifier.get("class_name"), identifier.get("config") or {}
        if name == "function":  # so Keras writes one
            name, settings = identifier.get("registered_name") or identifier.get("config"), {}
    own = objects.found(name)
    if own is not None:
        return objects.made(own, settings)
    folded = {known.lower(): factory for known, factory in table.items()}
    if not isinstance(name, str) or name.lower() not in folded:
        raise UnknownNameError(kind, name, table)
    return folded[name.lower()](**settings)


def configured(part: Any) -> Any:
    """The ``{"class_name", "config"}`` from which :func:`resolve` makes ``part`` again.

    None stays None, and so does a function of the user's own, unless it is registered under a name.
    """
    if not hasattr(part, "get_config") or isinstance(part, type):
        name = objects.get_registered_name(part) if callable(part) and hasattr(part, "__name__") else ""
        return name if ">" in name else part
    return {"class_name": objects.get_registered_name(type(part)), "config": part.get_config()}


def snake_case(name: str) -> str:
    """``LeakyReLU`` as ``leaky_re_lu``, which is how Keras writes it.

    >>> snake_case("LeakyReLU"), snake_case("ConvLSTM2D")
    ('leaky_re_lu', 'conv_lstm2d')
    """
    parted = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", parted).lower()


def automatic_name(cls: type) -> str:
    """The next free name for an instance of ``cls``: ``dense``, then ``dense_1``, …"""
    return numbered(snake_case(cls.__name__))


def numbered(name: str) -> str:
    """``name`` at first, then ``name_1``, …"""
    _names_given[name] += 1
    repeats = _names_given[name] - 1
    return f"{name}_{repeats}" if repeats else name


def clear_session() -> None:
    """Start numbering unnamed layers and models afresh (``keras.utils.clear_session``).

    >>> from nnkit import keras
    >>> clear_session(); keras.layers.Dense(1).name
    'dense'
    """
    _names_given.clear()
