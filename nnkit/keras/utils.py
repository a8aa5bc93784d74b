"""Small helpers: one-hot labels, the random seed, automatic names. Definitions: ``keras.utils``."""

from __future__ import annotations

import importlib
import random as python_random
from typing import Any

import numpy as np

from nnkit import manual_seed
from nnkit.errors import LabelError
from nnkit.keras.naming import clear_session
from nnkit.keras.objects import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from nnkit.keras.plotting import model_to_dot, model_to_mermaid, plot_model

__all__ = [
    "CustomObjectScope", "clear_session", "custom_object_scope", "get_custom_objects", "get_registered_name",
    "get_registered_object", "model_to_dot", "model_to_mermaid", "plot_model", "register_keras_serializable",
    "set_random_seed", "to_categorical",
]  # fmt: skip


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Class numbers as one-hot rows of float32: shape (…) or (…, 1) to shape (…, num_classes).

    Args:
        x: integers from 0 to ``num_classes - 1``, of any shape.
        num_classes: the number of classes; by default the largest number in ``x`` plus 1.

    Raises:
        LabelError: ``x`` is empty without ``num_classes``, not made of whole numbers, or out of range.

    Source: ``keras.utils.to_categorical``.

    >>> to_categorical([0, 2]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    given = np.asarray(x)
    labels = given.astype(np.int64) if given.dtype.kind in "biuf" else None
    if labels is None or not np.array_equal(labels, given):
        raise LabelError(
            f"to_categorical expects whole numbers; got {given.dtype} values that are none: "
            "numpy.unique(x, return_inverse=True)[1] numbers them"
        )
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        if labels.size == 0:
            raise LabelError("to_categorical cannot tell the number of classes of no labels; pass num_classes")
        num_classes = int(labels.max()) + 1
    if labels.size and not (labels.min() >= 0 and labels.max() < num_classes):
        raise LabelError(
            f"to_categorical: labels must be from 0 to {num_classes - 1} (num_classes={num_classes}); "
            f"got values from {labels.min()} to {labels.max()}"
        )
    return np.eye(num_classes, dtype=np.float32)[labels]


def set_random_seed(seed: int) -> None:
    """Seed every source of random numbers: nnkit's, NumPy's global one and Python's.

    Draws of any shape and dtype follow it. Raises TypeError for what is no integer, ValueError for one below 0 or
    above 2**32 - 1. Source: ``keras.utils.set_random_seed``.

    >>> import nnkit
    >>> set_random_seed(3); a = nnkit.rand(1); set_random_seed(3); bool((nnkit.rand(1) == a).all())
    True
    """
    python_random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    manual_seed(seed)


def normalize(x: Any, axis: int = -1, order: int = 2) -> Any:
    """x by its norm along an axis: an array of an array, else a tensor.

    >>> normalize(np.array([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """
    if hasattr(x, "detach"):
        return importlib.import_module("nnkit.keras.ops").normalize(x, axis, order)
    array = np.atleast_1d(np.asarray(x))
    size = np.atleast_1d(np.linalg.norm(array, order, axis))
    size[size == 0] = 1
    return array / np.expand_dims(size, axis)


#: Names that other modules have, which are imported when first asked for.
ELSEWHERE = {
    "pad_sequences": "sequences", "timeseries_dataset_from_array": "sequences", "Progbar": "progbar",
    "PyDataset": "batched", "split_dataset": "batched", "get_file": "fetching", "array_to_img": "pictures",
    "img_to_array": "pictures", "load_img": "pictures", "save_img": "pictures",
    "image_dataset_from_directory": "directories", "text_dataset_from_directory": "directories",
    "is_keras_tensor": "backend", "standardize_dtype": "backend", "enable_interactive_logging": "config",
    "disable_interactive_logging": "config", "is_interactive_logging_enabled": "config",
    "serialize_keras_object": "saving", "deserialize_keras_object": "saving",
    "pack_x_y_sample_weight": "feeding", "unpack_x_y_sample_weight": "feeding",
}  # fmt: skip
#: Names that are called otherwise there.
RENAMED = {"pack_x_y_sample_weight": "pack", "unpack_x_y_sample_weight": "unpack"}
#: Modules of older Keras.
OLDER = {"data_utils": ("get_file", "Sequence"), "np_utils": ("to_categorical", "normalize")}


def __getattr__(name: str) -> Any:
    if name == "Sequence":
        name = "PyDataset"
    if name in ELSEWHERE:
        return getattr(importlib.import_module(f"nnkit.keras.{ELSEWHERE[name]}"), RENAMED.get(name, name))
    if name in OLDER:
        import sys

        return sys.modules[__name__]
    raise AttributeError(f"module 'nnkit.keras.utils' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
