"""Nested states (of a model, an optimizer, a whole training run) as flat arrays and a JSON tree.

``{"model": {"0.weight": Tensor}, "epoch": 3}`` becomes the array ``"model.0.weight"`` and a tree
that says where it belongs. A flat state dict keeps its names, so that other programs find them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from nnkit.errors import DtypeError, ModelFileError
from nnkit.io.codec import CannotDescribe, Json, decode, encode
from nnkit.io.weights import Layout
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["Place", "flatten", "host_array", "outline", "unflatten"]

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
    return _decoded(tree, arrays, lambda array: tensor(array, device=device), lambda array: array)


def outline(layout: Layout, tree: Json) -> Any:
    """The state with the shape and type of each Tensor and array in its place, before any is read."""
    return _decoded(tree, layout, Place._make, Place._make)


class Place(NamedTuple):
    """Where an array will be, in an outline."""

    shape: tuple[int, ...]
    dtype: str


def _decoded(
    tree: Json, named: Mapping[str, Any], to_tensor: Callable[[Any], Any], to_array: Callable[[Any], Any]
) -> Any:
    used: set[str] = set()

    def take(name: Any) -> Any:
        if not isinstance(name, str) or name not in named:
            raise ModelFileError(f"the file lacks the array {str(name)[:100]!r}")
        if name in used:  # a short file could ask for any amount of memory
            raise ModelFileError(f"the file uses the array {name[:100]!r} twice")
        used.add(name)
        return named[name]

    try:
        return decode(tree, {TENSOR: lambda name: to_tensor(take(name)), ARRAY: lambda name: to_array(take(name))})
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
