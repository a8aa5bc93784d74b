"""Keras's vocabulary over nnkit: ``from nnkit.keras import layers, models`` in place of ``from keras import …``.

The names, arguments, defaults, shapes and return values are Keras 3's; the layers are modules of ``nnkit.nn``, the
optimizers those of ``nnkit.optim``, and training is ``nnkit.training``. What is not supported is refused by name.
"""

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
from nnkit.keras.layers import Input
from nnkit.keras.models import Model, Sequential
from nnkit.keras.symbolic import KerasTensor

__all__ = [
    "Input",
    "KerasTensor",
    "Model",
    "Sequential",
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
