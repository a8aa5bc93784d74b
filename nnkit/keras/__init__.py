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
from nnkit.keras.gradient_tape import GradientTape
from nnkit.keras.layers import Input, Layer
from nnkit.keras.models import Model, Sequential
from nnkit.keras.shape_trees import InputSpec
from nnkit.keras.symbolic import KerasTensor
from nnkit.keras.variable import Variable

__all__ = [
    "GradientTape",
    "Input",
    "InputSpec",
    "Layer",
    "KerasTensor",
    "Model",
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
