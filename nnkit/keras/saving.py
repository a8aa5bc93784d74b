"""Saving and loading by name. Importing this module registers the layers, so that model files may name them.

A layer of your own is registered by ``@register_keras_serializable()`` or ``@nnkit.register_module``: a file names
it, and the program that loads the file must have it. Nothing is ever run out of a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from nnkit.io import register_module
from nnkit.keras import layers
from nnkit.keras.models import Model, Sequential, load_model

__all__ = ["load_model", "register_keras_serializable", "save_model"]

Class = TypeVar("Class", bound=type)


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Class], Class]:
    """A decorator that lets model files name a class of layers, as ``"package>name"``.

    >>> @register_keras_serializable("doctest")
    ... class Twice(layers.Layer):
    ...     def call(self, inputs):
    ...         return inputs * 2.0
    """

    def register(cls: Class) -> Class:
        return register_module(cls, name=f"{package}>{name or cls.__name__}")

    return register


def save_model(model: Model, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
    """``model.save(filepath)``."""
    model.save(filepath, overwrite)


for _name in layers.__all__:
    _layer = getattr(layers, _name)
    if isinstance(_layer, type) and _layer is not layers.Layer and _layer.__name__ == _name:  # and no second name
        register_module(_layer, name=f"keras.{_name}")
register_module(Sequential, name="keras.Sequential")
register_module(Model, name="keras.Functional")
