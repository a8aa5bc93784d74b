"""Files: models, states and checkpoints as safetensors, written whole or not at all.

Opening a file never runs code: it holds numbers, and a description that names registered
classes. Importing this package registers nnkit's own modules and gives every Module ``save``.
"""

from __future__ import annotations

from types import FunctionType

from nnkit import nn, ops
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


def __dir__() -> list[str]:
    return sorted(__all__)


def _register_own() -> None:
    """nnkit's modules by their own names; its functions, which modules may be made with, by dotted ones."""
    for name in nn.__all__:
        member = getattr(nn, name)
        if isinstance(member, type) and (issubclass(member, nn.Module) or member is nn.L1L2):
            register_module(member)
    for home in (nn.functional, nn.init, ops):
        for name in home.__all__:
            if isinstance(function := getattr(home, name), FunctionType):
                register_module(function, name=f"{home.__name__.rpartition('.')[2]}.{name}")


_register_own()
nn.Module.save = save_model
