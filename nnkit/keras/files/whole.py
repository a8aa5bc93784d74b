"""Models and weights in Keras 3's layout: a group for each layer, in it ``vars/0``, ``vars/1``, …"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nnkit import random
from nnkit.errors import ModelFileError
from nnkit.io.files import PathLike, open_at_once, write_file
from nnkit.keras.files import archive, hdf5
from nnkit.keras.files.assets import put_words
from nnkit.keras.files.hdf5 import Group, Stored
from nnkit.keras.files.optimizer_state import put_state, state_arrays
from nnkit.keras.files.places import Place, places
from nnkit.keras.files.reading import Reader, room_for
from nnkit.keras.files.writing import described_compile, described_model
from nnkit.keras.models import Model
from nnkit.keras.weights import assign_weights
from nnkit.nn.skipping import skipped
from nnkit.tensors.tensor import Tensor

__all__ = [
    "compile_is_lost", "opened_hdf5", "put_weights", "read_model", "read_weights", "require_built", "write_model",
    "write_weights",
]  # fmt: skip

#: Groups of a file that hold no weights: random generators, the training.
OTHERS = frozenset(("seed_generator", "_random_generator", "optimizer", "_metrics", "metrics", "loss_tracker"))


def compile_is_lost(model: Any) -> bool:
    """Whether what ``compile`` was given has no description."""
    return described_compile(model) is None


# ---- writing --------------------------------------------------------------------------------------------------


def write_model(model: Any, path: PathLike, include_optimizer: bool = True) -> None:
    """Write a ``.keras`` archive."""
    config = described_model(model)
    if not include_optimizer:
        config.pop("compile_config", None)
    archive.write_archive(path, config, _weights_of(model, include_optimizer and "compile_config" in config))


def write_weights(model: Any, path: PathLike) -> None:
    """Write ``.weights.h5``; the state of the optimizer is in it, as in Keras's."""
    model.require_built()
    write_file(path, _weights_of(model, model.compiled and described_compile(model) is not None))


def _weights_of(model: Any, with_optimizer: bool) -> bytes:
    arrays: dict[str, np.ndarray] = {}
    attributes: dict[str, dict[str, Any]] = {}
    for place in places(model):
        group = f"{place.path}/vars" if place.path else "vars"
        attributes[group] = {"name": place.name}
        arrays |= {f"{group}/{number}": host(variable) for number, variable in enumerate(place.variables)}
    if with_optimizer:
        attributes["optimizer/vars"] = {"name": model.optimizer.name}
        arrays |= {f"optimizer/vars/{number}": array for number, array in enumerate(state_arrays(model))}
    return hdf5.written(arrays, attributes)


def host(variable: Tensor) -> np.ndarray:
    """The numbers of a variable, as Keras lays them out."""
    return np.array(variable.detach().numpy(), order="C")


# ---- reading --------------------------------------------------------------------------------------------------


def read_model(path: PathLike, compile: bool = True) -> Any:
    """The model of a ``.keras`` archive. Raises ModelFileError for a damaged file, or one with parts not known here."""
    name = repr(os.fspath(path))
    found = archive.read_archive(path)
    reader = Reader(f"{name}: {archive.CONFIG}")
    with hdf5.opened(found.weights, f"{name}: {archive.WEIGHTS}") as top:
        with made_of_file(len(found.weights)):
            model = reader.object({**found.config, "compile_config": None})
        if not isinstance(model, Model):
            raise ModelFileError(f"{name} holds a {type(model).__name__}, no model")
        settings = found.config.get("compile_config")
        put_words(model, found.assets, name)
        require_built(model, top)
        put_weights(model, top)
        if compile and settings:
            compile_by(model, reader, settings)
            put_state(model, _listed(top, "optimizer/vars"))
    return model


def require_built(model: Any, top: Group) -> None:
    """Raise ModelFileError where the file has weights, and does not say of what shape the model's input is."""
    if not model.built and next(top.arrays(), None) is not None:
        raise ModelFileError(
            f"{top.file} does not say of what shape the input of {model.name!r} is, so that it has no weights to fill: "
            "make the model in your program, call it on data, then model.load_weights(path)"
        )


