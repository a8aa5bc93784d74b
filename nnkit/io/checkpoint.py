"""Saving and loading: any state with ``save`` and ``load``, a whole training run as a checkpoint."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np

from nnkit import nn
from nnkit.errors import ModelFileError
from nnkit.io.document import Document, opened_document, write_document
from nnkit.io.files import PathLike, open_at_once, write_file
from nnkit.io.model import build_model, check_fit, describe_model, restore_model, write_model
from nnkit.io.state import Place, flatten, outline, unflatten
from nnkit.io.torch_files import is_torch_file, placing, read_torch_file
from nnkit.io.torch_writing import SUFFIXES, torch_bytes
from nnkit.io.weights import Layout, WeightFile
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["Checkpoint", "load", "load_checkpoint", "load_state_dict", "save", "save_checkpoint"]


class HasState(Protocol):
    """An optimizer, a schedule: whatever gives its state and takes it back."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


class Checkpoint(NamedTuple):
    """What a checkpoint holds: the model, the state of its optimizer (or None), and the extra values."""

    model: nn.Module
    optimizer_state: dict[str, Any] | None
    extra: Any


def save(
    obj: Any,
    f: PathLike | BinaryIO,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Writes a Module, a state dict, or nested dicts and lists of Tensors, arrays and plain values.

    A file whose name ends in .pt, .pth, .ckpt, .tar or .bin, and an open file, gets PyTorch's format, which
    ``torch.load`` reads, with ``weights_only=True`` where it holds no NumPy arrays; any other, and a Module always,
    nnkit's safetensors: a flat state dict keeps its names there, so other safetensors programs read it. ``load`` reads
    all of them. The file replaces an older one whole or not at all. ``pickle_module``, ``pickle_protocol`` and what
    follows are PyTorch's and change nothing. Raises ``DtypeError`` that names a value which cannot be saved, and
    ``OSError`` where the file cannot be written. Tensors have any shape and dtype.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save({"weight": tensor([1.0, 2.0]), "epoch": 3}, f"{folder}/state.safetensors")
    ...     load(f"{folder}/state.safetensors")
    {'weight': tensor([1., 2.]), 'epoch': 3}
    """
    if hasattr(f, "write"):
        if isinstance(obj, nn.Module):
            raise TypeError("a Module is saved to a path; save module.state_dict() to an open file")
        f.write(torch_bytes(obj))
        return
    _refuse_swapped("save(obj, path)", obj, f)
    if isinstance(obj, nn.Module):
        write_model(obj, f, stacklevel=3)
    elif os.fspath(f).lower().endswith(SUFFIXES):
        write_file(f, torch_bytes(obj))
    else:
        arrays, tree = flatten(obj)
        write_document(f, arrays, {"kind": "state", "tree": tree})


def load(
    f: PathLike | BinaryIO,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    device: Any = None,
    **pickle_load_args: Any,
) -> Any:
    """What ``save``, ``Module.save`` or PyTorch's ``torch.save`` wrote: a Module, or a state with its Tensors.

    ``f`` is a path, or an open file of PyTorch's format. ``device`` says where Tensors go, ``map_location`` too, which
    may be, as PyTorch has it, a dict or a function; the default device unless given. A safetensors file of another
    program gives a dict of Tensors. Loading calls registered classes with plain values; it imports nothing and runs
    nothing that the file brings, whatever ``weights_only`` says. ``pickle_module``, ``mmap`` and what follows change
    nothing.

    Raises ``ModelFileError`` for a file that is damaged, of another kind, made for classes that are not registered, or
    at odds with itself, and where a file of PyTorch's holds more than tensors and plain values; ``OSError`` where it
    cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(nn.Linear(2, 1), f"{folder}/model.safetensors")
    ...     load(f"{folder}/model.safetensors")
    Linear(in_features=2, out_features=1, bias=True)
    """
    target = map_location if device is None else device
    if hasattr(f, "read"):
        return read_torch_file(io.BytesIO(f.read()), target)
    found = _of_torch(f, target)
    if found is not NOT_TORCH:
        return found
    with opened_document(f) as (file, document):
        kind = _kind(document)
        place = _one_device(target)
        if kind == "model":
            return restore_model(document, file.layout, file.arrays, place)
        if kind == "state":
            return unflatten(file.arrays(), document["tree"], place)
        return _tensors(file.arrays(), place)


NOT_TORCH: Any = object()


def _of_torch(path: PathLike, map_location: Any) -> Any:
    """What a file of PyTorch's holds; NOT_TORCH where it is none."""
    with open(path, "rb", opener=open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or not is_torch_file(file):
            return NOT_TORCH
        try:
            return read_torch_file(file, map_location)
        except ModelFileError as error:
            raise ModelFileError(f"{os.fspath(path)!r}: {error}") from None


def _one_device(map_location: Any) -> Any:
    """Where all tensors of a file without devices go."""
    if isinstance(map_location, dict) or (callable(map_location) and not isinstance(map_location, str)):
        return placing(map_location)("cpu")
    return map_location


def load_state_dict(path: PathLike, device: Any = None) -> dict[str, Tensor]:
    """The weights in a file by name, for ``model.load_state_dict``; the model itself is not built.

    Takes files of PyTorch's, of ``Module.save``, ``save`` of a flat state dict, ``save_checkpoint`` (the weights of its
    model) and of other programs. Raises ``ModelFileError`` for other states, as ``load`` does. Tensors have the shapes
    and dtypes of the file. Raises ``OSError`` where there is no file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save({"w": nn.Linear(2, 1).weight}, f"{folder}/w.safetensors")
    ...     list(load_state_dict(f"{folder}/w.safetensors"))
    ['w']
    """
    state = _of_torch(path, device)
    if state is NOT_TORCH:
        with opened_document(path) as (file, document):
            arrays = file.arrays()
        if _kind(document) != "state":
            return _tensors(arrays, device)
        state = unflatten(arrays, document["tree"], device)
        state = state.get("model", state) if isinstance(state, dict) and "checkpoint" in document else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelFileError(f"{str(path)!r} holds a nested state, no flat one; open it with nnkit.load")
    return state


def save_checkpoint(path: PathLike, model: nn.Module, optimizer: HasState | None = None, extra: Any = None) -> None:
    """Writes a model, the state of its optimizer, and ``extra`` (as for ``save``) into one file, at once.

    The model may have unregistered parts; it must then be given to ``load_checkpoint``. Raises ``OSError`` where the
    file cannot be written, ``DtypeError`` for values that cannot be saved. Source: nnkit's own.

    >>> import tempfile
    >>> model = nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/last.safetensors", model, extra={"epoch": 3})
    ...     load_checkpoint(f"{folder}/last.safetensors", model).extra
    {'epoch': 3}
    """
    _refuse_swapped("save_checkpoint(path, model)", model, path)
    state = {
        "model": model.state_dict(),
        "optimizer": None if optimizer is None else optimizer.state_dict(),
        "extra": extra,
    }
    arrays, tree = flatten(state)
    write_document(path, arrays, {"kind": "state", "tree": tree, "checkpoint": describe_model(model)})


def load_checkpoint(
    path: PathLike, model: nn.Module | None = None, optimizer: HasState | None = None, device: Any = None
) -> Checkpoint:
    """Reads a checkpoint into ``model`` and ``optimizer``; both are left as they were where it does not fit.

    Without ``model`` one is built from the description, on ``device``. The result has the model,
    the optimizer's state (to be given to an optimizer made for that model), and ``extra``.

    Raises ``ModelFileError`` that lists every mismatch, and as ``load`` does. Source: nnkit's own.

    >>> import tempfile
    >>> model = nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/last.safetensors", model)
    ...     type(load_checkpoint(f"{folder}/last.safetensors").model).__name__
    'Linear'
    """
    if optimizer is not None and model is None:
        raise TypeError("optimizer needs the model whose parameters it has; pass model too, or leave optimizer out")
    with opened_document(path) as (file, document):
        described, layout = document.get("checkpoint"), _checkpoint_layout(file, document)
        if not isinstance(described, dict) or layout is None:
            raise ModelFileError(f"{str(path)!r} is no checkpoint; open it with nnkit.load")
        if model is None:
            fitting = build_model(described, layout)
        else:
            check_fit(fitting := model, layout)
        state = unflatten(file.arrays(), document["tree"])
    if optimizer is not None:
        if state["optimizer"] is None:
            raise ModelFileError(f"{str(path)!r} has no state of an optimizer; leave optimizer out")
        optimizer.load_state_dict(state["optimizer"])
    fitting.load_state_dict(state["model"])
    if model is None and device is not None:
        fitting.to(device=device)
    return Checkpoint(fitting, state["optimizer"], state["extra"])


def _checkpoint_layout(file: WeightFile, document: Document) -> Layout | None:
    """What the model in a checkpoint has; None where the file is no checkpoint."""
    if _kind(document) != "state":
        return None
    state = outline(file.layout, document["tree"])
    model = state.get("model") if isinstance(state, dict) and set(state) == {"model", "optimizer", "extra"} else None
    if not isinstance(model, dict) or not all(isinstance(value, Place) for value in model.values()):
        return None
    return {str(name): tuple(place) for name, place in model.items()}


def _refuse_swapped(call: str, obj: Any, path: Any) -> None:
    if not isinstance(path, str | os.PathLike):
        swapped = isinstance(obj, str | os.PathLike)
        raise TypeError(
            f"path must be a text or a Path, got {type(path).__name__}"
            + (f"; the arguments are in the wrong order: write {call}" if swapped else "")
        )


def _kind(document: Document) -> str | None:
    """Whether a file holds a "model", a "state", or (None) the arrays of another program."""
    kind = document.get("kind")
    if document and kind not in ("model", "state"):
        raise ModelFileError(f"the file holds a {str(kind)[:50]!r}; expected a model or a state")
    if kind == "state" and "tree" not in document:
        raise ModelFileError("the file does not say how its state is put together")
    return kind


def _tensors(arrays: Mapping[str, np.ndarray], device: Any) -> dict[str, Tensor]:
    return {name: tensor(array, device=device) for name, array in arrays.items()}
