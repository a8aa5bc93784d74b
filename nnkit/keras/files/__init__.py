"""Keras's own files, read and written: ``.keras`` archives, ``.weights.h5``, and the older ``.h5``.

Which of them a file is, its first bytes say when it is read, and its ending when it is written. Nothing in a file is
run or imported: it names classes of a closed list, or ones that the user registered. Needs h5py (the extra
``keras-files``), which is imported when a file of these is first used.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import Any

from nnkit.io.files import PathLike, open_at_once
from nnkit.io.torch_files import is_torch_file

__all__ = ["is_keras_ending", "load_model", "load_weights", "magic_of", "save_model", "save_weights"]

HDF5_ENDINGS = (".h5", ".hdf5")
#: How the files begin.
ZIP, HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"


def _module(name: str) -> Any:
    """A module that knows models; models know this package, so it is imported when first asked for."""
    return importlib.import_module(f"nnkit.keras.files.{name}")


def is_keras_ending(path: PathLike) -> bool:
    """Whether a file of this name is one of Keras's.

    >>> is_keras_ending("net.keras"), is_keras_ending("net.weights.h5"), is_keras_ending("net.safetensors")
    (True, True, False)
    """
    return os.fspath(path).lower().endswith((".keras", *HDF5_ENDINGS))


def magic_of(path: PathLike) -> str | None:
    """Whether a file is a "zip" or "hdf5", by its first bytes; None for others, PyTorch's, and what is not there."""
    try:
        with open(path, "rb", opener=open_at_once) as file:
            start = file.read(8)
            if start.startswith(ZIP):
                file.seek(0)
                return None if is_torch_file(file) else "zip"
    except OSError:
        return None
    return "hdf5" if start.startswith(HDF5) else None


def save_model(model: Any, path: PathLike, include_optimizer: bool = True) -> None:
    """Write a model as ``.keras`` or, by the ending, as an ``.h5`` with its description, for Keras 3 to open."""
    name = os.fspath(path).lower()
    write = _module("legacy" if name.endswith(HDF5_ENDINGS) else "whole").write_model
    if model.compiled and _module("whole").compile_is_lost(model):
        warnings.warn(
            "the loss, a metric or the optimizer is not one of nnkit.keras, so the file leaves out what compile "
            "was given; call compile again after loading",
            stacklevel=3,
        )
    write(model, path, include_optimizer)


def save_weights(model: Any, path: PathLike) -> None:
    """Write the weights: as Keras 3 lays them out in ``.weights.h5``, by layers' names in another ``.h5``.

    Raises ValueError for ``.keras``, which is an ending of whole models.
    """
    name = os.fspath(path).lower()
    if name.endswith(".keras"):
        raise ValueError(
            f"save_weights: {os.fspath(path)!r} ends as a whole model does; name the file .weights.h5 (Keras's "
            "weights) or .safetensors (nnkit's)"
        )
    _module("whole" if name.endswith(".weights.h5") else "legacy").write_weights(model, path)


def load_model(path: PathLike, kind: str, compile: bool = True) -> Any:
    """The model of a ``.keras`` archive ("zip") or of an HDF5 file that has a description ("hdf5")."""
    return _module("whole" if kind == "zip" else "legacy").read_model(path, compile)


def load_weights(model: Any, path: PathLike, kind: str, skip_mismatch: bool = False, by_name: bool = False) -> None:
    """Read the weights of a file of Keras's into a model that is built; nothing changes unless they fit.

    Raises ModelFileError that lists what does not fit, unless ``skip_mismatch``.
    """
    if kind == "zip":
        if by_name:
            raise ValueError("load_weights: by_name is for .h5 files that name layers")
        _module("whole").read_weights(model, path, "zip", skip_mismatch)
    elif not _module("legacy").read_weights_if_any(model, path, skip_mismatch, by_name):
        _module("whole").read_weights(model, path, "hdf5", skip_mismatch)
