"""Models: layers that can be trained, saved and loaded; ``Sequential`` runs them one after another.

``model`` and ``sequential`` have the classes; here is what makes a model of a file and of another model.
Definitions: ``keras.models``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

from nnkit import io
from nnkit.errors import ModelFileError
from nnkit.keras import files, objects
from nnkit.keras.graph_config import with_operations
from nnkit.keras.input_layer import InputLayer
from nnkit.keras.model import Model
from nnkit.keras.sequential import Sequential
from nnkit.keras.symbolic import Operation, leaves

__all__ = ["Model", "Sequential", "clone_model", "load_model"]


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Model:
    """The model that :meth:`Model.save`, or Keras 3's, wrote, with its weights; opening a file runs no code from it.

    Args:
        filepath: where the file is: of nnkit's own, ``.keras`` or ``.h5``; its first bytes tell which.
        custom_objects: classes and functions that the file names, which are not registered: ``{"Twice": Twice}``.
        compile: whether to compile the model as it was; out of nnkit's own files the optimizer begins afresh.
        safe_mode: accepted; nothing is ever run out of a file.

    Raises:
        ModelFileError: the file is damaged, is no Keras model, or needs a class that is not registered.

    >>> import tempfile
    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model.safetensors")
    ...     load_model(f"{folder}/model.safetensors").count_params()
    3
    """
    if isinstance(custom_objects, bool):  # An older order of nnkit's: load_model(path, False).
        custom_objects, compile = None, custom_objects
    with objects.CustomObjectScope(custom_objects or {}):
        kind = files.magic_of(filepath)
        model = io.load(filepath) if kind is None else files.load_model(filepath, kind, compile)
    if not isinstance(model, Model):
        raise ModelFileError(
            f"{os.fspath(filepath)!r} holds a {type(model).__name__}, no model of nnkit.keras; open it with nnkit.load"
        )
    model.compiled = model.compiled and compile
    return model


def clone_model(model: Model, input_tensors: Any = None, clone_function: Any = None, **ignored: Any) -> Model:
    """A model of the same layers with weights of its own, newly drawn.

    Source: ``keras.models.clone_model``.

    Args:
        model: a functional or Sequential model.
        input_tensors: symbolic tensors for it to begin with.
        clone_function: what makes a layer of each layer; ``from_config`` of its configuration by default.

    Raises:
        ValueError: a model of another kind.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> clone_model(model).count_params()
    3
    """
    clone = clone_function or (lambda layer: type(layer).from_config(layer.get_config()))
    if isinstance(model, Sequential):
        copy = Sequential([clone(layer) for layer in model.layers], name=model.name)
        if model._input_shape is not None and not copy.built and copy.layers:
            copy.build(model._input_shape)
        return copy
    if model._graph is None:
        raise ValueError(f"clone_model takes functional and Sequential models; {model.name!r} has a call of its own")

    def changed(operation: Any) -> Any:
        if isinstance(operation, Operation):
            return Operation(operation.function, operation.name)
        own = isinstance(operation, InputLayer)
        return type(operation).from_config(operation.get_config()) if own else clone(operation)

    given = None if input_tensors is None else list(leaves(input_tensors))
    inputs, outputs = with_operations(model._graph, changed, given)
    return type(model)(inputs, outputs, name=model.name)


def __getattr__(name: str) -> Any:
    """What stands in ``saving``, which is made of models, under Keras's second name."""
    if name in ("model_from_json", "save_model"):
        return getattr(importlib.import_module("nnkit.keras.saving"), name)
    raise AttributeError(f"module 'nnkit.keras.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
