"""Models out of files, in whichever of nnkit's vocabularies they were saved."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from nnkit import nn
from nnkit.errors import ModelFileError
from nnkit.io import load
from nnkit.io.document import opened_document
from nnkit.io.files import PathLike
from nnkit.io.model import HOW_TO_REGISTER, build_model

__all__ = ["load_model", "verify"]


def load_model(path: PathLike, device: Any = None) -> nn.Module:
    """The model in a file, with its weights; raises ``ModelFileError`` as ``nnkit.load`` does, and for a mere state."""
    with opened_document(path) as (_, document):
        _make_known(document)
    model = load(path, device=device)
    if not isinstance(model, nn.Module):
        raise ModelFileError(f"{str(path)!r} holds a {type(model).__name__}; expected a file of model.save(path)")
    return model


def verify(path: Path) -> None:
    """Raise ``ModelFileError`` unless a model can be built from what the file says, and its weights fit."""
    with opened_document(path) as (file, document):
        if "reason" in document:
            reason = document["reason"]
            raise ModelFileError(f"this {document['class']} could not be loaded again: {reason}; {HOW_TO_REGISTER}")
        _make_known(document)
        build_model(document, file.layout)


def _make_known(document: dict[str, Any]) -> None:
    """Keras's layers register themselves when they are imported."""
    if '"keras.' in json.dumps(document.get("model")):
        importlib.import_module("nnkit.keras")