@contextmanager
def made_of_file(stored: int) -> Iterator[None]:
    """A block in which a model is made: without initial values, and in no more memory than the file can fill."""
    with random.preserved(), skipped(), room_for(stored):
        yield


def compile_by(model: Any, reader: Reader, settings: Any) -> None:
    """Compile a model by what the file says; what cannot be had leaves it as it is, with a warning."""
    names = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "run_eagerly")
    try:
        given = {name: reader.value(settings[name]) for name in names if settings.get(name) is not None}
        model.compile(**given)
    except (ModelFileError, TypeError, ValueError, AttributeError) as error:
        warnings.warn(
            f"{reader.what}: what compile was given cannot be had here ({str(error)[:300]}); call compile again",
            stacklevel=6,
        )


def read_weights(model: Any, path: PathLike, kind: str, skip_mismatch: bool = False) -> None:
    """Read the weights of a ``.keras`` archive ("zip") or of ``.weights.h5`` ("hdf5") into a model."""
    name = repr(os.fspath(path))
    if kind == "zip":
        content = archive.read_archive(path).weights
        with hdf5.opened(content, f"{name}: {archive.WEIGHTS}") as top:
            _put_all(model, top, skip_mismatch)
        return
    with opened_hdf5(path) as top:
        _put_all(model, top, skip_mismatch)


@contextmanager
def opened_hdf5(path: PathLike) -> Iterator[Group]:
    """The top group of an HDF5 file on disk."""
    with open(path, "rb", opener=open_at_once) as file, hdf5.opened(file, repr(os.fspath(path))) as top:
        yield top


def _put_all(model: Any, top: Group, skip_mismatch: bool) -> None:
    put_weights(model, top, skip_mismatch)
    if model.compiled:
        put_state(model, _listed(top, "optimizer/vars"))


def put_weights(model: Any, top: Group, skip_mismatch: bool = False) -> None:
    """Fill the weights of a model, when all are there, or (``skip_mismatch``) those that fit."""
    problems: list[str] = []
    fitting: list[tuple[Place, list[Stored]]] = []
    known: set[str] = set()
    for place in places(model):
        group = f"{place.path}/vars" if place.path else "vars"
        found = _listed(top, group)
        known |= {stored.place for stored in found}
        if place.is_again:
            continue
        problem = _misfit(place, found)
        if problem is None:
            fitting.append((place, found))
        elif place.variables or not _is_spare(place.path):
            problems.append(f"{place.path or 'the model'} ({place.name!r}) {problem}")
    left = [
        stored.place
        for stored in top.arrays()
        if stored.place not in known and not OTHERS & set(stored.place.split("/"))
    ]
    problems += [f"{place} has no place in the model" for place in left[:10]]
    if problems and not skip_mismatch:
        listed = "\n".join(problems[:20])
        raise ModelFileError(
            f"{top.file} does not fit {model.name!r}; nothing was loaded. {len(problems)} mismatches:\n{listed}"
        )
    arrays = [(place, [one.read(one.shape) for one in found]) for place, found in fitting]
    for place, values in arrays:
        assign_weights(place.name, place.variables, values)


def _misfit(place: Place, found: list[Stored]) -> str | None:
    wanted = [tuple(variable.shape) for variable in place.variables]
    shapes = [stored.shape for stored in found]
    if len(wanted) != len(shapes):
        return f"has {len(wanted)} weights, the file {len(shapes)}: {shapes[:5]}"
    return None if wanted == shapes else f"has weights of the shapes {wanted}, the file {shapes}"


def _is_spare(path: str) -> bool:
    return bool(OTHERS & set(path.split("/")))


def _listed(top: Group, path: str) -> list[Stored]:
    """``0``, ``1``, … of a group."""
    group = top.group(path)
    found: list[Stored] = []
    while group is not None and (stored := group.array(str(len(found)))) is not None:
        found.append(stored)
    return found
