"""Keras's vocabulary over nnkit: ``from nnkit.keras import layers, models`` in place of ``from keras import …``.

The names, arguments, defaults, shapes and return values are Keras 3's; the layers are modules of ``nnkit.nn``, the
optimizers those of ``nnkit.optim``, and training is ``nnkit.training``. What is not supported is refused by name.
"""

import importlib
from typing import Any

from nnkit.keras import (
    activations,
    callbacks,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    saving,
    utils,
)
from nnkit.keras.dtype_policies import DTypePolicy
from nnkit.keras.gradient_tape import GradientTape
from nnkit.keras.initializers import Initializer
from nnkit.keras.layers import Input, Layer
from nnkit.keras.losses import Loss
from nnkit.keras.metrics import Metric
from nnkit.keras.models import Model, Sequential
from nnkit.keras.optimizers import Optimizer
from nnkit.keras.regularizers import Regularizer
from nnkit.keras.shape_trees import InputSpec
from nnkit.keras.symbolic import KerasTensor
from nnkit.keras.variable import Variable

#: The version of Keras whose words these are: programs ask for it.
__version__ = "3.15.1"
#: Parts that are imported when first asked for.
_PARTS = ("backend", "config", "dtype_policies", "mixed_precision", "ops", "preprocessing", "random")

__all__ = [
    "DTypePolicy",
    "GradientTape",
    "Initializer",
    "Input",
    "InputSpec",
    "Layer",
    "KerasTensor",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "Variable",
    "activations",
    "callbacks",
    "constraints",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "regularizers",
    "saving",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return importlib.import_module(f"nnkit.keras.{name}")
    raise AttributeError(f"module 'nnkit.keras' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_PARTS})
