"""Models in files: the weights under their plain names, and a description to build the model from."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nnkit import nn
from nnkit.errors import DataError, DtypeError, ModelFileError, ShapeError
from nnkit.io.codec import CannotDescribe, Json, dumps
from nnkit.io.describe import build, describe
from nnkit.io.document import Document, write_document
from nnkit.io.files import PathLike
from nnkit.io.state import host_array
from nnkit.io.weights import Layout
from nnkit.nn.skipping import skipped
from nnkit.preprocessing.table import ATTRIBUTE, Table
from nnkit.tensors import random
from nnkit.tensors.creation import at_most
from nnkit.tensors.dtypes import as_dtype, is_float
from nnkit.tensors.loading import Fit
from nnkit.tensors.tensor import Tensor

__all__ = [
    "HOW_TO_REGISTER", "build_model", "check_fit", "describe_model", "layout_of", "restore_model", "save_model",
    "write_model",
]  # fmt: skip

# Room for tensors that a module makes and does not save, such as a mask.
UNSAVED_ELEMENTS = 1 << 24

HOW_TO_REGISTER = (
    "decorate the class with @nnkit.register_module, and save the model again, to have nnkit.load build it"
)


def save_model(model: nn.Module, path: PathLike) -> None:
    """Writes ``model`` as a safetensors file that ``nnkit.load`` builds it from, without running code.

    Where it has a part that cannot be described (an unregistered class, say), the file holds its
    weights only, and one warning says why. The file replaces an older one whole or not at all.
    Hooks, gradients, and regularizers added after construction are not part of it.

    Raises ``OSError`` where the file cannot be written. Source: nnkit's own.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(nn.Linear(2, 1), f"{folder}/model.safetensors")
    ...     os.listdir(folder)
    ['model.safetensors']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a Module, got {type(model).__name__}; nnkit.save also takes state dicts")
    write_model(model, path, stacklevel=3)


def write_model(model: nn.Module, path: PathLike, stacklevel: int) -> None:
    """``save_model``; a warning names the line so many calls up."""
    document = describe_model(model)
    if "reason" in document:
        warnings.warn(
            f"{str(path)!r} holds the weights only: {document['reason']}; {HOW_TO_REGISTER}", stacklevel=stacklevel
        )
    arrays = {name: host_array(value) for name, value in model.state_dict().items()}
    write_document(path, arrays, document)


def describe_model(model: nn.Module) -> Document:
    """The entries of a file about ``model``: its description, or the reason why it has none."""
    document: Document = {"kind": "model", "class": type(model).__qualname__}
    try:
        description = describe(model)
        dtype = _common_dtype(model)
        _check_twin(model, description, dtype)
    except (CannotDescribe, ModelFileError) as error:
        return {**document, "reason": str(error)}
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    table: Table | None = model.__dict__.get(ATTRIBUTE)
    read = {} if table is None else {"table": table.state_dict()}
    return {**document, "model": description, "dtype": dtype, "training": model.training, "frozen": frozen, **read}


def restore_model(
    document: Document, layout: Layout, read: Callable[[], Mapping[str, np.ndarray]], device: Any = None
) -> nn.Module:
    """The model that a file describes, with its weights, on ``device``; ``read`` gets them, when all else fits.

    Raises as ``build_model`` does.
    """
    model = build_model(document, layout)
    model.load_state_dict(read())
    return model if device is None else model.to(device=device)


def build_model(document: Document, layout: Layout) -> nn.Module:
    """The model that a file describes, its weights not set yet; ``layout`` says which the file has.

    Raises ``ModelFileError`` for a file that holds weights only, a description that cannot be
    followed, and weights that do not fit the model built from it (every mismatch is listed).
    """
    if document.get("model") is None:
        raise ModelFileError(
            f"the file holds only the weights of a {document.get('class')}: {document.get('reason')}. "
            "Build the model in your program, then model.load_state_dict(nnkit.load_state_dict(path))"
        )
    model = _build(document["model"], document.get("dtype"), _elements(layout))
    check_fit(model, layout)
    _restore_modes(model, document)
    if "table" in document:
        try:
            model.__dict__[ATTRIBUTE] = Table.from_state_dict(document["table"])
        except (DataError, DtypeError, ShapeError, TypeError) as error:
            raise ModelFileError(f"the file's table of columns is damaged: {error}") from error
    return model


def check_fit(model: nn.Module, found: Layout) -> None:
    """Raises ``ModelFileError`` that lists every array missing, left over, or of another shape or type."""
    own = layout_of(model.state_dict())
    fit = Fit(model)
    for name in own:
        if name not in found:
            fit.refuse(f"missing: {name} {own[name]}")
    for name in found:
        if name not in own:
            fit.refuse(f"unexpected: {name} {found[name]}")
        elif own[name] != found[name]:
            fit.refuse(f"different: {name} is {own[name]} in the model, {found[name]} in the file")
    fit.settle("the file")


def layout_of(state: Mapping[str, Tensor] | Mapping[str, np.ndarray]) -> Layout:
    """The shape and element type of everything in a flat state."""
    return {name: (tuple(value.shape), value.dtype.name) for name, value in state.items()}


def _common_dtype(model: nn.Module) -> str | None:
    """The one floating type of the model's tensors, or None where it has none or several."""
    dtypes = {value.dtype.name for value in model.state_dict().values() if is_float(value.dtype)}
    return dtypes.pop() if len(dtypes) == 1 else None


def _check_twin(model: nn.Module, description: Json, dtype: str | None) -> None:
    """Raises ``ModelFileError`` unless a model built from the description has the same tensors.

    It has not where parts were replaced or added after construction. What was found right is
    noted, so that saving again after every epoch builds no further twin.
    """
    layout = layout_of(model.state_dict())
    found_right = (dumps(description), dtype, layout)
    if model.__dict__.get("_described") == found_right:
        return
    twin = layout_of(_build(description, dtype, _elements(layout)).state_dict())
    changed = [name for name in layout.keys() | twin.keys() if layout.get(name) != twin.get(name)]
    if changed:
        raise ModelFileError(
            f"{type(model).__name__} was changed after its construction: built anew from its arguments, "
            f"it differs in {', '.join(sorted(changed)[:5])}"
        )
    model.__dict__["_described"] = found_right


def _build(description: Json, dtype: Any, elements: int) -> nn.Module:
    """A model from its description. Its initial weights are not drawn, for they will be overwritten.

    Sizes that go far beyond the ``elements`` of the file are refused before memory is taken.
    """
    if dtype not in (None, "bfloat16", "float16", "float32", "float64"):
        raise ModelFileError(f"the file asks for the unknown floating type {str(dtype)[:50]!r}")
    with random.preserved(), skipped(), at_most(4 * elements + UNSAVED_ELEMENTS):
        model = build(description)
    return model if dtype is None else model.to(dtype=as_dtype(dtype))


def _elements(layout: Layout) -> int:
    return sum(math.prod(shape) for shape, _ in layout.values())


def _restore_modes(model: nn.Module, document: Document) -> None:
    training, frozen = document.get("training"), document.get("frozen")
    if not isinstance(training, bool) or not isinstance(frozen, list) or not _are_texts(frozen):
        raise ModelFileError("the file does not say whether the model was training, or what was frozen")
    names = set(frozen)
    model.train(training)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name not in names


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
