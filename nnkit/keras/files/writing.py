"""Layers, models, losses and optimizers as Keras's files describe them: class, module, configuration."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import numpy as np

from nnkit.errors import ModelFileError
from nnkit.keras import objects
from nnkit.keras.config import floatx
from nnkit.keras.files.classes import FAMILIES, MODELS, is_own, module_of
from nnkit.keras.files.graphs import described_graph
from nnkit.keras.files.operations import described_operation
from nnkit.keras.input_layer import InputLayer
from nnkit.keras.lambda_layer import Lambda
from nnkit.keras.layer import Layer
from nnkit.keras.mixed_precision import DTypePolicy
from nnkit.keras.models import Model, Sequential
from nnkit.keras.optimizers import Optimizer, schedules
from nnkit.tensors.tensor import Tensor

__all__ = ["described_compile", "described_model", "described_object", "inner_config"]

#: What nnkit's configurations have, and Keras's do not.
OWN = frozenset(("input_shape", "graph", "compile", "build_input_shape"))
#: Arguments of nnkit's classes that Keras's do not take: class -> names.
EXTRA: dict[str, tuple[str, ...]] = {
    "Cropping1D": ("data_format",), "UpSampling1D": ("data_format",), "IntegerLookup": ("encoding",),
    "SpatialDropout1D": ("data_format", "trainable"), "SpatialDropout2D": ("trainable",),
    "SpatialDropout3D": ("trainable",), "Discretization": ("trainable",), "HashedCrossing": ("trainable",),
}  # fmt: skip


class _Described(threading.local):
    """The layers that were described so far, of the model under way: one that comes twice is marked as shared."""

    seen: dict[int, Any] | None = None
    again: list[Any]


_described = _Described()


def described_model(model: Model) -> dict[str, Any]:
    """A model with what ``compile`` was given, where that has a description."""
    _described.seen, _described.again = {}, []
    try:
        entry = described_object(model)
    finally:
        _described.seen = None
    if model.compiled and (settings := described_compile(model)) is not None:
        entry["compile_config"] = settings
    return entry


def described_object(thing: Any) -> dict[str, Any]:
    """``{"module", "class_name", "config", "registered_name"}`` of an object that has a configuration."""
    entry = _entry(type(thing), _config_of(thing))
    if isinstance(thing, Layer) and _described.seen is not None:
        # As Keras does, only where it comes again; another number each time, for Keras would mix up its calls.
        if id(thing) in _described.seen:
            entry["shared_object_id"] = len(_described.seen) + len(_described.again)
            _described.again.append(thing)
        _described.seen[id(thing)] = thing
    if isinstance(thing, Model):
        shape = thing._input_shape if isinstance(thing, Sequential) else thing._built_for_shape
        if shape is not None and not (isinstance(thing, Model) and thing.is_functional):
            entry["build_config"] = {"input_shape": _plain(shape)}
    elif isinstance(thing, Layer) and is_own(type(thing)) and thing._built_for_shape is not None:
        entry["build_config"] = {"input_shape": _plain(thing._built_for_shape)}
    return entry


def inner_config(model: Model) -> dict[str, Any]:
    """The configuration of a model alone, as whole models in HDF5 have it."""
    return _config_of(model)


def _entry(kind: type, config: Any) -> dict[str, Any]:
    module = module_of(kind)
    if module is not None:
        name = "Functional" if kind is Model else kind.__name__
        return {"module": module, "class_name": name, "config": config, "registered_name": None}
    if not is_own(kind):
        raise ModelFileError(
            f"the model has a {kind.__name__}, which Keras does not have: save it as .safetensors, nnkit's own format"
        )
    home = None if kind.__module__ == "__main__" else kind.__module__
    return {
        "module": home, "class_name": kind.__name__, "config": config,
        "registered_name": objects.get_registered_name(kind),
    }  # fmt: skip


# ---- configurations -------------------------------------------------------------------------------------------


def _config_of(thing: Any) -> dict[str, Any]:
    if isinstance(thing, Sequential) and not is_own(type(thing)):
        return _of_sequential(thing)
    if isinstance(thing, Model) and thing.is_functional and type(thing).get_config is Model.get_config:
        return _of_functional(thing)
    if isinstance(thing, InputLayer):
        return {
            "batch_shape": list(thing.batch_shape), "dtype": thing.dtype, "sparse": False, "ragged": False,
            "name": thing.name, "optional": False,
        }  # fmt: skip
    if isinstance(thing, Optimizer):
        return _of_optimizer(thing)
    if isinstance(thing, Lambda) and objects.registered_name(thing.function) is None:
        raise ModelFileError(
            f"the Lambda layer {thing.name!r} has a function that is not registered: decorate it with "
            "@keras.saving.register_keras_serializable(); files hold no code"
        )
    config = dict(thing.get_config())
    name = type(thing).__name__
    found = {
        key: described_value(value)
        for key, value in config.items()
        if key not in OWN and key not in EXTRA.get(name, ())
    }
    return _of_layer(thing, found) if isinstance(thing, Layer) else found


def _of_layer(layer: Layer, config: dict[str, Any]) -> dict[str, Any]:
    if isinstance(layer, Lambda):
        config["function"] = _function(layer.function)
    if layer._given_dtype is not None and (not is_own(type(layer)) or "dtype" in config):
        config["dtype"] = _policy(layer._given_dtype)
    return config


def _of_sequential(model: Sequential) -> dict[str, Any]:
    parts: list[Any] = []
    if model._input_shape is not None:
        first = model._tensors()[0] if model.built else model._first
        if first is not None and first.node is not None:
            parts.append(described_object(first.node.operation))
    parts += [described_object(layer) for layer in model._layers]
    config = {"name": model.name, "trainable": model._trainable, "dtype": _policy(floatx()), "layers": parts}
    return config | ({} if model._input_shape is None else {"build_input_shape": _plain(model._input_shape)})


def _of_functional(model: Model) -> dict[str, Any]:
    graph = described_graph(model._made("graph"), described_object, described_value, described_operation)
    return {"name": model.name, "trainable": model._trainable, **graph}


def _of_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    config = {name: described_value(value) for name, value in optimizer.get_config().items()}
    if config.pop("decay", 0.0):  # which Keras 3 has as a schedule
        rate = schedules.InverseTimeDecay(optimizer._base_rate(), 1, optimizer.decay)
        config["learning_rate"] = described_object(rate)
    elif callable(optimizer._rate):
        config["learning_rate"] = described_value(optimizer._rate)
    return config


# ---- values ---------------------------------------------------------------------------------------------------


def described_value(value: Any) -> Any:
    """A part of a configuration, as JSON. Raises ModelFileError for what has no description."""
    if isinstance(value, str) and ">" in value and isinstance(own := objects.found(value), FunctionType):
        return _function(own)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [described_value(part) for part in value]
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, slice):
        parts = {"start": value.start, "stop": value.stop, "step": value.step}
        return {"class_name": "__slice__", "config": {name: described_value(part) for name, part in parts.items()}}
    if value is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (Tensor, np.ndarray)):
        array = value.detach().numpy() if isinstance(value, Tensor) else value
        kind = "__tensor__" if isinstance(value, Tensor) else "__numpy__"
        return {"class_name": kind, "config": {"value": array.tolist(), "dtype": array.dtype.name}}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    if isinstance(value, DTypePolicy):
        return _policy(value.name)
    if isinstance(value, FunctionType):
        return _function(value)
    if hasattr(value, "get_config") and not isinstance(value, type):
        return described_object(value)
    raise ModelFileError(
        f"a configuration has a {type(value).__name__}, which Keras's files cannot describe: {value!r:.100}"
    )


def _mapping(value: Mapping[Any, Any]) -> Any:
    """A dict; or a description as nnkit's configurations have them: a class and its configuration, without module."""
    if "class_name" not in value or "module" in value:
        return {str(name): described_value(part) for name, part in value.items()}
    name, config = str(value["class_name"]), value.get("config") or {}
    own = objects.found(name)
    short = name.removeprefix("keras.")
    kind = (
        own
        or MODELS.get(short)
        or next(
            (
                getattr(family, short)
                for family in FAMILIES.values()
                if short in (*family.__all__, *getattr(family, "WHERE", ()))
            ),
            None,
        )
    )
    if not isinstance(kind, type):
        raise ModelFileError(f"a configuration names the class {name!r}, which is not registered")
    made = getattr(kind, "from_config", None)
    if issubclass(kind, Layer) and made is not None:
        return described_object(made(dict(config)))
    kept = {key: described_value(part) for key, part in config.items() if key not in OWN}
    return _entry(kind, kept)


