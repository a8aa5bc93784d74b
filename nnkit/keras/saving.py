"""Saving and loading by name. Importing this module registers the layers, so that model files may name them.

A layer of your own is registered by ``@register_keras_serializable()`` or ``@nnkit.register_module``, or handed over as
``custom_objects=``: a file names it, and the program that loads the file must have it. Nothing is ever run out of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from nnkit.errors import ModelFileError, UnknownNameError
from nnkit.io import register_module, registry
from nnkit.keras import (
    activations,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    objects,
    optimizers,
    regularizers,
)
from nnkit.keras.files.reading import Reader
from nnkit.keras.layer import Layer
from nnkit.keras.models import Model, Sequential, load_model
from nnkit.keras.objects import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)

__all__ = [
    "CustomObjectScope", "custom_object_scope", "deserialize_keras_object", "get_custom_objects",
    "get_registered_name", "get_registered_object", "load_model", "load_weights", "model_from_json",
    "register_keras_serializable", "save_model", "save_weights", "serialize_keras_object",
]  # fmt: skip

FAMILIES = (layers, losses, metrics, optimizers, initializers, regularizers, constraints, activations)


def serialize_keras_object(obj: Any) -> Any:
    """An object as plain values: ``{"class_name", "config"}``; lists and dicts item by item; a function by its name.

    Raises ValueError for an object without ``get_config``. Source: ``keras.saving.serialize_keras_object``.

    >>> from nnkit.keras.regularizers import L2
    >>> serialize_keras_object(L2(0.5))
    {'class_name': 'L2', 'config': {'l2': 0.5}}
    """
    if isinstance(obj, (list, tuple)):
        return [serialize_keras_object(part) for part in obj]
    if isinstance(obj, dict):
        return {name: serialize_keras_object(part) for name, part in obj.items()}
    return objects.described(obj)


def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True, **options: Any
) -> Any:
    """The object that ``serialize_keras_object``, or Keras's, described: of a class of nnkit.keras's, or the user's.

    Raises:
        UnknownNameError, ModelFileError: no such class is known, or it cannot be made so.

    Source: ``keras.saving.deserialize_keras_object``.

    >>> deserialize_keras_object({"class_name": "Dense", "config": {"units": 3}}).units
    3
    """
    if isinstance(config, (list, tuple)):
        return [deserialize_keras_object(part, custom_objects) for part in config]
    if not isinstance(config, Mapping) or "class_name" not in config:
        known = objects.get_registered_object(config, custom_objects) if isinstance(config, str) else None
        return config if known is None else known
    name, settings = config["class_name"], config.get("config") or {}
    if "module" in config or (isinstance(settings, Mapping) and "input_layers" in settings):  # Keras's own form
        with objects.CustomObjectScope(custom_objects or {}):
            return Reader("the configuration").value(config)
    with objects.CustomObjectScope(custom_objects or {}):
        thing = objects.found(config.get("registered_name") or name) or objects.found(name)
        if thing is None:
            families = [family for family in FAMILIES if name in family.__all__]
            thing = getattr(families[0], name) if families else {"Sequential": Sequential, "Model": Model}.get(name)
            if not isinstance(thing, type):
                raise UnknownNameError("class", name, [n for family in FAMILIES for n in family.__all__])
        return objects.made(thing, settings)


def save_model(
    model: Model, filepath: str | os.PathLike[str], overwrite: bool = True, zipped: bool | None = None,
    include_optimizer: bool = True,
) -> None:  # fmt: skip
    """``model.save(filepath)``: ``.keras``, ``.h5``, or by any other ending nnkit's own format.

    Raises FileNotFoundError where there is no such folder. Source: ``keras.saving.save_model``.

    >>> import os, tempfile
    >>> from nnkit.keras.layers import Dense, Input
    >>> path = os.path.join(tempfile.mkdtemp(), "net.keras")
    >>> save_model(Sequential([Input((2,)), Dense(1)]), path); load_model(path).output_shape
    (None, 1)
    """
    model.save(filepath, overwrite, zipped, include_optimizer)


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The model that :meth:`Model.to_json` described, with weights newly drawn.

    Raises:
        UnknownNameError: a class that is not known. ModelFileError: JSON of something else.

    Source: ``keras.models.model_from_json``.

    >>> from nnkit.keras.layers import Dense, Input
    >>> model_from_json(Sequential([Input((2,)), Dense(3)]).to_json()).output_shape
    (None, 3)
    """
    found = deserialize_keras_object(json.loads(json_string), custom_objects)
    if not isinstance(found, Model):
        raise ModelFileError(f"model_from_json: the text describes a {type(found).__name__}, no model")
    return found


def save_weights(model: Model, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
    """``model.save_weights(filepath)``, which :func:`load_weights` reads.

    Raises ValueError for a model that is not built, FileNotFoundError where there is no such folder. Source:
    ``keras.saving.save_weights``.

    >>> import os, tempfile
    >>> from nnkit.keras.layers import Dense, Input
    >>> path = os.path.join(tempfile.mkdtemp(), "net.weights.h5")
    >>> save_weights(Sequential([Input((2,)), Dense(1)]), path); os.path.exists(path)
    True
    """
    model.save_weights(filepath, overwrite)


def load_weights(
    model: Model, filepath: str | os.PathLike[str], skip_mismatch: bool = False, by_name: bool = False
) -> None:
    """``model.load_weights(filepath)``.

    Raises FileNotFoundError where there is no file, ModelFileError where it is not of this model. Source:
    ``keras.saving.load_weights``.

    >>> import os, tempfile
    >>> from nnkit.keras.layers import Dense, Input
    >>> path = os.path.join(tempfile.mkdtemp(), "net.weights.h5")
    >>> model, other = (Sequential([Input((2,)), Dense(1)]) for _ in range(2))
    >>> save_weights(model, path); load_weights(other, path)
    >>> bool((other([[1.0, 2.0]]) == model([[1.0, 2.0]])).all())
    True
    """
    model.load_weights(filepath, skip_mismatch, by_name)


def _name_of_own(target: Any) -> str | None:
    """What a file calls a layer of the user's that is not registered; who loads it hands the class over."""
    own = isinstance(target, type) and issubclass(target, Layer) and target.__module__.partition(".")[0] != "nnkit"
    return f"Custom>{target.__name__}" if own else objects.registered_name(target)


def _further_found(name: str) -> Any:
    """A layer of those that are imported when first asked for."""
    short = name.removeprefix("keras.")
    return getattr(layers, short) if name != short and short in layers.WHERE else None


def _further_named(target: Any) -> str | None:
    name = getattr(target, "__name__", "")
    is_one = name in layers.WHERE and target.__module__ == f"nnkit.keras.{layers.WHERE[name]}"
    return f"keras.{name}" if is_one else None


for _name in layers.__all__:
    _layer = getattr(layers, _name)
    if isinstance(_layer, type) and _layer is not layers.Layer and _layer.__name__ == _name:  # and no second name
        register_module(_layer, name=f"keras.{_name}")
register_module(Sequential, name="keras.Sequential")
registry.finders.append(objects.found)
registry.finders.append(_further_found)
registry.namers.append(_further_named)
registry.namers.append(_name_of_own)
register_module(Model, name="keras.Functional")


def __dir__() -> list[str]:
    return sorted(__all__)
