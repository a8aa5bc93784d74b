"""Keras's older HDF5 files: weights by the names of layers, and, in whole models, the description as a text beside.

A file lists ``layer_names``; the group of each lists ``weight_names``, trained weights before the others. Layers are
matched in their order, or by name. Definition: ``keras.src.legacy.saving.legacy_h5_format``.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

import numpy as np

from nnkit.errors import ModelFileError
from nnkit.io.files import PathLike, write_file
from nnkit.keras import losses
from nnkit.keras.files import hdf5, whole
from nnkit.keras.files.archive import WRITTEN_AS, parsed
from nnkit.keras.files.hdf5 import Group, Stored
from nnkit.keras.files.optimizer_state import put_state
from nnkit.keras.files.reading import Reader
from nnkit.keras.files.writing import described_compile, described_model, described_object
from nnkit.keras.models import Model
from nnkit.keras.weights import assign_weights

__all__ = ["read_model", "read_weights_if_any", "write_model", "write_weights"]

#: Weights of the model itself, apart from those of its layers.
TOP = "top_level_model_weights"
#: Bytes that HDF5 holds in one attribute.
ATTRIBUTE_LIMIT = 64_512


# ---- writing --------------------------------------------------------------------------------------------------


def write_model(model: Any, path: PathLike, include_optimizer: bool = True) -> None:
    """Write a whole model; without the optimizer's state, with which Keras could not train on."""
    described = described_model(model)
    config = {name: described[name] for name in ("class_name", "config")}
    if described["registered_name"]:
        config["class_name"] = described["registered_name"]
    top: dict[str, Any] = {"backend": "nnkit", "keras_version": WRITTEN_AS, "model_config": json.dumps(config)}
    arrays, attributes = _by_layer(model, "model_weights")
    settings = described_compile(model) if model.compiled and include_optimizer else None
    if settings is not None:
        optimizer = settings.pop("optimizer")
        if isinstance(settings["loss"], str):  # not by a short name, at which Keras stumbles
            settings["loss"] = described_object(losses.get(settings["loss"]))
        settings["optimizer_config"] = {"class_name": optimizer["class_name"], "config": optimizer["config"]}
        top["training_config"] = json.dumps(settings)
    write_file(path, hdf5.written(arrays, {"": top, **attributes}))


def write_weights(model: Any, path: PathLike) -> None:
    """Write the weights of each layer under its name."""
    model.require_built()
    arrays, attributes = _by_layer(model, "")
    write_file(path, hdf5.written(arrays, attributes))


def _by_layer(model: Any, folder: str) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    before = f"{folder}/" if folder else ""
    head = _listing("layer_names", [layer.name for layer in model.layers])
    attributes: dict[str, dict[str, Any]] = {folder: {**head, "backend": "nnkit", "keras_version": WRITTEN_AS}}
    arrays: dict[str, np.ndarray] = {}
    for name, variables in [(layer.name, _in_order(layer)) for layer in model.layers] + [(TOP, _of_itself(model))]:
        names = [f"{name}/{number}_{variable.name}" for number, variable in enumerate(variables)]
        attributes[f"{before}{name}"] = _listing("weight_names", names)
        arrays |= {f"{before}{name}/{n}": _plain(whole.host(v)) for n, v in zip(names, variables, strict=True)}
    return arrays, attributes


