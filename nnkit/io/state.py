"""Nested states (of a model, an optimizer, a whole training run) as flat arrays and a JSON tree.

``{"model": {"0.weight": Tensor}, "epoch": 3}`` becomes the array ``"model.0.weight"`` and a tree
that says where it belongs. A flat state dict keeps its names, so that other programs find them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnkit.creation import tensor
from nnkit.errors import DtypeError, ModelFileError
from nnkit.io.codec import CannotDescribe, Json, decode, encode
from nnkit.tensor import Tensor

__all__ = ["flatten", "host_array", "unflatten"]

# The tags of what is stored as an array; each comes back as what it was.
TENSOR, ARRAY = "tensor", "array"


def flatten(state: Any) -> tuple[dict[str, np.ndarray], Json]:
    """The arrays of ``state`` by name, and its tree; raises ``DtypeError`` for a value that is no state."""
    arrays: dict[str, np.ndarray] = {}

    def store(value: Any, path: tuple[Any, ...]) -> Json:
        if not isinstance(value, Tensor | np.ndarray):
            return None
        name = _free_name(".".join(map(str, path)) or "value", arrays)
        arrays[name] = host_array(value)
        return {TENSOR if isinstance(value, Tensor) else ARRAY: name}

    try:
        return arrays, encode(state, store)
    except CannotDescribe as error:
        raise DtypeError(f"cannot save this state: {error}") from error
    except RecursionError:
        raise DtypeError("cannot save this state: it is nested too deeply, or holds itself") from None


def unflatten(arrays: Mapping[str, np.ndarray], tree: Json, device: Any = None) -> Any:
    """The state that ``flatten`` took apart, with its Tensors on ``device``. Raises ``ModelFileError``."""

    def array(name: Any) -> np.ndarray:
        if not isinstance(name, str) or name not in arrays:
            raise ModelFileError(f"the file lacks the array {str(name)[:100]!r}")
        return arrays[name]

    try:
        return decode(tree, {TENSOR: lambda name: tensor(array(name), device=device), ARRAY: array})
    except RecursionError:
        raise ModelFileError("the state is nested too deeply") from None


def host_array(value: Tensor | np.ndarray) -> np.ndarray:
    """The numbers of a tensor or array, on the host."""
    return value.detach().numpy() if isinstance(value, Tensor) else value


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}~{number}"
    return free