def _function(function: Any) -> Any:
    """A registered function of the user's, or one of nnkit.keras by its name."""
    name = objects.get_registered_name(function)
    if objects.registered_name(function) is None and str(function.__module__).partition(".")[0] != "nnkit":
        raise ModelFileError(
            f"the function {name!r} is not registered: decorate it with @keras.saving.register_keras_serializable()"
        )
    home = "builtins" if objects.registered_name(function) is None else function.__module__
    return {"module": home, "class_name": "function", "config": name, "registered_name": name}


def _policy(name: str) -> dict[str, Any]:
    return {"module": "keras", "class_name": "DTypePolicy", "config": {"name": name}, "registered_name": None}


def _plain(shape: Any) -> Any:
    return [_plain(part) for part in shape] if isinstance(shape, (tuple, list)) else shape


# ---- compile --------------------------------------------------------------------------------------------------


def described_compile(model: Model) -> dict[str, Any] | None:
    """What ``compile`` was given; None where a part has no description."""
    settings = model._settings
    if not isinstance(model.optimizer, Optimizer):
        return None
    try:
        found = {name: described_value(settings.get(name) or None) for name in ("loss", "metrics", "weighted_metrics")}
        return {
            "optimizer": described_object(model.optimizer), **found,
            "loss_weights": described_value(settings.get("loss_weights")), "run_eagerly": model.run_eagerly,
            "steps_per_execution": 1, "jit_compile": "auto",
        }  # fmt: skip
    except (ModelFileError, TypeError, ValueError):
        return None
