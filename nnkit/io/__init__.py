"""Files: models, states and checkpoints as safetensors, written whole or not at all.

Opening a file never runs code: it holds numbers, and a description that names registered
classes. Importing this package registers nnkit's own modules and gives every Module ``save``.
"""

from __future__ import annotations

from nnkit import nn
from nnkit.io.checkpoint import (
    Checkpoint,
    load,
    load_checkpoint,
    load_state_dict,
    save,
    save_checkpoint,
)
from nnkit.io.files import sha256, write_file
from nnkit.io.model import save_model
from nnkit.io.registry import register_module
from nnkit.io.weights import Weights, load_weights, save_weights
from nnkit.nn import functional
from nnkit.nn.regularizers import L1L2

__all__ = [
    "Checkpoint",
    "Weights",
    "load",
    "load_checkpoint",
    "load_state_dict",
    "load_weights",
    "register_module",
    "save",
    "save_checkpoint",
    "save_model",
    "save_weights",
    "sha256",
    "write_file",
]


def _register_own() -> None:
    for name in nn.__all__:
        member = getattr(nn, name)
        if isinstance(member, type) and issubclass(member, nn.Module) and member is not nn.Module:
            register_module(member)
    for name in functional.__all__:
        register_module(getattr(functional, name), name=f"functional.{name}")
    register_module(L1L2)


_register_own()
nn.Module.save = save_model