def _plain(array: np.ndarray) -> np.ndarray:
    """HDF5 has no bfloat16, and this layout no note that says so."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _listing(name: str, texts: list[str]) -> dict[str, Any]:
    """A list of texts as attributes, in pieces that HDF5 has room for."""
    encoded = [text.encode("utf-8") for text in texts]
    pieces: list[list[bytes]] = [[]]
    for text in encoded:
        longest = max(len(one) for one in (*pieces[-1], text))
        if (len(pieces[-1]) + 1) * longest > ATTRIBUTE_LIMIT:
            pieces.append([])
        pieces[-1].append(text)
    arrays = [np.array(piece, dtype=f"S{max(map(len, piece), default=1)}") for piece in pieces]
    return {name: arrays[0]} if len(arrays) == 1 else {f"{name}{number}": one for number, one in enumerate(arrays)}


def _in_order(layer: Any) -> list[Any]:
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _of_itself(model: Any) -> list[Any]:
    own = model._own_variables()
    return [v for v in own if v.requires_grad] + [v for v in own if not v.requires_grad]


# ---- reading --------------------------------------------------------------------------------------------------


def read_model(path: PathLike, compile: bool = True) -> Any:
    """A whole model. Raises ModelFileError for a damaged file, one of weights alone, or with parts not known here."""
    name = repr(os.fspath(path))
    with whole.opened_hdf5(path) as top:
        text = top.attribute("model_config")
        if text is None:
            raise ModelFileError(
                f"{name} holds weights alone, no description of a model: build the model in your program, then "
                "model.load_weights(path)"
            )
        reader = Reader(f"{name}: model_config")
        with whole.made_of_file(os.path.getsize(path)):
            model = reader.object(parsed(str(text), reader.what))
        if not isinstance(model, Model):
            raise ModelFileError(f"{name} holds a {type(model).__name__}, no model")
        weights = top.group("model_weights")
        if weights is None:
            raise ModelFileError(f"{name} lacks the group model_weights")
        whole.require_built(model, weights)
        _put(model, weights, False, False)
        settings = top.attribute("training_config")
        if compile and settings is not None:
            told = parsed(str(settings), f"{name}: training_config")
            whole.compile_by(model, reader, {**told, "optimizer": told.get("optimizer_config")})
            kept = top.group("optimizer_weights")
            if model.compiled and kept is not None:
                put_state(model, _weights_of(kept))
    return model


def read_weights_if_any(model: Any, path: PathLike, skip_mismatch: bool, by_name: bool) -> bool:
    """Read weights by layers' names into a model; False where the file is not laid out so."""
    with whole.opened_hdf5(path) as top:
        group: Group | None = top
        if top.texts("layer_names") is None:
            group = top.group("model_weights")
        if group is None:
            if by_name:
                raise ModelFileError(f"{top.file} names no layers: leave by_name out")
            return False
        _put(model, group, skip_mismatch, by_name)
    return True


class _Filling(NamedTuple):
    """The weights of a layer, and what the file has for them."""

    name: str
    variables: list[Any]
    found: list[Stored]


def _put(model: Any, group: Group, skip_mismatch: bool, by_name: bool) -> None:
    fillings = _named(model, group) if by_name else _ordered(model, group)
    top = group.group(TOP)
    if top is not None:
        fillings.append(_Filling(model.name, _of_itself(model), _weights_of(top)))
    problems, fitting = [], []
    for one in fillings:
        wanted, there = [tuple(v.shape) for v in one.variables], [stored.shape for stored in one.found]
        if wanted == there:
            fitting.append(one)
        else:
            problems.append(f"{one.name} has weights of the shapes {wanted}, the file {there}")
    if problems and not skip_mismatch:
        listed = "\n".join(problems[:20])
        raise ModelFileError(
            f"{group.file} does not fit {model.name!r}; nothing was loaded. {len(problems)} mismatches:\n{listed}"
        )
    arrays = [(one, [stored.read(stored.shape) for stored in one.found]) for one in fitting]
    for one, values in arrays:
        assign_weights(one.name, one.variables, values)


def _ordered(model: Any, group: Group) -> list[_Filling]:
    layers = [(layer, weights) for layer in model.layers if (weights := _in_order(layer))]
    found = [(name, weights) for name, weights in _layers_of(group) if weights]
    if len(layers) != len(found):
        raise ModelFileError(
            f"{group.file} does not fit {model.name!r}: the model has {len(layers)} layers with weights, the file "
            f"{len(found)}: {', '.join(name for name, _ in found)[:200]}"
        )
    return [_Filling(layer.name, mine, own) for (layer, mine), (_, own) in zip(layers, found, strict=True)]


def _named(model: Any, group: Group) -> list[_Filling]:
    found = dict(_layers_of(group))
    return [_Filling(layer.name, _in_order(layer), found[layer.name]) for layer in model.layers if layer.name in found]


def _layers_of(group: Group) -> list[tuple[str, list[Stored]]]:
    result = []
    for name in group.texts("layer_names") or ():
        own = group.group(name)
        if own is None:
            raise ModelFileError(f"{group.file} lists the layer {name[:100]!r}, and lacks it")
        result.append((name, _weights_of(own)))
    return result


def _weights_of(group: Group) -> list[Stored]:
    found = []
    for name in group.texts("weight_names") or ():
        stored = group.array(name)
        if stored is None:
            raise ModelFileError(f"{group.file}: {group.place} lists the weight {name[:100]!r}, and lacks it")
        found.append(stored)
    return found
